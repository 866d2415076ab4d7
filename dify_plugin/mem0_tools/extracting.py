"""Long-term extraction as the tools ask for it. One ceiling bounds all of it in a process."""

import asyncio
from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

from xiaozhi_memory.mem0ai.longterm.dify_api import DifyOptions
from xiaozhi_memory.mem0ai.longterm.door import ExtractionRequest, LongTerm
from xiaozhi_memory.mem0ai.longterm.pool import Ceiling
from xiaozhi_memory.mem0ai.longterm.scan import ScanLimits
from xiaozhi_memory.mem0ai.longterm.window import window_of

from . import constants

_ceilings: "WeakKeyDictionary[asyncio.AbstractEventLoop, Ceiling]" = WeakKeyDictionary()


def ceiling() -> Ceiling:
    """The one of this loop, and so of this process."""
    return _ceilings.setdefault(asyncio.get_running_loop(), Ceiling(2 * constants.MAX_CONCURRENT_USERS))


class Extracting:
    def __init__(self, longterm: LongTerm) -> None:
        self._longterm = longterm

    @property
    def is_busy(self) -> bool:
        return self._longterm.is_busy

    async def start(self, request: Mapping[str, Any]) -> dict[str, Any]:
        return await self._longterm.start(_request(request))

    async def run(self, request: Mapping[str, Any]) -> dict[str, Any]:
        return await self._longterm.run(_request(request))

    async def status(self, task_id: str) -> dict[str, Any]:
        return await self._longterm.status(task_id)

    async def checkpoint(self, user_id: str, app_id: str | None) -> dict[str, Any]:
        return await self._longterm.checkpoint(user_id, app_id)


def _request(asked: Mapping[str, Any]) -> ExtractionRequest:
    return ExtractionRequest(
        user_ids=tuple(asked["user_ids"]),
        app_id=asked["app_id"],
        window=window_of(asked["days_back"]),
        dify=DifyOptions(asked["dify_base_url"], asked["dify_api_key"], timeout_s=constants.DIFY_API_TIMEOUT),
        limits=ScanLimits(asked["conversations_limit"], asked["max_tokens"], constants.DIFY_API_MAX_PAGES),
        budget_s=asked["time_budget_s"],
        run_id=asked["run_id"],
    )
