"""What memory tells whoever counts: the port, its silent form, an embedder that reports. Knows no metrics library."""

import time
from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

from psycopg import Error as DatabaseError
from psycopg_pool import PoolTimeout

from .embedding.embed import Embedder, Vectors

# A closed set: whatever counts by it must not grow with what others call their errors.
FailureKind = Literal["timeout", "database", "busy", "other"]
# Facts that are new, were known already, took another one's place, or are not believed; answers that were mended.
FactKind = Literal["new", "merged", "superseding", "flagged", "repaired"]


class MemoryObserver(Protocol):
    """Every method returns at once and never fails."""

    def recall_done(self, seconds: float, hits: int, late: bool) -> None:
        """A question was answered with so many memories; `late`: the deadline came first."""
        ...

    def recall_failed(self, kind: FailureKind) -> None: ...

    def saved(self, count: int) -> None:
        """So many exchanges became memories."""
        ...

    def save_failed(self, kind: FailureKind) -> None:
        """A batch was postponed or given up."""
        ...

    def embedded(self, texts: int, seconds: float) -> None: ...

    def embedding_failed(self, kind: FailureKind) -> None: ...

    def model_called(self, tokens: int) -> None:
        """A language model read and wrote so many tokens, as far as it told."""
        ...

    def facts_made(self, counts: Mapping[FactKind, int]) -> None:
        """What a model made of a batch."""
        ...

    def queue(self, waiting: int, dead: int, oldest_s: float) -> None:
        """The outbox as it was a moment ago."""
        ...

    def maintained(self, step: str, counts: Mapping[str, int], seconds: float) -> None:
        """A step of the daily work was done, with so much of each."""
        ...

    def maintenance_failed(self, step: str, kind: FailureKind) -> None: ...


class NoObserver:
    def recall_done(self, seconds: float, hits: int, late: bool) -> None: ...

    def recall_failed(self, kind: FailureKind) -> None: ...

    def saved(self, count: int) -> None: ...

    def save_failed(self, kind: FailureKind) -> None: ...

    def embedded(self, texts: int, seconds: float) -> None: ...

    def embedding_failed(self, kind: FailureKind) -> None: ...

    def model_called(self, tokens: int) -> None: ...

    def facts_made(self, counts: Mapping[FactKind, int]) -> None: ...

    def queue(self, waiting: int, dead: int, oldest_s: float) -> None: ...

    def maintained(self, step: str, counts: Mapping[str, int], seconds: float) -> None: ...

    def maintenance_failed(self, step: str, kind: FailureKind) -> None: ...


def kind_of(error: BaseException | None) -> FailureKind:
    if isinstance(error, TimeoutError | PoolTimeout):
        return "timeout"
    return "database" if isinstance(error, DatabaseError) else "other"


class ObservedEmbedder:
    """The same embedder; each of its calls is counted."""

    def __init__(self, embedder: Embedder, observer: MemoryObserver) -> None:
        self.name = embedder.name
        self.dimensions = embedder.dimensions
        self.multilingual = embedder.multilingual
        self._embedder = embedder
        self._observer = observer

    async def embed(self, texts: Sequence[str]) -> Vectors:
        began_at = time.perf_counter()
        try:
            vectors = await self._embedder.embed(texts)
        except Exception as error:
            self._observer.embedding_failed(kind_of(error))
            raise
        self._observer.embedded(len(texts), time.perf_counter() - began_at)
        return vectors

    async def close(self) -> None:
        await self._embedder.close()
