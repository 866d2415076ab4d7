"""Accepted writes of the plugin: what a former process gave up is tried again, and how much waits is told."""

import asyncio
import logging
from pathlib import Path

import pytest

from mem0_tools.writing import Writing
from tests.support.waiting import until
from tests.unit.dify.fake_home import FakeMemory
from xiaozhi_memory.mem0ai.accepting.file import FileJournal
from xiaozhi_memory.mem0ai.errors import InvalidTextError

HELLO = {"messages": [{"role": "user", "content": "I live in Bern."}], "infer": False}


async def test_what_was_given_up_is_tried_again_by_the_next_start(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path / "accepted.db")
    refusing = Writing(journal, FakeMemory(add=InvalidTextError("not now")), parallel=2)
    refusing.start()
    await refusing.accept("add", "ann", HELLO)
    await until(journal.dead)
    await refusing.stop(1.0)

    memory = FakeMemory(add=[])
    again = Writing(journal, memory, parallel=2)
    again.start()
    await until(lambda: [one for one in memory.asked if one[0] == "add"])
    await again.stop(1.0)
    assert await journal.dead() == []
    assert await again.waiting() == 0
    await journal.close()


async def test_what_waits_is_told_from_time_to_time(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="mem0_tools")
    never = asyncio.Event()

    async def hang(*_: object, **__: object) -> None:
        await never.wait()

    journal = FileJournal(tmp_path / "accepted.db")
    writing = Writing(journal, FakeMemory(add=hang), parallel=1, told_every_s=0.01)
    writing.start()
    await writing.accept("add", "ann", HELLO)
    await until(lambda: "accepted writes: 1 wait, 0 were given up" in caplog.messages)
    await writing.stop(0.0)
    await journal.close()


async def test_what_waits_to_be_added_is_dropped_with_the_memories(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path / "accepted.db")
    writing = Writing(journal, FakeMemory(), parallel=1)
    await writing.accept("add", "ann", HELLO)
    await writing.accept("add", "bob", HELLO)
    await writing.drop("ann", None)
    assert [one.user_id for one in await journal.claim(limit=9, lease_s=1.0)] == ["bob"]
    await journal.close()
