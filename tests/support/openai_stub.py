"""A small real HTTP server that behaves as an OpenAI-like one, well or badly, as each test says."""

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from aiohttp import BodyPartReader, web

Reply = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Seen:
    path: str
    headers: dict[str, str]
    body: dict[str, Any] = field(default_factory=dict)
    file: bytes = b""
    peer: tuple[str, int] = ("", 0)


class OpenAiStub:
    """`async with OpenAiStub() as stub:` listens on a free port; `stub.reply` answers every request."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.base_url = ""
        self.address = ("", 0)
        self._tls = tls
        self.reply: Reply = fails_with(404)
        self.seen: list[Seen] = []
        self.request_came = asyncio.Event()
        self.client_left = asyncio.Event()
        self._runner = web.AppRunner(self._app(), handler_cancellation=True, shutdown_timeout=0.1)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._tls)
        await site.start()
        self.address = self._runner.addresses[0]
        self.base_url = f"{'https' if self._tls else 'http'}://127.0.0.1:{self.address[1]}/v1"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    def _app(self) -> web.Application:
        app = web.Application(client_max_size=16 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._handle)
        return app

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(await _read(request))
        self.request_came.set()
        try:
            return await self.reply(request)
        except (asyncio.CancelledError, ConnectionResetError):
            self.client_left.set()
            raise


async def _read(request: web.Request) -> Seen:
    assert request.transport is not None
    peer = request.transport.get_extra_info("peername")
    headers = {name.lower(): value for name, value in request.headers.items()}
    if request.content_type == "multipart/form-data":
        fields = {}
        async for part in await request.multipart():
            assert isinstance(part, BodyPartReader)
            fields[part.name or ""] = bytes(await part.read())
        file = fields.pop("file")
        return Seen(request.path, headers, {name: value.decode() for name, value in fields.items()}, file, peer)
    return Seen(request.path, headers, await request.json(), peer=peer)


def answers(body: bytes, content_type: str, headers: Mapping[str, str] | None = None, status: int = 200) -> Reply:
    async def reply(request: web.Request) -> web.StreamResponse:
        return web.Response(body=body, content_type=content_type, headers=headers, status=status)

    return reply


def fails_with(status: int, error: dict[str, Any] | None = None, quote_request: bool = False) -> Reply:
    """An error as OpenAI words it; the unkind ones quote what they were sent, key included."""

    async def reply(request: web.Request) -> web.StreamResponse:
        message = f"{request.headers} {await request.text()}" if quote_request else "no"
        return web.json_response({"error": {"message": message, "type": "x", **(error or {})}}, status=status)

    return reply


def streams(
    *pieces: bytes, content_type: str = "text/event-stream", then_stall: bool = False, pause_s: float = 0.0
) -> Reply:
    """Send the pieces one by one, with a pause after each; then end or hang."""

    async def reply(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": content_type})
        await response.prepare(request)
        for piece in pieces:
            await response.write(piece)
            await asyncio.sleep(pause_s)
        if then_stall:
            await asyncio.Event().wait()
        return response

    return reply


def breaks_after(*pieces: bytes, content_type: str = "text/event-stream") -> Reply:
    """Cut the connection in the middle of a stream."""

    async def reply(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": content_type})
        await response.prepare(request)
        for piece in pieces:
            await response.write(piece)
        assert request.transport is not None
        request.transport.close()
        return response

    return reply


async def hangs(request: web.Request) -> web.StreamResponse:
    """Take the request and never answer."""
    await asyncio.Event().wait()
    raise AssertionError("unreachable")


def event(data: object) -> bytes:
    return b"data: " + json.dumps(data, ensure_ascii=False).encode() + b"\n\n"


def chunk(delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return event({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]})


def chat(*texts: str) -> Reply:
    return streams(*chat_pieces(texts))


def chat_pieces(texts: Sequence[str]) -> list[bytes]:
    return [*(chunk({"content": text}) for text in texts), chunk({}, "stop"), b"data: [DONE]\n\n"]


def tool_piece(index: int | None, name: str | None, arguments: str, call_id: str | None = None) -> dict[str, Any]:
    function = {"arguments": arguments} | ({"name": name} if name else {})
    piece: dict[str, Any] = {"type": "function", "function": function}
    if index is not None:
        piece["index"] = index
    if call_id:
        piece["id"] = call_id
    return piece
