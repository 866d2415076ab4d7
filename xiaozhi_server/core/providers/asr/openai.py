"""The recogniser behind any server with OpenAI's transcription interface: the utterance goes there as one WAV file."""

import io
import wave
from typing import Any, ClassVar

# The SDK would import this on first use, in the middle of somebody's turn.
import openai.resources.audio.transcriptions  # noqa: F401
from openai import AsyncOpenAI
from pydantic import AliasChoices, Field

from ..openai_endpoint import Endpoint, EndpointConfig
from .base import Transcript

BYTES_PER_SAMPLE = 2
# Servers refuse shorter files; nobody says a word in less.
SHORTEST_UTTERANCE_MS = 100
PROBE_SAMPLE_RATE = 16_000


class OpenAiAsrConfig(EndpointConfig):
    model_name: str = Field(
        default="gpt-4o-mini-transcribe", min_length=1, validation_alias=AliasChoices("model_name", "model")
    )
    # Accepted from older configurations; nothing is written to disk.
    output_dir: str | None = None


class OpenAiAsr:
    Config: ClassVar[type[OpenAiAsrConfig]] = OpenAiAsrConfig

    def __init__(self, config: OpenAiAsrConfig) -> None:
        self._config = config
        self._endpoint = Endpoint(config)

    async def transcribe(self, pcm: bytes, *, sample_rate: int, language: str | None) -> Transcript:
        if len(pcm) * 1000 < SHORTEST_UTTERANCE_MS * sample_rate * BYTES_PER_SAMPLE:
            return Transcript("")
        return Transcript(await self._ask(_wav_file(pcm, sample_rate), language))

    async def probe(self) -> str:
        """Half a second of silence: what counts is that the server takes it."""
        silence = bytes(PROBE_SAMPLE_RATE * BYTES_PER_SAMPLE // 2)
        await self._ask(_wav_file(silence, PROBE_SAMPLE_RATE), None)
        return f"{self._config.model_name} at {self._endpoint.where}"

    async def close(self) -> None:
        await self._endpoint.close()

    async def _ask(self, wav_file: bytes, language: str | None) -> str:
        request: dict[str, Any] = {"model": self._config.model_name, "response_format": "json"}
        if language:
            # The interface wants ISO 639-1, without script or region.
            request["language"] = language.replace("_", "-").split("-")[0].lower()

        async def transcribe(client: AsyncOpenAI) -> object:
            return await client.audio.transcriptions.create(file=("utterance.wav", wav_file, "audio/wav"), **request)

        answer = await self._endpoint.call_within(self._config.timeout_s, transcribe)
        text = getattr(answer, "text", None)
        if not isinstance(text, str):
            raise self._endpoint.nonsense("the transcription held no text")
        return text.strip()


def _wav_file(pcm: bytes, sample_rate: int) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(BYTES_PER_SAMPLE)
        writer.setframerate(sample_rate)
        writer.writeframes(pcm)
    return file.getvalue()
