"""What the tools need of a memory, whichever it is: PostgreSQL, another store of mem0's, or Mem0's platform."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from xiaozhi_memory.mem0ai.accepting.accepted import Operation
from xiaozhi_memory.mem0ai.facts.learned import MemoryChange
from xiaozhi_memory.mem0ai.records import FoundMemory, StoredMemory
from xiaozhi_memory.mem0ai.rows.history import MemoryEvent

Id = str

__all__ = ["Forgets", "Home", "KnowsRelations", "LongTermDoor", "ToolMemory", "Writes"]


class ToolMemory(Protocol):
    """Whose memories a call is about is always said and always checked."""

    async def owner_of(self, id: Id) -> str | None:
        """Whose memory this is, or was; None where nobody ever had it."""
        ...

    @property
    def add(self) -> Callable[..., Awaitable[Sequence[MemoryChange] | Sequence[StoredMemory]]]:
        """Messages, of a user and maybe an agent, with metadata. `infer`: a model makes facts of them, after an
        `instruction` where one is given. With the same `key` nothing is written a second time.
        """
        ...

    async def search(
        self,
        query: str,
        *,
        user_id: str,
        agent_id: str | None = None,
        top_k: int = 20,
        filters: Mapping[str, Any] | None = None,
    ) -> list[FoundMemory]: ...

    async def search_by_agent(
        self, query: str, *, agent_id: str, top_k: int = 20, filters: Mapping[str, Any] | None = None
    ) -> list[FoundMemory]: ...

    async def get_all(
        self,
        *,
        user_id: str,
        agent_id: str | None = None,
        filters: Mapping[str, Any] | None = None,
        top_k: int = 100,
        cursor: str | None = None,
    ) -> list[StoredMemory]: ...

    async def list_by_agent(
        self,
        *,
        agent_id: str,
        filters: Mapping[str, Any] | None = None,
        top_k: int = 100,
        cursor: str | None = None,
    ) -> list[StoredMemory]: ...

    async def get(self, id: Id, *, user_id: str) -> StoredMemory | None: ...

    async def update(self, id: Id, *, user_id: str, text: str) -> StoredMemory: ...

    async def delete(self, id: Id, *, user_id: str) -> None: ...

    async def delete_all(self, *, user_id: str, agent_id: str | None = None) -> int: ...

    async def history(self, id: Id, *, user_id: str) -> list[MemoryEvent]: ...

    def recalled(self, found: Sequence[FoundMemory], *, user_id: str) -> None: ...


class KnowsRelations(Protocol):
    """People and things, and how they stand to each other."""

    async def relations(self, *, user_id: str, agent_id: str | None = None, limit: int = 100) -> Sequence[Any]: ...


class Writes(Protocol):
    """Accepts a write durably; it is done later, also after a kill."""

    @property
    def is_busy(self) -> bool: ...

    async def accept(self, operation: Operation, user_id: str, arguments: Mapping[str, Any]) -> None: ...

    async def waiting(self) -> int: ...

    async def drop(self, user_id: str, agent_id: str | None) -> None:
        """Their memories are being deleted: what waits to be added there is not."""
        ...


class LongTermDoor(Protocol):
    """Long-term extraction; what comes back are the contract's JSON objects."""

    @property
    def is_busy(self) -> bool: ...

    async def start(self, request: Mapping[str, Any]) -> dict[str, Any]: ...

    async def run(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The same, and wait for the final report."""
        ...

    async def status(self, task_id: str) -> dict[str, Any]: ...

    async def checkpoint(self, user_id: str, app_id: str | None) -> dict[str, Any]: ...


class Forgets(Protocol):
    """What has faded goes, or is only shown."""

    async def forget_faded(self, *, user_id: str, app_id: str | None, dry_run: bool) -> dict[str, Any]: ...


Check = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Home:
    """One opened memory. `infers`: it can make facts of what is said. `lacks` is what this kind of memory cannot do.

    `beats` asks for signs of life that cost nobody money, each under the name of what is asked.
    """

    memory: ToolMemory
    close: Callable[[float], Awaitable[None]]
    writes: Writes | None = None
    relations: KnowsRelations | None = None
    longterm: LongTermDoor | None = None
    forgets: Forgets | None = None
    infers: bool = True
    beats: Mapping[str, Check] = field(default_factory=dict)
    lacks: tuple[str, ...] = ()

    @property
    def is_busy(self) -> bool:
        """Something goes on that nobody waits for and that would be broken off."""
        return self.longterm is not None and self.longterm.is_busy

    @property
    def has_writes(self) -> bool:
        """Accepted writes are being done or come again, by this memory or by whoever opens it next."""
        return self.writes is not None and self.writes.is_busy
