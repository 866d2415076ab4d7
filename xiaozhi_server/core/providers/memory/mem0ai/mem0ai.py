"""The provider `mem0ai`, self-hosted: one owner's light view of the shared engine, made for each connection."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ..base import Memory, SpokenMessage
from .engine import FoundMemory, MemoryEngine
from .lines import as_lines
from .scope import Scope, checked_id

logger = logging.getLogger(__name__)

_STILL_SEARCHING_MAX = 4
_VECTOR_SHARE = 0.5  # of the deadline: what the embedder may take before words have to do


@dataclass(frozen=True, slots=True)
class ProviderOptions:
    """How much `query_memory` brings back, how long it may take, and in which time zone the owner lives."""

    limit: int = 10
    deadline_s: float = 0.08
    timezone: str = "UTC"


class Mem0aiMemory:
    """Reading never fails and never takes longer than its deadline; saving is durable or raises."""

    def __init__(self, engine: MemoryEngine, options: ProviderOptions | None = None, *, role_id: str = "") -> None:
        self.role_id = role_id
        self._engine = engine
        self._options = options or ProviderOptions()
        self._timezone = _timezone(self._options.timezone)
        self._agent_id: str | None = None
        self._searches: set[asyncio.Task[list[FoundMemory]]] = set()

    async def init_memory(
        self, role_id: str, *, agent_id: str | None = None, summary_memory: str | None = None
    ) -> None:
        """Whose memory it is. The instruction for extraction has no use here: every text is kept word for word."""
        Scope(role_id, agent_id)
        self.role_id = role_id
        self._agent_id = agent_id

    async def save_memory(
        self,
        messages: Sequence[SpokenMessage],
        session_id: str | None = None,
        *,
        key: str | None = None,
        transaction: Any = None,
    ) -> None:
        await self._engine.enqueue(
            messages,
            user_id=self.role_id,
            agent_id=self._agent_id,
            session_id=session_id,
            key=key,
            transaction=transaction,
        )
        logger.debug("memory: accepted %d messages", len(messages))

    async def query_memory(self, query: str) -> str:
        memories = await self.recall(query, self._options.limit, self._options.deadline_s)
        return as_lines(memories, self._timezone)

    async def recall(self, query: str, limit: int, deadline: float) -> list[Memory]:
        """The search runs in a task of its own: even a database that does not answer cannot hold the turn up."""
        checked_id("role_id", self.role_id)
        if len(self._searches) >= _STILL_SEARCHING_MAX:
            logger.warning("memory: not asked, %d earlier searches are still running", len(self._searches))
            return []
        search = asyncio.create_task(
            self._engine.search(
                query,
                user_id=self.role_id,
                agent_id=self._agent_id,
                top_k=limit,
                vector_timeout_s=deadline * _VECTOR_SHARE,
            ),
            name="recall",
        )
        self._searches.add(search)
        search.add_done_callback(self._finished)
        try:
            await asyncio.wait({search}, timeout=deadline)
        except asyncio.CancelledError:
            search.cancel()  # the turn is gone, nobody waits for this any more
            raise
        return self._memories(search, deadline)

    async def close(self) -> None:
        """End what still runs. The engine belongs to others."""
        searches = tuple(self._searches)
        for search in searches:
            search.cancel()
        if searches:
            await asyncio.wait(searches, timeout=1.0)

    def _memories(self, search: asyncio.Task[list[FoundMemory]], deadline: float) -> list[Memory]:
        if not search.done():
            logger.warning("memory: nothing found within %g ms", deadline * 1000)
            return []
        if search.cancelled() or search.exception() is not None:
            return []
        memories = [self._memory(found) for found in search.result()]
        logger.debug("memory: recalled %d", len(memories))
        return sorted(memories, key=lambda memory: memory.timestamp, reverse=True)

    def _memory(self, found: FoundMemory) -> Memory:
        memory = found.memory
        timestamp = memory.timestamp.astimezone(self._timezone)
        return Memory(str(memory.id), memory.text, timestamp, found.score)

    def _finished(self, search: asyncio.Task[list[FoundMemory]]) -> None:
        self._searches.discard(search)
        if not search.cancelled() and (error := search.exception()) is not None:
            logger.warning("memory: the search failed (%s)", type(error).__name__)


def _timezone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        logger.warning("memory: %r is no known time zone, using UTC", name)
        return UTC
