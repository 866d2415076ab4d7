"""Searches what one agent heard of everybody: one statement, however many owners there are, ranked as ever.

What a search of one owner knows besides (who speaks there, who is whose sister) belongs to that owner: here a name is a
word like others. What was granted to the agent is not among it.
"""

from functools import lru_cache
from typing import Any

from psycopg import AsyncConnection

from ..records import FoundMemory, StoredMemory
from ..rows.halfvec import HalfVector
from ..scope import Scope
from ..statements import composed
from . import owner_index
from .by_statement import OLDEST_S, WHOLE, best_of, fetched, state_of, statistics_in, widths
from .extent import HELD_FROM, HELD_TO
from .owner_load import Source
from .owner_search import Asked

Connection = AsyncConnection[Any]

ANYBODY = Scope("(anybody)")

_OF_AGENT = "nullif(agent_id, '') = %(agent_id)s::text"
_OWNERS = owner_index.WIDTH + 5
_UNSAVED_SHOWN = 4  # times as much as of one owner


class AgentSearch:
    """Compares all memories of the agent."""

    def __init__(self, source: Source) -> None:
        self._source = source

    async def search(self, connection: Connection, agent_id: str, asked: Asked, limit: int) -> list[FoundMemory]:
        """The scope of what is asked says nothing here."""
        mine, values = f"{_OF_AGENT} AND {asked.extent.sql()}", dict(asked.extent.parameters())
        if asked.filter is not None:
            text, of_filter = asked.filter.sql()
            mine, values = f"{mine} AND ({text})", values | dict(of_filter)
        # Planned anew each time: agents have heard anything from nothing to nearly everything.
        found = await fetched(
            connection, _statement(mine), self._parameters(agent_id, asked, limit) | values, prepare=False
        )

        def is_asked(row: StoredMemory) -> bool:
            return row.agent_id == agent_id and (asked.filter is None or asked.filter.matches(row))

        return best_of(found, asked, limit, statistics_in(state_of(found)), is_asked, owners=found[_OWNERS] or ())

    def _parameters(self, agent_id: str, asked: Asked, limit: int) -> dict[str, Any]:
        spans = asked.question.time.spans(asked.now_s - OLDEST_S, asked.now_s, asked.now_s)
        tokens = asked.question.tokens
        return {
            "agent_id": agent_id,
            "vector": None if asked.vector is None else HalfVector(asked.vector),
            "embedder": self._source.embedder,
            "no_id": bytes(16),
            "unsaved_shown": _UNSAVED_SHOWN * self._source.unsaved_shown,
            "begins": [begin for begin, _ in spans],
            "ends": [end for _, end in spans],
            "tokens": list(tokens),
            "weights": list(tokens.values()),
            "width": widths(asked, limit),
        }


@lru_cache(maxsize=64)
def _statement(mine: str) -> bytes:
    parts = {"mine": mine, "columns": owner_index.COMPARED_COLUMNS, "whole": WHOLE}
    return composed("agent_search", **parts, held_from=HELD_FROM, held_to=HELD_TO)
