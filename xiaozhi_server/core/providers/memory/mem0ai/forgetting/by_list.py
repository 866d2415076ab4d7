"""Who goes where the memories lie in a store that only lists and deletes: the same judgement, memory by memory."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID

from ..errors import MemoryNotFoundError
from ..records import StoredMemory
from ..scope import Scope
from .prune import SHOWN_MAX, PruneResult, WouldDelete
from .retention import EARLIEST, RetentionInfo, retention_info
from .uses import Use

PAGE = 10_000  # memories that are in hand at once

_AT_ONCE = 8


class Listed(Protocol):
    """What is there of an owner, in whatever form the store has it."""

    async def some(self, scope: Scope, *, limit: int) -> Sequence[StoredMemory]:
        """So many of the memories, if there are so many."""
        ...

    async def delete(self, id: UUID, *, user_id: str) -> None:
        """A MemoryNotFoundError where it is not there any more."""
        ...


class KeepsUses(Protocol):
    """The log of what was recalled, where the store of the memories has no place for it."""

    async def read(self, user_id: str) -> Mapping[UUID, Use]: ...

    async def drop(self, user_id: str, ids: Set[UUID]) -> None: ...


class PruneByList:
    """More than a page is judged only as far as what was deleted made room: `is_partial` of the result says so."""

    def __init__(
        self,
        listed: Listed,
        uses: KeepsUses,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        page: int = PAGE,
    ) -> None:
        self._listed = listed
        self._uses = uses
        self._clock = clock
        self._page = page

    async def prune(
        self, *, user_id: str, agent_id: str | None = None, ttl_days: int | None = None, dry_run: bool = False
    ) -> PruneResult:
        scope, now = Scope(user_id, agent_id), self._clock()
        uses = await self._uses.read(scope.user_id)
        judge = _Judge(uses, now, ttl_days)
        gone: set[UUID] = set()
        while True:
            listed = await self._listed.some(scope, limit=self._page)
            is_partial = len(listed) >= self._page
            there = [one for one in listed if one.id not in gone]  # some stores are slow to know it
            due = judge.due(there)
            if dry_run or not due:
                break
            await self._delete(scope, due)
            gone.update(one.id for one in due)
            if len(there) + len(gone) < self._page:
                there = [one for one in there if one.id not in gone]
                break
        sees_all = not dry_run and scope.agent_id is None and not is_partial
        # A process that was killed may have deleted memories and left their uses.
        nobodys = uses.keys() - {one.id for one in there} if sees_all else set()
        if gone | nobodys:
            await self._uses.drop(scope.user_id, gone | nobodys)
        retained = len(there) - (len(due) if dry_run else 0)
        count = len(due) if dry_run else len(gone)
        return PruneResult(
            deleted_count=count,
            retained_count=retained,
            dry_run=dry_run,
            reasons=dict(judge.reasons),
            would_delete=tuple(judge.shown[:SHOWN_MAX]) if dry_run else (),
            recently_recalled=len(judge.spared),
            is_partial=is_partial,
        )

    async def _delete(self, scope: Scope, due: Sequence[StoredMemory]) -> None:
        free = asyncio.Semaphore(_AT_ONCE)

        async def one(memory: StoredMemory) -> None:
            async with free:
                try:
                    await self._listed.delete(memory.id, user_id=scope.user_id)
                except MemoryNotFoundError:
                    return

        try:
            async with asyncio.TaskGroup() as group:
                for memory in due:
                    group.create_task(one(memory))
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None


class _Judge:
    """Also keeps who was judged how."""

    def __init__(self, uses: Mapping[UUID, Use], now: datetime, ttl_days: int | None) -> None:
        self.reasons: Counter[str] = Counter()
        self.shown: list[WouldDelete] = []
        self.spared: set[UUID] = set()
        self._uses = uses
        self._now = now
        self._ttl_days = ttl_days

    def due(self, memories: Sequence[StoredMemory]) -> list[StoredMemory]:
        return [memory for memory in memories if self._goes(memory)]

    def _goes(self, memory: StoredMemory) -> bool:
        info = self._info(memory)
        if not info.forget:
            if info.recently_recalled and not is_pinned(memory) and self._info(memory, is_used=False).forget:
                self.spared.add(memory.id)
            return False
        why = "too_old" if info.ttl_expired else "faded"
        self.reasons[why] += 1
        if len(self.shown) < SHOWN_MAX:
            self.shown.append(WouldDelete(memory.id, memory.user_id, memory.text, why, info))
        return True

    def _info(self, memory: StoredMemory, *, is_used: bool = True) -> RetentionInfo:
        use = self._uses.get(memory.id, Use())
        return retention_info(
            self._now,
            memory.created_at if memory.created_at >= EARLIEST else None,
            use.trace,
            subtype=subtype_of(memory),
            flag=memory.flag,
            pinned=is_pinned(memory),
            ttl_days=self._ttl_days,
            used_at=use.used_at if is_used else None,
        )


def subtype_of(memory: StoredMemory) -> str:
    """Programs that know no such field keep it in the metadata."""
    kept = (memory.metadata or {}).get("memory_subtype")
    return memory.subtype or (kept if isinstance(kept, str) else "")


def is_pinned(memory: StoredMemory) -> bool:
    """Such a store has no field for it, so whoever wants one to stay says so in its metadata."""
    return memory.pinned or (memory.metadata or {}).get("pinned") is True
