"""The guard: which summary is believed. One that tells what its sources do not, or leaves out most of them, is none."""

import re
from collections.abc import Iterable
from typing import Literal

from ..budget import tokens_in
from ..facts.answer import Answer, ModelAnswerError
from ..facts.answer import read as read_answer
from ..facts.check import is_order
from ..facts.marks import marks_of
from ..facts.scripts import main_script, scripts_of
from ..facts.sentences import sentences_of
from ..recall.words import words_of
from .material import Group

Refusal = Literal["unreadable", "empty", "order", "long", "foreign", "unfounded", "incomplete"]

LONGEST_SUMMARY = 2000
_FOUNDED = 0.7  # of its own words
_STOOD_FOR = 0.5  # of its sources
_NUMBER = re.compile(r"\d+")
_END = re.compile(r"[.!?。！？]\W*$")


class RefusedError(Exception):
    """`why` is all that is told of it: the summary itself may hold anything."""

    def __init__(self, why: Refusal) -> None:
        super().__init__(why)
        self.why = why


def checked_summary(answer: object, group: Group) -> str:
    """The summary in a model's answer."""
    text = _text_of(_read(answer))
    if not text:
        raise RefusedError("empty")
    if is_order(text):
        raise RefusedError("order")
    if len(text) > LONGEST_SUMMARY or tokens_in(text) >= sum(tokens_in(source.text) for source in group):
        raise RefusedError("long")
    texts = [source.text for source in group]
    if (script := main_script(text)) and script not in scripts_of(texts):
        raise RefusedError("foreign")
    if not _is_founded(text, group):
        raise RefusedError("unfounded")
    if not _stands_for(text, texts):
        raise RefusedError("incomplete")
    return text


def _read(answer: object) -> Answer:
    try:
        found = read_answer(answer)
    except ModelAnswerError:
        raise RefusedError("unreadable") from None
    if not found.is_whole:
        raise RefusedError("unreadable")
    return found


def _text_of(answer: Answer) -> str:
    """Where it answered with several they are read as one, each a sentence of its own."""
    return " ".join(_ended(fact.text) for fact in answer.facts)


def _ended(text: str) -> str:
    return text if _END.search(text) else f"{text}."


def _is_founded(text: str, group: Group) -> bool:
    """Its names and numbers stand in a source, and most of the other words of each sentence do."""
    known = [f"{source.text} {source.speaker or ''} {source.day:%A %B}" for source in group]
    if not marks_of(text).names <= {word for one in known for word in words_of(one)}:
        return False
    if not set(_numbers([text])) <= set(_numbers(known)) | set(_dates(group)):
        return False
    said = {word for one in known for word in marks_of(one).words}
    told = [marks_of(sentence).specific for sentence in sentences_of(text)]
    return any(told) and all(len(words & said) >= _FOUNDED * len(words) for words in told)


def _stands_for(text: str, texts: Iterable[str]) -> bool:
    """It has a word of most of its sources, and not only one that all of them have."""
    told = marks_of(text).specific
    specific = [words for words in (marks_of(one).specific for one in texts) if words]
    in_all = frozenset.intersection(*specific) if specific else frozenset()
    stood_for = sum(bool((words - in_all or words) & told) for words in specific)
    return stood_for >= max(1.0, _STOOD_FOR * len(specific))


def _numbers(texts: Iterable[str]) -> Iterable[int]:
    return (int(digits[:18]) for text in texts for digits in _NUMBER.findall(text))


def _dates(group: Group) -> Iterable[int]:
    return (number for source in group for number in (source.day.year, source.day.month, source.day.day))
