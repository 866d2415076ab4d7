"""What lies beside a store that keeps memories and nothing else: their history, what waits, and grants."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Literal, Protocol
from uuid import UUID

from ..facts.thing import KnownThing
from ..records import StoredMemory
from ..rows.history import MemoryEvent
from ..saving.outbox import OutboxEntry
from ..scope import Scope

Change = Literal["UPDATE", "DELETE", "SUPERSEDE"]


class Notes(Protocol):
    """Put down while the store is changed: all of them, or none where the change fails."""

    async def changed(self, old: StoredMemory, event: Change, new_text: str | None) -> None: ...

    async def done(self, user_id: str, key: str) -> None:
        """What was added under this key is there."""
        ...


class Known(Protocol):
    """What a talk may be about besides the memories."""

    async def waiting(self, scope: Scope, *, limit: int) -> list[OutboxEntry]:
        """What is accepted and no memory yet."""
        ...

    async def things(self, user_id: str, agent_id: str) -> list[KnownThing]: ...


class Beside(Known, Protocol):
    def noting(self, held: OutboxEntry | None = None) -> AbstractAsyncContextManager[Notes]:
        """With `held` nobody forgets its owner meanwhile."""
        ...

    async def is_done(self, user_id: str, key: str) -> bool: ...

    async def events(self, scope: Scope, id: UUID, memory: StoredMemory | None) -> list[MemoryEvent]:
        """The history of a memory that was read already; the oldest first."""
        ...

    async def owner(self, id: UUID) -> str | None:
        """Whose memory it was of which a change is noted."""
        ...

    async def reach(self, scope: Scope) -> Scope:
        """With what is granted to its agent."""
        ...

    async def found_by(self, scope: Scope, *, limit: int) -> tuple[Scope, Sequence[OutboxEntry]]:
        """How far a question reaches, and what is accepted there and no memory yet."""
        ...

    async def drop_waiting(self, scope: Scope) -> None:
        """Nothing of what is accepted becomes a memory."""
        ...
