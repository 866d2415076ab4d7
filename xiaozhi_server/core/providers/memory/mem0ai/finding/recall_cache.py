"""The port to answers that were found a moment ago, kept per owner until something changes or their time is over.

A slot is taken before the search and filled after it: what was found before a change cannot be kept after it.
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Protocol

from ..records import FoundMemory


class Slot(Protocol):
    """One owner's answers as they were when the slot was taken."""

    async def get(self, key: str) -> Sequence[FoundMemory] | None: ...

    async def put(self, key: str, found: Sequence[FoundMemory]) -> None:
        """Kept only if nothing of this owner has changed since the slot was taken."""
        ...


class RecallCache(Protocol):
    """Every method is quick and never fails: a cache that is away is an empty one."""

    def slot(self, user_id: str) -> Slot: ...

    def forget(self, user_id: str) -> None:
        """Something of this owner has changed: this process reads nothing older from now on."""
        ...

    async def close(self) -> None: ...


def answer_key(*parts: object) -> str:
    """One key for everything that an answer depends on beside its owner."""
    return blake2b(repr(parts).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
