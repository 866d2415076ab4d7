"""What becomes of heard sound: cut by voice activity, or kept whole between two presses of a button. No clock here."""

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .events import EndReason, HearingEvent, NothingHeard, UtteranceEnded
from .options import HearingOptions
from .segmenter import Segmenter, duration_ms, utterance
from .stream import Heard

Samples = NDArray[np.int16]

# The last of the patience is waited for by the clock: the packet that would prove it takes so long to come.
LAST_STRETCH_MS = 60
_WINDOW_MS = 32  # so much may be left over in the stream from the packets before


class Recording(Protocol):
    @property
    def speaking(self) -> bool:
        """An utterance is open that must not wait for ever for its end."""
        ...

    @property
    def is_full(self) -> bool: ...

    @property
    def duration_ms(self) -> int: ...

    @property
    def patience_left_ms(self) -> float | None:
        """How much more silence would end the open utterance; None: there is none that silence would end."""
        ...

    def is_due(self, queued_ms: int) -> bool:
        """Whether so much waiting sound should be worked on now. Few big jobs cost a third of many small ones."""
        ...

    def add(self, heard: Heard) -> Iterator[HearingEvent]: ...

    def end(self, reason: EndReason, rest: Samples) -> UtteranceEnded | NothingHeard: ...


class VoicedRecording:
    """Auto and realtime: the segmenter finds the utterances, one after the other."""

    is_full = False  # the segmenter caps each utterance itself

    def __init__(self, options: HearingOptions, window_samples: int, *, eager: bool) -> None:
        """Eager: the beginning of speech must be told at once, since it interrupts the server."""
        self._options = options
        self._eager = eager
        self._segmenter = Segmenter(options, window_samples)
        self._samples = 0

    @property
    def speaking(self) -> bool:
        return self._segmenter.speaking

    @property
    def duration_ms(self) -> int:
        return duration_ms(self._samples)

    @property
    def patience_left_ms(self) -> float | None:
        return self._segmenter.patience_left_ms if self._segmenter.announced else None

    def is_due(self, queued_ms: int) -> bool:
        if self._eager and not self._segmenter.announced:
            return True
        # Silence that would not yet end the utterance can wait; the window that might end it cannot.
        worth_a_look_ms = self._segmenter.patience_left_ms - _WINDOW_MS - LAST_STRETCH_MS
        return queued_ms >= min(self._options.handful_ms, worth_a_look_ms)

    def add(self, heard: Heard) -> Iterator[HearingEvent]:
        for window, score in zip(heard.pieces, heard.scores, strict=True):
            self._samples += window.size
            event = self._segmenter.push(window, score)
            if event is not None:
                yield event

    def end(self, reason: EndReason, rest: Samples) -> UtteranceEnded | NothingHeard:
        return self._segmenter.flush(reason, rest) or NothingHeard(reason)


class WholeRecording:
    """Manual: everything from start to stop, as it is. The device's button gives the gap and the end."""

    speaking = False
    patience_left_ms = None

    def __init__(self, options: HearingOptions) -> None:
        self._options = options
        self._pieces: list[Samples] = []
        self._samples = 0

    @property
    def duration_ms(self) -> int:
        return duration_ms(self._samples)

    @property
    def is_full(self) -> bool:
        return self.duration_ms >= self._options.manual_cap_s * 1000

    def is_due(self, queued_ms: int) -> bool:
        return queued_ms >= 2 * self._options.handful_ms  # nobody waits for any of it before the stop

    def add(self, heard: Heard) -> Iterator[HearingEvent]:
        self._pieces += heard.pieces
        self._samples += sum(piece.size for piece in heard.pieces)
        return iter(())

    def end(self, reason: EndReason, rest: Samples) -> UtteranceEnded | NothingHeard:
        too_short = self.duration_ms < self._options.min_manual_ms
        if too_short or not any(piece.any() for piece in self._pieces):
            return NothingHeard(reason)
        return utterance(self._pieces, None, reason)
