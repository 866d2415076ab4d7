"""Takes the packets out of an Ogg stream as its bytes arrive, without waiting for the end of a page, which may hold a
second of sound. Pure; it does not care what the packets hold."""

from collections import deque

_CAPTURE = b"OggS"
_HEADER_BYTES = 27
_FLAGS_AT = 5
_CONTINUED = 0x01
_FULL_SEGMENT = 255  # a segment of this length says: more of the packet follows
# A voice's packets are some hundred bytes; its comment header may carry a little more.
_MAX_PACKET_BYTES = 256 * 1024


class OggPackets:
    """One logical stream. Damaged or foreign bytes are skipped up to the next capture pattern."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._segments: deque[int] = deque()  # lengths still to come on this page
        self._packet = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        self._buffer += data
        packets: list[bytes] = []
        while self._segments or self._open_page():
            if not self._take_segments(packets):
                break
        return packets

    def _open_page(self) -> bool:
        """Read the next page's head; False: it is not all there yet."""
        start = self._buffer.find(_CAPTURE)
        if start < 0:
            del self._buffer[: max(0, len(self._buffer) - len(_CAPTURE) + 1)]
            return False
        del self._buffer[:start]
        if len(self._buffer) < _HEADER_BYTES:
            return False
        body_at = _HEADER_BYTES + self._buffer[_HEADER_BYTES - 1]
        if len(self._buffer) < body_at:
            return False
        if not self._buffer[_FLAGS_AT] & _CONTINUED:
            self._packet.clear()
        self._segments.extend(self._buffer[_HEADER_BYTES:body_at])
        del self._buffer[:body_at]
        return True

    def _take_segments(self, packets: list[bytes]) -> bool:
        """Add what has arrived of this page; False: more of it is to come."""
        while self._segments:
            length = self._segments[0]
            if len(self._buffer) < length:
                return False
            self._packet += self._buffer[:length]
            del self._buffer[:length]
            self._segments.popleft()
            if length < _FULL_SEGMENT:
                packets.append(bytes(self._packet))
            if length < _FULL_SEGMENT or len(self._packet) > _MAX_PACKET_BYTES:
                self._packet.clear()
        return True
