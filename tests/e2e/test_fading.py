"""Through the real server: what is recalled is noted, and what is not fades, where the agent's settings say so."""

from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest

from firmware_sim.device import SimulatedDevice
from tests.support.edge_world import EdgeWorld, edge_world, until
from tests.support.server_process import ServerProcess
from xiaozhi_server import memory
from xiaozhi_server.core.providers.memory.mem0ai.daily.maintenance import MaintenanceOptions
from xiaozhi_server.core.providers.memory.mem0ai.daily.night import Nights

AT_ONCE = Nights(spread=timedelta(0), settle=timedelta(0))
MAC = "02:00:00:00:00:01"
WITH_MEMORY = {"selected_module.Memory": "mem0ai", "memory.recall_deadline_ms": 1000}


def rows(dsn: str, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


async def say(url: str, *texts: str) -> None:
    async with SimulatedDevice(url, mac=MAC) as device:
        await device.boot()
        for text in texts:
            await device.say_text(text)


async def test_what_a_device_is_reminded_of_is_noted(tmp_path: Path, database_dsn: str) -> None:
    environment = {"XIAOZHI__DATABASE__URL": database_dsn, "XIAOZHI__MEMORY__RECALL_DEADLINE_MS": "2000"}
    async with ServerProcess(tmp_path, environment=environment) as server:
        await say(server.ota_url, "My favourite colour is teal.", "We had tomato soup with bread on Sunday.")
        await say(server.ota_url, "What is my favourite colour?")
        assert await server.terminate() == 0  # what is not written down yet is written at the end
    noted = rows(
        database_dsn,
        "SELECT text, access_count, quality, accessed_at > created_at FROM memory_entry"
        " WHERE access_count > 0 AND role = 'user'",
    )
    assert noted == [("My favourite colour is teal.", 1, pytest.approx(0.75, abs=0.25), True)]


async def test_it_fades_only_where_the_agent_wants_that(
    tmp_path: Path, database_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with edge_world(database_dsn, tmp_path, WITH_MEMORY) as world:
        await say(world.server.ota_url, "My favourite colour is teal.")

        async def saved() -> bool:
            return await world.metric("xiaozhi_memory_saved_total") == 1

        await until(saved, "it is saved")
    rows(database_dsn, "UPDATE memory_entry SET created_at = created_at - interval '91 days'")
    (before,) = rows(database_dsn, "SELECT count(*) FROM memory_entry")

    monkeypatch.setattr(memory, "MaintenanceOptions", partial(MaintenanceOptions, look_every_s=0.05))
    monkeypatch.setattr(memory, "Nights", lambda zone: AT_ONCE)
    async with edge_world(database_dsn, tmp_path, WITH_MEMORY) as world:
        await done(world)
        assert await world.metric("xiaozhi_memory_maintained_total", step="forget", what="deleted") == 0
    assert rows(database_dsn, "SELECT count(*) FROM memory_entry") == [before]

    rows(database_dsn, "DELETE FROM memory_run")
    async with edge_world(database_dsn, tmp_path, {**WITH_MEMORY, "agent.memory.forget": True}) as world:
        await done(world)
        assert await world.metric("xiaozhi_memory_maintained_total", step="forget", what="deleted") == before[0]
        assert await world.metric("xiaozhi_memory_maintained_total", step="forget", what="faded") == before[0]
    assert rows(database_dsn, "SELECT count(*) FROM memory_entry") == [(0,)]


async def done(world: EdgeWorld) -> None:
    async def holds() -> bool:
        return await world.metric("xiaozhi_memory_maintained_timestamp_seconds", step="forget") > 0

    await until(holds, "the daily work is done")
