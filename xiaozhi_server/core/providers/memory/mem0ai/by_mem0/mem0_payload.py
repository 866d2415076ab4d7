"""A memory as mem0 keeps it in a store: one flat object, in which metadata lies beside what every memory has."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from ..errors import InvalidMetadataError
from ..records import StoredMemory

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# These names are taken: metadata of the same name would overwrite what a memory is.
_OF_MEM0 = ("data", "hash", "text_lemmatized", "created_at", "updated_at", "user_id", "agent_id", "run_id")
_OF_SOME = ("actor_id", "role", "attributed_to", "expiration_date")
_OURS = ("session_id", "subtype", "flag", "position", "expires_at", "valid_from", "valid_to", "superseded_by", "batch")
RESERVED = frozenset((*_OF_MEM0, *_OF_SOME, *_OURS))


@dataclass(frozen=True, slots=True)
class Row:
    """What mem0 reads of a row."""

    id: str
    score: float | None
    payload: dict[str, Any]


def row_of(memory: StoredMemory, score: float | None = None) -> Row:
    return Row(str(memory.id), None if score is None else max(0.0, score), payload_of(memory))


def is_internal(payload: Mapping[str, Any] | None) -> bool:
    """Whether it is what mem0's plugin for Dify notes for itself, and no memory. Older rows are marked by a boolean."""
    return str((payload or {}).get("__internal")).lower() == "true"


def without_taken_names(metadata: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """The metadata itself, where a flat object has room for it."""
    taken = sorted(RESERVED & (metadata or {}).keys())
    if taken:
        raise InvalidMetadataError(f"this store keeps metadata beside its own fields: rename {', '.join(taken)}")
    return metadata


def payload_of(memory: StoredMemory) -> dict[str, Any]:
    payload = {
        **(memory.metadata or {}),
        "data": memory.text,
        "hash": hashlib.md5(memory.text.encode(), usedforsecurity=False).hexdigest(),
        "created_at": memory.created_at.isoformat(),
        "updated_at": memory.updated_at.isoformat(),
        "role": memory.role,
        "attributed_to": memory.role,
        "user_id": memory.user_id,
        "agent_id": memory.agent_id,
        "run_id": memory.run_id,
        "actor_id": memory.speaker,
        "session_id": memory.session_id,
        "subtype": memory.subtype,
        "flag": memory.flag,
        "position": memory.position,
        "expiration_date": _last_day(memory.expires_at),
        "expires_at": _text(memory.expires_at),
        "valid_from": _text(memory.valid_from),
        "valid_to": _text(memory.valid_to),
        "superseded_by": None if memory.superseded_by is None else str(memory.superseded_by),
    }
    return {key: value for key, value in payload.items() if key not in RESERVED or value not in (None, "", 0)}


def memory_from(id: UUID, payload: Mapping[str, Any]) -> StoredMemory:
    """What stands in a store, whoever wrote it."""
    created_at = _moment(payload.get("created_at")) or _EPOCH
    metadata = {key: value for key, value in payload.items() if key not in RESERVED}
    return StoredMemory(
        id=id,
        user_id=str(payload.get("user_id") or ""),
        agent_id=str(payload.get("agent_id") or ""),
        run_id=str(payload.get("run_id") or ""),
        session_id=str(payload.get("session_id") or ""),
        role=str(payload.get("role") or payload.get("attributed_to") or "user"),
        speaker=payload.get("actor_id") or None,
        text=str(payload.get("data") or ""),
        metadata=metadata or None,
        created_at=created_at,
        updated_at=_moment(payload.get("updated_at")) or created_at,
        subtype=str(payload.get("subtype") or ""),
        flag=str(payload.get("flag") or ""),
        position=int(payload.get("position") or 0),
        expires_at=_end(payload),
        valid_from=_moment(payload.get("valid_from")),
        valid_to=_moment(payload.get("valid_to")),
        superseded_by=_id(payload.get("superseded_by")),
    )


def _end(payload: Mapping[str, Any]) -> datetime | None:
    """mem0 knows the last day of a memory, we know its last moment; the day counts where both do not agree."""
    last_day, moment = payload.get("expiration_date"), _moment(payload.get("expires_at"))
    if moment is not None and _last_day(moment) == last_day:
        return moment
    try:
        day = date.fromisoformat(str(last_day))
    except ValueError:
        return None
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)


def _last_day(expires_at: datetime | None) -> str | None:
    return None if expires_at is None else (expires_at.astimezone(UTC) - timedelta(microseconds=1)).date().isoformat()


def _id(value: object) -> UUID | None:
    try:
        return UUID(str(value)) if value else None
    except ValueError:
        return None


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _moment(value: object) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
