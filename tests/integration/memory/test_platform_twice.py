"""What takes effect on Mem0's platform later than anybody waits, and so comes twice: hidden at once, deleted soon."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from firmware_sim.cloud import Extraction, Fault
from tests.integration.memory.platform_world import (
    DOG,
    QUICK,
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
from xiaozhi_server.core.providers.memory.mem0ai import Mem0aiMemory
from xiaozhi_server.core.providers.memory.mem0ai.platform import PlatformEngine, PlatformOptions

# A lost answer is not waited for: the same is sent again while the first request has yet to take effect.
HASTY = replace(QUICK, unsure_s=0.0)
BATCH = replace(HASTY, policy=replace(QUICK.policy, exchanges=2, idle_s=3600.0))
NOTHING_SPECIAL = Extraction()
ONE_BY_ONE = replace(BATCH, drain=replace(QUICK.drain, attempts_together=1))


@pytest.fixture
async def world(pool: Pool) -> AsyncIterator[World]:
    async with platform_world(pool) as world:
        yield world


async def lost(world: World, engine: PlatformEngine, *texts: str, then: Extraction = NOTHING_SPECIAL) -> Mem0aiMemory:
    """The request for these is taken and its answer lost; it takes effect when the test says so, after all others."""
    await until(lambda: world.asked("ping"))
    memories, before = world.cloud.platform.memories, len(world.asked("add"))
    memories.extraction = Extraction(delay_s=3600.0)
    world.cloud.faults.memory = Fault(mode="cut_midway", times=1)
    memory = await view_of(engine)
    for number, text in enumerate(texts):
        await memory.save_memory([said(text, later(number))], key=text)
    await until(lambda: len(world.asked("add")) > before)
    memories.extraction = then
    return memory


def events(world: World) -> list[str]:
    """What happened there, each with its text."""
    memories = world.cloud.platform.memories
    return [f"{line['event']} {line['new_memory'] or line['old_memory']}" for line in memories.changes()]


async def came_and_went(world: World, text: str) -> None:
    """It was there twice, and one of both was deleted."""
    await until(lambda: events(world).count(f"ADD {text}") == 2 and f"DELETE {text}" in events(world))


async def texts_for(memory: Mem0aiMemory, query: str = "favourite colour") -> list[str]:
    return [one.text for one in await memory.recall(query, 5, 2.0)]


async def test_a_request_that_takes_effect_late_leaves_one_memory(world: World) -> None:
    async with world.engine(HASTY) as engine:
        memory = await lost(world, engine, TEAL)
        await handed_over(engine)
        assert world.there() == [TEAL]
        world.cloud.platform.memories.hurry()
        assert world.there() == [TEAL, TEAL]
        seen: list[list[str]] = []
        while f"DELETE {TEAL}" not in events(world):
            seen.append(await texts_for(memory))
            seen.append([one.text for one in await engine.get_all(user_id="ann")])
            assert len(seen) < 1000, "it never went"
        assert [texts for texts in seen if texts != [TEAL]] == []
        assert await texts_for(memory) == [TEAL]
    assert world.there() == [TEAL]


async def test_what_took_effect_before_it_could_be_sent_again_is_not_sent_again(world: World) -> None:
    """The second request comes to nothing, and by the time of the next one the first has had its effect."""
    async with world.engine(HASTY) as engine:
        memory = await lost(world, engine, TEAL, then=Extraction(failures=1000))
        await until(lambda: len(world.asked("add")) > 2)
        world.cloud.platform.memories.hurry()
        await handed_over(engine)
        assert await texts_for(memory) == [TEAL]
    assert world.there() == [TEAL]
    assert events(world) == [f"ADD {TEAL}"]


@pytest.mark.parametrize("options", [BATCH, ONE_BY_ONE], ids=["together", "one by one"])
async def test_a_batch_that_takes_effect_late_leaves_each_exchange_once(world: World, options: PlatformOptions) -> None:
    async with world.engine(options) as engine:
        await lost(world, engine, TEAL, DOG)
        await handed_over(engine)
        world.cloud.platform.memories.hurry()
        await came_and_went(world, TEAL)
        await came_and_went(world, DOG)
    assert sorted(world.there()) == [DOG, TEAL]


async def test_the_next_process_looks_for_it_too(world: World) -> None:
    async with world.engine(HASTY) as engine:
        await lost(world, engine, TEAL)
        await handed_over(engine)
    world.cloud.platform.memories.hurry()
    assert len(world.there()) == 2
    async with world.engine(HASTY):
        await came_and_went(world, TEAL)
    assert world.there() == [TEAL]


async def test_it_is_looked_for_only_so_long(world: World) -> None:
    async with world.engine(HASTY) as engine:
        await lost(world, engine, TEAL)
        await handed_over(engine)
        assert await doubts(world) == 1
    async with world.engine(replace(HASTY, doubt_s=0.0)):

        async def is_forgotten() -> bool:
            return not await doubts(world)

        await until(is_forgotten)


async def doubts(world: World) -> int:
    async with world.pool.connection() as connection:
        cursor = await connection.execute("SELECT count(*) FROM memory_platform_doubt")
        row = await cursor.fetchone()
        assert row is not None
        return int(row[0])


# --- deleted while it is on its way ---


async def test_what_is_pending_there_does_not_come_back_after_everything_was_deleted(world: World) -> None:
    world.cloud.platform.memories.extraction = Extraction(delay_s=3600.0)
    async with world.engine() as engine:
        memory = await view_of(engine)
        await memory.save_memory([said(TEAL)])
        await until(lambda: world.asked("event"))
        assert await engine.delete_all(user_id="ann") == 0
        world.cloud.platform.memories.hurry()
        while f"DELETE {TEAL}" not in events(world):
            assert await texts_for(memory) == []
            assert await engine.get_all(user_id="ann") == []
        assert (await engine.depth()).waiting == 0
    assert world.there() == []
    assert events(world) == [f"ADD {TEAL}", f"DELETE {TEAL}"]


async def test_what_waits_is_not_sent_after_everything_was_deleted(world: World) -> None:
    policy = replace(QUICK.policy, idle_s=3600.0, exchanges=10)
    async with world.engine(replace(QUICK, policy=policy)) as engine:
        memory = await view_of(engine)
        await memory.save_memory([said(TEAL)], "s1", key="t1")
        await engine.delete_all(user_id="ann")
        await memory.save_memory([said(DOG)], "s1", key="t2")
        await memory.save_memory([said(TEAL)], "s1", key="t1")  # handed in again: it stays forgotten
        await memory.close()
        await handed_over(engine)
    assert world.there() == [DOG]


async def test_a_request_that_is_about_to_leave_is_held_back(world: World) -> None:
    """Between being taken out of the outbox and being sent an entry is forgotten."""
    async with world.engine() as engine:
        await until(lambda: world.asked("ping"))
        async with world.pool.connection() as holding, holding.transaction():
            await holding.execute("LOCK TABLE memory_platform IN EXCLUSIVE MODE")
            await engine.enqueue([said(TEAL)], user_id="ann", key="t1")
            await until(lambda: taken(world))
            await holding.execute("UPDATE memory_outbox SET state = 'done', messages = NULL, done_at = now()")
        await handed_over(engine)
        await engine.enqueue([said(DOG)], user_id="ann", key="t2")
        await handed_over(engine)
    assert world.there() == [DOG]
    assert len(world.asked("add")) == 1


async def taken(world: World) -> bool:
    async with world.pool.connection() as connection:
        cursor = await connection.execute("SELECT count(*) FROM memory_outbox WHERE attempts > 0")
        row = await cursor.fetchone()
        return bool(row and row[0])


async def test_a_twice_sent_one_is_deleted_for_good(world: World) -> None:
    async with world.engine(HASTY) as engine:
        memory = await lost(world, engine, TEAL)
        await handed_over(engine)
        assert await engine.delete_all(user_id="ann") == 1
        world.cloud.platform.memories.hurry()
        assert await texts_for(memory) == []
        await until(lambda: events(world).count(f"DELETE {TEAL}") == 2)
    assert world.there() == []


async def test_one_that_waits_is_deleted_with_its_exchange(world: World) -> None:
    policy = replace(QUICK.policy, idle_s=3600.0, exchanges=10)
    async with world.engine(replace(QUICK, policy=policy)) as engine:
        await engine.enqueue([said(TEAL)], user_id="ann", session_id="s1", key="t1")
        await engine.enqueue([said(DOG)], user_id="ann", session_id="s1", key="t2")
        found = {one.memory.text: one.memory.id for one in await engine.search("favourite colour", user_id="ann")}
        await engine.delete(found[TEAL], user_id="ann")
        assert TEAL not in [one.memory.text for one in await engine.search("favourite colour", user_id="ann")]
        await engine.end_session("s1", user_id="ann")
        await handed_over(engine)
    assert world.there() == [DOG]


async def test_another_agents_stay_on_their_way(world: World) -> None:
    world.cloud.platform.memories.extraction = Extraction(delay_s=3600.0)
    async with world.engine() as engine:
        await engine.enqueue([said(TEAL)], user_id="ann", agent_id="bot", key="t1")
        await engine.enqueue([said(DOG)], user_id="ann", agent_id="tutor", key="t2")
        await until(lambda: world.asked("event"))
        await engine.delete_all(user_id="ann", agent_id="bot")
        await until(lambda: len(world.asked("add")) == 2)
        world.cloud.platform.memories.hurry()
        await handed_over(engine)
        await until(lambda: f"DELETE {TEAL}" in events(world))
    assert world.there() == [DOG]
