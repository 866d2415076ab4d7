"""Notes that the model rewrites: a real database, and a stand-in model over a real socket."""

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from firmware_sim.cloud import Fault, StandInCloud
from tests.integration.memory.conftest import Pool
from tests.integration.memory.killed_notes import FACTS, STEPS, tell
from tests.integration.memory.notes_world import Gate, model_at
from tests.support.waiting import until
from xiaozhi_server.core.providers.memory.base import MemoryProvider, SpokenMessage
from xiaozhi_server.core.providers.memory.mem0ai import InvalidIdError, Mem0aiMemory, MemoryEngine
from xiaozhi_server.core.providers.memory.mem0ai.budget import tokens_in
from xiaozhi_server.core.providers.memory.mem0ai.errors import InvalidTextError
from xiaozhi_server.core.providers.memory.mem0ai.saving.drain import DrainOptions
from xiaozhi_server.core.providers.memory.mem0ai.saving.saver import BatchPolicy
from xiaozhi_server.core.providers.memory.mem0ai.statements import statement
from xiaozhi_server.core.providers.memory.mem_local_short import LocalShortMemory, SummaryEngine, SummaryOptions

NOTER = Path(__file__).with_name("killed_notes.py")
ROOT = Path(__file__).parents[3]
AT_ONCE = SummaryOptions(policy=BatchPolicy(exchanges=1), drain=DrainOptions(first_retry_s=0.05, idle_pause_s=0.05))
NEVER = SummaryOptions(policy=BatchPolicy(idle_s=3600, exchanges=1000, chars=10**6))
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


@asynccontextmanager
async def noting(
    pool: Pool, options: SummaryOptions = AT_ONCE, gate: Gate | None = None
) -> AsyncIterator[tuple[SummaryEngine, StandInCloud]]:
    async with StandInCloud(phrases=[]) as cloud, model_at(cloud.base_url, gate) as model:
        engine = SummaryEngine(pool, model, options)
        await engine.start()
        try:
            yield engine, cloud
        finally:
            await engine.stop(1.0)


async def owner(engine: SummaryEngine, name: str, instruction: str = "", agent: str = "a") -> LocalShortMemory:
    memory = LocalShortMemory(engine, deadline_s=2.0)
    await memory.init_memory(name, agent_id=agent, summary_memory=instruction)
    return memory


def said(text: str) -> list[SpokenMessage]:
    return [SpokenMessage("user", text, NOON), SpokenMessage("assistant", "I see.", NOON)]


async def noted(engine: SummaryEngine, name: str, agent: str = "a") -> str:
    notes, waiting = await engine.known(name, agent)
    return "" if waiting else notes.text


async def test_what_was_said_becomes_a_dated_note_that_comes_back(pool: Pool) -> None:
    async with noting(pool) as (engine, _):
        memory = await owner(engine, "home")
        await memory.save_memory(said("Anna plays the trumpet."), "s1")
        await until(lambda: noted(engine, "home"))
        await memory.save_memory(said("Bo has a cat."), "s2")

        async def both() -> bool:
            return (await noted(engine, "home")).count("\n") == 1

        await until(both)
        assert await memory.query_memory("what does Anna play?") == (
            "[2026-05-04 12:00:00] Anna plays the trumpet.\n[2026-05-04 12:00:00] Bo has a cat."
        )
        (best,) = await memory.recall("who has a cat?", 1, 2.0)
        assert best.text == "Bo has a cat."


async def test_what_is_not_noted_yet_is_known_already(pool: Pool) -> None:
    async with noting(pool, NEVER) as (engine, cloud):
        memory = await owner(engine, "home")
        await memory.save_memory(said("Anna plays the trumpet."), "s1")
        (line,) = await memory.recall("Anna", 5, 2.0)
        assert line.text == "Anna plays the trumpet."
        assert cloud.counts["chat"] == 0


async def test_what_waits_is_told_within_a_budget_and_beside_the_notes(pool: Pool) -> None:
    async with noting(pool) as (engine, _):
        memory = await owner(engine, "home")
        await memory.save_memory(said("Bo has a cat."), "s1")
        await until(lambda: noted(engine, "home"))
    async with noting(pool, NEVER) as (engine, _):
        memory = await owner(engine, "home")
        for number in range(20):
            talk = SpokenMessage("user", f"Talk {number}: {'on and on ' * 800}", NOON + timedelta(minutes=number))
            await memory.save_memory([talk], "s1")
        told = await memory.query_memory("on and on")
        assert tokens_in(told) <= 600 + tokens_in("[2026-05-04 12:00:00] Bo has a cat.\n")
        assert "Bo has a cat." in told
        assert "Talk 19" in told, "the newest of those that fit the question alike"
        assert [line.text[:4] for line in await memory.recall("talk", 2, 2.0)] == ["Talk", "Talk"]


@pytest.mark.parametrize(
    "fault", [Fault(status=500), Fault(status=429), Fault(mode="garbage"), Fault(mode="empty"), Fault(mode="stall")]
)
async def test_a_model_that_fails_costs_no_fact_and_doubles_none(pool: Pool, fault: Fault) -> None:
    async with noting(pool) as (engine, cloud):
        memory = await owner(engine, "home")
        await memory.save_memory(said("Bo has a cat."), "s1")
        await until(lambda: noted(engine, "home"))
        cloud.faults.chat = fault
        asked = cloud.counts["chat"]
        await memory.save_memory(said("Anna plays the trumpet."), "s1")
        await until(lambda: cloud.counts["chat"] > asked + 1)
        texts = [line.text for line in await memory.recall("Anna", 9, 2.0)]
        assert sorted(texts) == ["Anna plays the trumpet.", "Bo has a cat."]
        cloud.faults.clear()
        await until(lambda: noted(engine, "home"))
        assert sorted((await noted(engine, "home")).splitlines()) == [
            "[2026-05-04] Anna plays the trumpet.",
            "[2026-05-04] Bo has a cat.",
        ]


async def test_the_instruction_of_the_agent_is_in_the_next_request(pool: Pool) -> None:
    async with noting(pool) as (engine, cloud):
        for instruction in ("Note only food.", "Note only music."):
            memory = await owner(engine, "home", instruction)
            before = len(cloud.requests)
            await memory.save_memory(said(f"Anna likes {instruction}"), "s1")
            await until(partial(_more_than, cloud, before))
            assert instruction in cloud.requests[-1].body["messages"][0]["content"]


async def test_the_end_of_the_session_brings_the_notes_up_to_date(pool: Pool) -> None:
    async with noting(pool, NEVER) as (engine, _):
        memory = await owner(engine, "home")
        await memory.save_memory(said("Anna plays the trumpet."), "s1")
        await memory.close()
        await until(lambda: noted(engine, "home"))


async def test_owners_and_agents_have_their_own_notes(pool: Pool) -> None:
    async with noting(pool) as (engine, _):
        for name, agent, fact in (("one", "a", "Anna sings."), ("two", "a", "Bo swims."), ("one", "b", "Cy runs.")):
            memory = await owner(engine, name, agent=agent)
            await memory.save_memory(said(fact), "s")
            await until(partial(noted, engine, name, agent))
        assert await noted(engine, "one", "a") == "[2026-05-04] Anna sings."
        assert await noted(engine, "two", "a") == "[2026-05-04] Bo swims."
        assert await noted(engine, "one", "b") == "[2026-05-04] Cy runs."
        await engine.forget("one", "a")
        assert await noted(engine, "one", "a") == ""
        assert await noted(engine, "one", "b") == "[2026-05-04] Cy runs."


async def test_the_same_key_is_noted_once(pool: Pool) -> None:
    async with noting(pool) as (engine, cloud):
        memory = await owner(engine, "home")
        for _ in range(3):
            await memory.save_memory(said("Bo has a cat."), "s1", key="k")
        await until(lambda: noted(engine, "home"))
        assert cloud.counts["chat"] == 1


async def test_a_page_that_changed_while_the_model_wrote_is_rewritten_from_the_newer_one(pool: Pool) -> None:
    gate = Gate()
    async with noting(pool, gate=gate) as (engine, cloud):
        memory = await owner(engine, "home")
        await memory.save_memory(said("Anna plays the trumpet."), "s1")
        await gate.answered.wait()
        await put_page(pool, "[2026-05-03] Bo has a cat.")
        gate.opened.set()
        await until(partial(noted, engine, "home"))
        assert await noted(engine, "home") == "[2026-05-03] Bo has a cat.\n[2026-05-04] Anna plays the trumpet."
        assert cloud.counts["chat"] == 2
        assert "Bo has a cat." in cloud.requests[-1].body["messages"][1]["content"]


async def test_an_answer_that_comes_after_somebody_else_wrote_it_costs_nothing(pool: Pool) -> None:
    gate = Gate()
    async with noting(pool, replace(AT_ONCE, policy=BatchPolicy(exchanges=1, parallel=1)), gate) as (slow, _):
        memory = await owner(slow, "home")
        await memory.save_memory(said("Anna plays the trumpet."), "s1")
        await gate.answered.wait()
        async with noting(pool) as (quick, _):
            await end_leases(pool)
            await until(partial(noted, quick, "home"))
            await memory.save_memory(said("Bo has a cat."), "s1")
            await until(partial(_has_lines, quick, 2))
        gate.opened.set()
    async with noting(pool, NEVER) as (engine, _):
        assert await noted(engine, "home") == "[2026-05-04] Anna plays the trumpet.\n[2026-05-04] Bo has a cat."


async def test_two_engines_note_what_one_owner_says_once_each(pool: Pool) -> None:
    async with noting(pool) as (one, _), noting(pool) as (two, _):
        facts = [f"Anna likes song {number}." for number in range(12)]
        memories = [await owner(engine, "home") for engine in (one, two)]
        async with asyncio.TaskGroup() as group:
            for number, fact in enumerate(facts):
                group.create_task(memories[number % 2].save_memory(said(fact), "s1"))
        await until(partial(_has_lines, one, len(facts)))
        page = await noted(two, "home")
        assert sorted(page.splitlines()) == sorted(f"[2026-05-04] {fact}" for fact in facts)


@pytest.mark.parametrize("step", STEPS)
async def test_killed_between_the_answer_and_the_page(step: str, database_dsn: str, pool: Pool) -> None:
    async with noting(pool, NEVER):  # makes the table
        await put_page(pool, "[2026-05-03] Cy runs.")
    async with StandInCloud(phrases=[]) as cloud:
        noter = await asyncio.create_subprocess_exec(
            sys.executable, str(NOTER), database_dsn, cloud.base_url, step, env={"PYTHONPATH": str(ROOT)}
        )
        try:
            async with asyncio.timeout(60):
                assert await noter.wait() == -signal.SIGKILL
        finally:
            with contextlib.suppress(ProcessLookupError):
                noter.kill()
        assert cloud.counts["chat"] == 1
    async with noting(pool) as (engine, cloud):
        memory = await owner(engine, "home")
        known = {line.text for line in await memory.recall("Anna", 9, 2.0)}
        assert known == {"Cy runs.", *FACTS.values()}, "what waits is known"
        await end_leases(pool)
        await until(partial(noted, engine, "home"))
        page = ["[2026-05-03] Cy runs.", *(f"[2026-05-04] {fact}" for fact in FACTS.values())]
        assert (await noted(engine, "home")).splitlines() == page
        assert cloud.counts["chat"] == (0 if step == "saved" else 2), "each by itself now"
        assert [await tell(engine, key) for key in FACTS] == [False, False]
        assert (await noted(engine, "home")).splitlines() == page


async def test_a_blank_owner_is_an_error_before_anything_is_touched(pool: Pool) -> None:
    async with noting(pool) as (engine, _):
        memory = LocalShortMemory(engine)
        with pytest.raises(InvalidIdError):
            await memory.recall("x", 1, 1.0)
        with pytest.raises(InvalidIdError):
            await memory.init_memory("*")


@pytest.mark.parametrize("query", [b"x", None, 7, ["x"], {"speaker": "Anna", "content": "x"}])
@pytest.mark.parametrize("kind", ["mem0ai", "mem_local_short"])
async def test_a_question_that_is_no_text_is_a_typed_error(
    pool: Pool, engine: MemoryEngine, kind: str, query: Any
) -> None:
    async with noting(pool, NEVER) as (notes, _):
        memory: MemoryProvider = Mem0aiMemory(engine) if kind == "mem0ai" else LocalShortMemory(notes)
        await memory.init_memory("home", agent_id="a")
        with pytest.raises(InvalidTextError, match="a query must be text, not "):
            await memory.recall(query, 1, 2.0)
        with pytest.raises(InvalidTextError, match="a query must be text, not "):
            await memory.query_memory(query)
        await memory.close()


async def test_a_long_question_is_unwrapped_before_it_is_cut(pool: Pool) -> None:
    async with noting(pool, NEVER) as (engine, _):
        memory = await owner(engine, "home")
        await memory.save_memory([SpokenMessage("user", "Bo has a cat.", NOON, "Anna")], "s1")
        asked = json.dumps({"speaker": "Anna", "content": f"cat {'and so on ' * 1000}"})
        assert [line.text for line in await memory.recall(asked, 1, 2.0)] == ["Bo has a cat."]


async def test_a_database_that_is_away_means_no_notes_and_no_error(pool: Pool) -> None:
    async with noting(pool) as (engine, _):
        memory = await owner(engine, "home")
        async with asyncio.TaskGroup() as group:
            release = asyncio.Event()
            for _ in range(4):
                group.create_task(_hold(pool, release))
            await asyncio.sleep(0)
            assert await memory.recall("x", 1, 0.05) == []
            release.set()


async def put_page(pool: Pool, text: str) -> None:
    """As somebody does who read no page."""
    async with pool.connection() as connection:
        await connection.execute(
            statement("summary_put"), {"user_id": "home", "agent_id": "a", "text": text, "version": 0}
        )


async def end_leases(pool: Pool) -> None:
    """The next process takes over when the lease of the dead one has ended, which is not waited for."""
    async with pool.connection() as connection:
        await connection.execute("UPDATE memory_outbox SET due_at = now() WHERE state = 'waiting'")


async def _has_lines(engine: SummaryEngine, count: int) -> bool:
    return len((await noted(engine, "home")).splitlines()) == count


async def _hold(pool: Pool, release: asyncio.Event) -> None:
    async with pool.connection():
        await release.wait()


def _more_than(cloud: StandInCloud, count: int) -> bool:
    return len(cloud.requests) > count
