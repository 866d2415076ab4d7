"""A filter gives the same answer in PostgreSQL and in Python, and no row can make PostgreSQL fail."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import AsyncConnection
from psycopg.rows import dict_row

from xiaozhi_server.core.providers.memory.mem0ai.filters import parse
from xiaozhi_server.core.providers.memory.mem0ai.metadata import checked_metadata
from xiaozhi_server.core.providers.memory.mem0ai.records import StoredMemory
from xiaozhi_server.core.providers.memory.mem0ai.rows import pgstore
from xiaozhi_server.core.providers.memory.mem0ai.statements import MIGRATIONS
from xiaozhi_server.core.providers.memory.migrate import apply_migrations

KEYS = ["a", "b", "role"]
DATES = [
    "2024-02-29", "2023-02-29", "2024-02-30", "0000-01-01", "0001-01-01", "9999-12-31", "1900-02-29", "2000-02-29",
    "2024-02-29T12:00", "2024-02-29 23:59:59.999999Z", "2024-02-29T24:00:00Z", "2024-02-29T12:00:60Z",
    "2024-03-01T01:30:00+02:00", "2024-02-29T12:00:00+15:59", "2024-02-29T12:00:00.1234567", "2024-02-29\n",
    "9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+12:00", "2024-02-29T12:00:00-00:00", "２024-02-29", "2024-2-9",
]  # fmt: skip
WORDS = [
    "", "tea", "Tea", "TEA", "straße", "STRASSE", "Ä", "ä", "İ", "ı", "I", "ς", "Σ", "σ", "青色", "😀", "שלום", "a_b",
    "100%", "\\d+", ".*", "[a-z]", "(?i)x", "***=x", "'; --", "a\nb", "5", "5.0", "1e3", "true", "null", "z", "*", "?",
    "\u0660", "K", "\u212a", "ǆ", "ǅ", "\x7f", '"', "\\",
]  # fmt: skip
MOMENTS = [datetime(2024, 2, 29, hour, 30, tzinfo=UTC) for hour in (0, 12, 23)] + [datetime(2024, 3, 1, tzinfo=UTC)]

texts = st.one_of(
    st.sampled_from(WORDS),
    st.sampled_from(DATES),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6),
)
numbers = st.one_of(
    st.sampled_from([0, 1, -1, 1.0, 1.5, 5, 10**23, 1e23, 2**53, 2**53 + 1, float(2**53), 0.1, 0.1 + 0.2, 1e-320]),
    st.integers(-3, 6), st.floats(allow_nan=False, allow_infinity=False), st.integers(),
)  # fmt: skip
scalars = st.one_of(texts, numbers, st.booleans(), st.none())
values = st.one_of(scalars, st.lists(st.one_of(scalars, st.lists(scalars, max_size=2)), max_size=3), st.just({"a": 1}))
metadata = st.none() | st.dictionaries(st.sampled_from(KEYS), values, max_size=3)

comparable = st.one_of(texts, numbers)
dates = st.one_of(
    st.sampled_from(["2024-02-29", "29.02.2024", "2024-02-29T12:30:00Z", 1709209800]), st.sampled_from(MOMENTS)
)
needles = texts.filter(bool)


def compared(operand: st.SearchStrategy[Any], order: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    ordered = st.dictionaries(st.sampled_from(["gt", "gte", "lt", "lte"]), order, min_size=1, max_size=2)
    single = st.sampled_from(["eq", "ne"]).flatmap(lambda name: st.fixed_dictionaries({name: operand}))
    several = st.sampled_from(["in", "nin"]).flatmap(
        lambda name: st.fixed_dictionaries({name: st.lists(operand, max_size=3)})
    )
    return st.one_of(operand, st.lists(operand, max_size=3), single, several, ordered, st.just("*"))


contains = st.sampled_from(["contains", "icontains"]).flatmap(lambda name: st.fixed_dictionaries({name: needles}))
text_columns = ["role", "speaker", "text", "subtype", "agent_id", "run_id", "user_id", "id"]
date_columns = ["created_at", "timestamp", "expires_at", "updated_at"]
text_column = st.one_of(compared(texts | st.none(), texts), contains)
conditions = st.one_of(
    st.tuples(st.sampled_from(["a", "b"]), st.one_of(compared(scalars, st.one_of(comparable, dates)), contains)),
    st.tuples(st.just("a"), st.sampled_from(MOMENTS)),
    st.tuples(st.just("metadata"), st.dictionaries(st.sampled_from(KEYS), compared(scalars, comparable), max_size=2)),
    st.tuples(st.sampled_from(text_columns), text_column),
    st.tuples(st.sampled_from(date_columns), compared(dates | st.none(), dates)),
    st.tuples(st.just("access_count"), compared(numbers, numbers)),
)
filters = st.recursive(
    st.lists(conditions, max_size=3).map(dict),
    lambda inner: st.one_of(
        st.sampled_from(["AND", "OR", "NOT"]).flatmap(
            lambda word: st.fixed_dictionaries({word: st.lists(inner, min_size=1, max_size=3)})
        ),
        st.fixed_dictionaries({"NOT": inner}),
    ),
    max_leaves=4,
)
rows = st.fixed_dictionaries(
    {
        "metadata": metadata,
        "role": st.sampled_from(["user", "assistant"]),
        "speaker": st.none() | texts,
        "text": texts,
        "subtype": st.sampled_from(["", "fact", "Ä"]),
        "agent_id": st.sampled_from(["", "bot", "5"]),
        "created_at": st.sampled_from(MOMENTS),
        "updated_at": st.sampled_from(MOMENTS),
        "expires_at": st.none() | st.sampled_from(MOMENTS),
        "access_count": st.integers(0, 3),
    }
)
INSERT = """
INSERT INTO memory_entry (user_id, id, agent_id, role, speaker, text, subtype, metadata, created_at, updated_at,
                          expires_at, access_count, words)
VALUES ('ann', %(id)s, %(agent_id)s, %(role)s, %(speaker)s, %(text)s, %(subtype)s, %(metadata)s::jsonb, %(created_at)s,
        %(updated_at)s, %(expires_at)s, %(access_count)s, '{}')
"""


class Table:
    """One connection whose rows never outlive their example."""

    def __init__(self, runner: asyncio.Runner, connection: AsyncConnection[Any]) -> None:
        self._runner = runner
        self._connection = connection

    def disagreements(self, some: list[dict[str, Any]], asked: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The filters to which SQL and Python give different answers over these rows."""
        return self._runner.run(self._disagreements(some, asked))

    async def _disagreements(self, some: list[dict[str, Any]], asked: list[dict[str, Any]]) -> list[dict[str, Any]]:
        async with self._connection.transaction(force_rollback=True), self._connection.cursor() as cursor:
            await cursor.executemany(INSERT, [self._parameters(row) for row in some])
            stored = await self._stored()
            return [one for one in asked if await self._in_sql(one) != self._in_python(one, stored)]

    async def _in_sql(self, asked: dict[str, Any]) -> set[UUID]:
        condition, parameters = parse(asked).sql()
        query = f"SELECT id FROM memory_entry WHERE {condition}".encode()
        found = await self._connection.execute(query, parameters, prepare=False)
        return {row[0] for row in await found.fetchall()}

    def _in_python(self, asked: dict[str, Any], stored: list[StoredMemory]) -> set[UUID]:
        understood = parse(asked)
        return {memory.id for memory in stored if understood.matches(memory)}

    async def _stored(self) -> list[StoredMemory]:
        async with self._connection.cursor(row_factory=dict_row) as cursor:
            await cursor.execute("SELECT * FROM memory_entry")
            return [pgstore.memory_of(row) for row in await cursor.fetchall()]

    def _parameters(self, row: dict[str, Any]) -> dict[str, Any]:
        written = None if row["metadata"] is None else checked_metadata(row["metadata"]).json
        return {**row, "id": uuid4(), "metadata": written}


@pytest.fixture
def table(database_dsn: str) -> Iterator[Table]:
    async def opened() -> AsyncConnection[Any]:
        connection = await AsyncConnection.connect(database_dsn)
        await apply_migrations(connection, MIGRATIONS, ledger="memory_migration")
        # A database of somebody's own may be set to anything; our answers must not depend on it.
        await connection.execute("SET timezone = 'America/New_York'; SET datestyle = 'ISO, DMY'")
        await connection.commit()
        return connection

    with asyncio.Runner() as runner:
        connection = runner.run(opened())
        yield Table(runner, connection)
        runner.run(connection.close())


def test_both_readings_agree(table: Table) -> None:
    @settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.lists(rows, min_size=1, max_size=4), filters)
    def agree(some: list[dict[str, Any]], asked: dict[str, Any]) -> None:
        assert table.disagreements(some, [asked]) == []

    agree()


def test_every_odd_value_in_every_comparison(table: Table) -> None:
    plain = {
        "role": "user", "speaker": None, "text": "x", "subtype": "", "agent_id": "", "created_at": MOMENTS[0],
        "updated_at": MOMENTS[0], "expires_at": None, "access_count": 0,
    }  # fmt: skip
    odd = WORDS + DATES
    some = [{**plain, "text": text, "metadata": {"a": text}} for text in odd]
    asked = [
        {key: {operator: text}}
        for text in odd
        for operator in ("eq", "gt", "gte", "lt", "lte", "contains", "icontains")
        for key in ("a", "text")
        if text or "contains" not in operator
    ]
    assert table.disagreements(some, asked) == []
