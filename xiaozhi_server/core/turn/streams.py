"""Ends a provider's stream for certain, whether it was read to its end or not. Knows nothing of what it carries."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

T = TypeVar("T")

# Closing means to drop a request: a provider that makes more of it is not waited for.
CLOSE_TIMEOUT_S = 1.0


@asynccontextmanager
async def closing(stream: AsyncIterator[T]) -> AsyncIterator[AsyncIterator[T]]:
    try:
        yield stream
    finally:
        aclose = getattr(stream, "aclose", None)
        if aclose is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await aclose()
