"""Writes what a batch has changed, in the transaction that takes the batch out of the outbox: all of it or nothing."""

from typing import Any
from uuid import UUID

from psycopg import AsyncConnection

from ..records import NewMemory
from ..rows import pgstore
from ..rows.halfvec import HalfVector
from ..statements import statement
from . import write_things
from .learned import Learned, Replaced, SaidAgain

Connection = AsyncConnection[Any]


async def write(connection: Connection, learned: Learned, embedder: int) -> None:
    """Nothing of it changes anything a second time."""
    await pgstore.insert(connection, learned.rows, embedder)
    moved: dict[UUID, UUID] = {}
    for one in learned.again:
        if not await _say_again(connection, one, embedder):
            await pgstore.insert(connection, [one.new], embedder)
            moved[one.old.id] = one.new.memory.id
    for replaced in learned.replaced:
        await supersede(connection, replaced)
    if learned.things:
        await write_things.write(connection, learned, moved)


async def _say_again(connection: Connection, one: SaidAgain, embedder: int) -> bool:
    """False where the known memory is gone."""
    cursor = await connection.execute(statement("entry_say_again"), _said(one.new, embedder) | _old(one))
    return await cursor.fetchone() is not None


def _old(one: SaidAgain) -> dict[str, Any]:
    return {"id": one.old.id, "old_text": one.old.text, "longer": one.is_longer}


def _said(new: NewMemory, embedder: int) -> dict[str, Any]:
    memory = new.memory
    told = {"user_id": memory.user_id, "text": memory.text, "said_at": memory.created_at}
    return {**told, "words": list(new.tokens), "embedder": embedder, "embedding": HalfVector(new.vector)}


async def supersede(connection: Connection, one: Replaced) -> None:
    old = one.old
    which = {"user_id": old.user_id, "id": old.id, "agent_id": old.agent_id, "text": old.text}
    ended = {"valid_to": one.ended_at, "by": one.by.id, "new_text": one.by.text}
    await connection.execute(statement("entry_supersede"), {**which, **ended})
