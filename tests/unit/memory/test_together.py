"""Questions that share a call of the model: each gets its own answer, whatever becomes of the others."""

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest

from xiaozhi_server.core.providers.memory.mem0ai.embedding.embed import Vectors
from xiaozhi_server.core.providers.memory.mem0ai.embedding.together import Together


class Model:
    """Answers with the length of each text once it is `free`. Fails on "bad"."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.free = asyncio.Event()

    async def embed(self, texts: Sequence[str]) -> Vectors:
        self.calls.append(list(texts))
        await self.free.wait()
        if "bad" in texts:
            raise RuntimeError("bad")
        return np.array([[len(text)] for text in texts], np.float32)


async def ask(together: Together, texts: Sequence[str]) -> list[asyncio.Task[Vectors]]:
    """The first is on its way when the others come."""
    tasks = []
    for text in texts:
        tasks.append(asyncio.create_task(together.embed_one(text)))
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    return tasks


async def test_those_who_come_during_a_call_share_the_next_one() -> None:
    model = Model()
    together = Together(model.embed)
    tasks = await ask(together, ["a", "bb", "ccc", "dddd"])
    model.free.set()
    assert [(await task).tolist() for task in tasks] == [[[1]], [[2]], [[3]], [[4]]]
    assert model.calls == [["a"], ["bb", "ccc", "dddd"]]
    assert (await together.embed_one("alone")).tolist() == [[5]]


async def test_one_who_gives_up_takes_nobody_with_him() -> None:
    model = Model()
    together = Together(model.embed)
    first, second, third = await ask(together, ["a", "bb", "ccc"])
    first.cancel()
    second.cancel()
    model.free.set()
    assert (await third).tolist() == [[3]]
    assert model.calls == [["a"], ["ccc"]]


async def test_a_failure_reaches_everybody_of_its_call_and_nobody_else() -> None:
    model = Model()
    together = Together(model.embed)
    tasks = await ask(together, ["a", "bad", "ccc"])
    model.free.set()
    assert (await tasks[0]).tolist() == [[1]]
    for task in tasks[1:]:
        with pytest.raises(RuntimeError, match="bad"):
            await task
    assert (await together.embed_one("dddd")).tolist() == [[4]]


async def test_nobody_waits_for_one_that_was_closed() -> None:
    together = Together(Model().embed)
    tasks = await ask(together, ["a", "bb"])
    await together.close()
    for task in tasks:
        with pytest.raises(asyncio.CancelledError):
            await task
