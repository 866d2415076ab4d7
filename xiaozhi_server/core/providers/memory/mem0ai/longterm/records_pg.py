"""The notes of extraction in tables of ours: a checkpoint moves in the transaction that writes the memories."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import Json as JsonB
from psycopg_pool import AsyncConnectionPool

from ..statements import statement
from .records import SILENT_S, Json, KeptCheckpoint, KeptTask, Lock, LockHeldError, LockLostError

Connection = AsyncConnection[Any]
Pool = AsyncConnectionPool[Any]

_HOLD = "SELECT memory_hold(%s::text[])"


class PostgresRecords:
    """The pool belongs to the caller; its tables are those of the engine that was started on it. `meet` brings over
    what the public plugin noted of an owner.
    """

    def __init__(
        self, pool: Pool, *, timeout_s: float = 10.0, meet: Callable[[str], Awaitable[None]] | None = None
    ) -> None:
        self._pool = pool
        self._meet = meet
        self._timeout_s = timeout_s

    async def checkpoint(self, user_id: str, app_id: str | None = None) -> KeptCheckpoint | None:
        return next(iter(await self.checkpoints(user_id, app_id)), None)

    async def checkpoints(self, user_id: str, app_id: str | None = None) -> list[KeptCheckpoint]:
        if self._meet is not None:
            await self._meet(user_id)
        async with self._connection() as connection:
            rows = await _rows(connection, "extraction_checkpoint_list", user_id=user_id, app_id=app_id)
        return [
            KeptCheckpoint(str(row["id"]), row["user_id"], row["app_id"], row["value"], row["updated_at"])
            for row in rows
        ]

    async def drop_checkpoints(self, checkpoints: Sequence[KeptCheckpoint]) -> int:
        async with self._connection() as connection:
            return sum(
                [
                    await _changed(
                        connection,
                        "extraction_checkpoint_drop",
                        user_id=one.user_id,
                        app_id=one.app_id,
                        id=one.id,
                        updated_at=one.updated_at,
                    )
                    for one in checkpoints
                ]
            )

    async def adopt_checkpoint(self, user_id: str, app_id: str, value: Json, updated_at: datetime | None) -> bool:
        """One of the public plugin's; False where there is one already."""
        adopted = {"user_id": user_id, "app_id": app_id, "value": JsonB(value), "updated_at": updated_at}
        async with self._connection() as connection, connection.transaction():
            await connection.execute(_HOLD, ([user_id],))
            return bool(await _changed(connection, "extraction_checkpoint_adopt", **adopted))

    async def move(self, lock: Lock, value: Json) -> None:
        async with self._connection() as connection, connection.transaction():
            await connection.execute(_HOLD, ([lock.user_id],))
            await self.moving(lock, value)(connection)

    def moving(self, lock: Lock, value: Json) -> Callable[[Connection], Awaitable[None]]:
        """The same within a transaction that has taken hold of the owner: what it raises undoes all of that."""

        async def move(connection: Connection) -> None:
            if not await _rows(connection, "extraction_lock_hold", **_own(lock)):
                raise LockLostError
            told = {"user_id": lock.user_id, "app_id": lock.app_id, "value": JsonB(value)}
            await connection.execute(statement("extraction_checkpoint_put"), told)

        return move

    async def lock(self, user_id: str, app_id: str, *, holder_id: str, ttl_s: int, since: datetime) -> Lock:
        wanted = {"user_id": user_id, "app_id": app_id, "holder_id": holder_id, "ttl_s": ttl_s}
        async with self._connection() as connection, connection.transaction():
            await connection.execute(_HOLD, ([user_id],))
            taken = await _rows(connection, "extraction_lock_take", **wanted, since=since, silent_s=SILENT_S)
            if not taken:
                held = await _rows(connection, "extraction_lock_holder", user_id=user_id, app_id=app_id)
                raise LockHeldError(held[0]["holder_id"] if held else "")
        return Lock(user_id, app_id, holder_id, taken[0]["fence"], taken[0]["acquired_at"], ttl_s)

    async def beat(self, lock: Lock) -> bool:
        async with self._connection() as connection:
            return bool(await _changed(connection, "extraction_lock_beat", **_own(lock)))

    async def release(self, lock: Lock) -> None:
        async with self._connection() as connection:
            await _changed(connection, "extraction_lock_release", **_own(lock))

    async def old_locks(self, user_id: str, app_id: str | None = None) -> int:
        async with self._connection() as connection:
            (row,) = await _rows(connection, "extraction_lock_old", user_id=user_id, app_id=app_id, silent_s=SILENT_S)
            return int(row["count"])

    async def drop_old_locks(self, user_id: str, app_id: str | None = None) -> int:
        async with self._connection() as connection:
            which = {"user_id": user_id, "app_id": app_id, "silent_s": SILENT_S}
            return await _changed(connection, "extraction_lock_drop", **which)

    async def put_task(self, task: KeptTask) -> None:
        async with self._connection() as connection, connection.transaction():
            await connection.execute(_HOLD, ([str(report["user_id"]) for report in task.reports],))
            times = {"started_at": task.started_at, "updated_at": task.updated_at}
            await connection.execute(
                statement("extraction_task_put"), {"id": task.id, "value": JsonB(task.value), **times}
            )
            for report in task.reports:
                told = {"user_id": report["user_id"], "value": JsonB(report), "since": task.started_at}
                await connection.execute(statement("extraction_task_report"), {"task_id": task.id, **told})

    async def task(self, task_id: str) -> KeptTask | None:
        async with self._connection() as connection, connection.transaction():
            found = await _rows(connection, "extraction_task_get", id=task_id)
            if not found:
                return None
            reports = await _rows(connection, "extraction_task_reports", id=task_id)
        return KeptTask(**found[0], reports=tuple(row["value"] for row in reports))

    async def drop_tasks(self, *, before: datetime) -> int:
        async with self._connection() as connection:
            return await _changed(connection, "extraction_task_drop", before=before)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        async with asyncio.timeout(self._timeout_s), self._pool.connection() as connection:
            yield connection


def _own(lock: Lock) -> dict[str, Any]:
    return {"user_id": lock.user_id, "app_id": lock.app_id, "holder_id": lock.holder_id, "fence": lock.fence}


async def _rows(connection: Connection, name: str, **parameters: Any) -> list[DictRow]:
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(statement(name), parameters)
        return await cursor.fetchall()


async def _changed(connection: Connection, name: str, **parameters: Any) -> int:
    return (await connection.execute(statement(name), parameters)).rowcount
