"""How the stand-in model understands an English sentence: by a small grammar, as a reader would who hurries."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from firmware_sim.cloud.extraction.claims import ME, WORDS, Claim, Reading, Relation, claims_of
from firmware_sim.cloud.extraction.grammar import Grammar

_I = re.IGNORECASE
_GRAMMAR = Grammar(Path(__file__).with_name("english.txt"))
_ALIKE, _PETS, _CALENDAR, _SMALL = _GRAMMAR.alike(), *map(_GRAMMAR.words, ("pet", "calendar", "small"))
_PAST, _KNOWN_VERBS, _OWN_THINGS = map(_GRAMMAR.words, ("past", "known verbs", "own things"))
_OPENING, _NO_FACT, _CLAUSE, _ENDED, _STOPPED, _INSTEAD, _ADVERB, _FROM, _SWAPPED, _HOW_TO, _VERB = map(
    _GRAMMAR.pattern,
    ("opening", "no fact", "clause", "ended", "stopped", "instead", "adverb", "from", "swapped", "how to", "verb"),
)
_MY_KIN, _KIN_OF_OTHERS = map(_GRAMMAR.patterns, ("my kin", "kin of others"))
_ROLE = "|".join(sorted(_GRAMMAR.words("kin") | _PETS, key=len, reverse=True))
_NAME = r"[A-Z][a-z]+(?: [A-Z][a-z]+)?"
_ME = re.compile(r"(?:i|we|user)(?:'(?:m|ve|ll|d))?\b", _I)
_SOMEBODY = re.compile(rf"(?i:(?:(?:my|our|their) )?(?:\w+ )?(?P<role>{_ROLE}))(?: (?P<name>{_NAME}))?(?P<of>'s)?\b")
_NAMED = re.compile(r" (?:name )?(?:is |was )?(?:called|named|is [A-Z])|^ name\b")
_PERSON = re.compile(rf"(?<![.!?] )(?<!^)\b(?P<name>{_NAME})\b")
_BEFORE_PLACES = ("in", "to", "near", "from")
_WHEN = (("yesterday", 1), ("last night", 1), ("today", 0), ("this morning", 0), ("last week", 7), ("a week ago", 7))
_WORD = re.compile(r"[\w']+")
_IN_NUMBER = re.compile(r"(?<=\d)[ \-/](?=\d)")
_SHORT = (("I'm", "I am"), ("I've", "I have"), ("I'll", "I will"), ("I'd", "I would"))
_DOING = re.compile(
    r"\b(?:I|We|we)((?: (?:really|now|just|recently|finally|never|usually|always|still|also|no longer))*) ([\w']+)"
)
_THIRD = {
    "am": "is",
    "are": "is",
    "have": "has",
    "do": "does",
    "don't": "does not",
    "haven't": "has not",
    "can't": "cannot",
}
_AS_IT_IS = re.compile(r"can|cannot|will|would|must|should|could|used|\w+ed|\w+n't", _I)


class _Subject(NamedTuple):
    owner: str
    rest: str


def read_english(sentence: str) -> Reading | None:
    """None where nothing is told."""
    told = _OPENING.sub("", sentence.strip()).strip()
    if not told or _NO_FACT.search(told):
        return None
    relations = tuple(_relations(told))
    ago = next((days for word, days in _WHEN if word in told.casefold()), None)
    kind = "procedural" if _HOW_TO.search(told) else "episodic" if ago is not None else "semantic"
    return Reading(_retold(told), english_claims(told), tuple(_things(told, relations)), relations, kind, ago)


def english_claims(text: str) -> tuple[Claim, ...]:
    told = _OPENING.sub("", text.strip()).rstrip(".! ")
    found: list[Claim] = []
    owner = ME
    for clause in _CLAUSE.split(told):
        if clause:
            subject = _subject(clause, owner)
            owner = subject.owner
            found += _claims(subject)
    return tuple(dict.fromkeys([*found, *claims_of(_relations(told)), _in_words(told, owner)]))


def _in_words(told: str, owner: str) -> Claim:
    is_ended = bool(_ENDED.search(told)) != bool(_STOPPED.search(told))
    return Claim(owner, WORDS, _value(_ADVERB.sub(" ", told)), not is_ended)


def _claims(subject: _Subject) -> Iterator[Claim]:
    rest = _ADVERB.sub(" ", subject.rest)
    ended = bool(_ENDED.search(rest)) != bool(_STOPPED.search(rest))
    instead = bool(_INSTEAD.search(rest))
    if swapped := _SWAPPED.search(rest):
        yield Claim(subject.owner, "has", _value(swapped["old"]), holds=False)
        rest, ended = f"has {swapped['new']}", False
    plain = " ".join(_FROM.sub("to", _ENDED.sub(" ", rest)).split())
    for frame, match in _GRAMMAR.framed(plain):
        topic = frame.topic.format(_stem(match.groupdict().get("of") or ""))
        is_so = frame.holds and not ended
        is_single = frame.single or (instead and topic.startswith("does"))
        if value := _value(match["value"]):
            yield Claim(subject.owner, topic, value, is_so, is_single and is_so)


def _subject(clause: str, before: str) -> _Subject:
    """Who it is about: a clause without a subject goes on about the one before."""
    text = clause.strip()
    if me := _ME.match(text):
        return _Subject(ME, text[me.end() :])
    if somebody := _SOMEBODY.match(text):
        role, rest = somebody["role"].casefold(), text[somebody.end() :]
        goes_on = (
            somebody["of"] or somebody["name"] or _is_verb(rest.split()[0] if rest.strip() else "is", or_like_one=True)
        )
        is_about_me = role in _PETS or bool(_NAMED.match(rest)) or not goes_on
        return _Subject(ME, text) if is_about_me else _Subject(_ALIKE.get(role, role), rest)
    first, _, rest = text.partition(" ")
    if (
        first.casefold() in _OWN_THINGS
        or re.match(r"(?:my|our|the|their)\b", text, _I)
        or re.search(r"\b(?:my|our|their)\b", rest)
    ):
        return _Subject(ME, text)
    if (
        first[:1].isupper()
        and not _is_verb(first)
        and not _ADVERB.fullmatch(first)
        and _is_verb(rest.partition(" ")[0], or_like_one=True)
    ):
        return _Subject(first.casefold(), rest)
    return _Subject(before, text)


def _is_verb(word: str, *, or_like_one: bool = False) -> bool:
    low = word.casefold()
    known = low in _PAST or low in _KNOWN_VERBS or bool(_VERB.fullmatch(low))
    return known or (or_like_one and low.endswith(("s", "ed", "n't")))


def _value(text: str) -> frozenset[str]:
    joined = _IN_NUMBER.sub("", text.casefold())
    return frozenset(_stem(word) for word in _WORD.findall(joined) if word not in _SMALL)


def _stem(word: str) -> str:
    word = _ALIKE.get(word.casefold(), word.casefold())
    for end in ("ing", "ies", "es", "s", "ed", "e"):
        if word.endswith(end) and len(word) - len(end) >= 3 and not word.endswith("ss"):
            return word[: -len(end)]
    return word


# --- people and things ---


def _relations(told: str) -> Iterator[Relation]:
    for match in _matches(_MY_KIN, told):
        yield match["name"], match["role"].casefold(), ME
    for match in _matches(_KIN_OF_OTHERS, told):
        yield match["name"], match["role"].casefold(), match["of"]


def _matches(patterns: Sequence[re.Pattern[str]], told: str) -> Iterator[re.Match[str]]:
    for pattern in patterns:
        yield from (match for match in pattern.finditer(told) if match["name"].split()[0] not in _CALENDAR)


def _things(told: str, relations: Sequence[Relation]) -> Iterator[tuple[str, str]]:
    named = {name: "animal" if role in _PETS else "person" for name, role, _ in relations}
    named |= {of: "person" for _, _, of in relations if of != ME}
    yield from named.items()
    for match in _PERSON.finditer(told):
        if match["name"] not in named and match["name"].split()[0] not in _CALENDAR:
            before = told[: match.start()].rstrip().rpartition(" ")[2]
            yield match["name"], "place" if before in _BEFORE_PLACES else ""


# --- the fact in words of its own ---


def _retold(told: str) -> str:
    """Without "I" and "my", in the third person: "I live in Oslo" is "Lives in Oslo."."""
    text = told
    for short, long in _SHORT:
        text = re.sub(rf"\b{short}\b", long, text)
    text = re.sub(r"^(?:my|our) ", "", _DOING.sub(_third_person, text), flags=_I)
    text = re.sub(r"\b(?:my|our)\b", "their", text, flags=_I).rstrip(".! ")
    return f"{text[:1].upper()}{text[1:]}."


def _third_person(match: re.Match[str]) -> str:
    verb = match[2].casefold()
    if verb in _THIRD:
        verb = _THIRD[verb]
    elif verb not in _PAST and not _AS_IT_IS.fullmatch(verb):
        verb = _with_s(verb)
    return f"{match[1].strip()} {verb}".strip()


def _with_s(verb: str) -> str:
    if re.search(r"[^aeiou]y$", verb):
        return f"{verb[:-1]}ies"
    return f"{verb}es" if verb.endswith(("s", "x", "ch", "sh", "o")) else f"{verb}s"
