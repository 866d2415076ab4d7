"""kill -9 between every two steps of a save: what was committed is remembered, each exchange exactly once."""

import asyncio
import contextlib
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from firmware_sim.cloud import Fault, StandInCloud
from tests.integration.memory.conftest import Pool, StartGathering
from tests.integration.memory.killed_asker import parts as asking
from tests.integration.memory.killed_saver import FACTS, POLICY
from tests.integration.memory.mem0_world import self_hosted
from tests.support.waiting import until
from xiaozhi_server.core.providers.memory.base import SpokenMessage
from xiaozhi_server.core.providers.memory.mem0ai import MemoryEngine

SAVER = Path(__file__).with_name("killed_saver.py")
ASKER = Path(__file__).with_name("killed_asker.py")
ROOT = Path(__file__).parents[3]
STEPS = {
    "put turn-1": 0,
    "committed turn-1": 1,
    "put turn-2": 1,
    "committed turn-2": 2,
    "claimed": 2,
    "embedding": 2,
    "postponed": 2,
    "prepared": 2,
    "settled": 2,
    "inserted": 2,
    "saved": 2,
    "all done": 2,
}
# A single one may be saved before the other is told: these come with one of them or with both.
OF_THE_WORKER = ("claimed", "embedding", "postponed", "prepared", "settled", "inserted", "saved")


async def kill_at(step: str, dsn: str, kind: str) -> None:
    saver = await asyncio.create_subprocess_exec(
        sys.executable, str(SAVER), dsn, kind, step, env={"PYTHONPATH": str(ROOT)}
    )
    async with asyncio.timeout(60):
        assert await saver.wait() == -signal.SIGKILL


async def tell_again(engine: MemoryEngine, key: str) -> bool:
    message = SpokenMessage("user", FACTS[key], datetime(2026, 11, 20, tzinfo=UTC))
    return await engine.enqueue([message], user_id="ann", agent_id="bot", session_id="s1", key=key)


async def remembered(engine: MemoryEngine) -> list[str]:
    async with asyncio.timeout(60):
        while (await engine.depth()).waiting:  # noqa: ASYNC110 - the database has no event to wait for
            await asyncio.sleep(0.02)
    assert (await engine.depth()).dead == 0
    return sorted(memory.text for memory in await engine.get_all(user_id="ann", agent_id="bot"))


async def is_all_there(engine: MemoryEngine, committed: int) -> None:
    found = [one.memory.text for one in await engine.search("favourite", user_id="ann", top_k=10)]
    assert sorted(found) == sorted(FACTS.values())[:committed], "in between"
    await engine.end_session("s1", user_id="ann")
    assert len(await remembered(engine)) == committed
    # Whoever had not heard that it was accepted hands it in again.
    assert [await tell_again(engine, key) for key in FACTS].count(False) == committed
    await engine.end_session("s1", user_id="ann")
    assert await remembered(engine) == sorted(FACTS.values())


@pytest.mark.parametrize("step", STEPS)
async def test_killed_while_saving_each_at_once(step: str, database_dsn: str, start_engine: Any) -> None:
    await kill_at(step, database_dsn, "single")
    async with start_engine() as engine:
        committed = len(await engine.search("favourite", user_id="ann", top_k=10))
        assert committed == STEPS[step] or (committed == 1 and step in OF_THE_WORKER)
        await is_all_there(engine, committed)


@pytest.mark.parametrize("step", [*STEPS, "ended"])
async def test_killed_while_saving_both_together(step: str, database_dsn: str, start_gathering: StartGathering) -> None:
    await kill_at(step, database_dsn, "batch")
    async with start_gathering(POLICY) as (engine, _):
        await is_all_there(engine, STEPS.get(step, 2))


@pytest.mark.parametrize("step", ["asking", "answered", "written"])
async def test_killed_while_a_model_is_asked(step: str, database_dsn: str, pool: Pool, tmp_path: Path) -> None:
    """The next process takes over when the lease of the dead one has ended, which is not waited for here."""
    async with StandInCloud() as cloud:
        if step == "asking":
            cloud.faults.chat = Fault(mode="stall")
        asker = await asyncio.create_subprocess_exec(
            sys.executable, str(ASKER), database_dsn, cloud.base_url, str(tmp_path), step, env={"PYTHONPATH": str(ROOT)}
        )
        try:
            if step == "asking":
                await until(lambda: cloud.counts["chat"], within_s=60)
                asker.kill()
            async with asyncio.timeout(60):
                assert await asker.wait() == -signal.SIGKILL
        finally:
            with contextlib.suppress(ProcessLookupError):
                asker.kill()
        cloud.faults.clear()
        async with self_hosted(asking(cloud.base_url), pool, tmp_path) as engine:
            in_between = [one.memory.text for one in await engine.search("favourite", user_id="ann", top_k=10)]
            assert sorted(in_between) == sorted(FACTS.values()), "what waits is known"
            async with pool.connection() as connection:
                await connection.execute("UPDATE memory_outbox SET due_at = now() WHERE state = 'waiting'")
            assert isinstance(engine, MemoryEngine)
            assert each_once(await remembered(engine))
            assert [await tell_again(engine, key) for key in FACTS] == [False, False]
            assert each_once(await remembered(engine))


def each_once(texts: list[str]) -> bool:
    """In whatever words the model put them."""
    return len(texts) == 2 and all(sum(word in text for text in texts) == 1 for word in ("teal", "cocoa"))
