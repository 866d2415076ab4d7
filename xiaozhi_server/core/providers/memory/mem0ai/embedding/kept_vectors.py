"""Remembers the vectors of the last questions: one that is asked again within a conversation costs nothing.

A question is known by a checksum, so that no words of anybody stay here.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from .embed import Embedder, Vectors

_KEPT = 1024
_LONGEST_KEPT = 500


@dataclass(slots=True)
class _Asked:
    """A question whose vector is being computed, and how many wait for it."""

    task: "asyncio.Task[Vectors]"
    waiting: int = 0


class KeptVectors:
    """An embedder in front of another one. Single texts are kept: nearly all of them are questions.

    Of many texts, which are to be saved, those are not computed again that somebody has just asked with: what a person
    says is a question first and a memory soon after.
    """

    def __init__(self, embedder: Embedder) -> None:
        self.name = embedder.name
        self.dimensions = embedder.dimensions
        self.multilingual = embedder.multilingual
        self._embedder = embedder
        self._kept: OrderedDict[bytes, Vectors] = OrderedDict()
        self._asked: dict[str, _Asked] = {}

    async def embed(self, texts: Sequence[str]) -> Vectors:
        if len(texts) != 1 or len(texts[0]) > _LONGEST_KEPT:
            return await self._many(texts)
        text = texts[0]
        key = _key(text)
        vector = self._kept.get(key)
        if vector is None:
            vector = await self._computed(text)
        else:
            self._kept.move_to_end(key)
        return vector[np.newaxis]

    async def _many(self, texts: Sequence[str]) -> Vectors:
        known = [self._kept.get(_key(text)) for text in texts]
        rest = [text for text, vector in zip(texts, known, strict=True) if vector is None]
        if len(rest) == len(texts):
            return await self._embedder.embed(texts)
        new = iter(await self._embedder.embed(rest) if rest else ())
        return np.stack([next(new) if vector is None else vector for vector in known])

    async def know(self, texts: Sequence[str]) -> None:
        """Compute by one call those of these that are not known yet: who then asks with one of them has it at once."""
        new: list[str] = []
        for text in dict.fromkeys(texts):
            if _key(text) in self._kept:
                self._kept.move_to_end(_key(text))
            else:
                new.append(text)
        for text, vector in zip(new, await self._embedder.embed(new) if new else (), strict=True):
            self._keep(text, vector.copy())

    @contextmanager
    def begun(self, text: str) -> Iterator[Callable[[], object]]:
        """Begin with this text as soon as somebody waits for something else: who then asks for it has it sooner.

        Call what this gives where another text turns out to be needed.
        """
        if _key(text) in self._kept or len(text) > _LONGEST_KEPT:
            yield lambda: None
            return
        ahead = asyncio.create_task(self._computed(text), name="memory-question-ahead")
        ahead.add_done_callback(_forget_error)
        try:
            yield ahead.cancel
        finally:
            ahead.cancel()

    async def close(self) -> None:
        """The embedder itself belongs to others. Who still asks was told to stop by then."""
        self._kept.clear()

    async def _computed(self, text: str) -> Vectors:
        """Whoever asks for the same at the same time waits for the same; it ends when nobody waits any more."""
        asked = self._asked.get(text)
        if asked is None:
            asked = self._asked[text] = _Asked(asyncio.create_task(self._one(text), name="memory-question"))
        asked.waiting += 1
        try:
            return await asyncio.shield(asked.task)
        finally:
            asked.waiting -= 1
            if not asked.waiting:
                asked.task.cancel()
                if self._asked.get(text) is asked:
                    del self._asked[text]

    async def _one(self, text: str) -> Vectors:
        """Kept as soon as it is there: whoever began with it may ask for it long after."""
        vector: Vectors = (await self._embedder.embed([text]))[0]
        self._keep(text, vector)
        return vector

    def _keep(self, text: str, vector: Vectors) -> None:
        self._kept[_key(text)] = vector
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)


def _forget_error(ahead: "asyncio.Task[Vectors]") -> None:
    """Whoever really asks gets it too."""
    if not ahead.cancelled():
        ahead.exception()


def _key(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
