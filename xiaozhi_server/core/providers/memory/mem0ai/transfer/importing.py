"""Reads memories in, each batch whole or not at all. The same file a second time changes nothing.

What is there already is replaced only by something that was written later. Several imports at once take turns.
"""

import asyncio
import json
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice
from typing import Any, BinaryIO
from uuid import UUID

import numpy as np
from psycopg import Rollback
from psycopg_pool import AsyncConnectionPool

from ..embedding.embed import Embedder, Vectors
from ..recall.words import tokens_of
from ..records import NewMemory, StoredMemory
from ..scope import Scope
from . import mem0_file, notes_file, ours
from .errors import TransferError
from .fields import LineError
from .items import KINDS, Fact, Item, MemoryItem, Notice, RowItem
from .ours import Model, Reading
from .recognised import Format, begun, recognised
from .rows_in import Outcome, RowsIn

Pool = AsyncConnectionPool[Any]

_BATCH_ITEMS = 500
_EMBEDDED_AT_ONCE = 128
_NOTICES_KEPT = 1000
_NAMESPACE = uuid.UUID("5a0f6f6e-9b0d-4a55-8d3e-0f7f6f1a2c11")


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """What is read, for whom, and as of when where it does not say so itself.

    `user_id`: all of it becomes this owner's; a file of several owners then needs `from_user`, whose lines alone are
    taken. `notes`: facts of foreign notes become lines of `mem_local_short`'s notes instead of memories.
    """

    format: Format | None = None
    user_id: str | None = None
    from_user: str | None = None
    agent_id: str | None = None
    notes: bool = False
    dry_run: bool = False
    as_of: datetime | None = None

    def __post_init__(self) -> None:
        Scope(self.user_id or "nobody", self.agent_id)


@dataclass(slots=True)
class Imported:
    """What became of the lines, by what they hold and what was done. `notices` are the first that were given."""

    format: str = ""
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    embedded: int = 0
    refused: int = 0
    notices: list[Notice] = field(default_factory=list)

    @property
    def lines(self) -> int:
        return self.counts.total() + self.refused

    @property
    def changes(self) -> int:
        return sum(count for (_, outcome), count in self.counts.items() if outcome != "unchanged")

    def note(self, notice: Notice) -> None:
        self.refused += notice.is_refused
        if len(self.notices) < _NOTICES_KEPT:
            self.notices.append(notice)


@dataclass(frozen=True, slots=True)
class Keeper:
    """Where memories are written to. `changed` is told whose, once that is committed."""

    pool: Pool
    embedder: Embedder
    embedder_number: int
    executor: Executor
    changed: Callable[[str], None]


class Importer:
    """One import of one file."""

    def __init__(
        self,
        keeper: Keeper,
        options: ImportOptions,
        *,
        notice: Callable[[Notice], None] = lambda _: None,
        progress: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._keeper = keeper
        self._options = options
        self._tell = notice
        self._progress = progress
        self._done = Imported()
        self._seen: dict[Any, int] = {}
        self._seen_owner = ""
        self._first_owner: str | None = options.from_user

    async def run(self, file: BinaryIO) -> Imported:
        """A TransferError where the file cannot be read at all."""
        items = await asyncio.to_thread(self._items, file)
        async with self._written_into() as rows:
            while batch := await asyncio.to_thread(_taken, items):
                await self._take(batch, rows)
                self._progress(self._done.lines)
        return self._done

    @asynccontextmanager
    async def _written_into(self) -> AsyncIterator[RowsIn]:
        """Batches are committed one by one; a dry run is undone as a whole."""
        keeper, options = self._keeper, self._options
        if not options.dry_run:
            yield RowsIn(keeper.pool, None, keeper.embedder_number)
            return
        async with keeper.pool.connection() as connection, connection.transaction() as all_of_it:
            yield RowsIn(keeper.pool, connection, keeper.embedder_number)
            raise Rollback(all_of_it)

    # --- reading ---

    def _items(self, file: BinaryIO) -> Iterator[Item]:
        head, whole = begun(file)
        form = self._options.format or recognised(head)
        self._done.format = form
        model = Model(self._keeper.embedder.name, self._keeper.embedder.dimensions)
        reading = Reading(self._owner, model, datetime.now(UTC))
        as_of = self._options.as_of or reading.now
        match form:
            case "ours":
                return ours.read(whole, reading)
            case "mem0":
                return mem0_file.read_whole(whole, reading, as_of)
            case "mem0-lines":
                return mem0_file.read_lines(whole, reading, as_of)
            case "memory-yaml":
                return notes_file.read_map(whole, reading, as_of)
            case "summary":
                return notes_file.read_summary(whole, reading, self._options.agent_id or "", as_of)

    def _owner(self, named: str) -> str:
        """Whose a line becomes that names this owner, or nobody."""
        user_id, wanted = self._options.user_id, self._options.from_user
        if not named:
            if user_id is None:
                raise LineError("names no owner: say --user")
            return user_id
        if wanted is not None and named != wanted:
            raise LineError("belongs to another owner than --from")
        if user_id is None:
            return named
        if self._first_owner is None:
            self._first_owner = named
        if named != self._first_owner:
            raise LineError("belongs to another owner than the first line: say with --from whose lines are meant")
        return user_id

    # --- writing ---

    async def _take(self, batch: Sequence[Item], rows: RowsIn) -> None:
        for notice in batch:
            if isinstance(notice, Notice):
                self._note(notice)
        await self._rows([item for item in batch if isinstance(item, RowItem)], rows, before_memories=True)
        memories = [item for item in batch if isinstance(item, MemoryItem)]
        facts = [item for item in batch if isinstance(item, Fact)]
        if self._options.notes:
            self._count("note", await rows.notes(facts))
        else:
            memories += [_memory_of(fact) for fact in facts]
        await self._memories(self._unlike(memories), rows)
        await self._rows([item for item in batch if isinstance(item, RowItem)], rows, before_memories=False)
        if not self._options.dry_run:
            for user_id in {item.memory.user_id for item in memories}:
                self._keeper.changed(user_id)

    async def _rows(self, items: Sequence[RowItem], rows: RowsIn, *, before_memories: bool) -> None:
        for kind in KINDS:
            some = [item for item in items if item.kind == kind]
            if some and (kind in ("history", "thing")) == before_memories:
                outcome = await rows.rows(kind, some)
                for number in outcome.unfit:
                    self._note(Notice(number, "names a memory or a thing that is not there"))
                self._count(kind, outcome)

    async def _memories(self, items: Sequence[MemoryItem], rows: RowsIn) -> None:
        """What is there already, and no older, needs no vector."""
        known = await rows.known([item.memory for item in items])
        wanted = [item for item in items if _is_news(item, known)]
        outcome = await rows.memories(await self._found_by(wanted)) if wanted else Outcome()
        self._count("memory", replace(outcome, unchanged=len(items) - outcome.added - outcome.changed))

    async def _found_by(self, items: Sequence[MemoryItem]) -> list[NewMemory]:
        """With their words, and a vector where the file has none that fits."""
        texts = [item.memory.text for item in items]
        loop = asyncio.get_running_loop()
        tokens = await loop.run_in_executor(self._keeper.executor, lambda: [tokens_of(text) for text in texts])
        made = iter(await self._embedded([item.memory.text for item in items if item.vector is None]))
        vectors = [next(made) if item.vector is None else item.vector for item in items]
        found = zip(items, tokens, vectors, strict=True)
        return [NewMemory(item.memory, words, vector) for item, words, vector in found]

    async def _embedded(self, texts: Sequence[str]) -> Sequence[Vectors]:
        self._done.embedded += len(texts)
        if not texts or self._options.dry_run:  # what is undone anyway needs no model
            return [np.ones(self._keeper.embedder.dimensions, np.float32)] * len(texts)
        made: list[Vectors] = []
        try:
            for begin in range(0, len(texts), _EMBEDDED_AT_ONCE):
                made.extend(await self._keeper.embedder.embed(texts[begin : begin + _EMBEDDED_AT_ONCE]))
        except Exception as error:  # noqa: BLE001 - a provider call
            raise TransferError(
                f"the embedder failed ({type(error).__name__}): what was read so far stays, the same file goes on there"
            ) from None
        return made

    def _unlike(self, items: Sequence[MemoryItem]) -> list[MemoryItem]:
        """Each id once. The lines of an owner stand together, so those of the last one are enough to know."""
        kept = []
        for item in items:
            key = (item.memory.user_id, item.memory.id)
            before = self._seen.setdefault(key, item.number)
            if before == item.number:
                kept.append(item)
            else:
                self._note(Notice(item.number, f"has the id of line {before}, which counts"))
        if items and (last := items[-1].memory.user_id) != self._seen_owner:
            self._seen_owner = last
            self._seen = {key: number for key, number in self._seen.items() if key[0] == last}
        return kept

    def _count(self, kind: str, outcome: Outcome) -> None:
        for name, count in (("added", outcome.added), ("changed", outcome.changed), ("unchanged", outcome.unchanged)):
            if count:
                self._done.counts[kind, name] += count

    def _note(self, notice: Notice) -> None:
        self._done.note(notice)
        self._tell(notice)


def _taken(items: Iterator[Item]) -> list[Item]:
    """The next batch."""
    return list(islice(items, _BATCH_ITEMS))


def _is_news(item: MemoryItem, known: Mapping[tuple[str, UUID], datetime]) -> bool:
    written_at = known.get((item.memory.user_id, item.memory.id))
    return written_at is None or (item.is_dated and written_at < item.memory.updated_at)


def _memory_of(fact: Fact) -> MemoryItem:
    """The same fact of the same owner has the same id for ever."""
    memory = StoredMemory(
        id=uuid.uuid5(_NAMESPACE, json.dumps([fact.agent_id, fact.text])),
        user_id=fact.user_id,
        agent_id=fact.agent_id,
        run_id="",
        session_id="",
        role="user",
        speaker=None,
        text=fact.text,
        metadata=fact.metadata,
        created_at=fact.said_at,
        updated_at=fact.said_at,
    )
    return MemoryItem(fact.number, memory, is_dated=False)
