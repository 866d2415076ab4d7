"""Silero's voice activity detector on onnxruntime, many streams in one call. The model file comes with its wheel."""

import asyncio
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from .base import VadState

_MODEL_FILE = "silero_vad_16k_op15.onnx"
_SAMPLE_RATE = 16_000
_WINDOW_SAMPLES = 512
_CONTEXT_SAMPLES = 64  # the model also wants the end of the window before
_HIDDEN_SIZE = 128


class SileroConfig(BaseModel):
    """The first four tune hearing, which reads them from here; what is not given keeps hearing's own default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    threshold: float | None = Field(default=None, gt=0, lt=1)
    threshold_low: float | None = Field(default=None, gt=0, lt=1)
    min_silence_duration_ms: int | None = Field(default=None, ge=100, le=5000)
    min_speech_duration_ms: int | None = Field(default=None, ge=30, le=2000)
    # The reference server's key. The model comes with the wheel, so the folder is not looked at.
    model_dir: str | None = None


class _SileroState:
    __slots__ = ("context", "hidden")

    def __init__(self) -> None:
        self.hidden: NDArray[np.float32] = np.zeros((2, _HIDDEN_SIZE), np.float32)
        self.context: NDArray[np.float32] = np.zeros(_CONTEXT_SAMPLES, np.float32)


class SileroVad:
    Config: ClassVar[type[BaseModel]] = SileroConfig

    def __init__(self, config: SileroConfig) -> None:
        self.config = config
        self._session = _open_session(_model_path())
        self._rate = np.array(_SAMPLE_RATE, np.int64)

    @property
    def sample_rate(self) -> int:
        return _SAMPLE_RATE

    @property
    def window_samples(self) -> int:
        return _WINDOW_SAMPLES

    def new_state(self) -> VadState:
        return _SileroState()

    def score(self, windows: Sequence[NDArray[np.float32]], states: Sequence[VadState]) -> list[float]:
        if not windows:
            return []
        streams = cast(Sequence[_SileroState], states)
        sound = np.empty((len(windows), _CONTEXT_SAMPLES + _WINDOW_SAMPLES), np.float32)
        hidden = np.empty((2, len(windows), _HIDDEN_SIZE), np.float32)
        for row, (window, stream) in enumerate(zip(windows, streams, strict=True)):
            sound[row, :_CONTEXT_SAMPLES] = stream.context
            sound[row, _CONTEXT_SAMPLES:] = window
            hidden[:, row] = stream.hidden
        scores, hidden = self._session.run(None, {"input": sound, "state": hidden, "sr": self._rate})
        for row, stream in enumerate(streams):
            # Copied in place: a view would keep the whole batch alive for as long as one stream lives.
            stream.hidden[:] = hidden[:, row]
            stream.context[:] = sound[row, -_CONTEXT_SAMPLES:]
        return [float(score) for score in scores[:, 0]]

    async def probe(self) -> str:
        silence = np.zeros(_WINDOW_SAMPLES, np.float32)
        score = (await asyncio.to_thread(self.score, [silence], [self.new_state()]))[0]
        return f"{_MODEL_FILE} scores silence {score:.3f}"

    async def close(self) -> None:
        """Nothing to do: the session goes with the object."""


def _model_path() -> Path:
    # Importing the package itself would pull in torch.
    spec = importlib.util.find_spec("silero_vad")
    if spec is None or not spec.submodule_search_locations:
        raise ImportError("the VAD model is missing: pip install --no-deps silero-vad")
    return Path(spec.submodule_search_locations[0]) / "data" / _MODEL_FILE


def _open_session(model: Path) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    # A spinning worker would burn the core that the event loop needs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
