"""Memory commands where Mem0's platform keeps the memories: its engine for one call, beside a server or without one."""

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

from .cli_database import opened_database
from .core.providers.memory.mem0ai.embedding.minilm import MiniLmEmbedder
from .core.providers.memory.mem0ai.engine import MakeSaver, MemoryEngine
from .core.providers.memory.mem0ai.platform import PlatformEngine
from .memory_plan import MemoryPlan
from .settings import Settings
from .store.database import DatabaseOptions


def command_options(settings: Settings) -> DatabaseOptions:
    """Few connections, and as long as it takes."""
    return DatabaseOptions(pool_min=1, pool_max=2, pool_wait_s=settings.database.start_timeout_s, statement_timeout_s=0)


@asynccontextmanager
async def opened_platform(settings: Settings, plan: MemoryPlan) -> AsyncIterator[PlatformEngine]:
    """What waits for the platform lies in our own database, so that is opened too."""
    assert plan.platform is not None
    async with opened_database(settings, command_options(settings)) as database:
        with ThreadPoolExecutor(2) as executor:
            embedder = MiniLmEmbedder(Path(settings.data_dir) / "cache", executor)

            def embedded(make_saver: MakeSaver) -> MemoryEngine:
                return MemoryEngine(database.pool, embedder, executor, make_saver=make_saver)

            engine = PlatformEngine(database.pool, plan.platform, fallback=embedded if plan.has_fallback else None)
            try:
                await engine.start(work=False)
                yield engine
            finally:
                await engine.stop(0.0)
                await embedder.close()
