"""Opus both ways. All of it is CPU work for the executor; it knows no device and no stream order."""

from ctypes import create_string_buffer, string_at
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from . import libopus

Samples = NDArray[np.int16]

UPLINK_RATE = 16_000
_MAX_PACKET_MS = 120
# A packet without a byte of sound for any frame: the device's encoder found nothing worth sending.
_DTX_BYTES = 2
_BIT_RATE = 32_000
_LONGEST_PACKET = 4000  # bytes, as libopus recommends

# RFC 6716, table 2: frame length in units of 2.5 ms by the upper five bits of the first byte.
_SILK_UNITS = (4, 8, 16, 24)
_HYBRID_UNITS = (4, 8)
_CELT_UNITS = (1, 2, 4, 8)
_FRAME_UNITS = _SILK_UNITS * 3 + _HYBRID_UNITS * 2 + _CELT_UNITS * 4


def packet_samples(packet: bytes, sample_rate: int = UPLINK_RATE) -> int | None:
    """How much sound a packet holds by its own account; None: it is no Opus packet."""
    if not packet:
        return None
    units = _frame_count(packet) * _FRAME_UNITS[packet[0] >> 3]
    if not 0 < units * 5 <= _MAX_PACKET_MS * 2:
        return None
    return units * sample_rate // 400


def _frame_count(packet: bytes) -> int:
    code = packet[0] & 0x03
    if code == 0:
        return 1
    if code < 3:
        return 2
    return packet[1] & 0x3F if len(packet) > 1 else 0


class OpusDecoder:
    """One stream of packets to 16 kHz mono. It costs some 18 KiB: make it with the first packet, drop it when idle."""

    def __init__(self) -> None:
        self._codec = libopus.Decoder(UPLINK_RATE)

    def decode(self, packet: bytes) -> Samples | None:
        """The sound of one packet; None: it could not be decoded, and the next one may be."""
        samples = packet_samples(packet)
        if samples is None:
            return None
        sound = np.zeros(samples, np.int16)
        if self._codec.decode(packet, sound.ctypes.data, samples) != samples:
            return None
        if len(packet) <= _DTX_BYTES:
            # The decoder had to see it for the sake of its state, but its guess at the sound would be voice-like.
            return np.zeros(samples, np.int16)
        return sound

    def reset(self) -> None:
        """Forget the stream so far: the next packet starts a new one."""
        self._codec.reset()


class OpusEncoder:
    """Mono sound in pieces of any length to packets of exactly `frame_ms`."""

    def __init__(self, sample_rate: int, frame_ms: int, bit_rate: int = _BIT_RATE) -> None:
        self._codec = libopus.Encoder(sample_rate, bit_rate)
        self._frame_samples = sample_rate * frame_ms // 1000
        self._rest = np.zeros(0, np.int16)

    def encode(self, pcm: Samples) -> list[bytes]:
        """The packets that are complete; what is left over waits for the next call."""
        # libopus reads where the address points: it must be what it is said to be.
        sound = np.ascontiguousarray(np.concatenate((self._rest, pcm)) if self._rest.size else pcm, np.int16)
        whole = sound.size - sound.size % self._frame_samples
        begin, room = sound.ctypes.data, create_string_buffer(_LONGEST_PACKET)
        packets: list[bytes] = []
        for start in range(0, whole, self._frame_samples):
            size = self._codec.encode(begin + start * sound.itemsize, self._frame_samples, room)
            packets.append(string_at(room, size))
        self._rest = sound[whole:].copy()
        return packets

    def flush(self) -> list[bytes]:
        """The left-over as a last packet, filled up with silence. The encoder can go on afterwards."""
        if not self._rest.size:
            return []
        return self.encode(np.zeros(self._frame_samples - self._rest.size, np.int16))


@lru_cache(maxsize=16)
def silence_packet(sample_rate: int, frame_ms: int) -> bytes:
    """One packet of silence, as a stream begins with it."""
    return OpusEncoder(sample_rate, frame_ms).encode(np.zeros(sample_rate * frame_ms // 1000, np.int16))[0]
