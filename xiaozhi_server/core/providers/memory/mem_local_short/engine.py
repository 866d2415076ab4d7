"""Keeps everybody's notes: exchanges go through the outbox, the model rewrites, the new page replaces the old at once.

While the model fails the exchanges wait, and are shown beside the notes: nothing is lost and nothing is forgotten.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from psycopg import AsyncConnection
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from ..base import AnyMessage, SpokenMessage
from ..mem0ai.observe import MemoryObserver, NoObserver
from ..mem0ai.saving import outbox
from ..mem0ai.saving.drain import DrainOptions
from ..mem0ai.saving.intake import Intake, IntakeOptions
from ..mem0ai.saving.outbox import Batch
from ..mem0ai.saving.saver import BatchPolicy
from ..mem0ai.scope import Scope
from ..mem0ai.statements import MIGRATIONS, statement
from ..migrate import apply_migrations
from .notes import Model, request, taken, token_count

logger = logging.getLogger(__name__)

Pool = AsyncConnectionPool[Any]

LEDGER = "memory_migration"


class NotesChangedError(Exception):
    """Somebody else rewrote the same notes meanwhile: this rewrite is done again from theirs."""


@dataclass(frozen=True, slots=True)
class SummaryOptions:
    """`max_tokens` bounds a page of notes; `instruction` is for agents that have none of their own."""

    max_tokens: int = 600
    timezone: str = "UTC"
    instruction: str = ""
    database_timeout_s: float = 10.0
    unsaved_limit: int = 2000
    unsaved_shown: int = 20
    policy: BatchPolicy = field(default_factory=BatchPolicy)
    drain: DrainOptions = field(default_factory=DrainOptions)


@dataclass(frozen=True, slots=True)
class Notes:
    """A page as it is now; empty, with version 0, where there is none."""

    text: str
    version: int
    updated_at: datetime | None


class SummaryEngine:
    """The pool and the model belong to the caller."""

    def __init__(
        self, pool: Pool, model: Model, options: SummaryOptions | None = None, *, observer: MemoryObserver | None = None
    ) -> None:
        self.observer = observer or NoObserver()
        self._pool = pool
        self._options = options or SummaryOptions()
        limits = IntakeOptions(self._options.drain, self._options.unsaved_limit, self._options.database_timeout_s)
        self._intake = Intake(pool, limits, self.observer)
        self._saver = _NotesSaver(pool, model, self._options, self.observer)

    async def start(self) -> None:
        async with self._pool.connection() as connection:
            await apply_migrations(connection, MIGRATIONS, ledger=LEDGER)
        self._intake.start(self._saver)

    async def stop(self, deadline_s: float) -> None:
        await self._intake.stop(deadline_s)

    async def enqueue(
        self,
        messages: Sequence[AnyMessage],
        *,
        user_id: str,
        agent_id: str | None = None,
        session_id: str | None = None,
        key: str | None = None,
        transaction: Any = None,
        instruction: str | None = None,
    ) -> bool:
        """Accept messages durably; with `transaction` they share its fate. False if the key is known.

        `instruction` is what the agent wants its notes to be about, from this exchange on.
        """
        return await self._intake.enqueue(
            messages,
            user_id=user_id,
            agent_id=agent_id,
            session_id=session_id,
            key=key,
            transaction=transaction,
            instruction=instruction,
        )

    async def end_session(self, session_id: str, *, user_id: str) -> None:
        """Nothing more is said in it: the notes are rewritten now."""
        await self._intake.end_session(session_id, user_id=user_id)

    async def known(self, user_id: str, agent_id: str | None) -> tuple[Notes, list[SpokenMessage]]:
        """The page, and what was said that it does not hold yet, oldest first."""
        scope = Scope(user_id, agent_id)
        async with self._limited(), self._pool.connection() as connection:
            # What waits first: a rewrite that ends in between then shows it twice instead of not at all.
            waiting = await outbox.unsaved(connection, scope, limit=self._options.unsaved_shown)
            notes = await _read(connection, user_id, agent_id or "")
        return notes, [message for entry in reversed(waiting) for message in entry.messages]

    async def forget(self, user_id: str, agent_id: str | None = None) -> None:
        scope = Scope(user_id, agent_id)
        async with self._limited(), self._pool.connection() as connection, connection.transaction():
            await outbox.forget(connection, scope)
            await connection.execute(statement("summary_forget"), {"user_id": user_id, "agent_id": agent_id})

    def _limited(self) -> asyncio.Timeout:
        return asyncio.timeout(self._options.database_timeout_s)


class _NotesSaver:
    """One batch is one conversation with the model."""

    def __init__(self, pool: Pool, model: Model, options: SummaryOptions, observer: MemoryObserver) -> None:
        self.policy: BatchPolicy | None = options.policy
        self._pool = pool
        self._model = model
        self._options = options
        self._observer = observer
        self._zone = ZoneInfo(options.timezone)

    async def prepare(self, batches: Sequence[Batch]) -> list[tuple[int, str]]:
        """For each batch the version that was read, and the page that shall replace it."""
        return [await self._rewritten(batch) for batch in batches]

    async def write(
        self, connection: AsyncConnection[Any], batches: Sequence[Batch], prepared: Sequence[tuple[int, str]]
    ) -> None:
        for batch, (version, text) in zip(batches, prepared, strict=True):
            parameters = {**_owner(batch), "text": text, "version": version}
            if (await connection.execute(statement("summary_put"), parameters)).rowcount == 0:
                raise NotesChangedError("the notes were rewritten meanwhile")

    def written(self, batches: Sequence[Batch]) -> None:
        """Nothing is kept in memory."""

    async def _rewritten(self, batch: Batch) -> tuple[int, str]:
        owner = _owner(batch)
        async with self._pool.connection() as connection:
            notes = await _read(connection, owner["user_id"], owner["agent_id"])
        instruction = batch[-1].wishes.instruction or self._options.instruction
        messages = [message for entry in batch for message in entry.messages]
        system, user = request(notes.text, messages, instruction, self._zone, self._options.max_tokens)
        answer = await self._model.complete(system, user, 2 * self._options.max_tokens)
        self._observer.model_called(token_count(system) + token_count(user) + token_count(answer))
        return notes.version, taken(answer, notes.text, self._options.max_tokens)


async def _read(connection: AsyncConnection[Any], user_id: str, agent_id: str) -> Notes:
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(statement("summary_get"), {"user_id": user_id, "agent_id": agent_id})
        row = await cursor.fetchone()
    return Notes(row["text"], row["version"], row["updated_at"]) if row else Notes("", 0, None)


def _owner(batch: Batch) -> dict[str, str]:
    return {"user_id": batch[0].user_id, "agent_id": batch[0].agent_id}
