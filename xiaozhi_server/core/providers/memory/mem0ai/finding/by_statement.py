"""Searches an owner whose memories are not at hand: one statement brings what may be the answer, ranked as ever."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import tuple_row

from ..records import FoundMemory, StoredMemory
from ..rows.halfvec import HalfVector
from ..scope import Scope
from ..statements import composed, statement
from . import owner_index, owner_rows
from .extent import HELD_FROM, HELD_TO, LIVES, Extent
from .gaps import apart, links_of
from .owner_index import OwnerIndex
from .owner_load import Source, with_waiting
from .owner_search import Asked, RowFilter, Statistics, search
from .thing_links import links_in

Connection = AsyncConnection[Any]

_NARROW = 60  # a search for few results still compares this many, so that words and meaning can both speak
_WIDE = 240  # where the question has no word to go by, most of what is near are other questions
_LINKED, _BEFORE, _AFTER, _LINKS, _STATE = range(owner_index.WIDTH, owner_index.WIDTH + 5)
OLDEST_S = 20 * 365 * 86400.0  # how far back a day without a year is looked for
# Looked up where the rows are: what is revoked is not read any more from the next statement on.
_GRANTED = (
    "ARRAY(SELECT share.from_agent FROM memory_share AS share"
    " WHERE %(shared)s AND share.user_id = %(user_id)s AND share.agent_id = %(agent_id)s)"
)
_SCOPE = (
    f"user_id = %(user_id)s AND (%(agent_id)s::text IS NULL OR agent_id = ANY (%(agents)s::text[] || {_GRANTED}))"
    " AND (%(run_id)s::text IS NULL OR run_id = %(run_id)s)"
)
_WAS_TRUE = f"(id = ANY (%(replaced)s::uuid[]) AND {Extent(replaced=True).sql()})"
_PRESENT = composed("entry_present", mine=f"{_SCOPE} AND ({LIVES} OR {_WAS_TRUE})")
WHOLE = """json_build_object(
           'size', (SELECT size FROM whole),
           'mean_length', (SELECT mean_length FROM whole),
           'frequency', (SELECT coalesce(json_object_agg(token, frequency), '{}') FROM seen)
       )"""


class StatementSearch:
    """Compares all memories in question, however many there are."""

    def __init__(self, source: Source) -> None:
        self._source = source

    async def search(self, connection: Connection, asked: Asked, limit: int) -> list[FoundMemory]:
        mine, values = condition(asked)
        tokens = asked.question.tokens
        width = widths(asked, limit)
        parameters = (
            parameters_of(asked, self._source)
            | values
            | {
                "tokens": list(tokens),
                "weights": list(tokens.values()),
                "width": width,
                "beside": width,
            }
        )
        found = await fetched(connection, _statement(mine), parameters)
        return ranked(found, asked, limit, statistics_in(state_of(found)))


async def speakers_of(connection: Connection, user_id: str) -> list[str]:
    """Everybody who speaks in this owner's memories, within reason."""
    async with connection.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(statement("entry_speakers"), {"user_id": user_id})
        return [str(speaker) for (speaker,) in await cursor.fetchall()]


async def present(
    connection: Connection, scope: Scope, ids: Sequence[UUID], replaced: Sequence[UUID] = ()
) -> set[UUID]:
    """Which of these ids are rows of which this owner, through this agent, may be reminded as of what is true.

    And those of `replaced` that are there, true or not.
    """
    async with connection.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(_PRESENT, {**scope_parameters(scope), "ids": list(ids), "replaced": list(replaced)})
        return {id for (id,) in await cursor.fetchall()}


@lru_cache(maxsize=64)
def _statement(mine: str) -> bytes:
    chosen = composed("entry_chosen", mine=mine, held_from=HELD_FROM, held_to=HELD_TO)
    return search_statement(chosen, mine, WHOLE)


def search_statement(chosen: bytes, mine: str, whole: str) -> bytes:
    """`chosen` names the rows that may be the answer."""
    parts = {"chosen": chosen.decode(), "mine": mine, "columns": owner_index.COMPARED_COLUMNS, "whole": whole}
    return composed("entry_search", **parts, granted=_GRANTED)


def condition(asked: Asked) -> tuple[str, dict[str, Any]]:
    """What makes a row of memory_entry one that is asked about, and the values in it."""
    mine, values = f"{_SCOPE} AND {asked.extent.sql()}", dict(asked.extent.parameters())
    if asked.filter is None:
        return mine, values
    text, of_filter = asked.filter.sql()
    return f"{mine} AND ({text})", values | dict(of_filter)


def parameters_of(asked: Asked, source: Source) -> dict[str, Any]:
    spans = asked.question.time.spans(asked.now_s - OLDEST_S, asked.now_s, asked.now_s)
    return {
        **scope_parameters(asked.scope),
        "vector": None if asked.vector is None else HalfVector(asked.vector),
        "embedder": source.embedder,
        "no_id": bytes(16),
        "unsaved_shown": source.unsaved_shown,
        "begins": [begin for begin, _ in spans],
        "ends": [end for _, end in spans],
        "things": list(asked.question.things),
    }


def scope_parameters(scope: Scope) -> dict[str, Any]:
    return {
        "user_id": scope.user_id,
        "agent_id": scope.agent_id,
        "agents": [scope.agent_id, *scope.also_agents],
        "shared": scope.shared,
        "run_id": scope.run_id,
    }


async def fetched(
    connection: Connection, text: bytes, parameters: Mapping[str, Any], *, prepare: bool | None = None
) -> Sequence[Any]:
    """The one row of `entry_search.sql`."""
    async with connection.cursor(binary=True, row_factory=tuple_row) as cursor:
        await cursor.execute(text, parameters, prepare=prepare)
        found: Sequence[Any] | None = await cursor.fetchone()
    assert found is not None
    return found


def widths(asked: Asked, limit: int) -> int:
    """How many of the best by words, and of the best by meaning, are compared."""
    return max(_NARROW if asked.question.tokens else _WIDE, 2 * limit)


def state_of(found: Sequence[Any]) -> Mapping[str, Any]:
    """What was told beside the rows."""
    state: Mapping[str, Any] = found[_STATE]
    return state


def statistics_in(state: Mapping[str, Any]) -> Statistics:
    whole = state["whole"]
    frequency = {int(token): int(count) for token, count in whole["frequency"].items()}
    return Statistics(whole["size"], whole["mean_length"], frequency)


def ranked(found: Sequence[Any], asked: Asked, limit: int, saved: Statistics) -> list[FoundMemory]:
    """The best of the rows that were fetched; `saved` are the statistics of all that could have been."""
    reach = asked.scope.reading(found[_STATE]["granted"])
    return best_of(found, asked, limit, saved, lambda row: _is_asked(row, reach, asked.filter))


def best_of(
    found: Sequence[Any],
    asked: Asked,
    limit: int,
    saved: Statistics,
    is_asked: Callable[[StoredMemory], bool],
    owners: Sequence[str] | None = None,
) -> list[FoundMemory]:
    """The same; `is_asked` tells it of what waits. `owners` are those of the rows where they are not all of one."""
    index = owner_index.read(asked.scope.user_id, found, 0, owners)
    ids, before, after = (
        owner_rows.ids_in(sent) for sent in (owner_rows.sent_ids(found), found[_BEFORE], found[_AFTER])
    )
    links = links_of(ids, found[_LINKED] or (), before, after)
    index = with_waiting(index, found[_STATE]["unsaved"], 0, is_asked)
    features = replace(index.features, apart=apart(index, links))
    index = replace(index, features=features, links=links_in(found[_LINKS]))
    # The statement has chosen by agent, run and filter already.
    scope = Scope(asked.scope.user_id)
    return search(index, replace(asked, scope=scope, filter=None), limit, _with_waiting(saved, index, asked))


def _is_asked(row: StoredMemory, scope: Scope, wanted: RowFilter | None) -> bool:
    return scope.has(row.agent_id, row.run_id) and (wanted is None or wanted.matches(row))


def _with_waiting(saved: Statistics, index: OwnerIndex, asked: Asked) -> Statistics:
    """What waits counts like what is saved."""
    waiting = ~index.saved
    if not waiting.any():
        return saved
    size = saved.size + int(waiting.sum())
    words = saved.size * saved.mean_length + int(index.features.length[waiting].sum())
    frequency = dict(saved.frequency)
    tokens = list(asked.question.tokens)
    hits = index.tokens.hits(tokens)
    for slot in hits.slots[waiting[hits.rows]].tolist():
        frequency[tokens[slot]] = frequency.get(tokens[slot], 0) + 1
    return Statistics(size, words / size, frequency)
