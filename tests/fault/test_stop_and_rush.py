"""The two worst moments of a process: being told to stop in the middle of many turns, and its first second."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import LiteralString

import psycopg
from psycopg.rows import tuple_row

from firmware_sim.device import Reply, SimulatedDevice
from tests.support.fault_table import FaultTable
from tests.support.server_process import ServerProcess
from xiaozhi_server.store.embedded import EmbeddedPostgres

TURNS = 50
FIRST_CONNECTIONS = 100
HURRIED = {"XIAOZHI__TTS__ESPEAK__WORDS_PER_MINUTE": "450"}
KEPT = "SELECT device_id, content FROM message JOIN session ON session.id = message.session_id WHERE role = 'user'"
# The user of a memory is the household, which is the device itself until an account has it.
REMEMBERED = "SELECT replace(user_id, 'device:', ''), text FROM memory_entry WHERE role = 'user'"


def statement(number: int) -> str:
    return f"My lucky number is {number}."


async def kept(folder: Path) -> list[tuple[str, str]]:
    """What the server on this folder has left in its dialogues, by device."""
    return await read(folder, KEPT)


async def read(folder: Path, query: LiteralString) -> list[tuple[str, str]]:
    postgres = EmbeddedPostgres(folder / "data")
    dsn = await postgres.start()
    try:
        async with await psycopg.AsyncConnection.connect(dsn, row_factory=tuple_row) as connection:
            return await (await connection.execute(query)).fetchall()
    finally:
        await postgres.stop()


async def booted(server: ServerProcess, stack: AsyncExitStack, count: int) -> list[SimulatedDevice]:
    devices = [await stack.enter_async_context(SimulatedDevice(server.ota_url)) for _ in range(count)]
    await asyncio.gather(*(device.boot() for device in devices))
    return devices


def all_heard(replies: Sequence[Reply]) -> None:
    for reply in replies:
        assert reply.finished, reply.report()
        assert reply.frames > 0, reply.report()
        assert reply.overflows == reply.unplayable == 0, reply.report()


async def test_sigterm_during_fifty_turns(tmp_path: Path, fault_table: FaultTable) -> None:
    """They end, the exit code is 0, and every one is in the dialogues and in the memories, once."""
    server = ServerProcess(tmp_path, environment=HURRIED)
    await server.start()
    async with AsyncExitStack() as stack:
        devices = await booted(server, stack, TURNS)
        await asyncio.gather(*(device.connect() for device in devices))
        turns = [
            asyncio.create_task(device.say_text(statement(number), timeout_s=30))
            for number, device in enumerate(devices)
        ]
        await asyncio.gather(*(device.wait_speaking(timeout_s=20) for device in devices))
        assert not any(turn.done() for turn in turns)
        code = await server.terminate()
        replies = await asyncio.gather(*turns)
        closes = [device.server_close for device in devices]
    assert code == 0, server.text
    all_heard(replies)
    assert all(close is not None and close.code == 1001 for close in closes)
    expected = {(device.identity.mac, statement(number)) for number, device in enumerate(devices)}
    for query in (KEPT, REMEMBERED):
        found = await read(tmp_path, query)
        assert len(found) == TURNS, query
        assert set(found) == expected, query
    fault_table.add_text("the server", f"SIGTERM during {TURNS} turns", "all answers to their end; exit code 0")


async def test_a_hundred_first_connections_at_once(tmp_path: Path, fault_table: FaultTable) -> None:
    """Nobody has seen these devices before, and they come at the same instant to a process that just started."""
    async with ServerProcess(tmp_path, environment=HURRIED) as server, AsyncExitStack() as stack:
        devices = await booted(server, stack, FIRST_CONNECTIONS)
        await asyncio.gather(*(device.connect() for device in devices))
        replies = await asyncio.gather(
            *(device.say_text(statement(number), timeout_s=30) for number, device in enumerate(devices))
        )
        all_heard(replies)
        assert not [violation for device in devices for violation in device.violations]
        slowest = max(replies, key=lambda reply: reply.timings.first_sound_s or 0)
        fault_table.add("the server", f"{FIRST_CONNECTIONS} first connections at once, the slowest of them", slowest)
    found = await kept(tmp_path)
    assert set(found) == {(device.identity.mac, statement(number)) for number, device in enumerate(devices)}
    assert len(found) == FIRST_CONNECTIONS
