"""Reads an owner's memories into an index: all of them, or what has changed since they were read before."""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from itertools import compress
from typing import Any, TypeVar
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import tuple_row
from psycopg_pool import AsyncConnectionPool

from ..message import from_json
from ..recall.words import tokens_of
from ..records import StoredMemory
from ..rows.halfvec import no_vector
from ..rows.pgstore import reading
from ..saving.outbox import OutboxEntry
from ..saving.verbatim import rows_of
from ..statements import composed
from . import owner_index, owner_rows
from .extent import HIDDEN, LIVES
from .owner_index import OwnerIndex
from .owner_things import KNOWN, SHARES, granted_in, things_in
from .thing_links import links_in

Pool = AsyncConnectionPool[Any]
T = TypeVar("T")

_LOAD = composed("entry_load", columns=owner_index.COLUMNS, lives=LIVES, hidden=HIDDEN, known=KNOWN, shares=SHARES)
_GONE, _LINKS, _STATE = range(owner_index.WIDTH, owner_index.WIDTH + 3)
_LOOKED_THROUGH = 4  # pages of rows, before a single statement gives up looking for hidden ones
_ALL = 2**31


@dataclass(frozen=True, slots=True)
class Loaded:
    """An index as of a moment, in PostgreSQL's count: the oldest transaction that was still open then."""

    index: OwnerIndex
    moment: str


@dataclass(frozen=True, slots=True)
class Source:
    """What is read of an owner: vectors of this embedder, and so much of the outbox.

    `page` is how many rows one statement reads, and how many are indexed without help of the executor.
    """

    embedder: int
    dimensions: int
    unsaved_shown: int
    page: int


class OwnerLoader:
    def __init__(self, pool: Pool, executor: Executor, source: Source, *, rows_max: int) -> None:
        self._pool = pool
        self._executor = executor
        self._dimensions = source.dimensions
        self._page_rows = source.page
        self._rows_max = rows_max
        self._parameters = {
            "embedder": source.embedder,
            "no_vector": no_vector(source.dimensions),
            "unsaved_shown": source.unsaved_shown,
            "page": source.page,
        }

    async def small(self, user_id: str) -> Loaded | None:
        """All of this owner's memories, if one statement brings them; else None."""
        async with reading(self._pool) as connection:
            page = await self._page(connection, user_id, looked_through=_LOOKED_THROUGH * self._page_rows + 1)
        index = owner_index.read(user_id, page, self._dimensions)
        return None if len(index) >= self._page_rows else self._loaded(index, page)

    async def whole(self, user_id: str) -> Loaded | None:
        """All of this owner's memories, page by page; None if there are more than may be kept."""
        async with self._pool.connection() as connection, connection.transaction():
            await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            pages = [await self._page(connection, user_id)]
            count = await self._read_on(connection, user_id, pages)
        return None if count > self._rows_max else await self._in_executor(lambda: self._joined(user_id, pages))

    async def newer(self, user_id: str, old: Loaded) -> Loaded | None:
        """The same brought up to date; None where that takes reading all of it again."""
        async with reading(self._pool) as connection:
            page = await self._page(connection, user_id, since=old.moment)
        if len(old.index) <= self._page_rows:
            return self._merged(user_id, old, page)
        return await self._in_executor(lambda: self._merged(user_id, old, page))

    async def _read_on(self, connection: AsyncConnection[Any], user_id: str, pages: list[Sequence[Any]]) -> int:
        """Add the other pages, as long as they may be kept; how many rows there are in all of them."""
        count = 0
        while True:
            ids = owner_rows.sent_ids(pages[-1])
            count += len(ids) // 16
            if len(ids) // 16 < self._page_rows or count > self._rows_max:
                return count
            pages.append(await self._page(connection, user_id, after=UUID(bytes=ids[-16:])))

    async def _page(
        self,
        connection: AsyncConnection[Any],
        user_id: str,
        *,
        since: str | None = None,
        after: UUID | None = None,
        looked_through: int = _ALL,
    ) -> Sequence[Any]:
        asked = {"user_id": user_id, "since": since, "after": after, "looked_through": looked_through}
        parameters = self._parameters | asked
        async with connection.cursor(binary=True, row_factory=tuple_row) as cursor:
            # From the first time on: to plan it takes longer than to run it.
            await cursor.execute(_LOAD, parameters, prepare=True)
            page: Sequence[Any] | None = await cursor.fetchone()
        assert page is not None
        return page

    def _joined(self, user_id: str, pages: Sequence[Sequence[Any]]) -> Loaded:
        index = owner_index.joined([owner_index.read(user_id, page, self._dimensions) for page in pages])
        return self._loaded(index, pages[0])

    def _merged(self, user_id: str, old: Loaded, page: Sequence[Any]) -> Loaded | None:
        changed = owner_index.read(user_id, page, self._dimensions)
        if len(changed) >= self._page_rows:
            return None
        state = page[_STATE]
        gone = set(compress(owner_rows.ids_in(owner_rows.sent_ids(page)), page[_GONE] or ()))
        saved = old.index.updated(changed, gone, time.time())
        # What was deleted cannot be among what has changed.
        return self._loaded(saved, page) if len(saved) == state["size"] else None

    def _loaded(self, saved: OwnerIndex, page: Sequence[Any]) -> Loaded:
        state = page[_STATE]
        index = replace(
            with_waiting(saved, state["unsaved"], self._dimensions),
            granted=granted_in(state["shares"]),
            things=things_in(state["known"]),
            links=links_in(page[_LINKS]),
            is_part=state["hidden"],
        )
        return Loaded(index, state["moment"])

    async def _in_executor(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)


def with_waiting(
    saved: OwnerIndex,
    unsaved: Sequence[dict[str, Any]],
    dimensions: int,
    wanted: Callable[[StoredMemory], bool] = lambda _: True,
) -> OwnerIndex:
    """With what waits in the outbox, as a statement tells it beside its rows."""
    known = set(saved.rows.id_list()) if unsaved else set()
    memories = [
        row
        for one in unsaved
        for row in rows_of(_entry(one))
        if divmod(row.id.int, 1 << 64) not in known and wanted(row)
    ]
    if not memories:
        return saved
    tokens = [tokens_of(one.text) for one in memories]
    return owner_index.joined([saved, owner_index.waiting(saved.rows.user_id, memories, tokens, dimensions)])


def _entry(one: dict[str, Any]) -> OutboxEntry:
    return OutboxEntry(
        one["user_id"], one["key"], one["agent_id"], one["session_id"], from_json(one["messages"]), one["attempts"]
    )
