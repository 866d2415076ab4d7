"""What a score says, whoever gave it: 0 for nothing in common, 1 for the same. Pure; knows no store and no library.

Older versions of mem0 hand on what a store measures, a distance with some and a similarity with others; newer ones make
similarities of them all. A reranker's number takes the place of the score where there is one.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from ..dates import moment_of
from ..errors import InvalidDateError
from ..records import FoundMemory, StoredMemory

Mode = Literal["distance", "similarity"]

_FIRST_WITH_SIMILARITIES = 2  # mem0's major version
_DISTANCES = frozenset({"pgvector", "azure_mysql"})
# Which of a store's settings names its metric, what it is unless it is said, and for which it measures a distance.
_BY_METRIC = {
    "milvus": ("metric_type", "l2", frozenset({"l2"})),
    "faiss": ("distance_strategy", "euclidean", frozenset({"euclidean"})),
}
_DIGITS = 6
_DATED_FROM = datetime(1971, 1, 1, tzinfo=UTC)  # a store that knows no date is read as of 1970
_ALIASES = {"id": "memory_id", "memory": "text", "score": "similarity", "created_at": "timestamp"}


@dataclass(frozen=True, slots=True)
class Score:
    """`score` and `vector_distance` lie in 0..1 and add up to 1 where they come from one number. `rerank_score` is as
    the reranker gave it.
    """

    score: float
    vector_distance: float
    rerank_score: float | None = None


def score_mode(provider: object, config: Mapping[str, Any] | None = None, *, mem0_major: int) -> Mode:
    """What mem0's numbers are, with this store. What nobody can read is taken for a distance."""
    if mem0_major >= _FIRST_WITH_SIMILARITIES:
        return "similarity"
    name = provider.strip().lower() if isinstance(provider, str) else ""
    if name in _BY_METRIC:
        setting, usual, distances = _BY_METRIC[name]
        metric = str((config or {}).get(setting) or usual).strip().lower()
        return "distance" if metric in distances else "similarity"
    return "distance" if not name or name in _DISTANCES else "similarity"


def score_of(raw: object, *, mode: Mode, rerank_score: object = None) -> Score:
    """Without a number there is nothing in common, whatever the number would have meant."""
    number, reranked = _number(raw), _number(rerank_score)
    if reranked is not None:
        score = _clamped(reranked)
        return Score(score, _rounded(1.0 - score), reranked)
    if number is None:
        return Score(0.0, 1.0)
    if mode == "distance":
        return Score(_clamped(1.0 - number), _rounded(max(number, 0.0)))
    score = _clamped(number)
    return Score(score, _rounded(1.0 - score))


def score_of_found(found: FoundMemory) -> Score:
    """Our ranking's score is a similarity already; the distance is that of the meaning alone where it is known."""
    if found.rerank_score is not None:
        return score_of(found.score, mode="similarity", rerank_score=found.rerank_score)
    near = found.score if found.semantic_score is None else found.semantic_score
    return Score(score_of(found.score, mode="similarity").score, score_of(near, mode="similarity").vector_distance)


def timestamp_of(memory: StoredMemory) -> str | None:
    """The newer of its two dates, on the clock of this process; None where neither is known."""
    return _local(memory.timestamp) if memory.timestamp >= _DATED_FROM else None


def plain_results(answer: object, mode: Mode) -> list[dict[str, Any]]:
    """What mem0's search answers (a list, `{"results": [...]}`, or nothing), each under the same names."""
    found = answer.get("results") if isinstance(answer, Mapping) else answer
    if not isinstance(found, Sequence) or isinstance(found, str | bytes):
        return []
    return [_plain(one, mode) for one in found if isinstance(one, Mapping)]


def _plain(result: Mapping[str, Any], mode: Mode) -> dict[str, Any]:
    score = score_of(_named(result, "score"), mode=mode, rerank_score=result.get("rerank_score"))
    metadata = result.get("metadata")
    created_at = _named(result, "created_at")
    plain = {
        "id": _named(result, "id"),
        "memory": _named(result, "memory"),
        "score": score.score,
        "vector_distance": score.vector_distance,
        "rerank_score": score.rerank_score,
        "metadata": dict(metadata) if isinstance(metadata, Mapping) else {},
        "created_at": created_at,
    }
    dates = [moment for moment in map(_moment, (created_at, result.get("updated_at"))) if moment is not None]
    return {**plain, "timestamp": _local(max(dates))} if dates else plain


def _named(result: Mapping[str, Any], name: str) -> Any:
    """Under its name or an older one: a score of 0 is a score."""
    value = result.get(name)
    return result.get(_ALIASES[name]) if value is None else value


def _moment(value: object) -> datetime | None:
    try:
        return None if value is None else moment_of(value)
    except InvalidDateError:
        return None


def _local(moment: datetime) -> str:
    return f"{moment.astimezone():%Y-%m-%dT%H:%M:%S}"


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _clamped(number: float) -> float:
    return _rounded(min(max(number, 0.0), 1.0))


def _rounded(number: float) -> float:
    return round(number, _DIGITS)
