"""A client that keeps no rule but the ones a test wants: it writes frames byte by byte, floods, or does not read."""

import asyncio
import json
import os
import re
import socket
import struct
from contextlib import suppress
from typing import Any, Self

HELLO = '{"type":"hello","version":1,"transport":"websocket"}'
PING = '{"type":"ping"}'
TEXT, BINARY, CONTINUATION, CLOSE, PING_FRAME = 1, 2, 0, 8, 9
WAIT_S = 20.0


class RefusedError(Exception):
    """The upgrade was answered with another status."""

    def __init__(self, status: int, headers: dict[str, str]) -> None:
        super().__init__(f"refused with {status}")
        self.status = status
        self.headers = headers


class RawClient:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def knock(cls, port: int, *, receive_buffer: int | None = None) -> Self:
        """Only the TCP connection."""
        plain = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        plain.setblocking(False)
        if receive_buffer is not None:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        try:
            await asyncio.get_running_loop().sock_connect(plain, ("127.0.0.1", port))
            return cls(*await asyncio.open_connection(sock=plain))
        except BaseException:
            plain.close()
            raise

    @classmethod
    async def come(cls, port: int, device_id: str, *, receive_buffer: int | None = None) -> Self:
        """Up to the upgrade. `RefusedError`: it was refused."""
        client = await cls.knock(port, receive_buffer=receive_buffer)
        client.writer.write(upgrade(device_id))
        await client.upgraded()
        return client

    @classmethod
    async def greet(cls, port: int, device_id: str, *, receive_buffer: int | None = None) -> Self:
        """Up to the server's hello."""
        client = await cls.come(port, device_id, receive_buffer=receive_buffer)
        client.send(TEXT, HELLO.encode())
        assert (await client.message())["type"] == "hello"
        return client

    async def upgraded(self) -> None:
        """Waits for the answer to an upgrade. `RefusedError`: it was refused."""
        async with asyncio.timeout(WAIT_S):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        status = int(head.split()[1])
        if status != 101:
            await self.leave()
            raise RefusedError(status, dict(re.findall(r"^([\w-]+): (.*?)\r$", head, re.MULTILINE)))

    def send(self, opcode: int, payload: bytes, *, fin: bool = True) -> None:
        self.writer.write(masked(opcode, payload, fin=fin))

    def say(self, **fields: Any) -> None:
        self.send(TEXT, json.dumps(fields).encode())

    async def frame(self) -> tuple[int, bytes]:
        async with asyncio.timeout(WAIT_S):
            first, length = await self.reader.readexactly(2)
            if length == 126:
                (length,) = struct.unpack(">H", await self.reader.readexactly(2))
            return first & 15, await self.reader.readexactly(length)

    async def message(self) -> dict[str, Any]:
        """The next text; sound is passed over."""
        while True:
            opcode, payload = await self.frame()
            assert opcode in (TEXT, BINARY), (opcode, payload)
            if opcode == TEXT:
                fields: dict[str, Any] = json.loads(payload)
                return fields

    async def is_served(self) -> bool:
        """Whether the session answers a ping, passing over whatever comes before that."""
        self.send(TEXT, PING.encode())
        while (await self.message())["type"] != "pong":
            pass
        return True

    async def close_code(self) -> int | None:
        """Reads on to the end; None: TCP was cut without a Close frame."""
        try:
            while True:
                opcode, payload = await self.frame()
                if opcode == CLOSE:
                    return int(struct.unpack(">H", payload[:2])[0])
        except (asyncio.IncompleteReadError, ConnectionError):
            return None

    async def cut_off(self) -> None:
        """Waits until the server has dropped TCP."""
        async with asyncio.timeout(WAIT_S):
            with suppress(ConnectionError):
                while await self.reader.read(65_536):
                    pass

    async def leave(self) -> None:
        self.writer.transport.abort()
        with suppress(ConnectionError):
            await self.writer.wait_closed()


def upgrade(device_id: str) -> bytes:
    return (
        b"GET /xiaozhi/v1/ HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\n"
        + f"Device-Id: {device_id}\r\nClient-Id: raw\r\n".encode()
        + b"Protocol-Version: 1\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        b"Sec-WebSocket-Version: 13\r\nUpgrade: websocket\r\n\r\n"
    )


def masked(opcode: int, payload: bytes, *, fin: bool = True) -> bytes:
    mask = os.urandom(4)
    if len(payload) < 126:
        size = bytes([0x80 | len(payload)])
    elif len(payload) < 65_536:
        size = b"\xfe" + struct.pack(">H", len(payload))
    else:
        size = b"\xff" + struct.pack(">Q", len(payload))
    repeated = (mask * (len(payload) // 4 + 1))[: len(payload)]
    body = (int.from_bytes(payload) ^ int.from_bytes(repeated)).to_bytes(len(payload))
    return bytes([opcode | (0x80 if fin else 0)]) + size + mask + body
