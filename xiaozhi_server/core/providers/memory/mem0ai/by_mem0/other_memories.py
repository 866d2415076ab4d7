"""Memories in another of mem0's vector stores: adding, finding, looking up and changing them, always one owner's.

What lies beside the store (their history, what waits, grants) is somebody else's: see `Beside`.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import partial
from typing import Any, Literal, overload

from ...base import AnyMessage
from .. import checks
from ..embedding.embed import Embedder
from ..engine import EngineOptions, Filters
from ..errors import InvalidTextError
from ..facts.at_once import Attached, found_in, learning, with_attached
from ..facts.learned import Learned, MemoryChange, changes_of
from ..facts.once import Talk, batch_of
from ..filters import Filter, parse
from ..images import with_seen_images
from ..longterm.records_store import StoreRecords
from ..message import memory_id
from ..metadata import checked_metadata, merged
from ..observe import MemoryObserver, ObservedEmbedder
from ..records import FoundMemory, StoredMemory
from ..rows.edit import checked_text, existing
from ..rows.history import MemoryEvent
from ..rows.listing import checked_cursor
from ..saving.describing import Describer, in_words
from ..saving.outbox import OutboxEntry
from ..saving.verbatim import row_of
from ..scope import OfAgent, Scope, Whose, checked_id
from ..wishes import Wishes
from .beside import Beside
from .extract_by_mem0 import ExtractionOptions, Extractor
from .mem0_payload import without_taken_names
from .other_saver import OtherSaver
from .other_search import MOST_FILTERED, OtherSearcher
from .other_store import MOST_LISTED, OtherStore
from .rerank import Reranker, reranked

FOUND_MAX = 1000


class OtherMemories:
    """The embedder, the store and what lies beside it belong to the caller, who also closes them."""

    def __init__(
        self,
        beside: Beside,
        embedder: Embedder,
        store: OtherStore,
        options: EngineOptions,
        observer: MemoryObserver,
        *,
        extractor: Extractor | None = None,
        extraction: ExtractionOptions | None = None,
        reranker: Reranker | None = None,
        describer: Describer | None = None,
    ) -> None:
        self.store = store
        self._beside = beside
        self._reranker = reranker
        self._describer = describer
        observed = ObservedEmbedder(embedder, observer)
        self._saver = OtherSaver(store, observed, extractor, extraction or ExtractionOptions())
        self._searcher = OtherSearcher(beside, store, observed, options.search)
        self._extraction = StoreRecords(store, embedder.dimensions)

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
            "a daily work (nothing fades unless that is asked for; what has `pinned: true` in its metadata stays)",
            "a count of how often shared memories are read",
            "people and things, and how they stand to each other",
            "the way back when what replaced a memory is deleted",
            "word of which embedder made a vector (another one needs an empty collection)",
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
        key: str | None = None,
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
        key: str | None = None,
        attempt: int | None = None,
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
        key: str | None = None,
        attempt: int | None = None,
    ) -> list[StoredMemory] | list[MemoryChange]:
        """Save messages now, word for word, or with `infer` the facts that a language model finds in them.

        What was added with the same `key` before, all or some of it, is there once in the end. Whoever says which
        `attempt` this is comes again where the model fails: only after some of them it is kept word for word.
        """
        scope, session = Scope(user_id, agent_id, run_id), checks.checked_session(session_id)
        attached = None if metadata is None else without_taken_names(checked_metadata(metadata).value)
        expiry, name = checks.checked_expiry(expires_at), uuid.uuid4().hex if key is None else checked_id("key", key)
        saver = learning(self._saver) if infer else None
        told = with_seen_images(checks.checked_messages(messages), sees=self._describer is not None)
        if key is not None and await self._beside.is_done(user_id, name):
            return await self._known(scope, name, infer)
        seen = await in_words(self._describer, told)
        entry = OutboxEntry(user_id, name, agent_id or "", session, tuple(seen), attempt or 1, Wishes.of(instruction))
        if key is not None:
            await self._saver.clear((entry,))  # else it would be taken for what is known
        if saver is not None:
            more = Attached(run_id or "", attached, expiry)
            learned = with_attached(await found_in(saver, entry, attempt), more) if seen else None
            return await self._put(entry, learned, is_named=key is not None)
        rows = [
            row_of(message, scope, session, memory_id(user_id, name, position), position, attached, expiry)
            for position, message in enumerate(seen)
        ]
        written = Learned(tuple(await self._saver.found_by(rows))) if rows else None
        await self._put(entry, written, is_named=key is not None)
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
        saver = learning(self._saver)
        attached = None if metadata is None else without_taken_names(checked_metadata(metadata).value)
        batch = batch_of(talks, Scope(user_id, agent_id), checked_id("key", key), Wishes.of(instruction))
        if not batch:
            return []
        learned = with_attached(await saver.facts(batch), Attached(metadata=attached, subtype=subtype))
        async with self._beside.noting(batch[0]) as notes:
            await self._saver.put(notes, [batch], [learned])
        return changes_of(learned)

    async def undo(self, key: str, *, user_id: str) -> int:
        """Delete what `learn` wrote under this key. Returns how many memories there were."""
        left = await self.store.listed(Scope(user_id), limit=FOUND_MAX, batch=key)
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
        asked, limit = checks.checked_query(query), checks.checked_limit(top_k, FOUND_MAX)
        search = partial(
            self._searcher.search,
            asked,
            Scope(user_id, agent_id, run_id, tuple(also_agents), shared=True),
            wanted=parse(filters) if filters else None,
            threshold=checks.checked_threshold(threshold),
            vector_timeout_s=vector_timeout_s,
        )
        return await reranked(self._reranker, asked, limit, lambda most: search(top_k=most))

    async def search_by_agent(
        self,
        query: str,
        *,
        agent_id: str,
        top_k: int = 20,
        filters: Filters = None,
        threshold: float | None = None,
    ) -> list[FoundMemory]:
        """The same among what one agent heard, whoever it is about; nothing that was granted to it is among that."""
        asked, limit = checks.checked_query(query), checks.checked_limit(top_k, FOUND_MAX)
        search = partial(
            self._searcher.search_by_agent,
            asked,
            OfAgent(agent_id),
            wanted=parse(filters) if filters else None,
            threshold=checks.checked_threshold(threshold),
        )
        return await reranked(self._reranker, asked, limit, lambda most: search(top_k=most))

    async def owner_of(self, id: str | uuid.UUID) -> str | None:
        """Whose memory this is, or was before it was deleted; None if nobody has or had one with this id."""
        known = checks.memory_uuid(id)
        if known is None:
            return None
        return await self.store.owner(known) or await self._beside.owner(known)

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
        """The newest first; with `cursor_of` the last one, those behind it."""
        return await self._page(Scope(user_id, agent_id, run_id), parse(filters), top_k, cursor)

    async def list_by_agent(
        self, *, agent_id: str, filters: Filters = None, top_k: int = 100, cursor: str | None = None
    ) -> list[StoredMemory]:
        """What one agent heard, whoever it is about, in the same way."""
        return await self._page(OfAgent(agent_id), parse(filters), top_k, cursor)

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
        async with self._beside.noting() as notes:
            await notes.changed(old, "UPDATE", new.text)
            await self.store.replace(row)
        return new

    async def delete(self, id: str | uuid.UUID, *, user_id: str) -> None:
        old = existing(await self.store.get(Scope(user_id), checks.known_uuid(id)))
        await self._delete([old])

    async def delete_all(self, *, user_id: str, agent_id: str | None = None, run_id: str | None = None) -> int:
        """Returns how many there were. Internal records are no memories, and stay."""
        scope = Scope(user_id, agent_id, run_id)
        await self._beside.drop_waiting(scope)
        gone: set[uuid.UUID] = set()
        while memories := await self.store.listed(scope, limit=FOUND_MAX):
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
        return await self._beside.events(scope, known, await self.store.get(scope, known))

    def prefetch(self, user_id: str) -> None:
        """Nothing of such a store can be made ready."""

    def recalled(self, found: Sequence[FoundMemory], *, user_id: str) -> None:
        """Such a store keeps no trace of it."""

    async def _put(self, entry: OutboxEntry, learned: Learned | None, *, is_named: bool) -> list[MemoryChange]:
        if learned is None:
            return []
        async with self._beside.noting(entry) as notes:
            await self._saver.put(notes, [(entry,)], [learned])
            if is_named:
                await notes.done(entry.user_id, entry.key)
        return changes_of(learned)

    async def _known(self, scope: Scope, key: str, infer: bool) -> list[StoredMemory] | list[MemoryChange]:
        """What is left of what was added under this key."""
        left = await self.store.listed(Scope(scope.user_id), limit=FOUND_MAX, batch=key)
        rows = sorted(left, key=lambda memory: (memory.created_at, memory.position))
        return [MemoryChange(row, "NONE") for row in rows] if infer else rows

    async def _page(self, whose: Whose, wanted: Filter, top_k: int, cursor: str | None) -> list[StoredMemory]:
        limit, after = checks.checked_limit(top_k, MOST_LISTED), checked_cursor(cursor)
        now = datetime.now(UTC)
        shown = [
            memory
            for memory in await self.store.everything(whose)
            if (memory.expires_at is None or memory.expires_at > now)
            and (after is None or (memory.created_at, memory.id) < after)
            and wanted.matches(memory)
        ]
        return sorted(shown, key=lambda memory: (memory.created_at, memory.id), reverse=True)[:limit]

    async def _delete(self, memories: Sequence[StoredMemory]) -> None:
        async with self._beside.noting() as notes:
            for memory in memories:
                await notes.changed(memory, "DELETE", None)
            await self.store.delete(memories)
