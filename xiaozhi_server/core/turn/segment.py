"""One piece of an answer on its way to the device, and how much of it was heard. Knows no provider and no socket."""

from dataclasses import dataclass, field
from typing import Final

from .sentences import FIRST_WIDE, weight

# Roughly how long speech takes by weight, for a piece whose sound is not complete yet: 15 letters a second.
FRAMES_PER_WEIGHT: Final = 1.1


@dataclass(slots=True, eq=False)
class Segment:
    """`is_own` marks the server's phrases: they are no part of the dialogue."""

    text: str
    is_own: bool
    first_audio_timeout_s: float
    waiting: list[bytes] = field(default_factory=list)
    made_frames: int = 0
    is_started: bool = False
    is_complete: bool = False
    is_queued: bool = False
    is_shown: bool = False
    has_failed: bool = False
    first_frame: int | None = None
    end_frame: int | None = None

    def heard(self, played_frames: int) -> str:
        """What the device has played of it; a text without sound was read from the screen."""
        if self.first_frame is None:
            return ""
        if self.end_frame is not None and played_frames >= self.end_frame:
            return self.text
        total = self.made_frames if self.is_complete else max(self.made_frames, self._estimated_frames())
        return cut_at_word(self.text, (played_frames - self.first_frame) / max(total, 1))

    def _estimated_frames(self) -> float:
        return weight(self.text) * FRAMES_PER_WEIGHT


def cut_at_word(text: str, fraction: float) -> str:
    """The first part of a text, without half a word at its end."""
    length = int(len(text) * max(0.0, fraction))
    if length >= len(text):
        return text
    part = text[:length]
    if _in_word(text, length):
        part = part[: max((index for index, c in enumerate(part) if c.isspace() or c >= FIRST_WIDE), default=-1) + 1]
    return part.rstrip()


def _in_word(text: str, at: int) -> bool:
    return at > 0 and all(c.isalnum() and c < FIRST_WIDE for c in text[at - 1 : at + 1])
