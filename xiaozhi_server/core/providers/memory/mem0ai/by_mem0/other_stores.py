"""The engine on another of mem0's vector stores: the same calls and the same ranking, as far as the store can follow.

What is accepted waits in our outbox, and what became of a memory stands in our history; both need PostgreSQL.
"""

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import partial
from typing import Any, Literal, overload

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from ...base import AnyMessage
from ...migrate import apply_migrations
from .. import checks
from ..embedding.embed import Embedder
from ..engine import LEDGER, EngineOptions, Filters
from ..errors import InvalidTextError
from ..facts.at_once import Attached, add_facts, learning
from ..facts.learned import MemoryChange
from ..facts.once import Talk, learn_once
from ..filters import parse
from ..forgotten import Forgotten
from ..images import with_seen_images
from ..message import memory_id
from ..metadata import checked_metadata, merged
from ..observe import MemoryObserver, NoObserver, ObservedEmbedder
from ..records import FoundMemory, StoredMemory
from ..rows import history
from ..rows.edit import checked_text, existing
from ..rows.history import MemoryEvent
from ..rows.listing import checked_cursor
from ..saving import outbox
from ..saving.describing import Describer, DescribingSaver, in_words
from ..saving.intake import Intake, IntakeOptions
from ..saving.outbox import DeadLetter, OutboxDepth
from ..saving.saver import Saver
from ..saving.verbatim import row_of
from ..scope import Scope
from ..sharing import shares
from ..sharing.shares import AuditLine, Share
from ..statements import MIGRATIONS
from ..transfer import person as persons
from ..wishes import Wishes
from .extract_by_mem0 import ExtractionOptions, Extractor
from .mem0_payload import without_taken_names
from .other_saver import OtherSaver, note
from .other_search import MOST_FILTERED, OtherSearcher
from .other_store import MOST_LISTED, OtherStore
from .rerank import Reranker, reranked

logger = logging.getLogger(__name__)

Pool = AsyncConnectionPool[Any]

_FOUND_MAX = 1000


class OtherStoreEngine:
    """The pool, the embedder and the store belong to the caller, who also closes them."""

    def __init__(
        self,
        pool: Pool,
        embedder: Embedder,
        store: OtherStore,
        options: EngineOptions | None = None,
        *,
        extractor: Extractor | None = None,
        extraction: ExtractionOptions | None = None,
        reranker: Reranker | None = None,
        observer: MemoryObserver | None = None,
        describer: Describer | None = None,
    ) -> None:
        self.observer = observer or NoObserver()
        self.forgotten = Forgotten()
        self._pool = pool
        self.store = store
        self._reranker = reranker
        self._options = options or EngineOptions()
        observed = ObservedEmbedder(embedder, self.observer)
        self._saver = OtherSaver(store, observed, extractor, extraction or ExtractionOptions())
        self._searcher = OtherSearcher(pool, store, observed, self._options.search)
        self._shares = shares.Shares(self._connection)
        self._describer = describer
        options, sees = self._options, describer is not None
        limits = IntakeOptions(options.drain, options.unsaved_limit, options.database_timeout_s, sees=sees)
        self._intake = Intake(pool, limits, self.observer)

    async def start(self, *, work: bool = True) -> None:
        """Without `work` nothing goes on in the background: that is for a short command beside a server."""
        async with self._pool.connection() as connection:
            await apply_migrations(connection, MIGRATIONS, ledger=LEDGER)
        self._saver.search_by(self._searcher.search)
        if work:
            saver: Saver[Any] = self._saver
            self._intake.start(saver if self._describer is None else DescribingSaver(saver, self._describer))
        logger.info("memory: kept in %s, which lacks: %s", self.store.provider, "; ".join(self.lacks))

    async def stop(self, deadline_s: float) -> None:
        await self._intake.stop(deadline_s)
        await self._searcher.close()

    @property
    def lacks(self) -> tuple[str, ...]:
        """What our own store does and this one does not."""
        words = () if self.store.finds_words else ("a search for words (those of the nearest rows are compared here)",)
        return (
            *words,
            f"filters of its own (they are checked here, among at most {MOST_FILTERED} memories of an owner)",
            f"order (lists are sorted here, of at most {MOST_LISTED} memories of an owner)",
            "the neighbours of what it finds, and how rare a word is in all of an owner's memories",
            "transactions (after a crash a conversation may be there before it counts as saved; it is then replaced)",
            "forgetting (nothing fades by itself, and nothing is pinned)",
            "a count of how often shared memories are read",
            "people and things, and how they stand to each other",
            "the way back when what replaced a memory is deleted",
            "word of which embedder made a vector (another one needs an empty collection)",
        )

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
        return await self._intake.enqueue(
            messages,
            user_id=user_id,
            agent_id=agent_id,
            session_id=session_id,
            key=key,
            transaction=transaction,
            instruction=instruction,
        )

    @overload
    async def add(
        self,
        messages: Sequence[AnyMessage],
        *,
        user_id: str,
        agent_id: str | None = None,
        run_id: str | None = None,
        session_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        infer: Literal[False] = False,
        expires_at: date | str | float | None = None,
    ) -> list[StoredMemory]: ...

    @overload
    async def add(
        self,
        messages: Sequence[AnyMessage],
        *,
        user_id: str,
        agent_id: str | None = None,
        run_id: str | None = None,
        session_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        infer: Literal[True],
        expires_at: date | str | float | None = None,
        instruction: Wishes | str | None = None,
    ) -> list[MemoryChange]: ...

    async def add(
        self,
        messages: Sequence[AnyMessage],
        *,
        user_id: str,
        agent_id: str | None = None,
        run_id: str | None = None,
        session_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        infer: bool = False,
        expires_at: date | str | float | None = None,
        instruction: Wishes | str | None = None,
    ) -> list[StoredMemory] | list[MemoryChange]:
        scope, session = Scope(user_id, agent_id, run_id), checks.checked_session(session_id)
        attached = None if metadata is None else without_taken_names(checked_metadata(metadata).value)
        expiry, key = checks.checked_expiry(expires_at), uuid.uuid4().hex
        saver = learning(self._saver) if infer else None
        sees = self._describer is not None
        seen = await in_words(self._describer, with_seen_images(checks.checked_messages(messages), sees=sees))
        if saver is not None:
            more, wishes = Attached(run_id or "", attached, expiry), Wishes.of(instruction)
            return await add_facts(saver, self._connection, seen, scope, session, wishes, more)
        rows = [
            row_of(message, scope, session, memory_id(user_id, key, position), position, attached, expiry)
            for position, message in enumerate(seen)
        ]
        await self.store.insert(await self._saver.found_by(rows))
        return rows

    async def learn(
        self,
        talks: Sequence[Talk],
        *,
        user_id: str,
        agent_id: str,
        key: str,
        subtype: str = "",
        metadata: Mapping[str, Any] | None = None,
        instruction: Wishes | str | None = None,
    ) -> list[MemoryChange]:
        """Make facts of talks that are kept elsewhere, or an error. After a crash some of them may be there: `undo`."""
        scope, saver = Scope(user_id, agent_id), learning(self._saver)
        attached = None if metadata is None else without_taken_names(checked_metadata(metadata).value)
        more = Attached(metadata=attached, subtype=subtype)
        return await learn_once(saver, self._connection, talks, scope, key, Wishes.of(instruction), more)

    async def undo(self, key: str, *, user_id: str) -> int:
        """Delete what `learn` wrote under this key. Returns how many memories there were."""
        left = await self.store.listed(Scope(user_id), limit=_FOUND_MAX, batch=key)
        await self.store.delete(left)
        return len(left)

    async def search(
        self,
        query: str,
        *,
        user_id: str,
        agent_id: str | None = None,
        also_agents: Sequence[str] = (),
        run_id: str | None = None,
        top_k: int = 20,
        filters: Filters = None,
        threshold: float | None = None,
        vector_timeout_s: float | None = None,
    ) -> list[FoundMemory]:
        asked, limit = checks.checked_query(query), checks.checked_limit(top_k, _FOUND_MAX)
        search = partial(
            self._searcher.search,
            asked,
            Scope(user_id, agent_id, run_id, tuple(also_agents), shared=True),
            wanted=parse(filters) if filters else None,
            threshold=checks.checked_threshold(threshold),
            vector_timeout_s=vector_timeout_s,
        )
        return await reranked(self._reranker, asked, limit, lambda most: search(top_k=most))

    async def get(self, id: str | uuid.UUID, *, user_id: str) -> StoredMemory | None:
        scope, known = Scope(user_id), checks.memory_uuid(id)
        return None if known is None else await self.store.get(scope, known)

    async def get_all(
        self,
        *,
        user_id: str,
        agent_id: str | None = None,
        run_id: str | None = None,
        filters: Filters = None,
        top_k: int = 100,
        cursor: str | None = None,
    ) -> list[StoredMemory]:
        scope, wanted = Scope(user_id, agent_id, run_id), parse(filters)
        limit, after = checks.checked_limit(top_k, MOST_LISTED), checked_cursor(cursor)
        now = datetime.now(UTC)
        shown = [
            memory
            for memory in await self.store.everything(scope)
            if (memory.expires_at is None or memory.expires_at > now)
            and (after is None or (memory.created_at, memory.id) < after)
            and wanted.matches(memory)
        ]
        return sorted(shown, key=lambda memory: (memory.created_at, memory.id), reverse=True)[:limit]

    async def update(
        self,
        id: str | uuid.UUID,
        *,
        user_id: str,
        text: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> StoredMemory:
        """Two that change the same memory at once: the later one wins as a whole."""
        scope, known = Scope(user_id), checks.known_uuid(id)
        new_text = None if text is None else checked_text(text)
        change = None if metadata is None else checked_metadata(metadata).value
        if new_text is None and change is None:
            raise InvalidTextError("an update needs a text, metadata or both")
        old = existing(await self.store.get(scope, known))
        new = replace(
            old,
            text=old.text if new_text is None else new_text,
            metadata=old.metadata if change is None else without_taken_names(merged(old.metadata, change)),
            updated_at=datetime.now(UTC),
        )
        (row,) = await self._saver.found_by([new])
        async with self._connection() as connection, connection.transaction():
            await note(connection, old, "UPDATE", new.text)
            await self.store.replace(row)
        return new

    async def delete(self, id: str | uuid.UUID, *, user_id: str) -> None:
        old = existing(await self.store.get(Scope(user_id), checks.known_uuid(id)))
        await self._delete([old])

    async def delete_all(self, *, user_id: str, agent_id: str | None = None, run_id: str | None = None) -> int:
        scope = Scope(user_id, agent_id, run_id)
        if run_id is None:
            # First the outbox: the worker holds an entry's row while it writes its memories.
            async with self._connection() as connection:
                await outbox.forget(connection, scope)
        await self.store.delete(await self.store.internal(scope, limit=MOST_LISTED))
        gone: set[uuid.UUID] = set()
        while memories := await self.store.listed(scope, limit=_FOUND_MAX):
            left = [memory for memory in memories if memory.id not in gone]
            if not left:  # some stores still show for a while what is deleted
                break
            await self._delete(left)
            gone.update(memory.id for memory in left)
        return len(gone)

    async def history(self, id: str | uuid.UUID, *, user_id: str) -> list[MemoryEvent]:
        scope, known = Scope(user_id), checks.memory_uuid(id)
        if known is None:
            return []
        memory = await self.store.get(scope, known)
        async with self._connection() as connection:
            return await history.events_since(connection, scope, known, memory)

    async def forget(self, *, user_id: str) -> int:
        """Leave nothing of a person, no history either. Returns how many memories there were."""
        person = Scope(user_id).user_id
        # First what waits, so that nobody saves it meanwhile; at last what the deletions left in the history.
        removed = await persons.forget(self._pool.connection, person)
        # Where the store is in our database its rows are gone with ours.
        count = sum(rows for name, rows in removed.items() if not name.startswith("memory_"))
        count += await self.delete_all(user_id=person)
        await persons.forget(self._pool.connection, person)
        self.forgotten.forget(person)
        return count

    def prefetch(self, user_id: str) -> None:
        """Nothing of such a store can be made ready."""

    def recalled(self, found: Sequence[FoundMemory], *, user_id: str) -> None:
        """Such a store keeps no trace of it."""

    async def present(
        self,
        ids: Sequence[uuid.UUID],
        *,
        user_id: str,
        agent_id: str | None = None,
        also_agents: Sequence[str] = (),
        replaced: Sequence[uuid.UUID] = (),
    ) -> set[uuid.UUID]:
        asked = Scope(user_id, agent_id, None, tuple(also_agents), shared=True)
        async with self._connection() as connection:
            scope = await shares.reach(connection, asked)
        found = await asyncio.gather(*(self.store.get(scope, id) for id in ids))
        return {memory.id for memory in found if memory is not None}

    async def share(self, *, user_id: str, agent_id: str, from_agent: str, done_by: str) -> bool:
        return await self._shares.grant(user_id, agent_id, from_agent, done_by)

    async def unshare(self, *, user_id: str, agent_id: str, from_agent: str, done_by: str) -> bool:
        return await self._shares.revoke(user_id, agent_id, from_agent, done_by)

    async def shares(self, *, user_id: str, agent_id: str | None = None) -> list[Share]:
        return await self._shares.all_of(Scope(user_id, agent_id))

    async def audit(self, *, user_id: str, limit: int = 100) -> list[AuditLine]:
        return await self._shares.audit(Scope(user_id).user_id, limit=checks.checked_limit(limit, MOST_LISTED))

    async def end_session(self, session_id: str, *, user_id: str) -> None:
        await self._intake.end_session(session_id, user_id=user_id)

    async def depth(self) -> OutboxDepth:
        return await self._intake.depth()

    async def dead_letters(self, user_id: str | None = None, *, limit: int = 100) -> list[DeadLetter]:
        return await self._intake.dead_letters(user_id, limit=limit)

    async def replay(self, user_id: str | None = None, *, key: str | None = None) -> int:
        return await self._intake.replay(user_id, key=key)

    async def _delete(self, memories: Sequence[StoredMemory]) -> None:
        async with self._connection() as connection, connection.transaction():
            for memory in memories:
                await note(connection, memory, "DELETE", None)
            await self.store.delete(memories)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[AsyncConnection[Any]]:
        async with asyncio.timeout(self._options.database_timeout_s), self._pool.connection() as connection:
            yield connection
