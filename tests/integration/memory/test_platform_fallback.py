"""With `fallback: self_hosted` the embedded memory takes over while Mem0's platform is away, and hands over later."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from firmware_sim.cloud import Fault
from tests.integration.memory.platform_world import (
    DOG,
    QUICK,
    TEAL,
    OpenFallback,
    Pool,
    World,
    handed_over,
    later,
    platform_world,
    said,
    view_of,
)
from tests.support.tcp_proxy import LinkFault
from tests.support.waiting import until
from xiaozhi_server.core.providers.memory.mem0ai import EngineOptions, Mem0aiMemory, MemoryEngine
from xiaozhi_server.core.providers.memory.mem0ai.embedding.embed import Embedder, Vectors
from xiaozhi_server.core.providers.memory.mem0ai.engine import MakeSaver
from xiaozhi_server.core.providers.memory.mem0ai.testing import WordEmbedder

OSLO = "I live in Oslo."


@pytest.fixture
async def world(pool: Pool) -> AsyncIterator[World]:
    async with platform_world(pool) as world:
        yield world


@pytest.fixture
def fallback(pool: Pool, executor: ThreadPoolExecutor) -> OpenFallback:
    return fallback_with(pool, executor, WordEmbedder())


def fallback_with(pool: Pool, executor: ThreadPoolExecutor, embedder: Embedder) -> OpenFallback:
    def opened(make_saver: MakeSaver) -> MemoryEngine:
        return MemoryEngine(pool, embedder, executor, EngineOptions(drain=QUICK.drain), make_saver=make_saver)

    return opened


async def copies(pool: Pool, user_id: str = "ann") -> list[str]:
    """What lies among the embedded memories."""
    async with pool.connection() as connection:
        cursor = await connection.execute(
            "SELECT text FROM memory_entry WHERE user_id = %s ORDER BY created_at", (user_id,)
        )
        return [text for (text,) in await cursor.fetchall()]


async def on_the_way(pool: Pool) -> int:
    """How many entries a worker has taken and not put back."""
    async with pool.connection() as connection:
        cursor = await connection.execute("SELECT count(*) FROM memory_outbox WHERE attempts > 0 AND error IS NULL")
        row = await cursor.fetchone()
        assert row is not None
        return int(row[0])


async def texts_for(memory: Mem0aiMemory, query: str) -> list[str]:
    return [one.text for one in await memory.recall(query, 5, 2.0)]


async def test_recalled_and_kept_here_meanwhile_and_handed_over_once(world: World, fallback: OpenFallback) -> None:
    await world.link.fail(LinkFault("refuse"))
    async with world.engine(fallback=fallback) as engine:
        ann, bob = await view_of(engine), await view_of(engine, "bob")
        await ann.save_memory([said(TEAL)], key="turn-1")
        await ann.save_memory([said(OSLO, later(1))], key="turn-2")
        await bob.save_memory([said(DOG)], key="turn-1")

        async def are_copied() -> bool:
            return await copies(world.pool) == [TEAL, OSLO] and await copies(world.pool, "bob") == [DOG]

        await until(are_copied)
        assert TEAL in await texts_for(ann, "What is my favourite colour?")
        assert await texts_for(bob, "What is my dog called?") == [DOG]

        await world.link.heal()
        await handed_over(engine)
        assert world.there() == [TEAL, OSLO]
        assert world.there("bob") == [DOG]
        assert await copies(world.pool) == await copies(world.pool, "bob") == []
        assert await texts_for(ann, "What is my favourite colour?") == [TEAL]
    assert len(world.asked("add")) == 3


async def test_while_the_platform_works_it_alone_has_it(world: World, fallback: OpenFallback) -> None:
    async with world.engine(fallback=fallback) as engine:
        memory = await view_of(engine)
        await memory.save_memory([said(TEAL)])
        await handed_over(engine)
        assert await texts_for(memory, "favourite colour") == [TEAL]
    assert await copies(world.pool) == []
    assert world.there() == [TEAL]


async def test_a_platform_that_hangs_costs_one_question_at_most(world: World, fallback: OpenFallback) -> None:
    async with world.engine(fallback=fallback) as engine:
        memory = await view_of(engine)
        await until(lambda: world.asked("ping"))
        world.cloud.faults.memory = Fault(mode="stall")
        await memory.save_memory([said(TEAL)])

        async def is_known() -> bool:
            return await texts_for(memory, "favourite colour") == [TEAL]

        await until(is_known)


@pytest.mark.parametrize("rounds", [3])
async def test_again_and_again(world: World, fallback: OpenFallback, rounds: int) -> None:
    texts = [f"Fact number {number}." for number in range(2 * rounds)]
    async with world.engine(fallback=fallback) as engine:
        memory = await view_of(engine)
        for number, text in enumerate(texts):
            await (world.link.fail(LinkFault("refuse")) if number % 2 == 0 else world.link.heal())
            await memory.save_memory([said(text, later(number))], key=text)
            await asyncio.sleep(0.1)  # some are copied and some are not when the platform comes back
        await handed_over(engine)
    assert world.there() == texts
    assert await copies(world.pool) == []


async def test_stopped_in_the_outage(world: World, fallback: OpenFallback) -> None:
    await world.link.fail(LinkFault("refuse"))
    async with world.engine(fallback=fallback) as engine:
        await (await view_of(engine)).save_memory([said(TEAL)])

        async def is_copied() -> bool:
            return await copies(world.pool) == [TEAL]

        await until(is_copied)
    async with world.engine(fallback=fallback) as engine:
        assert await texts_for(await view_of(engine), "favourite colour") == [TEAL]
        await world.link.heal()
        await handed_over(engine)
    assert world.there() == [TEAL]
    assert await copies(world.pool) == []


async def test_a_refused_key_leaves_the_embedded_memory(
    world: World, fallback: OpenFallback, caplog: pytest.LogCaptureFixture
) -> None:
    async with world.engine(replace(QUICK, api_key="m0-wrong"), fallback) as engine:
        memory = await view_of(engine)
        await until(lambda: world.cloud.counts["memory"] >= 2)
        await memory.save_memory([said(TEAL)])
        assert await texts_for(memory, "favourite colour") == [TEAL]
    lines = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert ["kept here meanwhile" in line.getMessage() for line in lines] == [True]
    assert world.there() == []


async def test_what_was_forgotten_meanwhile_is_not_handed_over(world: World, fallback: OpenFallback) -> None:
    engines: list[MemoryEngine] = []

    def noted(make_saver: MakeSaver) -> MemoryEngine:
        engines.append(fallback(make_saver))
        return engines[0]

    await world.link.fail(LinkFault("refuse"))
    async with world.engine(fallback=noted) as engine:
        memory = await view_of(engine)
        await memory.save_memory([said(TEAL)], key="turn-1")

        async def is_at_rest() -> bool:
            return await copies(world.pool) == [TEAL] and not await on_the_way(world.pool)

        await until(is_at_rest)
        await engines[0].delete_all(user_id="ann")
        await world.link.heal()
        await memory.save_memory([said(DOG)], key="turn-2")
        await handed_over(engine)
    assert world.there() == [DOG]
    assert await copies(world.pool) == []


async def test_a_copy_that_comes_too_late_is_not_made(world: World, pool: Pool, executor: ThreadPoolExecutor) -> None:
    """The platform comes back while the embedder is at work: the entry is settled before its copy is ready."""
    embedder = SlowEmbedder()
    await world.link.fail(LinkFault("refuse"))
    async with world.engine(fallback=fallback_with(pool, executor, embedder)) as engine:
        await (await view_of(engine)).save_memory([said(TEAL)])
        await asyncio.wait_for(embedder.asked.wait(), 10)
        await world.link.heal()
        await handed_over(engine)
        embedder.released.set()
        await asyncio.wait_for(embedder.answered.wait(), 10)
        await asyncio.sleep(0.1)
    assert world.there() == [TEAL]
    assert await copies(pool) == []


class SlowEmbedder(WordEmbedder):
    """Holds back the vectors of what was said until it is told to give them."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.released = asyncio.Event()
        self.answered = asyncio.Event()

    async def embed(self, texts: Sequence[str]) -> Vectors:
        if TEAL not in texts:
            return await super().embed(texts)
        self.asked.set()
        await self.released.wait()
        vectors = await super().embed(texts)
        self.answered.set()
        return vectors
