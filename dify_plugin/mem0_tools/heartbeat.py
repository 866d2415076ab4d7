"""Signs of life on connections that nobody uses: what lies idle for long is dropped on its way by somebody's firewall.

Only what costs nothing is asked: a database and a store, never a model.
"""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress

from .memory import Check

logger = logging.getLogger(__name__)

_BEAT_TIMEOUT_S = 10.0


async def beating(beats: Mapping[str, Check], every_s: float, ended: asyncio.Event) -> None:
    """The first beat comes at once. To be ended and not cancelled: a pool that is broken off while it looks at its
    connections loses them.
    """
    while beats and not ended.is_set():
        for name, beat in beats.items():
            await _beat(name, beat)
        with suppress(TimeoutError):
            async with asyncio.timeout(every_s):
                await ended.wait()


async def _beat(name: str, beat: Check) -> None:
    try:
        async with asyncio.timeout(_BEAT_TIMEOUT_S):
            await beat()
    except Exception as error:  # noqa: BLE001 - the next call says what it means
        logger.warning("heartbeat: %s gives no sign of life (%s)", name, type(error).__name__)
    else:
        logger.debug("heartbeat: %s answers", name)
