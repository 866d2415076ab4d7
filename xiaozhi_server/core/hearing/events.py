"""What hearing tells its connection. Plain values: they know nothing of packets, scores or timers."""

from dataclasses import dataclass
from typing import Literal

ListenMode = Literal["auto", "manual", "realtime"]
EndReason = Literal["silence", "stop", "cap", "gap", "empty_frame"]

SAMPLE_RATE = 16_000


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """Somebody has begun to speak and it is more than a click. Never sent in manual mode."""


@dataclass(frozen=True, slots=True)
class UtteranceEnded:
    """One utterance, signed 16-bit little-endian mono, with the sound just before its first voiced window."""

    pcm: bytes
    sample_rate: int
    duration_ms: int
    voiced_ms: int | None  # None in manual mode, where nothing is measured
    reason: EndReason


@dataclass(frozen=True, slots=True)
class NothingHeard:
    """The person ended a recording that holds nothing worth recognising."""

    reason: EndReason


HearingEvent = SpeechStarted | UtteranceEnded | NothingHeard
