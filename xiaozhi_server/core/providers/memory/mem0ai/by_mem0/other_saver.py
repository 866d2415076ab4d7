"""The saver in front of another store, which knows no transactions: a repeated batch replaces what it left there."""

from collections.abc import Sequence
from typing import Any

from psycopg import AsyncConnection

from ..embedding.embed import Embedder
from ..records import NewMemory, StoredMemory
from ..saving.outbox import Batch
from ..saving.saver import BatchPolicy
from ..saving.verbatim import rows_of
from ..scope import Scope
from .extract_by_mem0 import ExtractionOptions, Extractor, extracted, policy_of
from .other_store import OtherStore

_MOST_OF_A_BATCH = 1000


class OtherSaver:
    """Without an `extractor` texts are kept word for word."""

    def __init__(
        self, store: OtherStore, embedder: Embedder, extractor: Extractor | None, options: ExtractionOptions
    ) -> None:
        self.policy: BatchPolicy | None = None if extractor is None else policy_of(options)
        self._store = store
        self._embedder = embedder
        self._extractor = extractor
        self._attempts = options.attempts

    async def prepare(self, batches: Sequence[Batch]) -> list[list[NewMemory]]:
        if self._extractor is None:
            return [await self._word_for_word(batch) for batch in batches]
        return [await extracted(self._extractor, batch, self._attempts, self._word_for_word) for batch in batches]

    async def write(
        self, connection: AsyncConnection[Any], batches: Sequence[Batch], prepared: Sequence[list[NewMemory]]
    ) -> None:
        """While the outbox's rows are ours: whoever forgets the owner meanwhile waits, and then deletes these too."""
        for batch, rows in zip(batches, prepared, strict=True):
            if batch[0].attempts > 1:
                await self._clear(batch)
            await self._store.insert(rows, batch[0].key)

    def written(self, batches: Sequence[Batch]) -> None:
        """Nothing is kept in memory of what the store has."""

    async def found_by(self, rows: Sequence[StoredMemory]) -> list[NewMemory]:
        """The rows with their vectors; the store has no use for our words."""
        vectors = await self._embedder.embed([row.text for row in rows]) if rows else ()
        return [NewMemory(row, (), vector) for row, vector in zip(rows, vectors, strict=True)]

    async def _word_for_word(self, batch: Batch) -> list[NewMemory]:
        return await self.found_by([row for entry in batch for row in rows_of(entry)])

    async def _clear(self, batch: Batch) -> None:
        """The batch may have been written before, together or one by one, by whoever died or lost the database."""
        scope = Scope(batch[0].user_id)
        for entry in batch:
            await self._store.delete(await self._store.listed(scope, limit=_MOST_OF_A_BATCH, batch=entry.key))
