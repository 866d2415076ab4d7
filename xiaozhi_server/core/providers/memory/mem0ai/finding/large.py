"""Owners with so many memories that they get indexes of their own in the database: one by meaning, one by words.

The indexes are partial, so that nobody else's memories stand in the way, and are built in the background by one process
at a time. How often each word stands in such a memory is counted then too, since the ranking must know it.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from psycopg import AsyncConnection, Error
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from ..records import FoundMemory
from ..statements import statement
from . import large_indexes
from .changes import connect_like
from .large_search import LargeSearch, OwnerWords, owner_words
from .owner_load import Source
from .owner_search import Asked

logger = logging.getLogger(__name__)

Pool = AsyncConnectionPool[Any]
Connection = AsyncConnection[Any]

_LOCK = "SELECT pg_try_advisory_lock(hashtextextended('memory_large', 0)) AS locked"
_COUNT = "SELECT count(*) AS size FROM memory_entry WHERE user_id = %(user_id)s"
_FORGET = "DELETE FROM memory_large WHERE user_id = %(user_id)s"
_HOLD = "SELECT memory_hold(%s)"
_STOP_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class LargeOptions:
    """An owner with `rows_min` memories becomes large, and stays so down to the share `stays` of that.

    At most `owners_max` of them, since whoever inserts must look at every one's indexes. An owner's words are counted
    again when the number of memories differs by the share `count_again`.
    """

    rows_min: int = 20_000
    stays: float = 0.8
    owners_max: int = 50
    count_again: float = 0.05
    check_every_s: float = 600.0
    check_soon_s: float = 30.0  # after a change, and where another process is building


class LargeOwners:
    def __init__(self, pool: Pool, source: Source, options: LargeOptions) -> None:
        self._pool = pool
        self._source = source
        self._options = options
        self._known: dict[str, OwnerWords] = {}
        self._search = LargeSearch(pool, source)
        self._to_check: set[str] = set()
        self._woken = asyncio.Event()
        self._later: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="memory-large")

    async def stop(self) -> None:
        if self._later is not None:
            self._later.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=_STOP_TIMEOUT_S)
            self._task = None

    def ready(self, user_id: str) -> bool:
        """Whether `search` can be asked about this owner."""
        return user_id in self._known

    def speakers(self, user_id: str) -> Collection[str] | None:
        words = self._known.get(user_id)
        return None if words is None else words.speakers

    def found(self, user_id: str) -> None:
        """An owner who seems to be large."""
        if user_id not in self._known and user_id not in self._to_check:
            self._to_check.add(user_id)
            self._woken.set()

    def changed(self, user_id: str) -> None:
        """One who is known may have become larger, or small."""
        if user_id in self._known and user_id not in self._to_check:
            self._to_check.add(user_id)
            self._wake_later()

    def forget(self, user_id: str) -> None:
        """Nothing of this owner may stay; the indexes are dropped when it is time to look after them."""
        if self._known.pop(user_id, None) is not None:
            self._to_check.add(user_id)
            self._woken.set()

    async def search(self, asked: Asked, limit: int) -> list[FoundMemory] | None:
        """None if this owner is not known to be large."""
        words = self._known.get(asked.scope.user_id)
        return None if words is None else await self._search.search(asked, limit, words)

    async def _run(self) -> None:
        first, due = True, False
        while True:
            try:
                await self._learn()
                who = self._to_check | (self._known.keys() if first or due else set())
                if who or due:
                    await self._care(who)
            except (Error, OSError, TimeoutError) as error:
                logger.warning("memory: large memories could not be looked after (%s)", type(error).__name__)
                self._wake_later()
            first, due = False, not await self._is_woken()

    async def _is_woken(self) -> bool:
        """False once it is time to look after everything again."""
        try:
            async with asyncio.timeout(self._options.check_every_s):
                await self._woken.wait()
        except TimeoutError:
            return False
        self._woken.clear()
        return True

    def _wake_later(self) -> None:
        if self._later is None:
            self._later = asyncio.get_running_loop().call_later(self._options.check_soon_s, self._wake)

    def _wake(self) -> None:
        self._later = None
        self._woken.set()

    async def _learn(self) -> None:
        """Who is large, as some process has found out."""
        async with self._pool.connection() as connection:
            counted = {row["user_id"]: row["counted_at"] for row in await _rows(connection, "large_list", {})}
            for user_id, counted_at in counted.items():
                known = self._known.get(user_id)
                if known is None or known.counted_at != counted_at:
                    await self._learn_words(connection, user_id)
        for user_id in self._known.keys() - counted.keys():
            del self._known[user_id]

    async def _learn_words(self, connection: Connection, user_id: str) -> None:
        for row in await _rows(connection, "large_read", {"user_id": user_id}):
            self._known[user_id] = owner_words(row)

    async def _care(self, user_ids: Collection[str]) -> None:
        """Build for who of these has become large, drop what nobody needs any more."""
        async with self._alone() as connection:
            if connection is None:
                self._wake_later()
                return
            await self._learn()  # whoever was at work before has built what we do not know of: it must not be dropped
            for user_id in sorted(user_ids):
                self._to_check.discard(user_id)
                try:
                    await self._check(connection, user_id)
                except Error as error:  # of this one: the others need not wait, and it will be found again
                    logger.warning("memory: a large memory has no index (%s)", type(error).__name__)
            wanted = {name for user_id in self._known for name in large_indexes.names(user_id, self._source)}
            await large_indexes.drop_others(connection, wanted)

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[Connection | None]:
        """A connection of its own, if no other process is at work."""
        async with await connect_like(self._pool) as connection:
            (row,) = await _rows(connection, _LOCK, {})
            yield connection if row["locked"] else None

    async def _check(self, connection: Connection, user_id: str) -> None:
        (row,) = await _rows(connection, _COUNT, {"user_id": user_id})
        size, known = row["size"], self._known.get(user_id)
        if size < self._options.rows_min * (1.0 if known is None else self._options.stays):
            if known is not None:
                await connection.execute(_FORGET, {"user_id": user_id})
                self._known.pop(user_id, None)
            return
        if known is None and len(self._known) >= self._options.owners_max:
            logger.warning("memory: too many owners with large memories; one more is searched without an index")
            return
        await large_indexes.build(connection, user_id, self._source)
        if known is None or abs(size - known.size) > self._options.count_again * known.size:
            async with connection.transaction():  # nobody is forgotten while their words are counted
                await connection.execute(_HOLD, ([user_id],))
                await connection.execute(statement("large_count"), {"user_id": user_id})
            await self._learn_words(connection, user_id)


async def _rows(connection: Connection, name: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(name.encode() if " " in name else statement(name), parameters)
        return await cursor.fetchall()
