"""The provider `mem0ai`, self-hosted: one owner's light view of the shared engine, made for each connection."""

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from psycopg import Error as DatabaseError
from psycopg_pool import PoolTimeout

from ..base import AnyMessage, Memory
from ..speaker import unwrapped
from .budget import best_first, within_budget
from .checks import checked_messages, checked_question
from .engine_port import RecallEngine
from .images import without_refused_images
from .late import LateAnswers
from .lines import as_lines
from .message import by_owner
from .observe import kind_of
from .records import FoundMemory
from .scope import Scope, owner_of
from .wishes import Wishes, checked_categories

logger = logging.getLogger(__name__)

_Search = asyncio.Task[list[FoundMemory]]

_STILL_SEARCHING_MAX = 8
_VECTOR_SHARE = 0.5  # of the deadline: what the embedder may take before words have to do
_CLOSE_TIMEOUT_S = 1.0


@dataclass(frozen=True, slots=True)
class ProviderOptions:
    """How much a question brings back, how long `query_memory` may take, and in which time zone the owner lives.

    An answer that was late is used by the next question within `late_s`. `share_from`: agents whose memories of each
    of its owners this agent may read besides its own.
    """

    limit: int = 10
    deadline_s: float = 0.08
    timezone: str = "UTC"
    recall_tokens: int = 600
    late_s: float = 60.0
    share_from: tuple[str, ...] = ()


class Mem0aiMemory:
    """Reading never takes longer than its deadline, and fails only for a call that cannot mean anything.

    Saving is durable or raises.
    """

    def __init__(self, engine: RecallEngine, options: ProviderOptions | None = None, *, role_id: str = "") -> None:
        self.role_id = role_id
        self._engine = engine
        self._options = options or ProviderOptions()
        self._timezone = _timezone(self._options.timezone)
        self._agent_id: str | None = None
        self._wishes = Wishes()
        self._searches: set[_Search] = set()
        self._late = LateAnswers(self._options.late_s)
        engine.forgotten.tell(self._late)
        self._sessions: dict[str, str] = {}  # whose, and which one

    async def init_memory(
        self,
        role_id: str,
        *,
        agent_id: str | None = None,
        summary_memory: str | None = None,
        memory_categories: Sequence[str] = (),
    ) -> None:
        """Whose memory it is. The rest is for a saver that asks a model; verbatim texts have no use for it."""
        Scope(role_id, agent_id)
        self.role_id = role_id
        self._agent_id = agent_id
        self._wishes = Wishes(summary_memory or "", checked_categories(memory_categories), self._options.timezone)
        self._engine.prefetch(role_id)

    async def save_memory(
        self,
        messages: Sequence[AnyMessage],
        session_id: str | None = None,
        *,
        key: str | None = None,
        transaction: Any = None,
    ) -> None:
        for owner, part in by_owner(self.role_id, checked_messages(messages)).items():
            enqueue = partial(
                self._engine.enqueue,
                user_id=owner,
                agent_id=self._agent_id,
                session_id=session_id,
                key=key,
                transaction=transaction,
                instruction=self._wishes,
            )
            await without_refused_images(enqueue, part)
            if session_id is not None:
                self._sessions[owner] = session_id
        logger.debug("memory: accepted %d messages", len(messages))

    async def query_memory(self, query: str) -> str:
        memories = await self.recall(query, self._options.limit, self._options.deadline_s)
        return as_lines(memories, self._timezone)

    async def recall(self, query: str, limit: int, deadline: float, *, speaker: str | None = None) -> list[Memory]:
        """Each owner's search is a task of its own: even a database that does not answer cannot hold the turn up."""
        asked, named = checked_question(query)
        scopes = self._scopes(named or speaker)
        if len(self._searches) >= _STILL_SEARCHING_MAX:
            logger.warning("memory: not asked, %d earlier searches are still running", len(self._searches))
            self._engine.observer.recall_failed("busy")
            return []
        asked_at = _now()
        searches = self._begin(asked, scopes, limit, deadline)
        try:
            await asyncio.wait(searches, timeout=deadline)
        except asyncio.CancelledError:
            for search in searches:
                search.cancel()  # the turn is gone, nobody waits for this any more
            raise
        return self._memories(searches, limit, deadline, asked_at)

    async def close(self) -> None:
        """End what still runs. The engine belongs to others."""
        searches = tuple(self._searches)
        for search in searches:
            search.cancel()
        if searches:
            await asyncio.wait(searches, timeout=_CLOSE_TIMEOUT_S)
        await self._end_sessions()

    def _scopes(self, speaker: str | None) -> list[Scope]:
        """Whose memories a question is about: the household's, and those of whoever asks."""
        owners = dict.fromkeys((self.role_id, owner_of(self.role_id, speaker)))
        return [Scope(owner, self._agent_id) for owner in owners]

    def _begin(self, asked: str, scopes: Sequence[Scope], limit: int, deadline: float) -> dict[_Search, Scope]:
        searches: dict[_Search, Scope] = {}
        for scope, late in self._late.take(scopes).items():
            search = asyncio.create_task(self._search(asked, scope, late, limit, deadline), name="recall")
            search.add_done_callback(self._finished)
            searches[search] = scope
        self._searches.update(searches)
        return searches

    async def _search(
        self, asked: str, scope: Scope, late: Sequence[FoundMemory], limit: int, deadline: float
    ) -> list[FoundMemory]:
        searched = self._engine.search(
            asked,
            user_id=scope.user_id,
            agent_id=scope.agent_id,
            also_agents=self._options.share_from,
            top_k=limit,
            vector_timeout_s=deadline * _VECTOR_SHARE,
        )
        if not late:
            return await searched
        # Meanwhile some of them may have been deleted, or are not shared any more.
        checked = self._engine.present(
            [one.memory.id for one in late],
            user_id=scope.user_id,
            agent_id=scope.agent_id,
            also_agents=self._options.share_from,
            replaced=[one.memory.id for one in late if one.memory.superseded_by is not None],
        )
        async with asyncio.TaskGroup() as group:
            search = group.create_task(searched)
            check = group.create_task(checked)
        found, present = search.result(), check.result()
        known = {one.memory.id for one in found}
        # Each by itself: they came of other questions.
        return best_first([found, *([one] for one in late if one.memory.id in present - known)])

    def _memories(
        self, searches: Mapping[_Search, Scope], limit: int, deadline: float, asked_at: float
    ) -> list[Memory]:
        """What is there in time; what is not is kept for the next question."""
        late = [search for search in searches if not search.done()]
        for search in late:
            search.add_done_callback(partial(self._keep_for_next, searches[search], asked_at))
        answers = [self._answer(search) for search in searches if search.done()]
        found = best_first([answer for answer in answers if answer])
        memories = within_budget([self._memory(one) for one in found], limit, self._options.recall_tokens)
        if late:
            logger.warning("memory: not everything was found within %g ms", deadline * 1000)
        if late or any(answer is not None for answer in answers):
            self._engine.observer.recall_done(_now() - asked_at, len(memories), late=bool(late))
        self._note_recalled(found, memories)
        logger.debug("memory: recalled %d", len(memories))
        return sorted(memories, key=lambda memory: memory.timestamp, reverse=True)

    def _note_recalled(self, found: Sequence[FoundMemory], memories: Sequence[Memory]) -> None:
        """To each owner what of theirs was told."""
        told = {memory.id for memory in memories}
        for owner in dict.fromkeys(one.memory.user_id for one in found):
            theirs = [one for one in found if one.memory.user_id == owner and str(one.memory.id) in told]
            self._engine.recalled(theirs, user_id=owner)

    def _answer(self, search: _Search) -> list[FoundMemory] | None:
        """None where it failed."""
        if search.cancelled() or (error := search.exception()) is not None:
            self._engine.observer.recall_failed("other" if search.cancelled() else kind_of(error))
            return None
        return search.result()

    def _memory(self, found: FoundMemory) -> Memory:
        memory = found.memory
        timestamp = memory.timestamp.astimezone(self._timezone)
        text, speaker = unwrapped(memory.text)  # another program may have written it
        return Memory(
            str(memory.id),
            text,
            timestamp,
            found.score,
            memory.speaker or speaker,
            valid_to=memory.valid_to,
            is_over=memory.superseded_by is not None,
        )

    def _keep_for_next(self, scope: Scope, asked_at: float, search: _Search) -> None:
        if not search.cancelled() and search.exception() is None:
            self._late.keep(scope, asked_at, search.result())

    def _finished(self, search: _Search) -> None:
        self._searches.discard(search)
        if not search.cancelled() and (error := search.exception()) is not None:
            logger.warning("memory: the search failed (%s)", type(error).__name__)

    async def _end_sessions(self) -> None:
        """Nobody waits for it in vain where this fails: a batch is closed by time as well."""
        sessions, self._sessions = self._sessions, {}
        with contextlib.suppress(DatabaseError, PoolTimeout, TimeoutError):
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                for owner, session_id in sessions.items():
                    await self._engine.end_session(session_id, user_id=owner)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _timezone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        logger.warning("memory: %r is no known time zone, using UTC", name)
        return UTC
