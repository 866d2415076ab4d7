"""The saver in front of another store, which knows no transactions: a repeated batch replaces what it left there."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from psycopg import AsyncConnection

from ..embedding.embed import Embedder
from ..facts.learned import Learned
from ..records import NewMemory, StoredMemory
from ..saving.outbox import Batch
from ..saving.saver import BatchPolicy, EmbedAll, Search
from ..saving.verbatim import rows_of
from ..scope import Scope
from .beside import Notes
from .beside_postgres import PostgresNotes
from .extract_by_mem0 import ExtractionOptions, Extractor, extracted, extracted_at_once, facts_alone, policy_of
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
        self.has_model = extractor is not None

    def search_by(self, search: Search, embed: EmbedAll | None = None) -> None:
        if self._extractor is not None:
            self._extractor.search_by(search, embed)

    async def prepare(self, batches: Sequence[Batch]) -> list[Learned]:
        if self._extractor is None:
            return [Learned(tuple(await self._word_for_word(batch))) for batch in batches]
        for batch in batches:
            if batch[0].attempts > 1:
                await self.clear(batch)  # else it would be taken for what is known, and then cleared away
        return [await extracted(self._extractor, batch, self._attempts, self._word_for_word) for batch in batches]

    async def learn(self, batch: Batch) -> Learned:
        assert self._extractor is not None
        return await extracted_at_once(self._extractor, batch, self._attempts, self._word_for_word)

    async def facts(self, batch: Batch) -> Learned:
        assert self._extractor is not None
        return await facts_alone(self._extractor, batch)

    async def write(
        self, connection: AsyncConnection[Any], batches: Sequence[Batch], prepared: Sequence[Learned]
    ) -> None:
        """While the outbox's rows are ours: whoever forgets the owner meanwhile waits, and then deletes these too."""
        await self.put(PostgresNotes(connection), batches, prepared)

    async def put(self, notes: Notes, batches: Sequence[Batch], prepared: Sequence[Learned]) -> None:
        for batch, learned in zip(batches, prepared, strict=True):
            if batch[0].attempts > 1:
                await self.clear(batch)
            await self._store.insert(learned.rows, batch[0].key)
            await self.change(notes, learned)

    async def change(self, notes: Notes, learned: Learned) -> None:
        """What was said again in more words gets those, what holds no more its end; the history is ours."""
        for again in learned.again:
            if again.is_longer:
                await notes.changed(again.old, "UPDATE", again.new.memory.text)
                grown = replace(again.old, text=again.new.memory.text, updated_at=again.new.memory.created_at)
                await self._store.replace(replace(again.new, memory=grown))
        for one in learned.replaced:
            ended = replace(one.old, valid_to=one.ended_at, superseded_by=one.by.id)
            await notes.changed(one.old, "SUPERSEDE", one.by.text)
            for row in await self.found_by([ended]):
                await self._store.replace(row)

    def written(self, batches: Sequence[Batch]) -> None:
        """Nothing is kept in memory of what the store has."""

    async def found_by(self, rows: Sequence[StoredMemory]) -> list[NewMemory]:
        """The rows with their vectors; the store has no use for our words."""
        vectors = await self._embedder.embed([row.text for row in rows]) if rows else ()
        return [NewMemory(row, (), vector) for row, vector in zip(rows, vectors, strict=True)]

    async def _word_for_word(self, batch: Batch) -> list[NewMemory]:
        return await self.found_by([row for entry in batch for row in rows_of(entry)])

    async def clear(self, batch: Batch) -> None:
        """The batch may have been written before, together or one by one, by whoever died or lost the database."""
        scope = Scope(batch[0].user_id)
        for entry in batch:
            await self._store.delete(await self._store.listed(scope, limit=_MOST_OF_A_BATCH, batch=entry.key))
