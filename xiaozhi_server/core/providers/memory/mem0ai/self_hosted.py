"""Builds the self-hosted memory from its configuration: mem0's `{"provider": ..., "config": {...}}` objects.

Nothing of mem0 is loaded where everything is embedded.
"""

import os
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import AsyncConnectionPool

from ..base import AgentRules
from .adopting.contact import AdoptedTable
from .adopting.foreign_table import ForeignTable, NotAdoptableError
from .by_mem0.ask_model import Mem0Model
from .by_mem0.bridge import Mem0Bridge
from .by_mem0.describe_by_mem0 import Mem0Describer, details_of, sees
from .by_mem0.extract_by_mem0 import ExtractingSaver, ExtractionOptions, Mem0Extractor
from .by_mem0.mem0_add import count_tokens, leave_room
from .by_mem0.mem0_parts import (
    OPENAI,
    Part,
    ProviderConfigError,
    open_embedder,
    open_llm,
    open_reranker,
    open_vector_store,
    part_of,
)
from .by_mem0.mem0_register import PROVIDER
from .by_mem0.other_store import OtherStore
from .by_mem0.other_stores import OtherStoreEngine
from .by_mem0.rerank import Reranker, RerankOptions
from .embedding.embed import Embedder
from .embedding.embed_mem0 import Mem0Embedder
from .embedding.embed_openai import OpenAiEmbedderConfig, open_openai_embedder
from .embedding.minilm import MiniLmEmbedder
from .engine import EngineOptions, MakeSaver, MemoryEngine
from .observe import MemoryObserver, NoObserver, ObservedEmbedder
from .saving.verbatim import VerbatimSaver

Pool = AsyncConnectionPool[Any]
T = TypeVar("T")

PARTS = ("llm", "embedder", "vector_store", "reranker")
ADOPT = "adopt"

_OPEN_TIMEOUT_S = 60.0  # loading a library and reaching a store
_FIND_TIMEOUT_S = 10.0
_QUIET_TIMEOUT_S = 2.0  # then what still hangs is broken off by closing its client
_OURS = (PROVIDER, "embedded")
_OF_OUR_OPENAI = frozenset({"model", "api_key", "openai_base_url", "embedding_dims"})
_DEFAULT_MODEL = "text-embedding-3-small"


@dataclass(frozen=True, slots=True)
class SelfHostedOptions:
    """`threads` is how many of mem0's calls run at once."""

    threads: int = 2
    engine: EngineOptions = field(default_factory=EngineOptions)
    extraction: ExtractionOptions = field(default_factory=ExtractionOptions)
    rerank: RerankOptions = field(default_factory=RerankOptions)


@dataclass(frozen=True, slots=True)
class SelfHosted:
    """Start the engine, and stop it before you close what it stands on.

    `is_embedded`: a question asks nobody but our own database and model, so little time is enough for it.
    `model` is the language model for other questions, where one is set up.
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
    parts = {name: part for name in PARTS if (part := part_of(name, config.get(name))) is not None}
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


class _Opening:
    """Opens one part after the other and puts down on `opened` how each is closed."""

    def __init__(
        self,
        parts: Mapping[str, Part],
        adopt: Mapping[str, Any],
        around: Surroundings,
        options: SelfHostedOptions,
        opened: AsyncExitStack,
    ) -> None:
        self._parts = parts
        self._adopt = adopt
        self._around = around
        self._options = options
        self._opened = opened
        self._bridge = Mem0Bridge(around.folder, threads=options.threads)
        self._llm: Any = None

    async def embedder(self) -> Embedder:
        embedder = await self._chosen_embedder(self._parts.get("embedder"))
        self._opened.push_async_callback(embedder.close)
        return embedder

    async def engine(self, embedder: Embedder) -> MemoryEngine | OtherStoreEngine:
        part = self._parts.get("vector_store")
        reranker = await self._reranker()
        if part is None or part.provider in _OURS:
            return await self._own_engine(embedder, reranker)
        if self._adopt:
            raise ProviderConfigError("adopt brings memories into our own database: leave vector_store out for it")
        return await self._other_engine(part, embedder, reranker)

    async def _chosen_embedder(self, part: Part | None) -> Embedder:
        around = self._around
        if part is None:
            return MiniLmEmbedder(around.cache_dir, around.embedding_executor)
        if part.provider == "openai" and part.config.keys() <= _OF_OUR_OPENAI:
            return await open_openai_embedder(_openai(part))
        model = await self._run(lambda: open_embedder(part))
        self._opened.push_async_callback(self._close, model)
        dimensions = await self._run(lambda: _dimensions(part, model))
        name = f"{part.provider}/{part.config.get('model') or model.config.model}"
        return Mem0Embedder(model, around.embedding_executor, name=name, dimensions=dimensions)

    async def _own_engine(self, embedder: Embedder, reranker: Reranker | None) -> MemoryEngine:
        around, options = self._around, self._options
        make_saver: MakeSaver | None = None
        if "llm" in self._parts:
            extractor = await self._extractor(embedder)

            def make_saver(verbatim: VerbatimSaver) -> ExtractingSaver:
                return ExtractingSaver(extractor, verbatim, options.extraction)

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
            describer=await self._describer(),
        )

    async def asks(self) -> Mem0Model | None:
        """The language model for questions of ours."""
        if "llm" not in self._parts:
            return None
        timeout_s, observer = self._options.extraction.timeout_s, self._around.observer
        return Mem0Model(self._bridge, await self._model(self._parts["llm"]), timeout_s, observer)

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
        folder, dimensions = self._around.folder, embedder.dimensions
        opened = await self._run(lambda: open_vector_store(part, dimensions=dimensions, folder=folder))
        store = OtherStore(opened, part.provider)
        self._opened.push_async_callback(store.close)
        extractor = await self._extractor(embedder) if "llm" in self._parts else None
        return OtherStoreEngine(
            self._around.pool,
            embedder,
            store,
            self._options.engine,
            extractor=extractor,
            extraction=self._options.extraction,
            reranker=reranker,
            observer=self._around.observer,
            describer=await self._describer(),
        )

    async def _describer(self) -> Mem0Describer | None:
        """Who sees the pictures, if the model is set up for that."""
        part = self._parts.get("llm")
        if part is None or not sees(part):
            return None
        llm = await self._model(part)
        return Mem0Describer(
            self._bridge, llm, details_of(part.config), self._options.extraction, self._around.observer
        )

    async def _extractor(self, embedder: Embedder) -> Mem0Extractor:
        around, options, observer = self._around, self._options.extraction, self._around.observer
        llm = await self._model(self._parts["llm"])
        observed = ObservedEmbedder(embedder, observer)
        return Mem0Extractor(self._bridge, llm, observed, around.pool, options, observer)

    async def _model(self, part: Part) -> Any:
        """The language model, opened once."""
        if self._llm is None:
            options = self._options.extraction
            self._llm = llm = await self._run(lambda: open_llm(part, timeout_s=options.timeout_s))
            count_tokens(llm)
            leave_room(llm, options.answer_tokens)
            self._opened.push_async_callback(self._close, llm, self._bridge)
        return self._llm

    async def _reranker(self) -> Reranker | None:
        part, options = self._parts.get("reranker"), self._options.rerank
        if part is None:
            return None
        model = await self._run(lambda: open_reranker(part, timeout_s=options.timeout_s))
        reranker = Reranker(model, options)
        self._opened.push_async_callback(self._close, getattr(model, "llm", model), reranker)
        return reranker

    async def _close(self, model: Any, asked_by: Mem0Bridge | Reranker | None = None) -> None:
        """Not while it is asked: a request that begins meanwhile would leave its connection behind."""
        if asked_by is not None:
            await asked_by.quiet(timeout_s=_QUIET_TIMEOUT_S)
        client = getattr(model, "client", None)
        if callable(close := getattr(client, "close", None)):
            await self._run(close)

    async def _run(self, job: Callable[[], T]) -> T:
        try:
            return await self._bridge.run(job, timeout_s=_OPEN_TIMEOUT_S)
        except TimeoutError:
            raise ProviderConfigError(f"a provider did not open within {_OPEN_TIMEOUT_S:g} s") from None


def _openai(part: Part) -> OpenAiEmbedderConfig:
    config = part.config
    return OpenAiEmbedderConfig(
        base_url=config.get("openai_base_url") or OPENAI,
        model=config.get("model") or _DEFAULT_MODEL,
        api_key=config.get("api_key") or os.environ.get("OPENAI_API_KEY", ""),
        dimensions=config.get("embedding_dims"),
    )


def _dimensions(part: Part, model: Any) -> int:
    """As it is set, else as it turns out: what mem0 assumes may be another model's."""
    return int(part.config.get("embedding_dims") or len(model.embed("hello", "search")))
