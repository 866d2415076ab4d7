"""What extraction notes for itself, in our tables and in other stores: the same promises."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.integration.memory.mem0_world import Pool, said
from tests.integration.memory.test_mem0_stores import end_milvus, opened
from xiaozhi_server.core.providers.memory.mem0ai import MemoryEngine
from xiaozhi_server.core.providers.memory.mem0ai.by_mem0.other_store import OtherStore
from xiaozhi_server.core.providers.memory.mem0ai.longterm import records_store
from xiaozhi_server.core.providers.memory.mem0ai.longterm.records import (
    KeptTask,
    LockHeldError,
    LockLostError,
    Records,
)
from xiaozhi_server.core.providers.memory.mem0ai.longterm.records_pg import PostgresRecords
from xiaozhi_server.core.providers.memory.mem0ai.longterm.records_store import StoreRecords
from xiaozhi_server.core.providers.memory.mem0ai.records import NewMemory, StoredMemory
from xiaozhi_server.core.providers.memory.mem0ai.scope import Scope
from xiaozhi_server.core.providers.memory.mem0ai.testing import WordEmbedder

SINCE = datetime(2026, 11, 20, tzinfo=UTC)
VALUE = {"conversations": {"c1": {"last_processed_message_id": "m1"}}, "resume_conversation_cursor": None}


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


@pytest.fixture(params=["qdrant", "milvus", "pgvector"])
async def store(request: pytest.FixtureRequest, database_dsn: str, tmp_path: Path) -> AsyncIterator[OtherStore]:
    store = opened(request.param, database_dsn, tmp_path)
    yield store
    await store.close()


@pytest.fixture(params=["ours", "qdrant", "milvus", "pgvector"])
async def records(
    request: pytest.FixtureRequest, pool: Pool, executor: ThreadPoolExecutor, database_dsn: str, tmp_path: Path
) -> AsyncIterator[Records]:
    if request.param == "ours":
        engine = MemoryEngine(pool, WordEmbedder(), executor)
        await engine.start()
        yield PostgresRecords(pool)
        await engine.stop(1.0)
    else:
        store = opened(request.param, database_dsn, tmp_path)
        yield StoreRecords(store, WordEmbedder.dimensions)
        await store.close()


async def locked(records: Records, holder: str = "one", *, user: str = "ann", ttl_s: int = 600) -> Any:
    return await records.lock(user, "app-1", holder_id=holder, ttl_s=ttl_s, since=SINCE)


async def test_a_checkpoint_is_moved_by_the_holder_alone(records: Records) -> None:
    lock = await locked(records)
    await records.move(lock, VALUE)
    await records.move(lock, VALUE | {"resume_conversation_cursor": "c9"})
    kept = await records.checkpoint("ann", "app-1")
    assert kept is not None
    assert kept.value == VALUE | {"resume_conversation_cursor": "c9"}
    assert kept.id and kept.updated_at is not None and kept.pending == ""
    assert len(await records.checkpoints("ann")) == 1
    assert await records.checkpoint("ann", "app-2") is None
    assert await records.checkpoint("bob", "app-1") is None
    await records.release(lock)
    with pytest.raises(LockLostError):
        await records.move(lock, VALUE)
    assert not await records.beat(lock)


async def test_a_lock_is_held_by_one(records: Records) -> None:
    lock = await locked(records)
    with pytest.raises(LockHeldError) as held:
        await locked(records, "two")
    assert held.value.holder_id == "one"
    assert await records.beat(lock)
    await locked(records, "three", user="bob")
    await records.release(lock)
    assert (await locked(records, "two")).fence > lock.fence - 1


# Milvus Lite leaves files open where several write at once.
@pytest.mark.parametrize("records", ["ours", "qdrant", "pgvector"], indirect=True)
async def test_of_many_at_once_one_has_it(records: Records) -> None:
    await records.checkpoint("ann")  # mem0 makes its tables with the first call
    tried = await asyncio.gather(*(locked(records, f"h{n}") for n in range(6)), return_exceptions=True)
    assert sum(isinstance(one, LockHeldError) for one in tried) == 5
    assert sum(not isinstance(one, BaseException) for one in tried) == 1


async def test_a_lock_whose_time_is_over_is_free(records: Records) -> None:
    old = await locked(records, ttl_s=0)
    new = await locked(records, "two")
    assert new.holder_id == "two"
    with pytest.raises(LockLostError):
        await records.move(old, VALUE)
    await records.release(old)  # not the other one's
    await records.move(new, VALUE)
    assert await records.old_locks("ann") == await records.drop_old_locks("ann") == 0


async def test_old_locks_and_checkpoints_can_be_dropped(records: Records) -> None:
    lock = await locked(records)
    await records.move(lock, VALUE)
    kept = await records.checkpoints("ann")
    assert await records.drop_checkpoints(kept) == 1
    assert await records.checkpoint("ann") is None
    await records.release(lock)
    await locked(records, ttl_s=0)
    assert await records.drop_old_locks("ann", "app-2") == await records.old_locks("ann", "app-2") == 0
    assert await records.old_locks("ann", "app-1") == await records.old_locks("ann") == 1
    assert await records.drop_old_locks("ann", "app-1") == 1
    assert await records.old_locks("ann") == 0


async def test_a_task_grows(records: Records) -> None:
    assert await records.task("t1") is None
    later = SINCE + timedelta(minutes=5)
    await records.put_task(KeptTask("t1", {"status": "running"}, SINCE, SINCE))
    await records.put_task(KeptTask("t1", {"status": "running"}, SINCE, later, ({"user_id": "ann", "n": 1},)))
    more = ({"user_id": "bob", "n": 2}, {"user_id": "cy", "n": 3})
    await records.put_task(KeptTask("t1", {"status": "completed"}, SINCE, later, more))
    await records.put_task(KeptTask("t2", {"status": "running"}, SINCE, later))
    task = await records.task("t1")
    assert task is not None
    assert (task.value, task.started_at, task.updated_at) == ({"status": "completed"}, SINCE, later)
    assert [report["n"] for report in task.reports] == [1, 2, 3]
    assert await records.drop_tasks(before=later) == 0
    assert await records.drop_tasks(before=later + timedelta(seconds=1)) == 2
    assert await records.task("t1") is None


# --- other stores ---


async def test_the_public_plugins_notes_are_understood(store: OtherStore) -> None:
    await store.insert(
        [
            noted("checkpoint", '{"conversations": {"c1": {}}}', "app-1", mark="true"),
            noted("checkpoint", "{broken", "app-2", mark=True),
            noted("distributed_lock", '{"holder_id": "h1", "acquired_at": "2026-11-28T00:00:00Z", "ttl_seconds": 60}'),
        ]
    )
    records = StoreRecords(store, WordEmbedder.dimensions)
    first, broken = await records.checkpoint("ann", "app-1"), await records.checkpoint("ann", "app-2")
    assert first is not None and broken is not None
    assert (first.value, broken.value) == ({"conversations": {"c1": {}}}, {})
    lock = await locked(records, "two")  # the old one's time was over long ago
    await records.move(lock, VALUE)
    assert [kept.value for kept in await records.checkpoints("ann", "app-1")] == [VALUE]


async def test_notes_are_no_memories(store: OtherStore) -> None:
    records = StoreRecords(store, WordEmbedder.dimensions)
    lock = await locked(records)
    await records.move(lock, VALUE)
    await records.put_task(KeptTask("t1", {"status": "running"}, SINCE, SINCE, ({"user_id": "ann"},)))
    for owner in ("ann", "memory_extractor"):
        assert await store.everything(Scope(owner)) == []
        (vector,) = await WordEmbedder().embed(["conversations"])
        assert await store.nearest(Scope(owner), vector, limit=10) == []
        assert await store.with_words(Scope(owner), "conversations status running", limit=10) == []


async def test_a_crash_between_adding_and_deleting_leaves_the_newer(store: OtherStore) -> None:
    records = StoreRecords(store, WordEmbedder.dimensions)
    lock = await locked(records)
    await records.move(lock, VALUE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OtherStore, "delete", _dies)
        with pytest.raises(_DiedError):
            await records.move(lock, {"conversations": {"c2": {}}})
    assert len(await records.checkpoints("ann")) == 2
    kept = await records.checkpoint("ann")
    assert kept is not None and kept.value == {"conversations": {"c2": {}}}
    await records.move(lock, VALUE)
    assert [one.value for one in await records.checkpoints("ann")] == [VALUE]


async def test_what_tasks_tell_of_a_person_can_be_forgotten(store: OtherStore) -> None:
    records = StoreRecords(store, WordEmbedder.dimensions)
    reports = ({"user_id": "ann"}, {"user_id": "bob"})
    await records.put_task(KeptTask("t1", {"status": "running"}, SINCE, SINCE, reports))
    await records.forget("ann")
    task = await records.task("t1")
    assert task is not None and task.reports == ({"user_id": "bob"},)
    theirs = {"status": "completed", "final_report": {"per_user": list(reports)}}
    await records.put_task(KeptTask("t2", theirs, SINCE, SINCE))
    await records.forget("ann")
    task = await records.task("t2")
    assert task is not None and task.value["final_report"] == {"per_user": [{"user_id": "bob"}]}


async def test_a_silent_holder_is_dead(store: OtherStore, monkeypatch: pytest.MonkeyPatch) -> None:
    records = StoreRecords(store, WordEmbedder.dimensions)
    await locked(records)
    monkeypatch.setattr(records_store, "SILENT_S", -1.0)
    assert (await locked(records, "two")).holder_id == "two"


class _DiedError(Exception):
    pass


async def _dies(*_: Any) -> None:
    raise _DiedError


def noted(kind: str, text: str, app: str = "app-1", *, mark: Any = "true") -> NewMemory:
    memory = said(text)
    metadata = {"__internal": mark, "internal_type": kind, "version": "v1"}
    stored = StoredMemory(
        uuid.uuid4(), "ann", app, "", "", "user", None, text, metadata, memory.spoken_at, memory.spoken_at
    )
    return NewMemory(stored, (), np.ones(WordEmbedder.dimensions, np.float32))
