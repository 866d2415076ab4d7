"""Waits until something holds, and fails with what did not."""

import asyncio
import inspect
from collections.abc import Callable

LIMIT_S = 20.0


async def until(look: Callable[[], object], *, within_s: float = LIMIT_S) -> None:
    """Until `look`, a function or a coroutine function, gives something true."""
    try:
        async with asyncio.timeout(within_s):
            while True:
                found = look()
                if await found if inspect.isawaitable(found) else found:
                    return
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"it never held: {look}") from None
