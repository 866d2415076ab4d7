"""A websocket client with the habits of the firmware's network library, on asyncio streams.

Headers in alphabetical order and a Host without port, no extensions, masked and never fragmented frames, ping answered
with pong, no Close frame of its own and no echo of the server's. It knows nothing of the messages it carries.
"""

import asyncio
import base64
import os
import secrets
import ssl
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from firmware_sim.errors import ChannelClosedError, ConnectError, DeviceCrashError, MessageTooLongError

HANDSHAKE_TIMEOUT_S = 10.0
MAX_UPLINK_BYTES = 65_535
_MAX_UNSENT_BYTES = 1 << 20
_MAX_DOWNLINK_BYTES = 1 << 22

_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA


@dataclass(frozen=True, slots=True)
class Url:
    host: str
    port: int
    path: str
    tls: bool


@dataclass(frozen=True, slots=True)
class ServerClose:
    """A Close frame of the server; the socket stays open until the server drops it."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class _Frame:
    final: bool
    opcode: int
    payload: bytes


Message = str | bytes | ServerClose


def parse_url(url: str) -> Url:
    """Take a URL apart as the network library does: the first colon behind the scheme is the port's, wherever it is."""
    scheme, _, rest = url.partition("://")
    tls = scheme in ("wss", "https")
    host, slash, path = rest.partition("/")
    port = 443 if tls else 80
    if ":" in rest:
        host, _, behind = rest.partition(":")
        digits, slash, path = behind.partition("/")
        if not digits.isdigit():
            raise DeviceCrashError(f"the port in {url!r} is not a number")
        port = int(digits)
    return Url(host, port, f"{slash}{path}" or "/", tls)


async def open_stream(url: Url) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    context = ssl.create_default_context() if url.tls else None
    return await asyncio.open_connection(url.host, url.port, ssl=context)


class WebSocketClient:
    """One open websocket. Sending never blocks; a server that does not read loses the connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._parts: list[bytes] = []
        self._opcode = _CONTINUATION

    @classmethod
    async def open(cls, url: str, headers: Mapping[str, str], *, timeout_s: float = HANDSHAKE_TIMEOUT_S) -> Self:
        target = parse_url(url)
        try:
            async with asyncio.timeout(timeout_s):
                return await cls._open(target, headers)
        except (OSError, TimeoutError) as error:
            raise ConnectError(f"{target.host}:{target.port}: {error or 'no answer in time'}") from error

    @classmethod
    async def _open(cls, url: Url, headers: Mapping[str, str]) -> Self:
        reader, writer = await open_stream(url)
        try:
            writer.write(_upgrade_request(url, headers))
            status = await _read_status(reader)
        except BaseException:
            writer.transport.abort()
            raise
        if "HTTP/1.1 101" not in status:
            writer.transport.abort()
            raise ConnectError(f"the server answered {status!r}")
        return cls(reader, writer)

    @property
    def is_open(self) -> bool:
        return not self._writer.transport.is_closing()

    def send_text(self, text: str) -> None:
        self._send(_TEXT, text.encode())

    def send_binary(self, data: bytes) -> None:
        self._send(_BINARY, data)

    def drop(self) -> None:
        """Hang up: what was sent still goes out, then TCP ends, without a Close frame."""
        self._writer.close()

    def abort(self) -> None:
        """Vanish at once, with a reset."""
        self._writer.transport.abort()

    async def wait_closed(self) -> None:
        try:
            await self._writer.wait_closed()
        except OSError:
            return  # a reset is as closed as it gets

    async def receive(self) -> Message | None:
        """The next message; None when TCP ended."""
        try:
            while True:
                message = self._take(await self._read_frame())
                if message is not None:
                    return message
        except (asyncio.IncompleteReadError, OSError):
            return None

    def _send(self, opcode: int, payload: bytes) -> None:
        if len(payload) > MAX_UPLINK_BYTES:
            raise MessageTooLongError(f"the device does not send {len(payload)} bytes in one message")
        if not self.is_open:
            raise ChannelClosedError("the connection is closed")
        if self._writer.transport.get_write_buffer_size() > _MAX_UNSENT_BYTES:
            self.abort()
            raise ChannelClosedError("the server does not read")
        self._writer.write(build_frame(opcode, payload))

    def _take(self, frame: _Frame) -> Message | None:
        if frame.opcode == _PING:
            if self.is_open:
                self._writer.write(build_frame(_PONG, frame.payload))
            return None
        if frame.opcode == _PONG:
            return None
        if frame.opcode == _CLOSE:
            return _server_close(frame.payload)
        return self._assemble(frame)

    def _assemble(self, frame: _Frame) -> Message | None:
        if frame.opcode != _CONTINUATION:
            self._opcode, self._parts = frame.opcode, []
        self._parts.append(frame.payload)
        if not frame.final:
            return None
        data, self._parts = b"".join(self._parts), []
        return data.decode(errors="replace") if self._opcode == _TEXT else data

    async def _read_frame(self) -> _Frame:
        first, second = await self._reader.readexactly(2)
        length = second & 0x7F
        if length == 126:
            (length,) = struct.unpack(">H", await self._reader.readexactly(2))
        elif length == 127:
            (length,) = struct.unpack(">Q", await self._reader.readexactly(8))
        if length > _MAX_DOWNLINK_BYTES:
            raise DeviceCrashError(f"a frame of {length} bytes does not fit into the device")
        mask = await self._reader.readexactly(4) if second & 0x80 else b""
        payload = await self._reader.readexactly(length)
        return _Frame(bool(first & 0x80), first & 0x0F, apply_mask(payload, mask) if mask else payload)


def build_frame(opcode: int, payload: bytes) -> bytes:
    """A final, masked frame."""
    size = len(payload)
    if size < 126:
        head = struct.pack(">BB", 0x80 | opcode, 0x80 | size)
    elif size < 65_536:
        head = struct.pack(">BBH", 0x80 | opcode, 0x80 | 126, size)
    else:
        head = struct.pack(">BBQ", 0x80 | opcode, 0x80 | 127, size)
    mask = os.urandom(4)
    return head + mask + apply_mask(payload, mask)


def apply_mask(payload: bytes, mask: bytes) -> bytes:
    """One big integer xor: the quickest way there is in plain Python."""
    size = len(payload)
    key = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "little") ^ int.from_bytes(key, "little")).to_bytes(size, "little")


def _server_close(payload: bytes) -> ServerClose:
    if len(payload) < 2:
        return ServerClose(1005, "")
    return ServerClose(int.from_bytes(payload[:2], "big"), payload[2:].decode(errors="replace"))


def _upgrade_request(url: Url, headers: Mapping[str, str]) -> bytes:
    own = {
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": base64.b64encode(secrets.token_bytes(16)).decode(),
        "Sec-WebSocket-Version": "13",
        "Upgrade": "websocket",
    }
    lines = [f"{name}: {value}" for name, value in sorted({**headers, **own}.items())]
    return "\r\n".join([f"GET {url.path} HTTP/1.1", f"Host: {url.host}", *lines, "", ""]).encode()


async def _read_status(reader: asyncio.StreamReader) -> str:
    """The status line of the server's answer; its headers are read and left aside, a body is not read."""
    try:
        answer = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        raise ConnectError("the server did not answer the upgrade") from error
    return answer.split(b"\r\n", 1)[0].decode("latin-1")
