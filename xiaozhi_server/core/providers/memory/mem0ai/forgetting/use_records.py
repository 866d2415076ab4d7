"""The log of what was recalled as internal records of the store that keeps the memories, in the public plugin's JSON.

That one writes one record for each user and app. Ours are cut into parts, since stores bound how long a record may be;
what it left behind is read with them. What is new is added before what is old is deleted.
"""

import json
import uuid
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Protocol
from uuid import UUID

import numpy as np

from ..adopting.access_log import read_access_log
from ..dates import moment_of
from ..embedding.embed import Vectors
from ..errors import InvalidDateError
from ..records import NewMemory, StoredMemory
from ..scope import Scope
from .retention import Trace
from .uses import Recalls, TracesAwayError, Use, merged, used

ACCESS_LOG = "access_log"

_PARTS = 64  # of a log: 10,000 memories are some 25 KB in each
_MOST = 1000
_MARKS = {"internal_type": ACCESS_LOG}


class InternalRecords(Protocol):
    """What is needed of by_mem0/other_store.py."""

    async def insert(self, rows: Sequence[NewMemory], batch: str = "") -> None: ...

    async def delete(self, memories: Iterable[StoredMemory]) -> None: ...

    async def internal(
        self, scope: Scope, *, limit: int, marks: Mapping[str, str] | None = None
    ) -> list[StoredMemory]: ...


class UseRecords:
    """`dimensions` is how long a vector the store takes; nobody looks for these by meaning."""

    def __init__(self, store: InternalRecords, dimensions: int) -> None:
        self._store = store
        self._vector: Vectors = np.zeros(dimensions, np.float32)
        self._vector[0] = 1.0

    async def note(self, user_id: str, recalls: Recalls) -> None:
        try:
            records = await self._records(user_id)
            known = _uses_in(records)
            changed = {id: used(known.get(id, Use()), some) for id, some in recalls.items()}
            await self._write(user_id, records, known | changed, {_part(id) for id in recalls})
        except Exception as error:  # noqa: BLE001 - a provider call
            raise TracesAwayError(type(error).__name__) from None

    async def read(self, user_id: str) -> Mapping[UUID, Use]:
        return _uses_in(await self._records(user_id))

    async def drop(self, user_id: str, ids: Set[UUID]) -> None:
        records = await self._records(user_id)
        left = {id: use for id, use in _uses_in(records).items() if id not in ids}
        await self._write(user_id, records, left, {_part(id) for id in ids})
        for record in records:
            if not _is_ours(record) and (kept := _without(record.text, ids)) is not None:
                await self._put_instead(record, kept)

    async def _records(self, user_id: str) -> list[StoredMemory]:
        return await self._store.internal(Scope(user_id), limit=_MOST, marks=_MARKS)

    async def _write(
        self, user_id: str, records: Sequence[StoredMemory], uses: Mapping[UUID, Use], parts: Set[str]
    ) -> None:
        """These parts anew. Records of the public plugin stay: their other entries may be the only ones there are."""
        rows = []
        for part in sorted(parts):
            entries = {str(id): _entry(use) for id, use in uses.items() if _part(id) == part}
            if entries:
                rows.append(self._row(user_id, part, entries))
        await self._store.insert(rows)
        await self._store.delete([one for one in records if (one.metadata or {}).get("part") in parts])

    async def _put_instead(self, record: StoredMemory, entries: Mapping[str, Any]) -> None:
        """The rest of a record of the public plugin."""
        if entries:
            rest = replace(record, id=uuid.uuid4(), text=json.dumps(entries, separators=(",", ":")))
            await self._store.insert([NewMemory(rest, (), self._vector)])
        await self._store.delete([record])

    def _row(self, user_id: str, part: str, entries: Mapping[str, Any]) -> NewMemory:
        now = datetime.now(UTC)
        metadata = {"__internal": "true", **_MARKS, "version": "v1", "part": part}
        text = json.dumps(entries, separators=(",", ":"))
        memory = StoredMemory(uuid.uuid4(), user_id, "", "", "", "user", None, text, metadata, now, now)
        return NewMemory(memory, (), self._vector)


def _uses_in(records: Sequence[StoredMemory]) -> dict[UUID, Use]:
    uses: dict[UUID, Use] = {}
    for record in records:
        noted = {"data": record.text}
        times = _used_at(record.text)
        for access in read_access_log(noted):
            trace = Trace(access.accessed_at, access.access_count, access.quality)
            use = Use(trace, times.get(str(access.memory_id)))
            known = uses.get(access.memory_id)
            uses[access.memory_id] = use if known is None else merged(known, use)
    return uses


def _is_ours(record: StoredMemory) -> bool:
    return "part" in (record.metadata or {})


def _without(text: str, ids: Set[UUID]) -> dict[str, Any] | None:
    """What a log tells of other memories than these; None where it tells nothing of these."""
    entries = _entries_in(text)
    told = {access.memory_id.hex for access in read_access_log({"data": text})} & {id.hex for id in ids}
    kept = {id: entry for id, entry in entries.items() if id.replace("-", "").lower() not in told}
    return kept if len(kept) < len(entries) else None


def _entries_in(text: str) -> dict[str, Any]:
    """None of one that is broken."""
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return entries if isinstance(entries, dict) else {}


def _used_at(text: str) -> dict[str, datetime]:
    """What the public plugin does not know of."""
    found = {}
    for id, entry in _entries_in(text).items():
        value = entry.get("last_used_at") if isinstance(entry, dict) else None
        try:
            if value is not None:
                found[str(id)] = moment_of(value)
        except InvalidDateError:
            continue
    return found


def _entry(use: Use) -> dict[str, Any]:
    trace = use.trace
    return {
        "last_recalled_at": None if trace.last_recalled_at is None else trace.last_recalled_at.isoformat(),
        "recall_count": trace.recall_count,
        "quality_ema": trace.quality_ema,
        "last_used_at": None if use.used_at is None else use.used_at.isoformat(),
    }


def _part(id: UUID) -> str:
    return str(id.int % _PARTS)
