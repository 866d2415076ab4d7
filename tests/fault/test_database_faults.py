"""PostgreSQL restarts or freezes while people talk: the talk goes on, and nothing that was answered is lost."""

import asyncio
import json
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import LiteralString, get_args

import aiohttp
import psycopg
import pytest
from psycopg.rows import scalar_row

from firmware_sim.device import Reply, SimulatedDevice
from tests.support.fault_table import FaultTable
from tests.support.postgres_proxy import Fault, PostgresProxy
from tests.support.running_server import RunningServer, running_server
from tests.support.waiting import until
from xiaozhi_server.store.conversations import ConversationOptions
from xiaozhi_server.store.embedded import EmbeddedPostgres

WITH_MEMORY = {"selected_module.Memory": "mem0ai"}
SOUND_WITHIN_S = 2.5
WRITTEN_WITHIN_S = 20.0
# If PostgreSQL dies at the moment when a memory is being saved, its worker takes it up again after a minute.
REMEMBERED_WITHIN_S = 80.0
NAMES = ("Ottoline", "Barnaby", "Xanthe", "Leopold", "Casimir", "Philippa")
DIALOGUE: LiteralString = "SELECT content FROM message WHERE role = 'user' ORDER BY content"
MEMORY: LiteralString = "SELECT text FROM memory_entry WHERE role = 'user' ORDER BY text"


@dataclass(frozen=True, slots=True)
class World:
    server: RunningServer
    proxy: PostgresProxy
    dsn: str


@asynccontextmanager
async def open_world(dsn: str, folder: Path) -> AsyncIterator[World]:
    (folder / "pg").mkdir()
    async with PostgresProxy(dsn, folder / "pg") as proxy, running_server(proxy.dsn, folder, WITH_MEMORY) as server:
        yield World(server, proxy, dsn)


@asynccontextmanager
async def talking(server: RunningServer) -> AsyncIterator[SimulatedDevice]:
    async with SimulatedDevice(server.ota_url) as device:
        await device.boot()
        yield device


def statement(name: str) -> str:
    return f"My cat is called {name}."


async def tell(device: SimulatedDevice, name: str) -> Reply:
    reply = await device.say_text(statement(name), timeout_s=20)
    assert reply.finished, reply.report()
    assert reply.frames > 0, reply.report()
    assert reply.timings.first_sound_s is not None
    assert reply.timings.first_sound_s < SOUND_WITHIN_S, reply.report()
    return reply


async def all_kept(dsn: str, names: Sequence[str], *, within_s: float = WRITTEN_WITHIN_S) -> None:
    """Each exactly once: in the dialogue, and in the memory."""
    expected = sorted(map(statement, names))
    found: dict[str, list[str]] = {}
    try:
        async with asyncio.timeout(within_s):
            while set(map(tuple, found.values())) != {tuple(expected)}:
                found = {query: await read(dsn, query) for query in (DIALOGUE, MEMORY)}
                await asyncio.sleep(0.05)
    except TimeoutError:
        assert found == {DIALOGUE: expected, MEMORY: expected}


async def read(dsn: str, query: LiteralString) -> list[str]:
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True, row_factory=scalar_row) as connection:
        return await (await connection.execute(query)).fetchall()


@pytest.mark.parametrize("fault", get_args(Fault))
async def test_the_talk_goes_on_and_everything_is_kept(
    fault: Fault, database_dsn: str, tmp_path: Path, fault_table: FaultTable
) -> None:
    async with open_world(database_dsn, tmp_path) as world, talking(world.server) as device:
        await tell(device, "Ottoline")
        await world.proxy.fail(fault)
        reply = await tell(device, "Barnaby")
        fault_table.add("PostgreSQL", f"{fault}, the device was connected", reply)
        await device.hang_up()
        reply = await tell(device, "Xanthe")
        fault_table.add("PostgreSQL", f"{fault}, the device comes back", reply)
        await world.proxy.heal()
        fault_table.add("PostgreSQL", f"{fault}, back again", await tell(device, "Leopold"))
        await tell(device, "Casimir")
        await all_kept(database_dsn, ("Ottoline", "Barnaby", "Xanthe", "Leopold", "Casimir"))


async def test_a_device_that_first_comes_while_the_database_is_away(
    database_dsn: str, tmp_path: Path, fault_table: FaultTable
) -> None:
    """It may talk, but nobody knows yet whose it is: it is kept from when the database says so, and not before."""
    async with open_world(database_dsn, tmp_path) as world, talking(world.server) as device:
        await world.proxy.fail("stopped")
        reply = await tell(device, "Ottoline")
        fault_table.add("PostgreSQL", "stopped, a device nobody has seen", reply)
        await world.proxy.heal()
        async with asyncio.timeout(WRITTEN_WITHIN_S):
            while not await read(database_dsn, DIALOGUE):
                await tell(device, "Barnaby")
        assert set(await read(database_dsn, DIALOGUE)) == {statement("Barnaby")}


@pytest.mark.parametrize("fault", get_args(Fault))
async def test_the_database_goes_while_a_turn_is_spoken(fault: Fault, database_dsn: str, tmp_path: Path) -> None:
    async with open_world(database_dsn, tmp_path) as world, talking(world.server) as device:
        turn = asyncio.create_task(tell(device, "Ottoline"))
        await device.wait_speaking()
        await world.proxy.fail(fault)
        await turn
        await world.proxy.heal()
        await all_kept(database_dsn, ("Ottoline",))


def fill_up(spool: Path) -> None:
    """Entries that nobody writes any more count as well."""
    for number in range(ConversationOptions().spool_limit):
        (spool / f"{number}.rejected").touch()


@pytest.mark.parametrize("spoil", [fill_up, shutil.rmtree], ids=["the spool is full", "the disk fails"])
async def test_what_neither_the_database_nor_the_disk_takes_is_counted(
    spoil: Callable[[Path], None], database_dsn: str, tmp_path: Path, fault_table: FaultTable
) -> None:
    """The device hears its answer all the same, and what comes after the database is kept as ever."""
    async with open_world(database_dsn, tmp_path) as world, talking(world.server) as device:
        await tell(device, "Ottoline")
        assert await lost(world.server) == 0
        spoil(tmp_path / "data" / "spool")
        await world.proxy.fail("stopped")
        fault_table.add("PostgreSQL and the disk", "both fail", await tell(device, "Barnaby"))
        await until(partial(lost, world.server))
        assert await lost(world.server) == 1
        await world.proxy.heal()
        await until(partial(is_ready, world.server))
        await tell(device, "Xanthe")
        await all_kept(database_dsn, ("Ottoline", "Xanthe"))
        assert await lost(world.server) == 1


async def lost(server: RunningServer) -> float:
    async with aiohttp.ClientSession() as http, http.get(f"{server.http_url}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    (value,) = [line.split()[1] for line in lines if line.startswith("xiaozhi_exchanges_lost_total ")]
    return float(value)


async def is_ready(server: RunningServer) -> bool:
    async with aiohttp.ClientSession() as http, http.get(f"{server.http_url}/readyz") as answer:
        return answer.status == 200


async def test_the_server_stops_while_the_database_is_away(
    database_dsn: str, tmp_path: Path, fault_table: FaultTable
) -> None:
    """What nobody could write down is on disk, and the next start writes it."""
    (tmp_path / "pg").mkdir()
    async with PostgresProxy(database_dsn, tmp_path / "pg") as proxy:
        async with running_server(proxy.dsn, tmp_path, WITH_MEMORY) as server, talking(server) as device:
            await tell(device, "Ottoline")
            await proxy.fail("stopped")
            await tell(device, "Barnaby")
        await proxy.heal()
        async with running_server(proxy.dsn, tmp_path, WITH_MEMORY):
            await all_kept(database_dsn, ("Ottoline", "Barnaby"))


async def test_postgresql_crashes_and_recovers_under_many_turns(tmp_path: Path, fault_table: FaultTable) -> None:
    """A real one: all its sessions die at once, it replays its log, and comes back on the same socket."""
    postgres = EmbeddedPostgres(tmp_path / "own")
    dsn = await postgres.start()
    try:
        async with running_server(dsn, tmp_path, WITH_MEMORY) as server, AsyncExitStack() as stack:
            devices = [await stack.enter_async_context(talking(server)) for _ in NAMES]
            turns = [asyncio.create_task(tell_twice(device, name)) for device, name in zip(devices, NAMES, strict=True)]
            for device in devices:
                await device.wait_speaking()
            await crash(postgres.superuser_dsn)
            replies = [await turn for turn in turns]
            slowest = max(replies, key=lambda reply: reply.timings.first_sound_s or 0)
            fault_table.add("PostgreSQL", "crashes and recovers", slowest)
            await all_kept(dsn, [told for name in NAMES for told in (name, f"{name} the Second")])
    finally:
        await postgres.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a parent-death signal")
@pytest.mark.parametrize("victims", [("keeper",), ("postmaster",), ("keeper", "postmaster")], ids=" and ".join)
async def test_the_embedded_postgresql_is_killed_and_the_server_starts_it_again(
    victims: tuple[str, ...], tmp_path: Path, fault_table: FaultTable
) -> None:
    async with running_server("", tmp_path, WITH_MEMORY) as server, talking(server) as device:
        dsn = await embedded_dsn(tmp_path / "data")
        # The first turn of a fresh process says nothing about how quick it is.
        assert (await device.say_text(statement("Ottoline"), timeout_s=20)).finished
        for name in ("Barnaby", "Xanthe"):
            kill(tmp_path / "data" / "postgres", victims)
            reply = await tell(device, name)
            await answers(dsn)
        fault_table.add("PostgreSQL", f"{' and '.join(victims)} killed", reply)
        await tell(device, "Leopold")
        await all_kept(dsn, ("Ottoline", "Barnaby", "Xanthe", "Leopold"), within_s=REMEMBERED_WITHIN_S)


async def embedded_dsn(data_dir: Path) -> str:
    visitor = EmbeddedPostgres(data_dir)
    dsn = await visitor.start()
    await visitor.stop()
    return dsn


def kill(folder: Path, victims: Sequence[str]) -> None:
    pids = {
        "keeper": int(json.loads((folder / "keeper.json").read_text())["pid"]),
        "postmaster": int((folder / "cluster" / "postmaster.pid").read_text().split()[0]),
    }
    for victim in victims:
        os.kill(pids[victim], signal.SIGKILL)


async def answers(dsn: str) -> None:
    async with asyncio.timeout(WRITTEN_WITHIN_S):
        while True:
            with suppress(psycopg.OperationalError):
                await read(dsn, DIALOGUE)
                return
            await asyncio.sleep(0.05)


async def tell_twice(device: SimulatedDevice, name: str) -> Reply:
    await tell(device, name)
    return await tell(device, f"{name} the Second")


async def crash(superuser_dsn: str) -> None:
    """Killing one session makes PostgreSQL distrust its shared memory: it ends all others and starts anew."""
    async with await psycopg.AsyncConnection.connect(superuser_dsn, autocommit=True) as connection:
        os.kill(connection.info.backend_pid, signal.SIGKILL)
