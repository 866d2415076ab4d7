"""A reranker of mem0's has the last word on the order of what was found, if it speaks in time."""

import asyncio
import logging
import math
import re
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..records import FoundMemory
from .threads import Threads

logger = logging.getLogger(__name__)

# What finds so many of the best.
Search = Callable[[int], Awaitable[list[FoundMemory]]]

_THREADS = 8


@dataclass(frozen=True, slots=True)
class RerankOptions:
    """How long it may take, and among how many of the best it may choose, more than are wanted."""

    timeout_s: float = 1.0
    candidates: int = 20


class Reranker:
    """The score of a memory stays ours: it means the same for every question, a reranker's does not."""

    def __init__(self, reranker: Any, options: RerankOptions) -> None:
        self._reranker = reranker
        self._options = options
        self._threads = Threads("rerank", _THREADS)
        # A model rates one text at a time, so several are asked at once.
        self._rates_one_by_one = hasattr(reranker, "llm")
        if self._rates_one_by_one:
            reranker.llm = _HonestModel(reranker.llm)

    async def search(self, query: str, limit: int, search: Search) -> list[FoundMemory]:
        """What `search` finds, in the reranker's order; in ours where it fails or is late."""
        found = await search(max(limit, self._options.candidates) if limit > 0 else limit)
        return (await self._ordered(query, found))[:limit] if len(found) > 1 else found

    async def quiet(self, *, timeout_s: float) -> bool:
        """Wait until it is not asked any more: where one text fails, the others may still be under way."""
        return await self._threads.quiet(timeout_s=timeout_s)

    async def _ordered(self, query: str, found: list[FoundMemory]) -> list[FoundMemory]:
        try:
            async with asyncio.timeout(self._options.timeout_s):
                scores = await self._scores(query, [one.memory.text for one in found])
        except Exception as error:  # noqa: BLE001 - a provider call
            logger.warning("memory: not reranked (%s)", type(error).__name__)
            return found
        order = sorted(range(len(found)), key=lambda at: scores[at], reverse=True)
        return [replace(found[at], rerank_score=_told(scores[at])) for at in order]

    async def _scores(self, query: str, texts: Sequence[str]) -> list[float]:
        if not self._rates_one_by_one:
            return await self._rated(query, texts)
        parts = await asyncio.gather(*(self._rated(query, [text]) for text in texts))
        return [score for part in parts for score in part]

    async def _rated(self, query: str, texts: Sequence[str]) -> list[float]:
        documents = [{"memory": text, "at": at} for at, text in enumerate(texts)]

        def work() -> list[dict[str, Any]]:
            _failure.error = None
            rated: list[dict[str, Any]] = self._reranker.rerank(query, documents, len(documents))
            if _failure.error is not None:
                raise _failure.error
            return rated

        rated = await self._threads.run(work, timeout_s=self._options.timeout_s)
        scores = [float("-inf")] * len(texts)  # what it leaves out comes last
        for document in rated:
            scores[document["at"]] = float(document["rerank_score"])
        return scores


def _told(score: float) -> float | None:
    return score if math.isfinite(score) else None


async def reranked(reranker: Reranker | None, query: str, limit: int, search: Search) -> list[FoundMemory]:
    return await search(limit) if reranker is None else await reranker.search(query, limit, search)


class RatingError(ValueError):
    """The model was asked for a number and said something else."""


class _Failure(threading.local):
    error: Exception | None = None


_failure = _Failure()


class _HonestModel:
    """mem0 takes a failure for a middling score, which would put a text above better ones. Here it is remembered."""

    def __init__(self, llm: Any) -> None:
        self.client = getattr(llm, "client", None)
        self._llm = llm

    def generate_response(self, messages: Any, **options: Any) -> Any:
        try:
            answer = self._llm.generate_response(messages=messages, **options)
            if not isinstance(answer, str) or not re.search(r"\d", answer):
                raise RatingError("the model answered without a number")
        except Exception as error:
            _failure.error = error
            raise
        return answer
