"""How a memory fades, and when it has: Ebbinghaus' curve. Pure arithmetic with its numbers; knows no database.

What is never recalled is gone after 3.0 times its stability: an episode after 42 days, a fact after 135, a habit after
270, anything else after 90. Each recall that fitted well makes it more stable and begins anew. One that fitted badly
does nothing of that, but what was used in the last 42 days, however badly it fitted, does not go.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

FORGET_Q_MIN = 0.50  # a recall that fitted worse leaves no trace
FORGET_ALPHA = 0.30  # how much the latest recall says about the quality
FORGET_N_MAX = 6  # more recalls than that make nothing more stable
FORGET_S0_BY_SUBTYPE: Mapping[str, float] = {"episodic": 14.0, "semantic": 45.0, "procedural": 90.0}  # days
FORGET_S0 = 30.0  # of any other
FORGET_G = 1.8
FORGET_THETA = 0.05
# So long nothing fades away after it was used: the shortest life of what is never recalled.
KEPT_AFTER_USE_DAYS = 42.0

# What is dated before it, or after now, has an unknown date.
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
OTHER = "other"

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Trace:
    """What the recalls of a memory left behind; the quality is None where there was none that counted."""

    last_recalled_at: datetime | None = None
    recall_count: int = 0
    quality_ema: float | None = None


@dataclass(frozen=True, slots=True)
class RetentionInfo:
    """Why a memory goes or stays. An age is None where the date is unknown.

    `recently_recalled`: it was used so lately that it stays, however little is left of it.
    """

    recall_count: int
    quality_ema: float
    recall_strength: float
    stability_days: float
    age_days: float | None
    age_since_created_days: float | None
    retention: float
    ttl_expired: bool
    forget: bool
    memory_subtype: str
    s0_used: float
    recently_recalled: bool = False


def quality_of(
    score: float | None, *, rerank_score: float | None = None, vector_distance: float | None = None
) -> float:
    """How well a memory fitted what was asked, 0..1, by the best that is known of it."""
    if rerank_score is not None:
        return _clamped(rerank_score)
    if score is not None:
        return _clamped(score)
    return 0.0 if vector_distance is None else _clamped(1.0 - vector_distance)


def recalled(trace: Trace, quality: float, at: datetime) -> Trace:
    """The trace after one more recall. One that came earlier than the last one does not turn the clock back."""
    if not quality >= FORGET_Q_MIN:
        return trace
    old, new = trace.quality_ema, _clamped(quality)
    ema = new if old is None else FORGET_ALPHA * new + (1 - FORGET_ALPHA) * old
    last = at if trace.last_recalled_at is None else max(trace.last_recalled_at, at)
    return Trace(last, trace.recall_count + 1, round(ema, 6))


def subtype_of(subtype: str, flag: str = "") -> str:
    """Under which name a memory fades: what was kept word for word, or is flagged, is none of the three kinds."""
    return subtype if subtype in FORGET_S0_BY_SUBTYPE and not flag else OTHER


def strength_of(trace: Trace) -> float:
    return min(max(trace.recall_count, 0), FORGET_N_MAX) * _clamped(trace.quality_ema or 0.0)


def stability_days(s0: float, strength: float) -> float:
    return s0 * math.pow(FORGET_G, strength)


def retention_of(age_days: float, stability: float) -> float:
    """How much is left: 1 just now, less and less later."""
    return math.exp(-age_days / stability)


def age_days(moment: datetime | None, now: datetime) -> float | None:
    """How long ago that was; None for a date that is unknown or cannot be right. Without a zone it is in UTC."""
    if moment is None:
        return None
    known = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return (now - known) / _DAY if EARLIEST <= known <= now else None


def was_used_lately(now: datetime, used_at: datetime | None) -> bool:
    """A time that lies ahead is unknown, and keeps."""
    if used_at is None:
        return False
    known = used_at if used_at.tzinfo is not None else used_at.replace(tzinfo=UTC)
    return known >= now - KEPT_AFTER_USE_DAYS * _DAY


def retention_info(
    now: datetime,
    created_at: datetime | None,
    trace: Trace,
    *,
    subtype: str = "",
    flag: str = "",
    pinned: bool = False,
    fades: bool = True,
    ttl_days: float | None = None,
    used_at: datetime | None = None,
) -> RetentionInfo:
    """The judgement of one memory. Pinned ones stay, and so do those whose dates are unknown; what
    was used lately goes only by `ttl_days`.

    `fades`: by the curve, else only by `ttl_days`.
    """
    kind = subtype_of(subtype, flag)
    s0 = FORGET_S0_BY_SUBTYPE.get(kind, FORGET_S0)
    strength = strength_of(trace)
    stability = stability_days(s0, strength)
    since_created = age_days(created_at, now)
    age = since_created if trace.last_recalled_at is None else age_days(trace.last_recalled_at, now)
    retention = 1.0 if age is None else retention_of(age, stability)
    used = was_used_lately(now, used_at) or was_used_lately(now, trace.last_recalled_at)
    ttl_expired = ttl_days is not None and since_created is not None and since_created > ttl_days
    return RetentionInfo(
        recall_count=trace.recall_count,
        quality_ema=round(trace.quality_ema or 0.0, 4),
        recall_strength=round(strength, 4),
        stability_days=round(stability, 2),
        age_days=_rounded(age),
        age_since_created_days=_rounded(since_created),
        retention=round(retention, 4),
        ttl_expired=ttl_expired,
        forget=not pinned and (ttl_expired or (fades and not used and retention < FORGET_THETA)),
        memory_subtype=kind,
        s0_used=s0,
        recently_recalled=used,
    )


def _clamped(value: float) -> float:
    """A number that is none counts as nothing."""
    return 0.0 if math.isnan(value) else min(max(value, 0.0), 1.0)


def _rounded(days: float | None) -> float | None:
    return None if days is None else round(days, 2)
