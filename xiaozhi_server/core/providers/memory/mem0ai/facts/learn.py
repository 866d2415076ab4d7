"""Makes changes of a memory out of checked facts: each is new, known already, or the end of another one."""

import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import chain

import numpy as np

from ...base import SpokenMessage
from ..dates import span_of
from ..embedding.embed import Vectors
from ..errors import InvalidDateError
from ..message import fact_id
from ..recall.folding import folded
from ..recall.words import tokens_of, unspaced_share
from ..records import FoundMemory, NewMemory, StoredMemory
from ..saving.outbox import Batch, OutboxEntry
from .alike import about_the_same, adds_only_words, are_one, may_be_one
from .answer import Answer, NamedThing, Relation, Told
from .check import Checked, Verdict, founded_things
from .learned import Learned, Replaced, SaidAgain, ToldRelation
from .marks import marks_of
from .request import Pointed, Request, words_alone, zone_of
from .sentences import sentences_of
from .thing import SELF, key_of

_OLDEST = datetime(1900, 1, 1, tzinfo=UTC)
_FURTHEST = timedelta(days=3660)
_FOREIGN_SHARE = 0.3  # of letters that an English embedder cannot read

# A fact's nearest memories.
Near = Mapping[str, Sequence[FoundMemory]]


@dataclass(frozen=True, slots=True)
class Part:
    """What one call of the model brought: the vectors belong to the texts of the facts."""

    request: Request
    answer: Answer
    verdict: Verdict
    vectors: Mapping[str, Vectors]
    near: Near


class Learner:
    """Takes one part of a batch after the other; what an earlier one told is known to the later ones."""

    def __init__(self, batch: Batch, *, multilingual: bool) -> None:
        self._batch = batch
        self._sources = [(entry, message) for entry in batch for message in entry.messages]
        self._multilingual = multilingual
        self._rows: list[NewMemory] = []
        self._again: list[SaidAgain] = []
        self._replaced: dict[uuid.UUID, Replaced] = {}
        self._things: dict[str, NamedThing] = {}
        self._links: dict[tuple[uuid.UUID, str], str] = {}
        self._relations: list[ToldRelation] = []
        self._is_whole = True
        self._told: Counter[int] = Counter()  # facts of each message

    @property
    def messages(self) -> list[SpokenMessage]:
        return [message for _, message in self._sources]

    @property
    def new(self) -> list[StoredMemory]:
        """What was told so far and is believed."""
        return [row.memory for row in self._rows if not row.memory.flag]

    def take(self, part: Part) -> None:
        self._is_whole = self._is_whole and part.verdict.is_whole
        self._count(part)
        told: list[tuple[uuid.UUID, Told]] = []
        for checked in part.verdict.facts:
            memory_id = self._fact(checked, part)
            if memory_id is not None and not checked.flag:
                told.append((memory_id, checked.fact))
        if told:
            self._end_told(told, part)
            self._about(told, part)

    def learned(self) -> Learned:
        return Learned(
            tuple(self._rows),
            tuple(self._again),
            tuple(self._replaced.values()),
            tuple(self._things.values()),
            tuple((memory_id, name) for (memory_id, _), name in self._links.items()),
            tuple(self._relations),
            self._is_whole,
            frozenset(
                place
                for place, told in self._told.items()
                if told >= len(sentences_of(self._sources[place][1].content))
            ),
        )

    def _count(self, part: Part) -> None:
        """Those that say where they are from; where the answer breaks off, the last fact may be half of one."""
        facts = part.verdict.facts if part.answer.is_whole else part.verdict.facts[:-1]
        for checked in facts:
            if not checked.flag:
                self._told.update(part.request.sources(checked.fact.sources))

    def _fact(self, checked: Checked, part: Part) -> uuid.UUID | None:
        """The memory that says it from now on; None where it says nothing new about nobody."""
        fact = checked.fact
        vector = part.vectors.get(fact.text)
        if checked.flag:
            if vector is not None:
                self._rows.append(self._row(checked, part, vector))
            return None
        twin = self._twin(fact, part, vector)
        if vector is None:  # mem0 has dropped it: it is known in the very same words
            return None if twin is None else twin.id
        row = self._row(checked, part, vector)
        if twin is not None:
            self._say_again(twin, row)
            return twin.id
        self._rows.append(row)
        pointed = [one for pointer in fact.replaces if (one := part.request.pointed(pointer)) is not None]
        self._replace(pointed, fact, row, part)
        return row.memory.id

    def _end_told(self, told: Sequence[tuple[uuid.UUID, Told]], part: Part) -> None:
        """What this same answer tells, and tells the end of."""
        rows = {row.memory.id: row for row in self._rows}
        memories = {one.id: one for one in (*part.request.known, *(row.memory for row in rows.values()))}
        ids = {folded(fact.text): id for id, fact in told}
        for id, fact in told:
            named = [Pointed(memories[ids[text]], True) for text in map(folded, fact.ends) if ids.get(text) in memories]
            if named and id in rows and id not in self._replaced:
                self._replace(named, fact, rows[id], part)

    def _replace(self, named: Sequence[Pointed], fact: Told, row: NewMemory, part: Part) -> None:
        """What took another's place holds from then on."""
        ended = [
            one.memory for one in named if one.memory.id not in self._replaced and self._ends(one, fact, row, part)
        ]
        if not ended:
            return
        memory = replace(row.memory, valid_from=row.memory.valid_from or row.memory.created_at)
        self._rows = [replace(one, memory=memory) if one.memory.id == memory.id else one for one in self._rows]
        self._replaced |= {old.id: Replaced(old, memory, _ended_at(memory)) for old in ended}

    def _twin(self, fact: Told, part: Part, vector: Vectors | None) -> StoredMemory | None:
        """A known memory that says the same."""
        shown = part.request.memory(fact.same_as)
        nearness = self._nearness(fact.text, part, vector)
        if shown is not None and may_be_one(fact.text, shown.text, nearness(shown), people=_people(part)):
            return shown
        known = {memory.id: memory for memory in chain(self._candidates(fact, part), self.new)}
        return next((one for one in known.values() if are_one(fact.text, one.text, nearness(one))), None)

    def _candidates(self, fact: Told, part: Part) -> list[StoredMemory]:
        near = [found.memory for found in part.near.get(fact.text, ())]
        return [one for one in (*part.request.known, *near) if one.agent_id == self._batch[0].agent_id]

    def _say_again(self, twin: StoredMemory, row: NewMemory) -> None:
        """Within a batch once is enough."""
        if any(one.memory.id == twin.id for one in self._rows) or any(one.old.id == twin.id for one in self._again):
            return
        longer = adds_only_words(row.memory.text, twin.text)
        self._again.append(SaidAgain(twin, row, longer))

    def _ends(self, pointed: Pointed, fact: Told, row: NewMemory, part: Part) -> bool:
        old, people = pointed.memory, _people(part)
        return (
            _may_follow(row.memory, old)
            and not _is_past_only(fact.text, old.text)
            and about_the_same(
                fact.text,
                old.text,
                self._nearness(fact.text, part, row.vector)(old),
                people=people,
                shares_thing=_share_a_thing(fact, old, people),
                copied=pointed.copied,
            )
        )

    def _nearness(self, text: str, part: Part, vector: Vectors | None) -> Callable[[StoredMemory], float | None]:
        """How near a memory is in meaning, where the embedder understands both."""
        found = {one.memory.id: one.semantic_score for one in part.near.get(text, ())}
        new = {row.memory.id: row.vector for row in self._rows}

        def near(other: StoredMemory) -> float | None:
            if not self._multilingual and max(map(unspaced_share, (text, other.text))) > _FOREIGN_SHARE:
                return None
            if other.id in new and vector is not None:
                return float(np.dot(new[other.id], vector))
            return found.get(other.id)

        return near

    def _row(self, checked: Checked, part: Part, vector: Vectors) -> NewMemory:
        fact = checked.fact
        said = [self._sources[source] for source in checked.sources]
        entry, message = max(said, key=lambda one: one[1].spoken_at)
        position = len(self._rows) + len(self._again)
        memory = StoredMemory(
            id=fact_id(self._batch[0].user_id, self._batch[0].key, position),
            user_id=entry.user_id,
            agent_id=entry.agent_id,
            run_id="",
            session_id=entry.session_id,
            role=fact.by,
            speaker=_speaker(said) if fact.by == "user" else None,
            text=fact.text,
            metadata=_filed_under(fact.category, part.request.wishes.categories),
            created_at=message.spoken_at,
            updated_at=message.spoken_at,
            subtype=fact.kind,
            flag=checked.flag,
            position=position,
            valid_from=_when(fact.when, message.spoken_at, part.request),
        )
        return NewMemory(memory, tokens_of(fact.text), vector)

    def _about(self, told: Sequence[tuple[uuid.UUID, Told]], part: Part) -> None:
        """Whom and what these facts are about, and how those stand to each other."""
        answer = part.answer
        names = [thing.name for thing in answer.things]
        names += [name for _, fact in told for name in fact.about]
        names += [name for subject, _, other in answer.relations for name in (subject, other)]
        founded = founded_things(names, part.request)
        things = {key_of(thing.name): thing for thing in answer.things}
        for memory_id, fact in told:
            for name in (*fact.about, *(thing.name for thing in answer.things if _names(fact.text, thing.name))):
                if (key := key_of(name)) in founded and key != SELF:
                    self._link(memory_id, things.get(key) or NamedThing(name))
        for relation in answer.relations:
            self._relate(relation, told, founded, things)

    def _relate(
        self,
        relation: Relation,
        told: Sequence[tuple[uuid.UUID, Told]],
        founded: frozenset[str],
        things: Mapping[str, NamedThing],
    ) -> None:
        subject, word, other = relation
        ends = [key_of(subject), key_of(other)]
        if ends[0] == ends[1] or not founded.issuperset(ends):
            return
        memory_id = max(told, key=lambda one: sum(_is_about(one[1], name) for name in (subject, other)))[0]
        for key, name in zip(ends, (subject, other), strict=True):
            thing = things.get(key) or NamedThing(name)
            if key == SELF:
                self._things.setdefault(key, NamedThing(name, "person"))
            else:
                self._link(memory_id, thing)
        self._relations.append(ToldRelation(subject, " ".join(folded(word).split()), other, memory_id))

    def _link(self, memory_id: uuid.UUID, thing: NamedThing) -> None:
        key = key_of(thing.name)
        self._things.setdefault(key, thing)
        self._links.setdefault((memory_id, key), thing.name)


def _ended_at(memory: StoredMemory) -> datetime:
    return memory.valid_from or memory.created_at


def _may_follow(new: StoredMemory, old: StoredMemory) -> bool:
    """Said by a person, later than the other, and not about a time before it or a time to come."""
    if new.role != "user" or old.user_id != new.user_id or old.agent_id != new.agent_id:
        return False
    if old.created_at > new.created_at or old.id == new.id:
        return False
    begins = new.valid_from
    since = old.valid_from or old.created_at
    return begins is None or (begins <= new.created_at and begins + timedelta(days=1) > since)


def _is_past_only(new: str, old: str) -> bool:
    """ "I used to live in Bonn" ends no other home than that one."""
    a, b = marks_of(new), marks_of(old)
    tells_of_before = a.telling & {"used to", "以前", "曾经", "过去", "小时候", "从前"}
    return bool(tells_of_before) and not b.specific <= a.specific


def _share_a_thing(fact: Told, old: StoredMemory, people: Sequence[str]) -> bool:
    """Something with a name that is no person: of one person many things are true."""
    return any(key_of(name) not in people and _names(old.text, name) for name in fact.about)


def _people(part: Part) -> list[str]:
    known = [key for thing in part.request.things if thing.kind == "person" for key in thing.keys]
    return known + [
        key_of(name) for thing in part.answer.things if thing.kind == "person" for name in (thing.name, *thing.also)
    ]


def _is_about(fact: Told, name: str) -> bool:
    return key_of(name) in map(key_of, fact.about) or _names(fact.text, name)


def _names(text: str, name: str) -> bool:
    """Whether the name stands in the text, as words of its own where words are parted by blanks."""
    key = key_of(name)
    whole = f" {words_alone(text)} "
    return f" {key} " in whole or (not key.isascii() and key in folded(text))


def _speaker(said: Sequence[tuple[OutboxEntry, SpokenMessage]]) -> str | None:
    """Who said it, if it was one."""
    speakers = {message.speaker for _, message in said if message.role == "user"}
    return speakers.pop() if len(speakers) == 1 else None


def _filed_under(category: str, categories: Sequence[str]) -> dict[str, list[str]] | None:
    found = [one for one in categories if one.casefold() == category.casefold()]
    return {"categories": found} if found else None


def _when(when: str, said_at: datetime, request: Request) -> datetime | None:
    """The begin of the day that the model named, if that can be one."""
    if not when:
        return None
    try:
        begin = span_of(when, zone=zone_of(request.wishes)).begin
    except InvalidDateError:
        return None
    return begin if _OLDEST <= begin <= said_at + _FURTHEST else None
