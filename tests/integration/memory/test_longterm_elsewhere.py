"""Extraction where the memories lie in another store and no PostgreSQL is there: once each, whatever dies when."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.integration.memory.killed_longterm import EchoExtractor, EchoModel, request
from tests.integration.memory.longterm_world import APP, DAY, LIKES, QUESTION, WENT, WINDOW
from tests.integration.memory.test_mem0_stores import opened
from tests.support.dify_api import DifyStandIn
from xiaozhi_server.core.providers.memory.mem0ai.by_mem0.beside_file import FileBeside
from xiaozhi_server.core.providers.memory.mem0ai.by_mem0.other_store import OtherStore, StoreFailedError
from xiaozhi_server.core.providers.memory.mem0ai.by_mem0.plain_engine import PlainEngine
from xiaozhi_server.core.providers.memory.mem0ai.longterm import records_store
from xiaozhi_server.core.providers.memory.mem0ai.longterm.door import LongTerm, on_store
from xiaozhi_server.core.providers.memory.mem0ai.longterm.extract import ExtractOptions
from xiaozhi_server.core.providers.memory.mem0ai.longterm.pool import Ceiling
from xiaozhi_server.core.providers.memory.mem0ai.testing import WordEmbedder

_WRITES = ("insert", "replace", "delete")
_MOST_WRITES = 60


class Died(BaseException):
    """Nobody catches it, and nothing is written any more."""


class Mortal:
    """Counts what is written to a store, and ends it behind the nth write."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.left = _MOST_WRITES
        for name in _WRITES:
            patch.setattr(OtherStore, name, self._counted(getattr(OtherStore, name)))

    def _counted(self, write: Any) -> Any:
        async def counted(*arguments: Any, **named: Any) -> None:
            if self.left <= 0:
                raise Died
            await write(*arguments, **named)
            self.left -= 1
            if not self.left:
                raise Died

        return counted


@pytest.fixture
async def engine(database_dsn: str, tmp_path: Path) -> AsyncIterator[PlainEngine]:
    store, beside = opened("qdrant", database_dsn, tmp_path), FileBeside(tmp_path / "notes.db")
    engine = PlainEngine(beside, WordEmbedder(), store, extractor=EchoExtractor())
    yield engine
    await engine.stop(1.0)
    await beside.close()
    await store.close()


@pytest.fixture
async def dify() -> AsyncIterator[DifyStandIn]:
    async with DifyStandIn() as dify:
        yield dify


def longterm_on(engine: PlainEngine) -> LongTerm:
    options = ExtractOptions(learn_together=1)
    return on_store(engine, WordEmbedder.dimensions, EchoModel(), ceiling=Ceiling(), options=options)


def talks(dify: DifyStandIn, user: str = "ann") -> set[str]:
    said = (LIKES, WENT, QUESTION)
    hours = [(DAY + timedelta(hours=9 + number)).timestamp() for number in range(len(said))]
    return {dify.add(user, text, "I see.", at=at)[0] for text, at in zip(said, hours, strict=True)}


async def texts(engine: PlainEngine, user: str = "ann") -> list[str]:
    return sorted(memory.text for memory in await engine.get_all(user_id=user))


async def read(longterm: LongTerm, user: str = "ann") -> set[str]:
    found = await longterm.checkpoint(user, APP)
    return set(found["checkpoint"]["conversations"]) if found["status"] == "SUCCESS" else set()


async def test_conversations_become_memories(engine: PlainEngine, dify: DifyStandIn) -> None:
    ids, longterm = talks(dify), longterm_on(engine)
    report = await longterm.run(request(dify.base_url))
    assert report["status"] == "SUCCESS"
    assert report["summary"]["written_memories"] == {"semantic": 1, "episodic": 1, "procedural": 0}
    memories = {memory.text: memory for memory in await engine.get_all(user_id="ann")}
    assert {text: memory.subtype for text, memory in memories.items()} == {LIKES: "semantic", WENT: "episodic"}
    assert all(DAY < memory.created_at < WINDOW.end and memory.agent_id == APP for memory in memories.values())
    assert memories[LIKES].metadata == {"memory_subtype": "semantic", "memory_origin": "implicit"}
    assert await read(longterm) == ids
    status = await longterm.status(report["task_id"])
    assert status["task_status"] == "completed"
    assert [one["user_id"] for one in status["final_report"]["per_user"]] == ["ann"]
    again = await longterm.run(request(dify.base_url))
    assert again["summary"]["processed_conversations"] == 0
    assert await engine.delete_all(user_id="ann") == 2
    assert await read(longterm) == ids  # a note is no memory
    await engine.forget(user_id="ann")
    assert await read(longterm) == set()
    assert (await longterm.status(report["task_id"]))["final_report"]["per_user"] == []


async def test_whoever_dies_behind_any_write_costs_and_doubles_nothing(
    engine: PlainEngine, dify: DifyStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The conversations go on meanwhile: the next run does not bring the very same ones."""
    longterm, mortal, deaths = longterm_on(engine), Mortal(monkeypatch), 0
    monkeypatch.setattr(records_store, "SILENT_S", -1.0)  # who is dead is known to be
    for nth in range(1, _MOST_WRITES):
        user = f"user-{nth}"
        ids, wanted = talks(dify, user), replace(request(dify.base_url), user_ids=(user,))
        mortal.left = nth
        try:
            await longterm.run(wanted)
        except BaseException:
            deaths += 1
        else:
            break
        mortal.left = 10 * _MOST_WRITES
        for number, id in enumerate(sorted(ids)):
            at = (DAY + timedelta(hours=20 + number)).timestamp()
            dify.add(user, f"I like number {number} best.", "I see.", at=at, conversation_id=id)
        before = await texts(engine, user) if await is_whole(longterm, user) else []
        assert (await longterm.run(wanted))["per_user"][0]["status"] == "SUCCESS", nth
        found = await texts(engine, user)
        assert len(found) == len(set(found)), nth
        assert {LIKES, WENT} <= set(found), nth
        assert set(before) <= set(found), nth
        assert await read(longterm, user) == ids, nth
    assert deaths > 15


async def is_whole(longterm: LongTerm, user: str) -> bool:
    """Whether no memories are there that may be half of them."""
    kept = await longterm._records.checkpoint(user, APP)
    return kept is not None and not kept.pending


async def test_a_store_that_fails_is_tried_again(
    engine: PlainEngine, dify: DifyStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids, longterm = talks(dify), longterm_on(engine)
    insert = OtherStore.insert

    async def failing(self: OtherStore, rows: Any, batch: str = "") -> None:
        await insert(self, rows, batch)
        if any(row.memory.text == WENT for row in rows):
            raise StoreFailedError("it is there, and nobody knows")

    with monkeypatch.context() as patch:
        patch.setattr(OtherStore, "insert", failing)
        (user,) = (await longterm.run(request(dify.base_url)))["per_user"]
    assert user["status"] == "PARTIAL_SUCCESS"
    assert [error["type"] for error in user["errors"]] == ["mem0_episodic_error"]
    assert await texts(engine) == [LIKES]  # what was half done is undone at once
    assert len(await read(longterm)) == 2
    assert (await longterm.run(request(dify.base_url)))["status"] == "SUCCESS"
    assert await texts(engine) == sorted([LIKES, WENT])
    assert await read(longterm) == ids


async def test_whoever_lost_the_lock_undoes_nothing_of_whoever_has_it(
    engine: PlainEngine, dify: DifyStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both bring the very same conversations, and the slower one is late with them."""
    ids, insert, others = talks(dify), OtherStore.insert, [longterm_on(engine)]

    async def overtaken(self: OtherStore, rows: Any, batch: str = "") -> None:
        if batch and others:
            with monkeypatch.context() as patch:
                patch.setattr(records_store, "SILENT_S", -1.0)
                report = await others.pop().run(request(dify.base_url))
            assert report["status"] == "SUCCESS"
        await insert(self, rows, batch)

    monkeypatch.setattr(OtherStore, "insert", overtaken)
    (late,) = (await longterm_on(engine).run(request(dify.base_url)))["per_user"]
    assert [error["type"] for error in late["errors"]] == ["lock_lost"]
    assert await texts(engine) == sorted([LIKES, WENT])
    assert await read(longterm_on(engine)) == ids
