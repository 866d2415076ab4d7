"""The notes of extraction as internal records of one of mem0's stores, which knows no transactions.

What is new is added before what is old is deleted, so a crash leaves too much and never nothing; the newest counts.
A lock is added first, and is ours only once nobody else's is seen beside it.
"""

import asyncio
import contextlib
import json
import random
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import numpy as np

from ..dates import span_of
from ..embedding.embed import Vectors
from ..errors import InvalidDateError
from ..records import NewMemory, StoredMemory
from ..scope import Scope
from .records import (
    CHECKPOINT,
    LOCK,
    SILENT_S,
    TASK,
    TASKS_OWNER,
    VERSION,
    Json,
    KeptCheckpoint,
    KeptTask,
    Lock,
    LockHeldError,
    LockLostError,
)

_REPORT = "extraction_report"
_RESOURCE = "extraction"
_MOST = 1000  # records of one kind that one owner has at once
_LOOKS = 5  # at who else wants a lock, before it is given up
_PAUSE_S = 0.05
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class InternalStore(Protocol):
    """What is needed of by_mem0/other_store.py."""

    async def insert(self, rows: Sequence[NewMemory], batch: str = "") -> None: ...

    async def replace(self, row: NewMemory) -> None: ...

    async def delete(self, memories: Sequence[StoredMemory]) -> None: ...

    async def internal(self, scope: Scope, *, limit: int, marks: Mapping[str, str] | None = None) -> list[StoredMemory]:
        """Internal records of this owner that have these marks in their metadata."""
        ...


class StoreRecords:
    """`dimensions` is how long a vector the store takes. Nothing is embedded: nobody looks for these by meaning."""

    def __init__(self, store: InternalStore, dimensions: int) -> None:
        self._store = store
        self._vector: Vectors = np.zeros(dimensions, np.float32)
        self._vector[0] = 1.0

    async def checkpoint(self, user_id: str, app_id: str | None = None) -> KeptCheckpoint | None:
        return next(iter(await self.checkpoints(user_id, app_id)), None)

    async def checkpoints(self, user_id: str, app_id: str | None = None) -> list[KeptCheckpoint]:
        found = sorted(await self._found(Scope(user_id, app_id), CHECKPOINT), key=_age, reverse=True)
        return [_checkpoint(record) for record in found]

    async def drop_checkpoints(self, checkpoints: Sequence[KeptCheckpoint]) -> int:
        dropped = 0
        for user_id, app_id in dict.fromkeys((one.user_id, one.app_id) for one in checkpoints):
            ids = {one.id for one in checkpoints if (one.user_id, one.app_id) == (user_id, app_id)}
            known = await self._found(Scope(user_id, app_id or None), CHECKPOINT)
            gone = [record for record in known if str(record.id) in ids]
            await self._store.delete(gone)
            dropped += len(gone)
        return dropped

    async def move(self, lock: Lock, value: Json) -> None:
        await self._put_checkpoint(lock, value, "")

    async def intend(self, lock: Lock, value: Json, key: str) -> None:
        """Memories of this key are written next: until the checkpoint is moved they count as half written."""
        await self._put_checkpoint(lock, value, key)

    async def lock(self, user_id: str, app_id: str, *, holder_id: str, ttl_s: int, since: datetime) -> Lock:
        now = datetime.now(UTC)
        mine = Lock(user_id, app_id, holder_id, int(now.timestamp() * 1000), now, ttl_s, str(uuid.uuid4()))
        try:
            await self._store.insert([self._lock_row(mine, now)])
            holder = await self._contended(mine)
        except BaseException:
            with contextlib.suppress(Exception):
                await self.release(mine)
            raise
        if holder is None:
            return mine
        await self.release(mine)
        raise LockHeldError(holder)

    async def _contended(self, mine: Lock) -> str | None:
        """Who has it instead; None where it is ours."""
        holder = ""
        for look in range(_LOOKS):
            others = await self._others(mine)
            if not others:
                return None
            holder = others[0].holder_id
            if _order(mine) > min(map(_order, others)):
                break
            # The older one stays where the younger one makes room; one that had seen nobody before us does not.
            await asyncio.sleep(_PAUSE_S * (look + random.random()))
        return holder

    async def beat(self, lock: Lock) -> bool:
        if not await self._is_held(lock):
            return False
        await self._store.replace(self._lock_row(lock, datetime.now(UTC)))
        return True

    async def release(self, lock: Lock) -> None:
        known = await self._found(Scope(lock.user_id, lock.app_id), LOCK)
        await self._store.delete([record for record in known if str(record.id) == lock.id])

    async def old_locks(self, user_id: str, app_id: str | None = None) -> int:
        return len(await self._over(user_id, app_id))

    async def drop_old_locks(self, user_id: str, app_id: str | None = None) -> int:
        old = await self._over(user_id, app_id)
        await self._store.delete(old)
        return len(old)

    async def _over(self, user_id: str, app_id: str | None) -> list[StoredMemory]:
        return [one for one in await self._found(Scope(user_id, app_id), LOCK) if _is_over(one, datetime.now(UTC))]

    async def put_task(self, task: KeptTask) -> None:
        marks = {"task_id": task.id}
        if task.reports:
            in_order = {**marks, "generation": time.time_ns() // 1000}
            told = self._row(TASKS_OWNER, "", _REPORT, list(task.reports), task.updated_at, in_order)
            await self._store.insert([told])
        old = await self._found(Scope(TASKS_OWNER), TASK, marks)
        times = {"started_at": task.started_at.isoformat(), "generation": _generation(old) + 1}
        await self._store.insert([self._row(TASKS_OWNER, "", TASK, task.value, task.updated_at, {**marks, **times})])
        await self._store.delete(old)

    async def task(self, task_id: str) -> KeptTask | None:
        marks = {"task_id": task_id}
        found = await self._found(Scope(TASKS_OWNER), TASK, marks)
        if not found:
            return None
        newest = max(found, key=_age)
        reports = sorted(await self._found(Scope(TASKS_OWNER), _REPORT, marks), key=_age)
        started_at = _moment(_mark(newest, "started_at")) or newest.created_at
        told = tuple(report for record in reports for report in _list(record.text))
        return KeptTask(task_id, _object(newest.text), started_at, newest.updated_at, told)

    async def drop_tasks(self, *, before: datetime) -> int:
        old = [one for one in await self._found(Scope(TASKS_OWNER), TASK) if one.updated_at < before]
        ids = {_mark(one, "task_id") for one in old}
        reports = [one for one in await self._found(Scope(TASKS_OWNER), _REPORT) if _mark(one, "task_id") in ids]
        await self._store.delete([*reports, *old])
        return len(ids)

    async def forget(self, user_id: str) -> None:
        """What the tasks tell of a person. What lies under the person's own id goes with their memories."""
        for kind, without in ((_REPORT, _reports_without), (TASK, _task_without)):
            for record in await self._found(Scope(TASKS_OWNER), kind):
                text = without(record.text, user_id)
                if text is not None:
                    await self._store.replace(NewMemory(replace(record, text=text), (), self._vector))

    async def _put_checkpoint(self, lock: Lock, value: Json, pending: str) -> None:
        """Only by the holder, as far as a store without transactions can tell."""
        if not await self._is_held(lock):
            raise LockLostError
        old = await self._found(Scope(lock.user_id, lock.app_id), CHECKPOINT)
        marks = {"generation": _generation(old) + 1, **({"pending": pending} if pending else {})}
        now = datetime.now(UTC)
        await self._store.insert([self._row(lock.user_id, lock.app_id, CHECKPOINT, value, now, marks)])
        await self._store.delete(old)

    async def _is_held(self, lock: Lock) -> bool:
        known = await self._found(Scope(lock.user_id, lock.app_id), LOCK)
        return any(str(record.id) == lock.id for record in known)

    async def _others(self, mine: Lock) -> list["_OtherLock"]:
        """Who else has or wants this lock. Whose time is over is thrown out."""
        known = await self._found(Scope(mine.user_id, mine.app_id), LOCK)
        now = datetime.now(UTC)
        await self._store.delete([one for one in known if str(one.id) != mine.id and _is_over(one, now)])
        return [_other(one) for one in known if str(one.id) != mine.id and not _is_over(one, now)]

    def _lock_row(self, lock: Lock, beat_at: datetime) -> NewMemory:
        marks = {"lock_resource": _RESOURCE, "app_id": lock.app_id, "beats": "true"}
        row = self._row(lock.user_id, lock.app_id, LOCK, lock.as_json(), lock.acquired_at, marks)
        return replace(row, memory=replace(row.memory, id=uuid.UUID(lock.id), updated_at=beat_at))

    def _row(
        self, user_id: str, app_id: str, kind: str, value: Any, at: datetime, marks: Mapping[str, Any]
    ) -> NewMemory:
        metadata = {"__internal": "true", "internal_type": kind, "version": VERSION, **marks}
        memory = StoredMemory(uuid.uuid4(), user_id, app_id, "", "", "user", None, _text(value), metadata, at, at)
        return NewMemory(memory, (), self._vector)

    async def _found(self, scope: Scope, kind: str, marks: Mapping[str, str] | None = None) -> list[StoredMemory]:
        return await self._store.internal(scope, limit=_MOST, marks={"internal_type": kind, **(marks or {})})


@dataclass(frozen=True, slots=True)
class _OtherLock:
    id: str
    holder_id: str
    acquired_at: datetime


def _other(record: StoredMemory) -> _OtherLock:
    return _OtherLock(str(record.id), str(_object(record.text).get("holder_id") or ""), _acquired_at(record))


def _order(lock: Lock | _OtherLock) -> tuple[datetime, str]:
    return lock.acquired_at, lock.id


def _is_over(record: StoredMemory, now: datetime) -> bool:
    """A lock whose time is over, or whose holder is silent. The public plugin's holders never said anything."""
    ttl = _object(record.text).get("ttl_seconds")
    if isinstance(ttl, int | float) and now >= _acquired_at(record) + timedelta(seconds=ttl):
        return True
    return _mark(record, "beats") == "true" and now >= record.updated_at + timedelta(seconds=SILENT_S)


def _acquired_at(record: StoredMemory) -> datetime:
    return _moment(_object(record.text).get("acquired_at")) or record.created_at


def _checkpoint(record: StoredMemory) -> KeptCheckpoint:
    updated_at = None if record.updated_at <= _LONG_AGO else record.updated_at
    value, pending = _object(record.text), _mark(record, "pending")
    return KeptCheckpoint(str(record.id), record.user_id, record.agent_id, value, updated_at, pending)


def _age(record: StoredMemory) -> tuple[int, datetime]:
    """Clocks of different machines do not agree: each writer counts on from what it replaces."""
    return _generation([record]), record.timestamp


def _generation(records: Sequence[StoredMemory]) -> int:
    found = [(record.metadata or {}).get("generation") for record in records]
    return max((int(one) for one in found if isinstance(one, int | float)), default=0)


def _mark(record: StoredMemory, name: str) -> str:
    value = (record.metadata or {}).get(name)
    return value if isinstance(value, str) else ""


def _moment(value: object) -> datetime | None:
    try:
        return span_of(value).begin
    except InvalidDateError:
        return None


def _reports_without(text: str, user_id: str) -> str | None:
    """None where nothing of this user is in it."""
    told = _list(text)
    kept = [report for report in told if report.get("user_id") != user_id]
    return _text(kept) if len(kept) < len(told) else None


def _task_without(text: str, user_id: str) -> str | None:
    """The public plugin keeps the reports in the task."""
    value = _object(text)
    report = value.get("final_report")
    if not isinstance(report, dict) or not isinstance(told := report.get("per_user"), list):
        return None
    kept = [one for one in told if not isinstance(one, dict) or one.get("user_id") != user_id]
    return _text({**value, "final_report": {**report, "per_user": kept}}) if len(kept) < len(told) else None


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _object(text: str) -> dict[str, Any]:
    """An empty one where it is broken: what is broken is written over."""
    value = _read(text)
    return value if isinstance(value, dict) else {}


def _list(text: str) -> list[dict[str, Any]]:
    value = _read(text)
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _read(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
