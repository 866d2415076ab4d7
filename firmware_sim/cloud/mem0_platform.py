"""The Mem0 platform of the stand-in cloud: its paths and the shapes of its answers, as mem0's own client wants them."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from aiohttp import web

from firmware_sim.cloud.faults import Fault
from firmware_sim.cloud.mem0_filters import FilterError
from firmware_sim.cloud.mem0_memories import PlatformMemories, RefusedError, UnknownIdError, page_of

_PAGE_SIZE = 100
_BATCH_MAX = 1000

Json = dict[str, Any]
Handler = Callable[[web.Request, Fault], Awaitable[web.StreamResponse]]
_Operation = Callable[[web.Request, Json], Any]


class Reply(Protocol):
    """Sends a JSON answer as the fault lets it."""

    def __call__(self, request: web.Request, body: Any, fault: Fault) -> Awaitable[web.StreamResponse]: ...


class Mem0Platform:
    """`note` is told each operation with its request, the instruction for extraction among it."""

    def __init__(self, reply: Reply, note: Callable[[Json], None]) -> None:
        self.memories = PlatformMemories(lambda: asyncio.get_running_loop().time())
        self._reply = reply
        self._note = note

    def routes(self) -> list[tuple[str, str, Handler]]:
        """Method, path and handler."""
        return [
            ("GET", "/v1/ping/", self._handler("ping", self._ping)),
            ("POST", "/v3/memories/add/", self._handler("add", lambda _, body: self.memories.add(body))),
            ("POST", "/v3/memories/search/", self._handler("search", self._search)),
            ("POST", "/v3/memories/", self._handler("get_all", self._page)),
            ("GET", "/v1/event/{id}/", self._handler("event", lambda request, _: self.memories.event(_id(request)))),
            ("GET", "/v1/memories/{id}/", self._handler("get", lambda request, _: self.memories.get(_id(request)))),
            ("PUT", "/v1/memories/{id}/", self._handler("update", self._update)),
            ("DELETE", "/v1/memories/{id}/", self._handler("delete", self._delete)),
            ("GET", "/v1/memories/{id}/history/", self._handler("history", self._history)),
            ("DELETE", "/v1/memories/", self._handler("delete_all", self._delete_all)),
            ("GET", "/v1/entities/", self._handler("entities", self._entities)),
            ("DELETE", "/v2/entities/{kind}/{id}/", self._handler("delete_entity", self._delete_entity)),
            ("PUT", "/v1/batch/", self._handler("batch_update", self._batch_update)),
            ("DELETE", "/v1/batch/", self._handler("batch_delete", self._batch_delete)),
        ]

    def _handler(self, name: str, operation: _Operation) -> Handler:
        async def handle(request: web.Request, fault: Fault) -> web.StreamResponse:
            try:
                body = await _body(request)
                self._note({**body, "operation": name})
                answer = operation(request, body)
            except (RefusedError, FilterError) as error:
                return web.json_response({"error": str(error)}, status=400)
            except UnknownIdError:
                what = "Event" if name == "event" else "Memory"
                return web.json_response({"error": f"{what} not found!"}, status=404)
            return await self._reply(request, answer, fault)

        return handle

    def _ping(self, _request: web.Request, _body: Json) -> Json:
        return {"status": "ok", "org_id": "org-1", "project_id": "project-1", "user_email": "stand-in@localhost"}

    def _search(self, _request: web.Request, body: Json) -> Json:
        return {"results": self.memories.search(body)}

    def _page(self, request: web.Request, body: Json) -> Json:
        number, size = _number(request, "page", 1), _number(request, "page_size", _PAGE_SIZE)
        found = self.memories.matching(body)
        page, is_more = page_of(found, number, size)
        return {
            "count": len(found),
            "next": str(request.url.update_query(page=number + 1)) if is_more else None,
            "previous": str(request.url.update_query(page=number - 1)) if number > 1 else None,
            "results": page,
        }

    def _update(self, request: web.Request, body: Json) -> Json:
        return self.memories.update(_id(request), body)

    def _delete(self, request: web.Request, _body: Json) -> Json:
        self.memories.delete(_id(request))
        return {"message": "Memory deleted successfully!"}

    def _history(self, request: web.Request, _body: Json) -> list[Json]:
        return self.memories.history(_id(request))

    def _delete_all(self, request: web.Request, _body: Json) -> Json:
        self.memories.delete_all(dict(request.query))
        return {"message": "Delete in progress. This may take some time.", "event_id": None}

    def _entities(self, _request: web.Request, _body: Json) -> Json:
        found = self.memories.entities()
        users = sum(entity["type"] == "user" for entity in found)
        return {"count": len(found), "next": None, "previous": None, "results": found, "total_users": users}

    def _delete_entity(self, request: web.Request, _body: Json) -> Json:
        self.memories.delete_all({f"{request.match_info['kind']}_id": _id(request)})
        return {"message": "Entity deleted successfully!"}

    def _batch_update(self, _request: web.Request, body: Json) -> Json:
        for change in _batch(body):
            self.memories.update(change["memory_id"], {key: change[key] for key in change if key != "memory_id"})
        return {"message": f"Successfully updated {len(body['memories'])} memories"}

    def _batch_delete(self, _request: web.Request, body: Json) -> Json:
        for memory in _batch(body):
            self.memories.delete(memory["memory_id"])
        return {"message": f"Successfully deleted {len(body['memories'])} memories"}


def _id(request: web.Request) -> str:
    return request.match_info["id"]


def _number(request: web.Request, name: str, default: int) -> int:
    try:
        number = int(request.query.get(name, default))
    except ValueError:
        number = 0
    if number < 1:
        raise RefusedError(f"{name} must be a number from 1")
    return number


def _batch(body: Json) -> list[Json]:
    memories = body.get("memories")
    if not isinstance(memories, list) or not 1 <= len(memories) <= _BATCH_MAX:
        raise RefusedError(f"memories must be a list of 1 to {_BATCH_MAX}")
    if not all(isinstance(memory, dict) and isinstance(memory.get("memory_id"), str) for memory in memories):
        raise RefusedError("each needs its memory_id")
    return memories


async def _body(request: web.Request) -> Json:
    data = await request.read()
    try:
        body = json.loads(data) if data else {}
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise RefusedError("the body is not a JSON object")
    return body
