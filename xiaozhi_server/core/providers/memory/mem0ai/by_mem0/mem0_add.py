"""mem0's `add`, with everything around it replaced by parts of ours: it asks our question, and what it would write is
handed back instead.

Blocks: runs in the bridge's threads.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace
from typing import Any, TypeVar

import numpy as np

from ..embedding.embed import Vectors
from ..facts.answer import Answer, ModelAnswerError, as_mem0_reads, read
from ..facts.check import Verdict, check
from ..facts.request import Request
from .mem0_payload import Row, row_of
from .threads import ask_loop

T = TypeVar("T")
Embed = Callable[[Sequence[str]], Coroutine[Any, Any, Vectors]]

# Whose memories are compared is decided before: mem0's own rule for names would refuse some of them.
_OWNER = "owner"
_TOO_LONG = (
    "context length", "context_length", "maximum context", "context window", "too many tokens", "prompt is too long",
    "exceeds the context", "token limit",
)  # fmt: skip
_BAD_REQUESTS = (400, 413, 422)


class ModelFailedError(RuntimeError):
    """The model was asked and gave nothing that can be used. Never quotes it. `tokens`: what that cost."""

    def __init__(self, reason: str, tokens: int = 0) -> None:
        super().__init__(reason)
        self.tokens = tokens


class TooLongError(RuntimeError):
    """The model's context does not hold the request."""


@dataclass(frozen=True, slots=True)
class Added:
    """What the model answered, what of it is believed, and the vectors of those texts that mem0 did not know."""

    answer: Answer
    verdict: Verdict
    vectors: Mapping[str, Vectors]
    tokens: int


def add_by_mem0(request: Request, *, llm: Any, embedder: "PortEmbedding") -> Added:
    """ModelFailedError or TooLongError where the model is to blame; every other error is raised as it came."""
    model, store = _Model(llm, request), _Capture(request)
    said = [{"role": line.message.role, "content": line.message.content} for line in request.lines]
    try:
        _assembled(model, embedder, store).add(said, user_id=_OWNER)
    except Exception as error:  # noqa: BLE001 - a provider call
        if model.failure is not None:
            raise model.failure from None
        raise _cause(error) from None
    if embedder.failure is not None:
        raise embedder.failure  # mem0 would go on without what has no vector
    return Added(model.answer, model.verdict, store.vectors, model.tokens)


class PortEmbedding:
    """Our embedder as mem0 calls it, from a thread: the work is done where the event loop does it."""

    def __init__(self, embed: Embed, dimensions: int, loop: asyncio.AbstractEventLoop, timeout_s: float) -> None:
        self.config = SimpleNamespace(embedding_dims=dimensions)
        self.failure: Exception | None = None
        self._embed = embed
        self._loop = loop
        self._timeout_s = timeout_s

    def embed(self, text: str, memory_action: str | None = None) -> list[float]:
        """What is known was looked for already, so nobody looks at the vector of a whole talk."""
        return [0.0] * self.config.embedding_dims if memory_action == "search" else self.embed_batch([text])[0]

    def embed_batch(self, texts: Sequence[str], memory_action: str | None = None) -> list[list[float]]:
        if self.failure is not None:
            raise self.failure  # mem0 would ask again for each text
        try:
            vectors = ask_loop(self._embed(texts), self._loop, timeout_s=self._timeout_s)
            found: list[list[float]] = vectors.tolist()
        except Exception as error:
            self.failure = error
            raise
        return found


class _Model:
    """A model that is asked our question, and whose answers are read by us: mem0 takes nonsense and silence for
    "nothing worth remembering"."""

    def __init__(self, llm: Any, request: Request) -> None:
        self.answer = Answer(())
        self.verdict = Verdict((), True)
        self.tokens = 0
        self.failure: Exception | None = None
        self._llm = llm
        self._request = request

    def generate_response(self, messages: Any, **options: Any) -> str:
        _usage.tokens = 0
        try:
            self.answer = read(self._llm.generate_response(messages=self._request.messages(), **options))
        except Exception as error:
            self.failure = _failure(error, _usage.tokens)
            raise
        self.tokens = _usage.tokens
        self.verdict = check(self.answer, self._request)
        return as_mem0_reads([one.fact for one in self.verdict.facts])


def _failure(error: Exception, tokens: int) -> Exception:
    if isinstance(error, ModelAnswerError):
        return ModelFailedError(str(error), tokens)
    return TooLongError() if _is_too_long(error) else ModelFailedError(type(error).__name__, tokens)


def _is_too_long(error: Exception) -> bool:
    """Services say it with a code of their own or in words."""
    said = f"{getattr(error, 'code', '')} {error}".casefold()
    return getattr(error, "status_code", None) in _BAD_REQUESTS and any(words in said for words in _TOO_LONG)


def used_tokens(ask: Callable[[], T]) -> tuple[T, int]:
    """What was answered, and how many tokens that took, as far as the model tells."""
    _usage.tokens = 0
    return ask(), _usage.tokens


class _Usage(threading.local):
    tokens = 0


_usage = _Usage()


def asked(llm: Any, messages: list[dict[str, str]]) -> tuple[str, int]:
    """An answer in JSON to a question that is not mem0's, and the tokens that it took."""
    _usage.tokens = 0
    answer = llm.generate_response(messages=messages, response_format={"type": "json_object"})
    return str(answer or ""), _usage.tokens


def count_tokens(llm: Any) -> None:
    """Some of mem0's models hand over the whole answer, where the number of tokens stands."""
    if getattr(llm.config, "response_callback", _MISSING) is None:
        llm.config.response_callback = _note_usage


def leave_room(llm: Any, tokens: int) -> None:
    """So much of the model's context is for its answer, and no more."""
    asked = getattr(llm.config, "max_tokens", None)
    if isinstance(asked, int) and asked > tokens:
        llm.config.max_tokens = tokens


_MISSING = object()


def _note_usage(_llm: Any, response: Any, _request: Any) -> None:
    _usage.tokens = int(getattr(getattr(response, "usage", None), "total_tokens", 0) or 0)


class _Capture:
    """A store that knows what the request shows; what comes in is kept here."""

    def __init__(self, request: Request) -> None:
        self.vectors: dict[str, Vectors] = {}
        self._known = [row_of(memory) for memory in request.known]

    def search(self, query: str, vectors: Sequence[float], top_k: int = 5, filters: Any = None) -> Sequence[Row]:
        return self._known

    def insert(self, vectors: Sequence[Sequence[float]], payloads: Sequence[Mapping[str, Any]], ids: Any) -> None:
        for payload, vector in zip(payloads, vectors, strict=True):
            self.vectors[str(payload["data"])] = np.array(vector, np.float32)


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
