"""The embedded voice: espeak-ng in this process, no key, no network. Plain, but it speaks over a hundred languages."""

import asyncio
import re
from collections.abc import AsyncGenerator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from .base import AudioFormat
from .espeak_library import LIBRARY, SAMPLE_RATE, EspeakError
from .espeak_voices import DEFAULT_VOICE, voice_for

# One job of the worker: a sentence of this length takes a few milliseconds, so nobody waits long behind another.
LONGEST_PIECE = 300
# Jobs of all devices that may wait for the worker: at that rate it is a second or two behind.
MAX_WAITING = 256


class EspeakTtsConfig(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    # An espeak-ng voice such as "en-gb" or "cmn+f3". Without one the text's script and the talk's language choose.
    voice: str | None = Field(default=None, min_length=1, max_length=40)
    words_per_minute: int = Field(default=165, ge=80, le=450)
    volume: int = Field(default=100, ge=0, le=200)
    pitch: int = Field(default=50, ge=0, le=100)


class EspeakTts:
    Config: ClassVar[type[EspeakTtsConfig]] = EspeakTtsConfig

    def __init__(self, config: EspeakTtsConfig) -> None:
        self._config = config
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="espeak")
        self._waiting = 0

    @property
    def audio_format(self) -> AudioFormat:
        return AudioFormat("pcm", SAMPLE_RATE)

    async def synthesize(self, text: str, *, language: str | None) -> AsyncGenerator[bytes, None]:
        voice = self._config.voice or voice_for(text, language)
        for piece in pieces_of(text):
            if sound := await self._speak(piece, voice):
                yield sound

    async def probe(self) -> str:
        voice = self._config.voice or DEFAULT_VOICE
        if not await self._speak("OK.", voice):
            raise EspeakError("espeak-ng made no sound")
        return f"espeak-ng in this process, voice {self._config.voice or 'by language'}"

    async def close(self) -> None:
        """The piece under way ends by itself within milliseconds."""
        self._worker.shutdown(wait=False, cancel_futures=True)

    async def _speak(self, text: str, voice: str) -> bytes:
        if self._waiting >= MAX_WAITING:
            raise EspeakError("too many sentences are waiting to be spoken")
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._worker, LIBRARY.synthesize, text, voice, self._config)
        finally:
            self._waiting -= 1


def pieces_of(text: str) -> Iterator[str]:
    """The text in pieces of bounded length, cut at spaces where there are any."""
    rest = text.strip()
    while len(rest) > LONGEST_PIECE:
        spaces = [match.start() for match in re.finditer(r"\s", rest[: LONGEST_PIECE + 1])]
        cut = spaces[-1] if spaces and spaces[-1] > 0 else LONGEST_PIECE
        yield rest[:cut].rstrip()
        rest = rest[cut:].lstrip()
    if rest:
        yield rest
