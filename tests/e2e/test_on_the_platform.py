"""The promise kept with memories on Mem0's platform: half a second away, down, and back."""

import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from firmware_sim.cloud import Fault, StandInCloud
from firmware_sim.device import SimulatedDevice
from firmware_sim.phrases import Fact, draw_facts
from firmware_sim.speech import speak
from tests.support.log_lines import log_lines
from tests.support.running_server import RunningServer, running_server
from tests.support.waiting import until

KEY = "m0-stand-in-0123456789"
MAC = "02:00:00:00:00:01"
OTHER_MAC = "02:00:00:00:00:02"
PLATFORM_S = 0.5


@asynccontextmanager
async def world(
    database_dsn: str, folder: Path, *, fallback: str = "", agent: Mapping[str, Any] | None = None
) -> AsyncIterator[tuple[StandInCloud, RunningServer]]:
    """Model, recogniser, voice and memory are all in the same cloud, each with its own kind of key."""
    async with StandInCloud() as cloud:
        overrides: dict[str, Any] = {
            "selected_module.Memory": "mem0ai",
            "Memory.mem0ai.api_key": KEY,
            "Memory.mem0ai.host": cloud.memory_host,
            "Memory.mem0ai.fallback": fallback,
            **(agent or {}),
        }
        environment = {"OPENAI_API_KEY": "sk-stand-in-0123456789", "OPENAI_BASE_URL": cloud.base_url}
        async with running_server(database_dsn, folder, overrides, preset="openai", environment=environment) as server:
            yield cloud, server


async def say(server: RunningServer, mac: str, text: str, mode: str) -> str:
    """A session of its own."""
    async with SimulatedDevice(server.ota_url, mac=mac) as device:
        await device.boot()
        if mode == "typed":
            reply = await device.say_text(text)
        else:
            reply = await device.say_pcm(speak(text), mode=mode)  # type: ignore[arg-type]
        assert reply.finished
        return reply.text


def kept_by(cloud: StandInCloud) -> list[str]:
    """All that the platform has, of everybody."""
    return [memory["memory"] for memory in cloud.platform.memories.matching({"filters": {"user_id": "*"}})]


def a_fact() -> Fact:
    (fact,) = draw_facts(random.Random(), "en", 1)
    return fact


@pytest.mark.parametrize("mode", ["typed", "auto", "manual"])
async def test_what_was_told_in_an_earlier_session_is_answered_in_the_same_turn(
    mode: str, database_dsn: str, tmp_path: Path
) -> None:
    fact = a_fact()
    async with world(database_dsn, tmp_path) as (cloud, server):
        cloud.faults.memory = Fault(delay_s=PLATFORM_S)
        await say(server, MAC, fact.statement, mode)
        await until(lambda: fact.statement in kept_by(cloud))
        asked = len(searches(cloud))
        assert fact.answer in await say(server, MAC, fact.question, mode)
        assert len(searches(cloud)) > asked
        assert fact.answer not in await say(server, OTHER_MAC, fact.question, mode)
    assert kept_by(cloud).count(fact.statement) == 1


def searches(cloud: StandInCloud) -> list[dict[str, Any]]:
    return [request.body for request in cloud.requests if request.body.get("operation") == "search"]


async def test_down_the_talk_goes_on_and_nothing_is_lost(database_dsn: str, tmp_path: Path) -> None:
    fact = a_fact()
    async with world(database_dsn, tmp_path) as (cloud, server):
        cloud.faults.memory = Fault(status=500)
        assert await say(server, MAC, fact.statement, "typed")
        assert kept_by(cloud) == []
        cloud.faults.clear()
        await until(lambda: fact.statement in kept_by(cloud), within_s=60)
        assert fact.answer in await say(server, MAC, fact.question, "typed")


async def test_with_a_fallback_the_embedded_memory_answers_meanwhile(database_dsn: str, tmp_path: Path) -> None:
    fact = a_fact()
    async with world(database_dsn, tmp_path, fallback="self_hosted") as (cloud, server):
        cloud.faults.memory = Fault(mode="cut")
        await say(server, MAC, fact.statement, "typed")
        assert fact.answer in await say(server, MAC, fact.question, "typed")
        assert kept_by(cloud) == []
        cloud.faults.clear()
        await until(lambda: fact.statement in kept_by(cloud), within_s=60)
        assert fact.answer in await say(server, MAC, fact.question, "typed")
    assert kept_by(cloud).count(fact.statement) == 1


async def test_what_the_platform_will_not_do_is_said_at_the_start(database_dsn: str, tmp_path: Path) -> None:
    agent = {"agent.memory.forget": True, "agent.memory.ttl_days": 90}
    with log_lines() as lines:
        async with world(database_dsn, tmp_path, agent=agent):
            pass
    assert lines.with_text("left out") == [
        "WARNING agent.memory: forget, ttl_days cannot be done where the memories are kept: left out"
    ]


async def test_the_agents_instruction_reaches_the_platform(database_dsn: str, tmp_path: Path) -> None:
    async with world(database_dsn, tmp_path, agent={"agent.summary_memory": "Remember hobbies."}) as (cloud, server):
        await say(server, MAC, "My dog is called Rex.", "typed")
        await until(lambda: kept_by(cloud))
    (told,) = [request.body for request in cloud.requests if request.body.get("operation") == "add"]
    assert told["custom_instructions"] == "Remember hobbies."
