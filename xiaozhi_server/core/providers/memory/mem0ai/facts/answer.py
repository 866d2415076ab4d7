"""Reads what a model answered to a request for facts, and mends what can be mended. Believes nothing yet."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from ..message import storable
from . import lenient_json

MOST_FACTS = 200
LONGEST_FACT = 1000
_LONGEST_ANSWER = 200_000
_LONGEST_NAME = 80
_MOST_NAMED = 50
_STRICT_STARTS = 1000  # a text full of braces is read from so many of them
_LENIENT_STARTS = 20
_THOUGHTS = re.compile(r"<think(?:ing)?>.*?</think(?:ing)?>|^.*</think(?:ing)?>", re.DOTALL | re.IGNORECASE)
_START = re.compile(r"[{\[]")
_NUMBER = re.compile(r"\d{1,4}")
_KINDS = ("semantic", "episodic", "procedural")
_LISTED = ("memory", "memories", "facts")
_TEXTS = ("text", "memory", "fact", "content")
_POINTERS = ("n", "number", "id")

Role = Literal["user", "assistant"]


class ModelAnswerError(ValueError):
    """The model did not answer, or not with what it was asked for. Never quotes it."""


class Pointer(NamedTuple):
    """A known memory as the model names it: by its number, by words copied from it, or by both."""

    number: int | None
    words: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """A fact as the model put it. Numbers are those of the request, which may not exist.

    `ends` holds texts of others of the same answer.
    """

    text: str
    by: Role = "user"
    kind: str = ""
    sources: tuple[int, ...] = ()
    replaces: tuple[Pointer, ...] = ()
    same_as: int | None = None
    category: str = ""
    when: str = ""
    about: tuple[str, ...] = ()
    ends: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NamedThing:
    name: str
    kind: str = ""
    also: tuple[str, ...] = ()


Relation = tuple[str, str, str]  # subject, relation, object


@dataclass(frozen=True, slots=True)
class Answer:
    """`is_repaired`: it was not JSON; `is_whole` is False where its end is missing or it tells more than may be."""

    facts: tuple[Told, ...]
    things: tuple[NamedThing, ...] = ()
    relations: tuple[Relation, ...] = ()
    is_repaired: bool = False
    is_whole: bool = True


def read(answer: object) -> Answer:
    """ModelAnswerError where nothing in it is an answer."""
    if not isinstance(answer, str) or not answer.strip():
        raise ModelAnswerError("the model answered nothing")
    text = _THOUGHTS.sub("", answer[:_LONGEST_ANSWER])
    found = next(_answers(text), None)
    if found is None:
        raise ModelAnswerError("the model did not answer with a list of memories")
    return found


def as_mem0_reads(facts: Sequence[Told]) -> str:
    """The same in the form that mem0 takes without fail."""
    items = [{"id": str(at), "text": one.text, "attributed_to": one.by} for at, one in enumerate(facts)]
    return json.dumps({"memory": items}, ensure_ascii=False)


def _answers(text: str) -> Iterator[Answer]:
    """Every value in the text that is an answer, the well-formed ones first."""
    values = list(_strict(text))
    for _, value in values:
        if (answer := _answer(value, _named_list(value))) is not None:
            yield answer
    if values and values[0][0]:  # not a list of names from within something broken
        bare = _bare_list([value for _, value in values])
        if (answer := _answer({}, bare)) is not None:
            yield answer
    for is_first, found in _lenient(text):
        listed = _named_list(found.value) or (_bare_list([found.value]) if is_first else None)
        answer = _answer(found.value, listed)
        if answer is not None and (answer.facts or found.is_whole):
            yield replace(answer, is_repaired=True, is_whole=answer.is_whole and found.is_whole)


def _strict(text: str) -> Iterator[tuple[bool, Any]]:
    """With whether nothing that might be a value comes before. What is inside of one that was read is passed over."""
    decoder = json.JSONDecoder(strict=False)
    is_first, at = True, 0
    for _ in range(_STRICT_STARTS):
        if (start := _START.search(text, at)) is None:
            return
        try:
            value, at = decoder.raw_decode(text, start.start())
        except (ValueError, RecursionError):
            is_first, at = False, start.end()
        else:
            yield is_first, value
            is_first = False


def _lenient(text: str) -> Iterator[tuple[bool, lenient_json.Lenient]]:
    at = 0
    for number in range(_LENIENT_STARTS):
        if (start := _START.search(text, at)) is None:
            return
        at = start.end()
        found = lenient_json.read(text, start.start())
        if found.is_whole:
            at = found.end
        yield number == 0, found


def _answer(value: Any, listed: list[Any] | None) -> Answer | None:
    if listed is None:
        return None
    facts = [fact for item in listed[:MOST_FACTS] if (fact := _fact(item)) is not None]
    if listed and not facts:
        return None
    rest = value if isinstance(value, dict) else {}
    return Answer(
        tuple({fact.text: fact for fact in facts}.values()),
        tuple(_things(rest.get("things"))),
        tuple(_relations(rest.get("relations"))),
        is_whole=len(listed) <= MOST_FACTS,
    )


def _named_list(value: Any) -> list[Any] | None:
    for name in _LISTED if isinstance(value, dict) else ():
        if isinstance(value.get(name), list):
            listed: list[Any] = value[name]
            return listed
        if isinstance(value.get(name), dict):
            return [value[name]]
    return None


def _bare_list(values: list[Any]) -> list[Any] | None:
    """A list without the object around it, or one object for each fact."""
    listed = values[0] if isinstance(values[0], list) else values
    return listed if any(_fact(item) is not None for item in listed) else None


def _fact(item: Any) -> Told | None:
    if isinstance(item, str):
        item = {"text": item}
    if not isinstance(item, dict):
        return None
    text = next((item[name] for name in _TEXTS if isinstance(item.get(name), str)), "")
    text = " ".join(storable(text).split())
    if not text:
        return None
    said_by = item.get("by") or item.get("attributed_to")
    kind = _word(item.get("kind")).casefold()
    return Told(
        text,
        "assistant" if said_by == "assistant" else "user",
        kind if kind in _KINDS else "",
        _numbers(item.get("from")),
        _pointers(item.get("replaces")),
        next(iter(_numbers(item.get("same_as"))), None),
        _word(item.get("category")),
        _word(item.get("when")),
        _words(item.get("about")),
        _words(item.get("ends"), LONGEST_FACT),
    )


def _numbers(value: Any) -> tuple[int, ...]:
    """Numbers may come as texts, and alone instead of in a list."""
    values = value if isinstance(value, list) else [value]
    found = [_number(one) for one in values[:_MOST_NAMED]]
    return tuple(dict.fromkeys(number for number in found if number is not None))


def _pointers(value: Any) -> tuple[Pointer, ...]:
    values = value if isinstance(value, list) else [value]
    found = [_pointer(one) for one in values[:_MOST_NAMED]]
    return tuple(dict.fromkeys(pointer for pointer in found if pointer != Pointer(None)))


def _pointer(value: Any) -> Pointer:
    """A text may be a number or the words themselves."""
    if not isinstance(value, dict):
        return Pointer(_number(value), _word(value, LONGEST_FACT))
    number = next((value[name] for name in _POINTERS if name in value), None)
    words = next((value[name] for name in ("was", *_TEXTS) if isinstance(value.get(name), str)), "")
    return Pointer(_number(number), _word(words, LONGEST_FACT))


def _number(value: Any) -> int | None:
    if isinstance(value, str):
        match = _NUMBER.search(value)
        return int(match[0]) if match else None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return int(value) if is_number and 0 <= value < 10_000 else None


def _word(value: Any, longest: int = _LONGEST_NAME) -> str:
    return " ".join(storable(value).split())[:longest] if isinstance(value, str) else ""


def _words(value: Any, longest: int = _LONGEST_NAME) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value]
    return tuple(dict.fromkeys(word for one in values[:_MOST_NAMED] if (word := _word(one, longest))))


def _things(value: Any) -> Iterator[NamedThing]:
    for item in value[:_MOST_NAMED] if isinstance(value, list) else ():
        named = item if isinstance(item, dict) else {"name": item}
        if name := _word(named.get("name")):
            yield NamedThing(name, _word(named.get("kind")).casefold(), _words(named.get("also")))


def _relations(value: Any) -> Iterator[Relation]:
    for item in value[:_MOST_NAMED] if isinstance(value, list) else ():
        if isinstance(item, dict):
            item = [item.get("subject"), item.get("relation"), item.get("object")]
        if isinstance(item, list) and len(item) == 3:
            subject, relation, other = (_word(part) for part in item)
            if subject and relation and other:
                yield subject, relation, other
