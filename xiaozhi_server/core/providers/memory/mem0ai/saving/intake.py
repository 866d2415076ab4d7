"""The way into memory: what was said is accepted into the outbox, and a worker drains it through a saver."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from ...base import AnyMessage
from ..checks import checked_messages, checked_session
from ..images import with_seen_images
from ..observe import MemoryObserver
from ..scope import Scope, checked_id
from ..wishes import Wishes
from . import outbox
from .drain import Drain, DrainOptions
from .outbox import DeadLetter, OutboxDepth, OutboxEntry
from .saver import Saver

Pool = AsyncConnectionPool[Any]

_DEAD_LETTERS_MAX = 10_000


@dataclass(frozen=True, slots=True)
class IntakeOptions:
    """`unsaved_limit` bounds an owner's outbox. `sees`: the saver gives pictures a description."""

    drain: DrainOptions
    unsaved_limit: int = 2000
    database_timeout_s: float = 10.0
    sees: bool = False


class Watcher(Protocol):
    """Whoever keeps an owner's memories at hand, and must know of new ones at once."""

    def expect(self, user_id: str, key: str) -> None:
        """This entry comes with somebody else's transaction, at any moment from now on."""
        ...

    def forget(self, user_id: str) -> None:
        """What this owner has changed."""
        ...


class Intake:
    """What is accepted before `start` or after `stop` waits for the next start."""

    def __init__(
        self, pool: Pool, options: IntakeOptions, observer: MemoryObserver, watcher: Watcher | None = None
    ) -> None:
        self._pool = pool
        self._watcher = watcher
        self._options = options
        self._observer = observer
        self._gathers = False
        self._drain: Drain | None = None

    def start(self, saver: Saver[Any]) -> None:
        self._gathers = saver.policy is not None
        self._drain = Drain(self._pool, saver, self._options.drain, self._observer)
        self._drain.start()

    async def stop(self, deadline_s: float) -> None:
        """Save what is due as long as the deadline allows; the rest is saved by the next start."""
        drain, self._drain = self._drain, None
        if drain is not None:
            await drain.stop(deadline_s)

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
        """Accept messages durably; False if the key is known or there is nothing to keep.

        With `transaction` (an open AsyncConnection) they share its fate, else they are committed here. `instruction`
        is for a saver that asks a model.
        """
        scope = Scope(user_id, agent_id)
        session = checked_session(session_id)
        name = checked_id("key", key) if key else uuid.uuid4().hex
        kept = tuple(with_seen_images(checked_messages(messages), sees=self._options.sees))
        if not kept:
            return False
        wishes = Wishes.of(instruction) if self._gathers else Wishes()
        entry = OutboxEntry(scope.user_id, name, scope.agent_id or "", session, kept, wishes=wishes)
        added = await self._put(entry, transaction)
        self._wake()
        return added

    async def end_session(self, session_id: str, *, user_id: str) -> None:
        """Nothing more is said in it: exchanges that were to be saved together with later ones are saved now."""
        scope = Scope(user_id)
        if not self._gathers:
            return
        async with self._connection() as connection:
            await outbox.end(connection, user_id=scope.user_id, session_id=session_id)
        self._wake()

    async def depth(self) -> OutboxDepth:
        """How much waits to be saved."""
        async with self._connection() as connection:
            return await outbox.depth(connection)

    async def dead_letters(self, user_id: str | None = None, *, limit: int = 100) -> list[DeadLetter]:
        """What could not be saved and was given up, the oldest first; of everybody where no owner is named."""
        if user_id is not None:
            checked_id("user_id", user_id)
        async with self._connection() as connection:
            return await outbox.dead(connection, user_id=user_id, limit=max(0, min(limit, _DEAD_LETTERS_MAX)))

    async def replay(self, user_id: str | None = None, *, key: str | None = None) -> int:
        """Try again to save what was given up: one entry, an owner's, or everybody's. Returns how many there were."""
        if user_id is not None:
            checked_id("user_id", user_id)
        async with self._connection() as connection:
            count = await outbox.replay(connection, user_id=user_id, key=key)
        self._wake()
        return count

    async def _put(self, entry: OutboxEntry, transaction: Any) -> bool:
        limit = self._options.unsaved_limit
        if transaction is not None:
            if self._watcher is not None:
                self._watcher.expect(entry.user_id, entry.key)
            return await outbox.put(transaction, entry, limit=limit)
        async with self._connection() as connection:
            added = await outbox.put(connection, entry, limit=limit)
        if self._watcher is not None:
            self._watcher.forget(entry.user_id)
        return added

    def _wake(self) -> None:
        if self._drain is not None:
            self._drain.wake()

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[AsyncConnection[Any]]:
        async with asyncio.timeout(self._options.database_timeout_s), self._pool.connection() as connection:
            yield connection
