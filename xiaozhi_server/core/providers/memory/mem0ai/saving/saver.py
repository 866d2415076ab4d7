"""The port between the outbox and what becomes of its entries."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

from psycopg import AsyncConnection

from ..embedding.embed import Vectors
from ..facts.learned import Learned
from ..records import FoundMemory
from ..scope import Scope
from .outbox import Batch

Prepared = TypeVar("Prepared")


@dataclass(frozen=True, slots=True)
class BatchPolicy:
    """When the exchanges of an owner are saved together: whoever asks a model wants a conversation, not its lines.

    A batch is closed as soon as nobody has added anything for `idle_s`, it holds `exchanges` of them or about `chars`
    characters, the session of one of them has ended, or the owner goes on with another agent.
    """

    idle_s: float = 20.0
    exchanges: int = 10
    chars: int = 8000
    parallel: int = 4  # batches of different owners that are saved at the same time
    timeout_s: float = 60.0  # for the slow step


class Search(Protocol):
    """How what is known already is found."""

    async def __call__(
        self, query: str, scope: Scope, *, top_k: int, vector_timeout_s: float | None = None
    ) -> list[FoundMemory]: ...


class EmbedAll(Protocol):
    """The vectors of many texts by one call of the embedder; who searches for one of them soon after needs no other."""

    async def __call__(self, texts: Sequence[str], scope: Scope) -> Vectors: ...


class Saver(Protocol[Prepared]):
    """Saving in two steps: the slow one may be repeated, the quick one happens exactly once.

    A batch holds entries of one owner and one agent, in order, with the same `attempts`. Without a policy each entry is
    a batch of its own, saved at once, and one call gets the batches of many owners. With a policy each call gets one
    batch; it comes again with the same entries, until it has failed so often that they are tried one by one.

    A batch whose first step has an effect outside of our database (`attempts` > 1 tells that it may have run before)
    must make sure itself that the effect is not doubled; `key` names an entry for ever, within its owner.
    """

    policy: BatchPolicy | None

    async def prepare(self, batches: Sequence[Batch]) -> Sequence[Prepared]:
        """Everything slow, one result for each batch. An error postpones the batches."""
        ...

    async def write(
        self, connection: AsyncConnection[Any], batches: Sequence[Batch], prepared: Sequence[Prepared]
    ) -> None:
        """Within the transaction that takes the batches out of the outbox."""
        ...

    def written(self, batches: Sequence[Batch]) -> None:
        """That transaction is committed: whatever was cached of these owners is out of date."""
        ...


@runtime_checkable
class MayBeAway(Protocol):
    """What a saver adds to the above if it hands everything to one service that may be away for long.

    Nothing is taken out of the outbox for it then: no attempt is counted, and nothing is given up.
    """

    def is_ready(self) -> bool: ...


@runtime_checkable
class Learns(Protocol):
    """A saver that may ask a model, and compares what was said with what is known."""

    has_model: bool

    def search_by(self, search: Search, embed: EmbedAll | None = None) -> None:
        """How what is known is found. Told before the first batch."""
        ...

    async def learn(self, batch: Batch) -> Learned:
        """For a caller who waits: no attempt is left for later, so what no model reads is kept as it was said."""
        ...

    async def prepare(self, batches: Sequence[Batch]) -> Sequence[Learned]:
        """For a caller who comes again: an error where the model is to blame, until `attempts` says that it was tried
        often enough."""
        ...

    async def facts(self, batch: Batch) -> Learned:
        """For a caller who keeps what was said: what no model reads is an error, and so is less than all of a batch of
        several entries, which can be brought one by one."""
        ...

    async def write(
        self, connection: AsyncConnection[Any], batches: Sequence[Batch], prepared: Sequence[Learned]
    ) -> None: ...

    def written(self, batches: Sequence[Batch]) -> None: ...
