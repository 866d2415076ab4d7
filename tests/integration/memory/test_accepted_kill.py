"""kill -9 between every two steps of an accepted write: what was promised is done by the next start, exactly once."""

import asyncio
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.integration.memory.accepted_world import journal_of
from tests.integration.memory.conftest import Pool
from tests.integration.memory.killed_accepting import (
    BERLIN,
    COCOA,
    MUNICH,
    OPTIONS,
    PLUM,
    RICE,
    TEAL,
    engine_of,
)
from tests.support.waiting import until
from xiaozhi_server.core.providers.memory.mem0ai import MemoryEngine
from xiaozhi_server.core.providers.memory.mem0ai.accepting.doing import EngineDoer
from xiaozhi_server.core.providers.memory.mem0ai.accepting.worker import Worker

PROGRAM = Path(__file__).with_name("killed_accepting.py")
ROOT = Path(__file__).parents[3]
# What is remembered in the end, and what became of the colour, once so many were accepted.
AFTER = {
    1: ([TEAL], ["ADD"]),
    3: ([PLUM, COCOA], ["ADD", "UPDATE"]),
    5: ([PLUM, RICE], ["ADD", "UPDATE"]),
}


async def killed_at(step: str, number: int, kind: str, dsn: str, folder: Path) -> None:
    program = await asyncio.create_subprocess_exec(
        sys.executable, str(PROGRAM), dsn, str(folder), kind, step, str(number), env={"PYTHONPATH": str(ROOT)}
    )
    async with asyncio.timeout(60):
        assert await program.wait() == -signal.SIGKILL


async def done_by_the_next(kind: str, pool: Pool, folder: Path, executor: ThreadPoolExecutor) -> MemoryEngine:
    """Started, and stopped when there is nothing left; its readings still work."""
    engine = engine_of(kind, pool, executor)
    await engine.start()
    journal = journal_of("file" if kind == "file" else "postgres", pool, folder)
    worker = Worker(journal, EngineDoer(engine), OPTIONS)
    worker.start()

    async def none_waits() -> bool:
        return await journal.waiting() == 0

    await until(none_waits)
    await worker.stop(5.0)
    assert await journal.dead() == []
    await journal.close()
    await engine.stop(1.0)
    return engine


@pytest.mark.parametrize(
    ("step", "number"),
    [
        ("accepted", 1), ("accepted", 3), ("claimed", 1), ("settling", 1), ("inserted", 1), ("done", 1),
        ("claimed", 3), ("settling", 3), ("updated", 1), ("done", 3), ("settling", 4),
        ("deleted", 1),
    ],
)  # fmt: skip
async def test_killed_beside_the_memories(
    step: str, number: int, database_dsn: str, pool: Pool, tmp_path: Path, executor: ThreadPoolExecutor
) -> None:
    await killed_at(step, number, "postgres", database_dsn, tmp_path)
    engine = await done_by_the_next("postgres", pool, tmp_path, executor)
    texts, events = AFTER[number if step == "accepted" else 5]
    memories = await engine.get_all(user_id="ann")
    assert sorted(memory.text for memory in memories) == sorted(texts)
    (colour,) = [memory for memory in memories if "colour" in memory.text]
    assert [event.event for event in await engine.history(colour.id, user_id="ann")] == events, "exactly once"


@pytest.mark.parametrize(
    ("step", "number"),
    [("accepted", 1), ("accepted", 3), ("claimed", 1), ("inserted", 1), ("done", 1), ("done", 3), ("settled", 4)],
)
async def test_killed_beside_a_file(
    step: str, number: int, database_dsn: str, pool: Pool, tmp_path: Path, executor: ThreadPoolExecutor
) -> None:
    await killed_at(step, number, "file", database_dsn, tmp_path)
    engine = await done_by_the_next("file", pool, tmp_path, executor)
    texts, _ = AFTER[number if step == "accepted" else 5]
    assert sorted(memory.text for memory in await engine.get_all(user_id="ann")) == sorted(texts)


@pytest.mark.parametrize(
    ("step", "number"),
    [("claimed", 2), ("settling", 1), ("settling", 2), ("inserted", 2), ("superseded", 1), ("done", 2)],
)
async def test_killed_while_facts_are_made(
    step: str, number: int, database_dsn: str, pool: Pool, tmp_path: Path, executor: ThreadPoolExecutor
) -> None:
    await killed_at(step, number, "facts", database_dsn, tmp_path)
    engine = await done_by_the_next("facts", pool, tmp_path, executor)
    memories = await engine.get_all(user_id="ann", agent_id="bot")
    assert sorted((memory.text, memory.superseded_by is None) for memory in memories) == [
        (MUNICH, False),
        (BERLIN, True),
    ]
