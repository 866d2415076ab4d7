"""Owners with so many memories that they get indexes of their own in the database: one by meaning, one by words.

The indexes are partial, so that nobody else's memories stand in the way, and are built in the background by one process
at a time. How often each word stands in such a memory is counted then too, since the ranking must know it.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from itertools import combinations
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
from psycopg import AsyncConnection, Error
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from . import large_indexes, owner_index
from .by_statement import condition, fetched, parameters_of, ranked
from .changes import connect_like
from .owner_load import Source
from .owner_search import Asked, Statistics
from .recall.rank import rarity
from .records import FoundMemory
from .statements import composed, statement

logger = logging.getLogger(__name__)

Pool = AsyncConnectionPool[Any]
Connection = AsyncConnection[Any]

_LOCK = "SELECT pg_try_advisory_lock(hashtextextended('memory_large', 0)) AS locked"
_COUNT = "SELECT count(*) AS size FROM memory_entry WHERE user_id = %(user_id)s"
_FORGET = "DELETE FROM memory_large WHERE user_id = %(user_id)s"
_STOP_TIMEOUT_S = 2.0
_NARROW = 40  # as many of the nearest and of those with the best words are ranked
_WIDE = 120  # where the question has no word to go by
_BESIDE = 15  # besides as many as are asked for, of so many of either the neighbours are fetched
_NEAREST = 80  # hnsw.ef_search: so many are kept in view while the graph is walked
_NEAREST_MAX = 1000  # what pgvector takes
_WORDED_MAX = 300  # rows with the question's words that are compared
_TIMED_MAX = 500  # rows from the time that the question names that are compared
_PAIRS_MAX = 4


@dataclass(frozen=True, slots=True)
class LargeOptions:
    """An owner with `rows_min` memories becomes large, and stays so down to the share `stays` of that.

    At most `owners_max` of them, since whoever inserts must look at every one's indexes. An owner's words are counted
    again when the number of memories differs by the share `count_again`.
    """

    rows_min: int = 20_000
    stays: float = 0.8
    owners_max: int = 50
    count_again: float = 0.05
    check_every_s: float = 600.0
    check_soon_s: float = 30.0  # after a change, and where another process is building


@dataclass(frozen=True, slots=True)
class _Words:
    """How often each word stands in an owner's memories. `tokens` is sorted."""

    counted_at: datetime
    size: int
    mean_length: float
    tokens: npt.NDArray[np.int32]
    counts: npt.NDArray[np.int32]
    speakers: tuple[str, ...]

    def frequency(self, tokens: Collection[int]) -> dict[int, int]:
        places = self.tokens.searchsorted(np.fromiter(tokens, np.int32, len(tokens)))
        known = len(self.tokens)
        return {
            token: int(self.counts[place]) if place < known and self.tokens[place] == token else 0
            for token, place in zip(tokens, places.tolist(), strict=True)
        }


class LargeOwners:
    def __init__(self, pool: Pool, source: Source, options: LargeOptions) -> None:
        self._pool = pool
        self._source = source
        self._options = options
        self._known: dict[str, _Words] = {}
        self._set_up_for: WeakKeyDictionary[Connection, int] = WeakKeyDictionary()
        self._to_check: set[str] = set()
        self._woken = asyncio.Event()
        self._later: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="memory-large")

    async def stop(self) -> None:
        if self._later is not None:
            self._later.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=_STOP_TIMEOUT_S)
            self._task = None

    def ready(self, user_id: str) -> bool:
        """Whether `search` can be asked about this owner."""
        return user_id in self._known

    def speakers(self, user_id: str) -> Collection[str] | None:
        words = self._known.get(user_id)
        return None if words is None else words.speakers

    def found(self, user_id: str) -> None:
        """An owner who seems to be large."""
        if user_id not in self._known and user_id not in self._to_check:
            self._to_check.add(user_id)
            self._woken.set()

    def changed(self, user_id: str) -> None:
        """One who is known may have become larger, or small."""
        if user_id in self._known and user_id not in self._to_check:
            self._to_check.add(user_id)
            self._wake_later()

    async def search(self, asked: Asked, limit: int) -> list[FoundMemory] | None:
        """None if this owner is not known to be large."""
        words = self._known.get(asked.scope.user_id)
        if words is None:
            return None
        frequency = words.frequency(asked.question.tokens)
        mine, values = condition(asked)
        worded, tokens = _worded(frequency, words.size)
        weights = np.fromiter(asked.question.tokens.values(), np.float64, len(frequency))
        width = max(_NARROW if frequency else _WIDE, 2 * limit)
        own = {
            "tokens": list(frequency),
            "worths": (rarity(words.size, list(frequency.values())) * weights).tolist(),
            "width": width,
            "beside": _BESIDE + limit,
            "worded_max": _WORDED_MAX,
        }
        parameters = parameters_of(asked, self._source) | values | tokens | own
        parameters["timed_max"] = _TIMED_MAX // max(1, len(parameters["begins"]))
        async with self._pool.connection() as connection:
            await self._set_up(connection, width)
            # Planned anew each time: a plan for any owner cannot use the indexes of one.
            text = _statement(mine, worded, self._source.dimensions)
            found = await fetched(connection, text, parameters, prepare=False)
        return ranked(
            found, asked, limit, Statistics(words.size, words.mean_length, frequency), self._source.dimensions
        )

    async def _set_up(self, connection: Connection, width: int) -> None:
        """Once for each connection: without, the search is only somewhat less exact."""
        nearest = min(max(width, _NEAREST), _NEAREST_MAX)
        if self._set_up_for.get(connection, 0) < nearest:
            # Among the nearest some may not be asked for: then more of them are fetched.
            await connection.execute(f"SET hnsw.ef_search = {nearest}; SET hnsw.iterative_scan = relaxed_order")
            self._set_up_for[connection] = nearest

    async def _run(self) -> None:
        due = False
        while True:
            try:
                await self._learn()
                if due or self._to_check or self._known:
                    await self._care()
            except (Error, OSError, TimeoutError) as error:
                logger.warning("memory: large memories could not be looked after (%s)", type(error).__name__)
                self._wake_later()
            due = not await self._is_woken()

    async def _is_woken(self) -> bool:
        """False once it is time to look after everything again."""
        try:
            async with asyncio.timeout(self._options.check_every_s):
                await self._woken.wait()
        except TimeoutError:
            return False
        self._woken.clear()
        return True

    def _wake_later(self) -> None:
        if self._later is None:
            self._later = asyncio.get_running_loop().call_later(self._options.check_soon_s, self._wake)

    def _wake(self) -> None:
        self._later = None
        self._woken.set()

    async def _learn(self) -> None:
        """Who is large, as some process has found out."""
        async with self._pool.connection() as connection:
            counted = {row["user_id"]: row["counted_at"] for row in await _rows(connection, "large_list", {})}
            for user_id, counted_at in counted.items():
                known = self._known.get(user_id)
                if known is None or known.counted_at != counted_at:
                    await self._learn_words(connection, user_id)
        for user_id in self._known.keys() - counted.keys():
            del self._known[user_id]

    async def _learn_words(self, connection: Connection, user_id: str) -> None:
        for row in await _rows(connection, "large_read", {"user_id": user_id}):
            tokens, counts = np.array(row["tokens"], np.int32), np.array(row["counts"], np.int32)
            order = tokens.argsort()
            self._known[user_id] = _Words(
                row["counted_at"],
                row["size"],
                row["mean_length"],
                tokens[order],
                counts[order],
                tuple(row["speakers"]),
            )

    async def _care(self) -> None:
        """Build for who has become large, drop what is not needed any more."""
        async with self._alone() as connection:
            if connection is None:
                if self._to_check:
                    self._wake_later()
                return
            for user_id in sorted(self._to_check | self._known.keys()):
                self._to_check.discard(user_id)
                try:
                    await self._check(connection, user_id)
                except Error as error:  # of this one: the others need not wait, and it will be found again
                    logger.warning("memory: a large memory has no index (%s)", type(error).__name__)
            wanted = {name for user_id in self._known for name in large_indexes.names(user_id, self._source)}
            await large_indexes.drop_others(connection, wanted)

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[Connection | None]:
        """A connection of its own, if no other process is at work."""
        async with await connect_like(self._pool) as connection:
            (row,) = await _rows(connection, _LOCK, {})
            yield connection if row["locked"] else None

    async def _check(self, connection: Connection, user_id: str) -> None:
        (row,) = await _rows(connection, _COUNT, {"user_id": user_id})
        size, known = row["size"], self._known.get(user_id)
        if size < self._options.rows_min * (1.0 if known is None else self._options.stays):
            if known is not None:
                await connection.execute(_FORGET, {"user_id": user_id})
                del self._known[user_id]
            return
        if known is None and len(self._known) >= self._options.owners_max:
            logger.warning("memory: too many owners with large memories; one more is searched without an index")
            return
        await large_indexes.build(connection, user_id, self._source)
        if known is None or abs(size - known.size) > self._options.count_again * known.size:
            await connection.execute(statement("large_count"), {"user_id": user_id})
            await self._learn_words(connection, user_id)


@lru_cache(maxsize=64)
def _statement(mine: str, worded: str, dimensions: int) -> bytes:
    chosen = composed("entry_chosen_large", mine=mine, worded=worded, dimensions=str(dimensions)).decode()
    return composed("entry_search", chosen=chosen, mine=mine, columns=owner_index.COLUMNS, whole="NULL::json")


def _worded(frequency: dict[int, int], size: int) -> tuple[str, dict[str, Any]]:
    """Which rows have words that say something: those with a rare one, and those with two that seldom meet."""
    rarest_first = sorted(frequency, key=frequency.__getitem__)
    left = _WORDED_MAX
    rare = []
    for token in rarest_first:
        if frequency[token] <= left:
            left -= frequency[token]
            rare.append(token)
    often = [token for token in rarest_first if token not in rare]
    pairs: list[Sequence[int]] = []
    for pair in combinations(often, 2):
        together = frequency[pair[0]] * frequency[pair[1]] / size
        if together <= left and len(pairs) < _PAIRS_MAX:
            left -= int(together)
            pairs.append(pair)
    conditions = ["words && %(rare)s::integer[]"] if rare else []
    conditions += [f"words @> %(pair_{number})s::integer[]" for number in range(len(pairs))]
    values: dict[str, Any] = {f"pair_{number}": list(pair) for number, pair in enumerate(pairs)}
    return " OR ".join(conditions) or "false", values | {"rare": rare}


async def _rows(connection: Connection, name: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(name.encode() if " " in name else statement(name), parameters)
        return await cursor.fetchall()
