"""What mem0's plugin for Dify notes of recalls, read: `{memory: {last_recalled_at, recall_count, quality_ema}}`."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from ..dates import moment_of
from ..errors import InvalidDateError

_MOST_RECALLS = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Access:
    """Of one memory. What the log does not say, or says in a way that cannot be, is None or 0."""

    memory_id: UUID
    accessed_at: datetime | None
    access_count: int
    quality: float | None


def read_access_log(payload: Mapping[str, Any]) -> list[Access]:
    """Nothing where it is broken: a log is no memory."""
    try:
        noted = json.loads(payload["data"])
    except (KeyError, TypeError, ValueError, RecursionError):
        return []
    if not isinstance(noted, dict):
        return []
    return [access for id, entry in noted.items() if (access := _access(id, entry)) is not None]


def _access(id: str, entry: object) -> Access | None:
    try:
        memory_id = UUID(id)
    except ValueError:
        return None
    if not isinstance(entry, dict):
        return None
    count = _number(entry.get("recall_count"))
    quality = _number(entry.get("quality_ema"))
    return Access(
        memory_id,
        _moment(entry.get("last_recalled_at")),
        0 if count is None else int(min(max(count, 0), _MOST_RECALLS)),
        None if quality is None else min(max(quality, 0.0), 1.0),
    )


def _number(value: object) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) else None  # type: ignore[arg-type]


def _moment(value: object) -> datetime | None:
    try:
        return None if value is None else moment_of(value)
    except InvalidDateError:
        return None
