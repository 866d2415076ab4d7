"""What extraction leaves behind, written straight into the tables: replaced memories, people, their relations."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from xiaozhi_server.core.providers.memory.base import SpokenMessage
from xiaozhi_server.core.providers.memory.mem0ai import MemoryEngine, StoredMemory
from xiaozhi_server.core.providers.memory.mem0ai.recall.folding import folded

Pool = AsyncConnectionPool[AsyncConnection[Any]]
NOW = datetime.now(UTC).replace(microsecond=0)
BOT = "bot"


def days_ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


@dataclass(frozen=True, slots=True)
class Household:
    """One owner, as one agent hears of them."""

    engine: MemoryEngine
    pool: Pool
    user_id: str = "ann"
    agent_id: str = BOT
    things: dict[str, uuid.UUID] = field(default_factory=dict)

    async def says(self, text: str, *, days: float = 1.0, about: Sequence[str] = ()) -> StoredMemory:
        message = SpokenMessage("user", text, days_ago(days))
        (memory,) = await self.engine.add([message], user_id=self.user_id, agent_id=self.agent_id)
        for name in about:
            await self.links(memory, name)
        return memory

    async def replaces(self, old: StoredMemory, new: StoredMemory, *, since: float, until: float) -> None:
        """The old one was true from so many days ago until so many."""
        await self._write(
            "UPDATE memory_entry SET valid_from = %s, valid_to = %s, superseded_by = %s WHERE user_id = %s AND id = %s",
            days_ago(since), days_ago(until), new.id, self.user_id, old.id,
        )  # fmt: skip
        await self._write(
            "UPDATE memory_entry SET valid_from = %s WHERE user_id = %s AND id = %s",
            days_ago(until), self.user_id, new.id,
        )  # fmt: skip

    async def compresses(self, old: StoredMemory, summary: StoredMemory) -> None:
        await self._write(
            "UPDATE memory_entry SET compressed_into = %s WHERE user_id = %s AND id = %s",
            summary.id, self.user_id, old.id,
        )  # fmt: skip

    async def knows(self, name: str, *also: str, kind: str = "person") -> uuid.UUID:
        id = self.things[name] = uuid.uuid4()
        names = (name, *also)
        keys = ["self" if one == "I" else folded(one).strip() for one in names]
        await self._write(
            "INSERT INTO memory_thing (user_id, id, agent_id, name, kind, key, also, also_keys, created_at, updated_at)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, now(), now())",
            self.user_id, id, self.agent_id, name, kind, keys[0], list(also), keys[1:],
        )  # fmt: skip
        return id

    async def links(self, memory: StoredMemory, name: str) -> None:
        await self._write(
            "INSERT INTO memory_link (user_id, memory_id, thing_id) VALUES (%s, %s, %s)",
            self.user_id, memory.id, self.things[name],
        )  # fmt: skip

    async def relates(
        self, subject: str, relation: str, object: str, said: StoredMemory | None = None, *, until: float | None = None
    ) -> uuid.UUID:
        id = uuid.uuid4()
        await self._write(
            "INSERT INTO memory_relation"
            " (user_id, id, agent_id, subject, relation, object, memory_id, created_at, valid_to)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, now(), %s)",
            self.user_id, id, self.agent_id, self.things[subject], relation, self.things[object],
            None if said is None else said.id, None if until is None else days_ago(until),
        )  # fmt: skip
        return id

    async def _write(self, text: str, *values: Any) -> None:
        async with self.pool.connection() as connection:
            await connection.execute(text.encode(), values)


async def texts(engine: MemoryEngine, question: str, *, user_id: str = "ann", **asked: Any) -> list[str]:
    return [one.memory.text for one in await engine.search(question, user_id=user_id, **asked)]
