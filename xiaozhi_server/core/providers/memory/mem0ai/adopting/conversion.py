"""Brings a whole table of mem0's over, page by page. It may be broken off, begun again, and done by two at once."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from ..scope import checked_id
from .access_log import read_access_log
from .checkpoints import read_checkpoints
from .foreign_row import OWNERLESS, ReadRow, UnfitRowError, foreign_id, read_row
from .foreign_table import Contents, ForeignRow, ForeignTable
from .taking import Arrival, Taker, fitting

_PAGE = 500
_UNFIT_TOLD = 100


@dataclass(frozen=True, slots=True)
class AdoptionOptions:
    """`same_embedder`: mem0 asked the embedder that we ask, so its vectors are kept where their length is ours.

    `ownerless` is whose the memories shall be that name no user; without it they stay where they are.
    """

    same_embedder: bool = False
    ownerless: str | None = None
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class UnfitRow:
    """A memory that stayed in mem0's table, and why."""

    id: UUID
    why: str


@dataclass(frozen=True, slots=True)
class AdoptionReport:
    """What came over, or would. `known` came before. `undated` and `without_metadata` are among those adopted or known.

    `ownerless` and `unfit` stayed behind; of the latter the first ones are named. `accesses` is of how many memories
    something was noted in the logs of mem0's plugin, `checkpoints` how many of its marks of conversations go on here.
    """

    contents: Contents
    dry_run: bool
    adopted: int
    known: int
    kept_vectors: int
    undated: int
    without_metadata: int
    ownerless: int
    unfit_count: int
    accesses: int
    checkpoints: int
    unfit: tuple[UnfitRow, ...] = field(default=())


class Conversion:
    """Runs once. `dimensions` are those of our embedder."""

    def __init__(self, table: ForeignTable, taker: Taker, dimensions: int, options: AdoptionOptions) -> None:
        if options.ownerless is not None:
            checked_id("the owner of memories without one", options.ownerless)
        self._table = table
        self._taker = taker
        self._dimensions = dimensions
        self._options = options
        self._counts: Counter[str] = Counter()
        self._unfit: list[UnfitRow] = []

    async def run(self, progress: Callable[[int, int], None]) -> AdoptionReport:
        """Tells from time to time how many memories were looked at, and of how many."""
        contents = await self._table.contents()
        now, seen = datetime.now(UTC), 0
        async for rows in self._table.memories(page=_PAGE, vectors=self._options.same_embedder):
            await self._page(rows, now)
            seen += len(rows)
            progress(seen, max(seen, contents.memories))
        if not self._options.dry_run:
            await self._access_logs()
            await self._checkpoints()
        return self._report(contents)

    async def _page(self, rows: Sequence[ForeignRow], now: datetime) -> None:
        arrivals = [arrival for row in rows if (arrival := self._arrival(row, now)) is not None]
        if self._options.dry_run:
            new = len(arrivals) - len(await self._taker.known([one.memory.id for one in arrivals]))
        else:
            new = await self._taker.take(arrivals, embed=True)
        self._counts["adopted"] += new
        self._counts["known"] += len(arrivals) - new

    def _arrival(self, row: ForeignRow, now: datetime) -> Arrival | None:
        try:
            found = read_row(row.id, row.payload, now=now, ownerless=self._options.ownerless)
        except UnfitRowError as problem:
            self._stays(row, str(problem))
            return None
        self._note(found)
        vector = fitting(row.vector, self._dimensions)
        self._counts["kept_vectors"] += vector is not None
        return Arrival(found.memory, vector)

    def _note(self, found: ReadRow) -> None:
        self._counts["undated"] += not found.is_dated
        self._counts["without_metadata"] += not found.has_all

    def _stays(self, row: ForeignRow, why: str) -> None:
        if why == OWNERLESS:
            self._counts["ownerless"] += 1
            return
        self._counts["unfit_count"] += 1
        if len(self._unfit) < _UNFIT_TOLD:
            self._unfit.append(UnfitRow(row.id, why))

    async def _access_logs(self) -> None:
        async for logs in self._table.access_logs(page=_PAGE):
            for log in logs:
                if owner := _owner(log):
                    self._counts["accesses"] += await self._taker.note_accesses(owner, read_access_log(log.payload))

    async def _checkpoints(self) -> None:
        """All at once: of one user and app the newest counts, wherever it stands."""
        kept = [row async for rows in self._table.checkpoints(page=_PAGE) for row in rows]
        self._counts["checkpoints"] += await self._taker.take_checkpoints(read_checkpoints(kept))

    def _report(self, contents: Contents) -> AdoptionReport:
        counted = (
            *("adopted", "known", "kept_vectors", "undated", "without_metadata", "ownerless", "unfit_count"),
            *("accesses", "checkpoints"),
        )
        return AdoptionReport(
            contents=contents,
            dry_run=self._options.dry_run,
            unfit=tuple(self._unfit),
            **{name: self._counts[name] for name in counted},
        )


def _owner(log: ForeignRow) -> str:
    try:
        return foreign_id(log.payload, "user_id")
    except UnfitRowError:
        return ""
