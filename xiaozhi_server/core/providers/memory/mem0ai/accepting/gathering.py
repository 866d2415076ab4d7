"""Many small writes as few larger ones: what is handed in while one is under way shares the next one."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")

_MOST = 256


class Gathering(Generic[T, R]):
    """`write` gives a result or an error for each. Nobody waits longer than for the write before and their own."""

    def __init__(self, write: Callable[[Sequence[T]], Awaitable[Sequence[R | Exception]]]) -> None:
        self._write = write
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._task: asyncio.Task[None] | None = None

    async def put(self, one: T) -> R:
        """Who is cancelled before its turn has come has written nothing."""
        told: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((one, told))
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="memory-accept")
        return await told

    async def quiet(self) -> None:
        """Wait until nothing is under way."""
        while self._task is not None:
            await asyncio.wait({self._task})

    async def _run(self) -> None:
        try:
            while self._waiting:
                taken, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
                await self._write_some([pair for pair in taken if not pair[1].done()])
        finally:
            self._task = None

    async def _write_some(self, taken: Sequence[tuple[T, asyncio.Future[R]]]) -> None:
        if not taken:
            return
        try:
            results = await self._write([one for one, _ in taken])
        except Exception as error:  # noqa: BLE001 - each of those who wait is told
            results = [error] * len(taken)
        for (_, told), result in zip(taken, results, strict=True):
            if told.done():
                continue
            if isinstance(result, Exception):
                told.set_exception(result)
            else:
                told.set_result(result)
