"""Reads the head of a WAV stream as its bytes arrive. Pure; it believes no length, since a stream knows none."""

import struct
from dataclasses import dataclass

_RIFF_BYTES = 12
_CHUNK_HEAD_BYTES = 8
_FORMAT_BYTES = 16
_MAX_HEAD_BYTES = 64 * 1024
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE


class UnusableWavError(ValueError):
    """These bytes are no WAV stream, or one of a kind that nobody sends for speech."""


@dataclass(frozen=True, slots=True)
class WavFormat:
    sample_format: str  # as FFmpeg calls it
    sample_bytes: int
    channels: int
    sample_rate: int


_SAMPLE_FORMATS = {(_PCM, 8): ("u8", 1), (_PCM, 16): ("s16", 2), (_PCM, 32): ("s32", 4), (_FLOAT, 32): ("flt", 4)}


def read_head(data: bytes) -> tuple[WavFormat, int] | None:
    """The format and where the samples begin; None: more bytes are needed."""
    if len(data) < _RIFF_BYTES:
        return None
    if data[:4] not in (b"RIFF", b"RF64") or data[8:12] != b"WAVE":
        raise UnusableWavError("no RIFF/WAVE head")
    found: WavFormat | None = None
    at = _RIFF_BYTES
    while len(data) >= at + _CHUNK_HEAD_BYTES:
        name, length = struct.unpack_from("<4sI", data, at)
        at += _CHUNK_HEAD_BYTES
        if name == b"data":
            if found is None:
                raise UnusableWavError("samples before their format")
            return found, at
        if name == b"fmt " and len(data) >= at + min(length, _FORMAT_BYTES):
            found = _read_format(data[at : at + length])
        at += length + length % 2
        if at > _MAX_HEAD_BYTES:
            raise UnusableWavError("no samples in sight")
    return None


def _read_format(chunk: bytes) -> WavFormat:
    if len(chunk) < _FORMAT_BYTES:
        raise UnusableWavError("format chunk too short")
    tag, channels, sample_rate, _, _, bits = struct.unpack_from("<HHIIHH", chunk)
    if tag == _EXTENSIBLE and len(chunk) >= 26:
        (tag,) = struct.unpack_from("<H", chunk, 24)
    known = _SAMPLE_FORMATS.get((tag, bits))
    if known is None or channels not in (1, 2) or not 4000 <= sample_rate <= 192_000:
        raise UnusableWavError(f"format {tag} with {bits} bits, {channels} channels at {sample_rate} Hz")
    return WavFormat(known[0], known[1], channels, sample_rate)
