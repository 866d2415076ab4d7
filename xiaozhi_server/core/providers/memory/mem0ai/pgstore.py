"""The rows of memory in PostgreSQL. Every statement names its owner; nothing here decides what is a good answer."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import numpy as np
from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import Json

from .embed import Embedder, Vectors
from .recall.rank import Corpus, Question
from .scope import Scope
from .statements import statement

Connection = AsyncConnection[Any]


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
class Hit:
    """A row that may answer a question. `similarity` is the cosine, None where there is none."""

    memory: StoredMemory
    tokens: Sequence[int]
    similarity: float | None


async def embedder_number(connection: Connection, embedder: Embedder) -> int:
    """The number under which this embedder's vectors are kept; made at the first time."""
    parameters = {"name": embedder.name, "dimensions": embedder.dimensions}
    await connection.execute(statement("embedder_add"), parameters)
    (row,) = await _rows(connection, "embedder_id", parameters)
    return int(row["id"])


async def insert(connection: Connection, memories: Iterable[NewMemory], embedder: int) -> None:
    """Add rows; one that is there already stays as it is."""
    async with connection.cursor() as cursor:
        await cursor.executemany(statement("entry_insert"), [_parameters(memory, embedder) for memory in memories])


async def search(
    connection: Connection, scope: Scope, question: Question, vector: Vectors | None, *, embedder: int, width: int
) -> tuple[list[Hit], Corpus]:
    """Up to `width` rows by meaning and as many by words, and what the ranking must know about all of them."""
    parameters = {
        **_scope(scope),
        "tokens": list(question.tokens),
        "weights": list(question.tokens.values()),
        "vector": None if vector is None else vector_literal(vector),
        "embedder": embedder,
        "width": width,
    }
    rows = await _rows(connection, "entry_search", parameters)
    hits = [Hit(_memory(row), row["words"], _similarity(row["distance"])) for row in rows]
    return hits, _corpus(next((row["corpus"] for row in rows if row["corpus"]), None))


async def newest(connection: Connection, scope: Scope, *, limit: int) -> list[StoredMemory]:
    rows = await _rows(connection, "entry_list", {**_scope(scope), "id": None, "limit": limit})
    return [_memory(row) for row in rows]


async def one(connection: Connection, scope: Scope, memory_id: UUID) -> StoredMemory | None:
    rows = await _rows(connection, "entry_list", {**_scope(scope), "id": memory_id, "limit": 1})
    return _memory(rows[0]) if rows else None


async def delete(connection: Connection, scope: Scope) -> int:
    cursor = await connection.execute(statement("entry_delete"), _scope(scope))
    return cursor.rowcount


def vector_literal(vector: Vectors) -> str:
    """A vector in pgvector's text form, as exact as half precision can be."""
    return f"[{','.join(map(str, vector.astype(np.float16)))}]"


async def _rows(connection: Connection, name: str, parameters: Mapping[str, Any]) -> Sequence[DictRow]:
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(statement(name), parameters)
        return await cursor.fetchall()


def _scope(scope: Scope) -> dict[str, str | None]:
    return {"user_id": scope.user_id, "agent_id": scope.agent_id, "run_id": scope.run_id}


def _parameters(new: NewMemory, embedder: int) -> dict[str, Any]:
    memory = new.memory
    return {
        "user_id": memory.user_id,
        "id": memory.id,
        "agent_id": memory.agent_id,
        "run_id": memory.run_id,
        "session_id": memory.session_id,
        "role": memory.role,
        "speaker": memory.speaker,
        "text": memory.text,
        "metadata": None if memory.metadata is None else Json(memory.metadata),
        "created_at": memory.created_at,
        "words": list(new.tokens),
        "embedder": embedder,
        "embedding": vector_literal(new.vector),
    }


def _memory(row: DictRow) -> StoredMemory:
    return StoredMemory(
        id=row["id"],
        user_id=row["user_id"],
        agent_id=row["agent_id"],
        run_id=row["run_id"],
        session_id=row["session_id"],
        role=row["role"],
        speaker=row["speaker"],
        text=row["text"],
        metadata=row["metadata"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def _similarity(distance: float | None) -> float | None:
    # A vector of zeros has no direction: its distance is not a number.
    return None if distance is None or distance != distance else 1.0 - distance


def _corpus(found: Mapping[str, Any] | None) -> Corpus:
    if found is None:
        return Corpus()
    frequency = {int(token): int(count) for token, count in found["frequency"].items()}
    return Corpus(found["size"], found["mean_length"], frequency)
