"""The blocking half of hearing: packets to sound, sound to windows, windows to scores, many streams in one call.

It runs in the executor. A stream is used by one call at a time; the listener sees to that.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..audio.opus import OpusDecoder, packet_samples
from ..providers.vad.base import Vad, VadState

Samples = NDArray[np.int16]

_FULL_SCALE = np.float32(1 / 32768)
# After so much digital silence (DTX) the detector starts afresh with the next sound, as after a pause of the stream.
_FORGET_AFTER_SILENT_WINDOWS = 8


class SoundStream:
    """One stream of packets: its decoder, the sound that does not fill a window yet, its detector's state."""

    __slots__ = ("_decoder", "_silent_windows", "rest", "vad_state")

    def __init__(self) -> None:
        self._decoder: OpusDecoder | None = None
        self._silent_windows = 0
        self.rest: Samples = np.zeros(0, np.int16)
        self.vad_state: VadState | None = None

    def decode(self, packets: Sequence[bytes]) -> tuple[Samples, int]:
        """The sound of the packets and how many of them were corrupt: these leave silence, so that time goes on."""
        if self._decoder is None:
            self._decoder = OpusDecoder()
        parts: list[Samples] = []
        corrupt = 0
        for packet in packets:
            sound = self._decoder.decode(packet)
            if sound is None:
                corrupt += 1
                sound = np.zeros(packet_samples(packet) or 0, np.int16)
            parts.append(sound)
        return (parts[0] if len(parts) == 1 else np.concatenate(parts)), corrupt

    def cut(self, sound: Samples, window_samples: int) -> list[Samples]:
        """Whole windows; what is left over begins the next ones."""
        if self.rest.size:
            sound = np.concatenate((self.rest, sound))
        whole = sound.size - sound.size % window_samples
        self.rest = sound[whole:]
        return [sound[start : start + window_samples] for start in range(0, whole, window_samples)]

    def needs_score(self, window: Samples, vad: Vad) -> bool:
        """Digital silence is no speech: that much needs no model, and most of a quiet device's stream is that."""
        if window.any():
            self._silent_windows = 0
            if self.vad_state is None:
                self.vad_state = vad.new_state()
            return True
        self._silent_windows += 1
        if self._silent_windows >= _FORGET_AFTER_SILENT_WINDOWS:
            self.vad_state = None
        return False


@dataclass(frozen=True, slots=True)
class StreamJob:
    stream: SoundStream
    packets: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Heard:
    """What one job gave: the sound in pieces and, where it was asked for, the speech score of each piece."""

    pieces: Sequence[Samples]
    scores: Sequence[float]
    corrupt: int


def decode_all(jobs: Sequence[StreamJob]) -> list[Heard]:
    heard = []
    for job in jobs:
        sound, corrupt = job.stream.decode(job.packets)
        heard.append(Heard([sound], (), corrupt))
    return heard


def decode_and_score(vad: Vad, jobs: Sequence[StreamJob]) -> list[Heard]:
    windows: list[list[Samples]] = []
    corrupt: list[int] = []
    for job in jobs:
        sound, bad = job.stream.decode(job.packets)
        windows.append(job.stream.cut(sound, vad.window_samples))
        corrupt.append(bad)
    scores = _score_all(vad, [job.stream for job in jobs], windows)
    return [Heard(*parts) for parts in zip(windows, scores, corrupt, strict=True)]


def _score_all(vad: Vad, streams: Sequence[SoundStream], windows: Sequence[Sequence[Samples]]) -> list[list[float]]:
    """Round by round, one window of every stream at a time: a stream's second window needs the state of its first."""
    scores = [[0.0] * len(cuts) for cuts in windows]
    for turn in range(max(map(len, windows), default=0)):
        rows: list[int] = []
        states: list[VadState] = []
        for row, cuts in enumerate(windows):
            if turn < len(cuts) and streams[row].needs_score(cuts[turn], vad):
                state = streams[row].vad_state
                assert state is not None
                rows.append(row)
                states.append(state)
        sounds = [windows[row][turn] * _FULL_SCALE for row in rows]
        for row, score in zip(rows, vad.score(sounds, states) if rows else (), strict=True):
            scores[row][turn] = score
    return scores
