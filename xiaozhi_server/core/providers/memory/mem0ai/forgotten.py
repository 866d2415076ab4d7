"""A person who is forgotten, as others hear of it: whoever keeps something of theirs by himself drops it at once."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol
from weakref import WeakSet

from psycopg import Error

from .errors import ForgottenMeanwhileError

# Stands for a key in the word of a change (see migrations/0003_changes.sql); nobody's key begins with a blank.
MARK = " forgotten"
# What PostgreSQL answers to who adds a memory from before that.
_TOO_LATE = "MF001"


class Keeps(Protocol):
    def forget(self, user_id: str) -> None:
        """Nothing of this owner may stay."""
        ...


class Forgotten:
    """Who is told. Nobody has to leave: who is gone is not told any more."""

    def __init__(self) -> None:
        self._keep: WeakSet[Keeps] = WeakSet()

    def tell(self, keeps: Keeps) -> None:
        self._keep.add(keeps)

    def forget(self, user_id: str) -> None:
        for keeps in tuple(self._keep):
            keeps.forget(user_id)


@contextmanager
def said_in_time() -> Iterator[None]:
    """A `ForgottenMeanwhileError` where what is written here was said before its owner was forgotten."""
    try:
        yield
    except Error as error:
        if error.sqlstate == _TOO_LATE:
            raise ForgottenMeanwhileError from None
        raise
