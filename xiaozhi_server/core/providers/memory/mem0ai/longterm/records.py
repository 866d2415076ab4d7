"""What long-term extraction notes for itself: how far it has read, what its tasks do, and who works on whom.

On PostgreSQL these are tables of our own (records_pg.py), elsewhere internal records of the store (records_store.py).
What is kept has the JSON shapes of the public plugin: what that one left behind is understood.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

Json = Mapping[str, Any]

CHECKPOINT = "checkpoint"
TASK = "extraction_task"
LOCK = "distributed_lock"
VERSION = "v1"
# Whose records the tasks are, where each record has an owner.
TASKS_OWNER = "memory_extractor"
# Whoever holds a lock says so that often; who was silent for so long is dead, whatever time was left.
BEAT_S = 15.0
SILENT_S = 90.0


class LockHeldError(RuntimeError):
    """Somebody else works on this user, or nobody may: the user was forgotten after the task had begun."""

    def __init__(self, holder_id: str) -> None:
        super().__init__("another run works on this user")
        self.holder_id = holder_id


class LockLostError(RuntimeError):
    """What was held is somebody else's by now, or nobody's. Nothing was written."""

    def __init__(self) -> None:
        super().__init__("the lock on this user was lost")


@dataclass(frozen=True, slots=True)
class KeptCheckpoint:
    """How far the conversations of a user with an app were read. Without `updated_at` nobody knows since when.

    `pending` names memories that may have been written without this having been moved: they are to be undone first.
    """

    id: str
    user_id: str
    app_id: str
    value: Json
    updated_at: datetime | None
    pending: str = ""


@dataclass(frozen=True, slots=True)
class Lock:
    """One user with one app in one hand. Of two holders the later one has the higher `fence`."""

    user_id: str
    app_id: str
    holder_id: str
    fence: int
    acquired_at: datetime
    ttl_s: int
    id: str = ""

    def as_json(self) -> dict[str, Any]:
        return {
            "lock_id": f"lock:extraction:{self.user_id}:{self.app_id}",
            "holder_id": self.holder_id,
            "acquired_at": self.acquired_at.isoformat(),
            "ttl_seconds": self.ttl_s,
        }


@dataclass(frozen=True, slots=True)
class KeptTask:
    """A task as its status shows it, and what was told of each user so far, in the order in which they were done."""

    id: str
    value: Json
    started_at: datetime
    updated_at: datetime
    reports: tuple[Json, ...] = ()


class Records(Protocol):
    """Ids are checked by whoever calls. A store that is away raises what it raises."""

    async def checkpoint(self, user_id: str, app_id: str | None = None) -> KeptCheckpoint | None:
        """The one that counts; of any app where none is named."""
        ...

    async def checkpoints(self, user_id: str, app_id: str | None = None) -> list[KeptCheckpoint]:
        """The newest first, with those that count no more."""
        ...

    async def drop_checkpoints(self, checkpoints: Sequence[KeptCheckpoint]) -> int: ...

    async def move(self, lock: Lock, value: Json) -> None:
        """Write how far was read; a LockLostError where the lock is not ours any more."""
        ...

    async def lock(self, user_id: str, app_id: str, *, holder_id: str, ttl_s: int, since: datetime) -> Lock:
        """A LockHeldError where somebody else has it. `since` is when the work was ordered."""
        ...

    async def beat(self, lock: Lock) -> bool:
        """Still here; False where the lock is not ours any more."""
        ...

    async def release(self, lock: Lock) -> None: ...

    async def old_locks(self, user_id: str, app_id: str | None = None) -> int:
        """How many there are whose time is over."""
        ...

    async def drop_old_locks(self, user_id: str, app_id: str | None = None) -> int:
        """Those whose time is over. Returns how many there were."""
        ...

    async def put_task(self, task: KeptTask) -> None:
        """Write it down as it is now. `reports` are those that are new: they join the ones that are there."""
        ...

    async def task(self, task_id: str) -> KeptTask | None: ...

    async def drop_tasks(self, *, before: datetime) -> int:
        """Those that nothing was heard of since then."""
        ...
