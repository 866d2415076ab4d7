"""What fades and what does not, on a real database: the log of what was recalled, the judgement, pinning, deleting."""

import asyncio
import random
import uuid
from collections.abc import Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from tests.support.waiting import until
from xiaozhi_server.core.providers.memory.base import MemoryRules, SpokenMessage
from xiaozhi_server.core.providers.memory.mem0ai import (
    EngineOptions,
    InvalidIdError,
    Mem0aiMemory,
    MemoryEngine,
    MemoryInputError,
    MemoryNotFoundError,
    StoredMemory,
)
from xiaozhi_server.core.providers.memory.mem0ai.forgetting import prune as pruning
from xiaozhi_server.core.providers.memory.mem0ai.forgetting.access_log import AccessOptions
from xiaozhi_server.core.providers.memory.mem0ai.forgetting.prune import PruneWatch, Whose, prune
from xiaozhi_server.core.providers.memory.mem0ai.forgetting.retention import Trace, retention_info

Pool = AsyncConnectionPool[AsyncConnection[Any]]

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
QUICK = EngineOptions(access=AccessOptions(flush_every_s=0.05))


def ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


async def added(engine: MemoryEngine, text: str, days: float, *, user_id: str = "ann", **more: Any) -> StoredMemory:
    memory: StoredMemory
    (memory,) = await engine.add([SpokenMessage("user", text, ago(days))], user_id=user_id, infer=False, **more)
    return memory


async def changed(pool: Pool, memory: StoredMemory, **columns: Any) -> None:
    names = ", ".join(f"{name} = %({name})s" for name in columns)
    async with pool.connection() as connection:
        statement = f"UPDATE memory_entry SET {names} WHERE user_id = %(user)s AND id = %(key)s"
        await connection.execute(statement.encode(), {**columns, "user": memory.user_id, "key": memory.id})


async def texts(engine: MemoryEngine, user_id: str = "ann") -> set[str]:
    return {memory.text for memory in await engine.get_all(user_id=user_id, top_k=10_000)}


async def trace(engine: MemoryEngine, memory: StoredMemory) -> tuple[int, float | None]:
    kept = await engine.get(memory.id, user_id=memory.user_id)
    assert kept is not None
    return kept.access_count, kept.quality


# --- the log of what was recalled ---


async def test_what_is_handed_on_is_noted_and_nothing_else(start_engine: Any) -> None:
    async with start_engine(options=QUICK) as engine:
        teal = await added(engine, "My favourite colour is teal.", 9, agent_id="bot")
        plum = await added(engine, "Plums grow in the garden behind the house.", 9, agent_id="bot")
        provider = Mem0aiMemory(engine)
        await provider.init_memory("ann", agent_id="bot")
        before = datetime.now(UTC)
        recalled = await provider.recall("my favourite colour", 1, 5.0)
        assert [one.text for one in recalled] == [teal.text]
        assert recalled[0].score >= 0.5

        async def noted() -> bool:
            return (await trace(engine, teal))[0] == 1

        await until(noted)
        kept = await engine.get(teal.id, user_id="ann")
        assert kept is not None and kept.accessed_at is not None
        assert kept.accessed_at >= before
        assert kept.quality == pytest.approx(recalled[0].score, abs=2e-6)
        assert kept.updated_at == teal.updated_at
        assert await trace(engine, plum) == (0, None)
        # Whoever only looks leaves no trace, unless it says so.
        await engine.search("my favourite colour", user_id="ann", top_k=1)
        await engine.search("my favourite colour", user_id="ann", top_k=1, counts=True)

        async def noted_again() -> bool:
            return (await trace(engine, teal))[0] == 2

        await until(noted_again)
        await provider.close()


async def test_many_recalls_become_one_write_and_are_smoothed_in_their_order(start_engine: Any, pool: Pool) -> None:
    async with start_engine() as engine:  # waits ten seconds for more: only its end writes
        memory = await added(engine, "My favourite colour is teal.", 9)
        for quality in (0.9, 0.4, 0.6):
            engine._access.note("ann", [(memory.id, quality), (uuid.uuid4(), 0.9)], ago(1))
        engine._access.note("bob", [(memory.id, 0.9)], ago(1))  # not his
        assert await trace(engine, memory) == (0, None)
    async with pool.connection() as connection:
        cursor = await connection.execute("SELECT access_count, quality, accessed_at FROM memory_entry")
        assert await cursor.fetchall() == [(2, pytest.approx(0.81), ago(1))]


async def test_a_recall_wakes_nobody_and_changes_nothing_else(start_engine: Any, database_dsn: str) -> None:
    async with (
        start_engine(options=QUICK) as engine,
        await AsyncConnection.connect(database_dsn, autocommit=True) as listening,
    ):
        memory = await added(engine, "My favourite colour is teal.", 9)
        await listening.execute("LISTEN memory_changed")
        engine._access.note("ann", [(memory.id, 0.9)], ago(1))

        async def noted() -> bool:
            return (await trace(engine, memory))[0] == 1

        await until(noted)
        await engine.pin(memory.id, user_id="ann")  # this is told: had the recall been told, it would have come first
        async with aclosing(listening.notifies(timeout=5.0)) as notices:
            told = [notice.payload async for notice in notices if notice.payload[:1] != " "][:1]
        assert told == ["ann"]
        history = await engine.history(memory.id, user_id="ann")
        assert [one.event for one in history] == ["ADD"]


async def test_the_log_is_bounded_and_lives_through_a_database_that_is_away(
    start_engine: Any, pool: Pool, caplog: pytest.LogCaptureFixture
) -> None:
    options = EngineOptions(access=AccessOptions(flush_every_s=0.05, waiting_max=3, database_timeout_s=0.2))
    async with start_engine(options=options) as engine:
        memory = await added(engine, "My favourite colour is teal.", 9)
        async with pool.connection() as holder, holder.transaction():
            await holder.execute("SELECT FROM memory_entry FOR UPDATE")
            for _ in range(5):
                engine._access.note("ann", [(memory.id, 0.9)], ago(1))
            await until(lambda: "is not noted yet (TimeoutError)" in caplog.text)

        async def noted() -> bool:
            return (await trace(engine, memory))[0] == 3

        await until(noted)
        assert "2 recalls leave no trace, too many waited already" in caplog.text
        assert "teal" not in caplog.text


async def test_an_impossible_date_of_a_recall_is_mended_by_the_next(start_engine: Any, pool: Pool) -> None:
    async with start_engine(options=QUICK) as engine:
        memory = await added(engine, "My favourite colour is teal.", 9)
        await changed(pool, memory, accessed_at="infinity", access_count=3, quality=0.5)
        engine._access.note("ann", [(memory.id, 0.5)], ago(1))

        async def noted() -> bool:
            async with pool.connection() as connection:
                cursor = await connection.execute("SELECT access_count, isfinite(accessed_at) FROM memory_entry")
                return await cursor.fetchall() == [(4, True)]

        await until(noted)


async def test_a_recall_that_fitted_badly_leaves_only_its_time(start_engine: Any, pool: Pool) -> None:
    async with start_engine() as engine:  # its end writes
        memory = await added(engine, "My favourite colour is teal.", 9)
        await changed(pool, memory, accessed_at=ago(5), access_count=2, quality=0.75)
        engine._access.note("ann", [(memory.id, 0.1)], ago(1))
        engine._access.note("ann", [(memory.id, 0.2)], ago(3))
    async with pool.connection() as connection:
        cursor = await connection.execute("SELECT access_count, quality, accessed_at, used_at FROM memory_entry")
        assert await cursor.fetchall() == [(2, 0.75, ago(5), ago(1))]


# --- who goes ---


async def test_what_was_used_lately_stays_however_badly_it_fitted(engine: MemoryEngine, pool: Pool) -> None:
    kept = await added(engine, "The key lies under the pot.", 300)
    await changed(pool, kept, used_at=ago(41))
    gone = await added(engine, "The bus was late.", 300)
    await changed(pool, gone, used_at=ago(43))
    summary = await added(engine, "In spring we were at the sea twice.", 300)
    source = await added(engine, "In spring we were at the sea.", 310)
    await changed(pool, source, compressed_into=summary.id, used_at=ago(10))
    dry = await engine.prune(now=NOW, dry_run=True)
    assert ([one.id for one in dry.would_delete], dry.recently_recalled) == ([gone.id], 2)
    at_its_end = await engine.prune(now=NOW, dry_run=True, ttl_days=200)
    infos = {one.id: one.retention_info.recently_recalled for one in at_its_end.would_delete}
    assert infos == {kept.id: True, gone.id: False, summary.id: False, source.id: True}
    result = await engine.prune(now=NOW)
    assert (result.deleted_count, result.retained_count, result.recently_recalled) == (1, 3, 2)
    assert await texts(engine) == {kept.text, summary.text}


async def test_what_faded_goes_and_leaves_its_history(engine: MemoryEngine, pool: Pool) -> None:
    old = await added(engine, "The bus was late.", 43)
    await changed(pool, old, subtype="episodic")
    await added(engine, "We had soup today.", 41)
    pinned = await added(engine, "Grandmother's number is 7.", 4000)
    await engine.pin(pinned.id, user_id="ann")
    recalled = await added(engine, "I like teal.", 400)
    await changed(pool, recalled, accessed_at=ago(80), access_count=1, quality=0.9)
    await added(engine, "Verbatim fades after ninety days.", 91)
    await engine.search("soup", user_id="ann")  # what is at hand must not show what is gone
    assert {"The bus was late.", "Verbatim fades after ninety days."} < await texts(engine)

    result = await engine.prune(now=NOW)
    assert (result.deleted_count, result.retained_count, result.dry_run) == (2, 3, False)
    assert result.reasons == {"faded": 2}
    assert await texts(engine) == {"We had soup today.", "Grandmother's number is 7.", "I like teal."}
    assert all("bus" not in one.memory.text for one in await engine.search("the late bus", user_id="ann"))
    assert [one.event for one in await engine.history(old.id, user_id="ann")] == ["ADD", "DELETE"]
    assert (await engine.prune(now=NOW)).deleted_count == 0


async def test_a_dry_run_says_what_would_go_and_why(engine: MemoryEngine, pool: Pool) -> None:
    bus = await added(engine, "The bus was late.", 43, agent_id="bot")
    await changed(pool, bus, subtype="episodic", accessed_at=ago(43), access_count=1, quality=0.005)
    await added(engine, "We had soup today.", 41, agent_id="bot")
    await added(engine, "Bob's bus was late.", 143, user_id="bob", agent_id="other")
    seen: list[int] = []
    result = await engine.prune(
        user_id="ann", agent_id="bot", ttl_days=100, now=NOW, dry_run=True, progress=seen.append
    )
    assert (result.deleted_count, result.retained_count, result.dry_run) == (1, 1, True)
    (would,) = result.would_delete
    assert (would.id, would.user_id, would.memory, would.why) == (bus.id, "ann", bus.text, "faded")
    info = would.retention_info
    assert (info.memory_subtype, info.s0_used, info.age_days, info.recall_count, info.forget) == (
        "episodic", 14.0, 43.0, 1, True,
    )  # fmt: skip
    assert seen == [2]
    assert await engine.count(user_id="ann") == 2
    assert len(await texts(engine)) == 2
    whole = await engine.prune(ttl_days=40, now=NOW, dry_run=True)
    assert whole.reasons == {"too_old": 3}
    assert [one.retention_info.ttl_expired for one in whole.would_delete] == [True, True, True]


async def test_unknown_and_impossible_dates_mean_keep(engine: MemoryEngine, pool: Pool) -> None:
    for number, date in enumerate(("infinity", "-infinity", "1970-01-01", "0001-01-01", "12000-01-01", "2026-11-21Z")):
        memory = await added(engine, f"A fact without a date, {number}.", 400)
        await changed(pool, memory, created_at=date, subtype="episodic")
        other = await added(engine, f"A fact that was recalled nobody knows when, {number}.", 400)
        await changed(pool, other, accessed_at=date, access_count=1, quality=0.5, subtype="episodic")
    result = await engine.prune(now=NOW)
    assert (result.deleted_count, result.retained_count) == (0, 12)
    limited = await engine.prune(now=NOW, ttl_days=1)
    assert limited.reasons == {"too_old": 6}, "of the others it is known when they were said"
    async with pool.connection() as connection:
        cursor = await connection.execute("SELECT count(*) FROM memory_entry WHERE text LIKE '%without a date%'")
        assert await cursor.fetchall() == [(6,)]


async def test_what_ran_out_long_ago_goes_whatever_the_agents_want(engine: MemoryEngine, pool: Pool) -> None:
    await added(engine, "A parcel comes on Monday.", 60, expires_at=ago(31))
    await added(engine, "A parcel comes on Tuesday.", 60, expires_at=ago(29))
    kept = await added(engine, "A parcel comes on Friday.", 60, expires_at=ago(300))
    await engine.pin(kept.id, user_id="ann")
    watch = PruneWatch()
    result = await prune(pool, Whose(), NOW, dry_run=False, watch=watch)
    assert (dict(result.reasons), result.retained_count) == ({"expired": 1}, 2)


async def test_agents_have_their_own_rules_and_no_rule_means_keep(engine: MemoryEngine, pool: Pool) -> None:
    for agent in ("fading", "limited", "silent", None):
        await added(engine, f"{agent}: a year ago.", 365, agent_id=agent)
        await added(engine, f"{agent}: lately.", 20, agent_id=agent)
    rules = {"fading": MemoryRules(forget=True), "limited": MemoryRules(ttl_days=10)}
    result = await prune(pool, Whose(rules=rules), NOW, dry_run=False, watch=PruneWatch())
    assert dict(result.reasons) == {"faded": 1, "too_old": 2}
    assert await texts(engine) == {
        "fading: lately.", "silent: a year ago.", "silent: lately.", "None: a year ago.", "None: lately.",
    }  # fmt: skip


async def test_a_summary_goes_with_what_it_stands_for_and_not_without(engine: MemoryEngine, pool: Pool) -> None:
    async def summarised(name: str, days: float, *, pin_one: bool = False) -> None:
        summary = await added(engine, f"{name}: the summary.", days)
        for number in range(2):
            source = await added(engine, f"{name}: day {number}.", 400)
            await changed(pool, source, compressed_into=summary.id, pinned=pin_one and number == 0)

    await summarised("faded", 100)
    await summarised("fresh", 10)
    await summarised("pinned", 100, pin_one=True)
    dry = await engine.prune(now=NOW, dry_run=True)
    assert sorted(one.why for one in dry.would_delete) == ["faded", "summarised", "summarised"]
    result = await engine.prune(now=NOW)
    assert (dry.deleted_count, result.deleted_count, dict(result.reasons)) == (3, 3, {"faded": 1})
    async with pool.connection() as connection:
        cursor = await connection.execute("SELECT DISTINCT split_part(text, ':', 1) FROM memory_entry ORDER BY 1")
        assert await cursor.fetchall() == [("fresh",), ("pinned",)]


async def test_the_statement_and_the_formula_agree(engine: MemoryEngine, pool: Pool) -> None:
    """Memories of every kind, many of them close to their end: the one goes where the other says so, and only there."""
    seed = random.randrange(10**6)
    dice = random.Random(seed)
    texts = [SpokenMessage("user", f"Fact number {number}.", ago(1)) for number in range(3000)]
    memories = await engine.add(texts, user_id="ann", agent_id="bot")
    expected = set()
    rows: list[tuple[Any, ...]] = []
    for memory in memories:
        row = _drawn(dice)
        rows.append((memory.id, *row))
        created, accessed, count, quality, subtype, flag, pinned, used = row
        info = retention_info(
            NOW,
            created,
            Trace(accessed, count, quality),
            subtype=subtype,
            flag=flag,
            pinned=pinned,
            ttl_days=700,
            used_at=used,
        )
        if info.forget:
            expected.add(memory.id)
    await _draw_into(pool, rows)
    assert 300 < len(expected) < 2700
    dry = await engine.prune(now=NOW, ttl_days=700, dry_run=True)
    shown = {one.id: one.retention_info.forget for one in dry.would_delete}
    assert dry.deleted_count == len(expected)
    assert len(shown) == min(len(expected), pruning.SHOWN_MAX)
    assert shown.keys() <= expected and all(shown.values()), f"seed {seed}"
    result = await engine.prune(now=NOW, ttl_days=700)
    async with pool.connection() as connection:
        cursor = await connection.execute("SELECT memory_id FROM memory_history WHERE event = 'DELETE'")
        gone = {row[0] for row in await cursor.fetchall()}
    assert gone == expected, f"seed {seed}"
    assert result.deleted_count == len(expected)


def _drawn(dice: random.Random) -> tuple[Any, ...]:
    subtype = dice.choice(["", "episodic", "semantic", "procedural", "unheard-of"])
    count = dice.choice([0, 0, 1, 2, 5, 6, 7, 50])
    quality = None if count == 0 else round(dice.uniform(0, 1), 6)
    s0 = {"episodic": 14, "semantic": 45, "procedural": 90}.get(subtype, 30)
    end = s0 * 1.8 ** (min(count, 6) * (quality or 0)) * 2.9957323
    age = min(dice.choice([dice.uniform(0, 900), end * 0.9999, end * 1.0001, end + 1]), 9000)
    accessed = ago(age) if count else None
    created = ago(age + (dice.uniform(0, 300) if count else 0))
    used = dice.choice([None, None, ago(dice.choice([1, 41.99, 42.01, 300, -1]))])
    return created, accessed, count, quality, subtype, dice.choice(["", "", "unsure"]), dice.random() < 0.1, used


async def _draw_into(pool: Pool, rows: Sequence[tuple[Any, ...]]) -> None:
    async with pool.connection() as connection, connection.cursor() as cursor:
        # `quality` is kept in four bytes, so both are judged by what is kept.
        await cursor.execute("ALTER TABLE memory_entry ALTER COLUMN quality TYPE double precision")
        await cursor.executemany(
            "UPDATE memory_entry SET created_at = %s, accessed_at = %s, access_count = %s, quality = %s, subtype = %s,"
            " flag = %s, pinned = %s, used_at = %s WHERE user_id = 'ann' AND id = %s",
            [(*row[1:], row[0]) for row in rows],
        )


async def test_many_pages_and_owners_and_a_run_that_is_broken_off(
    engine: MemoryEngine, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "_PAGE", 7)
    for number in range(10):
        messages = [SpokenMessage("user", f"Fact {at}.", ago(100 if at % 2 else 10)) for at in range(10)]
        await engine.add(messages, user_id=f"person-{number}")

    class BrokenOffError(Exception):
        pass

    def break_off(judged: int) -> None:
        if judged > 40:
            raise BrokenOffError

    with pytest.raises(BrokenOffError):
        await engine.prune(now=NOW, progress=break_off)
    assert 50 < await engine.count() < 100
    seen: list[int] = []
    await engine.prune(now=NOW, progress=seen.append)
    assert await engine.count() == 50
    assert seen == sorted(seen) and len(seen) > 7
    assert await engine.count(user_id="person-3") == 5


async def test_a_recall_or_a_pin_in_the_middle_saves_a_memory(engine: MemoryEngine, pool: Pool) -> None:
    """Whoever changes a row right now is not waited for, and the row stays for this time."""
    for how in ("pinned = true", "accessed_at = now(), access_count = 1, quality = 0.9", "used_at = now()"):
        memory = await added(engine, f"Saved by {how}.", 300)
        await added(engine, "Not saved.", 300)
        async with pool.connection() as connection, connection.transaction():
            await connection.execute(f"UPDATE memory_entry SET {how} WHERE id = %s".encode(), (memory.id,))
            async with asyncio.timeout(10):
                result = await engine.prune(now=NOW)
        assert result.deleted_count == 1
        assert memory.text in await texts(engine)


async def test_two_who_prune_at_once_delete_each_memory_once(engine: MemoryEngine, pool: Pool) -> None:
    messages = [SpokenMessage("user", f"Fact {at}.", ago(100)) for at in range(300)]
    await engine.add(messages, user_id="ann")
    results = await asyncio.gather(*(engine.prune(now=NOW) for _ in range(3)))
    assert sum(result.deleted_count for result in results) == 300
    async with pool.connection() as connection:
        cursor = await connection.execute("SELECT count(*), count(DISTINCT memory_id) FROM memory_history")
        assert await cursor.fetchall() == [(300, 300)]


async def test_pinning_is_ones_own_affair(engine: MemoryEngine) -> None:
    memory = await added(engine, "I like teal.", 300)
    for wrong in (memory.id, "no id at all"):
        with pytest.raises(MemoryNotFoundError):
            await engine.pin(wrong, user_id="bob")
    assert (await engine.pin(str(memory.id), user_id="ann")).pinned
    assert (await engine.prune(now=NOW, ttl_days=1)).deleted_count == 0
    assert not (await engine.pin(memory.id, user_id="ann", pinned=False)).pinned
    assert (await engine.prune(now=NOW)).deleted_count == 1


async def test_what_cannot_be_meant_is_refused_before_anything_goes(engine: MemoryEngine) -> None:
    await added(engine, "I like teal.", 300)
    for days in (0, -1, 1.5, True, "7", 10**9):
        with pytest.raises(MemoryInputError, match="ttl_days must be a whole number from 1 to 36500"):
            await engine.prune(ttl_days=days, now=NOW)  # type: ignore[arg-type]
    with pytest.raises(InvalidIdError):
        await engine.prune(user_id="*", now=NOW)
    with pytest.raises(InvalidIdError):
        await engine.prune(agent_id=" ", now=NOW)
    assert await engine.count() == 1
