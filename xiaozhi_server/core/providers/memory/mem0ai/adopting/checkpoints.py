"""How far mem0's plugin for Dify has read conversations, from what it keeps in mem0's table: we go on from there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from ..dates import moment_of
from ..errors import InvalidDateError
from ..longterm.checkpoint import Checkpoint, checkpoint_of
from .foreign_row import UnfitRowError, foreign_id
from .foreign_table import ForeignRow

_UNDATED = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class ForeignCheckpoint:
    id: UUID
    user_id: str
    app_id: str
    value: Mapping[str, Any]
    updated_at: datetime | None


def read_checkpoints(rows: Sequence[ForeignRow]) -> list[ForeignCheckpoint]:
    """The newest first. One that says nothing, or cannot be read, is none: an older one counts then."""
    found = [one for row in rows if (one := _checkpoint(row)) is not None]
    return sorted(found, key=lambda one: one.updated_at or _UNDATED, reverse=True)


def _checkpoint(row: ForeignRow) -> ForeignCheckpoint | None:
    if not isinstance(row.payload, Mapping):
        return None
    checkpoint = checkpoint_of(row.payload.get("data"))
    if checkpoint == Checkpoint():
        return None
    try:
        user_id, app_id = (foreign_id(row.payload, name) for name in ("user_id", "agent_id"))
    except UnfitRowError:
        return None
    if not user_id or not app_id:
        return None
    dates = [moment for name in ("updated_at", "created_at") if (moment := _moment(row.payload.get(name))) is not None]
    return ForeignCheckpoint(row.id, user_id, app_id, checkpoint.as_json(), max(dates, default=None))


def _moment(value: object) -> datetime | None:
    try:
        return None if value is None else moment_of(value)
    except InvalidDateError:
        return None
