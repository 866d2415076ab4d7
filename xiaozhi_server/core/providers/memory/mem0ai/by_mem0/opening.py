"""Opens mem0's parts from its `{"provider": ..., "config": {...}}` objects, one after the other."""

import os
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from ..embedding.embed import Embedder
from ..embedding.embed_mem0 import Mem0Embedder
from ..embedding.embed_openai import OpenAiEmbedderConfig, open_openai_embedder
from ..observe import MemoryObserver, ObservedEmbedder
from .ask_model import Mem0Model
from .beside import Known
from .bridge import Mem0Bridge
from .describe_by_mem0 import Mem0Describer, details_of, sees
from .extract_by_mem0 import ExtractionOptions, Mem0Extractor
from .mem0_add import count_tokens, leave_room
from .mem0_parts import (
    OPENAI,
    Part,
    ProviderConfigError,
    open_embedder,
    open_llm,
    open_reranker,
    open_vector_store,
    part_of,
)
from .other_store import OtherStore
from .rerank import Reranker, RerankOptions

T = TypeVar("T")

PARTS = ("llm", "embedder", "vector_store", "reranker")

_OPEN_TIMEOUT_S = 60.0  # loading a library and reaching a store
_QUIET_TIMEOUT_S = 2.0  # then what still hangs is broken off by closing its client
_OF_OUR_OPENAI = frozenset({"model", "api_key", "openai_base_url", "embedding_dims"})
_DEFAULT_MODEL = "text-embedding-3-small"


@dataclass(frozen=True, slots=True)
class PartLimits:
    """How long one request to an OpenAI-like embedder, or to another store, may take."""

    embedder_s: float = 10.0
    store_s: float = 10.0


class Workplace(Protocol):
    """What the parts stand on: threads for the embedder, a folder for the files of mem0 and its stores."""

    @property
    def embedding_executor(self) -> Executor: ...

    @property
    def folder(self) -> Path: ...

    @property
    def observer(self) -> MemoryObserver: ...


def parts_of(config: Mapping[str, Any]) -> dict[str, Part]:
    return {name: part for name in PARTS if (part := part_of(name, config.get(name))) is not None}


class Opening:
    """Puts down on `opened` how each part is closed."""

    def __init__(
        self,
        parts: Mapping[str, Part],
        place: Workplace,
        extraction: ExtractionOptions,
        rerank: RerankOptions,
        opened: AsyncExitStack,
        *,
        threads: int,
        limits: PartLimits,
    ) -> None:
        self._parts = parts
        self._place = place
        self._extraction = extraction
        self._rerank = rerank
        self._opened = opened
        self._limits = limits
        self._bridge = Mem0Bridge(place.folder, threads=threads)
        self._llm: Any = None

    async def embedder(self) -> Embedder:
        embedder = await self._chosen_embedder(self._parts.get("embedder"))
        self._opened.push_async_callback(embedder.close)
        return embedder

    async def store(self, part: Part, dimensions: int) -> OtherStore:
        folder = self._place.folder
        opened = await self._run(lambda: open_vector_store(part, dimensions=dimensions, folder=folder))
        store = OtherStore(opened, part.provider, timeout_s=self._limits.store_s)
        self._opened.push_async_callback(store.close)
        return store

    async def asks(self) -> Mem0Model | None:
        """The language model for questions of ours."""
        if "llm" not in self._parts:
            return None
        llm = await self._model(self._parts["llm"])
        return Mem0Model(self._bridge, llm, self._extraction.timeout_s, self._place.observer)

    async def describer(self) -> Mem0Describer | None:
        """Who sees the pictures, if the model is set up for that."""
        part = self._parts.get("llm")
        if part is None or not sees(part):
            return None
        llm = await self._model(part)
        return Mem0Describer(self._bridge, llm, details_of(part.config), self._extraction, self._place.observer)

    async def extractor(self, embedder: Embedder, beside: Known) -> Mem0Extractor | None:
        if "llm" not in self._parts:
            return None
        observer = self._place.observer
        llm = await self._model(self._parts["llm"])
        observed = ObservedEmbedder(embedder, observer)
        return Mem0Extractor(self._bridge, llm, observed, beside, self._extraction, observer)

    async def reranker(self) -> Reranker | None:
        part, options = self._parts.get("reranker"), self._rerank
        if part is None:
            return None
        model = await self._run(lambda: open_reranker(part, timeout_s=options.timeout_s))
        reranker = Reranker(model, options)
        self._opened.push_async_callback(self._close, getattr(model, "llm", model), reranker)
        return reranker

    async def _chosen_embedder(self, part: Part | None) -> Embedder:
        if part is None:
            raise ProviderConfigError("embedder is missing")
        if part.provider == "openai" and part.config.keys() <= _OF_OUR_OPENAI:
            return await open_openai_embedder(_openai(part, self._limits.embedder_s))
        model = await self._run(lambda: open_embedder(part))
        self._opened.push_async_callback(self._close, model)
        dimensions = await self._run(lambda: _dimensions(part, model))
        name = f"{part.provider}/{part.config.get('model') or model.config.model}"
        return Mem0Embedder(model, self._place.embedding_executor, name=name, dimensions=dimensions)

    async def _model(self, part: Part) -> Any:
        """The language model, opened once."""
        if self._llm is None:
            options = self._extraction
            self._llm = llm = await self._run(lambda: open_llm(part, timeout_s=options.timeout_s))
            count_tokens(llm)
            leave_room(llm, options.answer_tokens)
            self._opened.push_async_callback(self._close, llm, self._bridge)
        return self._llm

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


def _openai(part: Part, timeout_s: float) -> OpenAiEmbedderConfig:
    config = part.config
    return OpenAiEmbedderConfig(
        base_url=config.get("openai_base_url") or OPENAI,
        model=config.get("model") or _DEFAULT_MODEL,
        api_key=config.get("api_key") or os.environ.get("OPENAI_API_KEY", ""),
        dimensions=config.get("embedding_dims"),
        timeout_s=timeout_s,
    )


def _dimensions(part: Part, model: Any) -> int:
    """As it is set, else as it turns out: what mem0 assumes may be another model's."""
    return int(part.config.get("embedding_dims") or len(model.embed("hello", "search")))
