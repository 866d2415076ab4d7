"""How near an embedder puts texts that have nothing to do with each other. Only what is above says anything.

Some embedders spread texts over the whole sphere, others keep them all within a narrow cone (a cosine of 0.7 and more
for anything). Measured once for an embedder, so that a score means the same with each of them.
"""

import numpy as np
import numpy.typing as npt

_ENGLISH = (
    "The weather is fine today.",
    "The train leaves at nine.",
    "I like to eat apples.",
    "Our dog sleeps on the sofa.",
    "The computer must be repaired.",
    "The meeting was cancelled.",
)
_OTHERS = (
    "今天天气很好。",
    "电脑坏了，需要修理。",
    "他去年搬家了。",
    "Ma sœur joue du violon.",
    "Mañana vamos al mercado.",
)
_HIGHEST = 0.9  # beyond it nothing would be left to tell texts apart


def unrelated_texts(*, multilingual: bool) -> tuple[str, ...]:
    return _ENGLISH + _OTHERS if multilingual else _ENGLISH


def floor_of(vectors: npt.NDArray[np.float32]) -> float:
    """From the vectors of the unrelated texts: the mean cosine of all pairs."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    units = vectors / np.where(lengths > 0, lengths, 1.0)
    pairs = np.triu_indices(len(units), 1)
    return float(np.clip((units @ units.T)[pairs].mean(), 0.0, _HIGHEST))
