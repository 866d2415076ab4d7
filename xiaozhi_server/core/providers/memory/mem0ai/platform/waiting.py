"""What the platform does not show yet, found by its words: who comes back at once shall not be a stranger."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import dict_row

from ..recall.candidates import Candidate, Corpus, rank
from ..recall.rank import question_of
from ..recall.words import tokens_of
from ..records import FoundMemory, StoredMemory
from ..saving.verbatim import rows_of
from ..scope import Scope
from ..statements import statement
from . import sends
from .doubts import Unwanted, doubts_of

_LEAST_SCORE = 0.25


@dataclass(frozen=True, slots=True)
class Waiting:
    """Entries that are no memories yet, with the names under which each was sent to the platform, if it was.

    What is `unwanted` there was read at the same moment.
    """

    rows: Sequence[tuple[StoredMemory, frozenset[str]]] = ()
    unwanted: Unwanted = field(default_factory=Unwanted)

    def fitting(self, query: str, *, but_not: set[str]) -> list[FoundMemory]:
        """Those that fit the query, without what was sent under these names."""
        rows = {str(row.id): row for row, send_ids in self.rows if not send_ids & but_not}
        candidates = [_candidate(row) for row in rows.values()]
        ranked = rank(question_of(query, multilingual=False), candidates, _corpus(candidates), datetime.now(UTC))
        return [FoundMemory(rows[one.candidate.id], one.score, None) for one in ranked if one.score >= _LEAST_SCORE]


async def waiting_for(connection: AsyncConnection[Any], scope: Scope, *, limit: int) -> Waiting:
    parameters = {"user_id": scope.user_id, "agent_id": scope.agent_id, "limit": limit}
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(statement("platform_waiting"), parameters)
        found = await cursor.fetchall()
    unwanted = await doubts_of(connection, scope.user_id)
    rows = [
        (row, unwanted.names_of(one["key"]) | ({one["send_id"]} - {""}))
        for one in found
        for row in rows_of(sends.entry_of(one))
    ]
    return Waiting(rows, unwanted)


def _candidate(row: StoredMemory) -> Candidate:
    tokens = tokens_of(row.text)
    return Candidate(
        str(row.id), row.text, row.role, row.timestamp, tokens, None, row.session_id, row.position, row.speaker
    )


def _corpus(candidates: Sequence[Candidate]) -> Corpus:
    lengths = [len(one.tokens) for one in candidates]
    frequency = Counter(token for one in candidates for token in set(one.tokens))
    return Corpus(len(lengths), sum(lengths) / max(1, len(lengths)), frequency)
