"""The one door to memory on PostgreSQL, shared by everybody in the process: save safely, find quickly, forget.

Whose memories a call is about is always said and always checked. Knows no conversation and no device.
"""

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from ..base import SpokenMessage
from ..migrate import apply_migrations
from . import outbox, pgstore
from .drain import Drain, DrainOptions
from .embed import Embedder, Vectors
from .message import memory_id, worth_keeping
from .outbox import OutboxDepth, OutboxEntry
from .pgstore import Hit, NewMemory, StoredMemory
from .recall.rank import Candidate, Corpus, Question, Ranked, question_of, rank
from .recall.words import tokens_of
from .scope import Scope
from .statements import MIGRATIONS

logger = logging.getLogger(__name__)

Pool = AsyncConnectionPool[Any]

LEDGER = "memory_migration"
_LONGEST_QUERY = 2000
_NARROW = 60  # a search for few results still compares this many, so that words and meaning can both speak
_WIDE = 240  # where the question has no word to go by, most of what is near are other questions
_WIDEST = 1000


class EngineNotStartedError(RuntimeError):
    """`start()` has not run, or `stop()` has."""


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """Limits of one engine. `unsaved_limit` bounds an owner's outbox, `unsaved_shown` what a search reads of it."""

    database_timeout_s: float = 10.0
    search_timeout_s: float = 5.0
    vector_timeout_s: float = 1.0
    unsaved_limit: int = 2000
    unsaved_shown: int = 50
    drain: DrainOptions = field(default_factory=DrainOptions)


@dataclass(frozen=True, slots=True)
class FoundMemory:
    """A memory with how well it fits. `semantic_score` is None where only words could be compared."""

    memory: StoredMemory
    score: float
    semantic_score: float | None


class MemoryEngine:
    """The pool, the embedder and the executor belong to the caller, who also closes them."""

    def __init__(
        self, pool: Pool, embedder: Embedder, executor: Executor, options: EngineOptions | None = None
    ) -> None:
        self._pool = pool
        self._embedder = embedder
        self._executor = executor
        self._options = options or EngineOptions()
        self._embedder_number: int | None = None
        self._drain: Drain | None = None
        self._warming: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Bring the tables up to date and begin to work off what a former run left behind."""
        async with self._pool.connection() as connection:  # no time limit: a migration may have much to do
            await apply_migrations(connection, MIGRATIONS, ledger=LEDGER)
            self._embedder_number = await pgstore.embedder_number(connection, self._embedder)
        self._drain = Drain(self._pool, self._prepare, self._embedder_number, self._options.drain)
        self._drain.start()
        self._warming = asyncio.create_task(self._warm_up(), name="memory-warm-up")

    async def stop(self, deadline_s: float) -> None:
        """Save what is due as long as the deadline allows; the rest is saved by the next start."""
        if self._warming is not None:
            self._warming.cancel()
            await asyncio.wait({self._warming})
            self._warming = None
        if self._drain is not None:
            await self._drain.stop(deadline_s)
            self._drain = None

    async def enqueue(
        self,
        messages: Sequence[SpokenMessage],
        *,
        user_id: str,
        agent_id: str | None = None,
        session_id: str | None = None,
        key: str | None = None,
        transaction: Any = None,
    ) -> bool:
        """Accept messages durably, and return before they are searchable by meaning; False if the key is known.

        With `transaction` (an open AsyncConnection) they share its fate, else they are committed here.
        """
        scope = Scope(user_id, agent_id)
        kept = tuple(worth_keeping(messages))
        if not kept:
            return False
        entry = OutboxEntry(scope.user_id, key or uuid.uuid4().hex, scope.agent_id or "", session_id or "", kept)
        limit = self._options.unsaved_limit
        if transaction is not None:
            added = await outbox.put(transaction, entry, limit=limit)
        else:
            async with self._connection() as connection:
                added = await outbox.put(connection, entry, limit=limit)
        if self._drain is not None:
            self._drain.wake()
        return added

    async def add(
        self,
        messages: Sequence[SpokenMessage],
        *,
        user_id: str,
        agent_id: str | None = None,
        run_id: str | None = None,
        session_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        infer: Literal[False] = False,
    ) -> list[StoredMemory]:
        """Remember messages word for word, one memory each, and return once they can be found."""
        scope = Scope(user_id, agent_id, run_id)
        key = uuid.uuid4().hex
        rows = [
            _row(message, scope, session_id or "", memory_id(user_id, key, position), metadata)
            for position, message in enumerate(worth_keeping(messages))
        ]
        number = self._number()
        prepared = await self._with_vectors(rows)
        async with self._connection() as connection, connection.transaction():
            await pgstore.insert(connection, prepared, number)
        return rows

    async def search(
        self,
        query: str,
        *,
        user_id: str,
        agent_id: str | None = None,
        run_id: str | None = None,
        top_k: int = 20,
        vector_timeout_s: float | None = None,
    ) -> list[FoundMemory]:
        """The memories that fit best, the best first; entries that still wait in the outbox are among them.

        An embedder that takes longer than `vector_timeout_s` (default: the engine's) is not waited for.
        """
        scope = Scope(user_id, agent_id, run_id)
        asked = query[:_LONGEST_QUERY].replace("\0", "").strip()
        limit = min(top_k, _WIDEST)
        if not asked or limit < 1:
            return []
        async with asyncio.timeout(self._options.search_timeout_s):
            vector = await self._query_vector(asked, vector_timeout_s or self._options.vector_timeout_s)
            question = question_of(asked, multilingual=self._embedder.multilingual)
            width = max(_NARROW if question.tokens else _WIDE, 2 * limit)
            candidates, corpus = await self._candidates(scope, question, vector, width)
        ranked = rank(question, [candidate for candidate, _ in candidates.values()], corpus, datetime.now(UTC))
        return [_found(one, candidates[one.candidate.id][1]) for one in ranked[:limit]]

    async def get(self, id: str | uuid.UUID, *, user_id: str) -> StoredMemory | None:
        """One memory of this owner; None if there is none with this id, or it is somebody else's."""
        scope = Scope(user_id)
        try:
            memory_uuid = id if isinstance(id, uuid.UUID) else uuid.UUID(id)
        except (ValueError, AttributeError, TypeError):
            return None
        async with self._connection() as connection:
            return await pgstore.one(connection, scope, memory_uuid)

    async def get_all(
        self, *, user_id: str, agent_id: str | None = None, run_id: str | None = None, top_k: int = 100
    ) -> list[StoredMemory]:
        """This owner's memories, the newest first."""
        scope = Scope(user_id, agent_id, run_id)
        async with self._connection() as connection:
            return await pgstore.newest(connection, scope, limit=max(0, min(top_k, 100_000)))

    async def delete_all(self, *, user_id: str, agent_id: str | None = None, run_id: str | None = None) -> int:
        """Delete this owner's memories, and what waits to become some. Returns how many memories there were."""
        scope = Scope(user_id, agent_id, run_id)
        async with self._connection() as connection, connection.transaction():
            if run_id is None:
                # First the outbox: the worker holds an entry's row while it writes its memories.
                await outbox.forget(connection, scope)
            return await pgstore.delete(connection, scope)

    async def depth(self) -> OutboxDepth:
        """How much waits to be saved."""
        async with self._connection() as connection:
            return await outbox.depth(connection)

    async def _candidates(
        self, scope: Scope, question: Question, vector: Vectors | None, width: int
    ) -> tuple[dict[str, tuple[Candidate, StoredMemory]], Corpus]:
        """What may be the answer, by id."""
        number = self._number()
        async with self._pool.connection() as connection:
            # The outbox first: an entry that moves meanwhile is then seen twice and not missed.
            waiting = (
                []
                if scope.run_id is not None
                else await outbox.unsaved(connection, scope, limit=self._options.unsaved_shown)
            )
            hits, corpus = await pgstore.search(connection, scope, question, vector, embedder=number, width=width)
        found = {str(row.id): _unsaved_candidate(row) for entry in waiting for row in _rows(entry)}
        found.update({str(hit.memory.id): _candidate(hit) for hit in hits})
        return found, corpus

    async def _query_vector(self, query: str, timeout_s: float) -> Vectors | None:
        """None where the embedder fails or is too slow: words alone find most of what there is."""
        try:
            async with asyncio.timeout(timeout_s):
                vectors = await self._embedder.embed([query])
        except Exception as error:  # noqa: BLE001 - a provider call
            logger.warning("memory: searching by words alone (%s in the embedder)", type(error).__name__)
            return None
        row: Vectors = vectors[0]
        return row

    async def _prepare(self, entries: Sequence[OutboxEntry]) -> list[list[NewMemory]]:
        rows = [_rows(entry) for entry in entries]
        prepared = iter(await self._with_vectors([row for part in rows for row in part]))
        return [[next(prepared) for _ in part] for part in rows]

    async def _with_vectors(self, rows: Sequence[StoredMemory]) -> list[NewMemory]:
        texts = [row.text for row in rows]
        loop = asyncio.get_running_loop()
        tokens = await loop.run_in_executor(self._executor, _tokens_of_all, texts)
        vectors = await self._embedder.embed(texts)
        return [NewMemory(*parts) for parts in zip(rows, tokens, vectors, strict=True)]

    async def _warm_up(self) -> None:
        """The first question shall not pay for loading the model."""
        try:
            await self._embedder.embed(["hello"])
        except Exception as error:  # noqa: BLE001 - a provider call
            logger.warning("memory: the embedder does not work (%s: %s)", type(error).__name__, error)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[AsyncConnection[Any]]:
        async with asyncio.timeout(self._options.database_timeout_s), self._pool.connection() as connection:
            yield connection

    def _number(self) -> int:
        if self._embedder_number is None:
            raise EngineNotStartedError("the memory engine has not been started")
        return self._embedder_number


def _row(
    message: SpokenMessage, scope: Scope, session_id: str, id: uuid.UUID, metadata: Mapping[str, Any] | None = None
) -> StoredMemory:
    return StoredMemory(
        id=id,
        user_id=scope.user_id,
        agent_id=scope.agent_id or "",
        run_id=scope.run_id or "",
        session_id=session_id,
        role=message.role,
        speaker=message.speaker,
        text=message.content,
        metadata=metadata,
        created_at=message.spoken_at,
        updated_at=message.spoken_at,
    )


def _rows(entry: OutboxEntry) -> list[StoredMemory]:
    scope = Scope(entry.user_id, entry.agent_id or None)
    return [
        _row(message, scope, entry.session_id, memory_id(entry.user_id, entry.key, position))
        for position, message in enumerate(entry.messages)
    ]


def _tokens_of_all(texts: Sequence[str]) -> list[list[int]]:
    return [tokens_of(text) for text in texts]


def _candidate(hit: Hit) -> tuple[Candidate, StoredMemory]:
    memory = hit.memory
    return Candidate(str(memory.id), memory.text, memory.role, memory.timestamp, hit.tokens, hit.similarity), memory


def _unsaved_candidate(row: StoredMemory) -> tuple[Candidate, StoredMemory]:
    return Candidate(str(row.id), row.text, row.role, row.timestamp, tokens_of(row.text), None), row


def _found(ranked: Ranked, memory: StoredMemory) -> FoundMemory:
    return FoundMemory(memory, ranked.score, ranked.semantic_score)
