"""The promise kept by each other kind of memory that the settings offer, told in one session and asked in the next."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from psycopg import AsyncConnection

from firmware_sim.cloud import StandInCloud
from firmware_sim.device import SimulatedDevice
from firmware_sim.phrases import Fact, draw_facts
from tests.support.redis_server import redis_server
from tests.support.running_server import RunningServer, running_server
from tests.support.waiting import until
from xiaozhi_server.memory import MemorySetupError

# What is remembered is asked here; how quickly, on a machine that may have other things to do, is for the bench to say.
PATIENT = {"memory.recall_deadline_ms": 5000}
MAC = "02:00:00:00:00:01"
OTHER_MAC = "02:00:00:00:00:02"


def part(cloud: StandInCloud, model: str) -> dict[str, Any]:
    return {
        "provider": "openai",
        "config": {"model": model, "api_key": "sk-stand-in-0123456789", "openai_base_url": cloud.base_url},
    }


@asynccontextmanager
async def world(
    database_dsn: str, folder: Path, cloud: StandInCloud, memory: dict[str, Any]
) -> AsyncIterator[RunningServer]:
    environment = {"OPENAI_API_KEY": "sk-stand-in-0123456789", "OPENAI_BASE_URL": cloud.base_url}
    async with running_server(
        database_dsn, folder, PATIENT | memory, preset="openai", environment=environment
    ) as server:
        yield server


async def say(server: RunningServer, mac: str, text: str) -> str:
    """A session of its own."""
    async with SimulatedDevice(server.ota_url, mac=mac) as device:
        await device.boot()
        reply = await device.say_text(text)
        assert reply.finished
        return reply.text


async def told_and_asked(server: RunningServer, fact: Fact, is_kept: Any) -> None:
    await say(server, MAC, fact.statement)
    await until(is_kept)
    assert fact.answer in await say(server, MAC, fact.question)
    assert fact.answer not in await say(server, OTHER_MAC, fact.question)


async def texts(dsn: str, table: str) -> list[str]:
    async with await AsyncConnection.connect(dsn) as connection:
        cursor = await connection.execute(f"SELECT text FROM {table}".encode())
        return [row[0] for row in await cursor.fetchall()]


def a_fact() -> Fact:
    (fact,) = draw_facts(random.Random(), "en", 1)
    return fact


async def test_a_page_of_notes(database_dsn: str, tmp_path: Path) -> None:
    fact = a_fact()
    async with StandInCloud() as cloud:
        memory = {"selected_module.Memory": "mem_local_short", "agent.summary_memory": "Note hobbies."}
        async with world(database_dsn, tmp_path, cloud, memory) as server:

            async def is_noted() -> bool:
                return any(fact.statement in text for text in await texts(database_dsn, "memory_summary"))

            await told_and_asked(server, fact, is_noted)
        writing = [str(request.body) for request in cloud.requests if "You keep the notes" in str(request.body)]
        assert writing
        assert all("Note hobbies." in request for request in writing)


async def test_facts_that_a_model_takes_out_of_the_talk(database_dsn: str, tmp_path: Path) -> None:
    fact = a_fact()
    async with StandInCloud() as cloud:
        memory = {"selected_module.Memory": "mem0ai", "Memory.mem0ai.llm": part(cloud, "extractor")}
        async with world(database_dsn, tmp_path, cloud, memory) as server:

            async def is_extracted() -> bool:
                return any(fact.answer in text for text in await texts(database_dsn, "memory_entry"))

            await told_and_asked(server, fact, is_extracted)
        assert any(request.body.get("model") == "extractor" for request in cloud.requests)


async def test_an_agent_that_may_read_of_another_one_answers_with_what_that_heard(
    database_dsn: str, tmp_path: Path
) -> None:
    fact = a_fact()
    ours = {"selected_module.Memory": "mem0ai"}
    async with StandInCloud() as cloud:
        async with world(database_dsn, tmp_path / "bot", cloud, {**ours, "agent.id": "bot"}) as server:

            async def is_saved() -> bool:
                return fact.statement in await texts(database_dsn, "memory_entry")

            await told_and_asked(server, fact, is_saved)
        async with world(database_dsn, tmp_path / "tutor", cloud, {**ours, "agent.id": "tutor"}) as server:
            assert fact.answer not in await say(server, MAC, fact.question)
        shared = {**ours, "agent.id": "tutor", "agent.memory.share_from": ["bot"]}
        async with world(database_dsn, tmp_path / "shared", cloud, shared) as server:
            assert fact.answer in await say(server, MAC, fact.question)
            assert fact.answer not in await say(server, OTHER_MAC, fact.question)


async def test_a_remote_embedder_with_answers_shared_in_redis(database_dsn: str, tmp_path: Path) -> None:
    fact = a_fact()
    with redis_server() as port:
        async with StandInCloud() as cloud:
            memory = {
                "selected_module.Memory": "mem0ai",
                "Memory.mem0ai.embedder": part(cloud, "embedder-of-384"),
                "Memory.mem0ai.cache": {"redis_url": f"redis://127.0.0.1:{port}/0"},
            }
            async with world(database_dsn, tmp_path, cloud, memory) as server:

                async def is_saved() -> bool:
                    return fact.statement in await texts(database_dsn, "memory_entry")

                await told_and_asked(server, fact, is_saved)
            assert any(request.body.get("model") == "embedder-of-384" for request in cloud.requests)


@pytest.mark.parametrize(
    ("memory", "told"),
    [
        ({"Memory.mem0ai.vector_store": {"provider": "no-such"}}, "vector_store"),
        ({"Memory.mem0ai.llm": {"provider": "no-such"}}, "llm"),
        ({"Memory.mem0ai.cache": {"redis_url": "not an address"}}, "redis_url"),
    ],
)
async def test_what_cannot_be_set_up_is_told_in_one_line(
    database_dsn: str, tmp_path: Path, memory: dict[str, Any], told: str
) -> None:
    with pytest.raises(MemorySetupError, match=told) as caught:
        async with running_server(database_dsn, tmp_path, {"selected_module.Memory": "mem0ai", **memory}):
            pass
    assert "\n" not in str(caught.value)
