"""Questions that come at the same moment share one call of the model: twelve take little longer than two."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from .embed import Vectors

_TOGETHER_MAX = 32

_Question = tuple[str, "asyncio.Future[Vectors]"]


class Together:
    """While one call runs, whoever comes waits for the next. A caller that gives up takes nobody with it."""

    def __init__(self, embed: Callable[[Sequence[str]], Awaitable[Vectors]]) -> None:
        self._embed = embed
        self._waiting: list[_Question] = []
        self._work: asyncio.Task[None] | None = None

    async def embed_one(self, text: str) -> Vectors:
        """One row."""
        answer: asyncio.Future[Vectors] = asyncio.get_running_loop().create_future()
        self._waiting.append((text, answer))
        if self._work is None:
            self._work = asyncio.create_task(self._work_off(), name="embed-together")
        return await answer

    async def close(self) -> None:
        if self._work is not None:
            self._work.cancel()
            await asyncio.wait({self._work})

    async def _work_off(self) -> None:
        try:
            while self._waiting:
                asked, self._waiting = self._waiting[:_TOGETHER_MAX], self._waiting[_TOGETHER_MAX:]
                await self._answer([(text, answer) for text, answer in asked if not answer.done()])
        finally:
            self._work = None
            _give_up(self._waiting)

    async def _answer(self, asked: Sequence[_Question]) -> None:
        if not asked:
            return
        try:
            vectors = await self._embed([text for text, _ in asked])
            for row, (_, answer) in enumerate(asked):
                if not answer.done():
                    answer.set_result(vectors[row : row + 1])
        except Exception as error:  # noqa: BLE001 - a provider call: each caller gets it
            for _, answer in asked:
                if not answer.done():
                    answer.set_exception(error)
        finally:
            _give_up(asked)


def _give_up(questions: Sequence[_Question]) -> None:
    """Whoever still waits, because the work was cancelled, waits in vain."""
    for _, answer in questions:
        answer.cancel()
