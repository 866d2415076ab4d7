"""The port to a speech recogniser: one finished utterance in, its words out."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Transcript:
    text: str
    language: str | None = None
    speaker: str | None = None


class AsrNotConfiguredError(Exception):
    """There is no recogniser. The turn tells the person, in their language, what to set up."""


class Asr(Protocol):
    """One instance serves all devices."""

    async def transcribe(self, pcm: bytes, *, sample_rate: int, language: str | None) -> Transcript:
        """Recognise signed 16-bit little-endian mono PCM. An empty text means: nothing was said."""
        ...

    async def probe(self) -> str:
        """Make one small real request; return what answered, raise what failed."""
        ...

    async def close(self) -> None: ...
