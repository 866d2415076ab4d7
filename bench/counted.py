"""Counts what memory asks of others: texts that are embedded, calls of a language model, exchanges that are saved."""

from collections.abc import Sequence

from xiaozhi_server.core.providers.memory.mem0ai import Embedder
from xiaozhi_server.core.providers.memory.mem0ai.embedding.embed import Vectors
from xiaozhi_server.core.providers.memory.mem0ai.observe import NoObserver


class Counts(NoObserver):
    """An observer, and a language model that is called by nobody but the compressing at night."""

    def __init__(self) -> None:
        self.exchanges = 0
        self.model_calls = 0

    def saved(self, count: int) -> None:
        self.exchanges += count

    def model_called(self, tokens: int) -> None:
        self.model_calls += 1

    async def answer(self, messages: list[dict[str, str]]) -> str:
        self.model_calls += 1
        return ""


class CountedEmbedder:
    """The same embedder, and the texts of each of its calls."""

    def __init__(self, embedder: Embedder) -> None:
        self.name = embedder.name
        self.dimensions = embedder.dimensions
        self.multilingual = embedder.multilingual
        self.batches: list[frozenset[str]] = []
        self._embedder = embedder

    async def embed(self, texts: Sequence[str]) -> Vectors:
        self.batches.append(frozenset(texts))
        return await self._embedder.embed(texts)

    async def close(self) -> None:
        await self._embedder.close()

    def batches_with(self, texts: frozenset[str]) -> int:
        """How many calls had one of these texts."""
        return sum(not batch.isdisjoint(texts) for batch in self.batches)
