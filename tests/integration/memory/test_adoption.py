"""Tables that mem0 1.0.11 and 2.2.1 have written: what is in them is there at once, comes over once, and stays.

The tables are made by scripts/make_mem0_dump.py.
"""

import asyncio
import hashlib
import json
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.types.json import Json
from psycopg_pool import AsyncConnectionPool

from firmware_sim.cloud import StandInCloud
from tests.integration.memory.conftest import Pool, StartEngine
from tests.integration.memory.mem0_world import until
from tests.support.postgres import PostgresServer
from xiaozhi_server.core.providers.memory.mem0ai import MemoryEngine
from xiaozhi_server.core.providers.memory.mem0ai.adopting.contact import AdoptedTable
from xiaozhi_server.core.providers.memory.mem0ai.adopting.conversion import AdoptionOptions
from xiaozhi_server.core.providers.memory.mem0ai.adopting.foreign_table import ForeignTable, NotAdoptableError
from xiaozhi_server.core.providers.memory.mem0ai.by_mem0.bridge import load_mem0
from xiaozhi_server.core.providers.memory.mem0ai.by_mem0.mem0_parts import Part, open_vector_store
from xiaozhi_server.core.providers.memory.mem0ai.by_mem0.other_store import OtherStore
from xiaozhi_server.core.providers.memory.mem0ai.by_mem0.other_stores import OtherStoreEngine
from xiaozhi_server.core.providers.memory.mem0ai.errors import InvalidIdError, MemoryNotFoundError
from xiaozhi_server.core.providers.memory.mem0ai.longterm.checkpoint import checkpoint_of
from xiaozhi_server.core.providers.memory.mem0ai.longterm.records_pg import PostgresRecords
from xiaozhi_server.core.providers.memory.mem0ai.testing import WordEmbedder

DUMPS = Path(__file__).parent / "adoption"
VERSIONS = ("1_0_11", "2_2_1")
LIMIT_S = 60.0
# Ann's memories in both, and those that only mem0 2.x can write.
ANN = {
    "I like green tea.",
    "My dog is called Rex.",
    "Rex is a fine name.",
    "I row on Sundays.",
    "上周我们去了杭州西湖。",
    "I live in Berlin.",
    "Ann's sister is called Clara.",
    "I have no date at all.",
    "I have a long list.",
    *(f"This memory has a date: {what}." for what in ("Los Angeles summer time", "Greenwich", "no zone", "no date")),
    "This memory has a date: far ahead.",
}
OF_2 = {"The heating is repaired until March."}
RAN_OUT = "My library card ran out."
OWNERLESS = {
    "The kitchen has a new oven.",
    "This run is about soup.",
    "1. Boil water. 2. Wait a minute. 3. Pour it over the leaves.",
}
INTERNAL = {"access_log": 2, "checkpoint": 2, "distributed_lock": 1, "extraction_task": 1}


def load(dsn: str, version: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        connection.execute((DUMPS / f"mem0_{version}.sql").read_bytes())


def checksum(dsn: str) -> str:
    """Of mem0's table, down to which transaction wrote a row last."""
    with psycopg.connect(dsn) as connection:
        rows = connection.execute("SELECT xmin::text, mem0::text FROM mem0 ORDER BY id").fetchall()
    return hashlib.sha256(repr(rows).encode()).hexdigest()


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest, database_dsn: str) -> str:
    load(database_dsn, request.param)
    return str(request.param)


@pytest.fixture
def adopting_engine(pool: Pool, executor: ThreadPoolExecutor) -> Callable[..., MemoryEngine]:
    def made(embedder: Any = None, **settings: Any) -> MemoryEngine:
        adopted = AdoptedTable(ForeignTable(pool, "mem0"), **settings)
        return MemoryEngine(pool, embedder or WordEmbedder(), executor, adopted=adopted)

    return made


class Started:
    """An engine between its start and its stop."""

    def __init__(self, engine: MemoryEngine) -> None:
        self.engine = engine

    async def __aenter__(self) -> MemoryEngine:
        await self.engine.start()
        return self.engine

    async def __aexit__(self, *_: object) -> None:
        await self.engine.stop(1.0)


class Long(WordEmbedder):
    """One whose vectors are as long as those in the tables."""

    name = "long"
    dimensions = 1536
    asked = 0

    async def embed(self, texts: Any) -> Any:
        self.asked += len(texts)
        return (await super().embed(texts))[:, :1].repeat(1536, axis=1)


async def texts_of(engine: MemoryEngine, user_id: str = "ann", **flags: Any) -> set[str]:
    return {memory.text for memory in await engine.get_all(user_id=user_id, top_k=1000, **flags)}


def shown(version: str) -> set[str]:
    return ANN | OF_2 if version == "2_2_1" else ANN


def nobody(_done: int, _total: int) -> None:
    """Nobody wants to know how far it is."""


async def test_what_mem0_knew_is_there_from_the_first_question_on(
    adopting_engine: Callable[..., MemoryEngine], version: str, database_dsn: str
) -> None:
    before = checksum(database_dsn)
    async with Started(adopting_engine()) as engine:
        best = (await engine.search("What is my dog called?", user_id="ann"))[0].memory
        assert best.text == "My dog is called Rex."
        (kitchen,) = await engine.search("What is my favourite colour? 颜色", user_id="小明", agent_id="kitchen")
        assert kitchen.memory.text == "我最喜欢的颜色是青色。"
        assert await texts_of(engine) == shown(version)
        assert await texts_of(engine, "小明") == {"我最喜欢的颜色是青色。"}
        assert await texts_of(engine, "7") == {"I am a number."}
        for stranger in ("bob", "memory_extractor", "true", "app-1"):
            assert await texts_of(engine, stranger) == set()
        everything = await engine.search("lock extraction checkpoint conversations", user_id="ann", top_k=100)
        assert {one.memory.text for one in everything} <= shown(version)
    assert checksum(database_dsn) == before


async def test_a_memory_keeps_all_that_mem0_noted_of_it(
    adopting_engine: Callable[..., MemoryEngine], version: str
) -> None:
    async with Started(adopting_engine()) as engine:
        found = {memory.text: memory for memory in await engine.get_all(user_id="ann", top_k=1000)}
    tea, rex, rowing = (found[text] for text in ("I like green tea.", "My dog is called Rex.", "I row on Sundays."))
    assert (tea.agent_id, tea.run_id, tea.role, tea.speaker) == ("kitchen", "", "user", None)
    assert tea.metadata == {"category": "taste", "nested": {"a": [1, "二"]}}
    assert (tea.accessed_at, tea.access_count, tea.quality) == (datetime(2025, 7, 1, 10, tzinfo=UTC), 4, 0.75)
    assert (rex.accessed_at, rex.access_count, rex.metadata) == (datetime(2025, 7, 2, 10, tzinfo=UTC), 1, None)
    assert (rowing.agent_id, rowing.run_id, rowing.speaker) == ("kitchen", "run-7", "Ben")
    said_back = found["Rex is a fine name."]
    assert (said_back.role, said_back.access_count, said_back.quality) == ("assistant", 2, None)
    lake = found["上周我们去了杭州西湖。"]
    assert (lake.subtype, lake.metadata) == ("episodic", {"memory_origin": "implicit"})
    moved = found["I live in Berlin."]
    assert moved.created_at < moved.updated_at
    assert found["I have a long list."].metadata is None  # it was too large
    assert found["Ann's sister is called Clara."].metadata is None


async def test_odd_dates(adopting_engine: Callable[..., MemoryEngine], version: str) -> None:
    began = datetime.now(UTC)
    async with Started(adopting_engine()) as engine:
        found = {memory.text: memory for memory in await engine.get_all(user_id="ann", top_k=1000)}
    dates = {text.removeprefix("This memory has a date: ").removesuffix("."): one for text, one in found.items()}
    assert dates["Los Angeles summer time"].created_at == datetime(2025, 6, 1, 15, 15, 30, 123456, tzinfo=UTC)
    assert dates["Greenwich"].created_at == datetime(2025, 6, 2, 8, 15, 30, tzinfo=UTC)
    assert dates["no zone"].created_at == datetime(2025, 6, 3, 8, 15, 30, tzinfo=UTC)
    for undated, noted in (("no date", "last Tuesday"), ("far ahead", "2999-01-01T00:00:00+00:00")):
        memory = dates[undated]
        assert began <= memory.created_at == memory.updated_at <= datetime.now(UTC)
        assert memory.metadata == {"created_at": noted}
    assert began <= found["I have no date at all."].created_at
    if version == "2_2_1":
        end = found["The heating is repaired until March."].expires_at
        assert end is not None
        assert end + timedelta(microseconds=1) == datetime(2031, 3, 2, tzinfo=UTC)
        assert RAN_OUT not in found


async def test_the_command_brings_everybody_over_once(
    start_engine: StartEngine, version: str, database_dsn: str
) -> None:
    before, told = checksum(database_dsn), list[tuple[int, int]]()
    async with start_engine() as engine:
        planned = await engine.adopt("mem0", AdoptionOptions(dry_run=True), nobody)
        assert await engine.owners(limit=10) == []
        report = await engine.adopt("mem0", AdoptionOptions(), lambda done, total: told.append((done, total)))
        mine = len(shown(version)) + (version == "2_2_1")  # one of them has run out
        assert (report.adopted, report.known, report.ownerless) == (mine + 2, 0, len(OWNERLESS))
        assert (planned.adopted, planned.known, planned.dry_run) == (report.adopted, 0, True)
        assert (report.undated, report.without_metadata, report.accesses, report.kept_vectors) == (5, 1, 3, 0)
        assert report.contents.internal == INTERNAL
        assert report.contents.dimensions == 1536
        assert report.contents.entities == (2 if version == "2_2_1" else 0)
        assert [(row.id.int & 0xFF, row.why.partition(" must")[0]) for row in report.unfit] == [
            (0, "it has no payload"),
            (1, "it has no text"),
            (2, "it has no text"),
            (3, "user_id"),
            (4, "user_id"),
        ]
        assert told[-1] == (report.contents.memories, report.contents.memories)
        assert await texts_of(engine) == shown(version)
        assert await engine.owners(limit=10) == ["7", "ann", "小明"]
        stats = await engine.stats()
        assert (stats.memories, stats.embedders) == (report.adopted, {"words": report.adopted})
        hit = (await engine.search("Do I like green tea?", user_id="ann"))[0]
        assert (hit.memory.text, hit.semantic_score is not None) == ("I like green tea.", True)

        again = await engine.adopt("mem0", AdoptionOptions(), nobody)
        assert (again.adopted, again.known) == (0, report.adopted)
        rest = await engine.adopt("mem0", AdoptionOptions(ownerless="house"), nobody)
        assert (rest.adopted, rest.ownerless) == (len(OWNERLESS), 0)
        kept = {memory.text: memory for memory in await engine.get_all(user_id="house")}
        assert kept.keys() == OWNERLESS
        assert kept["The kitchen has a new oven."].agent_id == "kitchen"
        assert kept["This run is about soup."].run_id == "run-9"
        assert {memory.subtype for text, memory in kept.items() if text.startswith("1.")} == {"procedural"}
    assert checksum(database_dsn) == before


async def test_what_was_forgotten_here_does_not_come_back(
    adopting_engine: Callable[..., MemoryEngine], start_engine: StartEngine, version: str
) -> None:
    async with Started(adopting_engine()) as engine:
        dog = (await engine.search("What is my dog called?", user_id="ann"))[0].memory
        with pytest.raises(MemoryNotFoundError):
            await engine.delete(dog.id, user_id="小明")
        await engine.update(dog.id, user_id="ann", text="My dog is called Max.")
        assert [one.event for one in await engine.history(dog.id, user_id="ann")] == ["ADD", "UPDATE"]
        (tea,) = [one for one in await engine.get_all(user_id="ann", top_k=99) if one.text == "I like green tea."]
        await engine.delete(tea.id, user_id="ann")
    async with Started(adopting_engine()) as engine:  # nobody has asked for 小明 since the start
        assert await engine.forget(user_id="小明") == 1
    async with start_engine() as engine:
        await engine.adopt("mem0", AdoptionOptions(), nobody)
        texts = await texts_of(engine)
        assert texts == shown(version) - {"My dog is called Rex.", tea.text} | {"My dog is called Max."}
        assert await texts_of(engine, "小明") == set()


async def test_broken_off_and_gone_on_with(
    start_engine: StartEngine, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Page by page: whatever came over stays, and nothing comes twice."""
    monkeypatch.setattr("xiaozhi_server.core.providers.memory.mem0ai.adopting.conversion._PAGE", 5)

    class BreaksOff(WordEmbedder):
        calls_left = 1000

        async def embed(self, texts: Any) -> Any:
            self.calls_left -= 1
            if self.calls_left < 0:
                raise RuntimeError("the lights went out")
            return await super().embed(texts)

    embedder = BreaksOff()
    async with start_engine(embedder) as engine:
        embedder.calls_left = 3
        with pytest.raises(RuntimeError, match="lights"):
            await engine.adopt("mem0", AdoptionOptions(), nobody)
        came = (await engine.stats()).memories
        assert 0 < came < len(shown(version)) + 2
    async with start_engine() as engine:
        reports = await asyncio.gather(*(engine.adopt("mem0", AdoptionOptions(), nobody) for _ in range(2)))
        assert sum(report.adopted for report in reports) == (await engine.stats()).memories - came
        assert await texts_of(engine) == shown(version)


async def test_vectors_are_kept_where_the_embedder_is_the_same(
    start_engine: StartEngine, adopting_engine: Callable[..., MemoryEngine], version: str
) -> None:
    embedder, same = Long(), AdoptionOptions(same_embedder=True)
    async with start_engine(embedder) as engine:
        asked_before = embedder.asked
        report = await engine.adopt("mem0", same, nobody)
        assert report.kept_vectors == report.adopted - 3  # three were written without one
        assert embedder.asked - asked_before == 3
    async with start_engine() as engine:  # of other dimensions
        with_another = await engine.adopt("mem0", same, nobody)
        assert (with_another.kept_vectors, with_another.known) == (0, report.adopted)


async def test_vectors_follow_where_memories_came_at_the_first_contact(
    adopting_engine: Callable[..., MemoryEngine], version: str
) -> None:
    async with Started(adopting_engine()) as engine:
        engine.prefetch("ann")

        async def all_have_vectors() -> bool:
            embedders = (await engine.stats()).embedders
            return bool(embedders) and embedders.keys() == {"words"}

        await until(all_have_vectors)
        assert await texts_of(engine) == shown(version)


async def test_without_the_table_memory_goes_on(
    adopting_engine: Callable[..., MemoryEngine], pool: Pool, caplog: pytest.LogCaptureFixture
) -> None:
    async with Started(adopting_engine()) as engine:
        await engine.add([{"role": "user", "content": "I like plums."}], user_id="ann")
        assert await texts_of(engine) == {"I like plums."}
        assert "there is no table mem0" in caplog.text
        assert await engine.forget(user_id="ann") == 1
        with pytest.raises(NotAdoptableError, match="there is no table mem0"):
            await engine.adopt(None, AdoptionOptions(), nobody)


async def test_a_database_that_is_away_is_told_and_nothing_is_forgotten_by_halves(
    pool: Pool, executor: ThreadPoolExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    nowhere = Pool("host=127.0.0.1 port=1 connect_timeout=1", min_size=0, max_size=1, timeout=0.2, open=False)
    await nowhere.open()
    try:
        adopted = AdoptedTable(ForeignTable(nowhere, "mem0"))
        async with Started(MemoryEngine(pool, WordEmbedder(), executor, adopted=adopted)) as engine:
            await engine.add([{"role": "user", "content": "I like plums."}], user_id="ann")
            assert await texts_of(engine) == {"I like plums."}
            assert "mem0's table cannot be read (PoolTimeout)" in caplog.text
            with pytest.raises(psycopg.OperationalError):
                await engine.forget(user_id="ann")
            assert await texts_of(engine) == {"I like plums."}
    finally:
        await nowhere.close()


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ("", "missing"),
        ("x" * 201, "too long"),
        ("a\nb", "not printable"),
        ("nothing%s; DROP TABLE mem0", "there is no table"),
        ("pg_catalog.pg_class", "was not made by mem0"),
        ("memory_entry", "was not made by mem0"),
        ("mem0_entities", "holds mem0's entities"),
    ],
)
async def test_no_table_of_mem0s(engine: MemoryEngine, database_dsn: str, table: str, complaint: str) -> None:
    load(database_dsn, "2_2_1")
    with pytest.raises(NotAdoptableError, match=complaint):
        await engine.adopt(table, AdoptionOptions(), nobody)
    with pytest.raises(InvalidIdError, match="the owner of memories without one"):
        await engine.adopt("mem0", AdoptionOptions(ownerless="*"), nobody)
    assert (await engine.stats()).memories == 0


async def test_mem0s_own_store_is_read_where_it_lies(
    pool: Pool, version: str, database_dsn: str, tmp_path: Path
) -> None:
    """Who leaves `vector_store: pgvector` in the settings has all of it too, and none of the plugin's notes."""
    with psycopg.connect(database_dsn) as connection:
        connection.execute("DELETE FROM mem0 WHERE vector IS NULL")  # mem0's own code falls over these
    mine = shown(version) - {"I have a long list.", "I have no date at all."}
    load_mem0(tmp_path)
    config = {"connection_string": database_dsn, "collection_name": "mem0"}
    raw = open_vector_store(Part("pgvector", config), dimensions=1536, folder=tmp_path)
    store = OtherStore(raw, "pgvector")
    engine = OtherStoreEngine(pool, Long(), store)
    await engine.start()
    try:
        found = await engine.search("What is my dog called?", user_id="ann", top_k=100)
        assert found[0].memory.text == "My dog is called Rex."
        listed = {memory.text for memory in await engine.get_all(user_id="ann")}
        assert {one.memory.text for one in found} == listed == mine
        assert await engine.get_all(user_id="memory_extractor") == []
        await engine.forget(user_id="ann")
    finally:
        await engine.stop(1.0)
        await store.close()
    with psycopg.connect(database_dsn) as connection:
        assert connection.execute("SELECT count(*) FROM mem0 WHERE payload->>'user_id' = 'ann'").fetchone() == (0,)


async def test_what_the_installed_mem0_writes_now(start_engine: StartEngine, database_dsn: str, tmp_path: Path) -> None:
    async with StandInCloud(dimensions=1536) as cloud:
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(DUMPS / "written_by_mem0.py"), database_dsn, cloud.base_url, "mem0",
            str(tmp_path / "history.db"),
            env={"MEM0_TELEMETRY": "False", "MEM0_DIR": str(tmp_path), "HOME": str(tmp_path)},
            stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        async with asyncio.timeout(LIMIT_S):
            assert await process.wait() == 0
    before = checksum(database_dsn)
    async with start_engine() as engine:
        report = await engine.adopt("mem0", AdoptionOptions(), nobody)
        assert await texts_of(engine) == ANN | OF_2
        assert (report.contents.internal, report.contents.entities) == (INTERNAL, 2)
    assert checksum(database_dsn) == before


async def test_checkpoints_of_the_public_plugin_go_on_here(
    adopting_engine: Callable[..., MemoryEngine], pool: Pool, version: str, database_dsn: str
) -> None:
    """Marked by a boolean or by a text, the newest counts; what is broken or empty is none. Each comes once."""
    with psycopg.connect(database_dsn) as connection:
        for number, mark, day, data in (
            (1, True, "2030-01-02", '{"conversations": {"c2": {"last_processed_message_id": "m2"}}}'),
            (2, "true", "2030-01-01", '{"conversations": {"c3": {"last_processed_message_id": "m3"}}}'),
            (3, "true", "2030-01-03", '{"conversations": broken'),
        ):
            payload = {
                "data": data, "user_id": "ben", "agent_id": "app-1", "__internal": mark, "internal_type": "checkpoint",
                "created_at": day,
            }  # fmt: skip
            connection.execute("INSERT INTO mem0 (id, payload) VALUES (%s, %s)", (UUID(int=number), Json(payload)))
    before = checksum(database_dsn)
    async with Started(adopting_engine()) as engine:
        records = PostgresRecords(pool, meet=engine.meet)
        kept = await records.checkpoint("ann", "app-1")
        assert kept is not None
        read = checkpoint_of(kept.value).of("c1")
        assert read.last_message_id == "m9"
        assert [(one.first, one.last) for one in read.read.stretches] == [(1751328000, 1751414400)]
        assert await records.checkpoint("小明", "app-1") is None, "it says nothing"
        bens = await records.checkpoint("ben", "app-1")
        assert bens is not None and list(bens.value["conversations"]) == ["c2"]
        await records.drop_checkpoints([kept])
        report = await engine.adopt("mem0", AdoptionOptions(), lambda done, of: None)
        assert report.checkpoints == 0
        assert await records.checkpoint("ann", "app-1") is None, "what was deleted here does not come back"
    assert checksum(database_dsn) == before


async def test_numbers_that_were_taken_for_ids_are_ids_in_notes_too(
    start_engine: StartEngine, pool: Pool, version: str, database_dsn: str
) -> None:
    noted = {
        str(UUID(int=51)): {"last_recalled_at": "2030-01-02T10:00:00+00:00", "recall_count": 4, "quality_ema": 0.7}
    }
    read = {"conversations": {"c7": {"last_processed_message_id": "m7"}}}
    rows: dict[int, dict[str, Any]] = {
        51: {"data": "Counts sheep.", "created_at": "2030-01-01T10:00:00+00:00"},
        52: {"data": json.dumps(noted), "__internal": True, "internal_type": "access_log"},
        53: {"data": json.dumps(read), "agent_id": 3, "__internal": True, "internal_type": "checkpoint"},
        54: {"data": json.dumps(noted), "user_id": ["7"], "__internal": True, "internal_type": "access_log"},
    }
    with psycopg.connect(database_dsn) as connection:
        for number, payload in rows.items():
            whole = Json({"user_id": 70, **payload})
            connection.execute("INSERT INTO mem0 (id, payload) VALUES (%s, %s)", (UUID(int=number), whole))
    async with start_engine() as engine:
        report = await engine.adopt("mem0", AdoptionOptions(), nobody)
        assert (report.accesses, report.checkpoints) == (4, 2)
        (memory,) = await engine.get_all(user_id="70")
        async with pool.connection() as connection:
            found = await connection.execute("SELECT access_count FROM memory_entry WHERE id = %s", (memory.id,))
            assert await found.fetchone() == (4,)
        assert await PostgresRecords(pool, meet=engine.meet).checkpoint("70", "3") is not None


async def test_who_is_forgotten_leaves_nothing_in_mem0s_table_in_another_database(
    postgres_server: PostgresServer, pool: Pool, executor: ThreadPoolExecutor
) -> None:
    elsewhere = postgres_server.create_database()
    try:
        load(elsewhere, "2_2_1")
        async with AsyncConnectionPool(elsewhere, min_size=0, max_size=1, open=False) as theirs:
            adopted = AdoptedTable(ForeignTable(theirs, "mem0"))
            async with Started(MemoryEngine(pool, WordEmbedder(), executor, adopted=adopted)) as engine:
                known = await engine.get_all(user_id="ann")
                assert known
                removed = await engine.forget_person(user_id="ann")
                assert removed["memory_entry"] >= len(known)
                assert removed["mem0"] >= len(known)
                assert await engine.get_all(user_id="ann") == []
        with psycopg.connect(elsewhere) as connection:
            rows = connection.execute("SELECT payload ->> 'user_id' FROM mem0").fetchall()
        owners = {owner for (owner,) in rows}
        assert "ann" not in owners
        assert "小明" in owners
    finally:
        postgres_server.drop_database(elsewhere)
