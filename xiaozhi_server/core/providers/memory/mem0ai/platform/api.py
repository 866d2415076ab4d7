"""Mem0's platform over HTTP, as far as it is needed here.

It speaks for itself: mem0's own client blocks everybody with a request while it is made, knows no events and no way to
end a request that nobody waits for any more, and is a large thing to load for a few requests.
"""

import asyncio
import json
from collections.abc import Coroutine, Mapping, Sequence
from datetime import datetime
from itertools import chain
from typing import Any, Literal
from urllib.parse import quote, urlsplit
from urllib.request import getproxies, proxy_bypass
from uuid import UUID

from ...base import SpokenMessage
from ..records import FoundMemory
from ..scope import OfAgent, Scope, Whose
from .errors import (
    PlatformAwayError,
    PlatformBusyError,
    PlatformRefusedError,
    PlatformRejectedError,
    PlatformUnknownError,
    UnknownEventError,
)
from .options import PlatformOptions
from .results import found_memories, result_ids

EventStatus = Literal["pending", "succeeded", "failed"]
Json = dict[str, Any]

TOP_K_MAX = 1000
_PAGE_SIZE = 100
_PAGES_MAX = 1000
_PAGES_AT_ONCE = 4
_LONGEST_ANSWER_BYTES = 8 << 20
_LONGEST_PAUSE_S = 300.0
_CONNECTIONS = 32
_KEEPALIVE_S = 60.0  # people pause between turns: the next one shall not pay for a handshake
_REFUSED = (401, 403)
_REJECTED = (400, 405, 409, 413, 415, 422)


class PlatformApi:
    """Every call may raise a PlatformError, and ends at once where it is cancelled."""

    def __init__(self, options: PlatformOptions) -> None:
        self._options = options
        self._session: Any = None

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def ping(self) -> None:
        answer = await self._ask("GET", "/v1/ping/")
        if not isinstance(answer, dict) or "status" not in answer:
            raise PlatformAwayError("an answer that is not the platform's", may_have_worked=False)

    async def add(
        self,
        messages: Sequence[SpokenMessage],
        *,
        user_id: str,
        metadata: Mapping[str, Any],
        said_at: datetime,
        instruction: str = "",
        infer: bool = True,
    ) -> str:
        """Hand over what was said; the id of the event that tells what became of it."""
        body: Json = {
            "messages": [{"role": message.role, "content": _said(message)} for message in messages],
            "user_id": user_id,
            "metadata": dict(metadata),
            "timestamp": int(said_at.timestamp()),
        }
        if instruction:
            body["custom_instructions"] = instruction
        if not infer:
            body["infer"] = False
        answer = await self._ask("POST", "/v3/memories/add/", body)
        event_id = answer.get("event_id") if isinstance(answer, dict) else None
        if not isinstance(event_id, str) or not event_id:
            raise PlatformAwayError("an answer without an event", may_have_worked=True)
        return event_id

    async def event(self, event_id: str) -> EventStatus:
        return (await self.outcome(event_id))[0]

    async def outcome(self, event_id: str) -> tuple[EventStatus, Sequence[Any]]:
        """With what came of it, as far as the platform tells."""
        try:
            answer = await self._ask("GET", f"/v1/event/{quote(event_id, safe='')}/")
        except PlatformRejectedError as error:
            raise UnknownEventError(str(error)) from None
        status = answer.get("status") if isinstance(answer, dict) else None
        if status in ("SUCCEEDED", "FAILED"):
            results = answer.get("results")
            return "succeeded" if status == "SUCCEEDED" else "failed", results if isinstance(results, list) else []
        if status in ("PENDING", "RUNNING"):
            return "pending", []
        raise PlatformAwayError("an event without a status", may_have_worked=False)

    async def search(
        self, query: str, whose: Whose, *, top_k: int, threshold: float | None = None
    ) -> list[FoundMemory]:
        """The memories that fit best, the best first. Without a threshold the platform has one of its own."""
        body: Json = {"query": query, "filters": _filters(whose), "top_k": min(top_k, TOP_K_MAX)}
        if threshold is not None:
            body["threshold"] = threshold
        answer = await self._ask("POST", "/v3/memories/search/", body, timeout_s=self._options.search_timeout_s)
        return found_memories(_results(answer), whose)

    async def sent(self, user_id: str, send_id: str) -> list[tuple[str, str]]:
        """The memories that came of what was sent under this name: the id of each, and by which request it came."""
        found = await self._pages(_filters(Scope(user_id), send_id=send_id))
        return [
            (one["id"], _mark(one, "attempt"))
            for one in found
            # Some of them will be deleted: a filter is not trusted with that.
            if isinstance(one.get("id"), str) and one.get("user_id") == user_id and _mark(one, "send_id") == send_id
        ]

    async def every(self, whose: Whose) -> list[Json]:
        """What an owner or an agent has."""
        return await self._pages(_filters(whose))

    async def get(self, memory_id: str) -> Json | None:
        """Whosever it is."""
        try:
            answer = await self._ask("GET", _memory_path(memory_id))
        except PlatformUnknownError:
            return None
        if not isinstance(answer, dict):
            raise PlatformAwayError("an answer without a memory", may_have_worked=False)
        return answer

    async def update(self, memory_id: str, changes: Json) -> None:
        await self._ask("PUT", _memory_path(memory_id), changes)

    async def delete(self, memory_id: str) -> bool:
        """False if there is none any more."""
        try:
            await self._ask("DELETE", _memory_path(memory_id))
        except PlatformUnknownError:
            return False
        return True

    async def history(self, memory_id: str) -> list[Any]:
        try:
            answer = await self._ask("GET", f"{_memory_path(memory_id)}history/")
        except PlatformUnknownError:
            return []
        if not isinstance(answer, list):
            raise PlatformAwayError("an answer without a history", may_have_worked=False)
        return answer

    async def owners(self, *, limit: int) -> list[str]:
        """Whose memories there are, as far as the platform lists them."""
        found = _results(await self._ask("GET", "/v1/entities/"))
        names = {one.get("name") for one in found if isinstance(one, dict) and one.get("type") == "user"}
        return sorted(name for name in names if isinstance(name, str))[:limit]

    async def present(self, ids: Sequence[UUID], user_id: str) -> set[UUID]:
        """Which of these are memories of this owner."""
        filters = {"AND": [{"user_id": user_id}, {"memory_ids": [str(one) for one in ids]}]}
        path = f"/v3/memories/?page=1&page_size={max(1, len(ids))}"
        answer = await self._ask("POST", path, {"filters": filters}, timeout_s=self._options.search_timeout_s)
        return result_ids(_results(answer)) & set(ids)

    async def _pages(self, filters: Json) -> list[Json]:
        """All of them once, though some come and go meanwhile. Several pages are asked for at once."""
        found: dict[Any, Json] = {}
        page, until = 1, 2
        while page < min(until, _PAGES_MAX + 1):
            answers = await self._together([self._page(filters, one) for one in range(page, until)])
            for one in chain.from_iterable(map(_results, answers)):
                if isinstance(one, dict):
                    found.setdefault(one.get("id") or len(found), one)
            if any(not answer.get("next") for answer in answers):
                break
            # Behind the last page there is nothing to be asked for.
            page, last = until, _pages_in(answers[-1].get("count"))
            until = min(page + _PAGES_AT_ONCE, max(page, last) + 1)
        return list(found.values())

    async def _page(self, filters: Json, page: int) -> Any:
        path = f"/v3/memories/?page={page}&page_size={_PAGE_SIZE}"
        try:
            return await self._ask("POST", path, {"filters": filters})
        except PlatformUnknownError:
            if page == 1:
                raise
            return {"results": []}  # so much was deleted meanwhile

    async def _together(self, asked: Sequence[Coroutine[Any, Any, Any]]) -> list[Any]:
        """The first error is told, and then no request is left."""
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one) for one in asked]
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return [task.result() for task in tasks]

    # --- HTTP ---

    async def _ask(self, method: str, path: str, body: Json | None = None, *, timeout_s: float | None = None) -> Any:
        import aiohttp

        timeout = aiohttp.ClientTimeout(
            total=timeout_s or self._options.request_timeout_s, sock_connect=self._options.connect_timeout_s
        )
        url = self._options.host + path
        try:
            async with self._opened().request(
                method, url, json=body, timeout=timeout, allow_redirects=False
            ) as response:
                _check(response.status, response.headers.get("Retry-After"))
                return _parsed(await _read(response))
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise PlatformAwayError(type(error).__name__, may_have_worked=False) from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise PlatformAwayError(type(error).__name__, may_have_worked=True) from None

    def _opened(self) -> Any:
        """Made when it is first needed, on the loop that needs it."""
        import aiohttp

        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=_CONNECTIONS, keepalive_timeout=_KEEPALIVE_S),
                headers={"Authorization": f"Token {self._options.api_key}"},
                cookie_jar=aiohttp.DummyCookieJar(),  # nothing of one person's request may come along with another's
                proxy=_proxy_for(self._options.host),
            )
        return self._session


def _said(message: SpokenMessage) -> str:
    """A name beside the message would make the memory somebody else's there: the platform takes it for the owner."""
    return f"{message.speaker}: {message.content}" if message.speaker else message.content


def _filters(scope: Whose, *, send_id: str | None = None) -> Json:
    """The agent stands in the metadata: the platform knows memories of a user and of an agent, and none of both."""
    if isinstance(scope, OfAgent):
        # A filter must name somebody: here everybody of whom this agent heard, and what others keep as the agent's own.
        heard: Json = {"AND": [{"user_id": "*"}, {"metadata": {"agent_id": scope.agent_id}}]}
        return {"OR": [{"agent_id": scope.agent_id}, heard]}
    conditions: list[Json] = [{"user_id": scope.user_id}]
    if scope.agent_id is not None:
        conditions.append({"metadata": {"agent_id": scope.agent_id}})
    if send_id is not None:
        conditions.append({"metadata": {"send_id": send_id}})
    return {"AND": conditions}


def _memory_path(memory_id: str) -> str:
    return f"/v1/memories/{quote(memory_id, safe='')}/"


def _mark(result: Json, name: str) -> str:
    """What we attached to it."""
    metadata = result.get("metadata")
    mark = metadata.get(name) if isinstance(metadata, dict) else None
    return mark if isinstance(mark, str) else ""


def _check(status: int, retry_after: str | None) -> None:
    if status == 200:
        return
    pause_s = _seconds(retry_after)
    if status == 429:
        raise PlatformBusyError(pause_s)
    if status in _REFUSED:
        raise PlatformRefusedError(f"HTTP {status}")
    if status == 404:
        raise PlatformUnknownError(f"HTTP {status}")
    if status in _REJECTED:
        raise PlatformRejectedError(f"HTTP {status}")
    raise PlatformAwayError(f"HTTP {status}", may_have_worked=True, pause_s=pause_s)


def _seconds(retry_after: str | None) -> float:
    try:
        return min(max(0.0, float(retry_after or 0)), _LONGEST_PAUSE_S)
    except ValueError:  # a date; our own pauses will do
        return 0.0


async def _read(response: Any) -> bytes:
    data = bytearray()
    async for piece in response.content.iter_any():
        data += piece
        if len(data) > _LONGEST_ANSWER_BYTES:
            raise PlatformAwayError("an answer without end", may_have_worked=True)
    return bytes(data)


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise PlatformAwayError("an answer that is no JSON", may_have_worked=True) from None


def _results(answer: object) -> Sequence[Any]:
    results = answer.get("results") if isinstance(answer, dict) else None
    if not isinstance(results, list):
        raise PlatformAwayError("an answer without results", may_have_worked=False)
    return results


def _pages_in(count: object) -> int:
    """How many pages so many memories fill; 0 where it is not told."""
    return -(-count // _PAGE_SIZE) if isinstance(count, int) else 0


def _proxy_for(host: str) -> str | None:
    """The proxy that the environment names, asked once."""
    address = urlsplit(host)
    proxies = getproxies()
    proxy = proxies.get(address.scheme) or proxies.get("all")
    if not proxy or proxy_bypass(address.netloc):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"
