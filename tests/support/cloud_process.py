"""The stand-in cloud as its own process, started and controlled as a user does it."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from types import TracebackType
from typing import Any, Self

import aiohttp

from firmware_sim.cloud import Fault

START_LIMIT_S = 60.0
STOP_LIMIT_S = 10.0


class CloudProcess:
    """`async with CloudProcess("--api-key", "…") as cloud: cloud.base_url`. It knows its usual vocabulary."""

    def __init__(self, *options: str) -> None:
        self.base_url = ""
        self._options = options
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "firmware_sim", "cloud", "--port", "0", *self._options,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert self._process.stdout is not None
        async with asyncio.timeout(START_LIMIT_S):
            line = (await self._process.stdout.readline()).decode()
        assert "http://" in line, f"the cloud did not start: {line!r}"
        self.base_url = line.split()[-1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        self._process.terminate()
        async with asyncio.timeout(STOP_LIMIT_S):
            await self._process.stdout.read()
            assert await self._process.wait() == 0

    @asynccontextmanager
    async def failing(self, service: str, fault: Fault) -> AsyncIterator[None]:
        await self._control({service: asdict(fault)})
        try:
            yield
        finally:
            await self._control({"clear": True})

    async def counts(self) -> dict[str, int]:
        """How many requests each service had."""
        async with aiohttp.ClientSession() as session, session.get(f"{self._root}/_stats") as response:
            counts: dict[str, int] = (await response.json())["counts"]
            return counts

    async def _control(self, wishes: dict[str, Any]) -> None:
        async with aiohttp.ClientSession() as session, session.post(f"{self._root}/_control", json=wishes) as response:
            assert response.status == 200, await response.text()

    @property
    def _root(self) -> str:
        return self.base_url.removesuffix("/v1")
