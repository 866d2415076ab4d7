"""Forgetting as the tool tells it: faded memories, checkpoints that count no more, locks whose time is over."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from xiaozhi_memory.mem0ai.forgetting.prune import PruneResult, WouldDelete
from xiaozhi_memory.mem0ai.longterm.records import KeptCheckpoint

from .credentials import Settings

_DIGITS = {"quality_ema": 4, "recall_strength": 4, "stability_days": 2, "retention": 4}


class Notes(Protocol):
    """What extraction has noted of a user."""

    async def checkpoints(self, user_id: str, app_id: str | None = None) -> list[KeptCheckpoint]: ...

    async def drop_checkpoints(self, checkpoints: Sequence[KeptCheckpoint]) -> int: ...

    async def drop_old_locks(self, user_id: str, app_id: str | None = None) -> int: ...


Prune = Callable[..., Awaitable[PruneResult]]


class Forgetting:
    """Without `notes` there is no extraction either."""

    def __init__(
        self,
        prune: Prune,
        notes: Notes | None,
        settings: Settings,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._prune = prune
        self._notes = notes
        self._ttl_days = settings.memory_ttl_days
        self._checkpoint_ttl = timedelta(days=settings.checkpoint_ttl_days)
        self._clock = clock

    async def forget_faded(self, *, user_id: str, app_id: str | None, dry_run: bool) -> dict[str, Any]:
        pruned = await self._prune(user_id=user_id, agent_id=app_id, ttl_days=self._ttl_days, dry_run=dry_run)
        told: dict[str, Any] = {
            "deleted_count": pruned.deleted_count,
            "retained_count": pruned.retained_count,
            "checkpoints_cleaned": await self._clean(user_id, app_id, dry_run),
            "dry_run": dry_run,
        }
        if dry_run:
            told["would_delete"] = [_shown(one) for one in pruned.would_delete]
        elif self._notes is not None:
            told["locks_cleaned"] = await self._notes.drop_old_locks(user_id, app_id)
        return told

    async def _clean(self, user_id: str, app_id: str | None, dry_run: bool) -> int:
        if self._notes is None:
            return 0
        old = self._outdated(await self._notes.checkpoints(user_id, app_id))
        return len(old) if dry_run or not old else await self._notes.drop_checkpoints(old)

    def _outdated(self, kept: Sequence[KeptCheckpoint]) -> list[KeptCheckpoint]:
        """All but the newest of each app, and that one where nothing was read for long. An unknown date keeps it."""
        counts: set[str] = set()
        old: list[KeptCheckpoint] = []
        for one in kept:  # the newest first
            is_newest = one.app_id not in counts
            counts.add(one.app_id)
            if not is_newest or self._is_over(one):
                old.append(one)
        return old

    def _is_over(self, one: KeptCheckpoint) -> bool:
        return one.updated_at is not None and self._clock() - one.updated_at > self._checkpoint_ttl


def _shown(one: WouldDelete) -> dict[str, Any]:
    info = asdict(one.retention_info)
    rounded = {name: round(value, _DIGITS[name]) if name in _DIGITS else value for name, value in info.items()}
    return {"id": str(one.id), "memory": one.memory, "retention_info": rounded}
