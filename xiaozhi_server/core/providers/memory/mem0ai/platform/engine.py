"""Mem0's platform as the engine behind a connection's view of memory.

What is said goes through the same outbox as everywhere and from there to the platform; questions go to the platform,
and what it does not show yet is found in the outbox. While it is away nothing is found, or, with a fallback, the
embedded engine answers instead and keeps what waits until it can be handed over.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol
from uuid import UUID

from psycopg import AsyncConnection
from psycopg import Error as DatabaseError
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from ...base import AnyMessage
from ...migrate import apply_migrations
from ..checks import checked_limit, checked_query
from ..engine import LEDGER, Filters, MakeSaver, MemoryEngine
from ..errors import MemoryNotFoundError
from ..filters import parse as parse_filter
from ..forgotten import Forgotten
from ..message import memory_id
from ..observe import MemoryObserver, NoObserver
from ..records import FoundMemory, StoredMemory
from ..rows.history import MemoryEvent
from ..rows.listing import checked_cursor
from ..saving.intake import Intake, IntakeOptions
from ..saving.outbox import DeadLetter, OutboxDepth, OutboxEntry
from ..saving.verbatim import VerbatimSaver
from ..scope import Scope
from ..statements import MIGRATIONS
from ..wishes import Wishes
from .api import PlatformApi
from .copies import Copies
from .editing import PlatformEditor
from .errors import PlatformError
from .health import Health
from .options import PlatformOptions
from .results import send_id_of
from .saver import PlatformSaver
from .sweep import Sweep
from .waiting import Waiting, waiting_for

logger = logging.getLogger(__name__)

Pool = AsyncConnectionPool[Any]
# Makes the engine that takes over meanwhile; it hands the saver that it is given to its own outbox.
OpenFallback = Callable[[MakeSaver], MemoryEngine]

_WIDEST = 100
_LISTED_MAX = 100_000
_HEAD_START_S = 0.1


class _Outbox(Protocol):
    """What takes in; the embedded engine has it, and so has an `Intake`."""

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
    ) -> bool: ...

    async def end_session(self, session_id: str, *, user_id: str) -> None: ...

    async def depth(self) -> OutboxDepth: ...

    async def dead_letters(self, user_id: str | None = None, *, limit: int = 100) -> list[DeadLetter]: ...

    async def replay(self, user_id: str | None = None, *, key: str | None = None) -> int: ...

    async def stop(self, deadline_s: float) -> None: ...


class PlatformEngine:
    """A RecallEngine. The pool belongs to the caller, who also closes it."""

    def __init__(
        self,
        pool: Pool,
        options: PlatformOptions,
        *,
        fallback: OpenFallback | None = None,
        observer: MemoryObserver | None = None,
    ) -> None:
        self.observer = observer or NoObserver()
        self._pool = pool
        self._options = options
        self._api = PlatformApi(options)
        self._health = Health(self._api.ping, options, has_fallback=fallback is not None)
        self._sweep = Sweep(pool, self._api, self._health, options)
        self._editor = PlatformEditor(self._connection, self._api, self._health, self._sweep)
        self._copies: Copies | None = None
        self._intake = Intake(
            pool,
            IntakeOptions(options.drain, options.unsaved_limit, options.database_timeout_s),
            self.observer,
        )
        self._local = None if fallback is None else fallback(self._make_saver)
        self.forgotten = Forgotten() if self._local is None else self._local.forgotten
        self._outbox: _Outbox = self._intake if self._local is None else self._local

    async def start(self, *, work: bool = True) -> None:
        """Ready at once, whether the platform answers or not.

        Without `work` nothing goes on in the background: that is for a short command beside a server. It is told by a
        PlatformError where the platform does not answer.
        """
        async with self._pool.connection() as connection:  # no time limit: a migration may have much to do
            await apply_migrations(connection, MIGRATIONS, ledger=LEDGER)
        if self._local is not None:
            await self._local.start(work=work)
        if not work:
            await self._api.ping()
            return
        if self._local is None:
            self._intake.start(PlatformSaver(self._pool, self._api, self._health, self._options, self._sweep))
        if self._copies is not None:
            self._copies.start()
        self._sweep.start()
        self._health.start()

    async def stop(self, deadline_s: float) -> None:
        """Hand over what is due as long as the deadline allows; the rest waits in the outbox for the next start."""
        await self._outbox.stop(deadline_s)
        if self._copies is not None:
            await self._copies.stop()
        await self._sweep.stop()
        await self._health.stop()
        await self._api.close()

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
        """Accept messages durably; False if the key is known, there is nothing to keep, or nobody to keep it."""
        Scope(user_id, agent_id)
        if self._local is None and self._health.was_never_let_in:
            return False
        added = await self._outbox.enqueue(
            messages,
            user_id=user_id,
            agent_id=agent_id,
            session_id=session_id,
            key=key,
            transaction=transaction,
            instruction=instruction,
        )
        if self._copies is not None:
            self._copies.wake()
        return added

    def prefetch(self, user_id: str) -> None:
        """Nothing of the platform's can be made ready."""
        if self._local is not None:
            self._local.prefetch(user_id)

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
        """The memories that fit best, the best first; those that still wait for the platform are among them.

        What other agents heard is not asked for: the platform keeps no word of who may read what.
        """
        scope = Scope(user_id, agent_id)
        asked, limit = checked_query(query), checked_limit(top_k, _WIDEST)
        if not asked or limit < 1:
            return []
        if self._local is not None and not self._health.is_usable:
            return await self._ask_fallback(asked, scope, limit, vector_timeout_s)
        async with asyncio.TaskGroup() as group:
            # What waits first: an entry that becomes a memory meanwhile is then seen twice and not missed.
            reading = group.create_task(self._waiting(scope))
            await asyncio.wait({reading}, timeout=_HEAD_START_S)
            asking = group.create_task(self._ask_platform(asked, scope, limit))
        found, waiting = asking.result(), reading.result()
        if found is None and self._local is not None:
            return await self._ask_fallback(asked, scope, limit, vector_timeout_s)
        shown = {memory.id for memory in waiting.unwanted.visible([one.memory for one in found or ()])}
        known = [one for one in found or () if one.memory.id in shown]
        known += waiting.fitting(asked, but_not={send_id_of(one.memory) for one in known})
        return sorted(known, key=lambda one: one.score, reverse=True)[:limit]

    def recalled(self, found: Sequence[FoundMemory], *, user_id: str) -> None:
        """What becomes of memories there is the platform's business."""

    async def get(self, id: str | UUID, *, user_id: str) -> StoredMemory | None:
        """One memory of this owner; None if there is none with this id, or it is somebody else's."""
        scope = Scope(user_id)
        if self._is_away and self._local is not None:
            return await self._local.get(id, user_id=scope.user_id)
        return await self._editor.get(scope, id)

    async def get_all(
        self,
        *,
        user_id: str,
        agent_id: str | None = None,
        filters: Filters = None,
        top_k: int = 100,
        cursor: str | None = None,
    ) -> list[StoredMemory]:
        """This owner's memories, the newest first; with `cursor_of` the last one, those behind it."""
        scope = Scope(user_id, agent_id)
        wanted, limit, after = parse_filter(filters), checked_limit(top_k, _LISTED_MAX), checked_cursor(cursor)
        if self._is_away and self._local is not None:
            return await self._local.get_all(
                user_id=user_id, agent_id=agent_id, filters=wanted, top_k=limit, cursor=cursor
            )
        return await self._editor.get_all(scope, wanted, after=after, limit=limit)

    async def update(
        self,
        id: str | UUID,
        *,
        user_id: str,
        text: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> StoredMemory:
        """Give a memory another text. Metadata is merged: None takes a name away.

        A `MemoryNotFoundError` if this owner has none with this id.
        """
        return await self._editor.update(Scope(user_id), id, text, metadata)

    async def delete(self, id: str | UUID, *, user_id: str) -> None:
        """Delete one memory, or the exchange that still waits to become it.

        A `MemoryNotFoundError` if this owner has none with this id.
        """
        scope = Scope(user_id)
        waited = await self._editor.delete(scope, id)
        if waited is not None and self._local is not None:
            await self._drop_copies(waited)

    async def delete_all(self, *, user_id: str, agent_id: str | None = None) -> int:
        """Delete this owner's memories, and whatever is on its way to become some. Returns how many there were.

        A `PlatformError` where the platform is away: then nothing was deleted, or not all, and it may be asked again.
        """
        count = await self._editor.delete_all(Scope(user_id, agent_id))
        if self._local is not None:
            await self._local.delete_all(user_id=user_id, agent_id=agent_id)
        return count

    async def history(self, id: str | UUID, *, user_id: str) -> list[MemoryEvent]:
        """What became of a memory, the oldest first, as the platform tells it. Empty if this owner never had it."""
        return await self._editor.history(Scope(user_id), id)

    async def owners(self, *, limit: int) -> list[str]:
        """Who has memories there: the first of them in order."""
        return await self._editor.owners(limit=limit)

    async def present(
        self,
        ids: Sequence[UUID],
        *,
        user_id: str,
        agent_id: str | None = None,
        also_agents: Sequence[str] = (),
        replaced: Sequence[UUID] = (),
    ) -> set[UUID]:
        """Which of these are still memories of this owner; what cannot be found out is not."""
        scope = Scope(user_id)
        there = set() if self._local is None else await self._local.present(ids, user_id=scope.user_id)
        if self._health.is_usable:
            try:
                there |= await self._api.present(ids, scope.user_id)
            except PlatformError as error:
                self._health.failed(error)
        return there

    async def end_session(self, session_id: str, *, user_id: str) -> None:
        """Nothing more is said in it: what was to be sent together with later exchanges is sent now."""
        await self._outbox.end_session(session_id, user_id=user_id)

    async def depth(self) -> OutboxDepth:
        """How much waits for the platform."""
        return await self._outbox.depth()

    async def dead_letters(self, user_id: str | None = None, *, limit: int = 100) -> list[DeadLetter]:
        """What the platform would not take and was given up, the oldest first."""
        return await self._outbox.dead_letters(user_id, limit=limit)

    async def replay(self, user_id: str | None = None, *, key: str | None = None) -> int:
        """Try again to hand over what was given up. Returns how many entries there were."""
        return await self._outbox.replay(user_id, key=key)

    async def _ask_platform(self, query: str, scope: Scope, limit: int) -> list[FoundMemory] | None:
        """None where there is no answer."""
        if not self._health.is_usable:
            return None
        try:
            found = await self._api.search(query, scope, top_k=limit)
        except PlatformError as error:
            self._health.failed(error)
            self.observer.recall_failed("other")
            return None
        self._health.worked()
        return found

    async def _ask_fallback(
        self, query: str, scope: Scope, limit: int, vector_timeout_s: float | None
    ) -> list[FoundMemory]:
        assert self._local is not None
        return await self._local.search(
            query, user_id=scope.user_id, agent_id=scope.agent_id, top_k=limit, vector_timeout_s=vector_timeout_s
        )

    @property
    def _is_away(self) -> bool:
        return not self._health.is_usable

    async def _drop_copies(self, entry: OutboxEntry) -> None:
        """What waited may lie among the embedded memories meanwhile."""
        assert self._local is not None
        for position in range(len(entry.messages)):
            with contextlib.suppress(MemoryNotFoundError):
                await self._local.delete(memory_id(entry.user_id, entry.key, position), user_id=entry.user_id)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[AsyncConnection[Any]]:
        async with asyncio.timeout(self._options.database_timeout_s), self._pool.connection() as connection:
            yield connection

    async def _waiting(self, scope: Scope) -> Waiting:
        """What the platform knows is worth saying even where our own database has a bad day."""
        try:
            async with asyncio.timeout(self._options.search_timeout_s), self._pool.connection() as connection:
                return await waiting_for(connection, scope, limit=self._options.unsaved_shown)
        except (DatabaseError, PoolTimeout, TimeoutError) as error:
            logger.warning("memory: what waits cannot be read (%s)", type(error).__name__)
            return Waiting()

    def _make_saver(self, verbatim: VerbatimSaver) -> PlatformSaver:
        self._copies = Copies(self._pool, verbatim, self._health)
        return PlatformSaver(self._pool, self._api, self._health, self._options, self._sweep, copies=self._copies)
