"""A write that was accepted, and what can go wrong with one."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from psycopg import AsyncConnection

Operation = Literal["add", "update", "delete", "delete_all"]

# Runs in the transaction that writes; what it raises undoes all of it.
Within = Callable[[AsyncConnection[Any]], Awaitable[None]]


class JournalFullError(RuntimeError):
    """So many writes wait already that this one was not accepted."""


class NotOursError(RuntimeError):
    """The write was taken over by somebody else, dropped or forgotten: whatever was done for it must be undone."""


class JournalBusyError(RuntimeError):
    """The journal is closed, or another program does not let it go."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """`arguments` are those of the engine's method of that name, as JSON knows them. `attempts` is the fence: whoever
    takes the write over counts one on, and then it is nobody else's any more.
    """

    id: UUID
    operation: Operation
    user_id: str
    arguments: Mapping[str, Any]
    accepted_at: datetime
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class DeadWrite:
    """A write that was given up, and the kind of its last error."""

    accepted: Accepted
    error: str
