"""Forgetting in a store that only lists and deletes, its two logs of recalls, and the answer of the tool."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from xiaozhi_server.core.providers.memory.mem0ai.forgetting.by_list import PruneByList
from xiaozhi_server.core.providers.memory.mem0ai.forgetting.forget_memories import (
    Fading,
    ForgetMemories,
    ForgetOptions,
)
from xiaozhi_server.core.providers.memory.mem0ai.forgetting.use_file import UseFile
from xiaozhi_server.core.providers.memory.mem0ai.forgetting.use_records import UseRecords
from xiaozhi_server.core.providers.memory.mem0ai.forgetting.uses import Recall
from xiaozhi_server.core.providers.memory.mem0ai.longterm.records import KeptCheckpoint
from xiaozhi_server.core.providers.memory.mem0ai.records import FoundMemory, NewMemory, StoredMemory
from xiaozhi_server.core.providers.memory.mem0ai.scope import Scope

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


def memory(number: int, days: float, **more: Any) -> StoredMemory:
    at = ago(days)
    whole = StoredMemory(UUID(int=number), "ann", "app", "", "", "user", None, f"Number {number}.", None, at, at)
    return replace(whole, **more)


@dataclass
class Store:
    """Lists and deletes; keeps internal records beside."""

    memories: list[StoredMemory] = field(default_factory=list)
    records: list[StoredMemory] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)

    async def some(self, scope: Scope, *, limit: int) -> Sequence[StoredMemory]:
        self.asked.append(limit)
        return [one for one in self.memories if scope.agent_id in (None, one.agent_id)][:limit]

    async def delete(self, what: Any, *, user_id: str = "") -> None:
        if isinstance(what, UUID):
            self.memories = [one for one in self.memories if one.id != what]
            return
        gone = {one.id for one in what}
        self.records = [one for one in self.records if one.id not in gone]

    async def insert(self, rows: Sequence[NewMemory], batch: str = "") -> None:
        self.records += [row.memory for row in rows]

    async def internal(self, scope: Scope, *, limit: int, marks: Mapping[str, str] | None = None) -> list[StoredMemory]:
        wanted = (marks or {}).items()
        theirs = [one for one in self.records if one.user_id == scope.user_id]
        return [one for one in theirs if wanted <= (one.metadata or {}).items()][:limit]


@dataclass
class Notes:
    kept: list[KeptCheckpoint] = field(default_factory=list)
    locks: int = 1

    async def checkpoints(self, user_id: str, app_id: str | None = None) -> list[KeptCheckpoint]:
        return [one for one in self.kept if app_id in (None, one.app_id)]

    async def drop_checkpoints(self, checkpoints: Iterable[KeptCheckpoint]) -> int:
        gone = list(checkpoints)
        self.kept = [one for one in self.kept if one not in gone]
        return len(gone)

    async def old_locks(self, user_id: str, app_id: str | None = None) -> int:
        return self.locks

    async def drop_old_locks(self, user_id: str, app_id: str | None = None) -> int:
        dropped, self.locks = self.locks, 0
        return dropped


@pytest.fixture(params=["file", "records"])
async def log(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    if request.param == "records":
        yield UseRecords(Store(), 4)
        return
    file = UseFile(tmp_path / "uses.db")
    yield file
    await file.close()


def tool(store: Store, log: Any, options: ForgetOptions | None = None, **more: Any) -> ForgetMemories:
    prune = PruneByList(store, log, clock=lambda: NOW, **more)
    return ForgetMemories(prune, Notes(), options, clock=lambda: NOW)


async def test_the_log_says_what_was_used_and_how_well_it_fitted(log: Any) -> None:
    one, other = UUID(int=1), UUID(int=2)
    await log.note("ann", {one: [Recall(0.8, ago(3)), Recall(0.1, ago(1))], other: [Recall(0.2, ago(2))]})
    await log.note("ann", {one: [Recall(0.5, ago(2))]})
    await log.note("bob", {one: [Recall(0.9, ago(0))]})
    uses = await log.read("ann")
    trace = uses[one].trace
    assert (trace.last_recalled_at, trace.recall_count, trace.quality_ema) == (ago(2), 2, 0.71)
    assert uses[one].used_at == ago(1)
    assert (uses[other].trace.recall_count, uses[other].used_at) == (0, ago(2))
    await log.drop("ann", {one})
    assert set(await log.read("ann")) == {other}


async def test_who_goes_and_who_stays(log: Any) -> None:
    unknown = datetime(1970, 1, 1, tzinfo=UTC)
    store = Store(
        [
            memory(1, 300),
            memory(2, 10),
            memory(3, 300, pinned=True),
            memory(4, 300, created_at=unknown, updated_at=unknown),
            memory(5, 300),
            memory(6, 100, metadata={"memory_subtype": "semantic"}),
            memory(7, 300, agent_id="other"),
        ]
    )
    await log.note("ann", {UUID(int=5): [Recall(0.1, ago(41))]})
    shown = await tool(store, log).forget_faded(user_id="ann", app_id="app", dry_run=True)
    (would,) = shown.pop("would_delete")
    assert shown == {
        "deleted_count": 1, "retained_count": 5, "checkpoints_cleaned": 0, "locks_cleaned": 1, "dry_run": True,
        "recently_recalled": 1,
    }  # fmt: skip
    assert (would["id"], would["memory"]) == (str(UUID(int=1)), "Number 1.")
    assert would["retention_info"] == {
        "recall_count": 0, "quality_ema": 0.0, "recall_strength": 0.0, "stability_days": 30.0, "age_days": 300.0,
        "age_since_created_days": 300.0, "retention": 0.0, "ttl_expired": False, "forget": True,
        "memory_subtype": "other", "s0_used": 30.0, "recently_recalled": False,
    }  # fmt: skip
    assert len(store.memories) == 7
    done = await tool(store, log).forget_faded(user_id="ann", app_id="app")
    assert (done["deleted_count"], done["retained_count"], done["locks_cleaned"]) == (1, 5, 1)
    assert [one.id.int for one in store.memories] == [2, 3, 4, 5, 6, 7]
    at_the_end = await tool(store, log, ForgetOptions(memory_ttl_days=200)).forget_faded(user_id="ann")
    assert at_the_end["deleted_count"] == 2, "what was used lately goes too; other apps' as well"
    assert [one.id.int for one in store.memories] == [2, 3, 4, 6]


async def test_what_a_killed_process_left_in_the_log_goes_next_time(log: Any) -> None:
    store = Store([memory(1, 10), memory(2, 10)])
    ids = [UUID(int=number) for number in (1, 2, 9)]
    await log.note("ann", {id: [Recall(0.8, ago(3))] for id in ids})
    await tool(store, log).forget_faded(user_id="ann", dry_run=True)
    await tool(store, log).forget_faded(user_id="ann", app_id="app")
    await tool(store, log, page=2).forget_faded(user_id="ann")
    assert set(await log.read("ann")) == set(ids), "a preview, one app's memories or some of them do not tell"
    await tool(store, log).forget_faded(user_id="ann")
    assert set(await log.read("ann")) == set(ids[:2])


class SlowStore(Store):
    """Lists for a while what was deleted."""

    async def delete(self, what: Any, *, user_id: str = "") -> None:
        """Not yet."""


async def test_uses_stay_where_what_was_deleted_hides_other_memories(log: Any) -> None:
    store = SlowStore([memory(1, 300), memory(2, 10), memory(3, 10)])
    await log.note("ann", {UUID(int=3): [Recall(0.8, ago(3))]})
    done = await tool(store, log, page=2).forget_faded(user_id="ann")
    assert (done["deleted_count"], done["partial"]) == (1, True)
    assert set(await log.read("ann")) == {UUID(int=3)}


async def test_no_more_than_a_page_is_in_hand(log: Any) -> None:
    store = Store([memory(number, 300 if number % 2 else 10) for number in range(1, 41)])
    done = await tool(store, log, page=25).forget_faded(user_id="ann")
    assert (done["deleted_count"], done["retained_count"]) == (20, 20)
    assert set(store.asked) == {25}
    store = Store([memory(number, 10) for number in range(1, 41)])
    some = await tool(store, log, page=25).forget_faded(user_id="ann")
    assert (some["deleted_count"], some["retained_count"], some["partial"]) == (0, 25, True)


async def test_a_long_preview_is_cut_and_says_so(log: Any) -> None:
    store = Store([memory(number, 300, text="x" * 1000) for number in range(1, 41)])
    shown = await tool(store, log, ForgetOptions(shown_bytes=20_000)).forget_faded(user_id="ann", dry_run=True)
    assert 0 < len(shown["would_delete"]) < 40
    assert len(json.dumps(shown["would_delete"])) <= 20_000
    assert (shown["deleted_count"], shown["would_delete_truncated"]) == (40, True)


async def test_the_newest_checkpoint_of_each_app_stays_until_it_is_old() -> None:
    notes = Notes(
        [
            KeptCheckpoint("1", "ann", "app", {}, ago(1)),
            KeptCheckpoint("2", "ann", "app", {}, ago(2)),
            KeptCheckpoint("3", "ann", "old", {}, ago(91)),
            KeptCheckpoint("4", "ann", "undated", {}, None),
        ]
    )
    made = ForgetMemories(PruneByList(Store(), UseRecords(Store(), 4), clock=lambda: NOW), notes, clock=lambda: NOW)
    assert (await made.forget_faded(user_id="ann", dry_run=True))["checkpoints_cleaned"] == 2
    assert len(notes.kept) == 4
    assert (await made.forget_faded(user_id="ann"))["checkpoints_cleaned"] == 2
    assert [one.id for one in notes.kept] == ["1", "4"]


async def test_what_was_recalled_a_moment_ago_is_not_forgotten() -> None:
    store = Store([memory(1, 3000), memory(2, 3000)])
    fading = Fading(store, UseRecords(store, 4))
    fading.start()
    fading.recalled([FoundMemory(store.memories[0], 0.1, None)], user_id="ann")
    result = await fading.prune(user_id="ann")
    await fading.stop()
    assert (result.deleted_count, result.retained_count, result.recently_recalled) == (1, 1, 1)
    assert [one.id.int for one in store.memories] == [1]


async def test_a_log_of_the_public_plugin_is_read_along() -> None:
    store = Store()
    old = {str(UUID(int=1)): {"last_recalled_at": "2026-11-01T10:00:00", "recall_count": 4, "quality_ema": 0.75}}
    marks = {"__internal": "true", "internal_type": "access_log"}
    store.records = [memory(9, 1, text=json.dumps(old), metadata=marks)]
    log = UseRecords(store, 4)
    await log.note("ann", {UUID(int=1): [Recall(0.5, ago(1))]})
    trace = (await log.read("ann"))[UUID(int=1)].trace
    assert (trace.recall_count, trace.quality_ema, trace.last_recalled_at) == (5, 0.675, ago(1))
    assert len(store.records) == 2
