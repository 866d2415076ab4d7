"""Mem0's platform down in every way, and back: reads go without, writes wait, nothing is lost and nothing doubled."""

import asyncio
import logging
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from firmware_sim.cloud import Extraction, Fault
from tests.integration.memory.platform_world import (
    DOG,
    KEY,
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
from tests.support.tcp_proxy import LinkFault
from tests.support.waiting import until

SAVER = Path(__file__).with_name("killed_platform_saver.py")
ROOT = Path(__file__).parents[3]

LINK_FAULTS = [
    LinkFault("refuse"),
    LinkFault("hang_up"),
    LinkFault("freeze"),
    LinkFault("cut", after_bytes=40),
    LinkFault("noise"),
]
ANSWER_FAULTS = [
    Fault(status=500),
    Fault(status=503),
    Fault(status=429),
    Fault(status=401),
    Fault(status=302),
    Fault(mode="garbage"),
    Fault(mode="empty"),
    Fault(mode="stall"),
    Fault(mode="cut"),
    Fault(mode="stall_midway"),
    Fault(mode="cut_midway"),
    Fault(delay_s=2.0),
]


@pytest.fixture
async def world(pool: Pool) -> AsyncIterator[World]:
    async with platform_world(pool) as world:
        yield world


async def has_let_us_in(world: World) -> None:
    await until(lambda: world.asked("ping"))


async def break_it(world: World, fault: LinkFault | Fault) -> None:
    if isinstance(fault, LinkFault):
        await world.link.fail(fault)
    else:
        world.cloud.faults.memory = fault


async def mend_it(world: World) -> None:
    world.cloud.faults.clear()
    await world.link.heal()


def name_of(fault: LinkFault | Fault) -> str:
    return f"link-{fault.mode}" if isinstance(fault, LinkFault) else f"{fault.mode}-{fault.status}-{fault.delay_s:g}"


@pytest.mark.parametrize("fault", [*LINK_FAULTS, *ANSWER_FAULTS], ids=name_of)
async def test_down_and_back_again(world: World, fault: LinkFault | Fault) -> None:
    async with world.engine() as engine:
        ann, bob = await view_of(engine), await view_of(engine, "bob")
        await has_let_us_in(world)
        await ann.save_memory([said(TEAL)], key="turn-1")
        await handed_over(engine)

        await break_it(world, fault)
        await ann.save_memory([said(DOG, later(1))], key="turn-2")
        await bob.save_memory([said(DOG, later(1))], key="turn-1")
        await ann.save_memory([said("I live in Oslo.", later(2))], key="turn-3")
        for _ in range(3):
            async with asyncio.timeout(20):
                assert await ann.recall("favourite colour", 5, 0.3) == []
        assert (await engine.depth()).waiting == 3
        # What waits is known all the same.
        assert [one.text for one in await bob.recall("What is my dog called?", 5, 2.0)] == [DOG]

        await mend_it(world)
        await handed_over(engine)
        assert world.there("ann") == [TEAL, DOG, "I live in Oslo."]
        assert world.there("bob") == [DOG]
        assert (await engine.depth()).dead == 0

        async def is_recalled() -> bool:
            return [one.text for one in await ann.recall("favourite colour", 1, 2.0)] == [TEAL]

        await until(is_recalled)


async def test_down_from_the_start(world: World) -> None:
    await world.link.fail(LinkFault("refuse"))
    async with world.engine() as engine:
        memory = await view_of(engine)
        await memory.save_memory([said(TEAL)])
        assert await memory.recall("what do you know", 5, 2.0) == []
        await world.link.heal()
        await handed_over(engine)
    assert world.there() == [TEAL]


async def test_nobody_waits_for_a_platform_that_hangs_from_the_start(world: World) -> None:
    world.cloud.faults.memory = Fault(mode="stall")
    async with asyncio.timeout(30), world.engine(replace(QUICK, request_timeout_s=60.0)) as engine:
        memory = await view_of(engine)
        await memory.save_memory([said(TEAL)])
        assert [one.text for one in await memory.recall("favourite colour", 5, 1.5)] == [TEAL]


async def test_a_long_outage_costs_no_attempts(world: World) -> None:
    options = replace(QUICK, drain=replace(QUICK.drain, attempts_max=2))
    await world.link.fail(LinkFault("refuse"))
    async with world.engine(options) as engine:
        await (await view_of(engine)).save_memory([said(TEAL)])
        for _ in range(2):
            await asyncio.sleep(0.3)  # many times as long as two attempts would take
            assert (await engine.depth()).dead == 0
        await world.link.heal()
        await handed_over(engine)
    assert world.there() == [TEAL]


async def test_stopped_in_the_outage_and_handed_over_by_the_next_start(world: World) -> None:
    await world.link.fail(LinkFault("refuse"))
    async with world.engine() as engine:
        await (await view_of(engine)).save_memory([said(TEAL)])
    await world.link.heal()
    async with world.engine() as engine:
        await handed_over(engine)
    assert world.there() == [TEAL]


async def test_an_outage_is_one_line_and_its_end_another(world: World, caplog: pytest.LogCaptureFixture) -> None:
    async with world.engine() as engine:
        memory = await view_of(engine)
        await has_let_us_in(world)
        await world.link.fail(LinkFault("refuse"))
        caplog.set_level(logging.INFO)
        for _ in range(5):
            await memory.recall("favourite colour", 5, 0.3)
        await world.link.heal()

        async def is_back() -> bool:
            await memory.recall("favourite colour", 5, 2.0)
            return "platform is back" in caplog.text

        await until(is_back)
    lines = [record.getMessage() for record in caplog.records if "platform" in record.getMessage()]
    assert len(lines) == 2, lines
    assert "is away" in lines[0]
    assert KEY not in caplog.text


@pytest.mark.parametrize("mode", ["cut_midway", "stall_midway"])
async def test_taken_but_the_answer_was_lost(world: World, mode: str) -> None:
    world.cloud.platform.memories.extraction = Extraction(delay_s=0.2)
    async with world.engine(replace(QUICK, unsure_s=5.0)) as engine:
        await has_let_us_in(world)
        world.cloud.faults.memory = Fault(mode=mode, times=1)  # type: ignore[arg-type]
        await (await view_of(engine)).save_memory([said(TEAL)])
        await handed_over(engine)
    assert len(world.asked("add")) == 1
    assert world.there() == [TEAL]


async def test_a_batch_whose_answer_was_lost_is_not_doubled_by_trying_its_entries_one_by_one(world: World) -> None:
    policy = replace(QUICK.policy, exchanges=2, idle_s=3600.0)
    drain = replace(QUICK.drain, attempts_together=1)
    async with world.engine(replace(QUICK, policy=policy, drain=drain)) as engine:
        await has_let_us_in(world)
        world.cloud.faults.memory = Fault(mode="cut_midway", times=1)
        memory = await view_of(engine)
        await memory.save_memory([said(TEAL)], key="turn-1")
        await memory.save_memory([said(DOG)], key="turn-2")
        await handed_over(engine)
    assert sorted(world.there()) == [DOG, TEAL]


@pytest.mark.parametrize("step", ["committed", "noted", "taken", "known", "settling", "settled"])
async def test_killed_at(step: str, world: World, database_dsn: str) -> None:
    """`taken`: the platform has it and the process died before the answer; `settling`: before the commit."""
    saver = await asyncio.create_subprocess_exec(
        sys.executable, str(SAVER), database_dsn, world.link.url, KEY, step, env={"PYTHONPATH": str(ROOT)}
    )
    async with asyncio.timeout(60):
        assert await saver.wait() == -signal.SIGKILL
    assert len(world.asked("add")) == (0 if step in ("committed", "noted") else 1)
    async with world.engine() as engine:
        await handed_over(engine)
        recalled = await (await view_of(engine)).recall("favourite colour", 5, 2.0)
        assert [one.text for one in recalled] == [TEAL]
    assert world.there() == [TEAL]
    assert len(world.asked("add")) == 1
