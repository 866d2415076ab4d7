"""Opens a memory that needs no PostgreSQL: one of mem0's vector stores, its models, and a file beside them."""

from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .by_mem0.ask_model import Mem0Model
from .by_mem0.beside_file import FileBeside
from .by_mem0.extract_by_mem0 import ExtractionOptions
from .by_mem0.mem0_parts import ProviderConfigError
from .by_mem0.opening import Opening, PartLimits, parts_of
from .by_mem0.other_store import OtherStore
from .by_mem0.plain_engine import PlainEngine
from .by_mem0.rerank import RerankOptions
from .embedding.embed import Embedder
from .engine import EngineOptions
from .observe import MemoryObserver, NoObserver

__all__ = ["PlainHome", "PlainOptions", "ProviderConfigError", "open_plain"]

Check = Callable[[], Awaitable[None]]

_NOTES = "notes.db"
_PING = [{"role": "user", "content": 'Answer with the JSON object {"ok": true} and nothing else.'}]


@dataclass(frozen=True, slots=True)
class PlainOptions:
    """`threads` is how many of mem0's calls run at once. `notes` names the file beside the store in the folder."""

    threads: int = 4
    notes: str = _NOTES
    engine: EngineOptions = field(default_factory=EngineOptions)
    extraction: ExtractionOptions = field(default_factory=ExtractionOptions)
    rerank: RerankOptions = field(default_factory=RerankOptions)
    limits: PartLimits = field(default_factory=PartLimits)
    observer: MemoryObserver = field(default_factory=NoObserver)


@dataclass(frozen=True, slots=True)
class PlainHome:
    """`close` may be called while calls run: it takes no longer than the deadline for what it waits for.

    `model` is the language model for other questions, where one is set up. `checks` asks each part for a sign of life,
    by its name in the configuration; asking a model for one costs a few tokens.
    """

    memory: PlainEngine
    embedder: Embedder
    store: OtherStore
    model: Mem0Model | None
    checks: Mapping[str, Check]
    close: Callable[[float], Awaitable[None]]


async def open_plain(config: Mapping[str, Any], folder: Path, options: PlainOptions | None = None) -> PlainHome:
    """ProviderConfigError where a provider is missing, unknown, not installed or does not open.

    Of the configuration `embedder` and `vector_store` are read, and, where they are given, `llm` and `reranker`.
    `folder` is for the files of mem0 and its stores, and for the history of what is remembered.
    """
    chosen, parts = options or PlainOptions(), parts_of(config)
    for needed in ("embedder", "vector_store"):
        if needed not in parts:
            raise ProviderConfigError(f"{needed} is missing")
    async with AsyncExitStack() as opened:
        executor = ThreadPoolExecutor(chosen.threads, thread_name_prefix="memory-embedder")
        opened.callback(executor.shutdown, wait=False, cancel_futures=True)
        extraction = _fitting(chosen)
        place = _Place(executor, folder, chosen.observer)
        opening = Opening(parts, place, extraction, chosen.rerank, opened, threads=chosen.threads, limits=chosen.limits)
        embedder = await opening.embedder()
        store = await opening.store(parts["vector_store"], embedder.dimensions)
        beside = FileBeside(folder / chosen.notes)
        opened.push_async_callback(beside.close)
        memory = PlainEngine(
            beside,
            embedder,
            store,
            chosen.engine,
            extractor=await opening.extractor(embedder, beside),
            extraction=extraction,
            reranker=await opening.reranker(),
            observer=chosen.observer,
            describer=await opening.describer(),
        )
        model = await opening.asks()
        closing = opened.pop_all()

    async def close(deadline_s: float) -> None:
        await memory.stop(deadline_s)
        await closing.aclose()

    return PlainHome(memory, embedder, store, model, _checks(embedder, store, model), close)


@dataclass(frozen=True, slots=True)
class _Place:
    embedding_executor: Executor
    folder: Path
    observer: MemoryObserver


def _fitting(options: PlainOptions) -> ExtractionOptions:
    policy = replace(options.extraction.policy, parallel=options.threads)
    return replace(options.extraction, policy=policy)


def _checks(embedder: Embedder, store: OtherStore, model: Mem0Model | None) -> dict[str, Check]:
    async def embeds() -> None:
        await embedder.embed(["hello"])

    checks: dict[str, Check] = {"embedder": embeds, "vector_store": store.ping}
    if model is not None:
        asked = model

        async def answers() -> None:
            await asked.answer(_PING)

        checks["llm"] = answers
    return checks
