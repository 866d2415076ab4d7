"""kill -9 between every two steps of learning a fact: all that it changes is there, once, or nothing of it yet."""

import asyncio
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from tests.integration.memory.killed_facts import NEW, OLD, STEPS, all_saved, engine_on, tell

ROOT = Path(__file__).parents[3]


async def kill_at(step: str, dsn: str) -> None:
    saver = await asyncio.create_subprocess_exec(
        sys.executable, str(Path(__file__).with_name("killed_facts.py")), dsn, step, env={"PYTHONPATH": str(ROOT)}
    )
    async with asyncio.timeout(60):
        assert await saver.wait() == -signal.SIGKILL


@pytest.mark.parametrize("step", STEPS)
async def test_killed_while_learning(
    step: str, database_dsn: str, pool: AsyncConnectionPool[AsyncConnection[Any]], executor: ThreadPoolExecutor
) -> None:
    await kill_at(step, database_dsn)
    engine = engine_on(pool, executor)
    await engine.start()
    try:
        await tell(engine, NEW, 12)  # whoever had not heard that it was accepted hands it in again
        async with asyncio.timeout(30):
            await all_saved(engine)
        memories = {memory.text: memory for memory in await engine.get_all(user_id="ann")}
        assert memories.keys() == {OLD, NEW}
        assert memories[OLD].superseded_by == memories[NEW].id
        events = await engine.history(memories[OLD].id, user_id="ann")
        assert [one.event for one in events] == ["ADD", "SUPERSEDE"]
        for table, count in (("memory_thing", 2), ("memory_link", 1), ("memory_relation", 1)):
            async with pool.connection() as connection:
                cursor = await connection.execute(f"SELECT count(*) FROM {table}".encode())
                assert await cursor.fetchone() == (count,)
    finally:
        await engine.stop(1.0)
