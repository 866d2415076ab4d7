"""kill -9 between every two steps of extraction, and two processes at once: each conversation is remembered once."""

import asyncio
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from tests.integration.memory.killed_longterm import (
    REMEMBERED,
    SAID,
    STEPS_OF_A_RUN,
    engine_on,
    longterm_on,
    request,
)
from tests.integration.memory.longterm_world import APP, DAY
from tests.support.dify_api import DifyStandIn

ROOT = Path(__file__).parents[3]
Pool = AsyncConnectionPool[AsyncConnection[Any]]


async def killed(dsn: str, dify: DifyStandIn, step: str) -> None:
    program = str(Path(__file__).with_name("killed_longterm.py"))
    process = await asyncio.create_subprocess_exec(
        sys.executable, program, dsn, dify.base_url, step, env={"PYTHONPATH": str(ROOT)}
    )
    async with asyncio.timeout(60):
        assert await process.wait() == -signal.SIGKILL


def talks(dify: DifyStandIn) -> set[str]:
    """A conversation of the day for each text; their ids."""
    hours = [(DAY + timedelta(hours=9 + number)).timestamp() for number in range(len(SAID))]
    return {dify.add("ann", text, "I see.", at=at)[0] for text, at in zip(SAID, hours, strict=True)}


async def changed(pool: Pool, query: str) -> None:
    async with pool.connection() as connection:
        await connection.execute(query.encode())


@pytest.mark.parametrize("step", STEPS_OF_A_RUN)
async def test_killed_while_extracting(step: str, database_dsn: str, pool: Pool, executor: ThreadPoolExecutor) -> None:
    async with DifyStandIn() as dify:
        ids = talks(dify)
        await killed(database_dsn, dify, step)
        engine = engine_on(pool, executor)
        await engine.start()
        try:
            longterm = longterm_on(engine, pool)
            # So long later that nobody believes the dead one to live.
            await changed(pool, "UPDATE memory_extraction_lock SET beat_at = now() - interval '5 minutes'")
            await changed(pool, "UPDATE memory_extraction_task SET updated_at = now() - interval '2 hours'")
            report = await longterm.run(request(dify.base_url))
            assert report["per_user"][0]["status"] == "SUCCESS"
            assert sorted(memory.text for memory in await engine.get_all(user_id="ann")) == REMEMBERED
            kept = await longterm.checkpoint("ann", APP)
            assert set(kept["checkpoint"]["conversations"]) == ids
            for task in await tasks(pool):
                assert (await longterm.status(task))["task_status"] in ("completed", "failed")
        finally:
            await engine.stop(1.0)


async def tasks(pool: Pool) -> list[str]:
    async with pool.connection() as connection:
        cursor = await connection.execute("SELECT id FROM memory_extraction_task")
        return [row[0] for row in await cursor.fetchall()]


async def test_two_processes_at_once(database_dsn: str, pool: Pool, executor: ThreadPoolExecutor) -> None:
    async with DifyStandIn() as dify:
        ids = talks(dify)
        await asyncio.gather(*(killed(database_dsn, dify, "all done") for _ in range(2)))
        engine = engine_on(pool, executor)
        await engine.start()
        try:
            longterm = longterm_on(engine, pool)
            assert sorted(memory.text for memory in await engine.get_all(user_id="ann")) == REMEMBERED
            assert set((await longterm.checkpoint("ann", APP))["checkpoint"]["conversations"]) == ids
        finally:
            await engine.stop(1.0)
