"""What turns texts into vectors: the port. A real embedder lies beside it; this file knows no model."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]


class Embedder(Protocol):
    """Texts in, one unit vector each out. One instance serves everybody.

    `multilingual` says whether vectors mean anything outside English: where they do not, words decide.
    """

    name: str
    dimensions: int
    multilingual: bool

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """One row for each text, in order, each of length one."""
        ...

    async def close(self) -> None: ...
