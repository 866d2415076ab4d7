"""What is remembered, as the other modules see it. Plain data: no database, no ranking."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from .embedding.embed import Vectors


@dataclass(frozen=True, slots=True)
class StoredMemory:
    """One remembered text as it lies in the table."""

    id: UUID
    user_id: str
    agent_id: str
    run_id: str
    session_id: str
    role: str
    speaker: str | None
    text: str
    metadata: Mapping[str, Any] | None
    created_at: datetime
    updated_at: datetime
    subtype: str = ""
    flag: str = ""
    position: int = 0
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    superseded_by: UUID | None = None
    expires_at: datetime | None = None
    accessed_at: datetime | None = None
    access_count: int = 0
    pinned: bool = False
    quality: float | None = None
    compressed_into: UUID | None = None
    used_at: datetime | None = None  # as an answer, however well it fitted; read only where it is asked for

    @property
    def timestamp(self) -> datetime:
        return max(self.created_at, self.updated_at)


@dataclass(frozen=True, slots=True)
class NewMemory:
    """A text with what it is found by."""

    memory: StoredMemory
    tokens: Sequence[int]
    vector: Vectors


@dataclass(frozen=True, slots=True)
class FoundMemory:
    """A memory with how well it fits. `semantic_score` is None where only words could be compared, `rerank_score` where
    no reranker has rated it.
    """

    memory: StoredMemory
    score: float
    semantic_score: float | None
    rerank_score: float | None = None
