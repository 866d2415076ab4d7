"""What waits for the platform lies among the embedded memories meanwhile, where it is found by its meaning too.

The outbox stays the one truth of what is still to be sent: a copy comes from an entry and goes with it, in the
transaction that settles it.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from ..message import memory_id
from ..saving import outbox
from ..saving.outbox import Batch, OutboxEntry
from ..saving.verbatim import VerbatimSaver
from ..statements import statement
from .health import Health
from .sends import entry_of

logger = logging.getLogger(__name__)

Pool = AsyncConnectionPool[Any]

_AT_ONCE = 32
_LOOK_EVERY_S = 1.0
_DATABASE_TIMEOUT_S = 10.0


class Copies:
    """Works while the platform is away."""

    def __init__(self, pool: Pool, verbatim: VerbatimSaver, health: Health) -> None:
        self._pool = pool
        self._verbatim = verbatim
        self._health = health
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="mem0-platform-copies")

    async def stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    def wake(self) -> None:
        """Something was put into the outbox."""
        self._woken.set()

    async def drop(self, connection: AsyncConnection[Any], batch: Batch) -> None:
        """The platform has it: from now on it is remembered there and nowhere else."""
        ids = [
            memory_id(entry.user_id, entry.key, position) for entry in batch for position in range(len(entry.messages))
        ]
        await connection.execute(statement("platform_drop_copies"), {"user_id": batch[0].user_id, "ids": ids})

    def dropped(self, batches: Sequence[Batch]) -> None:
        """That transaction is committed."""
        self._verbatim.written(batches)

    async def _run(self) -> None:
        while True:
            try:
                while not self._health.is_usable and await self._copy_some():
                    pass
            except Exception as error:  # noqa: BLE001 - the worker outlives every failure of embedder and database
                logger.warning("memory: what waits cannot be copied (%s); trying again", type(error).__name__)
            await self._rest()

    async def _rest(self) -> None:
        self._woken.clear()
        try:
            async with asyncio.timeout(_LOOK_EVERY_S):
                await self._woken.wait()
        except TimeoutError:
            return

    async def _copy_some(self) -> bool:
        """Copy the oldest that are not copied yet; False if there were none."""
        async with asyncio.timeout(_DATABASE_TIMEOUT_S), self._pool.connection() as connection:
            batches = await _uncopied(connection)
        if not batches:
            return False
        prepared = await self._verbatim.prepare(batches)
        async with (
            asyncio.timeout(_DATABASE_TIMEOUT_S),
            self._pool.connection() as connection,
            connection.transaction(),
        ):
            await outbox.hold(connection, batches)
            waiting = await _marked(connection, batches)
            pairs = [pair for pair in zip(batches, prepared, strict=True) if _name(pair[0][0]) in waiting]
            kept = [batch for batch, _ in pairs]
            await self._verbatim.write(connection, kept, [memories for _, memories in pairs])
        self._verbatim.written(kept)
        return bool(kept)


async def _uncopied(connection: AsyncConnection[Any]) -> list[Batch]:
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(statement("platform_uncopied"), {"limit": _AT_ONCE})
        rows = await cursor.fetchall()
    return [(entry_of(row),) for row in rows]


async def _marked(connection: AsyncConnection[Any], batches: Sequence[Batch]) -> set[tuple[str, str]]:
    """Those that still wait, now marked as copied."""
    names = [_name(batch[0]) for batch in batches]
    parameters = {"user_ids": [user_id for user_id, _ in names], "keys": [key for _, key in names]}
    cursor = await connection.execute(statement("platform_copied"), parameters)
    return {(user_id, key) for user_id, key in await cursor.fetchall()}


def _name(entry: OutboxEntry) -> tuple[str, str]:
    return entry.user_id, entry.key
