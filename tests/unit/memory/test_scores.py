"""What a score says: the table of the description, and the slips of those who read it before."""

import math
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from xiaozhi_server.core.providers.memory.mem0ai.by_mem0.scores import (
    plain_results,
    score_mode,
    score_of,
    score_of_found,
    timestamp_of,
)
from xiaozhi_server.core.providers.memory.mem0ai.records import FoundMemory, StoredMemory

MAY = datetime(2026, 5, 1, 10, tzinfo=UTC)
MEMORY = StoredMemory(UUID(int=1), "ann", "", "", "", "user", None, "Tea.", None, MAY, MAY)


@pytest.mark.parametrize(
    ("provider", "config", "mode"),
    [
        ("pgvector", {}, "distance"),
        ("PGVector", None, "distance"),
        ("azure_mysql", {}, "distance"),
        ("milvus", {}, "distance"),
        ("milvus", {"metric_type": "l2"}, "distance"),
        ("milvus", {"metric_type": "COSINE"}, "similarity"),
        ("milvus", {"metric_type": "IP"}, "similarity"),
        ("faiss", {}, "distance"),
        ("faiss", {"distance_strategy": "Euclidean"}, "distance"),
        ("faiss", {"distance_strategy": "cosine"}, "similarity"),
        ("qdrant", {}, "similarity"),
        ("", {}, "distance"),
        (None, {}, "distance"),
    ],
)
def test_what_a_number_is_depends_on_version_store_and_metric(provider: Any, config: Any, mode: str) -> None:
    assert score_mode(provider, config, mem0_major=1) == mode
    assert score_mode(provider, config, mem0_major=2) == "similarity"
    assert score_mode(provider, config, mem0_major=3) == "similarity"


@pytest.mark.parametrize(
    ("raw", "mode", "score", "distance"),
    [
        (0.2, "distance", 0.8, 0.2),
        (1.7, "distance", 0.0, 1.7),
        (-0.3, "distance", 1.0, 0.0),
        (None, "distance", 0.0, 1.0),
        (math.nan, "distance", 0.0, 1.0),
        (0.2, "similarity", 0.2, 0.8),
        (1.7, "similarity", 1.0, 0.0),
        (-0.3, "similarity", 0.0, 1.0),
        (None, "similarity", 0.0, 1.0),
        (True, "similarity", 0.0, 1.0),
        ("0.9", "similarity", 0.0, 1.0),
    ],
)
def test_a_score_lies_between_nothing_and_the_same(raw: Any, mode: Any, score: float, distance: float) -> None:
    found = score_of(raw, mode=mode)
    assert (found.score, found.vector_distance, found.rerank_score) == (score, distance, None)


def test_a_reranker_has_the_last_word() -> None:
    for mode in ("distance", "similarity"):
        found = score_of(0.1, mode=mode, rerank_score=0.75)
        assert (found.score, found.vector_distance, found.rerank_score) == (0.75, 0.25, 0.75)
    assert score_of(0.1, mode="similarity", rerank_score=7.5).score == 1.0
    assert score_of(0.1, mode="similarity", rerank_score=7.5).rerank_score == 7.5
    assert score_of(0.1, mode="similarity", rerank_score=math.inf).score == 0.1


def test_answers_of_every_form_are_read_alike() -> None:
    row = {"memory_id": "1", "text": "Tea.", "similarity": 0.9, "timestamp": "2026-05-01T10:00:00Z"}
    plain = {
        "id": "1", "memory": "Tea.", "score": 0.9, "vector_distance": 0.1, "rerank_score": None, "metadata": {},
        "created_at": "2026-05-01T10:00:00Z", "timestamp": f"{MAY.astimezone():%Y-%m-%dT%H:%M:%S}",
    }  # fmt: skip
    assert plain_results([row], "similarity") == plain_results({"results": [row]}, "similarity") == [plain]
    assert plain_results(None, "similarity") == plain_results({}, "distance") == plain_results("?", "distance") == []
    (zero,) = plain_results([{"id": "1", "memory": "Tea.", "score": 0.0, "similarity": 0.9}], "similarity")
    assert zero["score"] == 0.0
    assert "timestamp" not in zero
    (changed,) = plain_results([{**row, "updated_at": "2026-06-01T10:00:00"}], "similarity")
    assert changed["timestamp"].startswith("2026-06-01T")


def test_ours_are_similarities_already() -> None:
    found = score_of_found(FoundMemory(MEMORY, 0.6, 0.8))
    assert (found.score, found.vector_distance, found.rerank_score) == (0.6, 0.2, None)
    assert score_of_found(FoundMemory(MEMORY, 0.6, None)).vector_distance == 0.4
    assert score_of_found(FoundMemory(MEMORY, 0.6, -0.1)).vector_distance == 1.0
    assert score_of_found(FoundMemory(MEMORY, 0.6, 0.8, 0.3)).score == 0.3


def test_a_time_that_nobody_knows_is_not_shown() -> None:
    newer = replace(MEMORY, updated_at=datetime(2026, 6, 1, tzinfo=UTC))
    assert timestamp_of(newer) == f"{newer.updated_at.astimezone():%Y-%m-%dT%H:%M:%S}"
    unknown = datetime(1970, 1, 1, tzinfo=UTC)
    assert timestamp_of(replace(MEMORY, created_at=unknown, updated_at=unknown)) is None
