"""Where accepted writes are written down: in PostgreSQL beside the memories, or in a file where those lie elsewhere."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol
from uuid import UUID

from .accepted import Accepted, DeadWrite, Operation, Within


class Journal(Protocol):
    """A write stays in it until it is done. Nothing but a method's arguments is kept (see checking.py), and of an error
    its kind alone.

    What is accepted to be added is found by a search once it is done, and what is accepted to be deleted may be found
    until then.
    """

    async def accept(self, operation: Operation, user_id: str, arguments: Mapping[str, Any]) -> Accepted:
        """Durable when it returns; a MemoryInputError where it could never be done, a JournalFullError where too much
        waits.

        Who is cancelled meanwhile cannot know whether it was accepted.
        """
        ...

    async def waiting(self) -> int:
        """How many writes are not done yet, those that are being done among them."""
        ...

    async def claim(self, *, limit: int, lease_s: float) -> list[Accepted]:
        """The next write of each owner, ours for `lease_s` seconds. An owner's later ones wait for it, so that nothing
        overtakes.
        """
        ...

    async def renew(self, writes: Sequence[Accepted], *, lease_s: float) -> None:
        """These are still being done."""
        ...

    def within(self, accepted: Accepted) -> Within | None:
        """What settles the write in the transaction that does it, and raises a NotOursError where it is not ours any
        more. None where the journal lies elsewhere than the memories.
        """
        ...

    async def settle(self, accepted: Accepted) -> None:
        """It is done, and needs not be kept. It may be settled already."""
        ...

    async def postpone(self, accepted: Accepted, *, pause_s: float, error: str) -> None:
        """Try again after a pause. Until then this owner's later ones wait."""
        ...

    async def release(self, accepted: Accepted) -> None:
        """It was broken off: anybody may begin it at once, and it counts for no attempt."""
        ...

    async def give_up(self, accepted: Accepted, *, error: str) -> None:
        """It is kept as a dead letter, and holds nobody up."""
        ...

    async def dead(self, user_id: str | None = None, *, limit: int = 100) -> list[DeadWrite]:
        """What was given up, the oldest first; of everybody where no owner is named."""
        ...

    async def replay(self, user_id: str | None = None, *, id: UUID | None = None) -> int:
        """Try again what was given up: one write, an owner's, or everybody's. Returns how many there were."""
        ...

    async def forget(
        self, user_id: str, *, agent_id: str | None = None, run_id: str | None = None, before: UUID | None = None
    ) -> int:
        """Their memories are deleted: what is to be added there is not, dead or waiting. With `before` (the id of a
        write) only what was accepted before that. Returns how many there were.
        """
        ...

    async def overtake(self, accepted: Accepted) -> int:
        """This one gives a memory its text: what was given up before for the same text does not come back behind it.
        Returns how many there were.
        """
        ...

    async def forget_person(self, user_id: str) -> int:
        """Nothing of theirs stays, whatever it is. Returns how many writes there were."""
        ...

    async def close(self) -> None:
        """What is being accepted is finished first."""
        ...
