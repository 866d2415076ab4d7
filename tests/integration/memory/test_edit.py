"""Looking up, changing, deleting and its history, on a real database: one's own only, and all of it or nothing."""

import asyncio
import itertools
import uuid
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from xiaozhi_server.core.providers.memory.base import SpokenMessage
from xiaozhi_server.core.providers.memory.mem0ai import (
    MemoryEngine,
    MemoryEvent,
    MemoryNotFoundError,
    StoredMemory,
    cursor_of,
)
from xiaozhi_server.core.providers.memory.mem0ai.embedding.embed import Vectors
from xiaozhi_server.core.providers.memory.mem0ai.filters import parse
from xiaozhi_server.core.providers.memory.mem0ai.testing import WordEmbedder

Pool = AsyncConnectionPool[AsyncConnection[Any]]
SAID_AT = datetime(2026, 1, 31, 12, tzinfo=UTC)


def said(text: str, *, hours: float = 0.0) -> SpokenMessage:
    return SpokenMessage("user", text, SAID_AT + timedelta(hours=hours), "Ann")


async def added(engine: MemoryEngine, text: str, user_id: str = "ann", **more: Any) -> StoredMemory:
    memory: StoredMemory
    (memory,) = await engine.add([said(text)], user_id=user_id, infer=False, **more)
    return memory


async def found(engine: MemoryEngine, query: str, user_id: str = "ann", **more: Any) -> list[str]:
    return [one.memory.text for one in await engine.search(query, user_id=user_id, **more)]


def told(events: Sequence[MemoryEvent]) -> list[tuple[str, str | None, str | None]]:
    return [(event.event, event.old_memory, event.new_memory) for event in events]


class CountingEmbedder(WordEmbedder):
    def __init__(self) -> None:
        self.texts: list[str] = []

    async def embed(self, texts: Sequence[str]) -> Vectors:
        self.texts += texts
        return await super().embed(texts)


async def test_a_changed_text_is_found_by_its_own_words_and_the_old_one_no_more(engine: MemoryEngine) -> None:
    memory = await added(engine, "My dog is called Biscuit.", agent_id="bot", metadata={"kind": "pet"})
    before = datetime.now(UTC)
    changed = await engine.update(memory.id, user_id="ann", text="  My cat is called Mimi. ")
    assert changed.text == "My cat is called Mimi."
    assert changed.created_at == SAID_AT
    assert before - timedelta(seconds=5) < changed.updated_at < datetime.now(UTC) + timedelta(seconds=5)
    assert changed == await engine.get(str(memory.id), user_id="ann")
    assert (changed.agent_id, changed.metadata, changed.speaker) == ("bot", {"kind": "pet"}, "Ann")
    (hit,) = await engine.search("What is my cat called?", user_id="ann")
    assert (hit.memory.text, hit.memory.timestamp) == (changed.text, changed.updated_at)
    assert hit.semantic_score is not None
    await added(engine, "The weather is fine.")
    nearest = (await engine.search("cat Mimi", user_id="ann"))[0]
    assert nearest.memory.id == memory.id
    assert nearest.semantic_score is not None
    assert nearest.semantic_score > 0.5  # the vector is the new text's


async def test_metadata_is_merged_and_needs_no_embedding(start_engine: Any) -> None:
    embedder = CountingEmbedder()
    async with start_engine(embedder) as engine:
        memory = await added(engine, "I like teal.", metadata={"kind": "colour", "sure": True})
        asked = len(embedder.texts)
        changed = await engine.update(memory.id, user_id="ann", metadata={"kind": None, "since": 2020})
        assert changed.metadata == {"sure": True, "since": 2020}
        assert changed.text == "I like teal."
        assert changed.updated_at > SAID_AT
        assert len(embedder.texts) == asked
        assert await engine.get(memory.id, user_id="ann") == changed
        assert await found(engine, "teal", filters={"since": {"gte": 2020}}) == ["I like teal."]
        assert await found(engine, "teal", filters={"kind": "colour"}) == []
        with pytest.raises(MemoryNotFoundError):
            await engine.update(uuid.uuid4(), user_id="ann", text="A text that nobody needs.")
        assert "A text that nobody needs." not in embedder.texts


async def test_the_history_begins_with_the_text_that_was_added(engine: MemoryEngine) -> None:
    memory = await added(engine, "I like teal.")
    (first,) = await engine.history(memory.id, user_id="ann")
    assert told([first]) == [("ADD", None, "I like teal.")]
    await engine.update(memory.id, user_id="ann", text="I like plums.")
    await engine.update(memory.id, user_id="ann", text="I like figs.")
    await engine.delete(memory.id, user_id="ann")
    events = await engine.history(memory.id, user_id="ann")
    assert told(events) == [
        ("ADD", None, "I like teal."),
        ("UPDATE", "I like teal.", "I like plums."),
        ("UPDATE", "I like plums.", "I like figs."),
        ("DELETE", "I like figs.", None),
    ]
    assert events[0] == first
    assert {(one.memory_id, one.created_at, one.actor_id, one.role) for one in events} == {
        (memory.id, SAID_AT, "Ann", "user")
    }
    assert [one.is_deleted for one in events] == [False, False, False, True]
    assert [one.updated_at is None for one in events] == [True, False, False, False]
    assert len({one.id for one in events}) == 4
    assert events == await engine.history(memory.id, user_id="ann")


async def test_deleted_is_gone_everywhere_at_once(engine: MemoryEngine, pool: Pool) -> None:
    memory = await added(engine, "I like teal.")
    assert await found(engine, "teal") == ["I like teal."]
    await engine.delete(str(memory.id), user_id="ann")
    assert await found(engine, "teal") == []
    assert await engine.get(memory.id, user_id="ann") is None
    assert await engine.get_all(user_id="ann") == []
    for again in (engine.delete(memory.id, user_id="ann"), engine.update(memory.id, user_id="ann", text="x")):
        with pytest.raises(MemoryNotFoundError):
            await again


async def test_somebody_elses_id_is_an_unknown_one(engine: MemoryEngine) -> None:
    memory = await added(engine, "I like teal.")
    for id in (memory.id, str(memory.id), uuid.uuid4(), "no uuid", ""):
        assert await engine.get(id, user_id="bob") is None
        assert await engine.history(id, user_id="bob") == []
        complaints = set()
        for call in (engine.update(id, user_id="bob", text="x"), engine.delete(id, user_id="bob")):
            with pytest.raises(MemoryNotFoundError) as raised:
                await call
            complaints.add(str(raised.value))
        assert complaints == {"this owner has no memory with that id"}
    assert await engine.get(memory.id, user_id="ann") == memory
    assert told(await engine.history(memory.id, user_id="ann")) == [("ADD", None, "I like teal.")]


async def test_delete_all_is_scoped_and_told_in_the_history(engine: MemoryEngine) -> None:
    mine = [await added(engine, f"Fact {number}.", agent_id="bot", run_id="r") for number in range(3)]
    other = await added(engine, "Fact 4.", agent_id="tutor")
    foreign = await added(engine, "Fact 5.", "bob", agent_id="bot")
    await engine.update(mine[0].id, user_id="ann", text="Fact nought.")
    assert await engine.delete_all(user_id="ann", agent_id="bot", run_id="q") == 0
    assert await engine.delete_all(user_id="ann", agent_id="bot") == 3
    assert [one.id for one in await engine.get_all(user_id="ann")] == [other.id]
    assert await engine.get(foreign.id, user_id="bob") == foreign
    assert told(await engine.history(mine[0].id, user_id="ann")) == [
        ("ADD", None, "Fact 0."), ("UPDATE", "Fact 0.", "Fact nought."), ("DELETE", "Fact nought.", None),
    ]  # fmt: skip
    assert told(await engine.history(mine[1].id, user_id="ann")) == [
        ("ADD", None, "Fact 1."),
        ("DELETE", "Fact 1.", None),
    ]


async def test_a_thousand_are_deleted_by_as_many_statements_as_one(engine: MemoryEngine, pool: Pool) -> None:
    async def statements(count: int) -> int:
        await engine.add([said(f"Fact {number}.") for number in range(count)], user_id="ann")
        async with pool.connection() as connection:
            before = await _executed(connection)
        assert await engine.delete_all(user_id="ann") == count
        async with pool.connection() as connection:
            return await _executed(connection) - before

    async def _executed(connection: AsyncConnection[Any]) -> int:
        """Rows of history, and how many commands wrote them: rows of one command share its number."""
        cursor = await connection.execute("SELECT count(DISTINCT (xmin::text, cmin::text)) FROM memory_history")
        (row,) = await cursor.fetchall()
        return int(row[0])

    assert await statements(1) == await statements(1000) == 1


async def test_a_forgotten_person_leaves_nothing(engine: MemoryEngine, pool: Pool) -> None:
    memory = await added(engine, "I like teal.")
    deleted = await added(engine, "I like plums.")
    await engine.delete(deleted.id, user_id="ann")
    kept = await added(engine, "I like figs.", "bob")
    await engine.enqueue([said("I like quinces.")], user_id="ann")
    assert await engine.forget(user_id="ann") in (1, 2)  # the last one may still have waited
    for id in (memory.id, deleted.id):
        assert await engine.history(id, user_id="ann") == []
    assert await found(engine, "like") == []
    async with pool.connection() as connection:
        for table in ("memory_entry", "memory_history", "memory_summary", "memory_outbox"):
            cursor = await connection.execute(f"SELECT {table}::text FROM {table} WHERE user_id = 'ann'".encode())
            left = [row[0] for row in await cursor.fetchall()]
            assert not [row for row in left if "like" in row], table
            assert table == "memory_outbox" or not left
    assert await engine.get(kept.id, user_id="bob") == kept


async def test_changes_of_one_memory_at_the_same_time_are_all_told(engine: MemoryEngine) -> None:
    memory = await added(engine, "Version 0.")
    await asyncio.gather(
        *(engine.update(memory.id, user_id="ann", text=f"Version {n}.", metadata={str(n): n}) for n in range(1, 9))
    )
    events = await engine.history(memory.id, user_id="ann")
    assert len(events) == 9
    for before, after in itertools.pairwise(events):
        assert after.old_memory == before.new_memory
    last = await engine.get(memory.id, user_id="ann")
    assert last is not None
    assert last.text == events[-1].new_memory
    assert last.metadata == {str(n): n for n in range(1, 9)}


async def test_a_change_and_a_deletion_at_the_same_time_end_as_a_deletion(engine: MemoryEngine) -> None:
    for _ in range(5):
        memory = await added(engine, "I like teal.")
        results = await asyncio.gather(
            engine.update(memory.id, user_id="ann", text="I like plums."),
            engine.delete_all(user_id="ann"),
            return_exceptions=True,
        )
        assert results[1] == 1
        assert isinstance(results[0], MemoryNotFoundError | StoredMemory)
        assert await engine.get_all(user_id="ann") == []
        events = told(await engine.history(memory.id, user_id="ann"))
        assert events[0] == ("ADD", None, "I like teal.")
        assert events[-1][0] == "DELETE"
        assert len(events) == (3 if isinstance(results[0], StoredMemory) else 2)


async def test_pages_hold_everything_once_whatever_comes_and_goes(engine: MemoryEngine) -> None:
    texts = [f"Fact {number}." for number in range(25)]
    # Three at a time, so that the order among equals matters.
    await engine.add([said(text, hours=number // 3) for number, text in enumerate(texts)], user_id="ann")
    seen: list[StoredMemory] = []
    cursor = None
    while page := await engine.get_all(user_id="ann", top_k=4, cursor=cursor):
        seen += page
        cursor = cursor_of(page[-1])
        await engine.add([said("Newer than all.", hours=1000)], user_id="ann")
        if len(seen) == 8:
            await engine.delete(page[-1].id, user_id="ann")  # the cursor's own memory
    assert sorted(one.text for one in seen) == sorted(texts)
    assert [one.created_at for one in seen] == sorted((one.created_at for one in seen), reverse=True)
    assert await engine.get_all(user_id="bob", cursor=cursor_of(seen[0])) == []


async def test_filters_narrow_a_listing_and_a_search_and_never_widen_them(engine: MemoryEngine) -> None:
    await added(engine, "I drink tea.", agent_id="bot", metadata={"kind": "drink", "year": 2024})
    await added(engine, "I drink coffee.", agent_id="tutor", metadata={"kind": "drink", "year": 2026})
    await added(engine, "I drink juice.", "bob", metadata={"kind": "drink", "year": 2026})

    async def both(filters: Any, **scope: Any) -> set[str]:
        listed = {one.text for one in await engine.get_all(user_id="ann", filters=filters, **scope)}
        assert set(await found(engine, "What do I drink?", filters=filters, **scope)) == listed
        return listed

    everything = {"I drink tea.", "I drink coffee."}
    assert await both({"kind": "drink"}) == everything
    assert await both({"year": {"gt": 2024}}) == {"I drink coffee."}
    assert await both({"NOT": {"kind": "food"}}) == everything
    assert await both({"OR": [{"user_id": "bob"}, {"user_id": "ann"}]}) == everything
    for widening in ({"user_id": "bob"}, {"user_id": {"ne": "ann"}}, {"AND": [{"user_id": "bob"}, {"kind": "drink"}]}):
        assert await both(widening) == set()
    for harmless in ({"user_id": "*"}, {"OR": [{"user_id": "*"}, {"kind": "drink"}]}, {"NOT": {"user_id": "bob"}}):
        assert await both(harmless) == everything
        assert await both(harmless, agent_id="bot") == {"I drink tea."}
    platform = {"AND": [{"user_id": "ann"}, {"created_at": {"gte": "2026-01-31", "lte": "2026-01-31"}}]}
    assert await both(platform) == everything
    assert await both({"created_at": {"gt": date(2026, 1, 31)}}) == set()
    assert await both(parse({"agent_id": "tutor"})) == {"I drink coffee."}


async def test_a_search_with_a_threshold_leaves_out_what_fits_less(engine: MemoryEngine) -> None:
    await engine.add([said("My favourite colour is teal."), said("The bus was late.")], user_id="ann")
    hits = await engine.search("favourite colour", user_id="ann", threshold=0.0)
    best = hits[0].score
    assert [hit.memory.text for hit in await engine.search("favourite colour", user_id="ann", threshold=best)] == [
        "My favourite colour is teal."
    ]
    assert await engine.search("favourite colour", user_id="ann", threshold=1.1) == []


async def test_what_has_run_out_is_not_shown(engine: MemoryEngine) -> None:
    gone = await added(engine, "I am in Lyon today.", expires_at=SAID_AT)
    stays = await added(engine, "I am in Paris for long.", expires_at="2999-12-31")
    assert stays.expires_at == datetime(2999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)
    assert [one.id for one in await engine.get_all(user_id="ann")] == [stays.id]
    assert await engine.get(gone.id, user_id="ann") == gone
    assert await found(engine, "Where am I?") == ["I am in Paris for long."]
