"""The port to voice activity detection: many devices' windows scored in one call, off the event loop."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class VadState(Protocol):
    """What the detector remembers of one stream: opaque to callers, a few kilobytes, dropped with the stream."""


class Vad(Protocol):
    """One instance serves all devices. `score` blocks and runs in an executor, never two calls at a time."""

    @property
    def sample_rate(self) -> int: ...

    @property
    def window_samples(self) -> int: ...

    def new_state(self) -> VadState: ...

    def score(self, windows: Sequence[NDArray[np.float32]], states: Sequence[VadState]) -> list[float]:
        """Speech probability per window; each state advances. One state may not appear twice in a call."""
        ...

    async def probe(self) -> str: ...

    async def close(self) -> None: ...
