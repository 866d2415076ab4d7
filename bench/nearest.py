"""Whether the graph of a large owner finds what is nearest: by the statement and the settings that a search has."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from psycopg import AsyncConnection

from bench.memory_data import LookupEmbedder
from xiaozhi_server.core.providers.memory.mem0ai.engine import EngineOptions
from xiaozhi_server.core.providers.memory.mem0ai.finding import large_indexes, large_search
from xiaozhi_server.core.providers.memory.mem0ai.finding.by_statement import condition, parameters_of
from xiaozhi_server.core.providers.memory.mem0ai.finding.owner_load import Source
from xiaozhi_server.core.providers.memory.mem0ai.finding.owner_search import Asked
from xiaozhi_server.core.providers.memory.mem0ai.recall.rank import question_of
from xiaozhi_server.core.providers.memory.mem0ai.rows import pgstore
from xiaozhi_server.core.providers.memory.mem0ai.rows.halfvec import rounded
from xiaozhi_server.core.providers.memory.mem0ai.scope import Scope

_TOP = 10
# The column as it is, without the cast that the index has: every row is compared.
_EXACT = (
    "SELECT id FROM memory_entry AS entry WHERE {mine} AND embedder = %(embedder)s::smallint"
    " ORDER BY embedding <=> %(vector)s::halfvec LIMIT %(top)s"
)
# What the statement takes by words, times and things is not looked at here.
_OF_OTHER_PARTS = {"worded_max": 0, "timed_max": 0, "linked_max": 0, "tokens": [], "worths": []}


@dataclass(frozen=True, slots=True)
class Nearest:
    """Shares: of the ten nearest, how many are ranked; of the questions, how many were asked of the owner's index."""

    found: float
    by_index: float


async def nearest(dsn: str, lookup: LookupEmbedder, scope: Scope, questions: Iterable[str]) -> Nearest:
    found, by_index = [], []
    async with await AsyncConnection.connect(dsn, autocommit=True) as connection:
        options = EngineOptions().search
        number = await pgstore.embedder_number(connection, lookup)
        source = Source(number, lookup.dimensions, options.unsaved_shown, options.index_page)
        index, _ = large_indexes.names(scope.user_id, source)
        for text in questions:
            asked = _asked(text, lookup, scope)
            width = large_search.width_of(asked.question.tokens, _TOP)
            await connection.execute(large_search.settings(large_search.in_view(width)))
            mine, values = condition(asked)
            values |= parameters_of(asked, source) | _OF_OTHER_PARTS | {"width": width, "top": _TOP}
            near = _near(mine, source)
            exact = await _ids(connection, _EXACT.replace("{mine}", mine).encode(), values)
            found.append(len(exact & await _ids(connection, near, values)) / len(exact))
            by_index.append(index in await _plan(connection, near, values))
    return Nearest(fmean(found), fmean(by_index))


def _asked(text: str, lookup: LookupEmbedder, scope: Scope) -> Asked:
    now_s = time.time()
    question = question_of(text, multilingual=lookup.multilingual, now_s=now_s)
    return Asked(question, rounded(lookup.embed_now([question.to_embed])[0]), scope, None, now_s)


def _near(mine: str, source: Source) -> bytes:
    """The search's own statement down to what it takes by meaning: the database leaves out what nobody reads."""
    return b"WITH " + large_search.chosen(mine, "false", source.dimensions) + b" SELECT id FROM near"


async def _ids(connection: AsyncConnection[Any], text: bytes, values: dict[str, Any]) -> set[Any]:
    return {id for (id,) in await (await connection.execute(text, values, prepare=False)).fetchall()}


async def _plan(connection: AsyncConnection[Any], text: bytes, values: dict[str, Any]) -> str:
    cursor = await connection.execute(b"EXPLAIN " + text, values, prepare=False)
    return "\n".join(line for (line,) in await cursor.fetchall())
