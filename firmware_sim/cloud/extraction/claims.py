"""What a sentence claims, taken apart so that two claims can be held against each other. No language in here."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

ME = "I"
WORDS = "in words"  # what a sentence says in whole, where nothing is understood but its words

Relation = tuple[str, str, str]
_ENOUGH = 0.7  # of the words of two values, taken together, that they share where they say the same


@dataclass(frozen=True, slots=True)
class Claim:
    """`owner` has `value` in the matter of `topic`; not `holds`: has it no more, or never had.

    `single`: there is one value at a time, so that another one takes its place.
    """

    owner: str
    topic: str
    value: frozenset[str]
    holds: bool = True
    single: bool = False


@dataclass(frozen=True, slots=True)
class Reading:
    """A sentence understood: the fact in words of its own, and what is in it."""

    text: str
    claims: tuple[Claim, ...] = ()
    things: tuple[tuple[str, str], ...] = ()  # name and kind
    relations: tuple[Relation, ...] = ()
    kind: str = "semantic"
    days_ago: int | None = None  # when it happened, seen from the day of the talk


def claims_of(relations: Iterable[Relation]) -> list[Claim]:
    """What the names of others claim: one may have more than one sister."""
    return [Claim(of, f"name of {role}", frozenset({name.casefold()})) for name, role, of in relations]


def of_one_name(claims: Iterable[Claim], roles: Mapping[str, str]) -> tuple[Claim, ...]:
    """Whoever has a role is called by it: "Anna" and "my sister" are the same person."""
    return tuple(replace(claim, owner=roles.get(claim.owner.casefold(), claim.owner)) for claim in claims)


def contradicts(new: Sequence[Claim], old: Sequence[Claim]) -> bool:
    """Whether the old ones are not true any more now that the new ones are."""
    return any(map(_takes_the_place, *_pairs(new, old)))


def repeats(new: Sequence[Claim], old: Sequence[Claim]) -> bool:
    """Whether everything that is new was known: in nearly the same words, or each of its claims."""
    known = [one for one in new if any(_says_the_same(one, other) for other in old)]
    return any(one.topic == WORDS for one in known) or len(known) >= len(new) - 1 > 0


def _pairs(new: Iterable[Claim], old: Iterable[Claim]) -> tuple[list[Claim], list[Claim]]:
    both = list(product(new, old))
    return [one for one, _ in both], [other for _, other in both]


def _takes_the_place(new: Claim, old: Claim) -> bool:
    if (new.owner, new.topic) != (old.owner, old.topic) or new.topic == WORDS:
        return False
    if new.holds and old.holds:
        return (new.single or old.single) and bool(new.value) and not new.value & old.value
    return new.holds != old.holds and bool(new.value & old.value)


def _says_the_same(new: Claim, old: Claim) -> bool:
    if (new.owner, new.topic, new.holds) != (old.owner, old.topic, old.holds):
        return False
    shared = new.value & old.value
    return new.value == old.value or len(shared) >= _ENOUGH * len(new.value | old.value)
