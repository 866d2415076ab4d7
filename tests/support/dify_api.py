"""A stand-in for Dify's Service API on a real socket: the conversations and messages of apps, with Dify's own paging.

As Dify does it: a page of messages is ascending; `first_id` asks for what is older than that message; `last_id` asks
for conversations that were last used before that one, which moves while it is used. Times are kept in microseconds and
told in seconds. Each key is an app of its own, and users are apart.

`python -m tests.support.dify_api --port 0` runs it as its own process and prints its address; `POST /_data` takes a
list of messages as `add` does, `POST /_control` a fault (`{}` mends it), `GET /_stats` counts the calls.
"""

import argparse
import asyncio
import contextlib
import signal
import sys
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Self

from aiohttp import web

KEY = "app-stand-in"

Json = dict[str, Any]
# A status; a web page; broken JSON; an answer that breaks off; JSON of another shape; the first page for ever, or an
# empty one that says there is more; a redirect; no answer for `delay_s`; the connection is closed.
Kind = Literal["status", "html", "half", "cut", "shape", "same_page", "empty_page", "redirect", "slow", "drop"]


@dataclass(slots=True)
class Fault:
    """For the next `times` calls (for ever, if None) whose path ends so and whose question holds that text."""

    kind: Kind
    status: int = 500
    times: int | None = None
    path: str = ""
    text: str = ""
    retry_after: str = ""
    delay_s: float = 0.0

    def meets(self, call: "Call") -> bool:
        """Counts down where it does."""
        wanted = call.path.endswith(self.path) and self.text in str(call.query)
        if not wanted or self.times == 0:
            return False
        if self.times is not None:
            self.times -= 1
        return True


@dataclass(frozen=True, slots=True)
class Call:
    path: str
    query: Mapping[str, str]
    key: str


@dataclass(slots=True)
class KeptMessage:
    id: str
    query: str
    answer: str
    created_at: float

    def told(self, conversation_id: str) -> Json:
        return {
            "id": self.id,
            "conversation_id": conversation_id,
            "parent_message_id": None,
            "inputs": {},
            "query": self.query,
            "answer": self.answer,
            "message_files": [],
            "feedback": None,
            "retriever_resources": [],
            "created_at": int(self.created_at),
            "agent_thoughts": [],
            "status": "normal",
            "error": None,
        }


@dataclass(slots=True)
class KeptConversation:
    id: str
    created_at: float
    updated_at: float
    messages: list[KeptMessage] = field(default_factory=list)

    def told(self) -> Json:
        return {
            "id": self.id,
            "name": "New conversation",
            "inputs": {},
            "status": "normal",
            "introduction": "",
            "created_at": int(self.created_at),
            "updated_at": int(self.updated_at),
        }


class DifyStandIn:
    """`async with DifyStandIn() as dify: dify.base_url`. Tell it the keys of its apps; one is there by itself.

    `largest_page` below 100 makes it give less than it is asked for, as real servers may. `before_answer` is told each
    call before it is answered, and may change what is there.
    """

    def __init__(self, keys: Sequence[str] = (KEY,), *, largest_page: int = 100, port: int = 0) -> None:
        self.base_url = ""
        self.calls: list[Call] = []
        self.faults: list[Fault] = []
        self.largest_page = largest_page
        self.before_answer: Callable[[Call], None] = lambda call: None
        self.running = 0
        self.left = 0  # callers that did not wait for their answer
        self._port = port
        self._apps: dict[str, dict[str, dict[str, KeptConversation]]] = {key: {} for key in keys}
        self._runner = web.AppRunner(self._routes(), handler_cancellation=True, shutdown_timeout=0.1)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        self.base_url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    # --- what is there ---

    def add(
        self,
        user: str,
        query: str,
        answer: str = "",
        *,
        at: float,
        conversation_id: str = "",
        message_id: str = "",
        key: str = KEY,
    ) -> tuple[str, str]:
        """A message, in a new conversation unless one is named: the ids of both. Each needs a time of its own."""
        talks = self._apps.setdefault(key, {}).setdefault(user, {})
        conversation_id = conversation_id or str(uuid.uuid4())
        talk = talks.setdefault(conversation_id, KeptConversation(conversation_id, at, at))
        message = KeptMessage(message_id or str(uuid.uuid4()), query, answer, at)
        talk.messages.append(message)
        talk.messages.sort(key=lambda one: one.created_at)
        talk.created_at = min(talk.created_at, at)
        talk.updated_at = max(talk.updated_at, at)
        return conversation_id, message.id

    def conversation(self, user: str, conversation_id: str, *, key: str = KEY) -> KeptConversation:
        return self._apps[key][user][conversation_id]

    def delete(self, user: str, conversation_id: str, *, key: str = KEY) -> None:
        del self._apps[key][user][conversation_id]

    def fail(self, kind: Kind, **how: Any) -> None:
        self.faults.append(Fault(kind, **how))

    def mend(self) -> None:
        self.faults.clear()

    def counts(self) -> Counter[str]:
        """How often each path was asked."""
        return Counter(call.path.removeprefix("/v1") for call in self.calls)

    # --- HTTP ---

    def _routes(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/v1/conversations", self._handler(self._conversations))
        app.router.add_get("/v1/messages", self._handler(self._messages))
        app.router.add_post("/_data", self._take_data)
        app.router.add_post("/_control", self._take_control)
        app.router.add_get("/_stats", self._tell_stats)
        return app

    def _handler(self, answer: Callable[[Call], Json]) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.StreamResponse:
            key = request.headers.get("Authorization", "").removeprefix("Bearer ")
            call = Call(request.path, dict(request.query), key)
            self.calls.append(call)
            self.before_answer(call)
            self.running += 1
            try:
                return await self._answered(request, call, answer)
            except asyncio.CancelledError:
                self.left += 1
                raise
            finally:
                self.running -= 1

        return handle

    async def _answered(self, request: web.Request, call: Call, answer: Callable[[Call], Json]) -> web.StreamResponse:
        fault = next((one for one in self.faults if one.meets(call)), None)
        if fault is not None and (failed := await _failed(request, fault)) is not None:
            return failed
        try:
            if call.key not in self._apps:
                raise _RefusedError(401, "unauthorized", "Access token is invalid")
            if fault is not None and fault.kind == "same_page":
                call = Call(
                    call.path, {k: v for k, v in call.query.items() if k not in ("last_id", "first_id")}, call.key
                )
            body = answer(call)
        except _RefusedError as error:
            return web.json_response(error.body, status=error.status)
        if fault is not None and fault.kind == "same_page":
            body["has_more"] = True
        if fault is not None and fault.kind == "empty_page":
            body |= {"data": [], "has_more": True}
        return web.json_response(body)

    def _conversations(self, call: Call) -> Json:
        """`last_id` names a place by the time of that conversation, as it is now."""
        limit = self._limit(call)
        sort_by = call.query.get("sort_by", "-updated_at")
        name = sort_by.removeprefix("-")
        if name not in ("created_at", "updated_at"):
            raise _RefusedError(400, "invalid_param", f"{sort_by} is not a valid choice")
        is_descending = sort_by.startswith("-")
        talks = self._talks(call)
        found = sorted(talks.values(), key=lambda one: float(getattr(one, name)), reverse=is_descending)
        if last_id := _uuid(call, "last_id"):
            if last_id not in talks:
                raise _RefusedError(404, "not_found", "Last Conversation Not Exists.")
            place = getattr(talks[last_id], name)
            found = [
                one for one in found if (getattr(one, name) < place) == is_descending and getattr(one, name) != place
            ]
        page = found[:limit]
        return {"limit": limit, "has_more": len(found) > len(page), "data": [one.told() for one in page]}

    def _messages(self, call: Call) -> Json:
        limit = self._limit(call)
        talk = self._talks(call).get(_uuid(call, "conversation_id"))
        if talk is None:
            raise _RefusedError(404, "not_found", "Conversation Not Exists.")
        found = talk.messages
        if first_id := _uuid(call, "first_id"):
            first = next((one for one in found if one.id == first_id), None)
            if first is None:
                raise _RefusedError(404, "not_found", "First Message Not Exists.")
            found = [one for one in found if one.created_at < first.created_at]
        page = found[-limit:]
        return {"limit": limit, "has_more": len(found) > len(page), "data": [one.told(talk.id) for one in page]}

    def _talks(self, call: Call) -> dict[str, KeptConversation]:
        return self._apps[call.key].get(call.query.get("user", ""), {})

    def _limit(self, call: Call) -> int:
        text = call.query.get("limit", "20")
        if not text.isdecimal() or not 1 <= int(text) <= 100:
            raise _RefusedError(400, "invalid_param", f"limit: {text} is not in range [1, 100]")
        return min(int(text), self.largest_page)

    # --- for another process ---

    async def _take_data(self, request: web.Request) -> web.Response:
        return web.json_response([self.add(**one) for one in await request.json()])

    async def _take_control(self, request: web.Request) -> web.Response:
        fault = await request.json()
        self.faults = [Fault(**fault)] if fault else []
        return web.json_response({})

    async def _tell_stats(self, request: web.Request) -> web.Response:
        return web.json_response({"counts": self.counts(), "running": self.running, "left": self.left})


class _RefusedError(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"code": code, "message": message, "status": status}


def _uuid(call: Call, name: str) -> str:
    text = call.query.get(name, "")
    try:
        return str(uuid.UUID(text)) if text else ""
    except ValueError:
        raise _RefusedError(400, "invalid_param", f"{text} is not a valid uuid") from None


async def _failed(request: web.Request, fault: Fault) -> web.StreamResponse | None:
    """None where the call is answered all the same."""
    await asyncio.sleep(fault.delay_s)
    headers = {"Retry-After": fault.retry_after} if fault.retry_after else {}
    match fault.kind:
        case "status":
            # As unkind as can be: it quotes what it was sent.
            body = {"code": "error", "message": f"{request.url} {dict(request.headers)}", "status": fault.status}
            return web.json_response(body, status=fault.status, headers=headers)
        case "html":
            return web.Response(text="<!DOCTYPE html><html><body>Welcome</body></html>", content_type="text/html")
        case "half":
            return web.Response(
                text='{"limit": 100, "has_more": true, "data": [{"id": "', content_type="application/json"
            )
        case "shape":
            return web.json_response({"limit": 100, "has_more": False, "data": {"items": []}})
        case "redirect":
            return web.Response(status=302, headers={"Location": "http://127.0.0.1:1/v1"})
        case "cut" | "drop":
            return await _hung_up(request, b'{"data": [' if fault.kind == "cut" else b"")
        case _:
            return None


async def _hung_up(request: web.Request, first: bytes) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    if first:
        await response.prepare(request)
        await response.write(first)
    assert request.transport is not None
    request.transport.close()
    return response


async def _serve(options: argparse.Namespace) -> None:
    stopped = asyncio.Event()
    async with DifyStandIn(options.key or [KEY], port=options.port) as dify:
        for name in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(NotImplementedError):  # Windows
                asyncio.get_running_loop().add_signal_handler(name, stopped.set)
        sys.stdout.write(f"Dify stands in at {dify.base_url}\n")
        sys.stdout.flush()
        await stopped.wait()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.support.dify_api", description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--key", action="append", help="the key of an app; may be repeated")
    asyncio.run(_serve(parser.parse_args()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
