"""Searches an owner's memories by the indexes that this owner has: as quickly with a hundred thousand of them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from itertools import combinations
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from ..recall.rank import rarity
from ..records import FoundMemory
from ..rows.pgstore import reading
from ..statements import composed
from .by_statement import condition, fetched, parameters_of, ranked, search_statement
from .owner_load import Source
from .owner_search import Asked, Statistics

Pool = AsyncConnectionPool[Any]
Connection = AsyncConnection[Any]

_NARROW = 40  # as many of the nearest and of those with the best words are ranked
_WIDE = 120  # where the question has no word to go by
_BESIDE = 8  # besides as many as are asked for, of so many of either the neighbours are fetched
_NEAREST = 48  # hnsw.ef_search is at least this
_NEAREST_MAX = 1000  # what pgvector takes
_WORDED_MAX = 200  # rows with the question's words that are compared
_TIMED_MAX = 500  # rows from the time that the question names that are compared
_LINKED_MAX = 500  # rows about the things that the question is about that are compared
_PAIRS_MAX = 4


@dataclass(frozen=True, slots=True)
class OwnerWords:
    """How often each word stands in an owner's memories, counted at some time, and who speaks there."""

    counted_at: datetime
    size: int
    mean_length: float
    tokens: npt.NDArray[np.int32]  # sorted
    counts: npt.NDArray[np.int32]
    speakers: tuple[str, ...]

    def frequency(self, tokens: Collection[int]) -> dict[int, int]:
        places = self.tokens.searchsorted(np.fromiter(tokens, np.int32, len(tokens)))
        known = len(self.tokens)
        return {
            token: int(self.counts[place]) if place < known and self.tokens[place] == token else 0
            for token, place in zip(tokens, places.tolist(), strict=True)
        }


def owner_words(row: Mapping[str, Any]) -> OwnerWords:
    """From a row of memory_large."""
    tokens, counts = np.array(row["tokens"], np.int32), np.array(row["counts"], np.int32)
    order = tokens.argsort()
    speakers = tuple(row["speakers"])
    return OwnerWords(row["counted_at"], row["size"], row["mean_length"], tokens[order], counts[order], speakers)


class LargeSearch:
    def __init__(self, pool: Pool, source: Source) -> None:
        self._pool = pool
        self._source = source
        self._set_up_for: WeakKeyDictionary[Connection, int] = WeakKeyDictionary()

    async def search(self, asked: Asked, limit: int, words: OwnerWords) -> list[FoundMemory]:
        frequency = words.frequency(asked.question.tokens)
        mine, values = condition(asked)
        worded, tokens = _worded(frequency, words.size)
        weights = np.fromiter(asked.question.tokens.values(), np.float64, len(frequency))
        width = width_of(frequency, limit)
        own = {
            "tokens": list(frequency),
            "worths": (rarity(words.size, list(frequency.values())) * weights).tolist(),
            "width": width,
            "beside": _BESIDE + limit,
            "worded_max": _WORDED_MAX,
        }
        parameters = parameters_of(asked, self._source) | values | tokens | own
        parameters["timed_max"] = _TIMED_MAX // max(1, len(parameters["begins"]))
        parameters["linked_max"] = _LINKED_MAX
        async with reading(self._pool) as connection:
            await self._set_up(connection, width)
            # Planned anew each time: a plan for any owner cannot use the indexes of one.
            text = _statement(mine, worded, self._source.dimensions)
            found = await fetched(connection, text, parameters, prepare=False)
        whole = Statistics(words.size, words.mean_length, frequency)
        return ranked(found, asked, limit, whole)

    async def _set_up(self, connection: Connection, width: int) -> None:
        """Once for each connection: without, the search is only somewhat less exact."""
        nearest = in_view(width)
        if self._set_up_for.get(connection, 0) < nearest:
            await connection.execute(settings(nearest))
            self._set_up_for[connection] = nearest


def width_of(tokens: Collection[int], limit: int) -> int:
    """So many of the nearest are ranked."""
    return max(_NARROW if tokens else _WIDE, 2 * limit)


def in_view(width: int) -> int:
    """So many are kept in view while the graph is walked for `width` of them."""
    return min(max(width, _NEAREST), _NEAREST_MAX)


def settings(nearest: int) -> str:
    """What a connection is set up with. Among the nearest some may not be asked for: then more of them are fetched."""
    return f"SET hnsw.ef_search = {nearest}; SET hnsw.iterative_scan = relaxed_order"


def chosen(mine: str, worded: str, dimensions: int) -> bytes:
    """What names the rows that may be the answer; `near` is the part that goes by meaning."""
    return composed("entry_chosen_large", mine=mine, worded=worded, dimensions=str(dimensions))


@lru_cache(maxsize=64)
def _statement(mine: str, worded: str, dimensions: int) -> bytes:
    return search_statement(chosen(mine, worded, dimensions), mine, "NULL::json")


def _worded(frequency: Mapping[int, int], size: int) -> tuple[str, dict[str, Any]]:
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
