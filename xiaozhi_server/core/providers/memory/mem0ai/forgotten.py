"""A person who is forgotten, as others hear of it: whoever keeps something of theirs by himself drops it at once."""

from typing import Protocol
from weakref import WeakSet

# Stands for a key in the word of a change (see migrations/0003_changes.sql); nobody's key begins with a blank.
MARK = " forgotten"
# What PostgreSQL answers to who adds a memory from before that.
FORGOTTEN_STATE = "MF001"


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
