"""What the server logs while a test runs, to be looked at and waited for."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from loguru import logger

WAIT_LIMIT_S = 20.0


class LogLines:
    """Every line as `LEVEL text`. For one loop: lines of other threads are seen, but only by the next look."""

    def __init__(self) -> None:
        self.all: list[str] = []
        self._came = asyncio.Event()

    def take(self, line: str) -> None:
        self.all.append(line.rstrip("\n"))
        self._came.set()

    def with_text(self, text: str) -> list[str]:
        return [line for line in self.all if text in line]

    async def wait_for(self, text: str) -> str:
        async with asyncio.timeout(WAIT_LIMIT_S):
            while not (found := self.with_text(text)):
                self._came.clear()
                await self._came.wait()
        return found[0]


@contextmanager
def log_lines() -> Iterator[LogLines]:
    lines = LogLines()
    sink = logger.add(lines.take, format="{level} {message}", level="INFO")
    try:
        yield lines
    finally:
        logger.remove(sink)
