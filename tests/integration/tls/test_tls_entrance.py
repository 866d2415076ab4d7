"""The entrance of a port with TLS: what it hands over, what it counts, and whom it does not wait for."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import cast

from xiaozhi_server.core.bounds import Bound, Porch
from xiaozhi_server.core.tls_entrance import TlsEntrance

CERTIFICATES = Path(__file__).resolve().parents[2] / "support" / "tls"
CERT, KEY = CERTIFICATES / "localhost.pem", CERTIFICATES / "localhost.key"
WAIT_S = 10.0


class Echo(asyncio.Protocol):
    """Says everything again, and tells of its own end."""

    def __init__(self, lost: asyncio.Queue[Exception | None]) -> None:
        self._lost = lost
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert transport.get_extra_info("sslcontext"), "what follows must know that it is secure"
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        self._transport.write(data)

    def connection_lost(self, error: Exception | None) -> None:
        self._lost.put_nowait(error)


class Place:
    def __init__(self, handshake_s: float, limit: int) -> None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(CERT, KEY)
        self.reached: list[Bound] = []
        self.lost: asyncio.Queue[Exception | None] = asyncio.Queue()
        self.porch = Porch(limit, "max_pending_connections", self.reached.append)
        self.entrance = TlsEntrance(context, self.porch, handshake_s=handshake_s, shutdown_s=1.0)
        self.port = 0
        self.made = 0

    def take(self) -> asyncio.Protocol:
        return self.entrance.take(self._make)

    def _make(self) -> asyncio.Protocol:
        self.made += 1
        return Echo(self.lost)

    async def empty(self) -> None:
        async with asyncio.timeout(WAIT_S):
            while len(self.porch):  # noqa: ASYNC110 it tells nobody
                await asyncio.sleep(0.01)


@asynccontextmanager
async def place(handshake_s: float = WAIT_S, limit: int = 10) -> AsyncIterator[Place]:
    here = Place(handshake_s, limit)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(here.take, "127.0.0.1", 0)
    here.port = server.sockets[0].getsockname()[1]
    async with server:
        yield here
        await here.entrance.close()
    assert len(here.porch) == 0


@asynccontextmanager
async def client(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """TCP only."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()


async def cut_off(reader: asyncio.StreamReader) -> None:
    with suppress(ConnectionResetError):
        async with asyncio.timeout(WAIT_S):
            while await reader.read(4096):
                pass


async def finish(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, saying: bytes) -> ssl.SSLObject:
    """A handshake by hand, whose last flight carries the first words with it; the answer to them is awaited."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = ssl.create_default_context(cafile=CERT).wrap_bio(incoming, outgoing, server_hostname="localhost")
    done = False
    while not done:
        try:
            tls.do_handshake()
            done = True
        except ssl.SSLWantReadError:
            writer.write(outgoing.read())
            incoming.write(await reader.read(65_536))
    tls.write(saying)
    writer.write(outgoing.read())
    heard = b""
    while heard != saying:
        try:
            heard += tls.read()
        except ssl.SSLWantReadError:
            incoming.write(await reader.read(65_536))
    return tls


async def test_what_is_said_in_one_breath_with_the_handshake_is_not_lost() -> None:
    async with place() as here, client(here.port) as (reader, writer), asyncio.timeout(WAIT_S):
        await finish(reader, writer, saying=b"first words")
        assert len(here.porch) == 0, "who has shaken hands does not stand here any more"
        assert here.made == 1
        writer.transport.abort()
        await here.lost.get()


async def test_who_never_speaks_is_cut_off_after_the_time_for_a_handshake() -> None:
    async with place(handshake_s=0.1) as here, client(here.port) as (reader, _):
        await cut_off(reader)
        await here.empty()
        assert (here.reached, here.made) == ([], 0)


async def test_who_leaves_in_the_middle_counts_no_more() -> None:
    async with place() as here:
        for first in (b"", b"\x16\x03\x01\x02\x00"):
            async with client(here.port) as (_, writer):
                writer.write(first)
                await stands(here, 1)
            await here.empty()
        assert here.made == 0


async def test_the_oldest_makes_room_before_it_has_said_a_word() -> None:
    async with place(limit=1) as here, client(here.port) as (oldest, _), client(here.port) as (reader, writer):
        await cut_off(oldest)
        assert here.reached == ["max_pending_connections"]
        async with asyncio.timeout(WAIT_S):
            await finish(reader, writer, saying=b"hello")


async def test_closing_waits_for_nobody() -> None:
    async with place() as here, client(here.port) as (silent, _):
        await stands(here, 1)
        async with asyncio.timeout(WAIT_S / 2):
            await here.entrance.close()
        await cut_off(silent)


async def stands(here: Place, count: int) -> None:
    async with asyncio.timeout(WAIT_S):
        while len(here.porch) != count:  # noqa: ASYNC110 it tells nobody
            await asyncio.sleep(0.01)
