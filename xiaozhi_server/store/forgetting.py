"""Forgets what an owner said: the dialogue in the database, and exchanges that wait on disk for it."""

from collections.abc import Mapping
from pathlib import Path

from psycopg import AsyncConnection
from psycopg.rows import TupleRow, dict_row

from .queries import query
from .spool import Spool

_LIMITS = b"SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '60s'"


async def count_dialogue(connection: AsyncConnection[TupleRow], owner_id: str) -> Mapping[str, int]:
    """How many rows of which table there are; those without any are left out."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(query("count_dialogue"), {"owner_id": owner_id})
        (counts,) = await cursor.fetchall()
    return {name: count for name, count in counts.items() if count}


async def forget_dialogue(connection: AsyncConnection[TupleRow], owner_id: str) -> Mapping[str, int]:
    """All of it in one transaction. Exchanges that are being written are waited for; later ones come too late."""
    owner = {"owner_id": owner_id}
    async with connection.transaction():
        await connection.execute(_LIMITS)
        await connection.execute(query("hold_owner_alone"), owner)
        await connection.execute(query("note_forgotten"), owner)
        removed = await count_dialogue(connection, owner_id)
        await connection.execute(query("forget_dialogue"), owner)
    return removed


def forget_spooled(folder: Path, owner_id: str, *, dry_run: bool = False) -> int:
    """How many exchanges waited on disk."""
    return Spool(folder, limit=0).forget(owner_id, dry_run=dry_run) if folder.is_dir() else 0
