"""One of mem0's vector stores, asked for one owner or one agent at a time.

Nothing that comes back is taken for theirs, and what mem0's plugin for Dify notes there for itself is no memory.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from ..embedding.embed import Vectors
from ..errors import PartFailedError
from ..recall.words import words_of
from ..records import NewMemory, StoredMemory
from ..scope import OfAgent, Scope, Whose
from .mem0_payload import is_internal, memory_from, payload_of
from .threads import Threads

logger = logging.getLogger(__name__)

T = TypeVar("T")

MOST_LISTED = 10_000
_THREADS = 4
_LONGEST_WORDS = 8000  # some stores refuse a row of more than 64 KB
_A_FEW = 100
_DELETED_AT_ONCE = 50  # some stores take their time for each
_MOST_INTERNAL = 5000  # records among the memories that are read past
_IN_THIS_PROCESS = ("faiss",)
_SCOPE = ("user_id", "agent_id", "run_id")


class StoreFailedError(PartFailedError):
    """The store cannot be used at the moment. Never quotes it: its words may hold texts and keys."""


class StoreLimitError(PartFailedError):
    """More than this store can be asked for in one go. Nothing is left out silently."""


class OtherStore:
    """Its calls block, so they run in threads, those that write in others than those that read: no question waits for
    what is saved. Where the store lives in this process there is one for all.
    """

    def __init__(self, store: Any, provider: str, *, timeout_s: float = 10.0) -> None:
        self.provider = provider
        self._store = store
        self._timeout_s = timeout_s
        is_here = _is_in_this_process(store, provider)
        self._reading = Threads(f"memory-{provider}", 1 if is_here else _THREADS)
        self._writing = self._reading if is_here else Threads(f"memory-{provider}-writes", _THREADS)
        self._opening = asyncio.Lock()
        self._is_open = False

    @property
    def finds_words(self) -> bool:
        """Whether it looks for words, not only for what is near in meaning."""
        from mem0.vector_stores.base import VectorStoreBase

        its_own = type(self._store).keyword_search is not VectorStoreBase.keyword_search
        return its_own and getattr(self._store, "_bm25_encoder", None) is not False

    async def insert(self, rows: Sequence[NewMemory], batch: str = "") -> None:
        """`batch` is kept with them, so that they can be found again by it."""
        if not rows:
            return
        payloads = [self._payload(row.memory, batch) for row in rows]
        vectors = [_numbers(row.vector) for row in rows]
        ids = [str(row.memory.id) for row in rows]
        await self._write(lambda: self._store.insert(vectors=vectors, payloads=payloads, ids=ids))

    async def replace(self, row: NewMemory) -> None:
        id, vector, payload = str(row.memory.id), _numbers(row.vector), self._payload(row.memory, "")
        await self._write(lambda: self._store.update(vector_id=id, vector=vector, payload=payload))

    async def delete(self, memories: Iterable[StoredMemory]) -> None:
        ids = [str(memory.id) for memory in memories]

        def work(some: Sequence[str]) -> None:
            for id in some:
                self._store.delete(vector_id=id)

        for begin in range(0, len(ids), _DELETED_AT_ONCE):
            await self._write(partial(work, ids[begin : begin + _DELETED_AT_ONCE]))

    async def ping(self) -> None:
        """StoreFailedError where it does not answer."""
        await self._run(self._store.list_cols)

    async def get(self, scope: Scope, id: UUID) -> StoredMemory | None:
        memory = await self._one(id)
        return memory if memory is not None and _is_in(scope, memory) else None

    async def owner(self, id: UUID) -> str | None:
        """Whose memory it is."""
        memory = await self._one(id)
        return None if memory is None else memory.user_id or None

    async def listed(self, whose: Whose, *, limit: int, batch: str = "") -> list[StoredMemory]:
        """Some of the memories, in no order."""
        filters = {**asked_of(whose), **({"batch": batch} if batch else {})}
        return _memories(whose, await self._asked(limit, lambda most: self._store.list(filters=filters, top_k=most)))

    async def internal(self, scope: Scope, *, limit: int, marks: Mapping[str, str] | None = None) -> list[StoredMemory]:
        """Some of what extraction and mem0's plugin for Dify note of the owner for themselves: what has these marks."""
        filters = {**asked_of(scope), **(marks or {})}
        rows = _flat(await self._run(lambda: self._store.list(filters=filters, top_k=limit)))
        return [memory for row in rows if is_internal(row.payload) and _is_in(scope, memory := _memory(row))]

    async def everything(self, whose: Whose) -> list[StoredMemory]:
        """All of the memories, in no order."""
        memories = await self.listed(whose, limit=MOST_LISTED + 1)
        if len(memories) > MOST_LISTED:
            raise StoreLimitError(f"{self.provider} cannot sort, and here are more than {MOST_LISTED} memories")
        return memories

    async def nearest(self, whose: Whose, vector: Vectors, *, limit: int) -> list[tuple[StoredMemory, float]]:
        """With how near each is."""
        filters, numbers = asked_of(whose), _numbers(vector)
        rows = await self._asked(
            limit,
            lambda most: self._store.search(
                query="", vectors=numbers, top_k=_enough(self._store, most), filters=filters
            ),
        )
        scores = {str(row.id): float(row.score or 0.0) for row in rows}
        return [(memory, scores[str(memory.id)]) for memory in _memories(whose, rows)]

    async def with_words(self, whose: Whose, query: str, *, limit: int) -> list[StoredMemory]:
        """Those that share words with the query, as far as the store looks for words."""
        filters, words = asked_of(whose), " ".join(words_of(query))
        if not words or not self.finds_words:
            return []
        rows = await self._asked(
            limit, lambda most: self._store.keyword_search(query=words, top_k=most, filters=filters)
        )
        return _memories(whose, rows)

    async def close(self) -> None:
        for name in ("client", "connection_pool"):
            if callable(close := getattr(getattr(self._store, name, None), "close", None)):
                await self._call(close, self._reading)

    def _payload(self, memory: StoredMemory, batch: str) -> dict[str, Any]:
        # The store cuts words where there are blanks: so it finds ours, Chinese ones too.
        words = {"text_lemmatized": " ".join(words_of(memory.text))[:_LONGEST_WORDS]} if self.finds_words else {}
        return {**payload_of(memory), **words, **({"batch": batch} if batch else {})}

    async def _one(self, id: UUID) -> StoredMemory | None:
        """Whosever it is."""
        found = await self._run(lambda: self._store.get(vector_id=str(id)))
        return None if found is None or is_internal(found.payload) else _memory(found)

    async def _asked(self, limit: int, ask: Callable[[int], Any]) -> list[Any]:
        """So many rows that are memories, if there are so many: more is asked for where internal ones came along."""
        most = limit
        while True:
            rows = _flat(await self._run(partial(ask, most)))
            shown = [row for row in rows if not is_internal(row.payload)]
            if len(shown) >= limit or len(rows) < most or most >= limit + _MOST_INTERNAL:
                return shown[:limit]
            most = min(2 * most + _A_FEW, limit + _MOST_INTERNAL)

    async def _run(self, job: Callable[[], T]) -> T:
        if not self._is_open:
            await self._open()
        return await self._call(job, self._reading)

    async def _write(self, job: Callable[[], T]) -> T:
        if not self._is_open:
            await self._open()
        return await self._call(job, self._writing)

    async def _call(self, job: Callable[[], T], threads: Threads) -> T:
        try:
            return await threads.run(job, timeout_s=self._timeout_s)
        except Exception as error:  # noqa: BLE001 - a provider call
            raise StoreFailedError(f"{self.provider} failed: {type(error).__name__}") from None

    async def _open(self) -> None:
        """Some stores make their table at their first call, and two first calls at once disturb each other."""
        async with self._opening:
            if self._is_open:
                return
            await self._call(self._first_call_or_second, self._reading)
            self._is_open = True

    def _first_call_or_second(self) -> None:
        first_call = partial(self._store.list, filters={"user_id": "nobody"}, top_k=1)
        try:
            first_call()
        except Exception:  # noqa: BLE001 - another process made the table at the same moment: it is there now
            first_call()


def _is_in_this_process(store: Any, provider: str) -> bool:
    return provider in _IN_THIS_PROCESS or bool(getattr(store, "is_local", False))


def asked_of(whose: Whose) -> dict[str, Any]:
    """Equality of texts: the one filter that every store has. So it is asked for one agent at a time."""
    return {name: value for name in _SCOPE if (value := getattr(whose, name, None)) is not None}


def _enough(store: Any, limit: int) -> int:
    """FAISS fetches first and then filters: of many owners it must fetch everybody's to find one's."""
    return max(limit, int(getattr(getattr(store, "index", None), "ntotal", 0) or 0))


def _numbers(vector: Vectors) -> list[float]:
    numbers: list[float] = vector.tolist()
    return numbers


def _flat(listed: Any) -> list[Any]:
    """Some stores answer with a list of lists, some with a pair of the rows and where to go on."""
    if isinstance(listed, list | tuple) and listed and isinstance(listed[0], list | tuple):
        return list(listed[0])
    return list(listed or [])


def _memories(whose: Whose, rows: Iterable[Any]) -> list[StoredMemory]:
    memories = [_memory(row) for row in rows if not is_internal(row.payload)]
    owned = [memory for memory in memories if _is_in(whose, memory)]
    if len(owned) < len(memories):
        logger.error("memory: the store answered with %d rows of somebody else", len(memories) - len(owned))
    return owned


def _memory(row: Any) -> StoredMemory:
    return memory_from(UUID(str(row.id)), row.payload or {})


def _is_in(whose: Whose, memory: StoredMemory) -> bool:
    if isinstance(whose, OfAgent):
        return memory.agent_id == whose.agent_id
    return memory.user_id == whose.user_id and whose.has(memory.agent_id, memory.run_id)
