"""The device's HTTP client: what its small reader takes, refuses and freezes on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from firmware_sim.errors import BootError, DeviceCrashError, FirmwareError
from firmware_sim.http_client import MAX_BODY_BYTES, post
from firmware_sim.websocket import WebSocketClient
from tests.support.virtual_time import run_virtual

HEAD = b"HTTP/1.1 200 OK\r\n"


@asynccontextmanager
async def answering(answer: bytes, requests: list[bytes] | None = None) -> AsyncIterator[str]:
    """A server that sends these bytes to whoever asks, and ends the connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        if requests is not None:
            requests.append(request)
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/ota/"


@pytest.mark.parametrize(
    "answer",
    [
        HEAD + b"Content-Length: 5\r\n\r\nhello",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n",
        HEAD + b"\r\nhello",
    ],
    ids=["length", "chunks", "until the end"],
)
async def test_three_ways_to_send_a_body(answer: bytes) -> None:
    async with answering(answer) as url:
        got = await post(url, {}, b"")
    assert (got.status, got.body) == (200, b"hello")


async def test_the_request_has_its_headers_in_alphabetical_order() -> None:
    requests: list[bytes] = []
    async with answering(HEAD + b"Content-Length: 1\r\n\r\nx", requests) as url:
        await post(url, {"User-Agent": "b/1", "Device-Id": "m"}, b"{}")
    first, *headers = requests[0].decode().rstrip().split("\r\n")
    assert first == "POST /ota/ HTTP/1.1"
    assert headers == sorted(headers)
    assert {"Connection: close", "Content-Length: 2", "Device-Id: m"} <= set(headers)


@pytest.mark.parametrize(
    "head",
    [b"Content-Length: %d\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n%x\r\n", b"\r\n"],
    ids=["length", "chunks", "until the end"],
)
async def test_8_kib_freeze_it(head: bytes) -> None:
    sized = head % MAX_BODY_BYTES if b"%" in head else head
    async with answering(HEAD + sized + bytes(MAX_BODY_BYTES)) as url:
        with pytest.raises(DeviceCrashError, match="8192"):
            await post(url, {}, b"")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-server\r\n\r\n",
        HEAD + b"Content-Length: many\r\n\r\n",
        HEAD + b"Content-Length: 10\r\n\r\nshort",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
    ids=["nothing", "no HTTP", "no number", "too short", "no chunk"],
)
async def test_a_broken_answer_is_a_failure_that_can_be_retried(answer: bytes) -> None:
    async with answering(answer) as url:
        with pytest.raises(BootError):
            await post(url, {}, b"")


async def test_a_redirect_is_not_followed() -> None:
    async with answering(b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 1\r\n\r\nx") as url:
        assert (await post(url, {}, b"")).status == 302


class Listening:
    """A server that answers with these bytes and then waits for its clients to end TCP."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self.asked = asyncio.Event()
        self.ended = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(self._answer)
        self.asked.set()
        with suppress(ConnectionResetError):
            await reader.read()
        writer.transport.abort()
        self.ended.set()


async def ask(kind: str, server: asyncio.Server, **limits: float) -> None:
    address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    if kind == "http":
        await post(f"http://{address}/ota/", {}, b"", **limits)
    else:
        await WebSocketClient.open(f"ws://{address}/", {}, **limits)


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"noise without end",
        b"noise\r\n\r\n",
        b"x" * 100_000,
        HEAD + b"Content-Length: 9\r\n\r\nhalf",
        HEAD + b"Content-Length: nine\r\n\r\n",
        HEAD + b"Content-Length: 9999\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nx\r\n",
    ],
    ids=["nothing", "noise", "a noisy line", "too much", "half a body", "no number", "too long", "no chunk"],
)
async def test_whatever_the_answer_tcp_is_ended(kind: str, answer: bytes) -> None:
    listening = Listening(answer)
    async with await asyncio.start_server(listening.serve, "127.0.0.1", 0) as server:
        with pytest.raises(FirmwareError):
            await ask(kind, server, timeout_s=0.2)
        async with asyncio.timeout(5):
            await listening.ended.wait()


@pytest.mark.parametrize("kind", ["http", "websocket"])
async def test_who_is_cancelled_ends_tcp(kind: str) -> None:
    listening = Listening(b"HTTP/1.1 ")
    async with await asyncio.start_server(listening.serve, "127.0.0.1", 0) as server:
        asking = asyncio.create_task(ask(kind, server))
        async with asyncio.timeout(5):
            await listening.asked.wait()
            asking.cancel()
            await asyncio.wait({asking})
            await listening.ended.wait()
    assert asking.cancelled()


def test_silence_is_a_failure_after_30_seconds() -> None:
    async def ask() -> float:
        ended = asyncio.Event()

        async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()
            ended.set()

        async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as server:
            with pytest.raises(BootError):
                await post(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/ota/", {}, b"")
            await ended.wait()
        return asyncio.get_running_loop().time()

    assert run_virtual(ask()) == pytest.approx(30)
