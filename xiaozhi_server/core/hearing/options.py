"""How patient and how sharp hearing is. `app.py` maps the settings onto this."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HearingOptions:
    threshold: float = 0.5  # a window at or above it opens an utterance
    threshold_low: float = 0.35  # inside an utterance a window below it is silence
    patience_ms: int = 240  # this much silence ends an utterance
    min_voiced_ms: int = 90  # less voice than this was a click
    pre_roll_ms: int = 320  # sound kept from before the first voiced window
    gap_ms: int = 800  # an utterance ends when no packet has come for so long
    auto_cap_s: float = 30.0
    manual_cap_s: float = 60.0
    min_manual_ms: int = 200  # a shorter recording was a slip of the finger
    queue_ms: int = 4000  # sound waiting to be decoded; beyond it the oldest goes
    max_packet_bytes: int = 4096
    burst_ms: int = 300  # sound further ahead of real time than this may be a wake burst …
    burst_hold_ms: int = 150  # … and waits so long for the `detect` that would discard it
    handful_ms: int = 180  # sound is worked on in handfuls wherever nobody waits for what is in it
