"""A recogniser with a closed vocabulary that really listens: sound is aligned with the sound of each known phrase.

What the alignment finds missing is missing in the text, so lost sound shows. It knows sound and text, nothing of HTTP.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from firmware_sim.opus import decode_speech, encode_speech
from firmware_sim.speech import speak

RATE = 16_000
_HOP_MS = 10
_HOP = RATE * _HOP_MS // 1000
_WINDOW = 1024
_BANDS = 24
_FLOOR = 3.5  # decades below the loudest moment that still count
_SILENCE = 2.0  # decades of energy below the loudest moment that are the end of speech
_SKIP_COST = 0.25
_LOST_FRAMES = 10
_LENGTH_REACH_FRAMES = 60
_COARSE_STEP = 2
_SHORT_LIST = 4
_HEARD_SHARE = 0.65
_WORD = re.compile(r"[\u3400-\u9fff]|[^\s\u3400-\u9fff]+\s*")

Matrix = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Phrase:
    text: str
    features: Matrix


@dataclass(frozen=True, slots=True)
class _Alignment:
    """Which frames of the phrase were heard."""

    phrase: _Phrase
    heard: NDArray[np.bool_]


class Recogniser:
    """Learns phrases and tells which one it hears, and how much of it."""

    def __init__(self, phrases: Iterable[str] = ()) -> None:
        self._phrases: dict[str, tuple[_Phrase, ...]] = {}
        self.learn(*phrases)

    @property
    def known(self) -> Collection[str]:
        return self._phrases.keys()

    def learn(self, *phrases: str) -> None:
        for text in phrases:
            if text not in self._phrases:
                self._phrases[text] = _render(text)

    def transcribe(self, pcm: bytes) -> str:
        """What s16le mono sound at 16 kHz says; empty when it is no known phrase."""
        sound = _trim(_features(pcm))
        candidates = [
            phrase
            for renderings in self._phrases.values()
            for phrase in renderings
            if abs(len(phrase.features) - len(sound)) <= _LENGTH_REACH_FRAMES
        ]
        if not len(sound) or not candidates:
            return ""
        alignment = _best(sound, candidates)
        if alignment.heard.mean() < _HEARD_SHARE:
            return ""
        return _spell(alignment)


@lru_cache(maxsize=1024)
def _render(text: str) -> tuple[_Phrase, ...]:
    """How the phrase sounds, as it is and through the codec, which is the way a device's voice comes."""
    clean = speak(text, sample_rate=RATE)
    coded, _ = decode_speech(encode_speech(clean, sample_rate=RATE), RATE)
    return tuple(_Phrase(text, _trim(_features(pcm))) for pcm in (clean, coded))


def _features(pcm: bytes) -> Matrix:
    """Log energies in mel bands, relative to the loudest one."""
    samples = np.frombuffer(pcm, np.int16).astype(np.float32)
    count = (len(samples) - _WINDOW) // _HOP + 1
    if count <= 0 or not samples.any():
        return np.zeros((0, _BANDS), np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(samples, _WINDOW)[::_HOP][:count]
    power = np.abs(np.fft.rfft(windows * np.hanning(_WINDOW), axis=1)) ** 2
    bands: Matrix = np.log10(power @ _MEL + 1.0).astype(np.float32)
    relative: Matrix = np.maximum(bands - bands.max(), np.float32(-_FLOOR))
    return relative


def _mel_bank() -> Matrix:
    """Triangles of equal width on the mel scale, from 100 Hz to 7 kHz."""
    mel = np.linspace(2595 * np.log10(1 + 100 / 700), 2595 * np.log10(1 + 7000 / 700), _BANDS + 2)
    edges = 700 * (10 ** (mel / 2595) - 1)
    bins = np.fft.rfftfreq(_WINDOW, 1 / RATE)[:, np.newaxis]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    return np.maximum(0, np.minimum(rising, falling)).astype(np.float32)


_MEL = _mel_bank()


def _trim(features: Matrix) -> Matrix:
    """Without the silence before and after."""
    if not len(features):
        return features
    loud = np.nonzero(features.max(axis=1) > -_SILENCE)[0]
    return features[loud[0] : loud[-1] + 1] if len(loud) else features[:0]


def _best(sound: Matrix, phrases: list[_Phrase]) -> _Alignment:
    """All are compared coarsely, and the most likely ones in full."""
    coarse = [_Phrase(phrase.text, phrase.features[::_COARSE_STEP]) for phrase in phrases]
    order = np.argsort(_scores(_accumulate(_distances(sound[::_COARSE_STEP], coarse)), coarse))
    likely = [phrases[index] for index in order[:_SHORT_LIST]]
    costs = _distances(sound, likely)
    totals = _accumulate(costs)
    best = int(np.argmin(_scores(totals, likely)))
    return _Alignment(likely[best], _trace(totals[best], costs[best], len(likely[best].features)))


def _scores(totals: Matrix, phrases: list[_Phrase]) -> list[float]:
    """What each phrase costs as a whole, for each frame of it and of the sound."""
    frames = totals.shape[1] - 1
    lengths = [len(phrase.features) for phrase in phrases]
    return [float(totals[index, frames, size]) / (size + frames) for index, size in enumerate(lengths)]


def _distances(sound: Matrix, phrases: list[_Phrase]) -> Matrix:
    """How far each frame of the sound is from each frame of each phrase, the shorter ones padded."""
    longest = max(len(phrase.features) for phrase in phrases)
    table = np.zeros((len(phrases), longest, _BANDS), np.float32)
    for index, phrase in enumerate(phrases):
        table[index, : len(phrase.features)] = phrase.features
    squares = (sound**2).sum(1)[np.newaxis, :, np.newaxis] + (table**2).sum(2)[:, np.newaxis, :]
    products = np.einsum("sb,pfb->psf", sound, table, optimize=True)
    distances: Matrix = np.sqrt(np.maximum(squares - 2 * products, 0) / _BANDS)
    return distances


def _accumulate(costs: Matrix) -> Matrix:
    """Cheapest alignments of all beginnings: two frames matched, or one of either side skipped."""
    count, sound_frames, phrase_frames = costs.shape
    skips = _SKIP_COST * np.arange(phrase_frames + 1, dtype=np.float32)
    totals = np.empty((count, sound_frames + 1, phrase_frames + 1), np.float32)
    totals[:, 0] = skips
    for row in range(1, sound_frames + 1):
        above = totals[:, row - 1]
        here = totals[:, row]
        here[:] = above + _SKIP_COST
        np.minimum(here[:, 1:], above[:, :-1] + costs[:, row - 1], out=here[:, 1:])
        # Skipping frames of the phrase costs the same for each: a running minimum does all of them at once.
        here[:] = np.minimum.accumulate(here - skips, axis=1) + skips
    return totals


def _trace(totals: Matrix, costs: Matrix, phrase_frames: int) -> NDArray[np.bool_]:
    heard = np.zeros(phrase_frames, np.bool_)
    row, column = len(totals) - 1, phrase_frames
    while row and column:
        here = totals[row, column]
        if np.isclose(here, totals[row - 1, column - 1] + costs[row - 1, column - 1], atol=1e-3):
            row, column = row - 1, column - 1
            heard[column] = True
        elif np.isclose(here, totals[row - 1, column] + _SKIP_COST, atol=1e-3):
            row -= 1
        else:
            column -= 1
    return heard


def _spell(alignment: _Alignment) -> str:
    """The phrase without the words whose sound was lost; a word lasts as long as its letters."""
    text, frames = alignment.phrase.text, len(alignment.heard)
    lost = _lost_frames(alignment.heard)
    if not lost.any():
        return text
    kept = []
    for word in _WORD.finditer(text):
        first, last = (round(place / len(text) * frames) for place in word.span())
        if not lost[first : max(last, first + 1)].any():
            kept.append(word.group())
    return "".join(kept).strip()


def _lost_frames(heard: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Runs of unheard frames that are too long to be a blurred edge."""
    lost = np.zeros_like(heard)
    start = 0
    for index in range(len(heard) + 1):
        if index == len(heard) or heard[index]:
            if index - start >= _LOST_FRAMES:
                lost[start:index] = True
            start = index + 1
    return lost
