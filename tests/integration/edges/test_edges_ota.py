"""Edge cases 65 to 69 of the device protocol: the OTA address of the whole server, asked as devices and others ask."""

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from firmware_sim.bootstrap import Identity
from firmware_sim.device import SimulatedDevice
from tests.support.postgres_proxy import PostgresProxy
from tests.support.running_server import RunningServer, running_server
from tests.support.wire_world import wire_world

MAC = "02:00:00:00:0e:65"
WHO = {"Device-Id": MAC, "Client-Id": "edge"}
# A device waits 30 s; what it costs to miss that is 10 s, then 20, 40, …
QUICK_S = 10.0


async def ask(
    server: RunningServer, method: str = "POST", path: str = "", *, headers: dict[str, str] = WHO, **more: Any
) -> tuple[int, dict[str, Any]]:
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, server.ota_url + path, headers=headers, **more) as answer,
    ):
        body = await answer.read()
        assert 0 < len(body) < 8192
        assert answer.headers["Content-Length"] == str(len(body))
        return answer.status, json.loads(body)


def port_of(url: str) -> int:
    """As firmware finds it: behind the first colon after the scheme."""
    return int(url.partition("://")[2].partition(":")[2].partition("/")[0])


async def test_e65_a_body_that_is_missing_or_broken_is_answered_by_the_headers(
    database_dsn: str, tmp_path: Path
) -> None:
    async with running_server(database_dsn, tmp_path) as server:
        for body in (b"", b"{", b"[]", b"null", b"\xff\xfe\0", b'{"board":{"ssid":"a"b"}}', b"[" * 70_000):
            status, document = await ask(server, data=body)
            assert status == 200, body[:20]
            assert port_of(document["websocket"]["url"]) == server.websocket_port
        for method in ("GET", "POST"):
            assert (await ask(server, method))[0] == 200
            status, document = await ask(server, method, headers={})
            assert status == 400
            assert "Device-Id" in document["error"]


async def test_e66_many_devices_at_once_are_answered_also_while_the_database_is_away(
    database_dsn: str, tmp_path: Path
) -> None:
    folder = tmp_path / "proxy"
    folder.mkdir()
    async with PostgresProxy(database_dsn, folder) as proxy, running_server(proxy.dsn, tmp_path) as server:
        devices = [SimulatedDevice(server.ota_url, mac=f"02:00:00:00:66:{number:02x}") for number in range(200)]
        async with asyncio.timeout(QUICK_S):
            await asyncio.gather(*(device.boot() for device in devices))
        await proxy.fail("frozen")
        async with asyncio.timeout(QUICK_S):
            await asyncio.gather(*(device.boot() for device in devices))
        await proxy.heal()
        assert all(not device.violations for device in devices)


async def test_e67_a_device_that_nobody_bound_talks_without_activation(database_dsn: str, tmp_path: Path) -> None:
    async with wire_world(database_dsn, tmp_path) as world, world.device() as device:
        answer = await device.boot()
        assert answer.activation is None
        assert "activation" not in answer.raw
        assert (await device.say_text("Hi")).frames > 0


@pytest.mark.parametrize(
    "body",
    [{}, {"algorithm": "hmac-sha256", "challenge": "old", "hmac": ""}, {"Payload": {"challenge": "old"}}, [], None],
    ids=["E68-v1", "E68-v2", "E68-wrapped", "E68-array", "E68-null"],
)
async def test_e68_activate_is_200_for_every_device_so_that_none_polls_for_nothing(
    database_dsn: str, tmp_path: Path, body: Any
) -> None:
    async with running_server(database_dsn, tmp_path) as server:
        for path in ("activate", "activate/"):
            assert (await ask(server, path=path, json=body))[0] == 200  # never seen before
        await ask(server)
        assert (await ask(server, path="activate", json=body))[0] == 200
        assert "activation" not in (await ask(server))[1]


async def test_e68_a_chip_with_a_serial_number_boots_like_any_other(database_dsn: str, tmp_path: Path) -> None:
    identity = Identity(MAC, "edge", serial_number="S" * 32, hmac_key=b"k")
    async with (
        running_server(database_dsn, tmp_path) as server,
        SimulatedDevice(server.ota_url, identity=identity) as device,
    ):
        assert (await device.boot()).activation is None


async def test_e69_the_address_is_the_one_that_the_device_reached_us_by(database_dsn: str, tmp_path: Path) -> None:
    async with running_server(database_dsn, tmp_path) as server:
        port = server.websocket_port
        for host in ("192.168.1.5:8003", "192.168.1.5", "voice.example.org:80"):
            _, document = await ask(server, headers={**WHO, "Host": host})
            assert document["websocket"]["url"] == f"ws://{host.partition(':')[0]}:{port}/xiaozhi/v1/"
        spoofed = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https", "Forwarded": "host=evil.example"}
        _, document = await ask(server, headers={**WHO, **spoofed})
        assert document["websocket"]["url"] == f"ws://127.0.0.1:{port}/xiaozhi/v1/"


async def test_e69_a_public_address_that_was_set_wins(database_dsn: str, tmp_path: Path) -> None:
    public = "wss://voice.example.org:443/xiaozhi/v1/"
    async with running_server(database_dsn, tmp_path, {"server.websocket": public}) as server:
        _, document = await ask(server, headers={**WHO, "Host": "10.0.0.1:8003"})
        assert document["websocket"]["url"] == public


async def test_e69_behind_a_named_proxy_host_and_scheme_are_those_of_the_outside(
    database_dsn: str, tmp_path: Path
) -> None:
    outside = {"X-Forwarded-Host": "voice.example.org", "X-Forwarded-Proto": "https"}
    async with running_server(database_dsn, tmp_path, {"server.trusted_proxies": ["127.0.0.1"]}) as server:
        _, document = await ask(server, headers={**WHO, **outside})
        assert document["websocket"]["url"] == "wss://voice.example.org:443/xiaozhi/v1/"
        for host in ("a:b", "[::1]:80", "x:99999", 'x"y', "a:b:c", "u@h", ""):
            _, document = await ask(server, headers={**WHO, **outside, "X-Forwarded-Host": host})
            assert 0 < port_of(document["websocket"]["url"]) < 65_536, host
