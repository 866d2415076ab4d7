"""The whole server with a recogniser and a model that really listen and answer, and counters to look at.

Words are few: replies are played in real time.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from aiohttp import ClientSession

from firmware_sim.cloud import StandInCloud
from tests.support.running_server import RunningServer, running_server
from xiaozhi_server.core.connection import ConnectionOptions
from xiaozhi_server.options import connection_options
from xiaozhi_server.settings import Settings

PHRASES = ("Stop.", "Thank you.", "Good morning.")
POLL_S = 0.02
LIMIT_S = 10.0


async def until(holds: Callable[[], Awaitable[bool]], what: str, *, within_s: float = LIMIT_S) -> None:
    """Look again and again at something that tells nobody when it changes."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within_s
    while not await holds():
        assert loop.time() < deadline, f"not within {within_s:g} s: {what}"
        await asyncio.sleep(POLL_S)


@dataclass(frozen=True, slots=True)
class EdgeWorld:
    server: RunningServer
    cloud: StandInCloud
    dsn: str

    @property
    def url(self) -> str:
        return self.server.websocket_url

    @property
    def heard(self) -> int:
        """How often the recogniser was asked."""
        return self.cloud.counts["transcription"]

    @property
    def thought(self) -> int:
        """How often the model was asked."""
        return self.cloud.counts["chat"]

    async def metric(self, name: str, **labels: str) -> float:
        """The value of one line of /metrics; 0 where it was never counted."""
        lines = await self.metrics()
        wanted = ",".join(f'{label}="{value}"' for label, value in sorted(labels.items()))
        pattern = rf"^{re.escape(name + (f'{{{wanted}}}' if wanted else ''))} (\S+)$"
        found = re.search(pattern, lines, re.MULTILINE)
        return float(found[1]) if found else 0.0

    async def metrics(self) -> str:
        async with ClientSession() as http, http.get(f"{self.server.http_url}/metrics") as answer:
            return await answer.text()

    async def is_warm(self) -> bool:
        return await self.metric("xiaozhi_background_tasks") == 0

    async def connections_are(self, count: int, *, within_s: float = LIMIT_S) -> None:
        async def holds() -> bool:
            return await self.metric("xiaozhi_connections") == count

        await until(holds, f"{count} connections", within_s=within_s)

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.dsn) as connection:
            return connection.execute(statement.encode()).fetchall()


def from_cloud(cloud: StandInCloud, *kinds: str) -> dict[str, Any]:
    entry = {"type": "openai", "base_url": cloud.base_url, "api_key": "none"}
    chosen = {f"selected_module.{kind}": "Remote" for kind in kinds}
    return chosen | {f"{kind}.Remote": entry for kind in kinds}


def soon_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next server finds a connection idle after a second; its setting starts at a minute."""

    def impatient(settings: Settings) -> ConnectionOptions:
        return replace(connection_options(settings), idle_close_s=1.0)

    monkeypatch.setattr("xiaozhi_server.app.connection_options", impatient)


@asynccontextmanager
async def edge_world(
    dsn: str, folder: Path, overrides: Mapping[str, Any] | None = None, *, voice: bool = False
) -> AsyncIterator[EdgeWorld]:
    """`voice`: the voice comes from the cloud too, so that it can fail."""
    async with AsyncExitStack() as stack:
        cloud = await stack.enter_async_context(StandInCloud(phrases=PHRASES))
        await cloud.warm_up()
        kinds = ("ASR", "LLM", "TTS") if voice else ("ASR", "LLM")
        server = await stack.enter_async_context(
            running_server(dsn, folder, from_cloud(cloud, *kinds) | dict(overrides or {}))
        )
        world = EdgeWorld(server, cloud, dsn)
        # The fixed phrases are spoken once at the start, and each part is probed: that is not what tests count.
        await until(world.is_warm, "the fixed phrases are spoken")
        cloud.counts.clear()
        cloud.requests.clear()
        yield world
