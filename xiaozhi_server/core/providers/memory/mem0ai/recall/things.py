"""The people and things that a question is about: by one of their names, or by how they are related to somebody.

"What does my sister like?" is about whoever is known as the owner's sister, "my sister's husband" goes one step on from
there, and so do "the husband of my sister" and 我姐姐的丈夫. All of it is looked up word by word; no model is asked.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from .relation_words import OPPOSITES, kind_of, runs_of
from .words import query_tokens

SELF = "self"  # the key of the owner

_NAMES_WEIGHT = 0.6  # all names of one together, against a word of the question
_NAMES_MAX = 4  # of one; a model may have made up any number


@dataclass(frozen=True, slots=True)
class Thing:
    """Of one owner, as one agent heard of it. `keys` are its names in the form in which they are compared."""

    id: UUID
    agent_id: str
    names: tuple[str, ...]
    keys: tuple[str, ...]

    @property
    def is_owner(self) -> bool:
        return self.keys[0] == SELF


@dataclass(frozen=True, slots=True)
class Relation:
    """The subject is the object's `relation`; not any more from `ends_at_s` on, where that is known."""

    subject: UUID
    relation: str
    object: UUID
    ends_at_s: float | None = None


@dataclass(frozen=True, slots=True)
class Things:
    """All that is known of one owner's people and things."""

    things: Sequence[Thing]
    relations: Sequence[Relation]
    _by_id: dict[UUID, Thing] = field(init=False, default_factory=dict, repr=False)
    _named: dict[str, list[Thing]] = field(init=False, default_factory=dict, repr=False)
    _related: dict[tuple[UUID, str], list[Relation]] = field(init=False, default_factory=dict, repr=False)
    _kinds: set[str] = field(init=False, default_factory=set, repr=False)

    def __post_init__(self) -> None:
        for thing in self.things:
            self._by_id[thing.id] = thing
            for key in () if thing.is_owner else thing.keys:
                self._named.setdefault(" ".join(runs_of(key)), []).append(thing)
        for one in self.relations:
            for way in dict.fromkeys((kind_of(one.relation), " ".join(runs_of(one.relation)))):
                self._add(one, way)

    def __bool__(self) -> bool:
        return bool(self.things)

    def named(self, words: str, agents: Collection[str] | None) -> list[Thing]:
        return [thing for thing in self._named.get(words, ()) if (agents is None or thing.agent_id in agents)]

    def owners(self, agents: Collection[str] | None) -> list[Thing]:
        """The owner, as each agent knows them."""
        return [thing for thing in self.things if thing.is_owner and (agents is None or thing.agent_id in agents)]

    def is_relation(self, word: str) -> bool:
        """Whether anybody is known to be this to somebody."""
        return kind_of(word) in self._kinds

    def is_called(self, word: str) -> bool:
        """Whether somebody is called by just this word for a relation."""
        return word in self._kinds

    def related(self, whose: Iterable[Thing], word: str, now_s: float | None) -> list[Thing]:
        """Who is their sister, or whatever the word says; without a time also who was.

        Where a word says more than its kind (姐姐, an older sister), those who are called so come first.
        """
        found: dict[UUID, Thing] = {}
        for way in dict.fromkeys((word, kind_of(word))):
            for one in whose:
                for relation in self._related.get((one.id, way), ()):
                    if now_s is None or relation.ends_at_s is None or relation.ends_at_s > now_s:
                        other = relation.subject if relation.object == one.id else relation.object
                        found[other] = self._by_id[other]
            if found and word != kind_of(word):
                break
        return list(found.values())

    def _add(self, relation: Relation, way: str) -> None:
        if relation.subject not in self._by_id or relation.object not in self._by_id:
            return
        self._kinds.add(way)
        self._related.setdefault((relation.object, way), []).append(relation)
        if (opposite := OPPOSITES.get(way)) is not None:
            self._kinds.add(opposite)
            self._related.setdefault((relation.subject, opposite), []).append(relation)


NOTHING_KNOWN = Things((), ())


def names_of(things: Iterable[Thing]) -> dict[int, float]:
    """The tokens of their names with their weights, as words of a question."""
    weights: dict[int, float] = {}
    for thing in things:
        names = thing.names[:_NAMES_MAX]
        for name in names:
            for token, weight in query_tokens(name).items():
                weights[token] = max(weights.get(token, 0.0), weight * _NAMES_WEIGHT / len(names))
    return weights
