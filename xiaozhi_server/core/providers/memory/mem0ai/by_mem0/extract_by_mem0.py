"""The saver with a model: mem0 makes facts of a conversation, and its rows are written like all others, exactly once.

A conversation of which nothing can be made is not lost: after some attempts it is kept word for word, with a flag.
"""

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from psycopg import AsyncConnection

from ...base import SpokenMessage
from ..embedding.embed import Embedder
from ..message import memory_id
from ..observe import MemoryObserver
from ..recall.traits import is_question
from ..recall.words import tokens_of
from ..records import NewMemory, StoredMemory
from ..saving.outbox import Batch
from ..saving.saver import BatchPolicy
from ..saving.verbatim import VerbatimSaver
from ..scope import Scope
from .bridge import Mem0Bridge
from .mem0_add import Added, Find, ModelFailedError, PortEmbedding, add_by_mem0
from .threads import ThreadsBusyError

logger = logging.getLogger(__name__)

UNEXTRACTED = "unextracted"

_MODEL_FAILURES = (ModelFailedError, TimeoutError, ThreadsBusyError)
_AROUND_THE_MODEL_S = 15.0  # for finding what is known already, and for the vectors of what is new
_FEWEST_WORDS = 3  # less than that tells nothing
_RULES = (
    "Write every memory in the language and the script in which it was said: never translate.",
    "The new messages were spoken on {day}: that is their Observation Date.",
)
_SPEAKER_RULE = "A message that begins with a name and a colon was said by that person, whom its memories must name."


@dataclass(frozen=True, slots=True)
class ExtractionOptions:
    """How long the model may think, and how often a batch is tried before it is kept word for word.

    The attempts are the outbox's: the first ones together, the later ones exchange by exchange.
    """

    timeout_s: float = 30.0
    attempts: int = 7
    policy: BatchPolicy = field(default_factory=BatchPolicy)


# What is asked for the nearest memories of an owner to a text.
FindFor = Callable[[Scope], Find]


class Extractor(Protocol):
    """Makes rows of a batch, with their words and vectors."""

    async def extract(self, batch: Batch) -> list[NewMemory]:
        """One of `_MODEL_FAILURES` where the model is to blame."""
        ...


class Mem0Extractor:
    """`llm` is a model of mem0's."""

    def __init__(
        self,
        bridge: Mem0Bridge,
        llm: Any,
        embedder: Embedder,
        find_for: FindFor,
        options: ExtractionOptions,
        observer: MemoryObserver,
    ) -> None:
        self._bridge = bridge
        self._llm = llm
        self._embedder = embedder
        self._find_for = find_for
        self._timeout_s = options.timeout_s
        self._observer = observer

    async def extract(self, batch: Batch) -> list[NewMemory]:
        embedder = PortEmbedding(self._embedder, asyncio.get_running_loop(), _AROUND_THE_MODEL_S)
        scope = Scope(batch[0].user_id, batch[0].agent_id or None)
        messages = [message for entry in batch for message in entry.messages]

        def work() -> tuple[Added, list[NewMemory]]:
            added = add_by_mem0(
                [{"role": message.role, "content": _line(message)} for message in messages],
                instruction=_instruction(batch, messages),
                llm=self._llm,
                embedder=embedder,
                find=self._find_for(scope),
            )
            return added, _rows(batch, messages, added)

        added, rows = await self._bridge.run(work, timeout_s=self._timeout_s + _AROUND_THE_MODEL_S)
        self._observer.model_called(added.tokens)
        if not added.facts and any(map(_tells, messages)):
            raise ModelFailedError("the model found nothing where something was told")
        return rows


class ExtractingSaver:
    """Stands in front of the saver without a model, which does all but the extraction."""

    def __init__(self, extractor: Extractor, verbatim: VerbatimSaver, options: ExtractionOptions) -> None:
        self.policy: BatchPolicy | None = policy_of(options)
        self._extractor = extractor
        self._verbatim = verbatim
        self._attempts = options.attempts

    async def prepare(self, batches: Sequence[Batch]) -> list[list[NewMemory]]:
        return [await extracted(self._extractor, batch, self._attempts, self._word_for_word) for batch in batches]

    async def write(
        self, connection: AsyncConnection[Any], batches: Sequence[Batch], prepared: Sequence[list[NewMemory]]
    ) -> None:
        await self._verbatim.write(connection, batches, prepared)

    def written(self, batches: Sequence[Batch]) -> None:
        self._verbatim.written(batches)

    async def _word_for_word(self, batch: Batch) -> list[NewMemory]:
        (rows,) = await self._verbatim.prepare([batch])
        return rows


def policy_of(options: ExtractionOptions) -> BatchPolicy:
    """Whoever waits for the saver waits longer than the saver for the model: who gave up is then always known."""
    return replace(options.policy, timeout_s=options.timeout_s + 3 * _AROUND_THE_MODEL_S)


async def extracted(
    extractor: Extractor, batch: Batch, attempts: int, word_for_word: Callable[[Batch], Awaitable[list[NewMemory]]]
) -> list[NewMemory]:
    """What the model made of the batch; once it has failed often enough, the batch as it was said."""
    try:
        return await extractor.extract(batch)
    except _MODEL_FAILURES as error:
        if batch[0].attempts < attempts:
            raise
        logger.warning("memory: the model made nothing of %d exchanges (%s): kept word for word", len(batch), error)
    rows = await word_for_word(batch)
    return [replace(row, memory=replace(row.memory, flag=UNEXTRACTED)) for row in rows]


def _instruction(batch: Batch, messages: Sequence[SpokenMessage]) -> str:
    day = messages[-1].spoken_at.strftime("%Y-%m-%d (%A)")
    speaker = (_SPEAKER_RULE,) if any(message.speaker for message in messages) else ()
    wanted = (batch[-1].instruction,) if batch[-1].instruction else ()
    return "\n".join((*(rule.format(day=day) for rule in _RULES), *speaker, *wanted))


def _line(message: SpokenMessage) -> str:
    """On one line, since mem0 begins each message on a line of its own."""
    text = " ".join(message.content.split())
    return f"{message.speaker}: {text}" if message.speaker else text


def _rows(batch: Batch, messages: Sequence[SpokenMessage], added: Added) -> list[NewMemory]:
    """The same batch has the same ids for ever."""
    last, speakers = batch[-1], {message.speaker for message in messages if message.role == "user"}
    speaker = speakers.pop() if len(speakers) == 1 else None
    rows: list[NewMemory] = []
    for position, (payload, vector) in enumerate(added.records):
        role = str(payload.get("attributed_to") or "user")
        text = str(payload["data"]).replace("\0", "").encode("utf-8", "replace").decode("utf-8")
        memory = StoredMemory(
            id=_id(batch, position),
            user_id=last.user_id,
            agent_id=last.agent_id,
            run_id="",
            session_id=last.session_id,
            role=role,
            speaker=speaker if role == "user" else None,
            text=text,
            metadata=None,
            created_at=messages[-1].spoken_at,
            updated_at=messages[-1].spoken_at,
            position=position,
        )
        rows.append(NewMemory(memory, tokens_of(text), np.array(vector, np.float32)))
    return rows


def _id(batch: Batch, position: int) -> uuid.UUID:
    return memory_id(batch[0].user_id, batch[0].key, position)


def _tells(message: SpokenMessage) -> bool:
    """Whether there was surely something to be remembered."""
    is_said = message.role == "user" and not is_question(message.content)
    return is_said and len(set(tokens_of(message.content))) >= _FEWEST_WORDS
