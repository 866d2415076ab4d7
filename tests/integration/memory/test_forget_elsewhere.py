"""What `forget_memories` does to a real store of mem0's: put together as the plugin for Dify does it."""

import json
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tests.integration.memory.plain_world import plain, put_internal
from xiaozhi_server.core.providers.memory.base import SpokenMessage
from xiaozhi_server.core.providers.memory.mem0ai.by_mem0.plain_engine import PlainEngine
from xiaozhi_server.core.providers.memory.mem0ai.forgetting.forget_memories import (
    Fading,
    ForgetMemories,
    ForgetOptions,
    InStore,
)
from xiaozhi_server.core.providers.memory.mem0ai.forgetting.use_records import UseRecords
from xiaozhi_server.core.providers.memory.mem0ai.forgetting.uses import Recall
from xiaozhi_server.core.providers.memory.mem0ai.longterm.records import KeptTask, Lock
from xiaozhi_server.core.providers.memory.mem0ai.longterm.records_store import StoreRecords
from xiaozhi_server.core.providers.memory.mem0ai.records import StoredMemory
from xiaozhi_server.core.providers.memory.mem0ai.scope import Scope
from xiaozhi_server.core.providers.memory.mem0ai.testing import WordEmbedder

APP = "app"


def ago(days: float) -> datetime:
    return datetime.now(UTC) - timedelta(days=days)


@dataclass
class World:
    engine: PlainEngine
    uses: UseRecords
    notes: StoreRecords
    fading: Fading

    def tool(self, memory_ttl_days: int | None = None) -> ForgetMemories:
        return ForgetMemories(self.fading, self.notes, ForgetOptions(memory_ttl_days=memory_ttl_days))

    async def add(self, text: str, days: float, *, user_id: str = "ann", **more: Any) -> StoredMemory:
        message = SpokenMessage("user", text, ago(days))
        memories: list[StoredMemory] = await self.engine.add([message], user_id=user_id, **{"agent_id": APP, **more})
        return memories[0]

    async def put(self, payload: Mapping[str, Any]) -> UUID:
        """As another program wrote it."""
        id, raw = uuid.uuid4(), self.engine.store._store
        (vector,) = (await WordEmbedder().embed([str(payload["data"])])).tolist()
        await self.engine.store._run(
            lambda: raw.insert(vectors=[vector], payloads=[{"user_id": "ann", **payload}], ids=[str(id)])
        )
        return id

    async def left(self, user_id: str = "ann") -> set[str]:
        return {one.text for one in await self.engine.get_all(user_id=user_id)}

    async def noted(self, user_id: str = "ann") -> set[tuple[str, str]]:
        """Everything that lies between the memories."""
        records = await self.engine.store.internal(Scope(user_id), limit=1000)
        return {(str(one.id), one.text) for one in records}

    async def lock(self, app_id: str, ttl_s: int) -> Lock:
        return await self.notes.lock("ann", app_id, holder_id="one", ttl_s=ttl_s, since=ago(0))


@pytest.fixture(params=["qdrant", "faiss"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    async with plain(request.param, tmp_path) as engine:
        uses = UseRecords(engine.store, WordEmbedder.dimensions)
        fading = Fading(InStore(engine), uses)
        fading.start()
        engine.recalls = fading
        yield World(engine, uses, StoreRecords(engine.store, WordEmbedder.dimensions), fading)
        await fading.stop()


async def test_the_old_go_and_the_young_pinned_and_undated_stay(world: World) -> None:
    old = await world.add("Old.", 300)
    await world.add("Young.", 10)
    await world.add("Pinned.", 300, metadata={"pinned": True})
    await world.add("A fact.", 100, metadata={"memory_subtype": "semantic"})
    await world.add("An episode.", 100, metadata={"memory_subtype": "episodic"})
    await world.add("Of another app.", 300, agent_id="other")
    await world.put({"data": "Undated.", "agent_id": APP})
    await world.put({"data": "Badly dated.", "agent_id": APP, "created_at": "yesterday"})
    await world.add("Of bob.", 300, user_id="bob")
    everything, of_bob = await world.left(), await world.left("bob")

    shown = await world.tool().forget_faded(user_id="ann", app_id=APP, dry_run=True)
    assert (shown["deleted_count"], shown["retained_count"], shown["dry_run"]) == (2, 5, True)
    assert {one["memory"] for one in shown["would_delete"]} == {"Old.", "An episode."}
    assert {one["retention_info"]["age_days"] for one in shown["would_delete"]} == {300.0, 100.0}
    assert await world.left() == everything, "a preview changes nothing"
    assert await world.engine.history(old.id, user_id="ann") != []

    done = await world.tool().forget_faded(user_id="ann", app_id=APP)
    assert (done["deleted_count"], done["retained_count"]) == (2, 5)
    assert await world.left() == everything - {"Old.", "An episode."}
    assert [one.event for one in await world.engine.history(old.id, user_id="ann")] == ["ADD", "DELETE"]
    whole = await world.tool().forget_faded(user_id="ann")
    assert (whole["deleted_count"], whole["retained_count"]) == (1, 5), "without an app those of each are meant"
    assert await world.left("bob") == of_bob


async def test_what_is_older_than_allowed_goes_though_it_was_used(world: World) -> None:
    used = await world.add("Used yesterday.", 40)
    await world.add("Pinned.", 40, metadata={"pinned": True})
    await world.add("Young.", 20)
    await world.put({"data": "Undated.", "agent_id": APP})
    await world.uses.note("ann", {used.id: [Recall(0.9, ago(1))]})
    done = await world.tool(memory_ttl_days=30).forget_faded(user_id="ann")
    assert (done["deleted_count"], done["retained_count"]) == (1, 3)
    assert await world.left() == {"Pinned.", "Young.", "Undated."}


async def test_what_a_search_found_a_moment_ago_stays(world: World) -> None:
    await world.add("I like plums.", 300)
    await world.add("I row a boat.", 300)
    found = await world.engine.search("plums", user_id="ann", top_k=1)
    world.engine.recalled(found, user_id="ann")
    done = await world.tool().forget_faded(user_id="ann")
    assert (done["deleted_count"], done["retained_count"]) == (1, 1)
    assert await world.left() == {"I like plums."}


async def test_the_record_of_its_recalls_goes_with_a_memory(world: World) -> None:
    """The public plugin's records too: what else they tell stays."""
    gone, kept = await world.add("Old.", 900), await world.add("Young.", 10)
    of_bob = await world.add("Of bob.", 900, user_id="bob")
    long_ago, lately = {"last_recalled_at": ago(800).isoformat()}, {"last_recalled_at": ago(5).isoformat()}
    both, one = {str(gone.id): long_ago, str(kept.id): lately}, {gone.id.hex.upper(): long_ago}
    marks = {"__internal": "true", "internal_type": "access_log", "version": "v1", "agent_id": APP}
    for log in (both, one):
        await world.put({"data": json.dumps(log), **marks})
    await world.uses.note("ann", {gone.id: [Recall(0.8, ago(700))], kept.id: [Recall(0.8, ago(2))]})
    await world.uses.note("bob", {of_bob.id: [Recall(0.8, ago(700))]})
    before, bobs = await world.noted(), await world.noted("bob")
    assert (await world.tool().forget_faded(user_id="ann", dry_run=True))["deleted_count"] == 1
    assert await world.noted() == before

    assert (await world.tool().forget_faded(user_id="ann"))["deleted_count"] == 1
    assert set(await world.uses.read("ann")) == {kept.id}
    after = await world.noted()
    assert not [text for _, text in after if str(gone.id) in text or gone.id.hex.upper() in text]
    assert {str(kept.id): lately} in [json.loads(text) for _, text in after]
    assert (await world.uses.read("ann"))[kept.id].trace.recall_count == 1
    assert await world.noted("bob") == bobs


@pytest.mark.parametrize("mark", ["true", True], ids=["text", "boolean"])
async def test_internal_records_are_neither_counted_nor_deleted(world: World, mark: Any) -> None:
    old = await world.add("Old.", 300)
    await world.add("Young.", 10)
    await put_internal(world.engine, old, [uuid.uuid4() for _ in range(120)], mark)  # as old as the memory
    lock = await world.lock(APP, 600)
    await world.notes.move(lock, {"conversations": {}})
    await world.notes.put_task(KeptTask("t", {"status": "running"}, ago(1), ago(1)))
    before, tasks = await world.noted(), await world.noted("memory_extractor")
    assert len(before) == 122
    for dry_run in (True, False):
        done = await world.tool(memory_ttl_days=1000).forget_faded(user_id="ann", dry_run=dry_run)
        assert (done["deleted_count"], done["retained_count"]) == (1, 1)
        assert await world.noted() == before
    assert await world.left() == {"Young."}
    assert (await world.tool().forget_faded(user_id="memory_extractor"))["retained_count"] == 0
    assert await world.noted("memory_extractor") == tasks
    assert await world.notes.beat(lock)


async def test_a_preview_counts_the_locks_that_would_go(world: World) -> None:
    held = await world.lock(APP, 600)
    await world.lock("another", 0)
    before = await world.noted()
    shown = await world.tool().forget_faded(user_id="ann", dry_run=True)
    assert shown["locks_cleaned"] == 1
    assert await world.noted() == before
    done = await world.tool().forget_faded(user_id="ann")
    assert done["locks_cleaned"] == 1
    assert (await world.tool().forget_faded(user_id="ann", dry_run=True))["locks_cleaned"] == 0
    assert await world.notes.beat(held)
