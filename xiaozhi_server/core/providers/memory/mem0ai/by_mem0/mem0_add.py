"""mem0's `add`, with everything around it replaced by parts of ours: what it would write is handed back instead.

Blocks: runs in the bridge's threads.
"""

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace
from typing import Any

from ..embedding.embed import Embedder
from .mem0_answer import ModelAnswerError, as_answer, facts_of

# Whose memories are compared is decided by `find`: mem0's own rule for names would refuse some of them.
_OWNER = "owner"


class ModelFailedError(RuntimeError):
    """The model was asked and gave nothing that can be used. Never quotes it."""


@dataclass(frozen=True, slots=True)
class Added:
    """What mem0 would have stored, and how many facts it was made of; the others it knew already."""

    records: tuple[tuple[Mapping[str, Any], Sequence[float]], ...]
    facts: int
    tokens: int


def add_by_mem0(
    messages: Sequence[Mapping[str, str]], *, instruction: str, llm: Any, embedder: "PortEmbedding", find: "Find"
) -> Added:
    """ModelFailedError where the model is to blame; every other error is raised as it came."""
    model, store = _Model(llm), _Capture(find)
    try:
        _assembled(model, embedder, store).add([dict(one) for one in messages], user_id=_OWNER, prompt=instruction)
    except Exception as error:  # noqa: BLE001 - a provider call
        if model.failure is not None:
            raise ModelFailedError(model.failure) from None
        raise _cause(error) from None
    if embedder.failure is not None:
        raise embedder.failure  # mem0 would go on without what has no vector
    return Added(tuple(store.records), model.facts, model.tokens)


# The nearest of the owner's memories to a text and its vector: rows with `id` and `payload`.
Find = Callable[[str, Sequence[float], int], Sequence[Any]]


class PortEmbedding:
    """Our embedder as mem0 calls it, from a thread: the work is done where the event loop does it."""

    def __init__(self, embedder: Embedder, loop: asyncio.AbstractEventLoop, timeout_s: float) -> None:
        self.config = SimpleNamespace(embedding_dims=embedder.dimensions)
        self.failure: Exception | None = None
        self._embedder = embedder
        self._loop = loop
        self._timeout_s = timeout_s

    def embed(self, text: str, memory_action: str | None = None) -> list[float]:
        return self.embed_batch([text])[0]

    def embed_batch(self, texts: Sequence[str], memory_action: str | None = None) -> list[list[float]]:
        if self.failure is not None:
            raise self.failure  # mem0 would ask again for each text
        asked = asyncio.run_coroutine_threadsafe(self._embedder.embed(texts), self._loop)
        try:
            found: list[list[float]] = asked.result(self._timeout_s).tolist()
        except Exception as error:
            asked.cancel()
            self.failure = error
            raise
        return found


class _Model:
    """A model whose answers are read by us: mem0 takes nonsense and silence for "nothing worth remembering"."""

    def __init__(self, llm: Any) -> None:
        self.facts = 0
        self.tokens = 0
        self.failure: str | None = None
        self._llm = llm

    def generate_response(self, messages: Any, **options: Any) -> str:
        _usage.tokens = 0
        try:
            facts = facts_of(self._llm.generate_response(messages=messages, **options))
        except ModelAnswerError as error:
            self.failure = str(error)
            raise
        except Exception as error:
            self.failure = type(error).__name__
            raise
        finally:
            self.tokens = _usage.tokens
        self.facts = len(facts)
        return as_answer(facts)


class _Usage(threading.local):
    tokens = 0


_usage = _Usage()


def count_tokens(llm: Any) -> None:
    """Some of mem0's models hand over the whole answer, where the number of tokens stands."""
    if getattr(llm.config, "response_callback", _MISSING) is None:
        llm.config.response_callback = _note_usage


_MISSING = object()


def _note_usage(_llm: Any, response: Any, _request: Any) -> None:
    _usage.tokens = int(getattr(getattr(response, "usage", None), "total_tokens", 0) or 0)


class _Capture:
    """A store that is read as usual; what comes in is kept here."""

    def __init__(self, find: Find) -> None:
        self.records: list[tuple[Mapping[str, Any], Sequence[float]]] = []
        self._find = find

    def search(self, query: str, vectors: Sequence[float], top_k: int = 5, filters: Any = None) -> Sequence[Any]:
        return self._find(query, vectors, top_k)

    def insert(self, vectors: Sequence[Sequence[float]], payloads: Sequence[Mapping[str, Any]], ids: Any) -> None:
        self.records += zip(payloads, vectors, strict=True)


class _NoHistory:
    """In place of mem0's SQLite file: history is written where the memories are."""

    def get_last_messages(self, session_scope: str, limit: int = 10) -> list[Any]:
        return []

    def save_messages(self, messages: Any, session_scope: str) -> None:
        """The outbox had them."""

    def batch_add_history(self, records: Any) -> None:
        """Nothing was written yet."""


def _assembled(llm: _Model, embedder: PortEmbedding, store: _Capture) -> Any:
    """mem0's Memory without its constructor, which would open parts of its own."""
    from mem0.memory.main import Memory

    memory = Memory.__new__(Memory)
    memory.config = _config()
    memory.embedding_model = embedder
    memory.vector_store = store
    memory.llm = llm
    memory.db = _NoHistory()
    memory.collection_name = "memory"
    memory.api_version = memory.config.version
    memory.custom_instructions = None
    memory.reranker = None
    memory._entity_store = None
    return memory


@cache
def _config() -> Any:
    from mem0.configs.base import MemoryConfig

    return MemoryConfig()


def _cause(error: BaseException) -> BaseException:
    """What really happened, behind mem0's own words for it, which may quote."""
    return error.__cause__ or error
