"""A stand-in for a multilingual embedder: it knows what a short list of Chinese household words has in common.

The list was written by the people who wrote the questions. So a figure with it says that words and meaning are mixed
well, and nothing about how good a real embedder is; for that, measure with one (`--embeddings`).
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from xiaozhi_server.core.providers.memory.mem0ai.embedding.embed import Vectors
from xiaozhi_server.core.providers.memory.mem0ai.recall.folding import folded
from xiaozhi_server.core.providers.memory.mem0ai.recall.words import token_of, words_of

CONCEPTS = Path(__file__).parent / "concepts_zh.json"
_WORD_SHARE = 0.15  # the rest of the text counts a little too


class ConceptEmbedder:
    """Each concept has a direction of its own; a text points to the middle of its concepts."""

    name = "concepts"
    dimensions = 256
    multilingual = True

    def __init__(self) -> None:
        concepts: dict[str, str] = json.loads(CONCEPTS.read_text("utf-8"))
        self._words = {concept: words.split() for concept, words in concepts.items()}

    async def embed(self, texts: Sequence[str]) -> Vectors:
        return np.stack([self._vector(folded(text)) for text in texts])

    async def close(self) -> None:
        """Nothing is open."""

    def _vector(self, text: str) -> Vectors:
        found = [concept for concept, words in self._words.items() if any(word in text for word in words)]
        total = np.full(self.dimensions, 1e-3, np.float32)
        for concept in found:
            total += self._direction(concept)
        for word in set(words_of(text)):
            total += _WORD_SHARE * self._direction(word)
        return total / np.linalg.norm(total)

    def _direction(self, name: str) -> Vectors:
        drawn = np.random.default_rng(token_of(name) & 0xFFFFFFFF).standard_normal(self.dimensions)
        return (drawn / np.linalg.norm(drawn)).astype(np.float32)


class NoMeaning:
    """No vector says anything: what is found is found by its words."""

    name = "no meaning"
    dimensions = 8
    multilingual = False

    async def embed(self, texts: Sequence[str]) -> Vectors:
        return np.zeros((len(texts), self.dimensions), np.float32)

    async def close(self) -> None:
        """Nothing is open."""
