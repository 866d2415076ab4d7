"""What lies beside another store, in our PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from ..facts.read_things import latest
from ..facts.thing import KnownThing
from ..records import StoredMemory
from ..rows import history
from ..rows.history import MemoryEvent
from ..saving import outbox
from ..saving.outbox import OutboxEntry
from ..scope import Scope
from ..sharing import shares
from ..statements import statement
from .beside import Change, Notes

Pool = AsyncConnectionPool[Any]


class PostgresBeside:
    """A Beside. The pool belongs to the caller."""

    def __init__(self, pool: Pool, *, timeout_s: float) -> None:
        self._pool = pool
        self._timeout_s = timeout_s

    @asynccontextmanager
    async def noting(self, held: OutboxEntry | None = None) -> AsyncIterator[Notes]:
        async with self.connection() as connection, connection.transaction():
            if held is not None:
                await outbox.hold(connection, [(held,)])
            yield PostgresNotes(connection)

    async def is_done(self, user_id: str, key: str) -> bool:
        return False  # the worker of accepted writes notes that where it takes them out

    async def events(self, scope: Scope, id: UUID, memory: StoredMemory | None) -> list[MemoryEvent]:
        async with self.connection() as connection:
            return await history.events_since(connection, scope, id, memory)

    async def owner(self, id: UUID) -> str | None:
        async with self.connection() as connection:
            cursor = await connection.execute(statement("history_owner"), {"id": id})
            row = await cursor.fetchone()
        return None if row is None else str(row[0])

    async def reach(self, scope: Scope) -> Scope:
        async with self.connection() as connection:
            return await shares.reach(connection, scope)

    async def found_by(self, scope: Scope, *, limit: int) -> tuple[Scope, Sequence[OutboxEntry]]:
        async with self._pool.connection() as connection:
            reach = await shares.reach(connection, scope)
            if scope.run_id is not None:
                return reach, []
            return reach, await outbox.unsaved(connection, reach, limit=limit)

    async def waiting(self, scope: Scope, *, limit: int) -> list[OutboxEntry]:
        async with self._pool.connection() as connection:
            return await outbox.unsaved(connection, scope, limit=limit)

    async def things(self, user_id: str, agent_id: str) -> list[KnownThing]:
        async with self._pool.connection() as connection:
            return await latest(connection, user_id, agent_id)

    async def drop_waiting(self, scope: Scope) -> None:
        if scope.run_id is None:
            # The worker holds an entry's row while it writes its memories.
            async with self.connection() as connection:
                await outbox.forget(connection, scope)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection[Any]]:
        async with asyncio.timeout(self._timeout_s), self._pool.connection() as connection:
            yield connection


class PostgresNotes:
    """In a transaction that somebody else began."""

    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self._connection = connection

    async def changed(self, old: StoredMemory, event: Change, new_text: str | None) -> None:
        told = {"user_id": old.user_id, "id": old.id, "event": event, "old_text": old.text, "new_text": new_text}
        about = {"role": old.role, "speaker": old.speaker, "created_at": old.created_at}
        await self._connection.execute(statement("history_add"), {**told, **about})

    async def done(self, user_id: str, key: str) -> None:
        """See `is_done`."""
