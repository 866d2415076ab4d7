"""Builds the self-hosted memory from its configuration: mem0's `{"provider": ..., "config": {...}}` objects.

Nothing of mem0 is loaded where everything is embedded.
"""

from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import AsyncConnectionPool

from ..base import AgentRules
from .adopting.contact import AdoptedTable
from .adopting.foreign_table import ForeignTable, NotAdoptableError
from .by_mem0.ask_model import Mem0Model
from .by_mem0.beside_postgres import PostgresBeside
from .by_mem0.extract_by_mem0 import ExtractingSaver, ExtractionOptions
from .by_mem0.mem0_parts import Part, ProviderConfigError
from .by_mem0.mem0_register import PROVIDER
from .by_mem0.opening import PARTS, Opening, PartLimits, parts_of
from .by_mem0.other_stores import OtherStoreEngine
from .by_mem0.rerank import Reranker, RerankOptions
from .embedding.embed import Embedder
from .engine import EngineOptions, MakeSaver, MemoryEngine
from .observe import MemoryObserver, NoObserver
from .saving.verbatim import VerbatimSaver

__all__ = [
    "ADOPT",
    "PARTS",
    "ProviderConfigError",
    "SelfHosted",
    "SelfHostedOptions",
    "Surroundings",
    "open_self_hosted",
]

Pool = AsyncConnectionPool[Any]

ADOPT = "adopt"

_FIND_TIMEOUT_S = 10.0
_OURS = (PROVIDER, "embedded")


@dataclass(frozen=True, slots=True)
class SelfHostedOptions:
    """`threads` is how many of mem0's calls run at once."""

    threads: int = 2
    engine: EngineOptions = field(default_factory=EngineOptions)
    extraction: ExtractionOptions = field(default_factory=ExtractionOptions)
    rerank: RerankOptions = field(default_factory=RerankOptions)
    limits: PartLimits = field(default_factory=PartLimits)


@dataclass(frozen=True, slots=True)
class SelfHosted:
    """Start the engine, and stop it before you close what it stands on.

    `is_embedded`: a question asks nobody but our own database and model, so little time is enough for it. `model` is
    the language model for other questions, where one is set up.
    """

    engine: MemoryEngine | OtherStoreEngine
    embedder: Embedder
    is_embedded: bool
    close: Callable[[], Awaitable[None]]
    model: Mem0Model | None = None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the caller has and closes itself. `folder` is for the files of mem0 and its stores, `cache_dir` for ours.

    `rules` tells what each agent wants done with its memories in the course of time.
    """

    pool: Pool
    executor: Executor
    embedding_executor: Executor
    folder: Path
    cache_dir: Path
    observer: MemoryObserver = field(default_factory=NoObserver)
    rules: AgentRules | None = None


async def open_self_hosted(
    config: Mapping[str, Any], around: Surroundings, options: SelfHostedOptions | None = None
) -> SelfHosted:
    """ProviderConfigError where a provider is unknown, is not installed or does not open.

    Of the configuration only `llm`, `embedder`, `vector_store` and `reranker` are read, and `adopt`: which table of
    mem0's is to come over (`collection_name`, and `connection_string` where it is not in our database), and whether
    its vectors were made by the same embedder (`same_embedder`).
    """
    parts = parts_of(config)
    async with AsyncExitStack() as opened:
        opening = _Opening(parts, config.get(ADOPT) or {}, around, _fitting(options or SelfHostedOptions()), opened)
        embedder = await opening.embedder()
        engine = await opening.engine(embedder)
        model = await opening.asks()
        return SelfHosted(engine, embedder, _is_embedded(parts), opened.pop_all().aclose, model)


def _is_embedded(parts: Mapping[str, Part]) -> bool:
    store = parts.get("vector_store")
    return not parts.keys() & {"embedder", "reranker"} and (store is None or store.provider in _OURS)


def _fitting(options: SelfHostedOptions) -> SelfHostedOptions:
    """No batch is begun that would wait for a thread: its time would run out before a model was asked."""
    policy = replace(options.extraction.policy, parallel=options.threads)
    return replace(options, extraction=replace(options.extraction, policy=policy))


class _Opening(Opening):
    """The same on our own PostgreSQL."""

    def __init__(
        self,
        parts: Mapping[str, Part],
        adopt: Mapping[str, Any],
        around: Surroundings,
        options: SelfHostedOptions,
        opened: AsyncExitStack,
    ) -> None:
        super().__init__(
            parts,
            around,
            options.extraction,
            options.rerank,
            opened,
            threads=options.threads,
            limits=options.limits,
        )
        self._adopt = adopt
        self._around = around
        self._options = options
        self._beside = PostgresBeside(around.pool, timeout_s=options.engine.database_timeout_s)

    async def engine(self, embedder: Embedder) -> MemoryEngine | OtherStoreEngine:
        part = self._parts.get("vector_store")
        reranker = await self.reranker()
        if part is None or part.provider in _OURS:
            return await self._own_engine(embedder, reranker)
        if self._adopt:
            raise ProviderConfigError("adopt brings memories into our own database: leave vector_store out for it")
        return await self._other_engine(part, embedder, reranker)

    async def _chosen_embedder(self, part: Part | None) -> Embedder:
        if part is not None:
            return await super()._chosen_embedder(part)
        try:
            from .embedding.minilm import MiniLmEmbedder  # not everywhere, and heavy
        except ImportError:
            raise ProviderConfigError("embedder is missing, and none is embedded here") from None
        return MiniLmEmbedder(self._around.cache_dir, self._around.embedding_executor)

    async def _own_engine(self, embedder: Embedder, reranker: Reranker | None) -> MemoryEngine:
        around, options = self._around, self._options
        make_saver: MakeSaver | None = None
        extractor = await self.extractor(embedder, self._beside)
        if extractor is not None:
            learns = extractor

            def make_saver(verbatim: VerbatimSaver) -> ExtractingSaver:
                return ExtractingSaver(learns, verbatim, options.extraction)

        return MemoryEngine(
            around.pool,
            embedder,
            around.executor,
            options.engine,
            observer=around.observer,
            make_saver=make_saver,
            model=await self.asks(),
            reranker=reranker,
            rules=around.rules,
            adopted=await self._adopted(),
            describer=await self.describer(),
        )

    async def _adopted(self) -> AdoptedTable | None:
        if not self._adopt:
            return None
        pool, address = self._around.pool, self._adopt.get("connection_string")
        if address:
            try:
                conninfo_to_dict(address)
            except ProgrammingError:
                raise ProviderConfigError("adopt.connection_string is no address of a PostgreSQL") from None
            pool = AsyncConnectionPool(address, min_size=0, max_size=1, timeout=_FIND_TIMEOUT_S, open=False)
            await pool.open()
            self._opened.push_async_callback(pool.close)
        try:
            table = ForeignTable(pool, self._adopt.get("collection_name", ""))
        except NotAdoptableError as problem:
            raise ProviderConfigError(f"adopt.collection_name: {problem}") from None
        return AdoptedTable(table, same_embedder=bool(self._adopt.get("same_embedder")))

    async def _other_engine(self, part: Part, embedder: Embedder, reranker: Reranker | None) -> OtherStoreEngine:
        store = await self.store(part, embedder.dimensions)
        return OtherStoreEngine(
            self._around.pool,
            embedder,
            store,
            self._options.engine,
            extractor=await self.extractor(embedder, self._beside),
            extraction=self._options.extraction,
            reranker=reranker,
            observer=self._around.observer,
            describer=await self.describer(),
        )
