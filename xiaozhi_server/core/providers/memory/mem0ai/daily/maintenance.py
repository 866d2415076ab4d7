"""The work of every day, step by step, by one process at a time however many there are.

What was done is noted per day and step: a restart goes on with what is left, and a day that was missed is made up for.
"""

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Protocol

from psycopg_pool import AsyncConnectionPool

from ...base import AgentRules, MemoryRules
from ..finding.changes import close_quietly, connect_like
from ..observe import MemoryObserver, kind_of
from ..rows.pgstore import reading
from . import runs
from .night import Nights

logger = logging.getLogger(__name__)

Pool = AsyncConnectionPool[Any]

_LOCK = "SELECT pg_try_advisory_lock(hashtextextended('memory_maintenance', 0))"
_CONNECT_TIMEOUT_S = 5.0
_CANCEL_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class Work:
    """What a step is told: what time it is, and what the agents want. It calls `pause` between two pieces of work."""

    now: datetime
    rules: Mapping[str, MemoryRules]
    pause: Callable[[], Awaitable[None]]


class Step(Protocol):
    """One thing that is done every day. Broken off at any time, the next call goes on with what is left."""

    @property
    def name(self) -> str:
        """A word for logs, statistics and metrics."""
        ...

    async def run(self, work: Work) -> Mapping[str, int]:
        """Do it, and say what was done: numbers with a word for each, never what somebody said."""
        ...


@dataclass(frozen=True, slots=True)
class MaintenanceOptions:
    """A step that failed is tried again after `retry`."""

    nights: Nights = field(default_factory=Nights)
    look_every_s: float = 60.0
    pause_s: float = 0.05
    retry: timedelta = timedelta(hours=1)
    runs_kept: timedelta = timedelta(days=90)


async def _no_rules() -> Mapping[str, MemoryRules]:
    return {}


class Maintenance:
    """`clock` tells the time, `rules` what the agents want."""

    def __init__(
        self,
        pool: Pool,
        options: MaintenanceOptions,
        observer: MemoryObserver,
        clock: Callable[[], datetime],
        rules: AgentRules | None = None,
    ) -> None:
        self._pool = pool
        self._options = options
        self._clock = clock
        self._observer = observer
        self._rules = rules or _no_rules
        self._steps: list[Step] = []
        self._last: Step | None = None
        self._share = random.random()
        self._running_since = clock()
        self._done: date | None = None
        self._not_before = datetime.min.replace(tzinfo=UTC)
        self._task: asyncio.Task[None] | None = None

    def add(self, step: Step) -> None:
        """One more thing to do every day, after those that were added before. Say so before the start."""
        if any(step.name == known.name for known in self._steps):
            raise ValueError(f"there is a step {step.name} already")
        self._steps.append(step)

    def start(self, last: Step) -> None:
        """`last` is done after all others."""
        self._last = last
        self._task = asyncio.create_task(self._run(), name="memory-daily")

    async def stop(self) -> None:
        """What is under way is broken off, and done by the next start."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task}, timeout=_CANCEL_TIMEOUT_S)  # a frozen database may hold it longer

    async def run_if_due(self) -> bool:
        """Do what is left of the day's work, unless it is too early or somebody else is at it; whether it was begun."""
        now = self._clock()
        day = self._options.nights.day(now)
        due_at = self._options.nights.due_at(day, self._running_since, self._share)
        if day == self._done or now < max(due_at, self._not_before):
            return False
        async with self._alone() as is_ours:
            return is_ours and await self._do(day, now)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._options.look_every_s)
            try:
                await self.run_if_due()
            except Exception as error:  # noqa: BLE001 - the daily work outlives every failure of the database
                logger.warning("memory: the daily work has to wait (%s)", type(error).__name__)
                self._not_before = self._clock() + self._options.retry

    async def _do(self, day: date, now: datetime) -> bool:
        async with reading(self._pool) as connection:
            done = await runs.done(connection, day)
        steps = self._steps if self._last is None else [*self._steps, self._last]
        left = [step for step in steps if step.name not in done]
        if left:
            work = Work(now, await self._rules(), self._pause)
            failed = [step for step in left if not await self._did(step, day, work)]
            if failed:
                self._not_before = self._clock() + self._options.retry
                return True
            async with reading(self._pool) as connection:
                await runs.drop(connection, before=day - self._options.runs_kept)
        self._done = day
        return bool(left)

    async def _did(self, step: Step, day: date, work: Work) -> bool:
        async with reading(self._pool) as connection:
            await runs.begin(connection, day, step.name, self._clock())
        began_at = time.perf_counter()
        try:
            counts = dict(await step.run(work))
        except Exception as error:  # noqa: BLE001 - one step: the others are done all the same
            logger.warning("memory: the daily %s failed (%s)", step.name, type(error).__name__)
            self._observer.maintenance_failed(step.name, kind_of(error))
            async with reading(self._pool) as connection:
                await runs.fail(connection, day, step.name, type(error).__name__)
            return False
        async with reading(self._pool) as connection:
            await runs.end(connection, day, step.name, self._clock(), counts)
        told = ", ".join(f"{count} {word}" for word, count in counts.items())
        logger.info("memory: the daily %s is done: %s", step.name, told or "nothing to do")
        self._observer.maintained(step.name, counts, time.perf_counter() - began_at)
        return True

    async def _pause(self) -> None:
        await asyncio.sleep(self._options.pause_s)

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[bool]:
        """The lock goes with its connection: nobody who dies keeps it."""
        async with asyncio.timeout(_CONNECT_TIMEOUT_S):
            connection = await connect_like(self._pool)
        try:
            cursor = await connection.execute(_LOCK)
            row = await cursor.fetchone()
            yield bool(row and row[0])
        finally:
            await close_quietly(connection)
