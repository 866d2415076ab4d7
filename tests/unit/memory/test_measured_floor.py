"""How near an embedder puts unrelated texts: measured once, asked again after a failure, never waited for long."""

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest

from xiaozhi_server.core.providers.memory.mem0ai.embedding import measured_floor
from xiaozhi_server.core.providers.memory.mem0ai.embedding.embed import Vectors
from xiaozhi_server.core.providers.memory.mem0ai.embedding.measured_floor import MeasuredFloor
from xiaozhi_server.core.providers.memory.mem0ai.recall.floor import floor_of
from xiaozhi_server.core.providers.memory.mem0ai.testing import WordEmbedder


class NarrowEmbedder(WordEmbedder):
    """All its vectors lie in a cone. Fails while `ill`, waits for `ready`."""

    def __init__(self) -> None:
        self.ill = False
        self.ready = asyncio.Event()
        self.ready.set()
        self.calls = 0

    async def embed(self, texts: Sequence[str]) -> Vectors:
        self.calls += 1
        await self.ready.wait()
        if self.ill:
            raise RuntimeError("the embedder is ill")
        vectors = await super().embed(texts) + np.full(self.dimensions, 0.25, np.float32)
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def test_of_vectors() -> None:
    assert floor_of(np.eye(4, dtype=np.float32)) == 0.0
    assert floor_of(np.ones((4, 3), np.float32)) == pytest.approx(0.9)
    assert floor_of(np.zeros((4, 3), np.float32)) == 0.0


async def test_it_is_measured_once() -> None:
    embedder = NarrowEmbedder()
    floor = MeasuredFloor(embedder)
    assert 0.6 < await floor.value(5.0) < 0.9
    await floor.value(5.0)
    assert embedder.calls == 1


async def test_a_slow_embedder_is_not_waited_for() -> None:
    embedder = NarrowEmbedder()
    embedder.ready.clear()
    floor = MeasuredFloor(embedder)
    assert await floor.value(0.01) == 0.0
    embedder.ready.set()
    assert await floor.value(5.0) > 0.6
    assert embedder.calls == 1


async def test_after_a_failure_it_is_tried_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    embedder = NarrowEmbedder()
    embedder.ill = True
    floor = MeasuredFloor(embedder)
    assert await floor.value(5.0) == 0.0
    embedder.ill = False
    assert await floor.value(5.0) == 0.0
    monkeypatch.setattr(measured_floor, "_RETRY_S", 0.0)
    later = MeasuredFloor(embedder)
    embedder.ill = True
    await later.value(5.0)
    embedder.ill = False
    assert await later.value(5.0) > 0.6


async def test_closing_ends_a_measurement() -> None:
    embedder = NarrowEmbedder()
    embedder.ready.clear()
    floor = MeasuredFloor(embedder)
    await floor.value(0.01)
    await floor.close()
    assert len(asyncio.all_tasks()) == 1
