"""The port to a voice: a sentence in, a stream of audio bytes out, in the provider's own format."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal, Protocol

Codec = Literal["pcm", "wav", "mp3", "opus", "aac", "flac"]


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """`pcm` is signed 16-bit little-endian mono at `sample_rate`; the rest carries its own rate in its container."""

    codec: Codec
    sample_rate: int


class Tts(Protocol):
    """One instance serves all devices."""

    @property
    def audio_format(self) -> AudioFormat: ...

    def synthesize(self, text: str, *, language: str | None) -> AsyncIterator[bytes]:
        """Yield the audio of one sentence as it arrives. Closing the iterator ends the request."""
        ...

    async def probe(self) -> str:
        """Make one small real request; return what answered, raise what failed."""
        ...

    async def close(self) -> None: ...
