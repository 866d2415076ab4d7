"""Memories written to a file and read in again, on real databases: all of it, once, and whatever is wrong is told."""

import asyncio
import base64
import io
import json
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest
from psycopg_pool import AsyncConnectionPool

from tests.integration.memory.transfer_world import (
    NOON,
    Pool,
    everything,
    exported,
    imported,
    lines,
    refused,
    rows,
    said,
    saved_alone,
    whole_life,
)
from tests.support.postgres import PostgresServer
from xiaozhi_server.core.providers.memory.mem0ai import InvalidIdError, MemoryEngine
from xiaozhi_server.core.providers.memory.mem0ai.embedding.embed import Vectors
from xiaozhi_server.core.providers.memory.mem0ai.testing import WordEmbedder
from xiaozhi_server.core.providers.memory.mem0ai.transfer.errors import TransferError
from xiaozhi_server.core.providers.memory.mem0ai.transfer.importing import ImportOptions

HEADER = {"kind": "header", "format": "xiaozhi-memory", "version": 1, "embedder": {"name": "words", "dimensions": 64}}
END = {"kind": "end"}


class CountingEmbedder(WordEmbedder):
    def __init__(self, name: str = "words") -> None:
        self.name = name
        self.texts: list[str] = []

    async def embed(self, texts: Sequence[str]) -> Vectors:
        self.texts += texts
        return await super().embed(texts)


class Elsewhere:
    """Another installation: a database and an engine of its own."""

    def __init__(self, pool: Pool, engine: MemoryEngine, embedder: CountingEmbedder) -> None:
        self.pool = pool
        self.engine = engine
        self.embedder = embedder


@pytest.fixture
async def elsewhere(postgres_server: PostgresServer, executor: ThreadPoolExecutor) -> AsyncIterator[Elsewhere]:
    dsn = postgres_server.create_database()
    async with AsyncConnectionPool(dsn, min_size=4, max_size=4, timeout=5, open=False) as pool:
        await pool.wait()
        embedder = CountingEmbedder()
        engine = MemoryEngine(pool, embedder, executor)
        await engine.start(work=False)  # what waits shall still wait when it is looked at
        yield Elsewhere(pool, engine, embedder)
        await engine.stop(1.0)
    postgres_server.drop_database(dsn)


def memory(text: str = "I like teal.", *, user_id: str = "ann", **more: Any) -> dict[str, Any]:
    at = NOON.isoformat()
    return {"kind": "memory", "user_id": user_id, "id": str(uuid4()), "text": text, "created_at": at, **more}


def file(*values: Any) -> bytes:
    return lines(HEADER, *values, END)


async def test_everything_comes_over_as_it_was(engine: MemoryEngine, pool: Pool, elsewhere: Elsewhere) -> None:
    await whole_life(engine, pool)
    content = await exported(engine, user_id="ann", vectors=True)
    done = await imported(elsewhere.engine, content)
    assert (done.refused, done.embedded) == (0, 0)
    assert "My sister Anna loves teal." not in elsewhere.embedder.texts
    before, after = await everything(pool), await everything(elsewhere.pool)
    for table in before:
        assert before[table], table
        # How often the notes were written anew is each database's own count.
        assert after[table] == before[table], table
    (waiting,) = await rows(elsewhere.pool, "memory_outbox", "ann", without=("due_at",))
    assert (waiting["key"], waiting["state"], waiting["instruction"]) == ("turn-9", "waiting", "be brief")
    assert waiting["messages"][0]["content"] == "I also like teal tea."
    history = [
        event.new_memory for event in await elsewhere.engine.history(before["memory_entry"][0]["id"], user_id="ann")
    ]
    assert history
    (hit, *_) = await elsewhere.engine.search("Anna loves teal", user_id="ann")
    assert hit.semantic_score is not None


async def test_the_same_file_a_second_time_changes_nothing(
    engine: MemoryEngine, pool: Pool, elsewhere: Elsewhere
) -> None:
    await whole_life(engine, pool)
    content = await exported(engine)
    first = await imported(elsewhere.engine, content)
    assert first.embedded == 19  # without vectors they are made anew
    before = (
        await everything(elsewhere.pool),
        await rows(elsewhere.pool, "memory_outbox", without=("due_at", "attempts")),
    )
    second = await imported(elsewhere.engine, content)
    after = (
        await everything(elsewhere.pool),
        await rows(elsewhere.pool, "memory_outbox", without=("due_at", "attempts")),
    )
    assert after == before
    assert (second.changes, second.embedded, second.refused) == (0, 0, 0)
    assert second.lines == first.lines
    assert await imported(engine, content) is not None
    assert (await imported(engine, content)).changes == 0


async def test_a_file_is_the_same_as_long_as_nothing_changes(engine: MemoryEngine, pool: Pool) -> None:
    await whole_life(engine, pool)
    await whole_life(engine, pool, "bob", "plum")
    one, other = [(await exported(engine, vectors=True)).splitlines() for _ in range(2)]
    assert one[1:] == other[1:]
    header, end = json.loads(one[0]), json.loads(one[-1])
    assert (header["format"], header["version"], header["embedder"]) == ("xiaozhi-memory", 1, HEADER["embedder"])
    assert header["lines"] == end["lines"] == len(one) - 2
    owners = [json.loads(line)["user_id"] for line in one[1:-1] if json.loads(line)["kind"] == "memory"]
    assert owners == ["ann"] * 19 + ["bob"] * 19
    only = [json.loads(line) for line in (await exported(engine, user_id="bob")).splitlines()]
    assert {line["user_id"] for line in only[1:-1]} == {"bob"}
    assert only[0]["user_id"] == "bob"
    assert not [line for line in only if "vector" in line]
    with pytest.raises(InvalidIdError):
        await exported(engine, user_id="*")


async def test_every_column_is_exported_or_known_not_to_be(engine: MemoryEngine, pool: Pool) -> None:
    """Whoever gives a table another column must say what becomes of it in a file."""
    await whole_life(engine, pool)
    content = [json.loads(line) for line in (await exported(engine, vectors=True)).splitlines()]
    made_anew = {"memory_entry": {"words", "embedder"}, "memory_history": {"seq"}, "memory_summary": {"version"}}
    full = {
        "memory_entry": memory() | dict.fromkeys(("run_id", "speaker", "expires_at", "position")),
        "memory_relation": dict.fromkeys(("valid_to",)),
    }
    kinds = {"entry": "memory"}
    other_names = {"embedding": "vector", "kind": "sort"}
    async with pool.connection() as connection:
        for table in ("entry", "history", "thing", "link", "relation", "summary"):
            name = f"memory_{table}"
            cursor = await connection.execute(
                "SELECT column_name FROM information_schema.columns WHERE table_name = %s", (name,)
            )
            columns = {row[0] for row in await cursor.fetchall()} - made_anew.get(name, set())
            told = {key for line in content if line["kind"] == kinds.get(table, table) for key in line}
            renamed = {other_names.get(column, column) if table in ("thing", "entry") else column for column in columns}
            assert renamed <= told | full.get(name, {}).keys(), name


async def test_an_export_takes_its_time_and_sees_one_moment(engine: MemoryEngine, pool: Pool) -> None:
    await engine.add([said(f"Number {number}.") for number in range(1200)], user_id="ann")
    told: list[tuple[int, int]] = []
    reading = engine.exported(user_id="ann", progress=lambda done, total: told.append((done, total)))
    head = await anext(reading)
    await engine.delete_all(user_id="ann")
    rest = b"".join([some async for some in reading])
    assert (head + rest).count(b'"kind":"memory"') == 1200
    assert told == [(500, 1200), (1000, 1200), (1200, 1200)]


async def test_an_owner_may_get_another_name(engine: MemoryEngine, pool: Pool) -> None:
    await whole_life(engine, pool)
    await whole_life(engine, pool, "bob", "plum")
    content = saved_alone(await exported(engine, user_id="ann"))
    done = await imported(engine, content, user_id="cid")
    assert done.refused == 0
    theirs, ours = await everything(pool, "ann"), await everything(pool, "cid")
    for table in theirs:
        assert [row | {"user_id": "cid"} for row in theirs[table]] == ours[table], table

    several = await exported(engine)
    mixed = await imported(engine, several, user_id="dan")
    assert mixed.refused == sum(json.loads(line).get("user_id") != "ann" for line in several.splitlines()[1:-1])
    assert set(refused(mixed.notices).values()) == {
        "belongs to another owner than the first line: say with --from whose lines are meant"
    }
    chosen = await imported(engine, several, user_id="eve", from_user="bob")
    assert {row["text"] for row in await rows(pool, "memory_entry", "eve")} == {
        row["text"] for row in await rows(pool, "memory_entry", "bob")
    }
    assert chosen.refused
    with pytest.raises(InvalidIdError):
        await imported(engine, content, user_id="*")


async def test_what_was_written_later_counts(engine: MemoryEngine, pool: Pool) -> None:
    (mine,) = await engine.add([said("I live in Munich.")], user_id="ann")
    later, earlier = NOON + timedelta(hours=1), NOON - timedelta(hours=1)
    newer = memory("I live in Berlin.", id=str(mine.id), updated_at=later.isoformat())
    older = memory("I live in Bonn.", id=str(mine.id), updated_at=earlier.isoformat())
    assert (await imported(engine, file(older))).counts == {("memory", "unchanged"): 1}
    assert (await engine.get(mine.id, user_id="ann")) == mine
    assert (await imported(engine, file(newer))).counts == {("memory", "changed"): 1}
    changed = await engine.get(mine.id, user_id="ann")
    assert changed is not None
    assert (changed.text, changed.updated_at) == ("I live in Berlin.", later)
    (hit,) = await engine.search("Berlin", user_id="ann")
    assert hit.memory.id == mine.id
    events = await engine.history(mine.id, user_id="ann")
    assert [(one.event, one.old_memory, one.new_memory) for one in events][1:] == [
        ("UPDATE", "I live in Munich.", "I live in Berlin.")
    ]
    before = await everything(pool)
    assert (await imported(engine, file(newer))).changes == 0
    assert await everything(pool) == before


async def test_a_changed_history_comes_along_once(engine: MemoryEngine, pool: Pool, elsewhere: Elsewhere) -> None:
    (mine,) = await engine.add([said("I live in Munich.")], user_id="ann")
    await imported(elsewhere.engine, await exported(engine))
    for city in ("Berlin", "Bonn"):
        await engine.update(mine.id, user_id="ann", text=f"I live in {city}.")
    done = await imported(elsewhere.engine, await exported(engine))
    assert done.counts == {("history", "added"): 2, ("memory", "changed"): 1}
    assert await everything(elsewhere.pool) == await everything(pool)


async def test_the_same_id_may_be_somebody_elses(engine: MemoryEngine) -> None:
    (mine,) = await engine.add([said("I like teal.")], user_id="ann")
    done = await imported(engine, file(memory("I like figs.", user_id="bob", id=str(mine.id))))
    assert done.counts == {("memory", "added"): 1}
    assert (await engine.get(mine.id, user_id="ann")) == mine
    (foreign,) = await engine.get_all(user_id="bob")
    assert (foreign.id, foreign.text) == (mine.id, "I like figs.")


async def test_things_are_the_same_by_their_names(engine: MemoryEngine, pool: Pool, elsewhere: Elsewhere) -> None:
    """Two installations that know Anna by different ids: links and relations of the one point at the other's."""
    await whole_life(engine, pool)
    content = await exported(engine)
    async with elsewhere.pool.connection() as connection:
        await connection.execute(
            "INSERT INTO memory_thing (user_id, id, agent_id, name, key, created_at, updated_at)"
            " VALUES ('ann', %s, 'bot', 'Anna', 'anna', now(), now())",
            (UUID(int=77),),
        )
    for attempt in range(2):
        done = await imported(elsewhere.engine, content)
        assert done.refused == 0
        (link,) = await rows(elsewhere.pool, "memory_link")
        (relation,) = await rows(elsewhere.pool, "memory_relation")
        assert link["thing_id"] == relation["subject"] == str(UUID(int=77))
        assert relation["object"] == str(UUID(int=2))
        assert bool(done.changes) == (attempt == 0)


async def test_a_dry_run_says_the_same_and_does_nothing(engine: MemoryEngine, pool: Pool, elsewhere: Elsewhere) -> None:
    await whole_life(engine, pool)
    content = await exported(engine)
    would = await imported(elsewhere.engine, content, dry_run=True)
    assert not any((await everything(elsewhere.pool)).values())
    assert not await rows(elsewhere.pool, "memory_outbox")
    assert "My sister Anna loves teal." not in elsewhere.embedder.texts
    did = await imported(elsewhere.engine, content)
    assert (would.counts, would.refused) == (did.counts, did.refused)


async def test_two_imports_at_once_are_as_one(engine: MemoryEngine, pool: Pool, elsewhere: Elsewhere) -> None:
    await whole_life(engine, pool)
    await engine.add([said(f"Number {number}.") for number in range(1500)], user_id="bob")
    content = await exported(engine)
    done = await asyncio.gather(*(imported(elsewhere.engine, content) for _ in range(3)))
    assert [one.refused for one in done] == [0, 0, 0]
    added = sum(count for one in done for (_, outcome), count in one.counts.items() if outcome == "added")
    assert added == done[0].lines
    assert await everything(elsewhere.pool) == await everything(pool)


async def test_broken_lines_are_told_and_the_rest_goes_on(engine: MemoryEngine) -> None:
    twice = memory("I like plums.")
    content = b"".join(
        (
            lines(HEADER, memory("I like teal.")),
            b'{"kind":"memory"\n',  # 3
            b"[1, 2]\n",
            b"\xff\xfe broken\n",
            b'"' + b"x" * 1_200_000 + b'"\n',
            lines(twice, twice | {"text": "I like figs."}),  # 7, 8
            lines(memory("a\0b"), memory("ok", metadata=[1]), memory("ok", metadata={"deep": "a\0b"})),  # 9, 10, 11
            lines(memory("ok", id="no id"), memory("ok", created_at="01/02/2026"), memory(" ")),  # 12, 13, 14
            lines({"kind": "nonsense"}, memory("ok", user_id="*"), memory("ok", pinned="yes")),  # 15, 16, 17
            lines({"kind": "link", "user_id": "ann", "memory_id": str(uuid4()), "thing_id": str(uuid4())}),  # 18
            lines({"kind": "memory", "id": str(uuid4()), "text": "Whose?", "created_at": NOON.isoformat()}),  # 19
            b"[" * 100_000 + b"\n",  # 20
            lines(memory("I like quinces."), END),
        )
    )
    done = await imported(engine, content)
    assert refused(done.notices) == {
        3: "is no JSON",
        4: "is no JSON object",
        5: "is not UTF-8",
        6: "is longer than 1000000 bytes",
        8: "has the id of line 7, which counts",
        9: "has a NUL character in its text",
        10: "has metadata that is no object",
        11: "has metadata that cannot be kept: too much, too deep, or with a NUL character",
        12: "has a id that is no UUID",
        13: "has a created_at that is no date",
        14: "has no text",
        15: "is of a kind that is not known here",
        16: "has a user_id that is none: empty, with blanks around it, a wildcard or too long",
        17: "has a pinned that is neither true nor false",
        18: "names a memory or a thing that is not there",
        19: "names no owner (user_id)",
        20: "is nested too deeply",
    }
    assert done.refused == 17
    assert sorted(one.text for one in await engine.get_all(user_id="ann")) == [
        "I like plums.",
        "I like quinces.",
        "I like teal.",
    ]


async def test_a_file_that_was_cut_off_is_told(engine: MemoryEngine, pool: Pool) -> None:
    await whole_life(engine, pool)
    content = await exported(engine)
    cut = content[: content.index(b"number 9.")]
    done = await imported(engine, cut, user_id="bob")
    number = cut.count(b"\n") + 1
    assert refused(done.notices) == {
        number: "is no JSON",
        number + 1: "is missing: the file ends before its last line, so it was cut off",
    }
    assert await engine.get_all(user_id="bob")


async def test_vectors_that_do_not_fit_are_made_anew(engine: MemoryEngine, elsewhere: Elsewhere) -> None:
    short = base64.b64encode(np.ones(3, ">f2").tobytes()).decode()
    wrong = base64.b64encode(np.full(64, np.nan, ">f2").tobytes()).decode()
    good = base64.b64encode(np.eye(64, dtype=">f2")[5].tobytes()).decode()
    content = file(
        memory("One.", vector=short), memory("Two.", vector=wrong), memory("Three.", vector=12), memory("Four."),
        memory("Five.", vector=good),
    )  # fmt: skip
    done = await imported(elsewhere.engine, content)
    assert (done.refused, done.embedded) == (0, 4)
    assert {"One.", "Two.", "Three.", "Four."} <= set(elsewhere.embedder.texts)
    assert "Five." not in elsewhere.embedder.texts
    assert [notice.number for notice in done.notices] == [2, 3, 4]
    found = await elsewhere.engine.search("Five", user_id="ann")
    assert len(found) == 5

    foreign = content.replace(b'"words"', b'"others"')
    done = await imported(elsewhere.engine, foreign, user_id="bob")
    assert (done.refused, done.embedded, len(done.notices)) == (0, 5, 0)


async def test_dates_in_the_future_are_kept_and_flagged(engine: MemoryEngine) -> None:
    ahead = (datetime.now(UTC) + timedelta(days=400)).isoformat()
    done = await imported(engine, file(memory("I like teal.", created_at=ahead)))
    (notice,) = done.notices
    assert (notice.number, notice.is_refused, done.refused) == (2, False, 0)
    (kept,) = await engine.get_all(user_id="ann")
    assert (kept.flag, kept.created_at.isoformat()) == ("from_the_future", ahead)
    assert (await imported(engine, file(memory("x", id=str(kept.id), created_at=ahead)))).changes == 0


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "this file is empty"),
        (b" \n\n", "this file is empty"),
        (b"\x1f\x8b\x08\x00", "this file is compressed"),
        ("I like teal.".encode("utf-16"), "this file is not UTF-8 text"),
        (b"\x00\x01\x02\x03", "this file is not UTF-8 text"),
        (b"{1, 2}", "the form of this file is not known"),
        (b"\xff\xff\xff", "the form of this file is not known"),
        (b'[{"memory": "I like teal."', "this file is no JSON: it may have been cut off"),
    ],
)
async def test_what_is_no_such_file_is_refused_as_a_whole(engine: MemoryEngine, content: bytes, why: str) -> None:
    with pytest.raises(TransferError) as refusal:
        await imported(engine, content, user_id="ann")
    assert str(refusal.value).startswith(why)
    assert await engine.get_all(user_id="ann") == []


async def test_an_embedder_that_fails_ends_the_import_and_the_next_one_goes_on(start_engine: Any) -> None:
    class Ill(WordEmbedder):
        ill = True

        async def embed(self, texts: Sequence[str]) -> Vectors:
            if self.ill and "Number 600." in texts:
                self.ill = False
                raise RuntimeError("the embedder is ill")
            return await super().embed(texts)

    content = file(*(memory(f"Number {number}.") for number in range(1000)))
    async with start_engine(Ill()) as engine:
        with pytest.raises(TransferError, match=r"the embedder failed \(RuntimeError\)"):
            await imported(engine, content)
        assert len(await engine.get_all(user_id="ann", top_k=2000)) == 500
        assert (await imported(engine, content)).counts == {("memory", "added"): 500, ("memory", "unchanged"): 500}


# --- the forms of others ---


async def test_memories_of_mem0_come_in_each_of_its_forms(engine: MemoryEngine) -> None:
    entry = {
        "id": "0b5a8a3e-91f1-4a0a-8a4e-6a4b9d1d2f10", "memory": "Likes teal.", "user_id": "ann", "agent_id": "bot",
        "metadata": {"kind": "colour"}, "categories": ["likes"], "created_at": "2025-07-01T10:00:00.5-07:00",
        "updated_at": "2025-07-02T10:00:00-07:00", "score": None, "hash": "x", "expiration_date": "2999-01-31",
    }  # fmt: skip
    undated = {"id": "mem_7", "memory": "Likes plums.", "user_id": "ann"}
    listed = [entry, undated]
    mtime = datetime(2026, 2, 1, tzinfo=UTC)
    for content in (
        json.dumps({"count": 2, "next": None, "results": listed}, indent=2).encode(),
        json.dumps(listed).encode(),
        lines(*listed),
        json.dumps(listed, indent=1).encode("utf-8-sig"),
    ):
        done = await imported(engine, content, as_of=mtime)
        assert done.refused == 0
    assert done.changes == 0  # each form is the same again
    plums, teal = await engine.get_all(user_id="ann")
    assert (teal.id, teal.agent_id) == (UUID(str(entry["id"])), "bot")
    assert teal.metadata == {"kind": "colour", "categories": ["likes"]}
    assert teal.created_at == datetime(2025, 7, 1, 17, 0, 0, 500000, tzinfo=UTC)
    assert teal.expires_at is not None
    assert (plums.text, plums.created_at) == ("Likes plums.", mtime)
    mine = await imported(engine, json.dumps([{"memory": "Likes figs."}, {"memory": ""}, 7]).encode(), user_id="bob")
    assert refused(mine.notices) == {2: "has no memory", 3: "is no JSON object"}
    nobodys = await imported(engine, json.dumps([{"memory": "Likes figs."}]).encode())
    assert refused(nobodys.notices) == {1: "names no owner: say --user"}
    assert [one.text for one in await engine.get_all(user_id="bob")] == ["Likes figs."]


NOTES = """{"时空档案": {"身份图谱": {"现用名": "张三", "特征标记": ["软工", "养猫"]},
"记忆立方": [{"事件": "入职新公司", "时间戳": "2024-03-20", "情感值": 0.9, "关联项": ["下午茶"]}]},
"关系网络": {"高频话题": {"职场": 12}, "暗线联系": [""]}}"""
MAC = "aa:bb:cc:11:22:33"


@pytest.mark.parametrize("name", ["memory-yaml", None])
async def test_short_memories_of_the_reference_server(engine: MemoryEngine, pool: Pool, name: Any) -> None:
    import yaml

    content = yaml.dump(
        {MAC: NOTES, "aa:bb:cc:11:22:44": "Likes teal.\n- [2025-05-01] Has a dog.", "x1": None}, allow_unicode=True
    )
    as_of = datetime(2026, 2, 1, tzinfo=UTC)
    done = await imported(engine, content.encode(), format=name, as_of=as_of)
    assert done.format == "memory-yaml"
    assert set(refused(done.notices).values()) == {"has no text"}
    told = {one.text: (one.created_at.date().isoformat(), one.metadata) for one in await engine.get_all(user_id=MAC)}
    assert told == {
        "身份图谱 现用名: 张三": ("2026-02-01", None),
        "身份图谱 特征标记: 软工": ("2026-02-01", None),
        "身份图谱 特征标记: 养猫": ("2026-02-01", None),
        "入职新公司": ("2024-03-20", {"情感值": 0.9, "关联项": ["下午茶"]}),
        "高频话题 职场: 12": ("2026-02-01", None),
    }
    other = await engine.get_all(user_id="aa:bb:cc:11:22:44")
    assert [(one.text, one.created_at.date().isoformat()) for one in other] == [
        ("Likes teal.", "2026-02-01"),
        ("Has a dog.", "2025-05-01"),
    ]
    before = await everything(pool)
    again = await imported(engine, content.encode(), as_of=as_of + timedelta(days=9))
    assert again.changes == 0
    assert await everything(pool) == before


async def test_a_summary_becomes_notes_where_notes_are_kept(engine: MemoryEngine, pool: Pool) -> None:
    as_of = datetime(2026, 2, 1, tzinfo=UTC)
    for text, added in (
        ("[2025-05-01] Has a dog.\nLikes teal.", 2),
        ("Likes teal.", 0),
        ("Likes plums.\n", 1),
        (NOTES, 5),
    ):
        done = await imported(engine, text.encode(), user_id="ann", agent_id="bot", notes=True, as_of=as_of)
        assert done.counts["note", "added"] == added
        as_of += timedelta(days=1)
    (summary,) = await rows(pool, "memory_summary", "ann")
    assert summary["text"].splitlines()[:3] == [
        "[2025-05-01] Has a dog.",
        "[2026-02-01] Likes teal.",
        "[2026-02-03] Likes plums.",
    ]
    assert "[2024-03-20] 入职新公司" in summary["text"]
    assert (summary["agent_id"], summary["version"]) == ("bot", 3)
    assert await engine.get_all(user_id="ann") == []
    unnamed = await engine.imported(io.BytesIO(b"Likes teal."), ImportOptions())
    assert refused(unnamed.notices) == {1: "names no owner: say --user"}
