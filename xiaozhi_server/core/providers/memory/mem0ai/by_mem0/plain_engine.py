"""Memory on one of mem0's vector stores where there is no PostgreSQL of ours: what is said is added at once.

Nothing waits here: whoever must not lose a write that is not done yet keeps a journal of their own (see accepting).
"""

import logging
from collections.abc import Sequence

from ..embedding.embed import Embedder
from ..engine import EngineOptions
from ..engine_port import Recalls
from ..observe import MemoryObserver, NoObserver
from ..records import FoundMemory
from ..saving.describing import Describer
from ..scope import Scope
from .beside_file import FileBeside
from .extract_by_mem0 import ExtractionOptions, Extractor
from .other_memories import OtherMemories
from .other_store import MOST_LISTED, OtherStore
from .rerank import Reranker

logger = logging.getLogger(__name__)


class PlainEngine(OtherMemories):
    """The embedder, the store and the file beside it belong to the caller, who also closes them.

    `recalls` may be set before the first question.
    """

    def __init__(
        self,
        beside: FileBeside,
        embedder: Embedder,
        store: OtherStore,
        options: EngineOptions | None = None,
        *,
        extractor: Extractor | None = None,
        extraction: ExtractionOptions | None = None,
        reranker: Reranker | None = None,
        observer: MemoryObserver | None = None,
        describer: Describer | None = None,
    ) -> None:
        self.observer = observer or NoObserver()
        self.recalls: Recalls | None = None
        self.infers = extractor is not None
        self._notes = beside
        super().__init__(
            beside,
            embedder,
            store,
            options or EngineOptions(),
            self.observer,
            extractor=extractor,
            extraction=extraction,
            reranker=reranker,
            describer=describer,
        )
        self._saver.search_by(self._searcher.search)

    @property
    def lacks(self) -> tuple[str, ...]:
        return (*super().lacks, "agents that read what others heard")

    async def stop(self, deadline_s: float) -> None:
        """Nothing goes on in the background but a measurement of the embedder."""
        await self._searcher.close()

    async def forget(self, *, user_id: str) -> int:
        """Leave nothing of a person: no history, no internal record either. Returns how many memories there were."""
        person = Scope(user_id)
        count = await self.delete_all(user_id=user_id)
        await self.store.delete(await self.store.internal(person, limit=MOST_LISTED))
        await self._extraction.forget(person.user_id)
        await self._notes.forget(person.user_id)
        return count

    def recalled(self, found: Sequence[FoundMemory], *, user_id: str) -> None:
        if self.recalls is not None:
            self.recalls.recalled(found, user_id=user_id)
