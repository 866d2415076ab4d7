"""The saver with a model: mem0 makes facts of a conversation, and its rows are written like all others, exactly once.

A conversation of which nothing can be made is not lost: after some attempts it is kept word for word, with a flag.
"""

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from psycopg import AsyncConnection

from ..embedding.embed import Embedder, Vectors
from ..facts.check import tells
from ..facts.learn import Learner, Part
from ..facts.learned import Learned
from ..facts.parts import NoRoomError, Room
from ..facts.read_things import mentioned
from ..facts.request import Line, Request
from ..facts.sentences import sentences_of
from ..facts.thing import KnownThing
from ..facts.write import write
from ..flags import SUSPECT, UNEXTRACTED
from ..observe import MemoryObserver
from ..records import FoundMemory, NewMemory, StoredMemory
from ..saving.outbox import Batch
from ..saving.saver import BatchPolicy, EmbedAll, Search
from ..saving.verbatim import VerbatimSaver, rows_of
from ..scope import Scope
from ..wishes import Wishes
from .beside import Known
from .bridge import Mem0Bridge
from .mem0_add import Added, ModelFailedError, PortEmbedding, TooLongError, add_by_mem0
from .threads import ThreadsBusyError

logger = logging.getLogger(__name__)

_MODEL_FAILURES = (ModelFailedError, TimeoutError, ThreadsBusyError)
_ANSWER_SHARE = 0.25  # of the context, at most
_LONGEST_ANSWER_TOKENS = 2000
_ROOM_USED = 0.85  # tokens are estimated
_MOST_LOOKED_FOR = 24  # sentences of one part
_MOST_KNOWN = 40
_NEAREST = 6
_UNSAVED = 100
_MOST_TOLD = 1000  # agents
_MOST_PARTS = 4  # of a batch that one context does not hold, in the time that there is


@dataclass(frozen=True, slots=True)
class ExtractionOptions:
    """How long the model may think, and how often a batch is tried before it is kept word for word.

    The attempts are the outbox's: the first ones together, the later ones exchange by exchange. `context_tokens` is
    what the model takes in and gives out in one call. `around_s` is for finding what is known already, and for the
    vectors of what is new.
    """

    timeout_s: float = 30.0
    around_s: float = 15.0
    attempts: int = 7
    context_tokens: int = 8192
    policy: BatchPolicy = field(default_factory=BatchPolicy)

    @property
    def answer_tokens(self) -> int:
        return min(_LONGEST_ANSWER_TOKENS, int(self.context_tokens * _ANSWER_SHARE))


class NothingFoundError(ModelFailedError):
    """The model has read a talk in which something was told, and found nothing in it."""


class Extractor(Protocol):
    """Makes changes of a memory out of a batch, with words and vectors."""

    async def extract(self, batch: Batch) -> Learned:
        """One of `_MODEL_FAILURES` where the model is to blame."""
        ...

    def search_by(self, search: Search, embed: EmbedAll | None = None) -> None:
        """How what is known is found, and how many texts are embedded at once."""
        ...


class Mem0Extractor:
    """`llm` is a model of mem0's. `beside` tells what is known besides the memories."""

    def __init__(
        self,
        bridge: Mem0Bridge,
        llm: Any,
        embedder: Embedder,
        beside: Known,
        options: ExtractionOptions,
        observer: MemoryObserver,
    ) -> None:
        self._bridge = bridge
        self._llm = llm
        self._embedder = embedder
        self._beside = beside
        self._options = options
        self._observer = observer
        self._search: Search | None = None
        self._embed_all: EmbedAll | None = None
        self._told: dict[str, Wishes] = {}  # by agent: what it wants and is not shown in full

    def search_by(self, search: Search, embed: EmbedAll | None = None) -> None:
        self._search = search
        self._embed_all = embed

    async def extract(self, batch: Batch) -> Learned:
        if any(message.images for entry in batch for message in entry.messages):
            raise ModelFailedError("a picture could not be described")
        learner = Learner(batch, multilingual=self._embedder.multilingual)
        known = await self._known_to(batch)
        tokens = int((self._options.context_tokens - self._options.answer_tokens) * _ROOM_USED)
        left = [Line(source, message) for source, message in enumerate(learner.messages)]
        facts = repaired = 0
        while left:
            room = self._room(tokens, batch)
            lines, rest = room.first(left)
            memories = await known.memories(lines, learner.new)
            request = room.request(lines, memories, known.things(lines, memories))
            try:
                added = await self._ask(request, known)
            except TooLongError:
                tokens //= 2
                continue
            facts += len(added.answer.facts)
            repaired += added.answer.is_repaired
            texts = [one.fact.text for one in added.verdict.facts if not one.flag]
            learner.take(Part(request, added.answer, added.verdict, added.vectors, await known.near(texts)))
            left = rest
        if not facts and any(message.role == "user" and tells(message.content) for message in learner.messages):
            raise NothingFoundError("the model found nothing where something was told")
        learned = learner.learned()
        self._observer.facts_made(learned.counts() | {"repaired": repaired})
        return learned

    def _room(self, tokens: int, batch: Batch) -> Room:
        agent_id, wishes = batch[-1].agent_id, batch[-1].wishes
        try:
            room = Room(tokens, wishes)
        except NoRoomError:
            raise ModelFailedError("the model's context does not hold the instruction and a sentence") from None
        if room.is_shortened and self._told.get(agent_id) != wishes:
            if len(self._told) >= _MOST_TOLD:
                self._told.clear()
            self._told[agent_id] = wishes
            logger.warning(
                "memory: the instruction and categories of agent %s are too long for a context of %d tokens: the model"
                " is shown their beginning (see context_tokens)",
                agent_id or "-",
                self._options.context_tokens,
            )
        return room

    async def _known_to(self, batch: Batch) -> "_Known":
        assert self._search is not None
        scope = Scope(batch[0].user_id, batch[0].agent_id or None)
        entries = await self._beside.waiting(scope, limit=_UNSAVED)
        things = await self._beside.things(batch[0].user_id, batch[0].agent_id)
        unsaved = {row.id for entry in entries for row in rows_of(entry)}
        return _Known(self._search, self._embed_all, self._embedder, batch, unsaved, things, self._options.around_s)

    async def _ask(self, request: Request, known: "_Known") -> Added:
        options = self._options
        embedder = PortEmbedding(known.embed, self._embedder.dimensions, asyncio.get_running_loop(), options.around_s)
        try:
            added = await self._bridge.run(
                lambda: add_by_mem0(request, llm=self._llm, embedder=embedder),
                timeout_s=options.timeout_s + options.around_s,
            )
        except ModelFailedError as error:
            self._observer.model_called(error.tokens)
            raise
        self._observer.model_called(added.tokens)
        return added


class _Known:
    """What is known already that a talk may be about. What only waits to be saved is not."""

    def __init__(
        self,
        search: Search,
        embed_all: EmbedAll | None,
        embedder: Embedder,
        batch: Batch,
        unsaved: set[uuid.UUID],
        things: list[KnownThing],
        vector_timeout_s: float,
    ) -> None:
        self._search = search
        self._embed_all = embed_all
        self._embedder = embedder
        self._agent_id = batch[0].agent_id
        self._scope = Scope(batch[0].user_id, batch[0].agent_id or None)
        self._unsaved = unsaved
        self._things = things
        self._vector_timeout_s = vector_timeout_s

    async def memories(self, lines: Sequence[Line], new: Sequence[StoredMemory]) -> list[StoredMemory]:
        """The nearest to each sentence, the best first, behind those that the same batch has just told."""
        said = sorted(lines, key=lambda line: line.message.role != "user")
        sentences = dict.fromkeys(text.strip() for line in said for text in sentences_of(line.message.content))
        found = [one for near in (await self.near(list(sentences)[:_MOST_LOOKED_FOR])).values() for one in near]
        best = {one.memory.id: one.memory for one in sorted(found, key=lambda one: one.score, reverse=True)}
        return [*reversed(new), *best.values()][:_MOST_KNOWN]

    def things(self, lines: Sequence[Line], memories: Sequence[StoredMemory]) -> list[KnownThing]:
        """Those that are named in what is shown."""
        said = [line.message.content for line in lines]
        return mentioned(self._things, [*said, *(memory.text for memory in memories)])

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """The vectors of what shall become memories: `near` needs no others then."""
        if self._embed_all is None:
            return await self._embedder.embed(texts)
        return await self._embed_all(texts, self._scope)

    async def near(self, texts: Sequence[str]) -> dict[str, list[FoundMemory]]:
        """One request to the embedder for all of them, where that is possible; none is missing without an error."""
        if self._embed_all is not None and texts:
            async with asyncio.timeout(self._vector_timeout_s):
                await self._embed_all(texts, self._scope)
        found = await asyncio.gather(*map(self._near, texts))
        return dict(zip(texts, found, strict=True))

    async def _near(self, text: str) -> list[FoundMemory]:
        found = await self._search(
            text, self._scope, top_k=_NEAREST + len(self._unsaved), vector_timeout_s=self._vector_timeout_s
        )
        return [one for one in found if self._is_known(one.memory)][:_NEAREST]

    def _is_known(self, memory: StoredMemory) -> bool:
        ends = (memory.superseded_by, memory.compressed_into, memory.valid_to)
        return not any(ends) and memory.flag not in SUSPECT and self._is_ours(memory)

    def _is_ours(self, memory: StoredMemory) -> bool:
        return memory.id not in self._unsaved and memory.agent_id == self._agent_id


class ExtractingSaver:
    """Stands in front of the saver without a model, which does all but the extraction."""

    has_model = True

    def __init__(self, extractor: Extractor, verbatim: VerbatimSaver, options: ExtractionOptions) -> None:
        self.policy: BatchPolicy | None = policy_of(options)
        self._extractor = extractor
        self._verbatim = verbatim
        self._attempts = options.attempts

    def search_by(self, search: Search, embed: EmbedAll | None = None) -> None:
        self._extractor.search_by(search, embed)

    async def prepare(self, batches: Sequence[Batch]) -> list[Learned]:
        return [await extracted(self._extractor, batch, self._attempts, self._word_for_word) for batch in batches]

    async def learn(self, batch: Batch) -> Learned:
        return await extracted_at_once(self._extractor, batch, self._attempts, self._word_for_word)

    async def facts(self, batch: Batch) -> Learned:
        return await facts_alone(self._extractor, batch)

    async def write(
        self, connection: AsyncConnection[Any], batches: Sequence[Batch], prepared: Sequence[Learned]
    ) -> None:
        for learned in prepared:
            await write(connection, learned, self._verbatim.embedder_number)

    def written(self, batches: Sequence[Batch]) -> None:
        self._verbatim.written(batches)

    async def _word_for_word(self, batch: Batch) -> list[NewMemory]:
        (rows,) = await self._verbatim.prepare([batch])
        return rows


def policy_of(options: ExtractionOptions) -> BatchPolicy:
    """Whoever waits for the saver waits longer than the saver for the model: who gave up is then always known."""
    return replace(options.policy, timeout_s=_MOST_PARTS * options.timeout_s + 3 * options.around_s)


async def extracted(
    extractor: Extractor, batch: Batch, attempts: int, word_for_word: Callable[[Batch], Awaitable[list[NewMemory]]]
) -> Learned:
    """What the model made of the batch, and as it was said where that is not all; once it has failed often enough, the
    batch as it was said alone."""
    try:
        learned = await extractor.extract(batch)
    except _MODEL_FAILURES as error:
        if batch[0].attempts < attempts:
            raise
        logger.warning("memory: the model made nothing of %d exchanges (%s): kept word for word", len(batch), error)
        learned = Learned(is_whole=False)
    if learned.is_whole:
        return learned
    as_said = [
        replace(row, memory=replace(row.memory, flag=UNEXTRACTED))
        for place, row in enumerate(await word_for_word(batch))
        if place not in learned.heard
    ]
    return replace(learned, rows=(*learned.rows, *as_said))


async def extracted_at_once(
    extractor: Extractor, batch: Batch, attempts: int, word_for_word: Callable[[Batch], Awaitable[list[NewMemory]]]
) -> Learned:
    """The same for who waits: a second time at once, and that is the last."""
    try:
        return await extracted(extractor, batch, attempts, word_for_word)
    except _MODEL_FAILURES:
        last = tuple(replace(entry, attempts=attempts) for entry in batch)
        return await extracted(extractor, last, attempts, word_for_word)


async def facts_alone(extractor: Extractor, batch: Batch) -> Learned:
    """Nothing as it was said. Of a single talk the model is believed that finds little or nothing in it."""
    try:
        learned = await extractor.extract(batch)
    except NothingFoundError:
        if len(batch) > 1:
            raise
        return Learned()
    if not learned.is_whole and len(batch) > 1:
        raise ModelFailedError("what the model found is not all")
    return learned
