"""When packets came: how long it has been quiet, and whether sound comes faster than anybody can speak."""

from .events import SAMPLE_RATE
from .options import HearingOptions


class Arrivals:
    """A device sends in real time, except after a wake word, when it sends the last two seconds in one go, and after
    a hole in its network. How far the sound is ahead of the clock tells a burst from live speech."""

    def __init__(self, options: HearingOptions) -> None:
        self._burst_s = options.burst_ms / 1000
        self._gap_s = options.gap_ms / 1000
        self.reset()

    def reset(self) -> None:
        self._last_at: float | None = None
        self._ahead_s = 0.0
        self._in_burst = False

    def note(self, now: float, samples: int) -> bool:
        """A packet came; True: with this one a burst began."""
        quiet_s = self.quiet_s(now)
        # After a short hole the sound that was held up is late, not early; after a long one it is a new story.
        self._ahead_s = max(-self._gap_s, self._ahead_s - quiet_s) if quiet_s < self._gap_s else 0.0
        self._last_at = now
        self._ahead_s += samples / SAMPLE_RATE
        begins = not self._in_burst and self._ahead_s > self._burst_s
        self._in_burst = self._in_burst or begins
        return begins

    def release(self) -> None:
        """The burst turned out to be live sound that was late: start counting anew."""
        self._in_burst = False
        self._ahead_s = 0.0

    def quiet_s(self, now: float) -> float:
        return 0.0 if self._last_at is None else now - self._last_at
