"""What the first question would have to wait for is done before it comes: the model, connections, statements."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

from psycopg_pool import AsyncConnectionPool, PoolTimeout

from ..embedding.embed import Embedder

logger = logging.getLogger(__name__)

_CONNECTIONS = 8  # so many people may ask at the same moment before a connection has to be made for one of them
_EMBEDDER_SHARE = 0.7  # one that hangs leaves time for the rest

Pool = AsyncConnectionPool[Any]


async def warm_up(pool: Pool, embedder: Embedder, search: Callable[[], Awaitable[Any]], timeout_s: float) -> None:
    """Never fails: what is cold after `timeout_s` is slow once and no worse. `search` is a question for nobody."""
    try:
        async with asyncio.timeout(timeout_s):
            _, count = await asyncio.gather(_warm_embedder(embedder, timeout_s * _EMBEDDER_SHARE), _fill(pool))
            # The pool hands them out in turn: each reads the catalogue and loads the extension now.
            for _ in range(count):
                await search()
    except Exception as error:  # noqa: BLE001 - providers and a database; the talk goes on without them
        logger.warning("memory: not everything is ready yet (%s)", type(error).__name__)


async def _fill(pool: Pool) -> int:
    """The pool makes its connections when they are asked for; it closes those that are not used for long."""
    wanted = min(_CONNECTIONS, pool.max_size)
    async with AsyncExitStack() as stack:
        for count in range(wanted):
            try:
                await stack.enter_async_context(pool.connection())
            except PoolTimeout:  # others use them already, or this machine is slow to make them
                return count
    return wanted


async def _warm_embedder(embedder: Embedder, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await embedder.embed(["hello"])
    except Exception as error:  # noqa: BLE001 - a provider call
        logger.warning("memory: the embedder does not work (%s: %s)", type(error).__name__, error)
