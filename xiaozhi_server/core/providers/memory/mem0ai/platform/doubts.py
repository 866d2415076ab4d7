"""Requests of which nobody knows what becomes of them, and what of them counts.

A request whose answer was lost may still take effect when the same was sent again, and one that was on its way when its
owner had everything deleted may arrive after that. Each request has a name that its memories carry, so that what
appears too often, or too late, is told apart, hidden at once, and deleted where it lies.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import dict_row

from ..records import StoredMemory
from ..saving.outbox import Batch
from ..scope import Scope
from ..statements import statement
from .results import attempt_of, send_id_of

Connection = AsyncConnection[Any]


@dataclass(frozen=True, slots=True)
class Worked:
    """The one request for these entries whose memories count."""

    send_id: str
    attempt: str


@dataclass(frozen=True, slots=True)
class Doubt:
    """Until it is `decided` any one request of this name may count; then it is `kept`, or none of them where None."""

    send_id: str
    keys: frozenset[str]
    decided: bool
    kept: str | None

    @property
    def may_have_worked(self) -> bool:
        return not self.decided or self.kept is not None

    def chosen(self, attempts: Collection[str]) -> str | None:
        """Which of those that took effect counts; the same for everybody who asks."""
        if self.decided:
            return self.kept if self.kept in attempts else None
        return min(attempts, default=None)


@dataclass(frozen=True, slots=True)
class Unwanted:
    """What an owner need not see."""

    doubts: Mapping[str, Doubt] = field(default_factory=dict)

    def names_of(self, key: str) -> frozenset[str]:
        """Under which an entry was sent, apart from the present one."""
        return frozenset(name for name, doubt in self.doubts.items() if key in doubt.keys)

    def visible(self, memories: Iterable[StoredMemory]) -> list[StoredMemory]:
        listed = list(memories)
        attempts: dict[str, set[str]] = {}
        for memory in listed:
            attempts.setdefault(send_id_of(memory), set()).add(attempt_of(memory))
        return [memory for memory in listed if self._counts(memory, attempts[send_id_of(memory)])]

    def _counts(self, memory: StoredMemory, attempts: set[str]) -> bool:
        doubt = self.doubts.get(send_id_of(memory))
        return doubt is None or doubt.chosen(attempts) == attempt_of(memory)


async def doubts_of(connection: Connection, user_id: str) -> Unwanted:
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(statement("platform_doubts"), {"user_id": user_id})
        rows = await cursor.fetchall()
    return Unwanted(
        {row["send_id"]: Doubt(row["send_id"], frozenset(row["keys"]), row["decided"], row["kept"]) for row in rows}
    )


async def doubt(connection: Connection, batch: Batch, worked: Worked) -> None:
    """Whether this request has an effect, nobody can tell any more: it counts as not sent."""
    parameters = {"user_id": batch[0].user_id, "agent_id": batch[0].agent_id}
    await connection.execute(
        statement("platform_doubt"), {**parameters, "send_id": worked.send_id, "attempt": worked.attempt}
    )


async def decide(connection: Connection, batch: Batch, worked: Sequence[Worked]) -> None:
    """In the transaction that settles these entries."""
    parameters = {
        "user_id": batch[0].user_id,
        "keys": [entry.key for entry in batch],
        "send_ids": [one.send_id for one in worked],
        "attempts": [one.attempt for one in worked],
    }
    await connection.execute(statement("platform_decide"), parameters)


async def cancel(connection: Connection, scope: Scope, *, key: str | None = None) -> None:
    """Nothing of what was on its way counts: of one entry, or of all. They are out of the outbox already."""
    parameters = {"user_id": scope.user_id, "agent_id": scope.agent_id, "key": key}
    await connection.execute(statement("platform_cancel"), parameters)
