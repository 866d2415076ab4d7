"""Memory on Mem0's platform: what is sent, what is asked, what comes back, and writes that take their time."""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from firmware_sim.cloud import Extraction, Fault
from tests.integration.memory.platform_world import (
    DOG,
    KEY,
    QUICK,
    SAID_AT,
    TEAL,
    Pool,
    World,
    handed_over,
    later,
    platform_world,
    said,
    view_of,
)
from tests.support.waiting import until
from xiaozhi_server.core.providers.memory.base import MemoryProvider, SpokenMessage
from xiaozhi_server.core.providers.memory.mem0ai import InvalidIdError, Mem0aiMemory
from xiaozhi_server.core.providers.memory.mem0ai.platform import PlatformOptions, PlatformSetupError


@pytest.fixture
async def world(pool: Pool) -> AsyncIterator[World]:
    async with platform_world(pool) as world:
        yield world


async def test_a_new_session_knows_what_the_last_one_said(world: World) -> None:
    async with world.engine() as engine:
        first: MemoryProvider = await view_of(engine)
        await first.save_memory([said(TEAL), SpokenMessage("assistant", "Noted.", SAID_AT)], "session-1", key="turn-1")
        await first.close()
        await handed_over(engine)
        second = await view_of(engine, timezone="Asia/Shanghai", deadline_s=2.0)
        assert await second.query_memory("What is my favourite colour?") == f"[2026-11-20 17:15:30] {TEAL}"
        (memory,) = await second.recall("favourite colour", 1, 2.0)
        assert memory.timestamp == SAID_AT
        assert memory.timestamp.utcoffset() == timedelta(hours=8)
        assert 0 < memory.score <= 1


async def test_what_the_platform_is_told_and_asked(world: World) -> None:
    async with world.engine() as engine:
        memory = await view_of(engine)
        await memory.save_memory([said(TEAL, speaker="Ann")], "session-1", key="turn-1")
        await handed_over(engine)
        await memory.recall("favourite colour", 3, 2.0, speaker="ANN")
    (told,) = world.asked("add")
    names = {told["metadata"].pop(name) for name in ("send_id", "attempt")}
    assert told == {
        "operation": "add",
        "messages": [{"role": "user", "content": f"Ann: {TEAL}"}],
        "user_id": "ann/person:ann",
        "metadata": {"agent_id": "bot", "session_id": "session-1"},
        "timestamp": int(SAID_AT.timestamp()),
        "custom_instructions": "Remember hobbies.",
    }
    assert len(names) == 2
    searches = sorted(world.asked("search"), key=lambda search: str(search["filters"]))
    assert searches == [
        {
            "operation": "search",
            "query": "favourite colour",
            "filters": {"AND": [{"user_id": owner}, {"metadata": {"agent_id": "bot"}}]},
            "top_k": 3,
        }
        for owner in ("ann", "ann/person:ann")
    ]


async def test_another_instruction_is_in_the_next_request(world: World) -> None:
    async with world.engine() as engine:
        memory = await view_of(engine)
        for number, instruction in enumerate(["Remember food.", "Remember pets.", None]):
            await memory.init_memory("ann", agent_id="bot", summary_memory=instruction)
            await memory.save_memory([said(TEAL)], key=f"turn-{number}")
        await handed_over(engine)
    assert [told.get("custom_instructions") for told in world.asked("add")] == [
        "Remember food.",
        "Remember pets.",
        None,
    ]


async def test_others_know_nothing(world: World) -> None:
    async with world.engine() as engine:
        await (await view_of(engine)).save_memory([said(TEAL)])
        for _ in range(2):  # while it waits, and when it is there
            for owner, agent in (("bob", "bot"), ("ann", "tutor"), ("bot", "ann")):
                assert await (await view_of(engine, owner, agent)).recall("favourite colour", 5, 2.0) == []
            await handed_over(engine)


async def test_setting_the_role_is_enough_and_sees_what_every_agent_heard(world: World) -> None:
    async with world.engine() as engine:
        await (await view_of(engine, "agent-7", "tutor")).save_memory([said(DOG)], key="turn-1")
        memory = Mem0aiMemory(engine)
        memory.role_id = "agent-7"
        await memory.save_memory([said(TEAL)], key="turn-2")
        await handed_over(engine)
        assert [one.text for one in await memory.recall("My favourite colour", 5, 2.0)] == [TEAL, DOG]
    assert [told["metadata"].get("agent_id") for told in world.asked("add")] == ["tutor", None]


async def test_the_newest_comes_first_whatever_its_score(world: World) -> None:
    async with world.engine() as engine:
        memory = await view_of(engine)
        texts = [TEAL, "The colour of my bike is red.", "Red is a colour."]
        for minutes, text in enumerate(texts):
            await memory.save_memory([said(text, later(minutes))], key=text)
        await handed_over(engine)
        recalled = await memory.recall("What is my favourite colour?", 5, 2.0)
        assert [one.text for one in recalled] == texts[::-1]
        assert [one.timestamp for one in recalled] == [later(2), later(1), SAID_AT]
        assert recalled[2].score > recalled[0].score
        assert len(await memory.recall("What is my favourite colour?", 2, 2.0)) == 2


@pytest.mark.parametrize("bad", ["", "*", " "])
async def test_nobodys_memory_is_an_error(world: World, bad: str) -> None:
    async with world.engine() as engine:
        memory = Mem0aiMemory(engine, role_id=bad)
        with pytest.raises(InvalidIdError):
            await memory.recall("colour", 5, 1.0)
        with pytest.raises(InvalidIdError):
            await memory.save_memory([said(TEAL)])
    assert world.asked("add") == world.asked("search") == []


async def test_what_is_pending_is_known_and_known_once(world: World) -> None:
    world.cloud.platform.memories.extraction = Extraction(delay_s=0.5)
    async with world.engine() as engine:
        memory = await view_of(engine)
        await memory.save_memory([said(TEAL)])
        recalled: list[list[str]] = []
        async with asyncio.timeout(20):
            while not recalled or (await engine.depth()).waiting:
                recalled.append([one.text for one in await memory.recall("favourite colour", 5, 2.0)])
        recalled.append([one.text for one in await memory.recall("favourite colour", 5, 2.0)])
    assert len(recalled) > 3
    assert [texts for texts in recalled if texts != [TEAL]] == []
    assert len(world.asked("add")) == 1


async def test_a_write_that_takes_longer_than_anybody_waits_is_not_sent_again(world: World) -> None:
    world.cloud.platform.memories.extraction = Extraction(delay_s=0.6)
    async with world.engine(replace(QUICK, event_timeout_s=0.05)) as engine:
        await (await view_of(engine)).save_memory([said(TEAL)])
        await handed_over(engine)
    assert len(world.asked("add")) == 1
    assert world.there() == [TEAL]


async def test_a_write_that_failed_there_is_sent_again(world: World) -> None:
    world.cloud.platform.memories.extraction = Extraction(failures=2)
    async with world.engine() as engine:
        memory = await view_of(engine)
        await memory.save_memory([said(TEAL)], key="turn-1")
        await memory.save_memory([said(DOG, later(1))], key="turn-2")
        await handed_over(engine)
    assert len(world.asked("add")) == 4
    assert world.there() == [TEAL, DOG]


async def test_a_write_that_always_fails_is_given_up_shown_and_can_be_tried_again(world: World) -> None:
    world.cloud.platform.memories.extraction = Extraction(failures=1000)
    options = replace(QUICK, drain=replace(QUICK.drain, attempts_max=3))
    async with world.engine(options) as engine:
        memory = await view_of(engine)
        await memory.save_memory([said(TEAL)], key="turn-1")
        await handed_over(engine)
        (letter,) = await engine.dead_letters("ann")
        assert letter.error == "ExtractionFailedError"
        assert len(world.asked("add")) == 3
        assert [one.text for one in await memory.recall("favourite colour", 5, 2.0)] == [TEAL]
        world.cloud.platform.memories.extraction = Extraction()
        assert await engine.replay("ann") == 1
        await handed_over(engine)
        assert await engine.dead_letters("ann") == []
    assert world.there() == [TEAL]


async def test_exchanges_of_a_talk_go_together_and_the_same_key_goes_once(world: World) -> None:
    policy = replace(QUICK.policy, idle_s=3600.0, exchanges=10)
    async with world.engine(replace(QUICK, policy=policy)) as engine:
        memory = await view_of(engine)
        for key, text in (("turn-1", TEAL), ("turn-2", DOG), ("turn-1", TEAL)):
            await memory.save_memory([said(text)], "session-1", key=key)
        assert world.asked("add") == []
        await memory.close()  # the session is over: nobody waits for more of it
        await handed_over(engine)
    (told,) = world.asked("add")
    assert [message["content"] for message in told["messages"]] == [TEAL, DOG]


async def test_a_late_answer_is_there_for_the_next_question(world: World) -> None:
    async with world.engine() as engine:
        memory = await view_of(engine)
        await memory.save_memory([said(TEAL)])
        await handed_over(engine)
        world.cloud.faults.memory = Fault(delay_s=0.2)
        assert await memory.recall("favourite colour", 5, 0.05) == []
        (search,) = (task for task in asyncio.all_tasks() if task.get_name() == "recall")
        await asyncio.wait({search})  # its answer is there, for the next question
        assert [one.text for one in await memory.recall("Good morning!", 5, 2.0)] == [TEAL]


async def test_an_abandoned_turn_ends_its_request(world: World) -> None:
    async with world.engine() as engine:
        memory = await view_of(engine)
        world.cloud.faults.memory = Fault(mode="stall")
        turn = asyncio.create_task(memory.recall("favourite colour", 5, 60.0))
        before = world.cloud.counts["memory"]
        await until(lambda: world.cloud.counts["memory"] > before)
        turn.cancel()
        with pytest.raises(asyncio.CancelledError):
            await turn
        await memory.close()


async def test_a_refused_key_is_one_line_and_no_memory(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with world.engine(replace(QUICK, api_key="m0-wrong")) as engine:
        memory = await view_of(engine)
        await until(lambda: world.cloud.counts["memory"] >= 3)  # it goes on trying
        await memory.save_memory([said(TEAL)])
        assert await memory.recall("favourite colour", 5, 2.0) == []
        assert (await engine.depth()).waiting == 0
    (line,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert line.levelno == logging.ERROR
    assert "refuses the api_key" in line.getMessage()
    assert "m0-wrong" not in caplog.text


async def test_a_key_that_is_mended_there_lets_memory_begin(world: World) -> None:
    world.cloud.faults.memory = Fault(status=403, times=3)
    async with world.engine() as engine:

        async def is_taken() -> bool:
            return await engine.enqueue([said(TEAL)], user_id="ann")

        await until(lambda: world.cloud.counts["memory"])
        await until(is_taken)
        await handed_over(engine)
    assert world.there() == [TEAL]


def test_a_missing_key_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MEM0_API_KEY", raising=False)
    with pytest.raises(PlatformSetupError, match="MEM0_API_KEY"):
        PlatformOptions()
    monkeypatch.setenv("MEM0_API_KEY", KEY)
    options = PlatformOptions()
    assert options.api_key == KEY
    assert options.host == "https://api.mem0.ai"
    assert KEY not in repr(options)


@pytest.mark.parametrize(
    "wrong",
    [
        {"host": "api.mem0.ai"},
        {"host": "ftp://x"},
        {"host": "http://x/?a=b"},
        {"api_key": "m0-\x7f"},
        {"api_key": "钥匙"},
    ],
)
def test_what_cannot_be_right_is_said_at_once(wrong: dict[str, Any]) -> None:
    with pytest.raises(PlatformSetupError):
        PlatformOptions(**{"api_key": KEY, **wrong})
