"""A person with rows in every table of memory, and how such tables are looked at."""

import io
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from xiaozhi_server.core.providers.memory.base import SpokenMessage
from xiaozhi_server.core.providers.memory.mem0ai import MemoryEngine
from xiaozhi_server.core.providers.memory.mem0ai.transfer.importing import Imported, ImportOptions
from xiaozhi_server.core.providers.memory.mem0ai.transfer.items import Notice

Pool = AsyncConnectionPool[AsyncConnection[Any]]
NOON = datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=UTC)
KEPT = ("memory_entry", "memory_history", "memory_thing", "memory_link", "memory_relation", "memory_summary")
ANNA, SELF = UUID(int=1), UUID(int=2)

_LIVES = """
UPDATE memory_entry
SET pinned = true, quality = 0.3, subtype = 'semantic', flag = 'unextracted', valid_from = %(noon)s,
    valid_to = %(noon)s, superseded_by = %(other)s, compressed_into = %(other)s, accessed_at = %(noon)s,
    used_at = %(noon)s, access_count = 7
WHERE user_id = %(user_id)s AND id = %(id)s
"""
_THINGS = """
INSERT INTO memory_thing (user_id, id, agent_id, name, kind, key, also, also_keys, created_at, updated_at)
VALUES (%(user_id)s, %(anna)s, 'bot', 'Anna', 'person', 'anna', '{Annie}', '{annie}', %(noon)s, %(noon)s),
       (%(user_id)s, %(self)s, 'bot', 'I', 'person', 'self', '{}', '{}', %(noon)s, %(noon)s)
"""
_LINK = "INSERT INTO memory_link VALUES (%(user_id)s, %(id)s, %(anna)s)"
_RELATION = """
INSERT INTO memory_relation (user_id, id, agent_id, subject, relation, object, memory_id, created_at)
VALUES (%(user_id)s, %(other)s, 'bot', %(anna)s, 'sister', %(self)s, %(id)s, %(noon)s)
"""
_SUMMARY = "INSERT INTO memory_summary (user_id, agent_id, text) VALUES (%(user_id)s, 'bot', %(text)s)"
# Nobody may claim it: what waits shall still wait when it is looked at.
_UNSAVED = """
INSERT INTO memory_outbox (user_id, key, agent_id, session_id, messages, chars, instruction, due_at)
VALUES (%(user_id)s, 'turn-9', 'bot', 'talk', %(messages)s, 9, 'be brief', now() + interval '1 day')
"""


def said(text: str, *, minutes: float = 0.0, at: datetime = NOON) -> SpokenMessage:
    return SpokenMessage("user", text, at + timedelta(minutes=minutes), "Ann")


async def whole_life(engine: MemoryEngine, pool: Pool, user_id: str = "ann", word: str = "teal") -> UUID:
    """One of everything; the id of the memory that has it all. Each text contains the word."""
    texts = [said(f"My sister Anna likes {word} number {number}.", minutes=number) for number in range(20)]
    memories = await engine.add(
        texts, user_id=user_id, agent_id="bot", session_id="talk", metadata={"kind": ["pet", {"of": word}]}
    )
    first = memories[0].id
    await engine.update(first, user_id=user_id, text=f"My sister Anna loves {word}.")
    await engine.delete(memories[1].id, user_id=user_id)
    waiting = [{"role": "user", "content": f"I also like {word} tea.", "spoken_at": NOON.isoformat()}]
    parameters = {
        "user_id": user_id, "id": first, "other": memories[2].id, "anna": ANNA, "self": SELF, "noon": NOON,
        "text": f"[2026-01-31] likes {word}", "messages": json.dumps(waiting),
    }  # fmt: skip
    async with pool.connection() as connection:
        for statement in (_LIVES, _THINGS, _LINK, _RELATION, _SUMMARY, _UNSAVED):
            await connection.execute(statement.encode(), parameters)
    return first


async def exported(engine: MemoryEngine, **options: Any) -> bytes:
    return b"".join([lines async for lines in engine.exported(**options)])


def saved_alone(content: bytes) -> bytes:
    """Without what waits: where a worker runs, that becomes a memory as soon as it is read in."""
    return b"".join(line for line in content.splitlines(keepends=True) if b'"kind":"unsaved"' not in line)


async def imported(engine: MemoryEngine, content: bytes, **options: Any) -> Imported:
    return await engine.imported(io.BytesIO(content), ImportOptions(**options))


def refused(notices: Sequence[Notice]) -> dict[int, str]:
    return {notice.number: notice.reason for notice in notices if notice.is_refused}


def lines(*values: Any) -> bytes:
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)


async def rows(
    pool: Pool, table: str, user_id: str | None = None, *, without: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """All of them in order, as texts; `seq` counts in each database on its own."""
    async with pool.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(
            f"SELECT to_jsonb({table}) AS row FROM {table} WHERE user_id = coalesce(%s, user_id)".encode(), (user_id,)
        )
        found = [row["row"] for row in await cursor.fetchall()]
    kept = [{name: value for name, value in row.items() if name not in ("seq", *without)} for row in found]
    return sorted(kept, key=lambda row: json.dumps(row, sort_keys=True))


async def everything(
    pool: Pool, user_id: str | None = None, *, without: Sequence[str] = ()
) -> dict[str, list[dict[str, Any]]]:
    return {table: await rows(pool, table, user_id, without=without) for table in KEPT}
