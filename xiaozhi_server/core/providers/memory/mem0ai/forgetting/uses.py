"""How a memory was used: each recall with how well it fitted, and what all of them left behind. Plain data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from .retention import Trace, recalled


@dataclass(frozen=True, slots=True)
class Recall:
    quality: float
    at: datetime


Recalls = Mapping[UUID, Sequence[Recall]]


@dataclass(frozen=True, slots=True)
class Use:
    """What the formula knows of a memory's recalls, and when it was used at any fit."""

    trace: Trace = field(default_factory=Trace)
    used_at: datetime | None = None


class TracesAwayError(RuntimeError):
    """Whatever keeps the traces is out of reach. The text is the kind of the error alone."""


def trace_after(trace: Trace, recalls: Sequence[Recall]) -> Trace:
    for recall in recalls:
        trace = recalled(trace, recall.quality, recall.at)
    return trace


def used(use: Use, recalls: Sequence[Recall]) -> Use:
    """After these recalls as well."""
    times = [recall.at for recall in recalls] + ([] if use.used_at is None else [use.used_at])
    return Use(trace_after(use.trace, recalls), max(times, default=None))


def merged(one: Use, other: Use) -> Use:
    """What two logs know of the same memory. The quality is that of whichever was recalled last."""
    mine, theirs = one.trace, other.trace
    newer, older = (mine, theirs) if _is_newer(mine.last_recalled_at, theirs.last_recalled_at) else (theirs, mine)
    quality = older.quality_ema if newer.quality_ema is None else newer.quality_ema
    last = older.last_recalled_at if newer.last_recalled_at is None else newer.last_recalled_at
    times = [moment for moment in (one.used_at, other.used_at) if moment is not None]
    return Use(Trace(last, max(mine.recall_count, theirs.recall_count), quality), max(times, default=None))


def _is_newer(one: datetime | None, other: datetime | None) -> bool:
    return one is not None and (other is None or one >= other)
