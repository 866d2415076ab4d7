"""The provider `mem0ai`, self-hosted: one owner's light view of the shared engine, made for each connection."""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from psycopg import Error as DatabaseError
from psycopg_pool import PoolTimeout

from ..base import AnyMessage, Memory
from .budget import within_budget
from .engine_port import RecallEngine
from .late import LateAnswers
from .lines import as_lines
from .message import unwrapped
from .observe import kind_of
from .records import FoundMemory
from .scope import Scope

logger = logging.getLogger(__name__)

_STILL_SEARCHING_MAX = 4
_VECTOR_SHARE = 0.5  # of the deadline: what the embedder may take before words have to do
_CLOSE_TIMEOUT_S = 1.0


@dataclass(frozen=True, slots=True)
class ProviderOptions:
    """How much a question brings back, how long `query_memory` may take, and in which time zone the owner lives.

    An answer that was late is used by the next question within `late_s`.
    """

    limit: int = 10
    deadline_s: float = 0.08
    timezone: str = "UTC"
    recall_tokens: int = 600
    late_s: float = 60.0


class Mem0aiMemory:
    """Reading never fails and never takes longer than its deadline; saving is durable or raises."""

    def __init__(self, engine: RecallEngine, options: ProviderOptions | None = None, *, role_id: str = "") -> None:
        self.role_id = role_id
        self._engine = engine
        self._options = options or ProviderOptions()
        self._timezone = _timezone(self._options.timezone)
        self._agent_id: str | None = None
        self._instruction: str | None = None
        self._searches: set[asyncio.Task[list[FoundMemory]]] = set()
        self._late = LateAnswers(self._options.late_s)
        self._session: tuple[str, str] | None = None  # whose, and which one

    async def init_memory(
        self, role_id: str, *, agent_id: str | None = None, summary_memory: str | None = None
    ) -> None:
        """Whose memory it is. The instruction is for a saver that asks a model; verbatim texts have no use for it."""
        Scope(role_id, agent_id)
        self.role_id = role_id
        self._agent_id = agent_id
        self._instruction = summary_memory
        self._engine.prefetch(role_id)

    async def save_memory(
        self,
        messages: Sequence[AnyMessage],
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
            instruction=self._instruction,
        )
        if session_id is not None:
            self._session = (self.role_id, session_id)
        logger.debug("memory: accepted %d messages", len(messages))

    async def query_memory(self, query: str) -> str:
        memories = await self.recall(query, self._options.limit, self._options.deadline_s)
        return as_lines(memories, self._timezone)

    async def recall(self, query: str, limit: int, deadline: float) -> list[Memory]:
        """The search runs in a task of its own: even a database that does not answer cannot hold the turn up."""
        scope = Scope(self.role_id, self._agent_id)
        if len(self._searches) >= _STILL_SEARCHING_MAX:
            logger.warning("memory: not asked, %d earlier searches are still running", len(self._searches))
            self._engine.observer.recall_failed("busy")
            return []
        asked_at = _now()
        search = asyncio.create_task(self._search(query, scope, limit, deadline), name="recall")
        self._searches.add(search)
        search.add_done_callback(self._finished)
        try:
            await asyncio.wait({search}, timeout=deadline)
        except asyncio.CancelledError:
            search.cancel()  # the turn is gone, nobody waits for this any more
            raise
        if not search.done():
            logger.warning("memory: nothing found within %g ms", deadline * 1000)
            search.add_done_callback(partial(self._keep_for_next, scope, asked_at))
            self._engine.observer.recall_done(_now() - asked_at, 0, late=True)
            return []
        return self._memories(search, scope.user_id, limit, asked_at)

    async def close(self) -> None:
        """End what still runs. The engine belongs to others."""
        searches = tuple(self._searches)
        for search in searches:
            search.cancel()
        if searches:
            await asyncio.wait(searches, timeout=_CLOSE_TIMEOUT_S)
        await self._end_session()

    async def _search(self, query: str, scope: Scope, limit: int, deadline: float) -> list[FoundMemory]:
        late = self._late.take(scope)
        asked, _ = unwrapped(query)
        searched = self._engine.search(
            asked,
            user_id=scope.user_id,
            agent_id=scope.agent_id,
            top_k=limit,
            vector_timeout_s=deadline * _VECTOR_SHARE,
        )
        if not late:
            return await searched
        # Meanwhile somebody may have deleted some of them.
        async with asyncio.TaskGroup() as group:
            search = group.create_task(searched)
            check = group.create_task(self._engine.present([one.memory.id for one in late], user_id=scope.user_id))
        found, present = search.result(), check.result()
        known = {one.memory.id for one in found}
        return found + [one for one in late if one.memory.id in present - known]

    def _memories(
        self, search: asyncio.Task[list[FoundMemory]], user_id: str, limit: int, asked_at: float
    ) -> list[Memory]:
        if search.cancelled() or (error := search.exception()) is not None:
            self._engine.observer.recall_failed("other" if search.cancelled() else kind_of(error))
            return []
        found = [self._memory(one) for one in search.result()]
        memories = within_budget(found, limit, self._options.recall_tokens)
        self._engine.observer.recall_done(_now() - asked_at, len(memories), late=False)
        self._engine.recalled(memories, user_id=user_id)
        logger.debug("memory: recalled %d", len(memories))
        return sorted(memories, key=lambda memory: memory.timestamp, reverse=True)

    def _memory(self, found: FoundMemory) -> Memory:
        memory = found.memory
        timestamp = memory.timestamp.astimezone(self._timezone)
        text, speaker = unwrapped(memory.text)  # another program may have written it
        return Memory(str(memory.id), text, timestamp, found.score, memory.speaker or speaker)

    def _keep_for_next(self, scope: Scope, asked_at: float, search: asyncio.Task[list[FoundMemory]]) -> None:
        if not search.cancelled() and search.exception() is None:
            self._late.keep(scope, asked_at, search.result())

    def _finished(self, search: asyncio.Task[list[FoundMemory]]) -> None:
        self._searches.discard(search)
        if not search.cancelled() and (error := search.exception()) is not None:
            logger.warning("memory: the search failed (%s)", type(error).__name__)

    async def _end_session(self) -> None:
        """Nobody waits for it in vain where this fails: a batch is closed by time as well."""
        session, self._session = self._session, None
        if session is None:
            return
        user_id, session_id = session
        with contextlib.suppress(DatabaseError, PoolTimeout, TimeoutError):
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await self._engine.end_session(session_id, user_id=user_id)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _timezone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        logger.warning("memory: %r is no known time zone, using UTC", name)
        return UTC
