"""An embedder without a model, for tests of whoever uses this package: like words, like vectors."""

from collections.abc import Sequence

import numpy as np

from .embedding.embed import Vectors
from .recall.words import tokens_of


class WordEmbedder:
    """Each word has a direction of its own; a text points to the middle of its words."""

    name = "words"
    dimensions = 64
    multilingual = True

    async def embed(self, texts: Sequence[str]) -> Vectors:
        return np.stack([self._vector(text) for text in texts])

    async def close(self) -> None:
        """Nothing is open."""

    def _vector(self, text: str) -> Vectors:
        total = np.full(self.dimensions, 1e-3, np.float32)
        for token in tokens_of(text):
            total += np.random.default_rng(token & 0xFFFFFFFF).standard_normal(self.dimensions).astype(np.float32)
        return total / np.linalg.norm(total)
