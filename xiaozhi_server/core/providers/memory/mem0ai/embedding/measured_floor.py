"""How near the embedder in use puts texts that have nothing in common, measured with the first question."""

import asyncio
import logging

from ..recall.floor import floor_of, unrelated_texts
from .embed import Embedder

logger = logging.getLogger(__name__)

_RETRY_S = 60.0


class MeasuredFloor:
    """0 until it is known: the ranking works without, only less well with some embedders."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._value: float | None = None
        self._measuring: asyncio.Task[None] | None = None
        self._retry_at = 0.0

    def begin(self) -> float | None:
        """The value, or None while it is measured."""
        if self._value is None and self._measuring is None and asyncio.get_running_loop().time() >= self._retry_at:
            self._measuring = asyncio.create_task(self._measure(), name="memory-floor")
        return self._value

    async def value(self, wait_s: float) -> float:
        """Waits no longer than this; a slow embedder goes on meanwhile."""
        if self.begin() is None and self._measuring is not None:
            await asyncio.wait({self._measuring}, timeout=max(0.0, wait_s))
        return self._value or 0.0

    async def close(self) -> None:
        if self._measuring is not None:
            self._measuring.cancel()
            await asyncio.wait({self._measuring})

    async def _measure(self) -> None:
        try:
            vectors = await self._embedder.embed(unrelated_texts(multilingual=self._embedder.multilingual))
            self._value = floor_of(vectors)
        except Exception as error:  # noqa: BLE001 - a provider call
            logger.warning("memory: the embedder could not be measured (%s)", type(error).__name__)
            self._retry_at = asyncio.get_running_loop().time() + _RETRY_S
        finally:
            self._measuring = None
