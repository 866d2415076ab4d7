"""The journal beside the memories: what is done for a write and that it is done become true in one transaction."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from ..rows.pgstore import reading
from ..scope import Scope, checked_id
from . import table
from .accepted import Accepted, DeadWrite, JournalBusyError, NotOursError, Operation, Within
from .checking import checked
from .gathering import Gathering

_DEAD_MAX = 10_000


class PostgresJournal:
    """A Journal. The pool belongs to the caller; the tables are those of an engine that was started on it.

    Several processes may accept and work off at the same time. Accepting never takes more than one connection.
    """

    def __init__(self, pool: AsyncConnectionPool[Any], *, limit: int = 10_000, timeout_s: float = 10.0) -> None:
        self._pool = pool
        self._limit = limit
        self._timeout_s = timeout_s
        self._gathering: Gathering[Accepted, Accepted] = Gathering(self._put)
        self._closed = False

    async def accept(self, operation: Operation, user_id: str, arguments: Mapping[str, Any]) -> Accepted:
        write = checked(operation, user_id, arguments)
        if self._closed:
            raise JournalBusyError("the journal is closed")
        return await self._gathering.put(write)

    async def waiting(self) -> int:
        async with self._connection() as connection:
            return await table.waiting(connection)

    async def claim(self, *, limit: int, lease_s: float) -> list[Accepted]:
        async with asyncio.timeout(self._timeout_s), reading(self._pool) as connection:
            return await table.claim(connection, limit=limit, lease_s=lease_s)

    async def renew(self, writes: Sequence[Accepted], *, lease_s: float) -> None:
        async with self._connection() as connection:
            await table.renew(connection, writes, lease_s=lease_s)

    def within(self, accepted: Accepted) -> Within | None:
        async def settled(connection: AsyncConnection[Any]) -> None:
            if not await table.settle(connection, accepted):
                raise NotOursError(f"this {accepted.operation} is not ours any more")

        return settled

    async def settle(self, accepted: Accepted) -> None:
        async with self._connection() as connection:
            await table.settle(connection, accepted)

    async def postpone(self, accepted: Accepted, *, pause_s: float, error: str) -> None:
        async with self._connection() as connection:
            await table.move(connection, accepted, pause_s=pause_s, error=error)

    async def release(self, accepted: Accepted) -> None:
        async with self._connection() as connection:
            await table.move(connection, accepted)

    async def give_up(self, accepted: Accepted, *, error: str) -> None:
        async with self._connection() as connection:
            await table.move(connection, accepted, state="dead", error=error)

    async def dead(self, user_id: str | None = None, *, limit: int = 100) -> list[DeadWrite]:
        if user_id is not None:
            checked_id("user_id", user_id)
        async with self._connection() as connection:
            return await table.dead(connection, user_id=user_id, limit=max(0, min(limit, _DEAD_MAX)))

    async def replay(self, user_id: str | None = None, *, id: UUID | None = None) -> int:
        if user_id is not None:
            checked_id("user_id", user_id)
        async with self._connection() as connection:
            return await table.replay(connection, user_id=user_id, id=id)

    async def forget(
        self, user_id: str, *, agent_id: str | None = None, run_id: str | None = None, before: UUID | None = None
    ) -> int:
        scope = Scope(user_id, agent_id, run_id)
        async with self._connection() as connection:
            return await table.forget(
                connection, scope.user_id, agent_id=scope.agent_id, run_id=scope.run_id, before=before
            )

    async def overtake(self, accepted: Accepted) -> int:
        async with self._connection() as connection:
            return await table.overtake(connection, accepted)

    async def forget_person(self, user_id: str) -> int:
        """The engine's `forget_person` does it too."""
        async with self._connection() as connection:
            return await table.forget_person(connection, checked_id("user_id", user_id))

    async def close(self) -> None:
        self._closed = True
        await self._gathering.quiet()

    async def _put(self, writes: Sequence[Accepted]) -> Sequence[Accepted | Exception]:
        async with asyncio.timeout(self._timeout_s), reading(self._pool) as connection:
            return await table.put(connection, writes, limit=self._limit)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[AsyncConnection[Any]]:
        async with asyncio.timeout(self._timeout_s), self._pool.connection() as connection:
            yield connection
