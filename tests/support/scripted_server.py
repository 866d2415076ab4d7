"""A small OTA and websocket server that follows a script: what the simulated device is tested against."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from firmware_sim.opus import encode_speech

Json = dict[str, Any]


@dataclass(slots=True)
class ScriptedSession:
    """One connection, seen by the script."""

    connection: ServerConnection
    texts: list[Json] = field(default_factory=list)
    packets: list[bytes] = field(default_factory=list)

    @property
    def headers(self) -> list[tuple[str, str]]:
        request = self.connection.request
        assert request is not None
        return list(request.headers.raw_items())

    async def send(self, **message: object) -> None:
        await self.connection.send(json.dumps(message))

    async def send_bytes(self, data: bytes) -> None:
        await self.connection.send(data)

    async def greet(self, session_id: str = "s-1", **audio: object) -> None:
        await self.expect("hello")
        params = {"format": "opus", "sample_rate": 24_000, "channels": 1, "frame_duration": 60} | audio
        await self.send(type="hello", transport="websocket", session_id=session_id, audio_params=params)

    async def next(self) -> Json | bytes:
        message = await self.connection.recv()
        if isinstance(message, bytes):
            self.packets.append(message)
            return message
        self.texts.append(json.loads(message))
        return self.texts[-1]

    async def expect(self, kind: str, **fields: object) -> Json:
        """The next message with these fields; whatever comes before it is noted and passed over."""
        while True:
            message = await self.next()
            if not isinstance(message, bytes) and message["type"] == kind and fields.items() <= message.items():
                return message

    async def expect_packets(self, count: int) -> None:
        while len(self.packets) < count:
            await self.next()

    async def answer(self, text: str = "Hello.", packets: list[bytes] | None = None) -> None:
        await self.send(type="stt", text="what was heard")
        await self.send(type="llm", emotion="happy", text="🙂")
        await self.send(type="tts", state="start")
        await self.send(type="tts", state="sentence_start", text=text)
        for packet in tone_packets(5) if packets is None else packets:
            await self.send_bytes(packet)
        await self.send(type="tts", state="stop")


Script = Callable[[ScriptedSession], Awaitable[None]]


def tone_packets(count: int, sample_rate: int = 24_000, frame_ms: int = 60) -> list[bytes]:
    """Something loud enough to count as sound."""
    size = sample_rate * frame_ms // 1000
    wave = bytes(byte for index in range(size * count) for byte in ((index * 977) % 16_384).to_bytes(2, "little"))
    return encode_speech(wave, sample_rate=sample_rate, frame_ms=frame_ms)


class ScriptedServer:
    """Serves the OTA answer (a function of the request body) and runs the script for each connection."""

    def __init__(self, script: Script, *, ota: Callable[[Json], Json] | None = None, version: int = 1) -> None:
        self._script = script
        self._ota = ota or self._usual_answer
        self._version = version
        self._stack = AsyncExitStack()
        self._ws_port = 0
        self.ota_url = ""
        self.ota_statuses: list[int] = []  # of the next answers; 200 when there is none left
        self.ota_at_s: list[float] = []
        self.ota_requests: list[tuple[dict[str, str], Json]] = []
        self.activations: list[Json] = []
        self.activation_statuses: list[int] = []  # of the next polls; 202 when there is none left
        self.activation_at_s: list[float] = []
        self.sessions: list[ScriptedSession] = []
        self.failures: list[Exception] = []

    async def __aenter__(self) -> Self:
        server = await self._stack.enter_async_context(
            serve(self._run, "127.0.0.1", 0, compression=None, close_timeout=0.2)
        )
        self._ws_port = next(iter(server.sockets)).getsockname()[1]
        app = web.Application()
        app.router.add_post("/ota/", self._on_ota)
        app.router.add_post("/ota/activate", self._on_activate)
        runner = web.AppRunner(app)
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.ota_url = f"http://127.0.0.1:{runner.addresses[0][1]}/ota/"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()
        if self.failures:
            raise self.failures[0]

    @property
    def websocket_url(self) -> str:
        return f"ws://127.0.0.1:{self._ws_port}/xiaozhi/v1/"

    def _usual_answer(self, _: Json) -> Json:
        return {"websocket": {"url": self.websocket_url, "token": "", "version": self._version}}

    async def _on_ota(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.ota_at_s.append(asyncio.get_running_loop().time())
        self.ota_requests.append((dict(request.headers), body))
        return web.json_response(self._ota(body), status=self.ota_statuses.pop(0) if self.ota_statuses else 200)

    async def _on_activate(self, request: web.Request) -> web.Response:
        self.activations.append(await request.json())
        self.activation_at_s.append(asyncio.get_running_loop().time())
        status = self.activation_statuses.pop(0) if self.activation_statuses else 202
        if status == 0 and request.transport is not None:
            request.transport.abort()
        return web.json_response({}, status=status or 500)

    async def _run(self, connection: ServerConnection) -> None:
        session = ScriptedSession(connection)
        self.sessions.append(session)
        try:
            await self._script(session)
        except (ConnectionClosed, asyncio.CancelledError):
            return
        except Exception as error:
            self.failures.append(error)
