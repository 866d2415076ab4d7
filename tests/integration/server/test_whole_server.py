"""The parts joined as `app.py` joins them, with devices over real sockets."""

import asyncio
from pathlib import Path

from firmware_sim.device import Habits, SimulatedDevice
from tests.support.running_server import running_server


async def test_a_typed_turn_through_the_whole_chain(database_dsn: str, tmp_path: Path) -> None:
    async with (
        running_server(database_dsn, tmp_path) as server,
        SimulatedDevice(server.ota_url, habits=Habits(mic_speed=20)) as device,
    ):
        await device.boot()
        reply = await device.say_text("Hello")
    assert reply.finished
    assert reply.frames > 0
    assert not device.violations


async def test_a_hundred_first_connections_at_the_same_instant_all_work(database_dsn: str, tmp_path: Path) -> None:
    async with running_server(database_dsn, tmp_path) as server:
        devices = [SimulatedDevice(server.ota_url, mac=f"02:00:00:00:02:{number:02x}") for number in range(100)]
        await asyncio.gather(*(device.boot() for device in devices))
        await asyncio.gather(*(device.connect() for device in devices))
        assert all(device.connected for device in devices)
        assert len({device.session_id for device in devices}) == 100
        await asyncio.gather(*(device.hang_up() for device in devices))
