"""Facts of talks that are over: all of them together with what the caller notes of it, or none at all.

What no model reads is an error here and is not kept as it was said: the talks are kept elsewhere, and brought again.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

from psycopg import AsyncConnection

from ...base import AnyMessage, SpokenMessage
from ..accepting.accepted import Within
from ..checks import checked_messages
from ..saving import outbox
from ..saving.outbox import Batch, OutboxEntry
from ..saving.saver import Learns
from ..scope import Scope
from ..wishes import Wishes
from .at_once import Attached, with_attached
from .learned import MemoryChange, changes_of

Connect = Callable[[], AbstractAsyncContextManager[AsyncConnection[Any]]]


@dataclass(frozen=True, slots=True)
class Talk:
    """A conversation, or what is new in it. Its memories name it as their session."""

    id: str
    messages: tuple[SpokenMessage, ...]

    @classmethod
    def of(cls, id: str, messages: Sequence[AnyMessage]) -> "Talk":
        """What of it is worth keeping."""
        return cls(id, tuple(checked_messages(messages)))


def batch_of(talks: Sequence[Talk], scope: Scope, key: str, wishes: Wishes) -> Batch:
    """Of those in which something is said."""
    agent_id, spoken = scope.agent_id or "", [talk for talk in talks if talk.messages]
    return tuple(OutboxEntry(scope.user_id, key, agent_id, talk.id, talk.messages, 1, wishes) for talk in spoken)


async def learn_once(
    saver: Learns,
    connect: Connect,
    talks: Sequence[Talk],
    scope: Scope,
    key: str,
    wishes: Wishes,
    attached: Attached,
    within: Within | None = None,
) -> list[MemoryChange]:
    """With the same key the memories have the same ids. Nothing is written where `within` or the model fails."""
    batch = batch_of(talks, scope, key, wishes)
    learned = with_attached(await saver.facts(batch), attached) if batch else None
    async with connect() as connection, connection.transaction():
        await outbox.hold_owner(connection, scope.user_id)
        if within is not None:
            await within(connection)
        if learned is not None:
            await saver.write(connection, [batch], [learned])
    if learned is None:
        return []
    saver.written([batch])
    return changes_of(learned)
