"""Looking up and changing what Mem0's platform keeps: one owner's own, and nothing half done while it is away."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest

from firmware_sim.cloud import Fault
from tests.integration.memory.platform_world import (
    DOG,
    QUICK,
    SAID_AT,
    TEAL,
    Pool,
    World,
    handed_over,
    later,
    platform_world,
    said,
)
from tests.support.tcp_proxy import LinkFault
from tests.support.waiting import until
from xiaozhi_server.core.providers.memory.mem0ai import EngineOptions, InvalidIdError, MemoryEngine
from xiaozhi_server.core.providers.memory.mem0ai.engine import MakeSaver
from xiaozhi_server.core.providers.memory.mem0ai.errors import (
    InvalidFilterError,
    InvalidMetadataError,
    InvalidNumberError,
    InvalidTextError,
    MemoryInputError,
    MemoryNotFoundError,
)
from xiaozhi_server.core.providers.memory.mem0ai.platform import PlatformEngine
from xiaozhi_server.core.providers.memory.mem0ai.platform.errors import PlatformError
from xiaozhi_server.core.providers.memory.mem0ai.rows.listing import cursor_of
from xiaozhi_server.core.providers.memory.mem0ai.testing import WordEmbedder

OSLO = "I live in Oslo."


@pytest.fixture
async def world(pool: Pool) -> AsyncIterator[World]:
    async with platform_world(pool) as world:
        yield world


@asynccontextmanager
async def told(world: World) -> AsyncIterator[PlatformEngine]:
    """Ann has told two agents something, Bob one."""
    async with world.engine() as engine:
        for number, (owner, agent, text) in enumerate(
            [("ann", "bot", TEAL), ("ann", "bot", DOG), ("ann", "tutor", OSLO), ("bob", "bot", TEAL)]
        ):
            await engine.enqueue([said(text, later(number))], user_id=owner, agent_id=agent, session_id="s1")
        await handed_over(engine)
        yield engine


@pytest.fixture
async def engine(world: World) -> AsyncIterator[PlatformEngine]:
    async with told(world) as engine:
        yield engine


async def id_of(engine: PlatformEngine, text: str, owner: str = "ann") -> UUID:
    (memory,) = [one for one in await engine.get_all(user_id=owner) if one.text == text]
    return memory.id


async def test_one_memory_with_all_that_is_known_of_it(engine: PlatformEngine) -> None:
    memory = await engine.get(str(await id_of(engine, TEAL)), user_id="ann")
    assert memory is not None
    assert (memory.text, memory.user_id, memory.agent_id, memory.session_id) == (TEAL, "ann", "bot", "s1")
    assert (memory.created_at, memory.metadata) == (SAID_AT, None)


async def test_the_newest_first_in_pages_and_as_the_filter_says(engine: PlatformEngine) -> None:
    assert [one.text for one in await engine.get_all(user_id="ann")] == [OSLO, DOG, TEAL]
    assert [one.text for one in await engine.get_all(user_id="ann", agent_id="bot")] == [DOG, TEAL]
    first = await engine.get_all(user_id="ann", top_k=2)
    rest = await engine.get_all(user_id="ann", top_k=2, cursor=cursor_of(first[-1]))
    assert [one.text for one in [*first, *rest]] == [OSLO, DOG, TEAL]
    filters = {"memory": {"icontains": "REX"}}
    assert [one.text for one in await engine.get_all(user_id="ann", filters=filters)] == [DOG]
    assert await engine.get_all(user_id="ann", top_k=0) == []
    assert await engine.get_all(user_id="nobody") == []


async def test_more_than_a_page_of_theirs(world: World) -> None:
    for number in range(230):
        request = {"messages": [{"role": "user", "content": f"Fact {number}."}], "user_id": "ann"}
        world.cloud.platform.memories.add(request)
    async with world.engine() as engine:
        assert len(await engine.get_all(user_id="ann", top_k=1000)) == 230
        assert len(await engine.get_all(user_id="ann", top_k=7)) == 7
        assert await engine.delete_all(user_id="ann") == 230
    assert world.there() == []


async def test_another_text_and_other_metadata(engine: PlatformEngine, world: World) -> None:
    id = await id_of(engine, TEAL)
    changed = await engine.update(id, user_id="ann", text="I like pink.", metadata={"kind": "taste", "sure": True})
    assert (changed.text, changed.metadata) == ("I like pink.", {"kind": "taste", "sure": True})
    merged = await engine.update(id, user_id="ann", metadata={"sure": None, "since": 2020})
    assert (merged.text, merged.metadata) == ("I like pink.", {"kind": "taste", "since": 2020})
    assert (merged.agent_id, merged.session_id) == ("bot", "s1")
    history = await engine.history(id, user_id="ann")
    assert [(one.event, one.old_memory, one.new_memory) for one in history[:2]] == [
        ("ADD", None, TEAL),
        ("UPDATE", TEAL, "I like pink."),
    ]
    assert "I like pink." in world.there()


async def test_a_deleted_one_is_gone_and_its_history_is_told(engine: PlatformEngine, world: World) -> None:
    id = await id_of(engine, TEAL)
    await engine.delete(id, user_id="ann")
    assert await engine.get(id, user_id="ann") is None
    assert world.there() == [DOG, OSLO]
    assert [one.event for one in await engine.history(id, user_id="ann")] == ["ADD", "DELETE"]
    with pytest.raises(MemoryNotFoundError):
        await engine.delete(id, user_id="ann")


async def test_all_of_an_agent_and_all_of_an_owner(engine: PlatformEngine, world: World) -> None:
    assert await engine.delete_all(user_id="ann", agent_id="bot") == 2
    assert world.there() == [OSLO]
    assert await engine.delete_all(user_id="ann") == 1
    assert (world.there(), world.there("bob")) == ([], [TEAL])
    assert await engine.delete_all(user_id="ann") == 0


async def test_nobody_touches_what_is_somebody_elses(engine: PlatformEngine, world: World) -> None:
    id = await id_of(engine, TEAL)
    assert await engine.get(id, user_id="bob") is None
    assert await engine.history(id, user_id="bob") == []
    for attempt in (engine.update(id, user_id="bob", text="Mine."), engine.delete(id, user_id="bob")):
        with pytest.raises(MemoryNotFoundError):
            await attempt
    assert world.there() == [TEAL, DOG, OSLO]
    assert not any(world.asked(operation) for operation in ("update", "delete"))


async def test_a_history_of_several_owners_is_told_to_none(engine: PlatformEngine, world: World) -> None:
    id = await id_of(engine, TEAL)
    world.cloud.platform.memories.history(str(id))[0]["user_id"] = "bob"
    await engine.update(id, user_id="ann", text="I like pink.")
    assert await engine.history(id, user_id="ann") == []
    assert await engine.history(id, user_id="bob") == []


@pytest.mark.parametrize(
    "id", ["", "x", "*", "../../v1/batch", "5b0d3f1e-8a51-4c0e-9d0c-6f1f0b2c7a11", "\0", "0" * 5000]
)
async def test_ids_that_nobody_has(engine: PlatformEngine, id: str) -> None:
    assert await engine.get(id, user_id="ann") is None
    assert await engine.history(id, user_id="ann") == []
    with pytest.raises(MemoryNotFoundError):
        await engine.update(id, user_id="ann", text="x")
    with pytest.raises(MemoryNotFoundError):
        await engine.delete(id, user_id="ann")


@pytest.mark.parametrize("owner", ["", "*", " ", "a\0b", None, 7])
async def test_nobody_in_particular_is_an_error(engine: PlatformEngine, world: World, owner: Any) -> None:
    id = await id_of(engine, TEAL)
    before = len(world.cloud.requests)
    for attempt in (
        engine.get(id, user_id=owner),
        engine.get_all(user_id=owner),
        engine.update(id, user_id=owner, text="x"),
        engine.delete(id, user_id=owner),
        engine.delete_all(user_id=owner),
        engine.history(id, user_id=owner),
    ):
        with pytest.raises(InvalidIdError):
            await attempt
    assert len(world.cloud.requests) == before


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ({"text": ""}, InvalidTextError),
        ({"text": 7}, InvalidTextError),
        ({}, InvalidTextError),
        ({"metadata": []}, InvalidMetadataError),
        ({"metadata": {"x": float("nan")}}, InvalidMetadataError),
        ({"metadata": {"send_id": "mine"}}, InvalidMetadataError),
    ],
)
async def test_updates_that_mean_nothing(
    engine: PlatformEngine, world: World, call: dict[str, Any], error: type[MemoryInputError]
) -> None:
    with pytest.raises(error):
        await engine.update(await id_of(engine, TEAL), user_id="ann", **call)
    assert not world.asked("update")


async def test_listings_that_mean_nothing(engine: PlatformEngine) -> None:
    with pytest.raises(InvalidNumberError):
        await engine.get_all(user_id="ann", top_k="many")  # type: ignore[arg-type]
    with pytest.raises(InvalidFilterError):
        await engine.get_all(user_id="ann", filters={"memory": {"resembles": "x"}})


FAULTS = [Fault(status=500), Fault(status=429), Fault(status=401), Fault(mode="garbage"), Fault(mode="cut")]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.mode}{fault.status}")
async def test_while_it_fails_each_call_says_so_and_nothing_is_done(world: World, fault: Fault) -> None:
    async with told(world) as engine:
        id = await id_of(engine, TEAL)
        world.cloud.faults.memory = fault
        await engine.enqueue([said("I have a cat.", later(9))], user_id="ann", agent_id="bot")
        for attempt in (
            engine.get(id, user_id="ann"),
            engine.get_all(user_id="ann"),
            engine.update(id, user_id="ann", text="x"),
            engine.delete(id, user_id="ann"),
            engine.delete_all(user_id="ann"),
            engine.history(id, user_id="ann"),
            engine.owners(limit=5),
        ):
            with pytest.raises(PlatformError):
                await attempt
        world.cloud.faults.clear()
        await handed_over(engine)
    assert world.there() == [TEAL, DOG, OSLO, "I have a cat."]


async def test_a_deletion_while_it_is_away_can_be_asked_for_again(world: World) -> None:
    async with told(world) as engine:
        await world.link.fail(LinkFault("refuse"))
        with pytest.raises(PlatformError):
            await engine.delete_all(user_id="ann")
        await world.link.heal()
        assert await engine.delete_all(user_id="ann") == 3
    assert world.there() == []


async def test_a_deletion_that_is_broken_off_midway_is_finished_by_the_next(world: World) -> None:
    """The listing comes through, and from the first deletion on nothing does."""
    async with told(world) as engine:
        world.cloud.faults.memory = Fault(delay_s=0.2)
        deleting = asyncio.create_task(engine.delete_all(user_id="ann"))
        await until(lambda: world.asked("delete"))
        await world.link.fail(LinkFault("refuse"))
        with pytest.raises(PlatformError):
            await deleting
        await world.link.heal()
        await engine.delete_all(user_id="ann")
    assert world.there() == []


async def test_away_with_a_fallback_what_waits_is_listed_and_deleted(
    world: World, pool: Pool, executor: ThreadPoolExecutor
) -> None:
    def fallback(make_saver: MakeSaver) -> MemoryEngine:
        return MemoryEngine(pool, WordEmbedder(), executor, EngineOptions(drain=QUICK.drain), make_saver=make_saver)

    await world.link.fail(LinkFault("refuse"))
    async with world.engine(fallback=fallback) as engine:
        await engine.enqueue([said(TEAL)], user_id="ann", agent_id="bot", key="t1")
        await engine.enqueue([said(DOG, later(1))], user_id="ann", agent_id="bot", key="t2")

        async def are_copied() -> bool:
            try:
                return len(await engine.get_all(user_id="ann")) == 2
            except PlatformError:  # it is not known yet that it is away
                return False

        await until(are_copied)
        id = await id_of(engine, TEAL)
        assert await engine.get(id, user_id="ann") is not None
        await engine.delete(id, user_id="ann")
        assert [one.text for one in await engine.get_all(user_id="ann")] == [DOG]
        await world.link.heal()
        await handed_over(engine)
    assert world.there() == [DOG]
