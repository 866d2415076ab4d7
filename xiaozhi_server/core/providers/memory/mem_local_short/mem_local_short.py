"""The provider `mem_local_short`: one owner's view of the notes."""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, time
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from ..base import AnyMessage, Memory
from ..mem0ai.budget import within_budget
from ..mem0ai.checks import checked_messages, checked_question
from ..mem0ai.images import without_refused_images
from ..mem0ai.lines import as_lines
from ..mem0ai.message import by_owner
from ..mem0ai.recall.words import tokens_of
from ..mem0ai.scope import Scope, owner_of
from .engine import Notes, SummaryEngine
from .notes import facts

logger = logging.getLogger(__name__)

_ALL_LINES = 100

_Known = tuple[list[Memory], list[Memory]]  # what is noted, and what waits for it


class LocalShortMemory:
    """Reading never takes longer than its deadline, and fails only for a call that cannot mean anything.

    Saving is durable or raises. `recall_tokens` bounds what is told of what waits; the page has a bound of its own.
    """

    def __init__(
        self, engine: SummaryEngine, *, deadline_s: float = 0.08, timezone: str = "UTC", recall_tokens: int = 600
    ) -> None:
        self.role_id = ""
        self._engine = engine
        self._deadline_s = deadline_s
        self._zone = ZoneInfo(timezone)
        self._recall_tokens = recall_tokens
        self._agent_id: str | None = None
        self._instruction: str | None = None
        self._sessions: dict[str, str] = {}  # whose, and which one

    async def init_memory(
        self,
        role_id: str,
        *,
        agent_id: str | None = None,
        summary_memory: str | None = None,
        memory_categories: Sequence[str] = (),
    ) -> None:
        Scope(role_id, agent_id)
        self.role_id = role_id
        self._agent_id = agent_id
        self._instruction = summary_memory

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
                instruction=self._instruction,
            )
            await without_refused_images(enqueue, part)
            if session_id is not None:
                self._sessions[owner] = session_id

    async def query_memory(self, query: str) -> str:
        return as_lines(await self.recall(query, _ALL_LINES, self._deadline_s), self._zone)

    async def recall(self, query: str, limit: int, deadline: float, *, speaker: str | None = None) -> list[Memory]:
        """The notes that share most words with the question, else the newest; what is not noted yet comes with them.

        They are the household's, and where the speaker is known that person's too.
        """
        asked_text, named = checked_question(query)
        owners = dict.fromkeys((self.role_id, owner_of(self.role_id, named or speaker)))
        known = await self._all_known(owners, deadline)
        asked = set(tokens_of(asked_text))

        def best_first(lines: Iterable[Memory]) -> list[Memory]:
            return sorted(
                lines, key=lambda line: (len(asked & set(tokens_of(line.text))), line.timestamp), reverse=True
            )

        noted = [line for notes, _ in known for line in notes]
        waiting = within_budget(best_first(line for _, lines in known for line in lines), limit, self._recall_tokens)
        return sorted(best_first([*noted, *waiting])[: max(0, limit)], key=lambda line: line.timestamp, reverse=True)

    async def close(self) -> None:
        """The session is over: what was said in it is noted now. The engine belongs to others."""
        for owner, session_id in self._sessions.items():
            await self._engine.end_session(session_id, user_id=owner)

    async def _all_known(self, owners: Iterable[str], deadline: float) -> list[_Known]:
        """All at the same time; nothing of those who cannot be read in time."""
        return await asyncio.gather(*(self._known(owner, deadline) for owner in owners))

    async def _known(self, owner: str, deadline: float) -> _Known:
        try:
            async with asyncio.timeout(deadline):
                notes, waiting = await self._engine.known(owner, self._agent_id)
        except Exception as error:  # noqa: BLE001 - a provider call: memory being down never stops the talk
            logger.warning("memory: the notes cannot be read (%s)", type(error).__name__)
            return [], []
        return self._noted(notes), [
            Memory(f"waiting-{number}", message.content, message.spoken_at, 0.0, message.speaker)
            for number, message in enumerate(waiting)
            if message.role == "user"
        ]

    def _noted(self, notes: Notes) -> list[Memory]:
        return [
            Memory(f"note-{number}", fact, self._day(date, notes), 0.0)
            for number, (date, fact) in enumerate(facts(notes.text))
        ]

    def _day(self, date: str, notes: Notes) -> datetime:
        try:
            return datetime.combine(datetime.strptime(date, "%Y-%m-%d").date(), time(12), self._zone)
        except ValueError:
            return notes.updated_at or datetime.now(UTC)
