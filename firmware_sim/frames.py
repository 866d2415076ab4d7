"""Binary audio frames of the protocol versions 1, 2 and 3, as the device reads and writes them. No I/O.

Real firmware trusts the length fields; here a length that does not fit is a crash, so that a test sees it.
"""

import struct
from dataclasses import dataclass

from firmware_sim.errors import DeviceCrashError

_HEADER_2 = struct.Struct(">HHIII")
_HEADER_3 = struct.Struct(">BBH")


@dataclass(frozen=True, slots=True)
class AudioFrame:
    payload: bytes
    timestamp_ms: int = 0


@dataclass(frozen=True, slots=True)
class FrameLayout:
    """The layout that one connection uses in both directions."""

    version: int = 1

    def pack(self, packet: bytes, timestamp_ms: int = 0) -> bytes:
        if self.version == 2:
            return _HEADER_2.pack(2, 0, 0, timestamp_ms, len(packet)) + packet
        if self.version == 3:
            return _HEADER_3.pack(0, 0, len(packet)) + packet
        return packet

    def unpack(self, message: bytes) -> AudioFrame:
        if self.version == 2:
            return _unpack_2(message)
        if self.version == 3:
            return _unpack_3(message)
        return AudioFrame(message)


def _unpack_2(message: bytes) -> AudioFrame:
    _check_length(message, _HEADER_2.size)
    _, _, _, timestamp_ms, size = _HEADER_2.unpack_from(message)
    return AudioFrame(_body(message, _HEADER_2.size, size), timestamp_ms)


def _unpack_3(message: bytes) -> AudioFrame:
    _check_length(message, _HEADER_3.size)
    _, _, size = _HEADER_3.unpack_from(message)
    return AudioFrame(_body(message, _HEADER_3.size, size))


def _check_length(message: bytes, header_bytes: int) -> None:
    if len(message) < header_bytes:
        raise DeviceCrashError(f"binary frame of {len(message)} bytes is shorter than its {header_bytes} byte header")


def _body(message: bytes, header_bytes: int, size: int) -> bytes:
    if header_bytes + size > len(message):
        raise DeviceCrashError(f"payload_size {size} reads beyond a frame of {len(message)} bytes")
    return message[header_bytes : header_bytes + size]
