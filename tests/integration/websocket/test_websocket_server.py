"""The websocket port over real sockets: identity, replacement, hostile and careless clients, draining."""

import asyncio
import json
import os
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any, ClassVar

import pytest
import pytest_asyncio
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidStatus

from tests.support.connection_fakes import FakeListener, Stage
from xiaozhi_server.core.connection import ConnectionOptions
from xiaozhi_server.core.hearing.events import HearingEvent
from xiaozhi_server.core.websocket_server import ServerOptions, WebSocketServer

HELLO = '{"type":"hello","version":1,"transport":"websocket"}'
OPTIONS = ServerOptions(host="127.0.0.1", port=0)
MAC = "aa:bb:cc:dd:ee:ff"


@asynccontextmanager
async def serving(
    options: ServerOptions = OPTIONS,
    connection_options: ConnectionOptions | None = None,
    *,
    stage: Stage | None = None,
) -> AsyncIterator[tuple[WebSocketServer, Stage, int]]:
    stage = stage or Stage(connection_options)
    server = WebSocketServer(options, stage.services)
    port = await server.start()
    try:
        yield server, stage, port
    finally:
        await server.drain(2)
        assert server.connections == 0


def device(port: int, device_id: str = MAC, **headers: str) -> connect:
    return connect(
        f"ws://127.0.0.1:{port}/xiaozhi/v1/",
        additional_headers={"Device-Id": device_id, "Client-Id": "c", **headers},
        compression=None,
    )


async def greet(socket: ClientConnection) -> dict[str, Any]:
    await socket.send(HELLO)
    return await receive(socket)


async def receive(socket: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(5):
        fields: dict[str, Any] = json.loads(await socket.recv())
    return fields


class RawDevice:
    """A client with firmware's habits: it masks, never answers a Close, and drops TCP when it is done."""

    there: ClassVar[set["RawDevice"]] = set()

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def come(cls, port: int, *, with_first: bytes = b"", device_id: str = MAC) -> "RawDevice":
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        device = cls(reader, writer)
        cls.there.add(device)
        writer.write(
            b"GET /xiaozhi/v1/ HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\n"
            + f"Device-Id: {device_id}\r\n".encode()
            + b"Protocol-Version: 1\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            b"Sec-WebSocket-Version: 13\r\nUpgrade: websocket\r\n\r\n" + with_first
        )
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        assert head.startswith(b"HTTP/1.1 101 ")
        assert b"extensions" not in head.lower()
        return device

    async def frame(self) -> tuple[int, bytes]:
        async with asyncio.timeout(5):
            first, length = await self.reader.readexactly(2)
            if length == 126:
                (length,) = struct.unpack(">H", await self.reader.readexactly(2))
            return first & 15, await self.reader.readexactly(length)

    def send(self, opcode: int, payload: bytes, *, fin: bool = True) -> None:
        self.writer.write(masked(opcode, payload, fin=fin))

    async def leave(self) -> None:
        self.there.discard(self)
        self.writer.transport.abort()
        with suppress(ConnectionError):
            await self.writer.wait_closed()


@pytest_asyncio.fixture(autouse=True)
async def all_leave() -> AsyncIterator[None]:
    """Also where a test failed: what its traceback keeps alive would complain at the end of the run."""
    yield
    for raw in tuple(RawDevice.there):
        await raw.leave()


def masked(opcode: int, payload: bytes, *, fin: bool = True) -> bytes:
    mask = os.urandom(4)
    size = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + struct.pack(">H", len(payload))
    body = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
    return bytes([opcode | (0x80 if fin else 0)]) + size + mask + body


async def test_a_device_says_hello_and_has_a_turn() -> None:
    async with serving() as (server, stage, port), device(port) as socket:
        hello = await greet(socket)
        assert hello["transport"] == "websocket"
        assert hello["audio_params"]["sample_rate"] == 24_000
        assert server.connections == 1
        stage.script.speak_s = 0.05
        await socket.send('{"type":"listen","state":"detect","text":"hi"}')
        async with asyncio.timeout(5):
            received = [await socket.recv() for _ in range(4)]
        assert [isinstance(message, bytes) for message in received] == [False, False, True, False]
        assert stage.turns[0].context.binding.device_id == MAC
        assert stage.turns[0].context.session_id == hello["session_id"]


async def test_a_browser_names_itself_in_the_query() -> None:
    async with serving() as (_, stage, port):
        url = f"ws://127.0.0.1:{port}/xiaozhi/v1/?device-id=AA-BB-CC-DD-EE-FF&client-id=web&authorization=Bearer%20x"
        async with connect(url) as socket:
            await greet(socket)
            await socket.send('{"type":"listen","state":"detect","text":"hi"}')
            await receive(socket)
        assert stage.turns[0].context.binding.device_id == MAC


async def test_who_does_not_name_itself_is_refused() -> None:
    async with serving() as (_, _, port):
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"ws://127.0.0.1:{port}/")
        assert refused.value.response.status_code == 400


async def test_a_plain_get_is_answered_with_text() -> None:
    async with serving() as (_, _, port):
        for path in (b"/", b"/xiaozhi/v1/"):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = await asyncio.wait_for(reader.read(), 5)
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
            assert b"websocket port" in answer
            writer.close()
            await writer.wait_closed()


@pytest.mark.parametrize("noise", [b"", b"\0\1\2", b"POST / HTTP/1.1\r\n\r\n", b"\x16\x03\x01 tls", b"GET /\r\n\r\n"])
async def test_noise_on_the_port_is_survived(noise: bytes) -> None:
    async with serving() as (_, _, port):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(noise)
        writer.write_eof()
        writer.close()
        await writer.wait_closed()
        async with device(port) as socket:
            assert (await greet(socket))["type"] == "hello"


async def test_when_it_is_full_it_says_so() -> None:
    async with serving(replace(OPTIONS, max_connections=1)) as (_, _, port), device(port) as socket:
        await greet(socket)
        with pytest.raises(InvalidStatus) as refused:
            await device(port, "11:22:33:44:55:66")
        assert refused.value.response.status_code == 503
        assert refused.value.response.headers["Retry-After"]


async def test_the_same_device_again_replaces_itself_at_once() -> None:
    async with serving() as (server, stage, port):
        old = await RawDevice.come(port)
        old.send(1, HELLO.encode())
        await old.frame()
        old.send(1, b'{"type":"listen","state":"detect","text":"hi"}')
        await old.frame()
        async with device(port, "AA:BB:CC:DD:EE:FF") as new:
            await greet(new)
            async with asyncio.timeout(5):
                with suppress(ConnectionResetError):
                    assert b"replaced" not in await old.reader.read(), "it was asked to leave instead of dropped"
            await new.send('{"type":"ping"}')
            assert (await receive(new))["type"] == "pong"
            assert server.connections == 1
        await old.leave()
        assert stage.turns[0].state == "cancelled"
        assert stage.observer.closed[0] == "replaced by a newer connection"


class SlowToEnd(Stage):
    """Connections whose winding up lasts until `may_end`."""

    def __init__(self) -> None:
        super().__init__()
        self.may_end = asyncio.Event()
        self.winding_up: asyncio.Queue[None] = asyncio.Queue()

    def _make_listener(self, on_event: Callable[[HearingEvent], None]) -> FakeListener:
        listener = SlowListener(on_event, self)
        self.listeners.append(listener)
        return listener


class SlowListener(FakeListener):
    def __init__(self, on_event: Callable[[HearingEvent], None], stage: SlowToEnd) -> None:
        super().__init__(on_event)
        self._stage = stage

    async def close(self) -> None:
        self._stage.winding_up.put_nowait(None)
        await self._stage.may_end.wait()


@asynccontextmanager
async def slow_to_end(options: ServerOptions) -> AsyncIterator[tuple[WebSocketServer, SlowToEnd, int]]:
    stage = SlowToEnd()
    async with serving(options, stage=stage) as (server, _, port):
        try:
            yield server, stage, port
        finally:
            stage.may_end.set()


async def come_and_go(stage: SlowToEnd, port: int, device_id: str = MAC) -> None:
    """Until its connection is only being wound up."""
    client = await RawDevice.come(port, device_id=device_id, with_first=masked(1, HELLO.encode()))
    await client.frame()
    await client.leave()
    await asyncio.wait_for(stage.winding_up.get(), 5)


async def test_who_comes_back_while_the_last_connection_is_wound_up_replaces_nobody() -> None:
    async with slow_to_end(replace(OPTIONS, replacements_per_minute=1)) as (server, stage, port):
        for _ in range(5):
            await come_and_go(stage, port)
        assert server.connections == 5, "all of them are still being wound up"
        last = await RawDevice.come(port)
        newest = await RawDevice.come(port)  # the one replacement that is allowed
        assert await last.reader.read() == b""
        assert stage.observer.bounds == []
        for client in (last, newest):
            await client.leave()


async def test_a_replaced_connection_that_is_wound_up_takes_nobody_the_place() -> None:
    async with slow_to_end(replace(OPTIONS, max_connections=1)) as (_, stage, port):
        old = await RawDevice.come(port, with_first=masked(1, HELLO.encode()))
        await old.frame()
        new = await RawDevice.come(port)
        assert await old.reader.read() == b""
        await asyncio.wait_for(stage.winding_up.get(), 5)
        await come_and_go(stage, port)
        assert await new.reader.read() == b""
        other = await RawDevice.come(port, device_id="another")
        with pytest.raises(InvalidStatus) as refused:  # its old handler is there, but it has no place to take over
            await device(port)
        assert refused.value.response.status_code == 503
        for client in (old, new, other):
            await client.leave()


async def test_a_hundred_first_connections_at_once() -> None:
    async with serving() as (server, _, port):

        async def come(number: int) -> ClientConnection:
            socket = await device(port, f"aa:bb:cc:dd:00:{number:02x}")
            assert (await greet(socket))["type"] == "hello"
            return socket

        sockets = await asyncio.gather(*map(come, range(100)))
        assert server.connections == 100
        await asyncio.gather(*(socket.close() for socket in sockets))


async def test_messages_that_come_with_the_upgrade_are_not_lost() -> None:
    burst = masked(1, HELLO.encode()) + masked(2, b"opus") * 33 + masked(1, b'{"type":"ping"}')
    async with serving() as (_, stage, port):
        raw = await RawDevice.come(port, with_first=burst)
        assert [json.loads((await raw.frame())[1])["type"] for _ in range(2)] == ["hello", "pong"]
        assert stage.listeners[0].fed == [b"opus"] * 33
        await raw.leave()


async def test_a_flood_that_comes_with_the_upgrade_does_not_cost_the_hello() -> None:
    flood = masked(1, HELLO.encode()) + masked(2, b"opus") * 500
    async with serving() as (_, _, port):
        raw = await RawDevice.come(port, with_first=flood)
        assert json.loads((await raw.frame())[1])["type"] == "hello"
        await raw.leave()


async def test_text_that_is_not_utf8_and_fragments_keep_the_session() -> None:
    async with serving() as (_, stage, port):
        raw = await RawDevice.come(port)
        raw.send(1, b'{"type":"\xff\xfe"}')
        raw.send(1, HELLO[:20].encode(), fin=False)
        raw.send(9, b"ping between")
        raw.send(0, HELLO[20:].encode())
        assert await raw.frame() == (10, b"ping between")
        assert json.loads((await raw.frame())[1])["type"] == "hello"
        raw.send(2, b"op", fin=False)
        raw.send(0, b"us")
        raw.send(2, b"")
        raw.send(1, b'{"type":"ping"}')
        await raw.frame()
        assert stage.listeners[0].fed == [b"opus", b""]
        await raw.leave()


async def test_an_oversize_message_closes_with_1009() -> None:
    async with serving() as (_, stage, port), device(port) as socket:
        await greet(socket)
        await socket.send(b"x" * 70_000)
        with pytest.raises(ConnectionClosedError) as closed:
            await receive(socket)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009
        await asyncio.wait_for(stage.observer.somebody_left.wait(), 5)
        assert stage.observer.closed == ["closed with 1009"]


async def test_closing_does_not_wait_for_a_device_that_never_answers_a_close() -> None:
    assert OPTIONS.close_timeout_s <= 1
    options = replace(OPTIONS, close_timeout_s=0.1)
    async with serving(options, ConnectionOptions(idle_close_s=0.1)) as (_, stage, port):
        raw = await RawDevice.come(port)
        raw.send(1, HELLO.encode())
        await raw.frame()
        assert await raw.frame() == (8, struct.pack(">H", 1000) + b"idle")
        await asyncio.wait_for(stage.observer.somebody_left.wait(), 5)  # the library's own patience is 10 s
        await raw.leave()
        assert stage.observer.closed == ["idle"]


async def test_a_client_that_does_not_read_is_dropped() -> None:
    options = replace(OPTIONS, send_deadline_s=0.2, messages_per_second=1e6)
    async with serving(options) as (server, stage, port):
        raw = await RawDevice.come(port)
        raw.send(1, HELLO.encode())
        await raw.frame()
        raw.writer.transport.pause_reading()  # type: ignore[attr-defined]
        pings = masked(1, b'{"type":"ping"}') * 500
        async with asyncio.timeout(20):
            while not stage.observer.closed:
                raw.writer.write(pings)
                await asyncio.sleep(0)
        assert stage.observer.closed == ["device does not read"]
        assert server.connections == 0
        await raw.leave()


async def test_a_device_whose_network_is_gone_is_noticed() -> None:
    async with serving(replace(OPTIONS, ping_interval_s=0.05, ping_timeout_s=0.05)) as (server, stage, port):
        raw = await RawDevice.come(port)
        raw.send(1, HELLO.encode())
        await asyncio.wait_for(stage.observer.somebody_left.wait(), 5)
        assert stage.observer.closed == ["device does not answer"]
        assert server.connections == 0
        await raw.leave()


async def test_draining_lets_a_turn_end_and_takes_nobody_new() -> None:
    async with serving() as (server, stage, port), device(port) as socket:
        await greet(socket)
        stage.script.speak_s = 0.3
        await socket.send('{"type":"listen","state":"detect","text":"hi"}')
        await receive(socket)
        draining = asyncio.create_task(server.drain(5))
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                async with asyncio.timeout(5):
                    await socket.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1001
        assert await draining
        assert stage.turns[0].state == "done"
        with pytest.raises(OSError):
            await device(port)


async def test_what_does_not_end_in_time_is_cut_off() -> None:
    async with serving() as (server, stage, port), device(port) as socket:
        await greet(socket)
        stage.script.speak_s = 60
        await socket.send('{"type":"listen","state":"detect","text":"hi"}')
        await receive(socket)
        assert not await server.drain(0.1)
        assert server.connections == 0
        assert stage.turns[0].state == "cancelled"


async def test_a_port_that_is_taken_is_an_os_error() -> None:
    async with serving() as (_, stage, port):
        with pytest.raises(OSError):
            await WebSocketServer(replace(OPTIONS, port=port), stage.services).start()
