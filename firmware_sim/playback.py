"""The device's playback: a queue of 40 packets that a clock empties. It knows packets and times, nothing of messages.

Nothing runs here. Sound plays at an even pace, so the moment when all that was queued will have been heard says it all;
that keeps hundreds of devices cheap in one process.
"""

from dataclasses import dataclass, field

QUEUE_PACKETS = 40
PIPELINE_PACKETS = 4  # two decoded frames, one being decoded, one in the sound driver
_SILENT_PACKET_BYTES = 24
_ON_TIME_S = 0.001


def is_silent(packet: bytes) -> bool:
    """Whether a packet carries (digital) silence, told by its size as nothing is decoded here."""
    return len(packet) <= _SILENT_PACKET_BYTES


@dataclass(slots=True)
class Playback:
    """What is played of one utterance; made anew at `tts start`, which is when the device flushes."""

    frame_ms: float
    packets: list[bytes] = field(default_factory=list)
    arrivals_s: list[float] = field(default_factory=list)
    first_sound_at_s: float | None = None
    underruns: int = 0
    underrun_ms: float = 0
    overflows: int = 0
    max_outstanding: int = 0
    _empty_at_s: float = 0

    @property
    def empty_at_s(self) -> float:
        """When everything queued so far will have been heard."""
        return self._empty_at_s

    def outstanding(self, now_s: float) -> int:
        """Packets that are queued or in the pipeline behind the queue."""
        return max(0, round((self._empty_at_s - now_s) * 1000 / self.frame_ms + 0.499))

    def push(self, packet: bytes, now_s: float) -> None:
        """Queue a packet; the newest is the one that is lost when the queue is full."""
        if self.outstanding(now_s) >= QUEUE_PACKETS + PIPELINE_PACKETS:
            self.overflows += 1
            return
        self._note_gap(now_s)
        self._empty_at_s = max(self._empty_at_s, now_s) + self.frame_ms / 1000
        self.max_outstanding = max(self.max_outstanding, self.outstanding(now_s))
        if self.first_sound_at_s is None and not is_silent(packet):
            self.first_sound_at_s = now_s
        self.packets.append(packet)
        self.arrivals_s.append(now_s)

    def flush(self, now_s: float) -> None:
        """Forget what is queued, as a manual start or a realtime interruption does."""
        self._empty_at_s = min(self._empty_at_s, now_s)

    def _note_gap(self, now_s: float) -> None:
        """Before the first sound there is nothing that a gap could tear."""
        gap_s = now_s - self._empty_at_s
        if self.first_sound_at_s is not None and gap_s > _ON_TIME_S:
            self.underruns += 1
            self.underrun_ms += gap_s * 1000
