"""Who may read what of a person, and who decided that when. A grant is for reading alone."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any, Literal

from psycopg import AsyncConnection
from psycopg.rows import class_row

from ..errors import InvalidIdError
from ..scope import Scope, checked_id
from ..statements import statement

Connection = AsyncConnection[Any]
Connect = Callable[[], AbstractAsyncContextManager[Connection]]


@dataclass(frozen=True, slots=True)
class Share:
    """`agent_id` may read what `from_agent` heard of this person."""

    user_id: str
    agent_id: str
    from_agent: str
    granted_by: str
    granted_at: datetime


@dataclass(frozen=True, slots=True)
class AuditLine:
    """What was done with a grant. `reads` counts the recalls of one day that brought something of `from_agent`."""

    user_id: str
    event: Literal["GRANT", "REVOKE", "READ"]
    agent_id: str
    from_agent: str
    done_by: str
    day: date
    happened_at: datetime
    reads: int


@dataclass(frozen=True, slots=True)
class Grant:
    """What is to be granted or revoked, checked."""

    user_id: str
    agent_id: str
    from_agent: str
    done_by: str

    def __post_init__(self) -> None:
        for name in ("user_id", "agent_id", "from_agent", "done_by"):
            checked_id(name, getattr(self, name))
        if self.agent_id == self.from_agent:
            raise InvalidIdError("an agent reads its own memories anyway: from_agent must be another one")


class Shares:
    """`changed` is told of whom something else may be read than before, once that is committed."""

    def __init__(self, connect: Connect, changed: Callable[[str], None] = lambda _: None) -> None:
        self._connect = connect
        self._changed = changed

    async def grant(self, user_id: str, agent_id: str, from_agent: str, done_by: str) -> bool:
        """False if it was granted before."""
        return await self._done("share_grant", Grant(user_id, agent_id, from_agent, done_by))

    async def revoke(self, user_id: str, agent_id: str, from_agent: str, done_by: str) -> bool:
        """False if it was not granted."""
        return await self._done("share_revoke", Grant(user_id, agent_id, from_agent, done_by))

    async def all_of(self, scope: Scope) -> list[Share]:
        async with self._connect() as connection:
            return await granted(connection, scope)

    async def audit(self, user_id: str, *, limit: int) -> list[AuditLine]:
        """The newest first."""
        async with self._connect() as connection, connection.cursor(row_factory=class_row(AuditLine)) as cursor:
            await cursor.execute(statement("audit_list"), {"user_id": user_id, "limit": limit})
            return await cursor.fetchall()

    async def _done(self, name: str, wanted: Grant) -> bool:
        async with self._connect() as connection:
            cursor = await connection.execute(statement(name), asdict(wanted))
        self._changed(wanted.user_id)
        return bool(cursor.rowcount)


async def granted(connection: Connection, scope: Scope) -> list[Share]:
    """Of this person, or what one agent may read of it."""
    async with connection.cursor(row_factory=class_row(Share)) as cursor:
        await cursor.execute(statement("share_list"), {"user_id": scope.user_id, "agent_id": scope.agent_id})
        return await cursor.fetchall()


async def reach(connection: Connection, scope: Scope) -> Scope:
    """With what is granted to its agent, for who cannot look that up where the memories are."""
    if not scope.shared or scope.agent_id is None:
        return scope
    return scope.reading([one.from_agent for one in await granted(connection, scope)])
