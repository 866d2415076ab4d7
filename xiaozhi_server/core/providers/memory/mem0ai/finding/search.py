"""How a question finds its memories: in what is at hand of the owner, else by a statement; ranked the same."""

import asyncio
import logging
import time
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Any

from psycopg_pool import AsyncConnectionPool

from ..embedding.embed import Embedder, Vectors
from ..embedding.kept_vectors import KeptVectors
from ..embedding.measured_floor import MeasuredFloor
from ..filters import Filter
from ..forgotten import MARK, Forgotten
from ..recall.rank import Question, question_of
from ..recall.things import Things
from ..records import FoundMemory
from ..rows.halfvec import rounded
from ..rows.pgstore import reading
from ..scope import Scope
from .by_agent import ANYBODY, AgentSearch
from .by_statement import StatementSearch, speakers_of
from .changes import KEY_TOLD, ChangeHandlers, Changes
from .extent import extent_of
from .index_cache import CacheOptions, IndexCache
from .large import LargeOptions, LargeOwners
from .owner_index import OwnerIndex
from .owner_load import OwnerLoader, Source
from .owner_search import Asked, search
from .owner_things import read_things
from .recall_cache import RecallCache, answer_key

logger = logging.getLogger(__name__)

Pool = AsyncConnectionPool[Any]

_Known = tuple[Collection[str], Things, Mapping[str, Sequence[str]]]

_LONGEST_QUERY = 2000
_WIDEST = 1000
_FEW_ROWS = 4000  # an index of more rows is searched in the executor, so that nobody waits for it
_FILTERED_ROWS = 1000  # PostgreSQL is quicker with a filter over more rows
_MORE = 1.5  # how much larger than it should be an owner at hand may grow until the database is ready for it


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """`unsaved_shown` is how much of an owner's outbox a search reads.

    `index_cache_mb` bounds what is kept at hand of all owners, 0 means nothing. An owner with more than
    `index_rows_max` memories is not, and gets indexes of its own in the database. Fewer than `index_page` memories are
    read as a whole even for a single question. `cache` is shared with other processes. Without `words_alone` an
    embedder that fails or is too slow fails the question: for who would take half an answer for a whole one.
    """

    timeout_s: float = 5.0
    vector_timeout_s: float = 1.0
    unsaved_shown: int = 50
    index_cache_mb: int = 256
    index_rows_max: int = 20_000
    index_page: int = 500
    cache: RecallCache | None = None
    words_alone: bool = True


class Searcher:
    """Shared by all owners. `embedder_number` is the one under which the embedder's vectors are kept."""

    def __init__(
        self,
        pool: Pool,
        embedder: Embedder,
        embedder_number: int,
        options: SearchOptions,
        executor: Executor,
        forgotten: Forgotten,
    ) -> None:
        self.forgotten = forgotten
        self._pool = pool
        self.embedder = KeptVectors(embedder)
        self._options = options
        self._executor = executor
        self._floor = MeasuredFloor(embedder)
        source = Source(embedder_number, embedder.dimensions, options.unsaved_shown, options.index_page)
        self._statements = StatementSearch(source)
        self._agents = AgentSearch(source)
        self._large = LargeOwners(pool, source, LargeOptions(rows_min=options.index_rows_max))
        self._loader = OwnerLoader(pool, executor, source, rows_max=int(options.index_rows_max * _MORE))
        cache = CacheOptions(size_bytes=options.index_cache_mb * 1024 * 1024, rows_many=options.index_rows_max)
        self._cache = IndexCache(self._loader, cache, self._large.found)
        self._changes = Changes(
            pool,
            ChangeHandlers(
                changed=self._told,
                everything_changed=self._cache.clear,
                listening=self._cache.listen,
                lost=self._cache.shut,
            ),
        )

    async def start(self) -> None:
        """From now on owners may be kept at hand. Searching works without, only slower."""
        await self._changes.start()
        self._large.start()

    async def stop(self) -> None:
        await self._large.stop()
        await self._changes.stop()
        await self._cache.close()
        await self._floor.close()

    async def search(
        self,
        query: str,
        scope: Scope,
        *,
        top_k: int,
        filters: Filter | None = None,
        threshold: float | None = None,
        vector_timeout_s: float | None = None,
    ) -> list[FoundMemory]:
        """The memories that fit best, the best first; entries that still wait in the outbox are among them."""
        text = _text(query)
        limit = min(top_k, _WIDEST)
        if not text or limit < 1:
            return []
        wait_s = vector_timeout_s or self._options.vector_timeout_s
        async with asyncio.timeout(self._options.timeout_s):
            found = await self._remembered(text, scope, limit, _needed(filters), wait_s)
        return found if threshold is None else [one for one in found if one.score >= threshold]

    async def _remembered(
        self, text: str, scope: Scope, limit: int, needed: Filter | None, wait_s: float
    ) -> list[FoundMemory]:
        """An answer that another process found a moment ago, else a search."""
        if self._options.cache is None:
            return await self._searched(text, scope, limit, needed, wait_s)
        slot = self._options.cache.slot(scope.user_id)
        key = answer_key(text, scope, limit, needed and needed.sql())
        if (kept := await slot.get(key)) is not None:
            return list(kept)
        found = await self._searched(text, scope, limit, needed, wait_s)
        if not found or found[0].semantic_score is not None:  # the embedder may answer better next time
            await slot.put(key, found)
        return found

    async def _searched(
        self, text: str, scope: Scope, limit: int, needed: Filter | None, wait_s: float
    ) -> list[FoundMemory]:
        with self.embedder.begun(text) as not_this_one:  # reading an owner takes about as long
            index = await self._at_hand(scope.user_id)
            known = await self._known(scope.user_id, index)
            now_s = time.time()
            question = self._question(text, scope, known, now_s)
            if question.to_embed != text:
                not_this_one()
            asked = await self._asked(question, scope, needed, now_s, wait_s)
        return await self._found(index, asked, limit)

    async def vectors(self, texts: Sequence[str], scope: Scope) -> Vectors:
        """Of many texts by one call of the embedder. Who searches for any of them soon after needs no other one."""
        known, now_s = await self._known(scope.user_id, await self._at_hand(scope.user_id)), time.time()
        asked = [text for text in map(_text, texts) if text]
        # A search begins with the text as it is, before it knows what of it is to be compared.
        compared = [self._question(text, scope, known, now_s).to_embed for text in asked]
        await self.embedder.know([*texts, *asked, *compared])
        return await self.embedder.embed(texts)

    async def search_by_agent(
        self,
        query: str,
        agent_id: str,
        *,
        top_k: int,
        filters: Filter | None = None,
        threshold: float | None = None,
        vector_timeout_s: float | None = None,
    ) -> list[FoundMemory]:
        """The same among what one agent heard of everybody."""
        text = _text(query)
        limit = min(top_k, _WIDEST)
        if not text or limit < 1:
            return []
        wait_s, now_s = vector_timeout_s or self._options.vector_timeout_s, time.time()
        question = question_of(text, multilingual=self.embedder.multilingual, now_s=now_s)
        async with asyncio.timeout(self._options.timeout_s):
            asked = await self._asked(question, ANYBODY, _needed(filters), now_s, wait_s)
            async with reading(self._pool) as connection:
                found = await self._agents.search(connection, agent_id, asked, limit)
        return found if threshold is None else [one for one in found if one.score >= threshold]

    async def warm_up(self, nobody: Scope, *, vector_timeout_s: float) -> None:
        """Ask for somebody who has nothing, with a connection of the pool: the first to be asked for costs no more."""
        await self.search("hello", nobody, top_k=1, vector_timeout_s=vector_timeout_s)
        await self._loader.small(nobody.user_id)

    def prefetch(self, user_id: str) -> None:
        """This owner will be asked about soon."""
        if not self._large.ready(user_id):
            self._cache.prefetch(user_id)

    def forget(self, user_id: str) -> None:
        """What this owner has in memory changed: nothing older may be used from now on."""
        self._cache.changed(user_id)
        self._large.changed(user_id)
        if self._options.cache is not None:
            self._options.cache.forget(user_id)

    def forget_person(self, user_id: str) -> None:
        """This owner was forgotten: nothing of them stays at hand."""
        self._cache.forget(user_id)
        self._large.forget(user_id)
        if self._options.cache is not None:
            self._options.cache.forget(user_id)
        self.forgotten.forget(user_id)

    def expect(self, user_id: str, key: str) -> None:
        """Somebody else's transaction puts this entry into the outbox, and may be committed at any moment."""
        self._cache.expect(user_id, key[:KEY_TOLD])

    def _told(self, user_id: str, key: str) -> None:
        if key == MARK:
            self.forget_person(user_id)
            return
        self._cache.came(user_id, key)
        self.forget(user_id)

    async def _at_hand(self, user_id: str) -> OwnerIndex | None:
        return None if self._large.ready(user_id) else await self._cache.current(user_id)

    def _question(self, text: str, scope: Scope, known: _Known, now_s: float) -> Question:
        speakers, things, granted = known
        return question_of(
            text,
            multilingual=self.embedder.multilingual,
            speakers=speakers,
            things=things,
            agents=_agents(scope, granted),
            now_s=now_s,
        )

    async def _known(self, user_id: str, index: OwnerIndex | None) -> _Known:
        """Who speaks in this owner's memories, the people and things in them, and which agent may read of which."""
        if index is not None:
            return index.speakers, index.things, index.granted
        speakers = self._large.speakers(user_id)
        async with reading(self._pool) as connection:
            things, granted = await read_things(connection, user_id)
            return await speakers_of(connection, user_id) if speakers is None else speakers, things, granted

    async def _found(self, index: OwnerIndex | None, asked: Asked, limit: int) -> list[FoundMemory]:
        # The embedder took its time, and meanwhile something may have been forgotten.
        if index is not None and self._cache.is_outdated(asked.scope.user_id, index):
            index = await self._at_hand(asked.scope.user_id)
        if index is not None and _has_all(index, asked):
            if len(index) <= _FEW_ROWS:
                return search(index, asked, limit)
            return await asyncio.get_running_loop().run_in_executor(self._executor, search, index, asked, limit)
        if (found := await self._large.search(asked, limit)) is not None:
            return found
        async with reading(self._pool) as connection:
            return await self._statements.search(connection, asked, limit)

    async def _asked(
        self, question: Question, scope: Scope, needed: Filter | None, now_s: float, wait_s: float
    ) -> Asked:
        """The question with all that is compared."""
        until = time.monotonic() + wait_s
        floor = self._floor.begin()
        vector = await self._query_vector(question.to_embed, wait_s)
        if floor is None:  # it was measured meanwhile: the first question shall not wait twice
            floor = await self._floor.value(until - time.monotonic())
        extent = extent_of(question, needed, now_s)
        return Asked(replace(question, floor=floor), vector, scope, needed, now_s, extent)

    async def _query_vector(self, query: str, timeout_s: float) -> Vectors | None:
        """None where the embedder fails or is too slow, and words alone may do: they find most of what there is."""
        try:
            async with asyncio.timeout(timeout_s):
                vectors = await self.embedder.embed([query])
        except Exception as error:  # a provider call
            if not self._options.words_alone:
                raise
            logger.warning("memory: searching by words alone (%s in the embedder)", type(error).__name__)
            return None
        return rounded(vectors[0])


def _text(query: str) -> str:
    return query[:_LONGEST_QUERY].replace("\0", "").strip()


def _agents(scope: Scope, granted: Mapping[str, Sequence[str]]) -> Collection[str] | None:
    """Of which agents' memories the question is; None for all."""
    if scope.agent_id is None:
        return None
    return scope.agent_id, *scope.reading(granted.get(scope.agent_id, ())).also_agents


def _has_all(index: OwnerIndex, asked: Asked) -> bool:
    """Whether the answer is among what is at hand, and quickly found there."""
    if asked.extent.is_wide and (index.is_part or index.first_end <= asked.now_s):
        return False
    return asked.filter is None or len(index) <= _FILTERED_ROWS


def _needed(filters: Filter | None) -> Filter | None:
    """The filter, unless it lets everything pass."""
    return None if filters is None or filters.sql()[0] == "TRUE" else filters
