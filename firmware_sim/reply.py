"""What the device heard and showed for one turn: collected while it comes in, frozen when it is over."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from firmware_sim.opus import decode_speech
from firmware_sim.playback import Playback

_DECODER_RATES = (8_000, 12_000, 16_000, 24_000, 48_000)
_DECODER_FRAMES_MS = (5, 10, 20, 40, 60, 80, 100, 120)


def can_decode(sample_rate: int, frame_ms: float) -> bool:
    """Whether the device has a decoder for what the server's hello announced."""
    return sample_rate in _DECODER_RATES and frame_ms in _DECODER_FRAMES_MS


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds since the question was over: its last voiced packet, `listen stop`, or the typed text."""

    stt_s: float | None = None
    start_s: float | None = None
    first_audio_s: float | None = None
    first_sound_s: float | None = None
    last_audio_s: float | None = None
    stop_s: float | None = None


@dataclass(frozen=True)
class Reply:
    """One answer of the server, from the device's side."""

    stt: str | None
    sentences: tuple[str, ...]
    emotion: str | None
    alerts: tuple[str, ...]
    packets: tuple[bytes, ...] = field(repr=False)
    arrivals_s: tuple[float, ...] = field(repr=False)
    sample_rate: int
    frame_ms: float
    underruns: int
    underrun_ms: float
    overflows: int
    dropped: int
    unplayable: int
    max_outstanding: int
    finished: bool
    aborted: bool
    timings: Timings

    @property
    def text(self) -> str:
        return " ".join(self.sentences)

    @property
    def frames(self) -> int:
        """How many packets were played."""
        return len(self.packets)

    @property
    def duration_s(self) -> float:
        return self.frames * self.frame_ms / 1000

    @property
    def pcm(self) -> bytes:
        """The sound as s16le mono at `sample_rate`; decoded when it is first asked for."""
        return self._decoded[0]

    @property
    def decode_errors(self) -> int:
        return self._decoded[1]

    @cached_property
    def _decoded(self) -> tuple[bytes, int]:
        if not can_decode(self.sample_rate, self.frame_ms):
            return b"", len(self.packets)
        return decode_speech(self.packets, self.sample_rate)

    def report(self) -> dict[str, Any]:
        """The figures for people and for JSON; the sound itself stays out."""
        names = ("underruns", "underrun_ms", "overflows", "dropped", "unplayable", "max_outstanding")
        figures: Mapping[str, Any] = {name: getattr(self, name) for name in names}
        times = {name: _milliseconds(getattr(self.timings, name)) for name in Timings.__slots__}
        return {
            "stt": self.stt,
            "text": self.text,
            "emotion": self.emotion,
            "alerts": list(self.alerts),
            "frames": self.frames,
            "duration_ms": round(self.duration_s * 1000),
            **figures,
            "finished": self.finished,
            "aborted": self.aborted,
            "timings_ms": {name.removesuffix("_s"): value for name, value in times.items()},
        }


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)


@dataclass(slots=True)
class ReplyRecorder:
    """A reply while it comes in."""

    sample_rate: int
    frame_ms: float
    asked_at_s: float
    playback: Playback = field(init=False)
    stt: str | None = None
    sentences: list[str] = field(default_factory=list)
    emotion: str | None = None
    alerts: list[str] = field(default_factory=list)
    dropped: int = 0
    unplayable: int = 0
    aborted: bool = False
    stt_at_s: float | None = None
    start_at_s: float | None = None
    stop_at_s: float | None = None

    def __post_init__(self) -> None:
        self.playback = Playback(self.frame_ms)

    def heard(self, text: str, now_s: float) -> None:
        self.stt, self.stt_at_s = text, now_s

    def start(self, sample_rate: int, frame_ms: float, now_s: float) -> None:
        self.sample_rate, self.frame_ms, self.start_at_s = sample_rate, frame_ms, now_s
        self.playback = Playback(frame_ms)

    def snapshot(self) -> Reply:
        playback = self.playback
        return Reply(
            stt=self.stt,
            sentences=tuple(self.sentences),
            emotion=self.emotion,
            alerts=tuple(self.alerts),
            packets=tuple(playback.packets),
            arrivals_s=tuple(playback.arrivals_s),
            sample_rate=self.sample_rate,
            frame_ms=self.frame_ms,
            underruns=playback.underruns,
            underrun_ms=playback.underrun_ms,
            overflows=playback.overflows,
            dropped=self.dropped,
            unplayable=self.unplayable,
            max_outstanding=playback.max_outstanding,
            finished=self.stop_at_s is not None,
            aborted=self.aborted,
            timings=self._timings(),
        )

    def _timings(self) -> Timings:
        arrivals = self.playback.arrivals_s
        return Timings(
            stt_s=self._since(self.stt_at_s),
            start_s=self._since(self.start_at_s),
            first_audio_s=self._since(arrivals[0] if arrivals else None),
            first_sound_s=self._since(self.playback.first_sound_at_s),
            last_audio_s=self._since(arrivals[-1] if arrivals else None),
            stop_s=self._since(self.stop_at_s),
        )

    def _since(self, at_s: float | None) -> float | None:
        return None if at_s is None else at_s - self.asked_at_s
