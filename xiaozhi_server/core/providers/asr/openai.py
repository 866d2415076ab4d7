"""The recogniser behind any server with OpenAI's transcription interface: the utterance goes there as one WAV file."""

import io
import wave
from typing import ClassVar

from pydantic import AliasChoices, Field

from ..form import FormFile, encode_form
from ..openai_endpoint import JSON_TYPE, Endpoint, EndpointConfig, Request
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
        self._endpoint = Endpoint(config, "/audio/transcriptions")

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
        fields = {"model": self._config.model_name, "response_format": "json"}
        if language:
            # The interface wants ISO 639-1, without script or region.
            fields["language"] = language.replace("_", "-").split("-")[0].lower()
        form_type, body = encode_form(fields, FormFile("file", "utterance.wav", "audio/wav", wav_file))
        answer = await self._endpoint.fetch_json(Request(body, form_type, JSON_TYPE))
        text = answer.get("text") if isinstance(answer, dict) else None
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
