"""Whose a memory is: the recognised person's, else the household's; and who gets to hear it."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support.waiting import until
from xiaozhi_server.core.providers.memory.base import SpokenMessage
from xiaozhi_server.core.providers.memory.mem0ai import InvalidIdError, Mem0aiMemory, MemoryEngine, ProviderOptions
from xiaozhi_server.core.providers.memory.mem0ai.records import FoundMemory
from xiaozhi_server.core.providers.memory.mem0ai.scope import owner_of

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
HOME = "device:aa:bb"
ANN, TOM = owner_of(HOME, "Ann"), owner_of(HOME, "Tom")
ASKED = "What is the colour?"


def said(text: str, speaker: str | None = None) -> list[SpokenMessage]:
    return [SpokenMessage("user", text, NOON, speaker), SpokenMessage("assistant", f"Noted: {text}", NOON)]


async def at_home(engine: MemoryEngine, agent: str = "bot", **options: Any) -> Mem0aiMemory:
    memory = Mem0aiMemory(engine, ProviderOptions(**{"deadline_s": 5.0, "recall_tokens": 5000, **options}))
    await memory.init_memory(HOME, agent_id=agent)
    return memory


async def heard(memory: Mem0aiMemory, speaker: str | None = None) -> set[str]:
    found = await memory.recall(ASKED, 20, 5.0, speaker=speaker)
    return {one.text for one in found if not one.text.startswith("Noted")}


@pytest.fixture
async def family(engine: MemoryEngine) -> Mem0aiMemory:
    memory = await at_home(engine)
    await memory.save_memory(said("The colour of my room is red.", "Ann"), "s1", key="t1")
    await memory.save_memory(said("The colour of my bike is blue.", "Tom"), "s1", key="t2")
    await memory.save_memory(said("The colour of the door is green."), "s1", key="t3")
    return memory


@pytest.mark.parametrize(
    ("speaker", "known"),
    [
        ("Ann", {"The colour of my room is red.", "The colour of the door is green."}),
        (" ANN ", {"The colour of my room is red.", "The colour of the door is green."}),
        ("Tom", {"The colour of my bike is blue.", "The colour of the door is green."}),
        ("Zoe", {"The colour of the door is green."}),
        ("unknown", {"The colour of the door is green."}),
        ("未知说话人", {"The colour of the door is green."}),
        ("  ", {"The colour of the door is green."}),
        (None, {"The colour of the door is green."}),
    ],
)
async def test_who_asks_hears_their_own_and_the_households(
    family: Mem0aiMemory, speaker: str | None, known: set[str]
) -> None:
    assert await heard(family, speaker) == known


async def test_a_question_that_wraps_its_speaker_is_that_persons(family: Mem0aiMemory) -> None:
    lines = await family.query_memory('{"speaker": "Ann", "content": "What is the colour of my room?"}')
    assert "Ann: The colour of my room is red." in lines
    assert "blue" not in lines


async def test_an_answer_belongs_to_whom_it_was_given(family: Mem0aiMemory, engine: MemoryEngine) -> None:
    assert {one.memory.text for one in await engine.search("colour", user_id=ANN, top_k=20)} == {
        "The colour of my room is red.",
        "Noted: The colour of my room is red.",
    }


async def test_another_agent_knows_none_of_it(family: Mem0aiMemory, engine: MemoryEngine) -> None:
    assert await heard(await at_home(engine, "tutor"), "Ann") == set()


async def test_a_voice_that_becomes_known_owns_what_it_says_from_then_on(engine: MemoryEngine) -> None:
    memory = await at_home(engine)
    await memory.save_memory(said("The colour of my hat is black.", "未知说话人"), key="t1")
    await memory.save_memory(said("The colour of my hat is white.", "小雨"), key="t2")
    assert await heard(memory, "Tom") == {"The colour of my hat is black."}
    assert await heard(memory, "小雨") == {"The colour of my hat is black.", "The colour of my hat is white."}
    (before,) = [one for one in await memory.recall("black hat", 20, 5.0) if one.text.startswith("The colour")]
    assert before.speaker is None


async def test_one_talk_of_two_is_parted_between_them(engine: MemoryEngine) -> None:
    memory = await at_home(engine)
    talk = [
        {"role": "assistant", "content": "Which colour do you like, Ann?"},
        {"role": "user", "content": '{"speaker": "Ann", "content": "The colour teal."}'},
        {"role": "assistant", "content": "And which colour do you, Tom?"},
        {"role": "user", "content": "The colour pink.", "speaker": "Tom"},
    ]
    for _ in range(2):  # the same key twice is saved once, for each of them
        await memory.save_memory(talk, "s1", key="talk")
    assert {one.memory.text for one in await engine.search("colour", user_id=ANN, top_k=20)} == {
        "Which colour do you like, Ann?",
        "The colour teal.",
        "And which colour do you, Tom?",
    }
    assert [one.memory.text for one in await engine.search("colour", user_id=TOM, top_k=20)] == ["The colour pink."]


async def test_a_script_keeps_its_own_owner_where_no_speaker_is_known(engine: MemoryEngine) -> None:
    memory = Mem0aiMemory(engine, role_id="agent-7")
    await memory.save_memory(said("The colour is teal."))
    assert {one.memory.user_id for one in await engine.search("colour", user_id="agent-7", top_k=5)} == {"agent-7"}


@pytest.mark.parametrize("bad", ["", "*", " "])
async def test_a_speaker_makes_no_owner_of_nobody(engine: MemoryEngine, bad: str) -> None:
    memory = Mem0aiMemory(engine, role_id=bad)
    with pytest.raises(InvalidIdError):
        await memory.save_memory(said("The colour is teal.", "Ann"))
    with pytest.raises(InvalidIdError):
        await memory.recall(ASKED, 5, 1.0, speaker="Ann")


async def test_both_searches_share_one_limit(engine: MemoryEngine) -> None:
    memory = await at_home(engine)
    for number in range(4):
        await memory.save_memory(said(f"The colour of shelf {number} is grey.", "Ann"))
        await memory.save_memory(said(f"The colour of wall {number} is grey."))
    best = await memory.recall("What is the colour of shelf 2?", 3, 5.0, speaker="Ann")
    assert len(best) == 3
    assert "The colour of shelf 2 is grey." in [one.text for one in best]


class HalfSlowEngine:
    """The engine it is given; searches of one owner wait until they may begin."""

    def __init__(self, engine: MemoryEngine, slow: str) -> None:
        self.observer = engine.observer
        self.may_search = asyncio.Event()
        self._engine = engine
        self._slow = slow
        self.enqueue = engine.enqueue
        self.prefetch = engine.prefetch
        self.forgotten = engine.forgotten
        self.present = engine.present
        self.recalled = engine.recalled
        self.end_session = engine.end_session

    async def search(self, query: str, *, user_id: str, **where: Any) -> list[FoundMemory]:
        if user_id == self._slow:
            await self.may_search.wait()
        return await self._engine.search(query, user_id=user_id, **where)


@pytest.mark.parametrize("slow", [HOME, ANN])
async def test_what_one_of_them_has_in_time_does_not_wait_for_the_other(
    family: Mem0aiMemory, engine: MemoryEngine, slow: str
) -> None:
    half = HalfSlowEngine(engine, slow)
    memory = Mem0aiMemory(half, ProviderOptions(deadline_s=5.0))
    await memory.init_memory(HOME, agent_id="bot")
    own, shared = "The colour of my room is red.", "The colour of the door is green."
    at_once = {one.text for one in await memory.recall(ASKED, 20, 1.0, speaker="Ann")}
    assert {own, shared} & at_once == ({own} if slow == HOME else {shared})
    (late,) = (task for task in asyncio.all_tasks() if task.get_name() == "recall")
    half.may_search.set()
    await asyncio.wait({late})
    asked = await memory.recall("Something else entirely", 20, 5.0, speaker="Ann")
    assert (own if slow == ANN else shared) in {one.text for one in asked}
    await memory.close()


async def test_what_came_late_for_one_is_not_told_to_another(family: Mem0aiMemory, engine: MemoryEngine) -> None:
    half = HalfSlowEngine(engine, ANN)
    memory = Mem0aiMemory(half, ProviderOptions(deadline_s=5.0))
    await memory.init_memory(HOME, agent_id="bot")
    await memory.recall(ASKED, 20, 0.5, speaker="Ann")
    (late,) = (task for task in asyncio.all_tasks() if task.get_name() == "recall")
    half.may_search.set()
    await asyncio.wait({late})
    assert "The colour of my room is red." not in await heard(memory, "Tom")
    await memory.close()


async def test_the_persons_of_a_household_are_owners(family: Mem0aiMemory, engine: MemoryEngine) -> None:
    async def saved() -> bool:
        return (await engine.depth()).waiting == 0

    await until(saved)
    assert await engine.owners(limit=10) == sorted([HOME, ANN, TOM])
    assert ANN == "device:aa:bb/person:ann"
