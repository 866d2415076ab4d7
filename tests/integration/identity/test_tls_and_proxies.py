"""`server.tls` on both ports, and what is believed of a reverse proxy's headers, with the whole server."""

import asyncio
import ssl
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import aiohttp
import psycopg
import pytest
from websockets.asyncio.client import connect

from firmware_sim.device import Habits, SimulatedDevice
from firmware_sim.errors import BootError
from tests.support.connection_fakes import FakeDirectory, Stage
from tests.support.running_server import RunningServer, running_server
from xiaozhi_server.core.ports import Binding, DeviceContact
from xiaozhi_server.core.proxies import TrustedProxies
from xiaozhi_server.core.websocket_server import ServerOptions, WebSocketServer
from xiaozhi_server.settings import SettingsError

CERTIFICATES = Path(__file__).resolve().parents[2] / "support" / "tls"
CERT, KEY = str(CERTIFICATES / "localhost.pem"), str(CERTIFICATES / "localhost.key")
TLS = {"server.tls.cert": CERT, "server.tls.key": KEY}
MAC = "02:00:00:00:03:21"
FORWARDED = {"X-Forwarded-For": "192.0.2.9", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "voice.example"}


async def test_a_device_talks_over_tls_on_both_ports(
    database_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", CERT)  # the device's bundle of authorities
    async with running_server(database_dsn, tmp_path, TLS) as server:
        ota_url = f"https://localhost:{server.http_port}/xiaozhi/ota/"
        async with SimulatedDevice(ota_url, habits=Habits(mic_speed=20)) as device:
            await device.boot()
            assert device.storage.url() == f"wss://localhost:{server.websocket_port}/xiaozhi/v1/"
            assert (await device.say_text("Hello")).finished
            assert not device.violations


async def test_with_tls_firmware_is_fetched_over_it_and_plain_text_is_not_spoken(
    database_dsn: str, tmp_path: Path
) -> None:
    async with running_server(database_dsn, tmp_path, TLS) as server:
        shelf = tmp_path / "data" / "bin"
        shelf.mkdir(parents=True)
        (shelf / "board_9.0.0.bin").write_bytes(b"firmware")
        body = {"application": {"version": "1.0.0"}, "board": {"type": "board"}}
        context = ssl.create_default_context(cafile=CERT)
        async with aiohttp.ClientSession() as session:
            url = f"https://localhost:{server.http_port}/xiaozhi/ota/"
            async with session.post(url, headers={"Device-Id": MAC}, json=body, ssl=context) as answer:
                firmware = (await answer.json())["firmware"]
            async with session.get(firmware["url"], ssl=context) as download:
                assert await download.read() == b"firmware"
        device = SimulatedDevice(server.ota_url)
        with pytest.raises(BootError):
            await device.boot()


@pytest.mark.parametrize(
    ("cert", "key", "complaint"),
    [
        (CERT, "", "command line test: server.tls.key: is missing: name both files, or none"),
        ("", KEY, "command line test: server.tls.cert: is missing: name both files, or none"),
        (CERT, "/nowhere/key.pem", "command line test: server.tls.key: /nowhere/key.pem: No such file or directory: "),
        (
            "/nowhere/cert.pem",
            KEY,
            "command line test: server.tls.cert: /nowhere/cert.pem: No such file or directory: ",
        ),
        (KEY, CERT, "command line test: server.tls.cert: "),
    ],
)
async def test_a_certificate_that_cannot_be_used_is_one_line(
    database_dsn: str, tmp_path: Path, cert: str, key: str, complaint: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        async with running_server(database_dsn, tmp_path, {"server.tls.cert": cert, "server.tls.key": key}):
            pass
    (line,) = caught.value.lines
    assert line.startswith(complaint)


async def ask_ota(server: RunningServer, headers: dict[str, str]) -> Any:
    headers = {"Device-Id": MAC, **headers}
    async with aiohttp.ClientSession() as session, session.post(server.ota_url, headers=headers, json={}) as answer:
        return await answer.json()


async def remote_address(dsn: str, mac: str) -> str:
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        cursor = await connection.execute("SELECT remote_address FROM device WHERE id = %s", (mac,))
        row = await cursor.fetchone()
    assert row is not None
    return str(row[0])


async def test_ota_believes_forwarded_headers_from_a_named_proxy(database_dsn: str, tmp_path: Path) -> None:
    async with running_server(database_dsn, tmp_path, {"server.trusted_proxies": ["127.0.0.0/8"]}) as server:
        document = await ask_ota(server, FORWARDED)
        assert document["websocket"]["url"] == "wss://voice.example:443/xiaozhi/v1/"
        other = {"Device-Id": "02:00:00:00:03:22"}
        at_a_port = other | {"X-Forwarded-Host": "voice.example:8443"}
        assert (await ask_ota(server, at_a_port))["websocket"]["url"] == "ws://voice.example:8443/xiaozhi/v1/"
        expected = f"ws://127.0.0.1:{server.websocket_port}/xiaozhi/v1/"
        assert (await ask_ota(server, other | {"X-Forwarded-Host": "a b"}))["websocket"]["url"] == expected
        assert (await ask_ota(server, other))["websocket"]["url"] == expected
    assert await remote_address(database_dsn, MAC) == "192.0.2.9"


@pytest.mark.parametrize("trusted", [[], ["192.0.2.0/24"]])
async def test_ota_believes_nobody_else(database_dsn: str, tmp_path: Path, trusted: list[str]) -> None:
    async with running_server(database_dsn, tmp_path, {"server.trusted_proxies": trusted}) as server:
        document = await ask_ota(server, FORWARDED)
        assert document["websocket"]["url"] == f"ws://127.0.0.1:{server.websocket_port}/xiaozhi/v1/"
    assert await remote_address(database_dsn, MAC) == "127.0.0.1"


class Visitors(FakeDirectory):
    """Tells who came."""

    def __init__(self) -> None:
        super().__init__()
        self.came: asyncio.Queue[DeviceContact] = asyncio.Queue()

    async def resolve(self, contact: DeviceContact) -> Binding:
        self.came.put_nowait(contact)
        return await super().resolve(contact)


@pytest.mark.parametrize(("trusted", "address"), [("127.0.0.0/8", "192.0.2.9"), ("192.0.2.0/24", "127.0.0.1")])
async def test_so_does_the_websocket(trusted: str, address: str) -> None:
    stage, visitors = Stage(), Visitors()
    services = replace(stage.services, session=replace(stage.services.session, directory=visitors))
    options = ServerOptions(host="127.0.0.1", port=0)
    server = WebSocketServer(options, services, proxies=TrustedProxies([ip_network(trusted)]))
    port = await server.start()
    async with connect(f"ws://127.0.0.1:{port}/", additional_headers={"Device-Id": MAC, **FORWARDED}) as socket:
        await socket.send('{"type":"hello","version":1,"transport":"websocket"}')
        contact = await asyncio.wait_for(visitors.came.get(), 5)
    await server.drain(2)
    assert contact.remote_address == address
