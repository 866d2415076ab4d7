"""A server that has just started answers its first questions as it will answer the later ones."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from xiaozhi_server.core.providers.memory.base import SpokenMessage
from xiaozhi_server.core.providers.memory.mem0ai import EngineOptions, Mem0aiMemory, MemoryEngine, MiniLmEmbedder
from xiaozhi_server.core.providers.memory.mem0ai.embedding.embed import Vectors
from xiaozhi_server.core.providers.memory.mem0ai.observe import NoObserver
from xiaozhi_server.core.providers.memory.mem0ai.testing import WordEmbedder

Pool = AsyncConnectionPool[AsyncConnection[Any]]
HOUSEHOLDS = 12


class SlowToLoad(WordEmbedder):
    is_loaded = False

    async def embed(self, texts: Sequence[str]) -> Vectors:
        await asyncio.sleep(0.1)
        self.is_loaded = True
        return await super().embed(texts)


class Dead(WordEmbedder):
    async def embed(self, texts: Sequence[str]) -> Vectors:
        raise RuntimeError("there is no model")


class Hanging(WordEmbedder):
    async def embed(self, texts: Sequence[str]) -> Vectors:
        await asyncio.Event().wait()
        raise AssertionError


class Late(NoObserver):
    def __init__(self) -> None:
        self.recalls: list[bool] = []

    def recall_done(self, seconds: float, hits: int, late: bool) -> None:
        self.recalls.append(late)


async def test_a_start_waits_for_the_model(start_engine: Any) -> None:
    embedder = SlowToLoad()
    async with start_engine(embedder):
        assert embedder.is_loaded


@pytest.mark.parametrize("embedder", [Dead(), Hanging()], ids=["dead", "hanging"])
async def test_a_start_goes_on_without_it(start_engine: Any, embedder: WordEmbedder) -> None:
    async with start_engine(embedder, EngineOptions(warm_up_s=0.5)) as engine:
        await engine.enqueue([SpokenMessage("user", "I like teal.", datetime.now(UTC))], user_id="ann")
        found = await engine.search("teal", user_id="ann", vector_timeout_s=0.1)
        assert [one.memory.text for one in found] == ["I like teal."]


async def test_a_start_makes_connections_for_a_rush(database_dsn: str, executor: ThreadPoolExecutor) -> None:
    pool: Pool = AsyncConnectionPool(database_dsn, min_size=1, max_size=6, open=False)
    async with pool:
        engine = MemoryEngine(pool, WordEmbedder(), executor)
        await engine.start()
        assert pool.get_stats()["pool_size"] == 6
        await engine.stop(1.0)


async def test_a_start_without_enough_connections_still_loads_the_model(
    database_dsn: str, executor: ThreadPoolExecutor
) -> None:
    embedder = SlowToLoad()
    pool: Pool = AsyncConnectionPool(database_dsn, min_size=3, max_size=3, timeout=0.05, open=False)
    async with pool:
        await pool.wait()
        async with pool.connection():  # somebody else has one of them
            engine = MemoryEngine(pool, embedder, executor)
            await engine.start()
            assert embedder.is_loaded
            await engine.stop(1.0)


async def test_the_first_questions_of_many_are_answered(
    pool: Pool, executor: ThreadPoolExecutor, minilm: MiniLmEmbedder
) -> None:
    """All at the same moment; with a generous deadline, since this machine may have other things to do."""
    first = MemoryEngine(pool, WordEmbedder(), executor)
    await first.start()
    for number in range(HOUSEHOLDS):
        fact = SpokenMessage("user", f"My favourite colour is number {number}.", datetime.now(UTC))
        await first.add([fact], user_id=f"owner-{number}", agent_id="bot")
    await first.stop(1.0)
    observer = Late()
    cold = MemoryEngine(pool, minilm, executor, observer=observer)
    await cold.start()

    async def ask(number: int) -> list[str]:
        memory = Mem0aiMemory(cold)
        await memory.init_memory(f"owner-{number}", agent_id="bot")
        return [one.text for one in await memory.recall("What is my favourite colour?", 3, 3.0)]

    answers = await asyncio.gather(*map(ask, range(HOUSEHOLDS)))
    assert answers == [[f"My favourite colour is number {number}."] for number in range(HOUSEHOLDS)]
    assert observer.recalls == [False] * HOUSEHOLDS
    await cold.stop(1.0)
