"""How a question finds its memories in another store: it fetches what may be near, the ranking is ours."""

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain
from typing import Any

from psycopg_pool import AsyncConnectionPool

from ..embedding.embed import Embedder, Vectors
from ..embedding.measured_floor import MeasuredFloor
from ..filters import Filter
from ..finding.search import SearchOptions
from ..flags import SUSPECT
from ..recall.candidates import Candidate, Corpus, Ranked, rank
from ..recall.rank import Question, question_of
from ..recall.words import tokens_of
from ..records import FoundMemory, StoredMemory
from ..saving import outbox
from ..saving.verbatim import rows_of
from ..scope import Scope
from ..sharing import shares
from .other_store import OtherStore, StoreLimitError

logger = logging.getLogger(__name__)

MOST_FILTERED = 2000  # a filter is checked here, so it must see every row that the store would have to check
_FEWEST_FETCHED = 60


class OtherSearcher:
    """What is rare among an owner's words and what was said beside it is known of the fetched rows only."""

    def __init__(
        self, pool: AsyncConnectionPool[Any], store: OtherStore, embedder: Embedder, options: SearchOptions
    ) -> None:
        self._pool = pool
        self._store = store
        self._embedder = embedder
        self._options = options
        self._floor = MeasuredFloor(embedder)

    async def close(self) -> None:
        await self._floor.close()

    async def search(
        self,
        query: str,
        scope: Scope,
        *,
        top_k: int,
        wanted: Filter | None = None,
        threshold: float | None = None,
        vector_timeout_s: float | None = None,
    ) -> list[FoundMemory]:
        """StoreLimitError where a filter would have to choose among more rows than the store hands out."""
        if not query or top_k < 1:
            return []
        async with asyncio.timeout(self._options.timeout_s):
            # The outbox first: an entry that moves meanwhile is then seen twice and not missed.
            reach, waiting = await self._unsaved(scope)
            wait_s = vector_timeout_s or self._options.vector_timeout_s
            vector, floor = await self._query_vector(query, wait_s)
            limit = max(_FEWEST_FETCHED, 4 * top_k) if wanted is None else MOST_FILTERED + 1
            asked = (self._near(query, one, vector, limit) for one in reach.by_agent())
            parts = await asyncio.gather(*asked)
            if wanted is not None and any(len(part) >= limit for part in parts):
                provider = self._store.provider
                raise StoreLimitError(f"{provider} is searched with a filter among at most {MOST_FILTERED} memories")
        found = {memory.id: (memory, similarity) for memory, similarity in (*waiting, *chain.from_iterable(parts))}
        now = datetime.now(UTC)
        shown = [one for one in found.values() if _is_shown(one[0], wanted, now)]
        question = replace(self._question(query, [memory for memory, _ in shown]), floor=floor)
        ranked = _ranked(question, shown)[:top_k]
        return [one for one in ranked if threshold is None or one.score >= threshold]

    async def _near(
        self, query: str, scope: Scope, vector: Vectors | None, limit: int
    ) -> list[tuple[StoredMemory, float | None]]:
        by_words = [(memory, None) for memory in await self._store.with_words(scope, query, limit=limit)]
        if vector is None:
            # Some of what the owner has, in no order: better than nothing, for the ranking finds the words in it.
            by_words += [(memory, None) for memory in await self._store.listed(scope, limit=limit)]
            by_meaning: Sequence[tuple[StoredMemory, float | None]] = []
        else:
            by_meaning = await self._store.nearest(scope, vector, limit=limit)
        return list({memory.id: (memory, near) for memory, near in (*by_words, *by_meaning)}.values())

    async def _unsaved(self, scope: Scope) -> tuple[Scope, list[tuple[StoredMemory, float | None]]]:
        """With the scope as far as it reaches."""
        async with self._pool.connection() as connection:
            reach = await shares.reach(connection, scope)
            if scope.run_id is not None:
                return reach, []
            entries = await outbox.unsaved(connection, reach, limit=self._options.unsaved_shown)
        return reach, [(row, None) for entry in entries for row in rows_of(entry)]

    def _question(self, query: str, memories: Iterable[StoredMemory]) -> Question:
        speakers = {memory.speaker for memory in memories if memory.speaker}
        return question_of(query, multilingual=self._embedder.multilingual, speakers=speakers)

    async def _query_vector(self, query: str, wait_s: float) -> tuple[Vectors | None, float]:
        """None where the embedder fails or is too slow, and how near texts are to it that have nothing in common."""
        until = asyncio.get_running_loop().time() + wait_s
        self._floor.begin()
        try:
            async with asyncio.timeout_at(until):
                vectors = await self._embedder.embed([self._question(query, ()).to_embed])
        except Exception as error:  # noqa: BLE001 - a provider call
            logger.warning("memory: searching by words alone (%s in the embedder)", type(error).__name__)
            return None, 0.0
        row: Vectors = vectors[0]
        return row, await self._floor.value(until - asyncio.get_running_loop().time())


def _is_shown(memory: StoredMemory, wanted: Filter | None, now: datetime) -> bool:
    over = memory.superseded_by is not None or any(
        end is not None and end <= now for end in (memory.expires_at, memory.valid_to)
    )
    return not over and memory.flag not in SUSPECT and (wanted is None or wanted.matches(memory))


def _ranked(question: Question, found: Sequence[tuple[StoredMemory, float | None]]) -> list[FoundMemory]:
    memories = {str(memory.id): memory for memory, _ in found}
    candidates = [_candidate(memory, similarity) for memory, similarity in found]
    ranked = rank(question, candidates, _corpus([one.tokens for one in candidates]), datetime.now(UTC))
    return [_found(one, memories[one.candidate.id]) for one in ranked]


def _candidate(memory: StoredMemory, similarity: float | None) -> Candidate:
    return Candidate(
        id=str(memory.id),
        text=memory.text,
        role=memory.role,
        timestamp=memory.timestamp,
        tokens=tokens_of(memory.text),
        similarity=similarity,
        session=memory.session_id,
        position=memory.position,
        speaker=memory.speaker,
    )


def _corpus(texts: Sequence[Sequence[int]]) -> Corpus:
    frequency = Counter(token for tokens in texts for token in set(tokens))
    return Corpus(len(texts), _mean(map(len, texts)), frequency)


def _mean(numbers: Iterable[int]) -> float:
    counted = list(numbers)
    return sum(counted) / len(counted) if counted else 0.0


def _found(ranked: Ranked, memory: StoredMemory) -> FoundMemory:
    return FoundMemory(memory, ranked.score, ranked.semantic_score)
