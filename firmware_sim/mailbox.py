"""A bounded store of things that arrive, and people who wait for one of them."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """Whoever waits is served at once; what nobody waits for is kept, the oldest lost first."""

    def __init__(self, size: int) -> None:
        self._kept: deque[T] = deque(maxlen=size)
        self._waiting: list[tuple[Callable[[T], bool], asyncio.Future[T]]] = []
        self._closed: Exception | None = None

    def put(self, item: T) -> None:
        for wanted, future in self._waiting:
            if not future.done() and wanted(item):
                future.set_result(item)
                return
        self._kept.append(item)

    async def get(self, wanted: Callable[[T], bool]) -> T:
        """The first kept item that is wanted, or the next one to come."""
        for item in self._kept:
            if wanted(item):
                self._kept.remove(item)
                return item
        if self._closed is not None:
            raise self._closed
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        entry = (wanted, future)
        self._waiting.append(entry)
        try:
            return await future
        finally:
            self._waiting.remove(entry)

    def open(self) -> None:
        self._closed = None
        self._kept.clear()

    def close(self, error: Exception) -> None:
        """Nothing comes any more: whoever waits, now or later, gets the error."""
        self._closed = error
        for _, future in self._waiting:
            if not future.done():
                future.set_exception(error)

    def clear(self) -> None:
        self._kept.clear()
