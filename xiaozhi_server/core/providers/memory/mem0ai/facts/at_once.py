"""Facts of a talk while the caller waits, instead of by way of the outbox."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection

from ...base import SpokenMessage
from ..accepting.accepted import Within
from ..errors import NoModelError
from ..metadata import merged
from ..records import NewMemory
from ..saving import outbox
from ..saving.outbox import OutboxEntry
from ..saving.saver import Learns
from ..scope import Scope
from ..wishes import Wishes
from .learned import Learned, MemoryChange, changes_of

Connect = Callable[[], AbstractAsyncContextManager[AsyncConnection[Any]]]


@dataclass(frozen=True, slots=True)
class Attached:
    """What the caller wants to stand with every fact. `subtype`: what all of them are, whatever the model says."""

    run_id: str = ""
    metadata: Mapping[str, Any] | None = None
    expires_at: datetime | None = None
    subtype: str = ""


def learning(saver: object) -> Learns:
    """NoModelError where this saver asks no model."""
    if not isinstance(saver, Learns) or not saver.has_model:
        raise NoModelError("facts")
    return saver


async def add_facts(
    saver: Learns,
    connect: Connect,
    messages: Sequence[SpokenMessage],
    scope: Scope,
    session_id: str,
    wishes: Wishes,
    attached: Attached,
    *,
    key: str | None = None,
    within: Within | None = None,
    attempt: int | None = None,
) -> list[MemoryChange]:
    """What the model cannot read is kept as it was said. `within` runs first in the transaction that writes.

    With `attempt` the caller comes again, as `found_in` says.
    """
    if not messages:
        if within is not None:
            async with connect() as connection, connection.transaction():
                await outbox.hold_owner(connection, scope.user_id)
                await within(connection)
        return []
    name = uuid.uuid4().hex if key is None else key
    entry = OutboxEntry(scope.user_id, name, scope.agent_id or "", session_id, tuple(messages), attempt or 1, wishes)
    learned = with_attached(await found_in(saver, entry, attempt), attached)
    async with connect() as connection, connection.transaction():
        await outbox.hold(connection, [(entry,)])
        if within is not None:
            await within(connection)
        await saver.write(connection, [(entry,)], [learned])
    saver.written([(entry,)])
    return changes_of(learned)


async def found_in(saver: Learns, entry: OutboxEntry, attempt: int | None) -> Learned:
    """What a model finds. Whoever says which attempt this is comes again where it fails, and waits meanwhile; for
    others it is kept at once as it was said.
    """
    if attempt is None:
        return await saver.learn((entry,))
    (learned,) = await saver.prepare([(entry,)])
    return learned


def with_attached(learned: Learned, attached: Attached) -> Learned:
    def added(row: NewMemory) -> NewMemory:
        memory = replace(row.memory, run_id=attached.run_id, expires_at=attached.expires_at)
        if attached.metadata is not None:
            memory = replace(memory, metadata=merged(attached.metadata, memory.metadata or {}))
        if attached.subtype:
            memory = replace(memory, subtype=attached.subtype)
        return replace(row, memory=memory)

    again = tuple(replace(one, new=added(one.new)) for one in learned.again)
    return replace(learned, rows=tuple(map(added, learned.rows)), again=again)
