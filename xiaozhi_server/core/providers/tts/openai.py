"""The voice behind any server with OpenAI's speech interface: sound is handed on as it arrives."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any, ClassVar

import aiohttp
from pydantic import AliasChoices, BeforeValidator, Field

from ..openai_endpoint import Endpoint, EndpointConfig, Request, json_request
from .base import AudioFormat, Codec

BYTES_PER_SAMPLE = 2
# A server that answers 200 with a page or a JSON error instead of sound.
TEXT_CONTENT_TYPES = ("text/", "application/json", "application/problem+json")
# The format is named in the request: whatever the server calls it is welcome.
ANY_TYPE = "*/*"


class OpenAiTtsConfig(EndpointConfig):
    model: str = Field(default="gpt-4o-mini-tts", min_length=1, validation_alias=AliasChoices("model", "model_name"))
    voice: str = Field(default="alloy", min_length=1)
    format: Codec = Field(default="pcm", validation_alias=AliasChoices("format", "response_format"))
    # Of `pcm`, which does not say its rate itself.
    sample_rate: int = Field(default=24_000, ge=8_000, le=48_000)
    speed: Annotated[float, BeforeValidator(lambda value: 1.0 if value in ("", None) else value)] = Field(
        default=1.0, ge=0.25, le=4.0
    )
    # Accepted from older configurations; nothing is written to disk.
    output_dir: str | None = None


class OpenAiTts:
    Config: ClassVar[type[OpenAiTtsConfig]] = OpenAiTtsConfig

    def __init__(self, config: OpenAiTtsConfig) -> None:
        self._config = config
        self._endpoint = Endpoint(config, "/audio/speech")

    @property
    def audio_format(self) -> AudioFormat:
        return AudioFormat(self._config.format, self._config.sample_rate)

    async def synthesize(self, text: str, *, language: str | None) -> AsyncGenerator[bytes, None]:
        if not text.strip():
            return
        answer = await self._endpoint.open(self._request(text))
        sound = self._endpoint.pieces(answer, self._sound(answer))
        async with aclosing(sound):
            async for piece in sound:
                yield piece

    async def probe(self) -> str:
        sound = self.synthesize("OK.", language="en")
        async with aclosing(sound):
            async for _ in sound:
                return f"{self._config.model}, voice {self._config.voice}, at {self._endpoint.where}"
        raise self._endpoint.nonsense("the answer held no sound")

    async def close(self) -> None:
        await self._endpoint.close()

    def _request(self, text: str) -> Request:
        config = self._config
        body: dict[str, Any] = {
            "model": config.model,
            "voice": config.voice,
            "input": text,
            "response_format": config.format,
        }
        if config.speed != 1.0:
            body["speed"] = config.speed
        return json_request(body, ANY_TYPE)

    async def _sound(self, answer: aiohttp.ClientResponse) -> AsyncGenerator[bytes, None]:
        if answer.headers.get("Content-Type", "").startswith(TEXT_CONTENT_TYPES):
            raise self._endpoint.nonsense("text instead of sound")
        anything = False
        kept = b""
        async for piece in answer.content.iter_any():
            whole = kept + piece
            kept = whole[len(whole) - self._odd_bytes(whole) :]
            if sound := whole[: len(whole) - len(kept)]:
                anything = True
                yield sound
        if not anything:
            raise self._endpoint.nonsense("the answer held no sound")

    def _odd_bytes(self, sound: bytes) -> int:
        """The half of a sample at the end, which waits for its other half. Files have no halves."""
        return len(sound) % BYTES_PER_SAMPLE if self._config.format == "pcm" else 0
