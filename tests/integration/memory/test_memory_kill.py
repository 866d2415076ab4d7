"""kill -9 between the steps of a save: afterwards a committed exchange is remembered exactly once."""

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

SAVER = Path(__file__).with_name("killed_saver.py")
ROOT = Path(__file__).parents[3]
FACT = "My favourite colour is teal."


@pytest.mark.parametrize(
    ("step", "expected"),
    [("put", []), ("committed", [FACT]), ("claimed", [FACT]), ("inserted", [FACT]), ("saved", [FACT])],
)
async def test_killed_at(step: str, expected: list[str], database_dsn: str, start_engine: Any) -> None:
    saver = await asyncio.create_subprocess_exec(
        sys.executable, str(SAVER), database_dsn, step, env={"PYTHONPATH": str(ROOT)}
    )
    async with asyncio.timeout(30):
        assert await saver.wait() == -signal.SIGKILL
    async with start_engine() as engine:
        assert [hit.memory.text for hit in await engine.search("favourite colour", user_id="ann")] == expected
        async with asyncio.timeout(10):
            while (await engine.depth()).waiting:  # noqa: ASYNC110 - the database has no event to wait for
                await asyncio.sleep(0.02)
        assert [memory.text for memory in await engine.get_all(user_id="ann", agent_id="bot")] == expected
