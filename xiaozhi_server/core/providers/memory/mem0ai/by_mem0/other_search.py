"""How a question finds its memories in another store: it fetches what may be near, the ranking is ours."""

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain

from ..embedding.embed import Embedder, Vectors
from ..embedding.measured_floor import MeasuredFloor
from ..filters import Filter
from ..finding.search import SearchOptions
from ..flags import SUSPECT
from ..recall.candidates import Candidate, Corpus, Ranked, rank
from ..recall.rank import Question, question_of
from ..recall.words import tokens_of
from ..records import FoundMemory, StoredMemory
from ..saving.verbatim import rows_of
from ..scope import OfAgent, Scope, Whose
from .beside import Beside
from .other_store import OtherStore, StoreLimitError

logger = logging.getLogger(__name__)

MOST_FILTERED = 2000  # a filter is checked here, so it must see every row that the store would have to check
_FEWEST_FETCHED = 60

# A memory and how near it is in meaning, where that is known.
Near = tuple[StoredMemory, float | None]


class OtherSearcher:
    """What is rare among an owner's words and what was said beside it is known of the fetched rows only."""

    def __init__(self, beside: Beside, store: OtherStore, embedder: Embedder, options: SearchOptions) -> None:
        self._beside = beside
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
            reach, entries = await self._beside.found_by(scope, limit=self._options.unsaved_shown)
            waiting: list[Near] = [(row, None) for entry in entries for row in rows_of(entry)]
            return await self._found(
                query,
                reach.by_agent(),
                waiting,
                top_k=top_k,
                wanted=wanted,
                threshold=threshold,
                wait_s=vector_timeout_s or self._options.vector_timeout_s,
            )

    async def search_by_agent(
        self,
        query: str,
        agent: OfAgent,
        *,
        top_k: int,
        wanted: Filter | None = None,
        threshold: float | None = None,
    ) -> list[FoundMemory]:
        """What one agent heard, of whomever; what only waits to be saved is not among it."""
        if not query or top_k < 1:
            return []
        async with asyncio.timeout(self._options.timeout_s):
            return await self._found(
                query,
                [agent],
                (),
                top_k=top_k,
                wanted=wanted,
                threshold=threshold,
                wait_s=self._options.vector_timeout_s,
            )

    async def _found(
        self,
        query: str,
        asked: Sequence[Whose],
        waiting: Sequence[Near],
        *,
        top_k: int,
        wanted: Filter | None,
        threshold: float | None,
        wait_s: float,
    ) -> list[FoundMemory]:
        vector, floor = await self._query_vector(query, wait_s)
        limit = max(_FEWEST_FETCHED, 4 * top_k) if wanted is None else MOST_FILTERED + 1
        parts = await asyncio.gather(*(self._near(query, one, vector, limit) for one in asked))
        if wanted is not None and any(len(part) >= limit for part in parts):
            provider = self._store.provider
            raise StoreLimitError(f"{provider} is searched with a filter among at most {MOST_FILTERED} memories")
        found = {memory.id: (memory, similarity) for memory, similarity in (*waiting, *chain.from_iterable(parts))}
        now = datetime.now(UTC)
        shown = [one for one in found.values() if _is_shown(one[0], wanted, now)]
        question = replace(self._question(query, [memory for memory, _ in shown]), floor=floor)
        ranked = _ranked(question, shown)[:top_k]
        return [one for one in ranked if threshold is None or one.score >= threshold]

    async def _near(self, query: str, whose: Whose, vector: Vectors | None, limit: int) -> list[Near]:
        by_words: list[Near] = [(memory, None) for memory in await self._store.with_words(whose, query, limit=limit)]
        if vector is None:
            # Some of what the owner has, in no order: better than nothing, for the ranking finds the words in it.
            by_words += [(memory, None) for memory in await self._store.listed(whose, limit=limit)]
            by_meaning: Sequence[Near] = []
        else:
            by_meaning = await self._store.nearest(whose, vector, limit=limit)
        return list({memory.id: (memory, near) for memory, near in (*by_words, *by_meaning)}.values())

    def _question(self, query: str, memories: Iterable[StoredMemory]) -> Question:
        speakers = {memory.speaker for memory in memories if memory.speaker}
        return question_of(query, multilingual=self._embedder.multilingual, speakers=speakers)

    async def _query_vector(self, query: str, wait_s: float) -> tuple[Vectors | None, float]:
        """None where the embedder fails or is too slow, and words alone may do; and how near texts are to it that have
        nothing in common.
        """
        until = asyncio.get_running_loop().time() + wait_s
        self._floor.begin()
        try:
            async with asyncio.timeout_at(until):
                vectors = await self._embedder.embed([self._question(query, ()).to_embed])
        except Exception as error:  # a provider call
            if not self._options.words_alone:
                raise
            logger.warning("memory: searching by words alone (%s in the embedder)", type(error).__name__)
            return None, 0.0
        row: Vectors = vectors[0]
        return row, await self._floor.value(until - asyncio.get_running_loop().time())


def _is_shown(memory: StoredMemory, wanted: Filter | None, now: datetime) -> bool:
    over = memory.superseded_by is not None or any(
        end is not None and end <= now for end in (memory.expires_at, memory.valid_to)
    )
    return not over and memory.flag not in SUSPECT and (wanted is None or wanted.matches(memory))


def _ranked(question: Question, found: Sequence[Near]) -> list[FoundMemory]:
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
