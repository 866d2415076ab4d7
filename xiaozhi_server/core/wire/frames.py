"""The three layouts of a binary audio frame. Devices trust the lengths in them blindly, so what we write is exact."""

import struct
import sys
from dataclasses import dataclass

from .messages import Unusable

MAX_PACKET_BYTES = 4_096
OVERSIZE = "oversize audio frame"
MISFITS_OF_A_BARE_SENDER = 3

_V2 = struct.Struct(">HHIII")  # version, type, reserved, timestamp in ms, payload size
_V3 = struct.Struct(">BBH")  # type, reserved, payload size
_HEAD_BYTES = {1: 0, 2: _V2.size, 3: _V3.size}
_OPUS = 0


@dataclass(frozen=True, slots=True)
class AudioFrame:
    """One Opus packet. An empty packet is how a browser ends a recording. The timestamp is 0 where there is none."""

    packet: bytes
    timestamp_ms: int = 0


class FrameCodec:
    """Reads and writes the layout of one connection; any version but 2 and 3 means bare packets.

    A client may announce a version and send bare packets all the same: as long as nothing has fitted, a few misfits
    in a row settle that it means bare packets, in both directions.
    """

    __slots__ = ("_max_packet_bytes", "_misfits", "version")

    def __init__(self, version: int, max_packet_bytes: int = MAX_PACKET_BYTES) -> None:
        """What is larger is not read; what is written is bounded by what a device can take."""
        self.version = version if version in (2, 3) else 1
        self._max_packet_bytes = max_packet_bytes
        self._misfits = 0

    def decode(self, frame: bytes) -> AudioFrame | Unusable:
        if len(frame) > self._max_packet_bytes + _HEAD_BYTES[self.version]:
            return Unusable(OVERSIZE)
        if self.version == 1:
            return AudioFrame(frame)
        decoded = _decode_v2(frame) if self.version == 2 else _decode_v3(frame)
        if isinstance(decoded, AudioFrame):
            self._misfits = -sys.maxsize
        else:
            self._note_misfit()
        return decoded

    def _note_misfit(self) -> None:
        self._misfits += 1
        if self._misfits == MISFITS_OF_A_BARE_SENDER:
            self.version = 1

    def encode(self, packet: bytes, timestamp_ms: int = 0) -> bytes:
        """ValueError: no device could take a packet of this size."""
        if len(packet) > MAX_PACKET_BYTES:
            raise ValueError("oversize audio packet")
        if self.version == 2:
            return _V2.pack(2, _OPUS, 0, timestamp_ms & 0xFFFF_FFFF, len(packet)) + packet
        if self.version == 3:
            return _V3.pack(_OPUS, 0, len(packet)) + packet
        return packet


def _decode_v2(frame: bytes) -> AudioFrame | Unusable:
    if len(frame) < _V2.size:
        return Unusable("frame shorter than its header")
    version, kind, _, timestamp_ms, size = _V2.unpack_from(frame)
    if version != 2 or size != len(frame) - _V2.size:
        return Unusable("frame does not match its header")
    if kind != _OPUS:
        return Unusable("frame is not audio")
    return AudioFrame(frame[_V2.size :], timestamp_ms)


def _decode_v3(frame: bytes) -> AudioFrame | Unusable:
    if len(frame) < _V3.size:
        return Unusable("frame shorter than its header")
    kind, _, size = _V3.unpack_from(frame)
    if size != len(frame) - _V3.size:
        return Unusable("frame does not match its header")
    if kind != _OPUS:
        return Unusable("frame is not audio")
    return AudioFrame(frame[_V3.size :])
