"""A stand-in Mem0 platform behind a link that can fail, and engines on it whose pauses are short."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from firmware_sim.cloud import StandInCloud
from tests.support.tcp_proxy import TcpProxy
from tests.support.waiting import until
from xiaozhi_server.core.providers.memory.base import SpokenMessage
from xiaozhi_server.core.providers.memory.mem0ai import Mem0aiMemory, MemoryEngine, ProviderOptions
from xiaozhi_server.core.providers.memory.mem0ai.engine import MakeSaver
from xiaozhi_server.core.providers.memory.mem0ai.platform import PlatformEngine, PlatformOptions
from xiaozhi_server.core.providers.memory.mem0ai.saving.drain import DrainOptions
from xiaozhi_server.core.providers.memory.mem0ai.saving.saver import BatchPolicy

Pool = AsyncConnectionPool[AsyncConnection[Any]]
OpenFallback = Callable[[MakeSaver], MemoryEngine]

KEY = "m0-stand-in-0123456789"
SAID_AT = datetime(2026, 11, 20, 9, 15, 30, tzinfo=UTC)
TEAL = "My favourite colour is teal."
DOG = "My dog is called Rex."

QUICK = PlatformOptions(
    api_key=KEY,
    search_timeout_s=0.4,
    request_timeout_s=0.8,
    event_timeout_s=5.0,
    unsure_s=0.5,
    sweep_pause_s=0.05,
    sweep_longest_pause_s=0.2,
    first_probe_s=0.05,
    longest_probe_s=0.1,
    refused_probe_s=0.1,
    policy=BatchPolicy(idle_s=0.0, exchanges=1),
    drain=DrainOptions(first_retry_s=0.05, longest_retry_s=0.1, idle_pause_s=0.05, recheck_pauses_s=(0.01, 0.02)),
)


def said(text: str, at: datetime = SAID_AT, speaker: str | None = None) -> SpokenMessage:
    return SpokenMessage("user", text, at, speaker)


def later(minutes: int) -> datetime:
    return SAID_AT + timedelta(minutes=minutes)


@dataclass(frozen=True, slots=True)
class World:
    cloud: StandInCloud
    link: TcpProxy
    pool: Pool

    @asynccontextmanager
    async def engine(
        self, options: PlatformOptions = QUICK, fallback: OpenFallback | None = None
    ) -> AsyncIterator[PlatformEngine]:
        engine = PlatformEngine(self.pool, replace(options, host=self.link.url), fallback=fallback)
        await engine.start()
        try:
            yield engine
        finally:
            await engine.stop(1.0)

    def there(self, user_id: str = "ann") -> list[str]:
        """What the platform has of somebody, the oldest first."""
        found = self.cloud.platform.memories.matching({"filters": {"user_id": user_id}})
        return [memory["memory"] for memory in reversed(found)]

    def asked(self, operation: str) -> list[dict[str, Any]]:
        """The requests of one kind, in the order in which they came."""
        return [request.body for request in self.cloud.requests if request.body.get("operation") == operation]


@asynccontextmanager
async def platform_world(pool: Pool) -> AsyncIterator[World]:
    async with StandInCloud(phrases=[], api_key=KEY) as cloud:
        host, port = cloud.memory_host.removeprefix("http://").split(":")
        async with TcpProxy(host, int(port)) as link:
            yield World(cloud, link, pool)


async def view_of(engine: PlatformEngine, owner: str = "ann", agent: str = "bot", **options: Any) -> Mem0aiMemory:
    """A connection's view."""
    memory = Mem0aiMemory(engine, ProviderOptions(**options))
    await memory.init_memory(owner, agent_id=agent, summary_memory="Remember hobbies.")
    return memory


async def handed_over(engine: PlatformEngine) -> None:
    """Until nothing waits any more."""

    async def is_empty() -> bool:
        return (await engine.depth()).waiting == 0

    await until(is_empty)
