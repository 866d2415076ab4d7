"""Counts who read what another agent heard, and writes it down in the background: no recall waits for that."""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from psycopg import Error
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from ..records import FoundMemory
from ..scope import Scope
from ..statements import statement

logger = logging.getLogger(__name__)

Pool = AsyncConnectionPool[Any]

_WRITE_EVERY_S = 10.0
_COUNTED_MAX = 10_000  # while the database is away
_STOP_TIMEOUT_S = 2.0
_HOLD = "SELECT memory_hold(%(owners)s)"  # first: who forgets one of them waits for us, or we for him
_FAILURES = (Error, PoolTimeout, TimeoutError, OSError)


@dataclass(frozen=True, slots=True, order=True)
class _Reading:
    user_id: str
    agent_id: str
    from_agent: str
    day: date


class SharedReads:
    """`count` only adds up. What a crash takes along is at most the count of a few seconds."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._counted: Counter[_Reading] = Counter()
        self._some = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="memory-shared-reads")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=_STOP_TIMEOUT_S)
            self._task = None
        with contextlib.suppress(*_FAILURES):
            async with asyncio.timeout(_STOP_TIMEOUT_S):
                await self._write()

    def count(self, scope: Scope, found: Iterable[FoundMemory]) -> None:
        """One recall, with what it brought."""
        if scope.agent_id is None:
            return
        for from_agent in {one.memory.agent_id for one in found} - {scope.agent_id}:
            reading = _Reading(scope.user_id, scope.agent_id, from_agent, datetime.now(UTC).date())
            if reading in self._counted or len(self._counted) < _COUNTED_MAX:
                self._counted[reading] += 1
                self._some.set()

    def forget(self, user_id: str) -> None:
        self._counted = Counter({one: reads for one, reads in self._counted.items() if one.user_id != user_id})

    async def _run(self) -> None:
        while True:
            await self._some.wait()
            await asyncio.sleep(_WRITE_EVERY_S)
            try:
                await self._write()
            except _FAILURES as error:
                logger.warning("memory: readings of shared memories are not written yet (%s)", type(error).__name__)

    async def _write(self) -> None:
        self._some.clear()
        counted, self._counted = self._counted, Counter()
        try:
            async with self._pool.connection() as connection, connection.transaction(), connection.cursor() as cursor:
                await cursor.execute(_HOLD, {"owners": sorted({reading.user_id for reading in counted})})
                # In one order for all: two processes that write the same lines do not wait for each other in a ring.
                await cursor.executemany(statement("audit_read"), [_line(*one) for one in sorted(counted.items())])
        except BaseException:
            self._counted.update(counted)
            self._some.set()
            raise


def _line(reading: _Reading, reads: int) -> dict[str, Any]:
    return {
        "user_id": reading.user_id,
        "agent_id": reading.agent_id,
        "from_agent": reading.from_agent,
        "day": reading.day,
        "reads": reads,
    }
