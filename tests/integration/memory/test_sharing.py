"""One agent reads what another one heard of the same person: only where that was granted, and no longer than that."""

import asyncio
import random
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.integration.memory.conftest import Pool, StartEngine
from tests.integration.memory.test_index import fill
from tests.integration.memory.test_index_large import LARGE, becomes_large
from tests.integration.memory.test_mem0_stores import started
from tests.support.redis_server import redis_server
from tests.support.waiting import until
from xiaozhi_server.core.providers.memory.base import SpokenMessage
from xiaozhi_server.core.providers.memory.mem0ai import (
    EngineOptions,
    InvalidIdError,
    Mem0aiMemory,
    MemoryEngine,
    ProviderOptions,
    SearchOptions,
)
from xiaozhi_server.core.providers.memory.mem0ai.by_mem0.other_stores import OtherStoreEngine
from xiaozhi_server.core.providers.memory.mem0ai.finding import large, search
from xiaozhi_server.core.providers.memory.mem0ai.finding.recall_cache_redis import RedisCache
from xiaozhi_server.core.providers.memory.mem0ai.saving.saver import BatchPolicy
from xiaozhi_server.core.providers.memory.mem0ai.scope import Scope
from xiaozhi_server.core.providers.memory.mem0ai.sharing import reads

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
TEAL = "My favourite colour is teal."
QUESTION = "What is my favourite colour?"
GRANT: dict[str, str] = {"user_id": "ann", "agent_id": "tutor", "from_agent": "bot"}
# At hand, and by a statement each time.
WAYS = {
    "index": EngineOptions(),
    "statement": EngineOptions(search=SearchOptions(index_cache_mb=0, index_page=0)),
}


def said(text: str) -> list[SpokenMessage]:
    return [SpokenMessage("user", text, NOON)]


async def heard(engine: Any, agent: str = "tutor", user: str = "ann", **more: Any) -> list[str]:
    return [one.memory.text for one in await engine.search(QUESTION, user_id=user, agent_id=agent, **more)]


async def granted(engine: Any, **other: str) -> bool:
    return bool(await engine.share(**{**GRANT, **other}, done_by="a person"))


async def revoked(engine: Any, **other: str) -> bool:
    return bool(await engine.unshare(**{**GRANT, **other}, done_by="a person"))


@pytest.fixture(params=WAYS)
async def engine(request: pytest.FixtureRequest, start_engine: StartEngine) -> AsyncIterator[MemoryEngine]:
    async with start_engine(None, WAYS[request.param]) as engine:
        yield engine


async def test_nothing_is_shared_until_it_is_granted_and_the_next_recall_finds_nothing_after(
    engine: MemoryEngine,
) -> None:
    await engine.add(said(TEAL), user_id="ann", agent_id="bot")
    assert await heard(engine) == []
    assert await granted(engine)
    assert await heard(engine) == [TEAL]
    assert not await granted(engine)
    assert await revoked(engine)
    assert await heard(engine) == []
    assert not await revoked(engine)


async def test_a_grant_holds_in_one_direction_for_one_person_and_is_not_handed_on(engine: MemoryEngine) -> None:
    for user, agent in (("ann", "bot"), ("ann", "tutor"), ("bob", "bot"), ("ann", "third"), ("ann", "fourth")):
        await engine.add(said(f"{TEAL} ({user} to {agent})"), user_id=user, agent_id=agent)
    await granted(engine)
    await granted(engine, agent_id="bot", from_agent="third")
    assert set(await heard(engine)) == {f"{TEAL} (ann to tutor)", f"{TEAL} (ann to bot)"}
    assert set(await heard(engine, "bot")) == {f"{TEAL} (ann to bot)", f"{TEAL} (ann to third)"}
    assert await heard(engine, "third") == [f"{TEAL} (ann to third)"]
    assert await heard(engine, user="bob") == []


async def test_what_waits_to_be_saved_is_shared_too(start_gathering: Any) -> None:
    async with start_gathering(BatchPolicy(idle_s=60.0)) as (engine, _):
        await engine.enqueue(said(TEAL), user_id="ann", agent_id="bot")
        assert await heard(engine) == []
        await granted(engine)
        assert await heard(engine) == [TEAL]
        assert await heard(engine, filters={"role": "user"}) == [TEAL]
        await revoked(engine)
        assert await heard(engine) == []


async def test_a_setting_shares_for_every_person_without_a_grant(engine: MemoryEngine) -> None:
    for user in ("ann", "bob"):
        await engine.add(said(f"{TEAL} ({user})"), user_id=user, agent_id="bot")
    for user in ("ann", "bob"):
        memory = Mem0aiMemory(engine, ProviderOptions(share_from=("bot",)))
        await memory.init_memory(user, agent_id="tutor")
        assert [one.text for one in await memory.recall(QUESTION, 5, 5.0)] == [f"{TEAL} ({user})"]
    assert await engine.shares(user_id="ann") == []
    with pytest.raises(InvalidIdError):
        await heard(engine, also_agents=["*"])


async def test_writing_updating_deleting_and_listing_never_cross(engine: MemoryEngine) -> None:
    (theirs,) = await engine.add(said(TEAL), user_id="ann", agent_id="bot")
    (own,) = await engine.add(said("My dog is called Biscuit."), user_id="ann", agent_id="tutor")
    await granted(engine)
    assert [one.id for one in await engine.get_all(user_id="ann", agent_id="tutor")] == [own.id]
    assert await engine.delete_all(user_id="ann", agent_id="tutor") == 1
    assert [one.id for one in await engine.get_all(user_id="ann")] == [theirs.id]
    assert await heard(engine) == [TEAL]


async def test_a_filter_and_a_run_choose_among_what_is_shared(engine: MemoryEngine) -> None:
    await granted(engine)
    await engine.add(said(TEAL), user_id="ann", agent_id="bot", run_id="one", metadata={"kind": "taste"})
    await engine.add(said(f"{TEAL} Or plum."), user_id="ann", agent_id="bot", run_id="two")
    assert await heard(engine, run_id="one") == [TEAL]
    assert await heard(engine, filters={"kind": "taste"}) == [TEAL]
    assert await heard(engine, filters={"agent_id": "tutor"}) == []
    assert len(await heard(engine)) == 2


async def test_a_late_answer_is_not_shown_once_its_grant_is_revoked(engine: MemoryEngine) -> None:
    await engine.add(said(TEAL), user_id="ann", agent_id="bot")
    await granted(engine)
    memory = Mem0aiMemory(engine)
    await memory.init_memory("ann", agent_id="tutor")
    for gone in (False, True):
        found = await engine.search(QUESTION, user_id="ann", agent_id="tutor")
        memory._late.keep(Scope("ann", "tutor"), asyncio.get_running_loop().time(), found)
        if gone:
            await revoked(engine)
        assert [one.text for one in await memory.recall("Tell me a story.", 5, 5.0)] == ([] if gone else [TEAL])


async def test_another_process_hears_of_a_grant_and_of_its_end(start_engine: StartEngine) -> None:
    async with start_engine() as engine, start_engine() as other:
        await engine.add(said(TEAL), user_id="ann", agent_id="bot")
        assert await heard(engine) == []
        await granted(other)
        await until(partial(_hears, engine, [TEAL]))
        await revoked(other)
        await until(partial(_hears, engine, []))


async def _hears(engine: MemoryEngine, expected: list[str]) -> bool:
    return await heard(engine) == expected


async def test_answers_kept_in_redis_follow_grants_and_settings(start_engine: StartEngine) -> None:
    with redis_server() as port:
        cache = RedisCache(f"redis://127.0.0.1:{port}", prefix=uuid.uuid4().hex)
        async with start_engine(None, EngineOptions(search=SearchOptions(cache=cache))) as engine:
            await engine.add(said(TEAL), user_id="ann", agent_id="bot")
            for _ in range(2):
                assert await heard(engine) == []
                assert await heard(engine, also_agents=["bot"]) == [TEAL]
            await granted(engine)
            assert await heard(engine) == [TEAL]
            await revoked(engine)
            assert await heard(engine) == []
        await cache.close()


async def test_a_large_owner_is_no_exception(start_engine: StartEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "LargeOptions", partial(large.LargeOptions, check_every_s=0.2, check_soon_s=0.05))
    async with start_engine(None, LARGE) as engine:
        await fill(engine, random.Random(1), "ann", sessions=120)
        await engine.add(said(TEAL), user_id="ann", agent_id="another")
        await becomes_large(engine)
        assert TEAL not in await heard(engine)
        await granted(engine, from_agent="another")
        assert TEAL in await heard(engine)
        await revoked(engine, from_agent="another")
        assert TEAL not in await heard(engine)


async def test_another_store_is_asked_for_each_agent(pool: Pool, database_dsn: str, tmp_path: Path) -> None:
    async with started("qdrant", pool, database_dsn, tmp_path) as engine:
        assert isinstance(engine, OtherStoreEngine)
        (memory,) = await engine.add(said(TEAL), user_id="ann", agent_id="bot")
        await engine.add(said(TEAL), user_id="bob", agent_id="bot")
        present = partial(engine.present, [memory.id], user_id="ann", agent_id="tutor")
        assert (await heard(engine), await present()) == ([], set())
        assert await heard(engine, also_agents=["bot"]) == [TEAL]
        await granted(engine)
        assert (await heard(engine), await present()) == ([TEAL], {memory.id})
        assert [one.from_agent for one in await engine.shares(user_id="ann")] == ["bot"]
        await revoked(engine)
        assert (await heard(engine), await present()) == ([], set())
        assert [one.event for one in await engine.audit(user_id="ann")] == ["REVOKE", "GRANT"]


async def test_who_granted_revoked_and_read_what_is_written_down(
    start_engine: StartEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reads, "_WRITE_EVERY_S", 0.01)
    async with start_engine() as engine:
        for agent in ("bot", "tutor"):
            await engine.add(said(f"{TEAL} ({agent})"), user_id="ann", agent_id=agent)
        await heard(engine)
        await granted(engine)
        for _ in range(3):
            assert len(await heard(engine)) == 2
        await until(partial(_is_read, engine, 3))
        await revoked(engine)
        await heard(engine)
        await heard(engine, also_agents=["bot"])
        await until(partial(_is_read, engine, 4))
        lines = await engine.audit(user_id="ann")
        assert [(one.event, one.done_by, one.reads) for one in lines] == [
            ("REVOKE", "a person", 0),
            ("READ", "", 4),
            ("GRANT", "a person", 0),
        ]
        assert {(one.agent_id, one.from_agent) for one in lines} == {("tutor", "bot")}
        assert await engine.audit(user_id="bob") == []


async def _is_read(engine: MemoryEngine, times: int) -> bool:
    return [one.reads for one in await engine.audit(user_id="ann") if one.event == "READ"] == [times]


async def test_readings_are_written_when_the_engine_stops_and_two_processes_add_up(start_engine: StartEngine) -> None:
    async with start_engine() as one, start_engine() as two:
        await one.add(said(TEAL), user_id="ann", agent_id="bot")
        await granted(one)
        await heard(one)
        await until(partial(_hears, two, [TEAL]))
    async with start_engine() as engine:
        (read,) = [line.reads for line in await engine.audit(user_id="ann") if line.event == "READ"]
        assert read >= 2


async def test_a_forgotten_person_leaves_no_grant_and_no_line(engine: MemoryEngine, pool: Pool) -> None:
    await engine.add(said(TEAL), user_id="ann", agent_id="bot")
    await granted(engine)
    await heard(engine)
    assert await engine.forget(user_id="ann") == 1
    await engine.stop(1.0)  # what was counted before is written now
    async with pool.connection() as connection:
        for table in ("memory_share", "memory_audit"):
            cursor = await connection.execute(f"SELECT count(*) FROM {table}")
            assert await cursor.fetchone() == (0,)


@pytest.mark.parametrize(
    "other",
    [{"user_id": "*"}, {"agent_id": ""}, {"from_agent": " bot"}, {"from_agent": "tutor"}, {"done_by": ""}],
)
async def test_a_grant_that_names_nobody_is_refused(engine: MemoryEngine, other: dict[str, str]) -> None:
    for do in (engine.share, engine.unshare):
        with pytest.raises(InvalidIdError):
            await do(**{**GRANT, "done_by": "a person", **other})
    assert await engine.audit(user_id="ann") == []
