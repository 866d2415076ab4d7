"""Whether two facts are one, and whether one is about what the other was about. In doubt they are not.

`near` is the cosine of both, None where the embedder does not understand the language.
"""

from collections.abc import Collection, Sequence
from itertools import takewhile

from .lexicon import KIN
from .marks import Marks, marks_of

_SAME_MEANING = 0.9  # beyond it there may be a few more words
_SAID_SO = 0.6  # enough where the model says that both are one
_NEAR = 0.25
_NOT_FAR = 0.1  # enough where the model has copied the words
_MOST_ADDED = 3
_SUBJECT_WORDS = 2


def are_one(one: str, other: str, near: float | None) -> bool:
    """Our own rule: the same words, or nearly the same in the same meaning."""
    a, b = marks_of(one), marks_of(other)
    if not a.order or not _compatible(a, b) or a.persons != b.persons or a.telling != b.telling:
        return False
    if a.order == b.order:
        return True
    return near is not None and near >= _SAME_MEANING and (_only_adds(a, b) or _only_adds(b, a))


def may_be_one(one: str, other: str, near: float | None, *, people: Collection[str] = ()) -> bool:
    """Where the model says that they are: nothing speaks against it, and they have something in common."""
    a, b = marks_of(one), marks_of(other)
    if not _compatible(a, b) or _tell_otherwise(a, b) or _who(a, people) != _who(b, people):
        return False
    if a.order and a.order == b.order:
        return True
    if near is None and not _is_spaced(a) and 2 * len(a.words & b.words) >= min(len(a.words), len(b.words)) > 0:
        return True
    shared, fewest = a.specific & b.specific, min(len(a.specific), len(b.specific))
    if a.specific - b.specific and b.specific - a.specific:  # each says something that the other does not
        return 2 * len(shared) > fewest or (near is not None and near >= _SAME_MEANING)
    return 2 * len(shared) >= fewest > 0 or (near is not None and near >= _SAID_SO)


def adds_only_words(longer: str, shorter: str) -> bool:
    """Whether the longer text says all that the shorter one says."""
    return marks_of(longer).words > marks_of(shorter).words


def about_the_same(
    new: str, old: str, near: float | None, *, people: Collection[str], shares_thing: bool, copied: bool = False
) -> bool:
    """Whether a fact can be why another one holds no more. `people` are names of persons, folded.

    `copied`: the model has told the old one's words beside its number, so that it is no slip; then it is only refused
    where meaning, or what both are about, speaks against it.
    """
    a, b = marks_of(new), marks_of(old)
    if _who(a, people) != _who(b, people) and not (a.persons - {"we"}):
        return False
    if shares_thing or a.specific & b.specific or a.topics & b.topics:
        return True
    if copied:
        return not (a.topics and b.topics) and (near is None or near >= _NOT_FAR)
    return near is not None and near >= _NEAR


def _compatible(a: Marks, b: Marks) -> bool:
    """The same numbers and negations, no name that contradicts, nothing that excludes each other."""
    if a.numbers != b.numbers or a.negations % 2 != b.negations % 2:
        return False
    if a.names - b.words and b.names - a.words:
        return False
    lines = (_lines(a) & _lines(b)) | KIN
    return {one for one in a.contrasts if one[0] in lines} == {one for one in b.contrasts if one[0] in lines}


def _tell_otherwise(a: Marks, b: Marks) -> bool:
    """Whether they begin alike and then each has a word of its own: "studies history", "studies chemistry"."""
    one, other = _in_order(a), _in_order(b)
    begin = _alike_until(one, other)
    end = _alike_until(one[begin:][::-1], other[begin:][::-1])
    fewest = min(len(one), len(other))
    return begin + end < fewest <= 2 * begin


def _is_spaced(marks: Marks) -> bool:
    return all(word.isascii() for word in marks.words)


def _in_order(marks: Marks) -> list[str]:
    """Of scripts without spaces the characters, without their pairs."""
    return [word for word in marks.order if word.isascii() or len(word) == 1]


def _alike_until(one: Sequence[str], other: Sequence[str]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _only_adds(longer: Marks, shorter: Marks) -> bool:
    """Whoever else is named is somebody else."""
    added = longer.words - shorter.words
    if not shorter.words <= longer.words or not 0 < len(added) <= _MOST_ADDED:
        return False
    return not added & longer.names


def _lines(marks: Marks) -> frozenset[int]:
    return frozenset(number for number, _ in marks.contrasts)


def _who(marks: Marks, people: Collection[str]) -> frozenset[str]:
    """Whom a fact is about, if that is not the speaker: who is named further behind only takes part."""
    begin = marks.order[:_SUBJECT_WORDS]
    kin = {member for line, member in marks.contrasts if line in KIN}
    return frozenset(who for who in kin | set(people) if who in begin or (not who.isascii() and who in marks.begin))
