"""The port to memory: what a person said before, found again in time for the answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol


@dataclass(frozen=True, slots=True)
class SpokenMessage:
    """One message as it was heard. Only user and assistant messages are ever remembered."""

    role: Literal["user", "assistant"]
    content: str
    spoken_at: datetime
    speaker: str | None = None


@dataclass(frozen=True, slots=True)
class Memory:
    """One remembered text. `timestamp` is the newer of created and updated, timezone-aware."""

    id: str
    text: str
    timestamp: datetime
    score: float


class MemoryProvider(Protocol):
    """One owner's light view of a shared engine: cheap to make, one per connection.

    `role_id` is the owner (it becomes mem0's `user_id`); a script may set it to anything.
    """

    role_id: str

    async def init_memory(
        self, role_id: str, *, agent_id: str | None = None, summary_memory: str | None = None
    ) -> None:
        """Say whose memory this is, which agent hears it, and the agent's instruction for extraction."""
        ...

    async def save_memory(
        self,
        messages: Sequence[SpokenMessage],
        session_id: str | None = None,
        *,
        key: str | None = None,
        transaction: Any = None,
    ) -> None:
        """Accept messages durably. The same `key` twice is saved once.

        `transaction` is an open psycopg AsyncConnection: the entry is then written in it and shares its fate.
        """
        ...

    async def query_memory(self, query: str) -> str:
        """What is known about the query as lines `[YYYY-MM-DD HH:MM:SS] text`, newest first; empty if nothing."""
        ...

    async def recall(self, query: str, limit: int, deadline: float) -> list[Memory]:
        """The memories that fit the query, newest first, or none once `deadline` seconds have passed."""
        ...

    async def close(self) -> None: ...
