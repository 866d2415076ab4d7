"""What the tool `forget_memories` does: let go what has faded of a user, and clean up what extraction left behind."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

from ..by_mem0.other_memories import OtherMemories
from ..longterm.records import KeptCheckpoint
from ..platform.memory import PlatformMemory
from ..records import FoundMemory, StoredMemory
from ..scope import Scope
from .access_log import AccessLog, AccessOptions, WritesTraces
from .by_list import PAGE, KeepsUses, Listed, PruneByList
from .prune import PruneResult, WouldDelete
from .retention import quality_of

CHECKPOINT_TTL_DAYS = 90
_SHOWN_BYTES = 512 * 1024
_STOP_S = 5.0


class Prunes(Protocol):
    """The engine on PostgreSQL, or `PruneByList`."""

    async def prune(
        self, *, user_id: str, agent_id: str | None = None, ttl_days: int | None = None, dry_run: bool = False
    ) -> PruneResult: ...


class Cleans(Protocol):
    """What is needed of the notes of extraction (longterm/records.py)."""

    async def checkpoints(self, user_id: str, app_id: str | None = None) -> list[KeptCheckpoint]:
        """The newest first."""
        ...

    async def drop_checkpoints(self, checkpoints: Sequence[KeptCheckpoint]) -> int: ...

    async def old_locks(self, user_id: str, app_id: str | None = None) -> int: ...

    async def drop_old_locks(self, user_id: str, app_id: str | None = None) -> int: ...


@dataclass(frozen=True, slots=True)
class ForgetOptions:
    """A memory that is older than `memory_ttl_days` goes, whatever is left of it; a checkpoint that did not move for
    `checkpoint_ttl_days` too.
    """

    memory_ttl_days: int | None = None
    checkpoint_ttl_days: int = CHECKPOINT_TTL_DAYS
    shown_bytes: int = _SHOWN_BYTES


class ForgetMemories:
    """`records` is None where there is no extraction."""

    def __init__(
        self,
        memories: Prunes,
        records: Cleans | None = None,
        options: ForgetOptions | None = None,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._memories = memories
        self._records = records
        self._options = options or ForgetOptions()
        self._clock = clock

    async def forget_faded(self, *, user_id: str, app_id: str | None = None, dry_run: bool = False) -> dict[str, Any]:
        """What was done, or would be, in the shape of the contract. An app is the agent of its memories."""
        scope, ttl_days = Scope(user_id, app_id), self._options.memory_ttl_days
        pruned = await self._memories.prune(
            user_id=scope.user_id, agent_id=scope.agent_id, ttl_days=ttl_days, dry_run=dry_run
        )
        told: dict[str, Any] = {
            "deleted_count": pruned.deleted_count,
            "retained_count": pruned.retained_count,
            "checkpoints_cleaned": await self._clean_checkpoints(scope, dry_run=dry_run),
            "locks_cleaned": await self._clean_locks(scope, dry_run=dry_run),
            "dry_run": dry_run,
            "recently_recalled": pruned.recently_recalled,
        }
        if pruned.is_partial:
            told["partial"] = True
        if dry_run:
            shown = _within(self._options.shown_bytes, pruned.would_delete)
            told["would_delete"] = shown
            if len(shown) < pruned.deleted_count:
                told["would_delete_truncated"] = True
        return told

    async def _clean_checkpoints(self, scope: Scope, *, dry_run: bool) -> int:
        if self._records is None:
            return 0
        before = self._clock() - timedelta(days=max(self._options.checkpoint_ttl_days, 1))
        old, seen = [], set()
        for one in await self._records.checkpoints(scope.user_id, scope.agent_id):
            is_newest = one.app_id not in seen
            seen.add(one.app_id)
            # Nobody knows how old one without a date is: then it stays.
            if not is_newest or (one.updated_at is not None and one.updated_at < before):
                old.append(one)
        return len(old) if dry_run or not old else await self._records.drop_checkpoints(old)

    async def _clean_locks(self, scope: Scope, *, dry_run: bool) -> int:
        if self._records is None:
            return 0
        clean = self._records.old_locks if dry_run else self._records.drop_old_locks
        return await clean(scope.user_id, scope.agent_id)


class Fading:
    """Forgetting for memories in a store that only lists: notes what is recalled and judges by that.

    It is what an engine of such a store tells of its recalls. Start it within the loop that is to write them down.
    """

    def __init__(
        self, listed: Listed, log: "KeepsLog", access: AccessOptions | None = None, *, page: int = PAGE
    ) -> None:
        self._access = AccessLog(log, access or AccessOptions())
        self._log = log
        self._prune = PruneByList(listed, log, page=page)

    def start(self) -> None:
        self._access.start()

    async def stop(self, deadline_s: float = _STOP_S) -> None:
        await self._access.stop(deadline_s)

    def recalled(self, found: Sequence[FoundMemory], *, user_id: str) -> None:
        """These were used as an answer. Takes no time, and never fails."""
        qualities = ((one.memory.id, quality_of(one.score, rerank_score=one.rerank_score)) for one in found)
        self._access.note(user_id, qualities, datetime.now(UTC))

    async def prune(
        self, *, user_id: str, agent_id: str | None = None, ttl_days: int | None = None, dry_run: bool = False
    ) -> PruneResult:
        await self._access.flush()
        return await self._prune.prune(user_id=user_id, agent_id=agent_id, ttl_days=ttl_days, dry_run=dry_run)


class KeepsLog(WritesTraces, KeepsUses, Protocol):
    """UseRecords, or UseFile."""


class InStore:
    """The memories of one of mem0's stores (by_mem0/plain_engine.py)."""

    def __init__(self, memory: OtherMemories) -> None:
        self._memory = memory

    async def some(self, scope: Scope, *, limit: int) -> Sequence[StoredMemory]:
        return await self._memory.store.listed(scope, limit=limit)

    async def delete(self, id: UUID, *, user_id: str) -> None:
        await self._memory.delete(id, user_id=user_id)


class OnPlatform:
    """Those that Mem0's platform lists (platform/memory.py)."""

    def __init__(self, memory: PlatformMemory) -> None:
        self._memory = memory

    async def some(self, scope: Scope, *, limit: int) -> Sequence[StoredMemory]:
        return await self._memory.get_all(user_id=scope.user_id, agent_id=scope.agent_id, top_k=limit)

    async def delete(self, id: UUID, *, user_id: str) -> None:
        await self._memory.delete(id, user_id=user_id)


def _within(room: int, would: Sequence[WouldDelete]) -> list[dict[str, Any]]:
    """The first of them that fit."""
    shown = []
    for one in would:
        item = {"id": str(one.id), "memory": one.memory, "retention_info": asdict(one.retention_info)}
        room -= len(json.dumps(item)) + 2
        if room < 0:
            break
        shown.append(item)
    return shown
