"""mem0's own embedders behind our port: they block, so each call runs in the executor that they are given."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Any

import numpy as np

from .embed import Vectors
from .embed_openai import EmbedderError


class Mem0Embedder:
    """`embedding_model` is an object of mem0's: `.embed(text, action)`, and `.embed_batch` in newer versions."""

    multilingual = True

    def __init__(self, embedding_model: Any, executor: Executor, *, name: str, dimensions: int) -> None:
        self.name = name
        self.dimensions = dimensions
        self._model = embedding_model
        self._executor = executor

    async def embed(self, texts: Sequence[str]) -> Vectors:
        if not texts:
            return np.zeros((0, self.dimensions), np.float32)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, self.embed_now, tuple(texts))

    async def close(self) -> None:
        """mem0's embedders cannot be closed."""

    def embed_now(self, texts: Sequence[str]) -> Vectors:
        try:
            given = self._asked(texts)
            vectors = np.array([[float(number) for number in row] for row in given], np.float32)
        except Exception as error:  # noqa: BLE001 - a provider call: what it says may quote a text or a key
            raise EmbedderError(f"the embedder {self.name} failed ({type(error).__name__})") from None
        if vectors.shape != (len(texts), self.dimensions) or not np.isfinite(vectors).all():
            raise EmbedderError(f"the embedder {self.name} did not answer with {self.dimensions} numbers for each text")
        normal: Vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.float32(1e-9))
        return normal

    def _asked(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        if hasattr(self._model, "embed_batch"):
            found: Sequence[Sequence[float]] = self._model.embed_batch(list(texts), "add")
            return found
        return [self._model.embed(text, "add") for text in texts]
