"""One suite for every store that memories can lie in: ours, and others through mem0."""

import asyncio
import random
import uuid
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.errors import UniqueViolation

from tests.integration.memory.mem0_world import QUICK, Engine, Pool, said, saved, until
from xiaozhi_server.core.providers.memory.mem0ai import InvalidIdError, MemoryEngine
from xiaozhi_server.core.providers.memory.mem0ai.by_mem0.bridge import load_mem0
from xiaozhi_server.core.providers.memory.mem0ai.by_mem0.mem0_parts import Part, open_vector_store
from xiaozhi_server.core.providers.memory.mem0ai.by_mem0.other_store import OtherStore, StoreFailedError
from xiaozhi_server.core.providers.memory.mem0ai.by_mem0.other_stores import OtherStoreEngine
from xiaozhi_server.core.providers.memory.mem0ai.errors import (
    InvalidFilterError,
    InvalidMetadataError,
    MemoryNotFoundError,
)
from xiaozhi_server.core.providers.memory.mem0ai.filters import parse
from xiaozhi_server.core.providers.memory.mem0ai.records import NewMemory, StoredMemory
from xiaozhi_server.core.providers.memory.mem0ai.rows.listing import cursor_of
from xiaozhi_server.core.providers.memory.mem0ai.scope import Scope
from xiaozhi_server.core.providers.memory.mem0ai.testing import WordEmbedder

OTHERS = ["qdrant", "milvus", "pgvector"]
STORES = ["ours", *OTHERS]
OWNERS = ["ann", "bob", "cy d"]
AGENTS = [None, "bot", "tutor"]
THINGS = ["tea", "coffee", "plums", "rowing", "Gdansk", "青色", "杭州", "the cello", "chess", "waltz"]


@pytest.fixture(params=STORES)
async def engine(request: pytest.FixtureRequest, pool: Pool, database_dsn: str, tmp_path: Path) -> Any:
    async with started(request.param, pool, database_dsn, tmp_path) as engine:
        yield engine


@pytest.fixture(params=OTHERS)
async def other(
    request: pytest.FixtureRequest, pool: Pool, database_dsn: str, tmp_path: Path
) -> AsyncIterator[OtherStoreEngine]:
    async with started(request.param, pool, database_dsn, tmp_path) as engine:
        assert isinstance(engine, OtherStoreEngine)
        yield engine


@pytest.fixture(scope="module", autouse=True)
def milvus_was_used(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What it talks through opens descriptors once for the whole process."""
    from pymilvus import MilvusClient

    client = MilvusClient(str(tmp_path_factory.mktemp("milvus") / "first.db"))
    client.list_collections()
    client.close()
    end_milvus()


@pytest.fixture(autouse=True)
def no_milvus_is_left(milvus_was_used: None) -> Iterator[None]:
    yield
    end_milvus()


def end_milvus() -> None:
    """Milvus Lite ends with the process; a test shall leave nothing behind."""
    from milvus_lite.server_manager import server_manager_instance

    pools = [server._state.thread_pool for server, *_ in server_manager_instance._servers.values()]
    server_manager_instance.release_all()
    for pool in pools:
        pool.shutdown()


@asynccontextmanager
async def started(kind: str, pool: Pool, dsn: str, folder: Path) -> AsyncIterator[Engine]:
    with ThreadPoolExecutor(2) as executor:
        if kind == "ours":
            engine: Engine = MemoryEngine(pool, WordEmbedder(), executor, QUICK.engine)
            store = None
        else:
            store = opened(kind, dsn, folder)
            engine = OtherStoreEngine(pool, WordEmbedder(), store, QUICK.engine)
        await engine.start()
        try:
            yield engine
        finally:
            await engine.stop(1.0)
            if store is not None:
                await store.close()


def opened(kind: str, dsn: str, folder: Path) -> OtherStore:
    load_mem0(folder)
    config: dict[str, dict[str, Any]] = {
        "qdrant": {},
        "milvus": {"url": str(folder / "milvus.db")},
        "pgvector": {"connection_string": dsn, "collection_name": "of_mem0"},
    }
    part = Part(kind, config[kind])
    return OtherStore(open_vector_store(part, dimensions=WordEmbedder.dimensions, folder=folder), kind)


# --- random interleavings against a plain list ---


@dataclass(slots=True)
class Model:
    """What should be there."""

    memories: dict[uuid.UUID, StoredMemory] = field(default_factory=dict)

    def of(self, owner: str, agent: str | None = None, wanted: Any = None) -> list[StoredMemory]:
        matches = parse(wanted).matches
        rows = [
            memory
            for memory in self.memories.values()
            if memory.user_id == owner and agent in (None, memory.agent_id) and matches(memory)
        ]
        return sorted(rows, key=lambda memory: (memory.created_at, memory.id), reverse=True)


def random_filter(rng: random.Random, depth: int = 2) -> dict[str, Any]:
    if depth and rng.random() < 0.5:
        word = rng.choice(["AND", "OR", "NOT"])
        return {word: [random_filter(rng, depth - 1) for _ in range(rng.randint(1, 2))]}
    number, kind = rng.randint(0, 5), rng.choice(["fact", "plan", "Joke"])
    conditions: list[dict[str, Any]] = [
        {"kind": kind},
        {"kind": {"ne": kind}},
        {"kind": [kind, "plan"]},
        {"kind": {"nin": [kind]}},
        {"kind": "*"},
        {"kind": None},
        {"kind": {"icontains": "J"}},
        {"n": number},
        {"n": {"gte": number, "lt": number + 2}},
        {"n": {"gt": number}},
        {"text": {"contains": rng.choice(THINGS)}},
        {"role": rng.choice(["user", "assistant"])},
        {"agent_id": "bot"},
        {"created_at": {"gte": "2026-11-10", "lte": "2026-11-15"}},
        {"created_at": {"lt": "2026-11-12T00:00:00Z"}},
    ]
    return rng.choice(conditions)


class Walk:
    """A random walk over an engine and the model of what it should hold."""

    def __init__(self, engine: Engine, seed: int) -> None:
        self.engine = engine
        self.model = Model()
        self.rng = random.Random(seed)
        self.spoken = 0

    async def step(self) -> None:
        steps = [self.add, self.add, self.add, self.save, self.update, self.delete, self.delete_all, self.look]
        await self.rng.choice(steps)()

    def message(self) -> Any:
        self.spoken += 1
        role = self.rng.choice(["user", "user", "assistant"])
        text = f"Number {self.spoken} is about {self.rng.choice(THINGS)}"
        return said(text, role=role, minutes_ago=self.rng.randint(0, 14) * 1440 + self.spoken)

    async def add(self) -> None:
        owner, agent = self.rng.choice(OWNERS), self.rng.choice(AGENTS)
        metadata = self.rng.choice([None, {"kind": "fact", "n": 3}, {"kind": "Joke"}, {"n": self.rng.randint(0, 6)}])
        messages = [self.message() for _ in range(self.rng.randint(1, 3))]
        rows = await self.engine.add(messages, user_id=owner, agent_id=agent, metadata=metadata)
        self.model.memories.update({row.id: row for row in rows})

    async def save(self) -> None:
        owner, agent = self.rng.choice(OWNERS), self.rng.choice(AGENTS)
        known = {memory.id for memory in self.model.of(owner)}
        key = f"turn {self.spoken}"
        message = self.message()
        for _ in range(2):  # handed in twice, saved once
            await self.engine.enqueue([message], user_id=owner, agent_id=agent, session_id="s1", key=key)
        await saved(self.engine)
        (new,) = [row for row in await self.engine.get_all(user_id=owner, top_k=1000) if row.id not in known]
        assert (new.text, new.agent_id, new.session_id) == (message.content, agent or "", "s1")
        self.model.memories[new.id] = new

    async def update(self) -> None:
        owner = self.rng.choice(OWNERS)
        text = self.rng.choice([None, f"Changed to {self.rng.choice(THINGS)} {self.spoken}"])
        change: dict[str, Any] = self.rng.choice([{"kind": "plan"}, {"n": None, "kind": "fact"}])
        memory = self.any_memory()
        if memory is None:
            return
        if memory.user_id != owner:
            with pytest.raises(MemoryNotFoundError):
                await self.engine.update(memory.id, user_id=owner, text=text, metadata=change)
            return
        new = await self.engine.update(memory.id, user_id=owner, text=text, metadata=change)
        merged = {**(memory.metadata or {}), **change}
        assert new == replace(
            memory,
            text=text or memory.text,
            metadata={name: value for name, value in merged.items() if value is not None},
            updated_at=new.updated_at,
        )
        self.model.memories[new.id] = new
        events = await self.engine.history(new.id, user_id=owner)
        assert (events[-1].event, events[-1].new_memory, events[0].event) == ("UPDATE", new.text, "ADD")

    async def delete(self) -> None:
        owner, memory = self.rng.choice(OWNERS), self.any_memory()
        if memory is None:
            return
        if memory.user_id != owner:
            with pytest.raises(MemoryNotFoundError):
                await self.engine.delete(memory.id, user_id=owner)
            return
        await self.engine.delete(memory.id, user_id=owner)
        del self.model.memories[memory.id]
        assert await self.engine.get(memory.id, user_id=owner) is None
        assert (await self.engine.history(memory.id, user_id=owner))[-1].event == "DELETE"

    async def delete_all(self) -> None:
        if self.rng.random() < 0.7:
            return
        owner, agent = self.rng.choice(OWNERS), self.rng.choice(AGENTS)
        gone = self.model.of(owner, agent)
        assert await self.engine.delete_all(user_id=owner, agent_id=agent) == len(gone)
        for memory in gone:
            del self.model.memories[memory.id]

    async def look(self) -> None:
        for owner in OWNERS:
            agent, wanted = self.rng.choice(AGENTS), self.rng.choice([None, random_filter(self.rng)])
            expected = self.model.of(owner, agent, wanted)
            listed = await self.engine.get_all(user_id=owner, agent_id=agent, filters=wanted, top_k=1000)
            assert listed == expected
            looked_for = self.rng.choice(expected).text if expected else "tea"
            found = await self.engine.search(looked_for, user_id=owner, agent_id=agent, filters=wanted, top_k=100)
            assert {one.memory.id for one in found} <= {memory.id for memory in expected}
            assert not expected or looked_for in [one.memory.text for one in found]
            assert all(0 <= one.score <= 1 for one in found)
        memory = self.any_memory()
        if memory is not None:
            for owner in OWNERS:
                expect = memory if owner == memory.user_id else None
                assert await self.engine.get(memory.id, user_id=owner) == expect

    def any_memory(self) -> StoredMemory | None:
        memories = list(self.model.memories.values())
        return self.rng.choice(memories) if memories else None


@pytest.mark.parametrize("seed", range(3))
async def test_any_interleaving_keeps_owners_apart_and_filters_exactly(engine: Engine, seed: int) -> None:
    walk = Walk(engine, seed)
    for _ in range(60):
        await walk.step()
    await walk.look()


# --- what does not depend on chance ---


@pytest.mark.parametrize("bad", ["*", "", " ", None, 7])
async def test_ids_that_name_nobody_touch_nothing(engine: Engine, bad: Any) -> None:
    (memory,) = await engine.add([said("I like teal.")], user_id="ann", agent_id="bot")
    for call in (
        engine.search("teal", user_id=bad),
        engine.get_all(user_id=bad),
        engine.get(memory.id, user_id=bad),
        engine.update(memory.id, user_id=bad, text="mine"),
        engine.delete(memory.id, user_id=bad),
        engine.delete_all(user_id=bad),
        engine.history(memory.id, user_id=bad),
        engine.add([said("x")], user_id=bad),
        engine.enqueue([said("x")], user_id=bad),
        engine.forget(user_id=bad),
    ):
        with pytest.raises(InvalidIdError):
            await call
    assert [one.text for one in await engine.get_all(user_id="ann")] == ["I like teal."]


async def test_a_person_who_is_forgotten_leaves_nothing(engine: Engine) -> None:
    (mine,) = await engine.add([said("I like teal.")], user_id="ann")
    await engine.update(mine.id, user_id="ann", text="I like plums.")
    (hers,) = await engine.add([said("I like tea.")], user_id="bob")
    assert await engine.forget(user_id="ann") == 1
    assert await engine.history(mine.id, user_id="ann") == []
    assert await engine.search("plums", user_id="ann") == []
    assert await engine.get(hers.id, user_id="bob") == hers


async def test_pages_and_what_has_run_out(engine: Engine) -> None:
    messages = [said(f"Number {number}.", minutes_ago=number) for number in range(5)]
    await engine.add(messages, user_id="ann")
    await engine.add([said("Just for now.")], user_id="ann", expires_at=datetime.now(UTC) - timedelta(seconds=1))
    first = await engine.get_all(user_id="ann", top_k=2)
    rest = await engine.get_all(user_id="ann", top_k=10, cursor=cursor_of(first[-1]))
    assert [one.text for one in (*first, *rest)] == [f"Number {number}." for number in range(5)]
    assert await engine.search("now", user_id="ann", filters={"text": "Just for now."}) == []


@pytest.mark.parametrize("text", ["😀", "שלום עולם", "'; DROP TABLE x; --", '\\"} or 1 == 1', "x" * 8000, "%s {} $1"])
async def test_any_text_and_any_metadata_come_back(engine: Engine, text: str) -> None:
    metadata = {"note": text[:100], "list": [1, {"a": None}], "yes": True}
    (memory,) = await engine.add([said(text, speaker="Ann")], user_id='it\'s "quoted"', metadata=metadata)
    assert await engine.get(memory.id, user_id=memory.user_id) == memory
    assert [one.memory for one in await engine.search(text, user_id=memory.user_id)] == [memory]
    assert await engine.get_all(user_id=memory.user_id, filters={"note": text[:100]}) == [memory]


async def test_what_is_accepted_is_found_at_once(engine: Engine, pool: Pool) -> None:
    async with pool.connection() as connection, connection.transaction(force_rollback=True):
        await engine.enqueue([said("Never said.")], user_id="ann", transaction=connection)
    await engine.enqueue([said("I like plums.")], user_id="ann", agent_id="bot")
    assert [one.memory.text for one in await engine.search("plums", user_id="ann")] == ["I like plums."]
    await saved(engine)
    assert [one.text for one in await engine.get_all(user_id="ann")] == ["I like plums."]


@pytest.mark.parametrize("filters", [{"n": {"near": 3}}, {"OR": []}, [1], {"n": {}}])
async def test_a_filter_that_means_nothing_is_an_error(engine: Engine, filters: Any) -> None:
    await engine.add([said("I like plums.")], user_id="ann")
    for call in (
        engine.search("plums", user_id="ann", filters=filters),
        engine.get_all(user_id="ann", filters=filters),
    ):
        with pytest.raises(InvalidFilterError):
            await call


# --- what other stores lack ---


async def test_what_a_store_lacks_is_said(other: OtherStoreEngine, caplog: pytest.LogCaptureFixture) -> None:
    assert any("filters" in lack for lack in other.lacks)
    assert any("search for words" in lack for lack in other.lacks) == (other.store.provider == "qdrant")


async def test_a_store_that_looks_for_words_finds_ours(other: OtherStoreEngine) -> None:
    await other.add([said("我最喜欢的颜色是青色。"), said("I liked rowing."), said("x")], user_id="ann")
    await other.add([said("我最喜欢的颜色是青色。")], user_id="bob")
    scope = Scope("ann")
    for query, text in (("青色", "我最喜欢的颜色是青色。"), ("Do you like to row?", "I liked rowing.")):
        found = [one.text for one in await other.store.with_words(scope, query, limit=5)]
        assert found == ([text] if other.store.finds_words else [])


async def test_names_that_are_taken_are_refused(other: OtherStoreEngine) -> None:
    with pytest.raises(InvalidMetadataError, match="user_id"):
        await other.add([said("x y z")], user_id="ann", metadata={"user_id": "bob"})
    (memory,) = await other.add([said("x y z")], user_id="ann")
    with pytest.raises(InvalidMetadataError, match="data"):
        await other.update(memory.id, user_id="ann", metadata={"data": "other"})
    assert await other.get_all(user_id="ann") == [memory]


async def test_a_save_whose_end_was_not_seen_replaces_what_it_left(
    other: OtherStoreEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a crash between the store and our database: the rows are there, and the entry waits as before."""
    insert = other.store.insert
    left: list[list[StoredMemory]] = []

    async def broken_off(rows: Any, batch: str = "") -> None:
        await insert(rows, batch)
        if len(left) < 2:
            left.append(await other.get_all(user_id="ann"))
            raise RuntimeError("the answer is lost")

    monkeypatch.setattr(other.store, "insert", broken_off)
    await other.enqueue([said("I like plums."), said("I like tea.")], user_id="ann", agent_id="bot", key="turn-1")
    await saved(other)
    assert [len(rows) for rows in left] == [2, 2]
    assert sorted(memory.text for memory in await other.get_all(user_id="ann")) == ["I like plums.", "I like tea."]


async def test_foreign_rows_of_a_broken_store_are_dropped(
    pool: Pool, database_dsn: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    load_mem0(tmp_path)
    raw = open_vector_store(Part("qdrant", {}), dimensions=WordEmbedder.dimensions, folder=tmp_path)
    raw._create_filter = lambda filters: None  # as if it knew no filter
    engine = OtherStoreEngine(pool, WordEmbedder(), store := OtherStore(raw, "qdrant"), QUICK.engine)
    await engine.start()
    try:
        await engine.add([said("I like plums.")], user_id="ann")
        assert await engine.search("plums", user_id="bob") == []
        assert await engine.get_all(user_id="bob") == []
        assert await engine.delete_all(user_id="bob") == 0
        assert "somebody else" in caplog.text
        assert len(await engine.get_all(user_id="ann")) == 1
    finally:
        await engine.stop(1.0)
        await store.close()


async def test_the_table_is_made_once_by_many_first_calls(database_dsn: str, tmp_path: Path) -> None:
    store = opened("pgvector", database_dsn, tmp_path)
    raw = store._store
    make, made = raw.create_col, []

    def counted() -> None:
        made.append(1)
        make()

    raw.create_col = counted
    try:
        asked = (store.with_words(Scope("ann"), "plums", limit=5) for _ in range(8))
        assert await asyncio.gather(*asked) == [[]] * 8
        assert made == [1]
    finally:
        await store.close()


_BLOCKED = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%of_mem0%'"


async def new(text: str, user_id: str) -> NewMemory:
    at = datetime.now(UTC)
    (vector,) = await WordEmbedder().embed([text])
    memory = StoredMemory(uuid.uuid4(), user_id, "", "", "", "user", None, text, None, at, at)
    return NewMemory(memory, (), vector)


async def test_no_question_waits_for_what_is_saved(database_dsn: str, tmp_path: Path) -> None:
    store = opened("pgvector", database_dsn, tmp_path)
    tea = await new("I like green tea.", "ann")
    try:
        async with (
            await psycopg.AsyncConnection.connect(database_dsn) as locking,
            await psycopg.AsyncConnection.connect(database_dsn, autocommit=True) as watching,
        ):
            await store.insert([tea])
            await locking.execute("LOCK TABLE of_mem0 IN EXCLUSIVE MODE")
            rows = [await new(f"I have {number} hats.", "bob") for number in range(4)]  # as many as there are threads
            inserting = [asyncio.create_task(store.insert([row])) for row in rows]

            async def all_wait() -> bool:
                row = await (await watching.execute(_BLOCKED)).fetchone()
                return row is not None and row[0] == len(inserting)

            await until(all_wait)
            ((found, _),) = await store.nearest(Scope("ann"), tea.vector, limit=5)
            assert found.text == "I like green tea."
            assert not any(task.done() for task in inserting)
            await locking.rollback()
            await asyncio.gather(*inserting)
    finally:
        await store.close()


async def test_a_table_that_somebody_else_makes_at_the_same_moment_is_used(database_dsn: str, tmp_path: Path) -> None:
    store = opened("pgvector", database_dsn, tmp_path)
    raw = store._store
    make = raw.create_col

    def too_late() -> None:
        raw.create_col = make
        make()
        raise UniqueViolation

    raw.create_col = too_late
    try:
        assert await store.with_words(Scope("ann"), "plums", limit=5) == []
    finally:
        await store.close()


async def test_a_store_that_is_down_is_an_error_and_loses_nothing(pool: Pool, tmp_path: Path) -> None:
    load_mem0(tmp_path)
    raw = open_vector_store(Part("qdrant", {}), dimensions=WordEmbedder.dimensions, folder=tmp_path)
    engine = OtherStoreEngine(pool, WordEmbedder(), store := OtherStore(raw, "qdrant"), QUICK.engine)
    await engine.start()
    try:
        works, raw.insert = raw.insert, None
        await engine.enqueue([said("I like plums.")], user_id="ann")
        with pytest.raises(StoreFailedError, match="qdrant failed: TypeError"):
            await engine.add([said("I like tea.")], user_id="ann")
        raw.insert = works
        await saved(engine)
        assert [one.text for one in await engine.get_all(user_id="ann")] == ["I like plums."]
    finally:
        await engine.stop(1.0)
        await store.close()


async def test_a_slow_embedder_leaves_the_words(other: OtherStoreEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    await other.add([said("I like plums."), said("I live in Gdansk.")], user_id="ann")

    async def broken(self: WordEmbedder, texts: Any) -> Any:
        raise RuntimeError("the embedder is ill")

    monkeypatch.setattr(WordEmbedder, "embed", broken)
    (best, *_) = await other.search("Gdansk", user_id="ann")
    assert (best.memory.text, best.semantic_score) == ("I live in Gdansk.", None)
