"""The OTA answer as a device reads it: what it must hold, and what would make a device reboot or hang."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Counter

from xiaozhi_server.core.ports import DeviceContact
from xiaozhi_server.http.firmware import FirmwareShelf
from xiaozhi_server.http.health import HealthHandler
from xiaozhi_server.http.ota import OtaHandler, OtaOptions
from xiaozhi_server.http.server import HttpServer

MAC = "aa:bb:cc:dd:ee:ff"
BODY = {"application": {"version": "2.4.2"}, "board": {"type": "bread-compact-wifi"}}


@dataclass
class Site:
    url: str
    bin: Path
    contacts: list[DeviceContact] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    found = Site("", tmp_path / "bin")
    found.bin.mkdir()

    async def readiness() -> dict[str, str]:
        return found.missing

    registry = CollectorRegistry()
    Counter("turns", "Turns so far", registry=registry).inc()
    shelf = FirmwareShelf(found.bin)
    ota = OtaHandler(OtaOptions(websocket_port=8000, timezone="Asia/Shanghai"), shelf, found.contacts.append)
    health = HealthHandler(readiness, registry)
    server = HttpServer("127.0.0.1", 0, [*ota.routes(), *shelf.routes(), *health.routes()])
    port = await server.start()
    found.url = f"http://127.0.0.1:{port}"
    yield found
    await server.stop()


async def call(site: Site, method: str, path: str, **kwargs: Any) -> tuple[int, dict[str, str], bytes]:
    async with aiohttp.ClientSession() as session, session.request(method, site.url + path, **kwargs) as answer:
        return answer.status, dict(answer.headers), await answer.read()


async def ask(site: Site, **kwargs: Any) -> dict[str, Any]:
    kwargs.setdefault("json", BODY)
    async with aiohttp.ClientSession() as session:
        headers = {"Device-Id": MAC, "Client-Id": "client-1", **kwargs.pop("headers", {})}
        async with session.post(f"{site.url}/xiaozhi/ota/", headers=headers, **kwargs) as answer:
            assert answer.status == 200
            assert 0 < int(answer.headers["Content-Length"]) < 8192
            document: dict[str, Any] = await answer.json()
            return document


async def test_a_device_gets_its_websocket_clock_and_own_firmware(site: Site) -> None:
    document = await ask(site, headers={"Accept-Language": "zh-CN"})
    assert document["websocket"] == {"url": "ws://127.0.0.1:8000/xiaozhi/v1/", "token": "", "version": 1}
    assert document["server_time"]["timezone_offset"] == 480
    assert document["server_time"]["timestamp"] > 1_700_000_000_000
    assert document["firmware"] == {"version": "2.4.2", "url": ""}
    assert "mqtt" not in document
    (contact,) = site.contacts
    assert (contact.device_id, contact.client_id, contact.language) == (MAC, "client-1", "zh-CN")
    assert (contact.board, contact.firmware_version) == ("bread-compact-wifi", "2.4.2")


@pytest.mark.parametrize("path", ["/xiaozhi/ota", "/xiaozhi/ota/"])
async def test_a_get_is_answered_by_its_headers(site: Site, path: str) -> None:
    status, _, body = await call(site, "GET", path, headers={"Device-Id": MAC})
    assert status == 200
    assert b"websocket" in body


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 60_000, b'{"board": {"ssid": "a"b"}}'])
async def test_a_broken_body_changes_nothing_but_the_firmware(site: Site, body: bytes) -> None:
    document = await ask(site, json=None, data=body)
    assert document["websocket"]["url"].startswith("ws://")
    assert "firmware" not in document


@pytest.mark.parametrize("version", ["v2.0", "", "2.x", "9" * 40, "٢.٤"])
async def test_a_version_that_a_device_cannot_read_is_never_sent(site: Site, version: str) -> None:
    assert "firmware" not in await ask(site, json={"application": {"version": version}})


async def test_without_device_id_the_answer_says_what_is_missing(site: Site) -> None:
    status, _, body = await call(site, "POST", "/xiaozhi/ota/", json=BODY)
    assert status == 400
    assert b"Device-Id" in body


async def test_a_browser_may_ask_from_another_origin(site: Site) -> None:
    status, headers, _ = await call(site, "OPTIONS", "/xiaozhi/ota/")
    assert status == 200
    allowed = {name.strip().lower() for name in headers["Access-Control-Allow-Headers"].split(",")}
    assert {"device-id", "client-id", "content-type", "authorization"} <= allowed


@pytest.mark.parametrize("body", [{}, {"algorithm": "hmac-sha256"}, {"Payload": {"hmac": ""}}])
async def test_activation_is_answered_at_once_in_both_shapes(site: Site, body: dict[str, Any]) -> None:
    status, headers, text = await call(site, "POST", "/xiaozhi/ota/activate", json=body, headers={"Device-Id": MAC})
    assert status == 200
    assert text
    assert int(headers["Content-Length"]) > 0


async def test_a_newer_file_for_the_board_is_offered_and_can_be_fetched(site: Site) -> None:
    (site.bin / "bread-compact-wifi_2.4.10.bin").write_bytes(b"new firmware")
    (site.bin / "bread-compact-wifi_2.4.9.bin").write_bytes(b"older")
    (site.bin / "other-board_9.0.0.bin").write_bytes(b"not for this one")
    (site.bin / "bread-compact-wifi_3.0.0.bin").touch()
    offered = (await ask(site))["firmware"]
    assert offered["version"] == "2.4.10"
    path = offered["url"].removeprefix(site.url)
    assert await call(site, "GET", path) == (200, await _headers_of(site, path), b"new firmware")


async def _headers_of(site: Site, path: str) -> dict[str, str]:
    status, headers, _ = await call(site, "GET", path)
    assert status == 200
    assert headers["Content-Length"] == "12"
    return headers


@pytest.mark.parametrize("name", ["..%2f..%2fetc%2fpasswd", "missing_1.0.0.bin", "bread-compact-wifi_2.bin%00"])
async def test_nothing_but_the_shelf_is_served(site: Site, name: str) -> None:
    status, _, _ = await call(site, "GET", f"/xiaozhi/ota/download/{name}")
    assert status == 404


async def test_health_ready_and_metrics(site: Site) -> None:
    assert (await call(site, "GET", "/healthz"))[0] == 200
    assert (await call(site, "GET", "/readyz"))[0] == 200
    site.missing["database"] = "does not answer"
    status, _, body = await call(site, "GET", "/readyz")
    assert status == 503
    assert b"does not answer" in body
    status, headers, body = await call(site, "GET", "/metrics")
    assert headers["Content-Type"].startswith("text/plain")
    assert b"turns_total 1.0" in body


async def raw(site: Site, request: bytes, *more: bytes) -> bytes:
    """Pieces as separate writes, and whatever comes back until the answer's body is there."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(site.url.rpartition(":")[2]))
    for piece in (request, *more):
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0)
    async with asyncio.timeout(10):
        answer = await reader.readuntil(b"\r\n\r\n")
        answer += await reader.read(4096)
    writer.close()
    await writer.wait_closed()
    return answer


def head(*lines: str) -> bytes:
    fixed = ("POST /xiaozhi/ota/ HTTP/1.1", "Host: 127.0.0.1", f"Device-Id: {MAC}", "Content-Type: application/json")
    return "\r\n".join([*fixed, *lines, "", ""]).encode()


async def test_a_body_in_pieces_is_read_whole(site: Site) -> None:
    body = json.dumps(BODY).encode()
    answer = await raw(site, head(f"Content-Length: {len(body)}") + body[:10], body[10:])
    assert b'"version": "2.4.2"' in answer


async def test_an_announced_body_that_never_comes_is_not_waited_for_long(site: Site) -> None:
    assert b"websocket" in await raw(site, head("Content-Length: 500"))


async def test_a_body_that_is_not_what_it_says_is_answered_by_the_headers(site: Site) -> None:
    assert b"websocket" in await raw(site, head("Content-Encoding: gzip", "Content-Length: 4") + b"nope")
