"""Where a turn's words and sound go. The connection implements it; a turn knows no socket."""

from typing import Protocol


class DeviceOutput(Protocol):
    """Both calls return at once and never raise: a device that went away is the connection's business."""

    def send_text(self, message: str) -> None:
        """Send one JSON message, already serialised."""
        ...

    def send_audio(self, packet: bytes, timestamp_ms: int) -> None:
        """Send one Opus packet; the connection puts it into the device's binary frame version."""
        ...
