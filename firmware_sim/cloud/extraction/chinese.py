"""How the stand-in model understands a Chinese sentence: by a small grammar, as a reader would who hurries."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from firmware_sim.cloud.extraction.claims import ME, WORDS, Claim, Reading, Relation, claims_of
from firmware_sim.cloud.extraction.grammar import Grammar

_GRAMMAR = Grammar(Path(__file__).with_name("chinese.txt"))
_ALIKE, _PETS, _SMALL = _GRAMMAR.alike(), *map(_GRAMMAR.words, ("pet", "small"))
_OPENING, _NO_FACT, _CLAUSE, _ENDED, _STOPPED, _INSTEAD, _FILLING, _TAIL, _MEASURE = map(
    _GRAMMAR.pattern,
    ("opening", "no fact", "clause", "ended", "stopped", "instead", "filling", "tail", "measure"),
)
_NO_NAME, _NO_SUBJECT, _HOW_TO = map(_GRAMMAR.pattern, ("no name", "no subject", "how to"))
_MY_KIN, _KIN_OF_OTHERS = map(_GRAMMAR.patterns, ("my kin", "kin of others"))
_KIN = "|".join(sorted(_GRAMMAR.words("kin"), key=len, reverse=True))
_MINE = re.compile(r"(?:我们家|我们|我家(?!在)|我的|我)的?")
_SOMEBODY = re.compile(rf"(?P<role>{_KIN})(?:(?!的)[\u3400-\u9fff]{{2}}(?=住在|在|喜欢|搬))?的?")
_NAMED = re.compile(r"(?:名字)?(?:叫|名叫|是)")
_NAME = re.compile(r"(?P<name>[\u3400-\u9fff]{2,3}?)(?=住在|搬到|搬去|喜欢|讨厌|对.+过敏|在.+(?:工作|上班))")
_WHEN = (("昨天", 1), ("昨晚", 1), ("今天", 0), ("今早", 0), ("前天", 2), ("上周", 7), ("上个星期", 7))
_I = re.compile(r"^(?:我们家的?|我们的?|我家(?!在)的?|我的|我)")
_HAN = re.compile(r"[\u3400-\u9fff]|\w+", re.ASCII)


class _Subject(NamedTuple):
    owner: str
    rest: str


def read_chinese(sentence: str) -> Reading | None:
    """None where nothing is told."""
    told = _opened(sentence)
    if not told or _NO_FACT.search(told):
        return None
    relations = tuple(dict.fromkeys(_relations(told.rstrip("。！! "))))
    ago = next((days for word, days in _WHEN if word in told), None)
    kind = "procedural" if _HOW_TO.search(told) else "episodic" if ago is not None else "semantic"
    return Reading(_retold(told), chinese_claims(told), tuple(_things(relations)), relations, kind, ago)


def chinese_claims(text: str) -> tuple[Claim, ...]:
    found: list[Claim] = []
    owner = ME
    for clause in _CLAUSE.split(_opened(text)):
        if clause.strip():
            subject = _subject(clause.strip(), owner)
            owner = subject.owner
            found += _claims(subject)
    told = _opened(text)
    named = claims_of(_relations(told.rstrip("。！! ")))
    return tuple(dict.fromkeys([*found, *named, _in_words(told, owner)]))


def _in_words(told: str, owner: str) -> Claim:
    is_ended = bool(_ENDED.search(told)) != bool(_STOPPED.search(told))
    plain = _FILLING.sub("", _ENDED.sub("", _I.sub("", told)))
    return Claim(owner, WORDS, frozenset(_HAN.findall(plain)) - _SMALL, not is_ended)


def _opened(sentence: str) -> str:
    told = sentence.strip()
    while (shorter := _OPENING.sub("", told)) != told:
        told = shorter
    return told


def _subject(clause: str, before: str) -> _Subject:
    """Who it is about: a clause without a subject goes on about the one before."""
    mine = _MINE.match(clause)
    text = clause[mine.end() :] if mine else clause
    if somebody := _SOMEBODY.match(text):
        rest = text[somebody.end() :]
        return _Subject(ME, text) if _NAMED.match(rest) else _Subject(_alike(somebody["role"]), rest)
    if mine:
        return _Subject(ME, text)
    named = _NAME.match(text)
    if named and not _FILLING.search(named["name"]) and not _NO_SUBJECT.search(named["name"]):
        return _Subject(named["name"], text[named.end() :])
    return _Subject(before, text)


def _claims(subject: _Subject) -> Iterator[Claim]:
    ended = bool(_ENDED.search(subject.rest)) != bool(_STOPPED.search(subject.rest))
    instead = bool(_INSTEAD.search(subject.rest))
    plain = _FILLING.sub("", _ENDED.sub("", subject.rest))
    for frame, match in _GRAMMAR.framed(plain):
        topic = frame.topic.format(_alike(match.groupdict().get("of") or ""))
        is_so = frame.holds and not ended
        is_single = frame.single or (instead and topic.startswith("does"))
        if value := _value(match["value"]):
            yield Claim(subject.owner, topic, value, is_so, is_single and is_so)


def _alike(word: str) -> str:
    return _ALIKE.get(word, word)


def _value(text: str) -> frozenset[str]:
    """Pairs of neighbouring characters: as good as words where none are marked."""
    plain = _TAIL.sub("", _MEASURE.sub("", text.strip()))
    plain = re.sub(r"[\s，。！、~·]|的", "", plain)
    if re.fullmatch(r"[\d\- ]+", plain):
        return frozenset({plain.replace("-", "")})
    return frozenset(plain[at : at + 2] for at in range(len(plain) - 1)) or frozenset({plain} - {""})


# --- people and things ---


def _relations(told: str) -> Iterator[Relation]:
    for match in _matches(_MY_KIN, told):
        yield match["name"], match["role"], ME
    for match in _matches(_KIN_OF_OTHERS, told):
        if not _NO_NAME.search(match["of"]):
            yield match["name"], match["role"], match["of"]


def _matches(patterns: Sequence[re.Pattern[str]], told: str) -> Iterator[re.Match[str]]:
    for pattern in patterns:
        yield from (match for match in pattern.finditer(told) if not _NO_NAME.search(match["name"]))


def _things(relations: Sequence[Relation]) -> Iterator[tuple[str, str]]:
    named = {name: "动物" if role in _PETS else "人" for name, role, _ in relations}
    yield from (named | {of: "人" for _, _, of in relations if of != ME}).items()


# --- the fact in words of its own ---


def _retold(told: str) -> str:
    """Without "我", which is whose memory it is."""
    clauses = re.split(r"([，,；;])", told.rstrip("。！! "))
    return "".join(_I.sub("", clause) for clause in clauses) + "。"
