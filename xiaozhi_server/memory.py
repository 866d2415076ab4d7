"""Builds the memory that was chosen and hands each connection its own light view of it. Knows no turn and no wire."""

from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from loguru import logger

from .core.ports import Binding
from .core.providers.llm.base import ChatMessage, Llm, TextDelta
from .core.providers.memory.base import AgentRules, MemoryProvider, MemoryRules
from .core.providers.memory.mem0ai.by_mem0.extract_by_mem0 import ExtractionOptions
from .core.providers.memory.mem0ai.by_mem0.mem0_parts import ProviderConfigError
from .core.providers.memory.mem0ai.daily.maintenance import MaintenanceOptions
from .core.providers.memory.mem0ai.daily.night import Nights
from .core.providers.memory.mem0ai.embedding.embed_openai import EmbedderError
from .core.providers.memory.mem0ai.embedding.minilm import MiniLmEmbedder
from .core.providers.memory.mem0ai.engine import EngineOptions, MakeSaver, MemoryEngine
from .core.providers.memory.mem0ai.engine_port import RecallEngine
from .core.providers.memory.mem0ai.finding.recall_cache import RecallCache
from .core.providers.memory.mem0ai.finding.search import SearchOptions
from .core.providers.memory.mem0ai.mem0ai import Mem0aiMemory, ProviderOptions
from .core.providers.memory.mem0ai.observe import MemoryObserver
from .core.providers.memory.mem0ai.platform import PlatformEngine
from .core.providers.memory.mem0ai.self_hosted import SelfHostedOptions, Surroundings, open_self_hosted
from .core.providers.memory.mem_local_short import LocalShortMemory, SummaryEngine, SummaryOptions
from .memory_plan import MemoryPlan
from .settings.memory_entries import LocalShortEntry

STOP_DEADLINE_S = 5.0
# One for questions while the other makes vectors of what was said; sound never waits in their queue, nor they in its.
EMBEDDING_THREADS = 2
NO_MODEL = "Memory.mem_local_short: notes need a language model and there is none (see llm): nothing is remembered"


class MemorySetupError(Exception):
    """The memory cannot be set up as it is configured. The text is one line."""


class Engine(Protocol):
    async def start(self) -> None: ...

    async def stop(self, deadline_s: float) -> None: ...


@dataclass(frozen=True, slots=True)
class MemoryNeeds:
    """What the memory stands on. The pool and the executor belong to the caller.

    `model_for` gives the model of an entry of the LLM map (an empty name: the one that talks), None where that is none.
    `rules` tells what each agent wants done with its memories in the course of time; the daily work is done at night in
    `timezone`.
    """

    pool: Any
    executor: Executor
    observer: MemoryObserver
    data_dir: Path
    recall_limit: int
    deadline_s: float
    timezone: str
    model_for: Callable[[str], Llm | None]
    rules: AgentRules


@dataclass(frozen=True, slots=True)
class MemoryRoom:
    """`provider_for` makes one owner's view, None where nothing is to be remembered."""

    provider_for: Callable[[Binding], Awaitable[MemoryProvider | None]]
    close: Callable[[], Awaitable[None]]


async def open_memory(plan: MemoryPlan, needs: MemoryNeeds) -> MemoryRoom:
    """MemorySetupError where a part of it is not known, not installed or does not open."""
    for notice in plan.notices:
        logger.log("WARNING" if plan.keeper == "nobody" else "INFO", notice)
    async with AsyncExitStack() as opened:
        make_provider = await _Opening(plan, needs, opened).provider_maker()
        return MemoryRoom(partial(_provider_for, make_provider), opened.pop_all().aclose)


async def _provider_for(
    make_provider: Callable[[Binding], MemoryProvider] | None, binding: Binding
) -> MemoryProvider | None:
    if make_provider is None or not binding.agent.memory_enabled:
        return None
    provider = make_provider(binding)
    agent = binding.agent
    await provider.init_memory(
        binding.owner_id,
        agent_id=agent.id,
        summary_memory=agent.summary_memory,
        memory_categories=agent.memory_rules.categories,
    )
    return provider


def unheeded(rules: Mapping[str, MemoryRules], *, shares: bool) -> list[str]:
    """What agents want done with their memories and a memory that is not our own engine's does not do."""
    names = ("forget", "ttl_days", "compress_after_days", *(() if shares else ("share_from",)))
    return [name for name in names if any(getattr(rule, name) for rule in rules.values())]


class _Opening:
    """Opens one part after the other and puts down on `opened` how each is closed."""

    def __init__(self, plan: MemoryPlan, needs: MemoryNeeds, opened: AsyncExitStack) -> None:
        self._plan = plan
        self._needs = needs
        self._opened = opened

    async def provider_maker(self) -> Callable[[Binding], MemoryProvider] | None:
        if self._plan.keeper == "nobody":
            return None
        if self._plan.notes is not None:
            return await self._notes(self._plan.notes)
        engine: RecallEngine
        if self._plan.platform is not None:
            engine = await self._platform()
        else:
            engine = await self._database()
        needs = self._needs
        rules = {} if needs.rules is None or isinstance(engine, MemoryEngine) else await needs.rules()
        shares = self._plan.platform is None
        if left_out := unheeded(rules, shares=shares):
            logger.warning("agent.memory: {} cannot be done where the memories are kept: left out", ", ".join(left_out))

        def make(binding: Binding) -> MemoryProvider:
            options = ProviderOptions(
                limit=needs.recall_limit,
                deadline_s=needs.deadline_s,
                timezone=binding.agent.timezone,
                share_from=binding.agent.memory_rules.share_from,
            )
            return Mem0aiMemory(engine, options)

        return make

    async def _database(self) -> RecallEngine:
        needs = self._needs
        around = Surroundings(
            pool=needs.pool,
            executor=needs.executor,
            embedding_executor=self._threads(),
            folder=needs.data_dir / "mem0",
            cache_dir=needs.data_dir / "cache",
            observer=needs.observer,
            rules=needs.rules,
        )
        maintenance = MaintenanceOptions(nights=Nights(ZoneInfo(needs.timezone)))
        engine = EngineOptions(search=SearchOptions(cache=self._cache()), maintenance=maintenance)
        extraction = ExtractionOptions(context_tokens=self._plan.context_tokens)
        options = SelfHostedOptions(engine=engine, extraction=extraction)
        try:
            hosted = await open_self_hosted(self._plan.parts, around, options)
        except (ProviderConfigError, EmbedderError) as problem:
            raise MemorySetupError(f"Memory.mem0ai: {problem}") from None
        self._opened.push_async_callback(hosted.close)
        await self._start(hosted.engine)
        return hosted.engine

    async def _platform(self) -> RecallEngine:
        assert self._plan.platform is not None
        fallback = self._embedded if self._plan.has_fallback else None
        engine = PlatformEngine(self._needs.pool, self._plan.platform, fallback=fallback, observer=self._needs.observer)
        await self._start(engine)
        return engine

    def _embedded(self, make_saver: MakeSaver | None = None) -> MemoryEngine:
        needs = self._needs
        embedder = MiniLmEmbedder(needs.data_dir / "cache", self._threads())
        self._opened.push_async_callback(embedder.close)
        return MemoryEngine(needs.pool, embedder, needs.executor, observer=needs.observer, make_saver=make_saver)

    async def _notes(self, entry: LocalShortEntry) -> Callable[[Binding], MemoryProvider] | None:
        needs = self._needs
        model = needs.model_for(entry.llm)
        if model is None:
            logger.warning(NO_MODEL)
            return None
        options = SummaryOptions(max_tokens=entry.max_tokens, timezone=needs.timezone)
        engine = SummaryEngine(needs.pool, _Writer(model), options, observer=needs.observer)
        await self._start(engine)

        def make(binding: Binding) -> MemoryProvider:
            return LocalShortMemory(engine, deadline_s=needs.deadline_s, timezone=binding.agent.timezone)

        return make

    async def _start(self, engine: Engine) -> None:
        self._opened.push_async_callback(engine.stop, STOP_DEADLINE_S)
        await engine.start()

    def _threads(self) -> Executor:
        threads = ThreadPoolExecutor(EMBEDDING_THREADS, thread_name_prefix="embed")
        self._opened.callback(partial(threads.shutdown, wait=True, cancel_futures=True))
        return threads

    def _cache(self) -> RecallCache | None:
        entry = self._plan.cache
        url = entry.redis_url.get_secret_value()
        if not url:
            return None
        from .core.providers.memory.mem0ai.finding.recall_cache_redis import RedisCache

        try:
            cache = RedisCache(url, ttl_s=entry.ttl_s)
        except ValueError:
            raise MemorySetupError(
                "Memory.mem0ai.cache.redis_url: must be an address such as redis://host:6379/0"
            ) from None
        self._opened.push_async_callback(cache.close)
        return cache


class _Writer:
    """The talking model as one that writes notes."""

    def __init__(self, llm: Llm) -> None:
        self._llm = llm

    async def complete(self, system: str, user: str, max_tokens: int) -> str:
        events = self._llm.stream([ChatMessage("system", system), ChatMessage("user", user)])
        return "".join([event.text async for event in events if isinstance(event, TextDelta)])
