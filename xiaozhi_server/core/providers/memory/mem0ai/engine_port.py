"""What a connection's view of memory needs from whoever keeps the memories: the embedded engine, or Mem0's platform."""

from collections.abc import Sequence
from typing import Any, Protocol
from uuid import UUID

from ..base import AnyMessage
from .forgotten import Forgotten
from .observe import MemoryObserver
from .records import FoundMemory
from .wishes import Wishes


class RecallEngine(Protocol):
    """Shared by everybody in the process. Whose memories a call is about is always said and always checked."""

    observer: MemoryObserver
    forgotten: Forgotten  # tells who keeps something of a person

    async def enqueue(
        self,
        messages: Sequence[AnyMessage],
        *,
        user_id: str,
        agent_id: str | None = None,
        session_id: str | None = None,
        key: str | None = None,
        transaction: Any = None,
        instruction: Wishes | str | None = None,
    ) -> bool:
        """Accept messages durably; False if the key is known or there is nothing to keep."""
        ...

    def prefetch(self, user_id: str) -> None:
        """This owner will be asked about soon: whatever can be made ready for that is, in the background."""
        ...

    async def search(
        self,
        query: str,
        *,
        user_id: str,
        agent_id: str | None = None,
        also_agents: Sequence[str] = (),
        top_k: int = 20,
        vector_timeout_s: float | None = None,
    ) -> list[FoundMemory]:
        """The memories that fit best, the best first; with `also_agents` also what those heard of this owner."""
        ...

    def recalled(self, found: Sequence[FoundMemory], *, user_id: str) -> None:
        """These were used as an answer. Takes no time."""
        ...

    async def present(
        self,
        ids: Sequence[UUID],
        *,
        user_id: str,
        agent_id: str | None = None,
        also_agents: Sequence[str] = (),
        replaced: Sequence[UUID] = (),
    ) -> set[UUID]:
        """Which of these are still what they were: memories of this owner that this agent may read.

        `replaced` are those of them that were not true any more when they were found.
        """
        ...

    async def end_session(self, session_id: str, *, user_id: str) -> None:
        """Nothing more is said in it."""
        ...


class Recalls(Protocol):
    """Notes what was recalled, in its own time."""

    def recalled(self, found: Sequence[FoundMemory], *, user_id: str) -> None: ...
