"""Cuts a stream of scored windows into utterances. Pure: fed with sound and scores, it knows no clock and no device."""

from collections import deque

import numpy as np
from numpy.typing import NDArray

from .events import SAMPLE_RATE, EndReason, HearingEvent, SpeechStarted, UtteranceEnded
from .options import HearingOptions

Samples = NDArray[np.int16]


def duration_ms(samples: int) -> int:
    return samples * 1000 // SAMPLE_RATE


def utterance(parts: list[Samples], voiced_ms: int | None, reason: EndReason) -> UtteranceEnded:
    sound = np.concatenate(parts)
    return UtteranceEnded(sound.tobytes(), SAMPLE_RATE, duration_ms(sound.size), voiced_ms, reason)


class Segmenter:
    """Opens at a voiced window, speaks of it once it is no click, closes after silence. Nothing is lost in between:
    what follows a closed utterance is the pre-roll of the next one."""

    def __init__(self, options: HearingOptions, window_samples: int) -> None:
        self._options = options
        window_ms = window_samples * 1000 / SAMPLE_RATE
        self._window_ms = window_ms
        self._patience = _windows_in(options.patience_ms, window_ms)
        self._min_voiced = _windows_in(options.min_voiced_ms, window_ms)
        self._cap = _windows_in(options.auto_cap_s * 1000, window_ms)
        self._pre_roll: deque[Samples] = deque(maxlen=_windows_in(options.pre_roll_ms, window_ms))
        self._spoken: list[Samples] = []
        self._voiced = 0
        self._silent = 0
        self._announced = False

    @property
    def speaking(self) -> bool:
        """An utterance is open, if only a candidate so far."""
        return bool(self._spoken)

    @property
    def announced(self) -> bool:
        """It is more than a click."""
        return self._announced

    @property
    def patience_left_ms(self) -> float:
        """How much more silence would end what is open."""
        return self._options.patience_ms - self._silent * self._window_ms

    def push(self, window: Samples, score: float) -> HearingEvent | None:
        if not self._spoken:
            self._pre_roll.append(window)
            if score < self._options.threshold:
                return None
            self._spoken = list(self._pre_roll)
            self._pre_roll.clear()
        else:
            self._spoken.append(window)
        return self._judge(score)

    def flush(self, reason: EndReason, rest: Samples | None = None) -> UtteranceEnded | None:
        """End what is open; `rest` is sound too short to be a window. A candidate is dropped."""
        if self._announced and rest is not None:
            self._spoken.append(rest)
        ended = self._close(reason)
        self._pre_roll.clear()
        return ended

    def _judge(self, score: float) -> HearingEvent | None:
        if score >= self._options.threshold_low:
            self._voiced += 1
            self._silent = 0
        else:
            self._silent += 1
        if not self._announced and self._voiced >= self._min_voiced:
            self._announced = True
            return SpeechStarted()
        if self._silent >= self._patience:
            return self._close("silence")
        return self._close("cap") if len(self._spoken) >= self._cap else None

    def _close(self, reason: EndReason) -> UtteranceEnded | None:
        ended = None
        if self._announced:
            ended = utterance(self._spoken, round(self._voiced * self._window_ms), reason)
        else:
            self._pre_roll.extend(self._spoken)
        self._forget()
        return ended

    def _forget(self) -> None:
        self._spoken = []
        self._voiced = 0
        self._silent = 0
        self._announced = False


def _windows_in(time_ms: float, window_ms: float) -> int:
    """Windows that cover the time."""
    return max(1, -int(-time_ms // window_ms))
