"""Finds what is old enough to be summarised: owner by owner, week by week, so that memory stays flat."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import Any

from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool

from ..embedding.embed import Vectors
from ..facts.check import is_order
from ..finding.extent import LIVES
from ..flags import SUSPECT
from ..rows.halfvec import halves_of
from ..statements import composed
from .material import Source

Pool = AsyncConnectionPool[Any]

_OWNERS = 100
_PAGE = 200
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)  # what is dated before has an unknown date
_WEEK = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class CompressRule:
    """What was said more than `after_days` ago and not recalled since is summarised; with `verbatim` also texts that
    are kept word for word."""

    after_days: int
    verbatim: bool = False


@dataclass(frozen=True, slots=True)
class Week:
    user_id: str
    agent_id: str
    run_id: str
    monday: date
    memories: int


class Candidates:
    """By the rules of their agents, or (`everybody`) by one for all."""

    def __init__(
        self,
        pool: Pool,
        embedder_number: int,
        now: datetime,
        rules: Mapping[str, CompressRule],
        *,
        everybody: CompressRule | None = None,
        user_id: str | None = None,
        agent_id: str | None = None,
    ) -> None:
        self._pool = pool
        self._by_agent = everybody is None
        chosen = rules if everybody is None else {"": everybody}
        self._parameters: dict[str, Any] = {
            "user_id": user_id,
            "agent_id": agent_id,
            "earliest": _EARLIEST,
            "suspect": list(SUSPECT),
            "embedder": embedder_number,
            "rule_agents": list(chosen),
            "rule_before": [now - timedelta(days=rule.after_days) for rule in chosen.values()],
            "rule_verbatim": [rule.verbatim for rule in chosen.values()],
        }

    async def owners(self) -> AsyncIterator[str]:
        after = ""
        while True:
            rows = await self._rows("compress_owners", {"after": after, "limit": _OWNERS})
            for row in rows:
                yield row["user_id"]
            if len(rows) < _OWNERS:
                return
            after = rows[-1]["user_id"]

    async def weeks(self, user_id: str, *, least: int) -> list[Week]:
        rows = await self._rows("compress_weeks", {"user_id": user_id, "least": least})
        return [Week(user_id, **row) for row in rows]

    async def pages(self, week: Week) -> AsyncIterator[list[Source]]:
        """A week's memories, the oldest first. A text that gives orders is told to no model."""
        begins = datetime.combine(week.monday, time(), UTC)
        which = {"user_id": week.user_id, "of_agent": week.agent_id, "of_run": week.run_id}
        place: dict[str, Any] = {"after": None, "after_at": None, "after_position": None}
        while True:
            span = {"begins": begins, "ends": begins + _WEEK, "limit": _PAGE}
            rows = await self._rows("compress_page", which | span | place)
            yield [_source(row) for row in rows if not is_order(row["text"])]
            if len(rows) < _PAGE:
                return
            last = rows[-1]
            place = {"after": last["id"], "after_at": last["created_at"], "after_position": last["position"]}

    async def _rows(self, name: str, parameters: Mapping[str, Any]) -> list[DictRow]:
        query = _statement(name, by_agent=self._by_agent)
        async with self._pool.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(query, {**self._parameters, **parameters})
            rows: list[DictRow] = await cursor.fetchall()
        return rows


@cache
def _statement(name: str, *, by_agent: bool) -> bytes:
    old = composed("compress_old", rule_of="entry.agent_id" if by_agent else "''", lives=LIVES).decode()
    return composed(name, old=old)


def _source(row: DictRow) -> Source:
    vector = None if row["embedding"] is None else _vector(row["embedding"])
    told = {name: row[name] for name in ("id", "session_id", "role", "speaker", "text", "created_at")}
    return Source(vector=vector, **told)


def _vector(binary: bytes) -> Vectors:
    dimensions = int.from_bytes(binary[:2], "big")
    vector: Vectors = halves_of(binary, dimensions)[0].view("float16").astype("float32")
    return vector
