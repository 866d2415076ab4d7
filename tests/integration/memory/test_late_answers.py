"""An answer that misses its deadline is not lost: the next question of the same conversation brings it along."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from xiaozhi_server.core.providers.memory.base import SpokenMessage
from xiaozhi_server.core.providers.memory.mem0ai import Mem0aiMemory, MemoryEngine, ProviderOptions
from xiaozhi_server.core.providers.memory.mem0ai.observe import MemoryObserver, NoObserver
from xiaozhi_server.core.providers.memory.mem0ai.records import FoundMemory

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
TEAL = "My favourite colour is teal."
BISCUIT = "My dog is called Biscuit."


class Observer(NoObserver):
    def __init__(self) -> None:
        self.recalls: list[tuple[int, bool]] = []

    def recall_done(self, seconds: float, hits: int, late: bool) -> None:
        self.recalls.append((hits, late))


class SlowEngine:
    """The engine it is given; its searches wait until they may begin."""

    def __init__(self, engine: MemoryEngine) -> None:
        self.counts = Observer()
        self.observer: MemoryObserver = self.counts
        self.may_search = asyncio.Event()
        self._engine = engine
        self.enqueue = engine.enqueue
        self.prefetch = engine.prefetch
        self.recalled = engine.recalled
        self.forgotten = engine.forgotten
        self.present = engine.present
        self.end_session = engine.end_session

    async def search(self, query: str, **where: Any) -> list[FoundMemory]:
        await self.may_search.wait()
        return await self._engine.search(query, **where)


@pytest.fixture
async def slow(engine: MemoryEngine) -> SlowEngine:
    for text in (TEAL, BISCUIT):
        await engine.add([SpokenMessage("user", text, NOON)], user_id="ann", agent_id="bot")
    return SlowEngine(engine)


async def provider(engine: SlowEngine, **options: Any) -> Mem0aiMemory:
    memory = Mem0aiMemory(engine, ProviderOptions(**options))
    await memory.init_memory("ann", agent_id="bot")
    return memory


async def ask_in_vain(memory: Mem0aiMemory, engine: SlowEngine, question: str) -> None:
    """The search goes on after its deadline, and ends before anybody asks again."""
    assert await memory.recall(question, 1, 0.01) == []
    (search,) = (task for task in asyncio.all_tasks() if task.get_name() == "recall")
    engine.may_search.set()
    await asyncio.wait({search})


async def texts_for(memory: Mem0aiMemory, question: str, limit: int = 5) -> list[str]:
    return [one.text for one in await memory.recall(question, limit, 5.0)]


async def test_the_next_question_gets_it_too_and_only_once(slow: SlowEngine) -> None:
    memory = await provider(slow)
    await ask_in_vain(memory, slow, "What is my favourite colour?")
    assert sorted(await texts_for(memory, "And what is my dog called?", limit=2)) == [BISCUIT, TEAL]
    assert await texts_for(memory, "What is my dog called?", limit=1) == [BISCUIT]
    assert slow.counts.recalls == [(0, True), (2, False), (1, False)]


async def test_what_both_found_is_there_once(slow: SlowEngine) -> None:
    memory = await provider(slow)
    await ask_in_vain(memory, slow, "What is my favourite colour?")
    assert (await texts_for(memory, "My favourite colour, I asked!")).count(TEAL) == 1


async def test_an_old_one_is_of_no_use_any_more(slow: SlowEngine) -> None:
    memory = await provider(slow, late_s=0.0)
    await ask_in_vain(memory, slow, "What is my favourite colour?")
    assert await texts_for(memory, "What is my dog called?", limit=1) == [BISCUIT]


async def test_another_owner_does_not_get_it(slow: SlowEngine) -> None:
    memory = await provider(slow)
    await ask_in_vain(memory, slow, "What is my favourite colour?")
    memory.role_id = "bob"
    assert await texts_for(memory, "What is my favourite colour?") == []


async def test_what_was_deleted_meanwhile_does_not_come_back(slow: SlowEngine, engine: MemoryEngine) -> None:
    memory = await provider(slow)
    await ask_in_vain(memory, slow, "What is my favourite colour?")
    (teal,) = [one for one in await engine.get_all(user_id="ann") if one.text == TEAL]
    await engine.delete(teal.id, user_id="ann")
    assert await texts_for(memory, "What is my dog called?") == [BISCUIT]
