"""The one door to memory on PostgreSQL, shared by everybody in the process: save safely, find quickly, forget.

Whose memories a call is about is always said and always checked: an owner's, or those of one agent (`..._by_agent`).
Knows no conversation and no device.
"""

import asyncio
import logging
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import partial
from typing import Any, BinaryIO, Literal, TypeVar, overload

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from ..base import AgentRules, AnyMessage, MemoryRules, SpokenMessage
from ..migrate import apply_migrations
from .accepting.accepted import Within
from .adopting.contact import AdoptedTable, FirstContact
from .adopting.conversion import AdoptionOptions, AdoptionReport, Conversion
from .adopting.foreign_table import ForeignTable
from .adopting.taking import Taker
from .by_mem0.rerank import Reranker, reranked
from .checks import (
    checked_days,
    checked_expiry,
    checked_limit,
    checked_messages,
    checked_query,
    checked_session,
    checked_threshold,
    known_uuid,
    memory_uuid,
)
from .compressing.candidates import Candidates, CompressRule
from .compressing.compress import CompressLimits, Compressor, CompressResult, CompressWatch, SummaryModel
from .compressing.step import Compressing
from .daily import runs
from .daily.maintenance import Maintenance, MaintenanceOptions
from .daily.runs import StepRun
from .embedding.embed import Embedder
from .embedding.measured_floor import MeasuredFloor
from .errors import MemoryInputError, NoModelError
from .facts.at_once import Attached, add_facts, learning
from .facts.learned import MemoryChange
from .facts.once import Talk, learn_once
from .filters import Filter
from .filters import parse as parse_filter
from .finding import by_statement
from .finding.search import Searcher, SearchOptions
from .finding.warm import warm_up
from .forgetting.access_log import AccessLog, AccessOptions
from .forgetting.prune import PruneResult, PruneWatch, Whose, count, prune
from .forgetting.retention import quality_of
from .forgetting.step import Forgetting
from .forgetting.traces import Traces
from .forgotten import Forgotten, said_in_time
from .images import with_seen_images
from .message import memory_id
from .metadata import checked_metadata
from .observe import MemoryObserver, NoObserver, ObservedEmbedder
from .records import FoundMemory, StoredMemory
from .rows import history, listing, pgstore, reembed, stats
from .rows.edit import Editor
from .rows.history import MemoryEvent
from .rows.listing import checked_cursor
from .rows.stats import MemoryStats
from .saving import outbox
from .saving.describing import Describer, DescribingSaver, in_words
from .saving.drain import DrainOptions
from .saving.intake import Intake, IntakeOptions
from .saving.outbox import DeadLetter, OutboxDepth
from .saving.saver import Learns, Saver
from .saving.verbatim import VerbatimSaver, row_of
from .scope import Scope, checked_id
from .sharing.reads import SharedReads
from .sharing.shares import AuditLine, Share, Shares
from .statements import MIGRATIONS
from .things.door import KnowsThings
from .transfer import person
from .transfer.exporting import ExportOptions, exported
from .transfer.importing import Imported, Importer, ImportOptions, Keeper
from .transfer.items import Notice
from .transfer.ours import Model
from .wishes import Wishes

logger = logging.getLogger(__name__)

Pool = AsyncConnectionPool[Any]

LEDGER = "memory_migration"
_DEAD_LETTERS_MAX = 10_000
_NOBODY = "(nobody)"
_WARM_VECTOR_S = 0.1
_CANCEL_TIMEOUT_S = 1.0
_CALLS_A_NIGHT = 20  # for one owner
_FOUND_MAX = 1000
_LISTED_MAX = 100_000
T = TypeVar("T")

# mem0's filter language (see filters/language.py), or a filter that was parsed before, in a time zone of its own.
Filters = Mapping[str, Any] | Filter | None

# What becomes of the outbox's entries; the saver that keeps texts word for word is there to fall back on.
MakeSaver = Callable[[VerbatimSaver], Saver[Any]]


class EngineNotStartedError(RuntimeError):
    """`start()` has not run, or `stop()` has."""


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """Limits of one engine. `unsaved_limit` bounds an owner's outbox, `warm_up_s` how long a start may take for it.

    `clock` tells what time it is where memories fade.
    """

    database_timeout_s: float = 10.0
    unsaved_limit: int = 2000
    warm_up_s: float = 10.0
    search: SearchOptions = field(default_factory=SearchOptions)
    drain: DrainOptions = field(default_factory=DrainOptions)
    access: AccessOptions = field(default_factory=AccessOptions)
    maintenance: MaintenanceOptions = field(default_factory=MaintenanceOptions)
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)


class MemoryEngine(KnowsThings):
    """The pool, the embedder and the executor belong to the caller, who also closes them.

    `model` writes summaries. `rules` tells what each agent wants done with its memories in the course of time. What
    else is to be done every day is added to `maintenance` before the start.
    """

    def __init__(
        self,
        pool: Pool,
        embedder: Embedder,
        executor: Executor,
        options: EngineOptions | None = None,
        *,
        observer: MemoryObserver | None = None,
        make_saver: MakeSaver | None = None,
        model: SummaryModel | None = None,
        reranker: Reranker | None = None,
        rules: AgentRules | None = None,
        adopted: AdoptedTable | None = None,
        describer: Describer | None = None,
    ) -> None:
        self.observer = observer or NoObserver()
        self.forgotten = Forgotten()
        self._pool = pool
        self._embedder: Embedder = ObservedEmbedder(embedder, self.observer)
        self._executor = executor
        self._options = options or EngineOptions()
        self._make_saver = make_saver
        self._model = model
        self._reranker = reranker
        self._adopted = adopted
        self._describer = describer
        self._saver: VerbatimSaver | None = None
        self._outbox_saver: Saver[Any] | None = None
        self._searcher: Searcher | None = None
        self._intake: Intake | None = None
        self._editor: Editor | None = None
        self._taker: Taker | None = None
        self._contact: FirstContact | None = None
        self._floor = MeasuredFloor(self._embedder)
        self._shares = Shares(self._connection, self._changed)
        self._reads = SharedReads(pool)
        self._number = 0
        self._looking: asyncio.Task[None] | None = None
        self._access = AccessLog(Traces(pool), self._options.access)
        self._clock = self._options.clock
        self.maintenance = Maintenance(pool, self._options.maintenance, self.observer, self._clock, rules)
        if model is not None:
            self.maintenance.add(Compressing(self._compress_by_rules, self._changed))
        self.forgotten.tell(self._access)
        self.forgotten.tell(self._reads)

    async def start(self, *, work: bool = True) -> None:
        """Bring the tables up to date and begin to work off what a former run left behind.

        Without `work` nothing goes on in the background: that is for a short command beside a server.
        """
        async with self._pool.connection() as connection:  # no time limit: a migration may have much to do
            await apply_migrations(connection, MIGRATIONS, ledger=LEDGER)
            self._number = await pgstore.embedder_number(connection, self._embedder)
        self._searcher = Searcher(
            self._pool, self._embedder, self._number, self._options.search, self._executor, self.forgotten
        )
        self._saver = VerbatimSaver(self._searcher.embedder, self._number, self._executor, self._searcher.forget)
        self._editor = Editor(self._connection, self._saver, self._number, self._searcher.forget)
        self._taker = Taker(self._pool, self._embedder, self._number, self._executor, self._searcher.forget)
        if self._adopted is not None:
            self._contact = FirstContact(self._adopted, self._taker, self._embedder.dimensions)
        options = self._options
        limits = IntakeOptions(
            options.drain, options.unsaved_limit, options.database_timeout_s, sees=self._describer is not None
        )
        self._intake = Intake(self._pool, limits, self.observer, self._searcher)
        saver = self._saver if self._make_saver is None else self._make_saver(self._saver)
        if isinstance(saver, Learns):
            saver.search_by(self._searcher.search, self._searcher.vectors)
        self._outbox_saver = saver
        if not work:
            return
        self._reads.start()
        await self._searcher.start()
        ask = partial(self._searcher.warm_up, Scope(_NOBODY), vector_timeout_s=_WARM_VECTOR_S)
        await warm_up(self._pool, self._embedder, ask, self._options.warm_up_s)
        self._intake.start(saver if self._describer is None else DescribingSaver(saver, self._describer))
        self._access.start()
        self.maintenance.start(last=Forgetting(self._pool, self._searcher.forget, self._access.flush))
        # In the background: where all are of ours by now, that is known after the last of them.
        self._looking = asyncio.create_task(reembed.warn_of_foreign(self._pool, self._number), name="memory-foreign")

    async def stop(self, deadline_s: float) -> None:
        """Save what is due as long as the deadline allows; the rest is saved by the next start."""
        await self.maintenance.stop()
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait({self._looking}, timeout=_CANCEL_TIMEOUT_S)  # a frozen database may hold it longer
        intake = () if self._intake is None else (self._intake.stop(deadline_s),)
        await asyncio.gather(self._access.stop(deadline_s), self._reads.stop(), *intake)
        if self._contact is not None:
            await self._contact.stop()
        await self._floor.close()
        if self._searcher is not None:
            await self._searcher.stop()

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
        """Accept messages durably, and return before they are searchable by meaning; False if the key is known.

        With `transaction` (an open AsyncConnection) they share its fate, else they are committed here. `instruction`
        is for a saver that asks a model.
        """
        return await _started(self._intake).enqueue(
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
        key: str | None = None,
        within: Within | None = None,
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
        within: Within | None = None,
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
        within: Within | None = None,
        attempt: int | None = None,
    ) -> list[StoredMemory] | list[MemoryChange]:
        """Remember messages word for word, one memory each, and return once they can be found.

        With `infer` a language model makes facts of them, and what became of each memory is told; a `NoModelError`
        where none is set up. From `expires_at` on they are not shown any more; a day counts to its end.

        Word for word the same `key` adds nothing a second time. `within` runs first in the transaction that writes,
        whether or not there is anything to write; what it raises undoes all. Whoever says which `attempt` this is comes
        again where the model fails: only after some of them it is kept word for word.
        """
        scope = Scope(user_id, agent_id, run_id)
        session = checked_session(session_id)
        attached = None if metadata is None else checked_metadata(metadata).value
        expiry, name = checked_expiry(expires_at), uuid.uuid4().hex if key is None else checked_id("key", key)
        if infer:
            more = Attached(run_id or "", attached, expiry)
            saver = learning(_started(self._outbox_saver))
            told = await self._in_words(messages)
            with said_in_time():
                return await add_facts(
                    saver,
                    self._connection,
                    told,
                    scope,
                    session,
                    Wishes.of(instruction),
                    more,
                    key=name,
                    within=within,
                    attempt=attempt,
                )
        seen = await self._in_words(messages)
        rows = [
            row_of(message, scope, session, memory_id(user_id, name, position), position, attached, expiry)
            for position, message in enumerate(seen)
        ]
        if not rows and within is None:
            return []
        prepared = await _started(self._saver).found_by(rows) if rows else []
        with said_in_time():
            async with self._connection() as connection, connection.transaction():
                if within is not None:
                    await outbox.hold_owner(connection, user_id)
                    await within(connection)
                await pgstore.insert(connection, prepared, self._number)
        _started(self._searcher).forget(user_id)
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
        within: Within | None = None,
    ) -> list[MemoryChange]:
        """Make facts of talks that are kept elsewhere: all of them, or an error where the model or the database fails.

        `within` runs in the transaction that writes the memories, also where there are none; what it raises undoes all.
        """
        scope, saver = Scope(user_id, agent_id), learning(_started(self._outbox_saver))
        attached = None if metadata is None else checked_metadata(metadata).value
        more, wishes = Attached(metadata=attached, subtype=subtype), Wishes.of(instruction)
        with said_in_time():
            return await learn_once(saver, self._connection, talks, scope, key, wishes, more, within)

    async def _in_words(self, messages: Sequence[AnyMessage]) -> list[SpokenMessage]:
        seen = with_seen_images(checked_messages(messages), sees=self._describer is not None)
        return await in_words(self._describer, seen)

    def prefetch(self, user_id: str) -> None:
        """This owner will be asked about soon: what there is of them is read in the background."""
        checked_id("user_id", user_id)
        if self._contact is not None:
            self._contact.begin(user_id)
        if self._searcher is not None:
            self._searcher.prefetch(user_id)

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
        counts: bool = False,
    ) -> list[FoundMemory]:
        """The memories that fit best, the best first; entries that still wait in the outbox are among them.

        With an agent it is what this one heard, and those of `also_agents` and of its grants (see `share`) with it.
        None scores less than `threshold`. An embedder that takes longer than `vector_timeout_s` (default: the
        engine's) is not waited for. `counts`: all of them are used, and so they fade later; else say what is used with
        `recalled`.
        """
        scope = Scope(user_id, agent_id, run_id, tuple(also_agents), shared=True)
        asked, limit = checked_query(query), checked_limit(top_k, _FOUND_MAX)
        search = partial(
            _started(self._searcher).search,
            asked,
            scope,
            filters=None if filters is None else parse_filter(filters),
            threshold=checked_threshold(threshold),
            vector_timeout_s=vector_timeout_s,
        )
        await self._meet_if_possible(scope)
        found = await reranked(self._reranker, asked, limit, lambda most: search(top_k=most))
        if counts:
            self.recalled(found, user_id=user_id)
        self._reads.count(scope, found)
        return found

    async def search_by_agent(
        self,
        query: str,
        *,
        agent_id: str,
        top_k: int = 20,
        filters: Filters = None,
        threshold: float | None = None,
        vector_timeout_s: float | None = None,
    ) -> list[FoundMemory]:
        """The same among what one agent heard, whoever it is about; nothing that was granted to it is among that.

        It is one statement over all memories of this agent. Owners of mem0's table whom nobody has asked for yet are
        not among them.
        """
        asked, limit = checked_query(query), checked_limit(top_k, _FOUND_MAX)
        search = partial(
            _started(self._searcher).search_by_agent,
            asked,
            checked_id("agent_id", agent_id),
            filters=None if filters is None else parse_filter(filters),
            threshold=checked_threshold(threshold),
            vector_timeout_s=vector_timeout_s,
        )
        return await reranked(self._reranker, asked, limit, lambda most: search(top_k=most))

    async def list_by_agent(
        self, *, agent_id: str, filters: Filters = None, top_k: int = 100, cursor: str | None = None
    ) -> list[StoredMemory]:
        """What one agent heard, whoever it is about, the newest first; with `cursor_of` the last one, those behind it.

        The same is shown of each owner as by `get_all`.
        """
        wanted, limit, after = parse_filter(filters), checked_limit(top_k, _LISTED_MAX), checked_cursor(cursor)
        async with self._connection() as connection:
            return await listing.page_of_agent(
                connection, checked_id("agent_id", agent_id), wanted, after=after, limit=limit
            )

    async def owner_of(self, id: str | uuid.UUID) -> str | None:
        """Whose memory this is, or was before it was deleted; None if nobody has or had one with this id.

        For whoever knows an id and nothing else, and may be told.
        """
        known = memory_uuid(id)
        if known is None:
            return None
        async with self._connection() as connection:
            return await listing.owner_of(connection, known)

    def recalled(self, found: Sequence[FoundMemory], *, user_id: str) -> None:
        """These were used as an answer, and so they fade later. It is written down in the background."""
        qualities = ((one.memory.id, _quality(one)) for one in found)
        self._access.note(checked_id("user_id", user_id), qualities, self._clock())

    async def get(self, id: str | uuid.UUID, *, user_id: str) -> StoredMemory | None:
        """One memory of this owner; None if there is none with this id, or it is somebody else's."""
        scope, known = Scope(user_id), memory_uuid(id)
        if known is None:
            return None
        await self._meet_if_possible(scope)
        async with self._connection() as connection:
            return await listing.one(connection, scope, known)

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
        """This owner's memories, the newest first; with `cursor_of` the last one, those behind it.

        What is not true any more is among them; what a summary stands for only with a filter for `compressed_into`.
        """
        scope = Scope(user_id, agent_id, run_id)
        wanted, limit, after = parse_filter(filters), checked_limit(top_k, _LISTED_MAX), checked_cursor(cursor)
        await self._meet_if_possible(scope)
        async with self._connection() as connection:
            return await listing.page(connection, scope, wanted, after=after, limit=limit)

    async def update(
        self,
        id: str | uuid.UUID,
        *,
        user_id: str,
        text: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        within: Within | None = None,
    ) -> StoredMemory:
        """Give a memory another text, found by its own words from then on. Metadata is merged: None takes a name away.

        A `MemoryNotFoundError` if this owner has none with this id.
        """
        scope, known = Scope(user_id), known_uuid(id)
        await self._meet(scope)
        return await _started(self._editor).update(scope, known, text, metadata, within)

    async def pin(self, id: str | uuid.UUID, *, user_id: str, pinned: bool = True) -> StoredMemory:
        """Let a memory never be forgotten by itself, or let it fade again; a `MemoryNotFoundError` if there is none."""
        scope, known = Scope(user_id), known_uuid(id)
        await self._meet(scope)
        return await _started(self._editor).pin(scope, known, pinned)

    async def delete(self, id: str | uuid.UUID, *, user_id: str, within: Within | None = None) -> None:
        """Delete one memory; a `MemoryNotFoundError` if this owner has none with this id."""
        scope, known = Scope(user_id), known_uuid(id)
        await self._meet(scope)
        await _started(self._editor).delete(scope, known, within)

    async def delete_all(
        self,
        *,
        user_id: str,
        agent_id: str | None = None,
        run_id: str | None = None,
        within: Within | None = None,
    ) -> int:
        """Delete this owner's memories, and what waits to become some. Returns how many memories there were.

        With `within`, what was accepted and is not done yet stays (see accepting): some of it may have come later.
        """
        scope = Scope(user_id, agent_id, run_id)
        await self._meet(scope)
        return await _started(self._editor).delete_all(scope, within)

    async def history(self, id: str | uuid.UUID, *, user_id: str) -> list[MemoryEvent]:
        """What became of a memory, the oldest first, even if it is deleted. Empty if this owner never had it."""
        scope, known = Scope(user_id), memory_uuid(id)
        if known is None:
            return []
        await self._meet_if_possible(scope)
        async with self._connection() as connection:
            return await history.events_of(connection, scope, known)

    async def forget(self, *, user_id: str) -> int:
        """Leave nothing of a person, no history either. Returns how many memories there were.

        What was said until now is not taken any more, however late it arrives; only an import brings it back.
        """
        return (await self.forget_person(user_id=user_id)).get("memory_entry", 0)

    async def forget_person(self, *, user_id: str) -> Mapping[str, int]:
        """The same, and how many rows of which table there were. It takes as long as it takes."""
        scope = Scope(user_id)
        await self._meet(scope)  # what mem0 had of this person must not come later
        removed = dict(await person.forget(self._pool.connection, scope.user_id))
        if self._adopted is not None and (count := await self._adopted.table.forget(scope.user_id)):
            removed[self._adopted.table.name] = count  # in a database of its own: ours is empty by now
        _started(self._searcher).forget_person(scope.user_id)
        await person.drop_indexes(self._pool, scope.user_id)
        return removed

    async def exported(
        self,
        *,
        user_id: str | None = None,
        vectors: bool = False,
        progress: Callable[[int, int], None] = lambda _, __: None,
    ) -> AsyncGenerator[bytes]:
        """All that is remembered of an owner (else of everybody) as lines of JSON, as of one moment.

        Close it where you do not read it to its end. `vectors`: those of our embedder come along.
        """
        if user_id is not None:
            await self._meet(Scope(user_id))
        model = Model(self._embedder.name, self._embedder.dimensions)
        options = ExportOptions(user_id, model, self._number, vectors)
        async with self._pool.connection() as connection, aclosing(exported(connection, options, progress)) as lines:
            async for some in lines:
                yield some

    async def imported(
        self,
        file: BinaryIO,
        options: ImportOptions | None = None,
        *,
        notice: Callable[[Notice], None] = lambda _: None,
        progress: Callable[[int], None] = lambda _: None,
    ) -> Imported:
        """Read memories from a file of ours, of Mem0 or of the reference server (see transfer/importing.py).

        The same file twice changes nothing the second time. A `TransferError` where it cannot be read at all.
        """
        changed = _started(self._searcher).forget
        keeper = Keeper(self._pool, self._embedder, self._number, self._executor, changed)
        return await Importer(keeper, options or ImportOptions(), notice=notice, progress=progress).run(file)

    async def prune(
        self,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        ttl_days: int | None = None,
        dry_run: bool = False,
        now: datetime | None = None,
        progress: Callable[[int], None] = lambda judged: None,
    ) -> PruneResult:
        """Delete what has faded, or was said more than `ttl_days` ago: an owner's, what an agent heard, or everybody's.

        What was to run out a month ago goes too; pinned memories stay. It may be broken off at any time: the next run
        goes on with what is left. `progress` is told from time to time how many are judged.
        """
        everybody = MemoryRules(forget=True, ttl_days=checked_days("ttl_days", ttl_days))
        whose = _whose(user_id, agent_id, everybody)
        watch = PruneWatch(progress, _started(self._searcher).forget)
        await self._access.flush()  # what was used a moment ago is not forgotten
        return await prune(self._pool, whose, now or self._clock(), dry_run=dry_run, watch=watch)

    async def compress(
        self,
        rule: CompressRule,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        dry_run: bool = False,
        now: datetime | None = None,
        progress: Callable[[int], None] = lambda compressed: None,
    ) -> CompressResult:
        """Summarise what is old: an owner's, what an agent heard, or everybody's. `restore` undoes it.

        It may be broken off at any time: the next run goes on with what is left. `progress` is told how many memories
        are summarised. A NoModelError without a model, and a ModelAwayError once it has failed again and again.
        """
        whose = _whose(user_id, agent_id)
        watch = CompressWatch(progress, self._changed)
        candidates = Candidates(
            self._pool,
            self._number,
            now or self._clock(),
            {},
            everybody=rule,
            user_id=whose.user_id,
            agent_id=whose.agent_id,
        )
        return await self._compressor(CompressLimits(), dry_run=dry_run).run(candidates, watch, dry_run=dry_run)

    async def restore(self, id: str | uuid.UUID, *, user_id: str) -> int:
        """Take a summary away and recall again what it stands for. Returns how many that are.

        A NoSummaryError if this owner has no summary with this id.
        """
        return await _started(self._editor).restore(Scope(user_id), known_uuid(id))

    async def count(self, *, user_id: str | None = None, agent_id: str | None = None) -> int:
        """How many memories there are of an owner, of what an agent heard, or of everybody."""
        return await count(self._pool, _whose(user_id, agent_id))

    async def daily_runs(self) -> list[StepRun]:
        """What the daily work did on the last day that it ran."""
        async with self._connection() as connection:
            return await runs.latest(connection)

    async def stats(self) -> MemoryStats:
        """How much there is of everybody. Not for a live talk: all rows are counted."""
        async with self._connection() as connection:
            return await stats.stats(connection)

    async def owners(self, *, limit: int) -> list[str]:
        """Who has memories: the first of them in order."""
        async with self._connection() as connection:
            return await stats.owners(connection, limit=limit)

    async def outdated(self) -> Mapping[str, int]:
        """How many memories have a vector of each other embedder than ours, or (without a name) none."""
        async with self._connection() as connection:
            return await reembed.outdated(connection, self._number)

    async def reembed(self, progress: Callable[[int], None]) -> int:
        """Give all of those a vector of ours, telling from time to time how many are done. Returns how many."""
        changed = _started(self._searcher).forget
        return await reembed.reembed(self._pool, self._embedder, self._number, changed=changed, progress=progress)

    async def adopt(
        self, table: str | None, options: AdoptionOptions, progress: Callable[[int, int], None]
    ) -> AdoptionReport:
        """Bring over what mem0 has stored: in this table of our database, or in the one that the engine was given."""
        if table is not None:
            source = ForeignTable(self._pool, table)
        elif self._adopted is not None:
            source = self._adopted.table
        else:
            raise MemoryInputError("which table of mem0's shall be adopted is not said: name it")
        return await Conversion(source, _started(self._taker), self._embedder.dimensions, options).run(progress)

    async def depth(self) -> OutboxDepth:
        """How much waits to be saved."""
        return await _started(self._intake).depth()

    async def present(
        self,
        ids: Sequence[uuid.UUID],
        *,
        user_id: str,
        agent_id: str | None = None,
        also_agents: Sequence[str] = (),
        replaced: Sequence[uuid.UUID] = (),
    ) -> set[uuid.UUID]:
        """Which of these a search with this owner and agent could still bring as they are.

        `replaced` are those of them that were not true any more when they were found.
        """
        scope = Scope(user_id, agent_id, None, tuple(also_agents), shared=True)
        async with self._connection() as connection:
            return await by_statement.present(connection, scope, ids, replaced)

    async def share(self, *, user_id: str, agent_id: str, from_agent: str, done_by: str) -> bool:
        """Let an agent read what another one heard of this person; False if it may already. For recall alone.

        `done_by` is who decided it, for `audit`.
        """
        return await self._shares.grant(user_id, agent_id, from_agent, done_by)

    async def unshare(self, *, user_id: str, agent_id: str, from_agent: str, done_by: str) -> bool:
        """The next recall brings nothing of it any more; False if it was not shared."""
        return await self._shares.revoke(user_id, agent_id, from_agent, done_by)

    async def shares(self, *, user_id: str, agent_id: str | None = None) -> list[Share]:
        """What is shared of this person, or what one agent may read of it."""
        return await self._shares.all_of(Scope(user_id, agent_id))

    async def audit(self, *, user_id: str, limit: int = 100) -> list[AuditLine]:
        """Who granted and revoked what of this person, and how often it was read on which day: the newest first."""
        return await self._shares.audit(Scope(user_id).user_id, limit=checked_limit(limit, _LISTED_MAX))

    async def end_session(self, session_id: str, *, user_id: str) -> None:
        """Nothing more is said in it: exchanges that were to be saved together with later ones are saved now."""
        await _started(self._intake).end_session(session_id, user_id=user_id)

    async def dead_letters(self, user_id: str | None = None, *, limit: int = 100) -> list[DeadLetter]:
        """What could not be saved and was given up, the oldest first; of everybody where no owner is named."""
        return await _started(self._intake).dead_letters(user_id, limit=limit)

    async def replay(self, user_id: str | None = None, *, key: str | None = None) -> int:
        """Try again to save what was given up: one entry, an owner's, or everybody's. Returns how many there were."""
        return await _started(self._intake).replay(user_id, key=key)

    async def meet(self, user_id: str) -> None:
        """From now on nothing of this owner's is missing that lies in a table of mem0's, checkpoints neither."""
        await self._meet(Scope(user_id))

    async def _meet(self, scope: Scope) -> None:
        """Nothing of this owner lies in a table of mem0's any more that is not here as well."""
        if self._contact is not None:
            await self._contact.meet(scope.user_id)

    async def _meet_if_possible(self, scope: Scope) -> None:
        if self._contact is not None:
            await self._contact.meet_if_possible(scope.user_id, timeout_s=self._options.search.timeout_s)

    async def _compress_by_rules(
        self, rules: Mapping[str, CompressRule], now: datetime, watch: CompressWatch
    ) -> CompressResult:
        candidates = Candidates(self._pool, self._number, now, rules)
        compressor = self._compressor(CompressLimits(calls=_CALLS_A_NIGHT), dry_run=False)
        return await compressor.run(candidates, watch, dry_run=False)

    def _compressor(self, limits: CompressLimits, *, dry_run: bool) -> Compressor:
        if self._model is None and not dry_run:
            raise NoModelError("summaries")
        return Compressor(self._pool, self._model, _started(self._saver), self._floor, limits)

    def _changed(self, user_id: str) -> None:
        _started(self._searcher).forget(user_id)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[AsyncConnection[Any]]:
        async with asyncio.timeout(self._options.database_timeout_s), self._pool.connection() as connection:
            yield connection


def _whose(user_id: str | None, agent_id: str | None, everybody: MemoryRules | None = None) -> Whose:
    for name, value in (("user_id", user_id), ("agent_id", agent_id)):
        if value is not None:
            checked_id(name, value)
    return Whose(user_id, agent_id, everybody=everybody)


def _quality(found: FoundMemory) -> float:
    """How well it fitted: as a reranker says, else in meaning or as a whole, since a score is low where the
    words of the question are missing.
    """
    if found.rerank_score is not None:
        return quality_of(None, rerank_score=found.rerank_score)
    return max(quality_of(found.score), quality_of(found.semantic_score))


def _started(part: T | None) -> T:
    if part is None:
        raise EngineNotStartedError("the memory engine has not been started")
    return part
