"""Reads from a question whom and what it is about, from left to right, as far as that is known (see things.py)."""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from .folding import folded
from .relation_words import UNSPACED_WORDS, is_spaced, runs_of
from .things import Thing, Things
from .words import EMPTY_WORDS, RUN

_LONGEST_TEXT = 500
_WORDS_OF_A_NAME = 4
_CHARACTERS_OF_A_NAME = 8
_BETWEEN = 2  # "my dear little sister"
_OWN = frozenset(["my", "our"])
_OWN_UNSPACED = ("我们家", "我们", "咱们", "我家", "我")
_OF_UNSPACED = "的"
_POSSESSIVE = re.compile("['’]s$")


@dataclass(frozen=True, slots=True)
class _Word:
    """A piece of the question: a name, a relation, the word for one's own, the one for "of", or anything else.

    `joins`: a relation that follows is meant of this one ("my sister's husband", 我姐姐老公).
    """

    things: Sequence[Thing] = ()
    relation: str = ""
    is_own: bool = False
    is_of: bool = False
    joins: bool = False


_OTHER = _Word()


def asked_things(text: str, known: Things, agents: Collection[str] | None, now_s: float | None) -> list[Thing]:
    """Each once, never the owner; of what these agents heard, or any. Without a time relations that ended count too."""
    words = list(_words(text[:_LONGEST_TEXT], known, agents))
    found: dict[UUID, Thing] = {}
    place = 0
    while place < len(words):
        meant, place = _expression(words, place, known, agents, now_s)
        found |= {thing.id: thing for thing in meant if not thing.is_owner}
    return list(found.values())


def _expression(
    words: Sequence[_Word], place: int, known: Things, agents: Collection[str] | None, now_s: float | None
) -> tuple[Sequence[Thing], int]:
    """Whom the words from here on are about, and where they end: "my sister's husband", "the husband of Anna"."""
    turned = []  # relations that are told before their owner
    while words[place].relation and place + 1 < len(words) and words[place + 1].is_of:
        turned.append(words[place].relation)
        place = _next(words, place + 1)
        if place == len(words):
            return (), place
    word = words[place]
    meant = word.things
    if word.is_own or word.relation:
        at = _relation_behind(words, place) if word.is_own else place
        if at is None:
            return (), place + 1
        place = at
        meant = known.related(known.owners(agents), words[place].relation, now_s)
    while words[place].joins and (at := _relation_behind(words, place)) is not None:
        # Of one whose husband nobody knows it is still about herself.
        meant = known.related(meant, words[at].relation, now_s) or meant
        place = at
    for relation in reversed(turned):
        meant = known.related(meant, relation, now_s) or meant
    return meant, place + 1


def _relation_behind(words: Sequence[_Word], place: int) -> int | None:
    """Where the relation stands that belongs to this word, past what describes it."""
    at = _next(words, place)
    return at if at < len(words) and words[at].relation else None


def _next(words: Sequence[_Word], place: int) -> int:
    """The next word that says anything, unless it is too far away."""
    for at in range(place + 1, min(place + 2 + _BETWEEN, len(words))):
        if words[at] != _OTHER:
            return at
    return len(words)


def _words(text: str, known: Things, agents: Collection[str] | None) -> Iterator[_Word]:
    runs = runs_of(text)
    capitals = _Capitals(text, runs)
    place = 0
    while place < len(runs):
        if not is_spaced(runs[place]):
            yield from _unspaced(runs[place], known, agents)
            place += 1
            continue
        word, count = _spaced(runs, place, known, agents, capitals)
        yield word
        place += count


def _spaced(
    runs: Sequence[str], place: int, known: Things, agents: Collection[str] | None, capitals: "_Capitals"
) -> tuple[_Word, int]:
    """The word that begins here, and of how many runs it is made."""
    for count in range(min(_WORDS_OF_A_NAME, len(runs) - place), 0, -1):
        name = " ".join(runs[place : place + count])
        bare = _POSSESSIVE.sub("", name)
        for way in dict.fromkeys((name, bare)):
            things = [one for one in known.named(way, agents) if capitals.fit(one, way, place)]
            if things:
                return _Word(things, joins=way != name or _joins_on(runs, place + count)), count
    run = runs[place]
    bare = _POSSESSIVE.sub("", run)
    if run in _OWN:
        return _Word(is_own=True), 1
    if known.is_relation(bare):
        return _Word(relation=bare, joins=bare != run or _joins_on(runs, place + 1)), 1
    return (_Word(is_of=True) if run == "of" else _OTHER), 1


def _joins_on(runs: Sequence[str], place: int) -> bool:
    """Anna的: the Chinese word for it may stand behind a name of another script."""
    return place < len(runs) and runs[place].startswith(_OF_UNSPACED)


def _unspaced(run: str, known: Things, agents: Collection[str] | None) -> Iterator[_Word]:
    place, before = 0, _OTHER
    while place < len(run):
        word, length = _unspaced_word(run, place, before, known, agents)
        if word != _OTHER or before != _OTHER or not place:
            yield word  # what lies between two words that say something is one, however long
        place, before = place + length, word


def _unspaced_word(
    run: str, place: int, before: _Word, known: Things, agents: Collection[str] | None
) -> tuple[_Word, int]:
    for length in range(min(_CHARACTERS_OF_A_NAME, len(run) - place), 1, -1):
        piece = run[place : place + length]
        if things := known.named(piece, agents):
            return _Word(things, joins=True), length + run.startswith(_OF_UNSPACED, place + length)
        if known.is_relation(piece) and (piece in UNSPACED_WORDS or known.is_called(piece)):
            return _Word(relation=piece, joins=True), length + run.startswith(_OF_UNSPACED, place + length)
    for own in _OWN_UNSPACED:
        if run.startswith(own, place):
            return _Word(is_own=True), len(own) + run.startswith(_OF_UNSPACED, place + len(own))
    if (before.is_own or before.joins) and run[place] in UNSPACED_WORDS and known.is_relation(run[place]):
        return _Word(relation=run[place], joins=True), 1 + run.startswith(_OF_UNSPACED, place + 1)
    return _OTHER, 1


class _Capitals:
    """ "Will" is a person and "will" is not, unless whoever wrote it down has no capitals at all."""

    def __init__(self, text: str, runs: Sequence[str]) -> None:
        self._plain = text == text.lower()
        self._first = runs[0] if runs else ""
        self._capital = {_POSSESSIVE.sub("", folded(run)) for run in RUN.findall(text) if run[0].isupper()}

    def fit(self, thing: Thing, name: str, place: int) -> bool:
        first = name.split(" ")[0]
        if first in EMPTY_WORDS:
            return first in self._capital and place > 0
        return self._plain or not thing.names[0][:1].isupper() or first in self._capital
