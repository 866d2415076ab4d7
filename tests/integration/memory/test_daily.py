"""The daily work on a real database and a clock of its own: when it is done, by whom, and what a crash leaves to do."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from tests.integration.memory.killed_daily import NOON, Counting, rules
from tests.support.waiting import until
from xiaozhi_server.core.providers.memory.base import MemoryRules, SpokenMessage
from xiaozhi_server.core.providers.memory.mem0ai import EngineOptions, MemoryEngine
from xiaozhi_server.core.providers.memory.mem0ai.daily.maintenance import MaintenanceOptions, Work
from xiaozhi_server.core.providers.memory.mem0ai.daily.night import Nights
from xiaozhi_server.core.providers.memory.mem0ai.observe import FailureKind, NoObserver
from xiaozhi_server.core.providers.memory.mem0ai.testing import WordEmbedder

Pool = AsyncConnectionPool[AsyncConnection[Any]]

KILLED = Path(__file__).with_name("killed_daily.py")
ROOT = Path(__file__).parents[3]
DAY = NOON.date()


@dataclass
class Clock:
    now: datetime = NOON

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Observer(NoObserver):
    done: list[tuple[str, dict[str, int]]] = field(default_factory=list)
    failed: list[tuple[str, FailureKind]] = field(default_factory=list)

    def maintained(self, step: str, counts: Mapping[str, int], seconds: float) -> None:
        self.done.append((step, dict(counts)))

    def maintenance_failed(self, step: str, kind: FailureKind) -> None:
        self.failed.append((step, kind))


class Failing:
    name = "failing"
    ill = True

    async def run(self, work: Work) -> Mapping[str, int]:
        if self.ill:
            raise RuntimeError("what somebody said: plums")
        return {"mended": 1}


@dataclass
class Daily:
    """Makes engines on one clock, as many as there are processes."""

    pool: Pool
    executor: ThreadPoolExecutor
    clock: Clock = field(default_factory=Clock)
    observer: Observer = field(default_factory=Observer)

    @asynccontextmanager
    async def engine(self, *steps: Any, **options: Any) -> AsyncIterator[MemoryEngine]:
        nights = Nights(settle=timedelta(minutes=10))
        maintenance = MaintenanceOptions(nights=nights, pause_s=0.0, **options)
        engine = MemoryEngine(
            self.pool,
            WordEmbedder(),
            self.executor,
            EngineOptions(maintenance=maintenance, clock=self.clock),
            observer=self.observer,
            rules=rules,
        )
        for step in steps:
            engine.maintenance.add(step)
        await engine.start()
        try:
            yield engine
        finally:
            await engine.stop(1.0)


@pytest.fixture
def daily(pool: Pool, executor: ThreadPoolExecutor) -> Daily:
    return Daily(pool, executor)


async def remember(engine: MemoryEngine, count: int, *, days: float = 100.0) -> None:
    said_at = NOON - timedelta(days=days)
    messages = [SpokenMessage("user", f"Fact {number}.", said_at) for number in range(count)]
    await engine.add(messages, user_id="ann", agent_id="bot")
    await engine.add(messages[:1], user_id="ann", agent_id="another")


async def test_it_is_done_once_a_day_and_says_what_it_did(daily: Daily, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    first = Counting("first")
    async with daily.engine(first) as engine:
        await remember(engine, 3)
        assert not await engine.maintenance.run_if_due(), "it has only just been started"
        daily.clock.now += timedelta(minutes=10)
        assert await engine.maintenance.run_if_due()
        assert await engine.count() == 1
        assert not await engine.maintenance.run_if_due()
        runs = await engine.daily_runs()
    assert [(one.day, one.step, one.attempts, one.error, one.counts) for one in runs] == [
        (DAY, "first", 1, None, {"runs": 1}),
        (DAY, "forget", 1, None, {"retained": 1, "deleted": 3, "faded": 3}),
    ]
    assert runs[0].started_at == runs[0].ended_at == daily.clock.now
    assert daily.observer.done == [(one.step, dict(one.counts)) for one in runs]
    assert "memory: the daily forget is done: 1 retained, 3 deleted, 3 faded" in caplog.text

    # After a restart it is still done, and the next night brings the next day's.
    async with daily.engine(first) as engine:
        daily.clock.now += timedelta(hours=2)
        assert not await engine.maintenance.run_if_due()
        daily.clock.now = datetime(2026, 11, 21, 1, 59, tzinfo=UTC)
        assert not await engine.maintenance.run_if_due()
        daily.clock.now += timedelta(hours=3)
        assert await engine.maintenance.run_if_due()
        assert {one.day for one in await engine.daily_runs()} == {DAY + timedelta(days=1)}
    assert first.runs == 2


async def test_what_was_recalled_a_moment_ago_counts_before_anything_goes(daily: Daily) -> None:
    async with daily.engine() as engine:
        await remember(engine, 3)
        daily.clock.now += timedelta(hours=1)
        (found,) = await engine.search("Fact 2.", user_id="ann", agent_id="bot", top_k=1, counts=True)
        assert found.score >= 0.5
        assert await engine.maintenance.run_if_due()
        assert [one.text for one in await engine.get_all(user_id="ann", agent_id="bot")] == [found.memory.text]


async def test_days_that_were_missed_are_made_up_for_once(daily: Daily) -> None:
    step = Counting("first")
    async with daily.engine(step) as engine:
        daily.clock.now += timedelta(days=40)  # asleep, with the lid closed
        assert await engine.maintenance.run_if_due()
        assert not await engine.maintenance.run_if_due()
    assert step.runs == 1


async def test_the_task_looks_by_itself_and_ends_with_the_engine(daily: Daily) -> None:
    step = Counting("first")
    async with daily.engine(step, look_every_s=0.01) as engine:
        daily.clock.now += timedelta(hours=1)

        async def done() -> bool:
            return len(await engine.daily_runs()) == 2 and all(one.ended_at for one in await engine.daily_runs())

        await until(done)
    assert step.runs == 1


async def test_two_processes_do_it_once(daily: Daily) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    class Slow:
        name = "slow"
        runs = 0

        async def run(self, work: Work) -> Mapping[str, int]:
            self.runs += 1
            begun.set()
            await go_on.wait()
            return {}

    slow = Slow()
    async with daily.engine(slow) as one, daily.engine(slow) as other:
        daily.clock.now += timedelta(hours=1)
        work = asyncio.create_task(one.maintenance.run_if_due())
        await begun.wait()
        assert not await other.maintenance.run_if_due(), "somebody is at it"
        go_on.set()
        assert await work
        assert not await other.maintenance.run_if_due(), "somebody has done it"
    assert slow.runs == 1


async def test_a_step_that_fails_is_tried_again_and_holds_up_no_other(
    daily: Daily, caplog: pytest.LogCaptureFixture
) -> None:
    failing, counting = Failing(), Counting("second")
    async with daily.engine(failing, counting) as engine:
        daily.clock.now += timedelta(hours=1)
        assert await engine.maintenance.run_if_due()
        runs = {one.step: one for one in await engine.daily_runs()}
        assert (runs["failing"].error, runs["failing"].ended_at) == ("RuntimeError", None)
        assert runs["second"].ended_at is not None and runs["forget"].ended_at is not None
        failing.ill = False
        assert not await engine.maintenance.run_if_due(), "not at once"
        daily.clock.now += timedelta(hours=1)
        assert await engine.maintenance.run_if_due()
        runs = {one.step: one for one in await engine.daily_runs()}
        assert (runs["failing"].error, runs["failing"].attempts, runs["failing"].counts) == (None, 2, {"mended": 1})
    assert counting.runs == 1
    assert daily.observer.failed == [("failing", "other")]
    assert "memory: the daily failing failed (RuntimeError)" in caplog.text
    assert "plums" not in caplog.text


async def test_old_runs_are_dropped(daily: Daily, pool: Pool) -> None:
    async with daily.engine() as engine:
        async with pool.connection() as connection:
            for day in (date(2026, 8, 1), date(2026, 11, 1)):
                await connection.execute(
                    "INSERT INTO memory_run (day, step, started_at) VALUES (%s, 'forget', now())", (day,)
                )
        daily.clock.now += timedelta(hours=1)
        assert await engine.maintenance.run_if_due()
        async with pool.connection() as connection:
            cursor = await connection.execute("SELECT day FROM memory_run ORDER BY day")
            assert await cursor.fetchall() == [(date(2026, 11, 1),), (DAY,)]


@pytest.mark.parametrize("step", ["forget", "second"])
async def test_killed_in_between_and_done_by_the_next(daily: Daily, database_dsn: str, step: str) -> None:
    async with daily.engine() as engine:
        await remember(engine, 23)
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(KILLED), database_dsn, step, env={"PYTHONPATH": str(ROOT)}
    )
    async with asyncio.timeout(60):
        assert await process.wait() == -signal.SIGKILL
    first, second = Counting("first"), Counting("second")
    async with daily.engine(*([first, second] if step == "second" else [])) as engine:
        left = await engine.count()
        assert left == 24 if step == "second" else 1 < left < 24
        daily.clock.now += timedelta(hours=1)
        assert await engine.maintenance.run_if_due()
        assert await engine.count() == 1
        attempts = {one.step: one.attempts for one in await engine.daily_runs()}
    assert attempts == ({"first": 1, "second": 2, "forget": 1} if step == "second" else {"forget": 2})
    assert (first.runs, second.runs) == ((0, 1) if step == "second" else (0, 0))


async def test_a_name_stands_for_one_step(daily: Daily) -> None:
    async with daily.engine(Counting("first")) as engine:
        with pytest.raises(ValueError, match="a step first already"):
            engine.maintenance.add(Counting("first"))


async def test_rules_that_mean_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="ttl_days must be 1 or more"):
        MemoryRules(ttl_days=0)
