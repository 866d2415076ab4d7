"""Accepted writes: durable, in order, once each; retried, given up, replayed, dropped with what they were meant for."""

import asyncio
import contextlib
import json
import sqlite3
import uuid
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from psycopg_pool import AsyncConnectionPool

from tests.integration.memory.accepted_world import (
    NOON,
    QUICK,
    Recorder,
    bytes_in,
    journal_of,
    modes_in,
    saying,
    text_of,
    worker_of,
)
from tests.integration.memory.conftest import Pool
from tests.integration.memory.killed_facts import SentenceExtractor
from tests.integration.memory.test_forget_person import places
from tests.support.postgres_proxy import PostgresProxy
from tests.support.waiting import until
from xiaozhi_server.core.providers.memory.base import SpokenMessage
from xiaozhi_server.core.providers.memory.mem0ai import MemoryEngine, MemoryInputError
from xiaozhi_server.core.providers.memory.mem0ai.accepting import table
from xiaozhi_server.core.providers.memory.mem0ai.accepting.accepted import (
    Accepted,
    JournalBusyError,
    JournalFullError,
    NotOursError,
)
from xiaozhi_server.core.providers.memory.mem0ai.accepting.doing import EngineDoer
from xiaozhi_server.core.providers.memory.mem0ai.accepting.file import FileJournal
from xiaozhi_server.core.providers.memory.mem0ai.accepting.journal import Journal
from xiaozhi_server.core.providers.memory.mem0ai.accepting.postgres import PostgresJournal
from xiaozhi_server.core.providers.memory.mem0ai.accepting.worker import WorkOptions
from xiaozhi_server.core.providers.memory.mem0ai.by_mem0.extract_by_mem0 import ExtractingSaver, ExtractionOptions
from xiaozhi_server.core.providers.memory.mem0ai.by_mem0.mem0_add import ModelFailedError
from xiaozhi_server.core.providers.memory.mem0ai.errors import InvalidTextError
from xiaozhi_server.core.providers.memory.mem0ai.facts.learned import Learned
from xiaozhi_server.core.providers.memory.mem0ai.message import memory_id
from xiaozhi_server.core.providers.memory.mem0ai.saving.outbox import Batch
from xiaozhi_server.core.providers.memory.mem0ai.testing import WordEmbedder

WORD = "Zanzibar"


@pytest.fixture(params=["postgres", "file"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def journal(kind: str, engine: MemoryEngine, pool: Pool, tmp_path: Path) -> AsyncIterator[Journal]:
    journal = journal_of(kind, pool, tmp_path)
    yield journal
    await journal.close()


async def all_done(journal: Journal) -> None:
    async def none_waits() -> bool:
        return await journal.waiting() == 0

    await until(none_waits)


async def texts_of(engine: MemoryEngine, user_id: str = "ann", **scope: Any) -> list[str]:
    return sorted(memory.text for memory in await engine.get_all(user_id=user_id, **scope))


async def test_what_is_accepted_is_done_by_the_engine(engine: MemoryEngine, journal: Journal) -> None:
    worker = worker_of(journal, EngineDoer(engine))
    first = await worker.accept(
        "add", "ann", saying("I like teal.", agent_id="bot", run_id="r1", metadata={"kind": "fact"}, trace="req-1")
    )
    second = await worker.accept("add", "ann", saying("I like plums."))
    changed = memory_id("ann", first.id.hex, 0)
    await worker.accept("update", "ann", {"id": str(changed), "text": "I like grey."})
    await worker.accept("delete", "ann", {"id": str(memory_id("ann", second.id.hex, 0))})
    await worker.accept("add", "bob", saying("I like red."))
    await all_done(journal)
    (memory,) = await engine.get_all(user_id="ann")
    assert (memory.id, memory.text, memory.agent_id, memory.run_id) == (changed, "I like grey.", "bot", "r1")
    assert memory.metadata == {"kind": "fact"}
    assert memory.created_at <= first.accepted_at + timedelta(seconds=1)
    assert [event.event for event in await engine.history(changed, user_id="ann")] == ["ADD", "UPDATE"]
    await worker.accept("delete_all", "ann", {"agent_id": "bot"})
    await all_done(journal)
    assert await texts_of(engine) == []
    assert await texts_of(engine, "bob") == ["I like red."]
    await worker.stop(1.0)


async def test_an_owners_writes_are_done_in_order_and_nobody_waits_for_others(journal: Journal) -> None:
    doer = Recorder()
    worker = worker_of(journal, doer)
    for number in range(40):
        await worker.accept("add", f"user-{number % 4}", saying(f"{number}"))
    await all_done(journal)
    for user in range(4):
        mine = [int(text_of(one)) for one in doer.done if one.user_id == f"user-{user}"]
        assert mine == list(range(user, 40, 4))
    doer.go_on.clear()
    doer.fails = lambda _: None
    await worker.accept("add", "slow", saying("slow"))
    await until(lambda: doer.begun[-1].user_id == "slow")
    await worker.accept("add", "slow", saying("behind it"))
    begun = len(doer.begun)
    await worker.accept("add", "quick", saying("quick"))
    await until(lambda: doer.begun[-1].user_id == "quick")
    assert len(doer.begun) == begun + 1
    doer.go_on.set()
    await all_done(journal)
    assert doer.said()[-1] == "behind it" or doer.said()[-2:] == ["behind it", "quick"]
    await worker.stop(1.0)


async def test_not_more_at_once_than_allowed(journal: Journal) -> None:
    doer = Recorder()
    doer.go_on.clear()
    for number in range(6):
        await journal.accept("add", f"user-{number}", saying("x"))
    worker = worker_of(journal, doer, WorkOptions(parallel=2, idle_pause_s=0.02))
    await until(lambda: len(doer.begun) == 2)
    assert await journal.waiting() == 6
    doer.go_on.set()
    await worker.stop(20.0)
    assert len(doer.done) == 6, "a stop drains"
    assert await journal.waiting() == 0


async def test_what_fails_comes_again_and_is_given_up_in_the_end(journal: Journal) -> None:
    def fails(accepted: Accepted) -> Exception | None:
        return RuntimeError("the key is sk-secret") if text_of(accepted) == "bad" else None

    doer = Recorder(fails)
    worker = worker_of(journal, doer)
    bad = await worker.accept("add", "ann", saying("bad"))
    await worker.accept("add", "ann", saying("good"))
    await all_done(journal)
    assert [text_of(one) for one in doer.begun] == ["bad", "bad", "bad", "good"]
    assert [one.attempts for one in doer.begun] == [1, 2, 3, 1]
    (dead,) = await journal.dead("ann")
    assert (dead.accepted.id, dead.error, dead.accepted.attempts) == (bad.id, "RuntimeError", 3)
    assert await journal.dead("bob") == []
    doer.fails = lambda _: None
    assert await worker.replay("bob") == 0
    assert await worker.replay("ann") == 1
    await all_done(journal)
    assert doer.said() == ["good", "bad"]
    assert await journal.dead() == []
    await worker.stop(1.0)


async def test_bad_input_is_not_tried_again_and_what_is_gone_is_done(engine: MemoryEngine, journal: Journal) -> None:
    worker = worker_of(journal, EngineDoer(engine))
    await worker.accept("delete", "ann", {"id": str(memory_id("ann", "nothing", 0))})
    await worker.accept("add", "ann", saying("I like teal.", infer=True))  # no model is set up
    await all_done(journal)
    (dead,) = await journal.dead()
    assert (dead.error, dead.accepted.operation, dead.accepted.attempts) == ("NoModelError", "add", 1)
    await worker.stop(1.0)


class FailingExtractor(SentenceExtractor):
    """The model is away for so many attempts."""

    def __init__(self, away: int) -> None:
        super().__init__()
        self.away = away
        self.asked = 0

    async def extract(self, batch: Batch) -> Learned:
        self.asked += 1
        if self.asked <= self.away:
            raise ModelFailedError("away")
        return await super().extract(batch)


@pytest.mark.parametrize(("away", "asked", "flag"), [(2, 3, ""), (9, 4, "unextracted")])
async def test_a_model_that_is_away_is_asked_again_before_a_text_is_kept_as_it_was_said(
    away: int, asked: int, flag: str, pool: Pool, executor: ThreadPoolExecutor
) -> None:
    extractor, options = FailingExtractor(away), ExtractionOptions(attempts=4)
    engine = MemoryEngine(
        pool, WordEmbedder(), executor, make_saver=lambda verbatim: ExtractingSaver(extractor, verbatim, options)
    )
    await engine.start()
    journal = PostgresJournal(pool)
    worker = worker_of(journal, EngineDoer(engine), replace(QUICK, attempts_max=10))
    await worker.accept("add", "ann", saying("I live in Munich.", infer=True, agent_id="bot"))
    await all_done(journal)
    await worker.stop(1.0)
    (memory,) = await engine.get_all(user_id="ann")
    assert (memory.text, memory.flag, extractor.asked) == ("I live in Munich.", flag, asked)
    assert await journal.dead() == []
    await engine.stop(1.0)


async def test_a_text_that_was_given_up_does_not_come_back_behind_a_newer_one(journal: Journal) -> None:
    one, other = str(uuid.uuid4()), str(uuid.uuid4())

    def fails(accepted: Accepted) -> BaseException | None:
        return InvalidTextError("not now") if "old" in accepted.arguments["text"] else None

    doer = Recorder(fails)
    worker = worker_of(journal, doer)
    for id, text in ((one, "old"), (other, "an old one of another memory"), (one, "new")):
        await worker.accept("update", "ann", {"id": id, "text": text})

    async def is_done() -> bool:
        return not await journal.waiting()

    await until(is_done)
    assert [letter.accepted.arguments["id"] for letter in await journal.dead()] == [other]
    assert [done.arguments["text"] for done in doer.done] == ["new"]
    assert await worker.replay() == 1
    await worker.stop(1.0)


async def test_what_is_broken_off_is_begun_again_at_once(journal: Journal) -> None:
    doer = Recorder()
    doer.go_on.clear()
    worker = worker_of(journal, doer, WorkOptions(lease_s=3600.0))
    await worker.accept("add", "ann", saying("x"))
    await until(lambda: doer.begun)
    await worker.stop(0.0)
    assert doer.done == []
    doer.go_on.set()
    worker = worker_of(journal, doer, WorkOptions(lease_s=3600.0))
    await all_done(journal)
    assert [one.attempts for one in doer.begun] == [1, 1]
    await worker.stop(1.0)


async def test_a_lease_is_renewed_as_long_as_the_write_is_being_done(journal: Journal) -> None:
    doer = Recorder()
    doer.go_on.clear()
    worker = worker_of(journal, doer, WorkOptions(lease_s=0.15, idle_pause_s=0.01))
    await worker.accept("add", "ann", saying("slow"))
    await until(lambda: doer.begun)
    renewed = asyncio.Event()
    original, count = journal.renew, 0

    async def counted(*arguments: Any, **named: Any) -> None:
        nonlocal count
        await original(*arguments, **named)
        count += 1
        if count > 8:
            renewed.set()

    journal.renew = counted  # type: ignore[method-assign]
    await asyncio.wait_for(renewed.wait(), 20)
    assert len(doer.begun) == 1
    doer.go_on.set()
    await all_done(journal)
    await worker.stop(1.0)


async def test_a_full_journal_takes_no_more_and_says_so(
    kind: str, engine: MemoryEngine, pool: Pool, tmp_path: Path
) -> None:
    journal = journal_of(kind, pool, tmp_path, limit=3)
    answers = await asyncio.gather(
        *(journal.accept("add", "ann", saying(f"{number}")) for number in range(5)), return_exceptions=True
    )
    assert [isinstance(one, JournalFullError) for one in answers] == [False, False, False, True, True]
    with pytest.raises(JournalFullError):
        await journal.accept("delete_all", "bob", {})
    doer = Recorder()
    worker = worker_of(journal, doer)
    await all_done(journal)
    await worker.accept("add", "ann", saying("again"))
    await all_done(journal)
    assert doer.said() == ["0", "1", "2", "again"]
    await worker.stop(1.0)
    await journal.close()
    with pytest.raises(JournalBusyError):
        await journal.accept("add", "ann", saying("late"))


@pytest.mark.parametrize(
    ("operation", "arguments"),
    [
        ("add", {}),
        ("add", {"messages": "text"}),
        ("add", {"messages": [b"x"]}),
        ("add", saying("x", api_key="sk-secret")),
        ("add", saying("x", infer="yes")),
        ("add", saying("x", metadata={"a": float("nan")})),
        ("add", saying("x", expires_at="soon")),
        ("add", saying("x", agent_id="*")),
        ("add", {"messages": [{"role": "user", "content": "x" * 8000}] * 200}),
        ("update", {"id": "no id", "text": "x"}),
        ("update", {"id": "6b1d6c1e-0c57-4e0e-9f5a-7f0a5f2f6a55"}),
        ("update", {"id": "6b1d6c1e-0c57-4e0e-9f5a-7f0a5f2f6a55", "text": " "}),
        ("delete", {}),
        ("delete_all", {"user_id": "bob"}),
        ("forget", {}),
    ],
)
async def test_what_can_never_be_done_is_not_accepted(journal: Journal, operation: Any, arguments: Any) -> None:
    with pytest.raises(MemoryInputError) as told:
        await journal.accept(operation, "ann", arguments)
    assert "sk-secret" not in str(told.value)
    assert await journal.waiting() == 0


@pytest.mark.parametrize("user_id", ["", "*", " ann", None, 7])
async def test_whose_it_is_is_said_and_checked(journal: Journal, user_id: Any) -> None:
    with pytest.raises(MemoryInputError):
        await journal.accept("add", user_id, saying("x"))


async def test_any_text_can_be_accepted(engine: MemoryEngine, journal: Journal) -> None:
    worker = worker_of(journal, EngineDoer(engine))
    await worker.accept("add", "ann", saying("half \ud800 and \0 nothing 喜欢 \\u0000"))
    await worker.accept("add", "ann", saying("x" * 1_000_000))
    await worker.accept("add", "ann", saying(" "))
    await all_done(journal)
    texts = await texts_of(engine)
    assert [len(text) for text in texts] == [len("half ? and  nothing 喜欢 \\u0000"), 8000]
    assert await journal.dead() == []
    await worker.stop(1.0)


async def test_two_hundred_at_once_share_a_few_statements(engine: MemoryEngine, pool: Pool, monkeypatch: Any) -> None:
    journal = PostgresJournal(pool)
    sizes: list[int] = []
    original = table.put

    async def counted(connection: Any, writes: Any, **named: Any) -> Any:
        sizes.append(len(writes))
        return await original(connection, writes, **named)

    monkeypatch.setattr(table, "put", counted)
    accepted = await asyncio.gather(*(journal.accept("add", f"user-{n}", saying(f"{n}")) for n in range(200)))
    assert sum(sizes) == 200
    assert len(sizes) <= 3
    assert [text_of(one) for one in accepted] == [str(number) for number in range(200)]
    assert await journal.waiting() == 200
    claimed = await journal.claim(limit=500, lease_s=60.0)
    assert {one.id for one in claimed} == {one.id for one in accepted}
    await journal.close()


async def test_who_gives_up_before_its_turn_has_written_nothing(
    engine: MemoryEngine, pool: Pool, monkeypatch: Any
) -> None:
    journal = PostgresJournal(pool)
    gate, original = asyncio.Event(), table.put

    async def held(*arguments: Any, **named: Any) -> Any:
        await gate.wait()
        return await original(*arguments, **named)

    monkeypatch.setattr(table, "put", held)
    first = asyncio.create_task(journal.accept("add", "ann", saying("first")))
    await asyncio.sleep(0)
    second = asyncio.create_task(journal.accept("add", "ann", saying("second")))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.wait({second})
    gate.set()
    await first
    await journal.close()
    assert [text_of(one) for one in await journal.claim(limit=9, lease_s=1.0)] == ["first"]
    assert await journal.waiting() == 1


async def test_two_processes_on_one_database_do_each_once_and_in_order(
    engine: MemoryEngine, pool: Pool, database_dsn: str
) -> None:
    doers = Recorder(), Recorder()
    async with AsyncConnectionPool(database_dsn, min_size=2, max_size=2, open=False) as other:
        await other.wait()
        journals = PostgresJournal(pool), PostgresJournal(other)
        workers = [worker_of(journal, doer) for journal, doer in zip(journals, doers, strict=True)]
        for number in range(60):
            await workers[number % 2].accept("add", f"user-{number % 3}", saying(f"{number}"))
        await all_done(journals[0])
        for worker in workers:
            await worker.stop(1.0)
        for journal in journals:
            await journal.close()
    done = [one.id for doer in doers for one in doer.done]
    assert len(done) == len(set(done)) == 60
    for doer in doers:
        for user in range(3):
            mine = [int(text_of(one)) for one in doer.done if one.user_id == f"user-{user}"]
            assert mine == sorted(mine)


async def test_who_lost_a_write_writes_nothing(engine: MemoryEngine, pool: Pool) -> None:
    journal = PostgresJournal(pool)
    await journal.accept("add", "ann", saying("I like teal."))
    (lost,) = await journal.claim(limit=1, lease_s=-1.0)
    (taken,) = await journal.claim(limit=1, lease_s=60.0)
    assert (taken.id, taken.attempts) == (lost.id, 2)
    doer = EngineDoer(engine)
    with pytest.raises(NotOursError):
        await doer.perform(lost, journal.within(lost))
    assert await texts_of(engine) == []
    await journal.postpone(lost, pause_s=60.0, error="x")
    await journal.give_up(lost, error="x")
    await journal.release(lost)
    assert await journal.dead() == []
    await doer.perform(taken, journal.within(taken))
    assert await texts_of(engine) == ["I like teal."]
    assert await journal.waiting() == 0


async def test_a_database_that_restarts_delays_and_loses_nothing(
    engine: MemoryEngine, pool: Pool, database_dsn: str, tmp_path: Path
) -> None:
    doer = Recorder()
    async with (
        PostgresProxy(database_dsn, tmp_path) as proxy,
        AsyncConnectionPool(
            proxy.dsn, min_size=2, max_size=2, timeout=2.0, check=AsyncConnectionPool.check_connection, open=False
        ) as shaky,
    ):
        await shaky.wait()
        journal = PostgresJournal(shaky, timeout_s=2.0)
        worker = worker_of(journal, doer)
        doer.go_on.clear()
        await worker.accept("add", "ann", saying("before"))
        await until(lambda: doer.begun)
        await proxy.fail("stopped")
        with pytest.raises(Exception):  # noqa: B017 - whatever the pool makes of it
            await journal.accept("add", "ann", saying("meanwhile"))
        doer.go_on.set()
        await until(lambda: doer.done)
        await proxy.heal()

        async def accepted_again() -> bool:
            with contextlib.suppress(Exception):
                await worker.accept("add", "ann", saying("after"))
                return True
            return False

        await until(accepted_again)
        await until(lambda: "after" in doer.said())
        await all_done(PostgresJournal(pool))
        await worker.stop(1.0)
        await journal.close()
    # It was done while nobody could be told, so it came again: an engine settles where it writes.
    assert list(dict.fromkeys(doer.said())) == ["before", "after"]


async def test_a_deletion_of_all_takes_what_was_accepted_before_and_leaves_what_came_after(
    engine: MemoryEngine, journal: Journal
) -> None:
    await engine.add([SpokenMessage("user", "I like teal.", NOON)], user_id="ann", agent_id="bot")
    await journal.accept("add", "ann", saying("I like plums.", agent_id="bot"))
    (dead,) = await journal.claim(limit=1, lease_s=60.0)
    await journal.give_up(dead, error="RuntimeError")
    await journal.accept("add", "ann", saying("I like grey.", agent_id="bot"))
    await journal.accept("add", "ann", saying("I like pink.", agent_id="tutor"))
    await journal.accept("delete_all", "ann", {"agent_id": "bot"})
    await journal.accept("add", "ann", saying("I like red.", agent_id="bot"))
    worker = worker_of(journal, EngineDoer(engine))
    await all_done(journal)
    assert await texts_of(engine) == ["I like pink.", "I like red."]
    assert await worker.replay() == 0
    await worker.stop(1.0)


async def test_deleting_everything_at_once_takes_what_waits_with_it(engine: MemoryEngine, pool: Pool) -> None:
    journal = PostgresJournal(pool)
    await journal.accept("add", "ann", saying("I like plums.", agent_id="bot", run_id="r1"))
    await journal.accept("add", "ann", saying("I like grey.", agent_id="bot"))
    await journal.accept("add", "ann", saying("I like pink.", agent_id="tutor"))
    await journal.accept("add", "bob", saying("I like red.", agent_id="bot"))
    await engine.delete_all(user_id="ann", agent_id="bot", run_id="r1")
    assert await journal.waiting() == 3
    (in_hand, _) = await journal.claim(limit=2, lease_s=60.0)
    await engine.delete_all(user_id="ann", agent_id="bot")
    assert await journal.waiting() == 2
    with pytest.raises(NotOursError):
        await EngineDoer(engine).perform(in_hand, journal.within(in_hand))
    await engine.delete_all(user_id="ann")
    assert await journal.waiting() == 1
    assert await texts_of(engine) == []


async def test_a_person_who_is_forgotten_leaves_no_accepted_write(engine: MemoryEngine, pool: Pool) -> None:
    journal = PostgresJournal(pool)
    await journal.accept("add", "zoe-7", saying(f"I live in {WORD}.", metadata={"at": WORD}))
    await journal.accept("update", "zoe-7", {"id": str(memory_id("zoe-7", "x", 0)), "text": WORD})
    (in_hand,) = await journal.claim(limit=1, lease_s=60.0)
    assert {place.where for place in await places(pool)} == {"public.memory_accepted.arguments"}
    assert await engine.forget_person(user_id="zoe-7") == {"memory_accepted": 2}
    assert await places(pool, WORD, "zoe-7") == []
    with pytest.raises(NotOursError):
        await EngineDoer(engine).perform(in_hand, journal.within(in_hand))
    assert await places(pool, WORD, "zoe-7") == []
    await journal.accept("add", "zoe-7", saying("I live elsewhere."))
    worker = worker_of(journal, EngineDoer(engine))
    await all_done(journal)
    assert await texts_of(engine, "zoe-7") == ["I live elsewhere."]
    await worker.stop(1.0)


async def test_who_forgets_waits_for_what_is_being_accepted(engine: MemoryEngine, pool: Pool) -> None:
    """Accepted in a transaction that ends later: it is forgotten with the rest."""
    write = await PostgresJournal(pool).accept("add", "bob", saying("x"))
    async with pool.connection() as connection:
        zoe = Accepted(memory_id("a", "b", 0), "add", "zoe-7", {"messages": []}, write.accepted_at)
        (taken,) = await table.put(connection, [zoe], limit=10)
        assert isinstance(taken, Accepted)
        forgetting = asyncio.create_task(engine.forget_person(user_id="zoe-7"))

        async def it_waits() -> bool:
            cursor = await connection.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            row = await cursor.fetchone()
            return bool(row and row[0])

        await until(it_waits)
    assert await forgetting == {"memory_accepted": 1}
    assert await PostgresJournal(pool).waiting() == 1


async def test_the_file_forgets_a_person_to_the_last_byte(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path / "journal.sqlite")
    await journal.accept("add", "zoe-7", saying(f"I live in {WORD}."))
    await journal.accept("add", "bob", saying("I like teal."))
    assert WORD.encode() in bytes_in(tmp_path)
    assert await journal.forget_person("zoe-7") == 1
    kept = bytes_in(tmp_path)
    assert WORD.encode() not in kept
    assert b"zoe-7" not in kept
    assert [one.user_id for one in await journal.claim(limit=9, lease_s=1.0)] == ["bob"]
    await journal.close()
    assert modes_in(tmp_path) == {"0o600"}


async def test_a_second_program_may_accept_and_takes_over_only_when_the_first_has_ended(tmp_path: Path) -> None:
    first, second = FileJournal(tmp_path / "journal.sqlite"), FileJournal(tmp_path / "journal.sqlite")
    await first.accept("add", "ann", saying("1"))
    (held,) = await first.claim(limit=9, lease_s=3600.0)
    await second.accept("add", "bob", saying("2"))
    assert await second.claim(limit=9, lease_s=3600.0) == []
    assert await second.waiting() == 2
    assert [text_of(one) for one in await first.claim(limit=9, lease_s=3600.0)] == ["2"]
    await first.close()
    again = await second.claim(limit=9, lease_s=3600.0)
    assert sorted(text_of(one) for one in again) == ["1", "2"]
    await second.settle(held)
    assert await second.waiting() == 2, "it is not the first one's any more"
    await second.close()


@pytest.mark.parametrize("damage", ["nonsense", "cut", "log cut"])
async def test_a_torn_file_is_set_aside_and_what_can_be_read_is_done(tmp_path: Path, damage: str) -> None:
    journal = FileJournal(tmp_path / "journal.sqlite")
    for number in range(100):
        await journal.accept("add", f"user-{number}", saying(f"{number} {'x' * 2000}"))
    if damage != "log cut":
        await journal.close()
    path = torn(tmp_path / "journal.sqlite", damage)
    await journal.close()
    journal = FileJournal(path)
    left = await journal.waiting()
    await journal.accept("add", "new", saying("new"))
    claimed = await journal.claim(limit=1000, lease_s=60.0)
    await journal.close()
    # The first ones, in order, whole.
    assert [one.user_id for one in claimed] == [*(f"user-{number}" for number in range(left)), "new"]
    assert (left == 0) if damage == "nonsense" else (0 < left < 100)
    assert any("torn" in one.name for one in path.parent.iterdir()) == (damage != "log cut")


def torn(path: Path, damage: str) -> Path:
    """Where the damaged file lies."""
    whole = path.read_bytes()
    if damage == "nonsense":
        path.write_bytes(b"no journal at all" * 1000)
    elif damage == "cut":
        path.write_bytes(whole[: len(whole) // 8192 * 4096])
    else:  # as a power cut leaves it: the last part of the log never reached the disk
        log = path.with_name("journal.sqlite-wal").read_bytes()
        path = path.parent / "copy" / "journal.sqlite"
        path.parent.mkdir()
        path.write_bytes(whole)
        path.with_name("journal.sqlite-wal").write_bytes(log[: len(log) // 2])
    return path


async def test_a_file_that_cannot_be_opened_says_so(tmp_path: Path) -> None:
    (tmp_path / "journal.sqlite").mkdir()
    journal = FileJournal(tmp_path / "journal.sqlite")
    with pytest.raises((JournalBusyError, OSError)):
        await journal.accept("add", "ann", saying("x"))
    await journal.close()


async def test_what_another_version_wrote_is_read(tmp_path: Path) -> None:
    """The form of a write in the file is a promise to programs that come later."""
    path = tmp_path / "journal.sqlite"
    journal = FileJournal(path)
    await journal.accept("add", "ann", saying("I like teal.", agent_id="bot"))
    await journal.close()
    with contextlib.closing(sqlite3.connect(path)) as database:
        (row,) = database.execute("SELECT operation, user_id, arguments, attempts, state FROM accepted").fetchall()
    arguments = json.loads(row[2])
    assert (row[0], row[1], row[3], row[4]) == ("add", "ann", 0, "waiting")
    assert arguments["agent_id"] == "bot"
    assert set(arguments["messages"][0]) == {"role", "content", "spoken_at"}
