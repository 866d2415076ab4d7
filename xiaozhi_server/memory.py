"""Builds the memory that was chosen and hands each connection its own light view of it. Knows no turn and no wire."""

from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .core.ports import Binding
from .core.providers.memory.base import MemoryProvider
from .core.providers.memory.mem0ai.engine import MemoryEngine
from .core.providers.memory.mem0ai.mem0ai import Mem0aiMemory, ProviderOptions
from .core.providers.memory.mem0ai.minilm import MiniLmEmbedder
from .settings import ChosenProvider

STOP_DEADLINE_S = 5.0


@dataclass(frozen=True, slots=True)
class MemoryRoom:
    """`provider_for` makes one owner's view, None where nothing is to be remembered."""

    provider_for: Callable[[Binding], Awaitable[MemoryProvider | None]]
    close: Callable[[], Awaitable[None]]


async def open_memory(
    chosen: ChosenProvider, pool: Any, executor: Executor, *, cache_dir: Path, recall_limit: int, deadline_s: float
) -> MemoryRoom:
    if chosen.type_name == "nomem":
        return MemoryRoom(_no_provider, _nothing_to_close)
    embedder = MiniLmEmbedder(cache_dir, executor)
    engine = MemoryEngine(pool, embedder, executor)
    await engine.start()

    async def provider_for(binding: Binding) -> MemoryProvider | None:
        if not binding.agent.memory_enabled:
            return None
        options = ProviderOptions(limit=recall_limit, deadline_s=deadline_s, timezone=binding.agent.timezone)
        provider = Mem0aiMemory(engine, options)
        await provider.init_memory(
            binding.owner_id, agent_id=binding.agent.id, summary_memory=binding.agent.summary_memory
        )
        return provider

    async def close() -> None:
        await engine.stop(STOP_DEADLINE_S)
        await embedder.close()

    return MemoryRoom(provider_for, close)


async def _no_provider(_: Binding) -> MemoryProvider | None:
    return None


async def _nothing_to_close() -> None:
    return None
