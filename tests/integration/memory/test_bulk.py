"""Rows that go into the table all at once are the same as rows that go one by one."""

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from xiaozhi_server.core.providers.memory.base import SpokenMessage
from xiaozhi_server.core.providers.memory.mem0ai import MemoryEngine, StoredMemory
from xiaozhi_server.core.providers.memory.mem0ai.filters import parse
from xiaozhi_server.core.providers.memory.mem0ai.records import NewMemory
from xiaozhi_server.core.providers.memory.mem0ai.rows import bulk, listing, pgstore
from xiaozhi_server.core.providers.memory.mem0ai.scope import Scope
from xiaozhi_server.core.providers.memory.mem0ai.testing import WordEmbedder

Pool = AsyncConnectionPool[AsyncConnection[Any]]
THEN = datetime(2026, 3, 1, 12, 0, 0, 123457, tzinfo=UTC)
COLUMNS = "to_jsonb(memory_entry) - 'id' - 'user_id' AS row"
TEXTS = ["plain", "", "多语言 😀 שלום", "tab\tand\nline", "\\N", "'; DROP TABLE memory_entry; --", "x" * 100_000]


def new(number: int, user_id: str, **values: Any) -> NewMemory:
    vector = np.random.default_rng(number).standard_normal(WordEmbedder.dimensions).astype(np.float32)
    memory = StoredMemory(
        id=uuid.uuid4(),
        user_id=user_id,
        agent_id="bot" if number % 2 else "",
        run_id="",
        session_id=f"session {number // 3}",
        role="user",
        speaker=None if number % 3 else "Ann",
        text=TEXTS[number % len(TEXTS)],
        metadata=None if number % 4 else {"kind": ["fact", None, 1.5], "über": {"deep": True}},
        created_at=THEN + timedelta(microseconds=number),
        updated_at=THEN - timedelta(days=70 * 365),
        subtype="fact",
        flag="kept",
        position=number,
        expires_at=None if number % 5 else THEN + timedelta(days=36500),
    )
    return NewMemory(replace(memory, **values), list(range(-number, number)), vector)


@pytest.fixture
async def connection(engine: MemoryEngine, pool: Pool) -> Any:
    """To a database with our tables."""
    async with pool.connection() as connection:
        yield connection


async def test_both_ways_write_the_same(connection: AsyncConnection[Any]) -> None:
    number = await pgstore.embedder_number(connection, WordEmbedder())
    rows = [new(at, "bulk") for at in range(30)]
    assert await bulk.copied(connection, rows, number)
    for one in rows:
        again = replace(one, memory=replace(one.memory, id=uuid.uuid4(), user_id="single"))
        await pgstore.insert(connection, [again], number)
    sql = f"SELECT {COLUMNS} FROM memory_entry WHERE user_id = %s ORDER BY position"
    bulky, single = [await (await connection.execute(sql, (name,))).fetchall() for name in ("bulk", "single")]
    assert len(bulky) == 30
    assert bulky == single
    found = await listing.page(connection, Scope("bulk"), parse(None), after=None, limit=100)
    assert sorted(found, key=lambda one: one.position) == [one.memory for one in rows]


async def test_what_is_there_stays_as_it_is(connection: AsyncConnection[Any]) -> None:
    number = await pgstore.embedder_number(connection, WordEmbedder())
    rows = [new(at, "ann", text=f"text {at}") for at in range(40)]
    await pgstore.insert(connection, rows[:20], number)
    changed = [replace(one, memory=replace(one.memory, text="another")) for one in rows]
    assert not await bulk.copied(connection, changed, number)
    await pgstore.insert(connection, changed, number)  # the transaction is still good
    cursor = await connection.execute("SELECT text FROM memory_entry ORDER BY position")
    assert [text for (text,) in await cursor.fetchall()] == [f"text {at}" for at in range(20)] + ["another"] * 20


async def test_many_messages_are_remembered_at_once(engine: MemoryEngine) -> None:
    messages = [SpokenMessage("user", f"Fact number {at}.", THEN + timedelta(seconds=at)) for at in range(700)]
    kept = await engine.add(messages, user_id="ann", metadata={"kind": "import"})
    assert [one.text for one in kept] == [message.content for message in messages]
    assert len(await engine.get_all(user_id="ann", top_k=1000)) == 700
    found = await engine.search("fact number 345", user_id="ann", top_k=3)
    assert found[0].memory == kept[345]
