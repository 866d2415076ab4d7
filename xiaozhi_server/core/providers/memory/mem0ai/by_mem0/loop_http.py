"""Requests of blocking clients, made on the event loop: there they can be broken off, which a thread cannot be.

What a request means, how long it may take and what its failures are called stays the client's: only the wire is ours.
"""

import asyncio
import sys
from types import ModuleType
from typing import Any

from .threads import BrokenOffError, ask_loop, loop_of_call

_LIBRARIES = ("httpx2", "httpx")  # both speak alike; whoever made a client has loaded its own
_CLOSING_S = 5.0
_TOLD_ON = ("http_version", "reason_phrase")


def by_loop(client: Any) -> Any:
    """A client of httpx that asks as this one does, on the loop that waits for this thread's call.

    None where that cannot be: outside such a call, or for a client of another kind.
    """
    loop, library = loop_of_call(), _library_of(client)
    if loop is None or library is None:
        return None
    return library.Client(
        transport=LoopTransport(library, loop),
        base_url=client.base_url,
        headers=client.headers,
        timeout=client.timeout,
        follow_redirects=client.follow_redirects,
    )


def is_set_up(client: Any) -> bool:
    """Whether somebody gave it proxies or certificates of his own, which nobody can read out of it."""
    library = _library_of(client)
    return library is not None and type(client) is library.Client


class LoopTransport:
    """httpx's transport, as a blocking client uses it from any thread but the loop's own.

    Its connections belong to that loop. The way there, proxies of the environment included, is the library's.
    """

    def __init__(self, library: ModuleType, loop: asyncio.AbstractEventLoop) -> None:
        self._library: Any = library
        self._loop = loop
        self._client = self._library.AsyncClient(timeout=None, follow_redirects=False)
        self._under_way: set[asyncio.Task[Any]] = set()
        self._is_closed = False

    def handle_request(self, request: Any) -> Any:
        body = request.read()
        status, headers, told, raw = ask_loop(self._answer(request, body), self._loop)
        return self._library.Response(status, headers=headers, stream=self._library.ByteStream(raw), extensions=told)

    def close(self) -> None:
        """What is under way is broken off."""
        if self._loop.is_closed():
            return
        closing = asyncio.run_coroutine_threadsafe(self._close(), self._loop)
        if not _runs_here(self._loop):
            closing.result(_CLOSING_S)

    def __enter__(self) -> "LoopTransport":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def _answer(self, request: Any, body: bytes) -> tuple[int, Any, dict[str, Any], bytes]:
        if self._is_closed:
            raise BrokenOffError("the client is closed")
        task = asyncio.current_task()
        assert task is not None
        self._under_way.add(task)
        try:
            return await self._asked(request, body)
        finally:
            self._under_way.discard(task)

    async def _asked(self, request: Any, body: bytes) -> tuple[int, Any, dict[str, Any], bytes]:
        asked = self._library.Request(
            request.method, request.url, headers=request.headers, content=body, extensions=request.extensions
        )
        response = await self._client.send(asked, stream=True)
        try:
            # As it came: whoever asked unpacks it.
            raw = b"".join([part async for part in response.aiter_raw()])
        finally:
            await response.aclose()
        told = {name: response.extensions[name] for name in _TOLD_ON if name in response.extensions}
        return response.status_code, response.headers, told, raw

    async def _close(self) -> None:
        self._is_closed = True
        left = tuple(self._under_way)
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left)
        await self._client.aclose()


def _library_of(client: Any) -> ModuleType | None:
    for name in _LIBRARIES:
        library = sys.modules.get(name)
        if library is not None and isinstance(client, library.Client):
            return library
    return None


def _runs_here(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False
