"""Texts kept word for word: each message becomes one row with its words and its vector. The saver without a model."""

import asyncio
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection

from ...base import SpokenMessage
from ..embedding.embed import Embedder
from ..message import memory_id
from ..recall.words import tokens_of
from ..records import NewMemory, StoredMemory
from ..rows import pgstore
from ..scope import Scope
from .outbox import Batch, OutboxEntry
from .saver import BatchPolicy


class VerbatimSaver:
    """`changed` is told whose memories are new, once they can be found."""

    policy: BatchPolicy | None = None

    def __init__(
        self, embedder: Embedder, embedder_number: int, executor: Executor, changed: Callable[[str], None]
    ) -> None:
        self._embedder = embedder
        self.embedder_number = embedder_number
        self._executor = executor
        self._changed = changed

    async def prepare(self, batches: Sequence[Batch]) -> list[list[NewMemory]]:
        """All batches share one call of the embedder."""
        rows = [[row for entry in batch for row in rows_of(entry)] for batch in batches]
        prepared = iter(await self.found_by([row for part in rows for row in part]))
        return [[next(prepared) for _ in part] for part in rows]

    async def write(
        self, connection: AsyncConnection[Any], batches: Sequence[Batch], prepared: Sequence[list[NewMemory]]
    ) -> None:
        await pgstore.insert(connection, [memory for part in prepared for memory in part], self.embedder_number)

    def written(self, batches: Sequence[Batch]) -> None:
        for user_id in {batch[0].user_id for batch in batches}:
            self._changed(user_id)

    async def found_by(self, rows: Sequence[StoredMemory]) -> list[NewMemory]:
        """The rows with their words and vectors."""
        texts = [row.text for row in rows]
        loop = asyncio.get_running_loop()
        tokens = await loop.run_in_executor(self._executor, _tokens_of_all, texts)
        vectors = await self._embedder.embed(texts)
        return [NewMemory(*parts) for parts in zip(rows, tokens, vectors, strict=True)]


def row_of(
    message: SpokenMessage,
    scope: Scope,
    session_id: str,
    id: uuid.UUID,
    position: int,
    metadata: Mapping[str, Any] | None = None,
    expires_at: datetime | None = None,
) -> StoredMemory:
    return StoredMemory(
        id=id,
        user_id=scope.user_id,
        agent_id=scope.agent_id or "",
        run_id=scope.run_id or "",
        session_id=session_id,
        role=message.role,
        speaker=message.speaker,
        text=message.content,
        metadata=metadata,
        created_at=message.spoken_at,
        updated_at=message.spoken_at,
        position=position,
        expires_at=expires_at,
    )


def rows_of(entry: OutboxEntry) -> list[StoredMemory]:
    """What becomes of an entry that is kept word for word. The same entry has the same ids for ever."""
    scope = Scope(entry.user_id, entry.agent_id or None)
    return [
        row_of(message, scope, entry.session_id, memory_id(entry.user_id, entry.key, position), position)
        for position, message in enumerate(entry.messages)
    ]


def _tokens_of_all(texts: Sequence[str]) -> list[list[int]]:
    return [tokens_of(text) for text in texts]
