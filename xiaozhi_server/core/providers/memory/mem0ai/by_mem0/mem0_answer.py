"""Reads what a model answered to mem0's request for facts. mem0 itself takes what it cannot read for "no facts"."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_THOUGHTS = re.compile(r"<think>.*?</think>", re.DOTALL)
_MOST_FACTS = 200
_LONGEST_ANSWER = 200_000


class ModelAnswerError(ValueError):
    """The model did not answer, or not with what it was asked for. Never quotes it."""


@dataclass(frozen=True, slots=True)
class Fact:
    """`attributed_to` is whose statement it was: the user's or the assistant's."""

    text: str
    attributed_to: str


def facts_of(answer: object) -> list[Fact]:
    """The facts of an answer `{"memory": [{"text": ...}]}`, with or without prose and fences around it."""
    if not isinstance(answer, str) or not answer.strip():
        raise ModelAnswerError("the model answered nothing")
    listed = next((found["memory"] for found in _objects(answer) if isinstance(found.get("memory"), list)), None)
    if listed is None:
        raise ModelAnswerError("the model did not answer with a list of memories")
    facts = [fact for item in listed[:_MOST_FACTS] if (fact := _fact(item)) is not None]
    if listed and not facts:
        raise ModelAnswerError("the model answered with memories that have no text")
    return list({fact.text: fact for fact in facts}.values())


def as_answer(facts: list[Fact]) -> str:
    """The same as mem0 reads it without fail."""
    items = [{"id": str(at), "text": one.text, "attributed_to": one.attributed_to} for at, one in enumerate(facts)]
    return json.dumps({"memory": items}, ensure_ascii=False)


def _objects(answer: str) -> Iterator[dict[str, Any]]:
    """Every JSON object that begins somewhere in the text; what is inside of one that was read is passed over."""
    text = _THOUGHTS.sub("", answer[:_LONGEST_ANSWER])
    decoder = json.JSONDecoder(strict=False)
    at = text.find("{")
    while at >= 0:
        try:
            found, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            end = at + 1
        else:
            yield found
        at = text.find("{", end)


def _fact(item: Any) -> Fact | None:
    if isinstance(item, str):
        item = {"text": item}
    text = item.get("text") if isinstance(item, dict) else None
    if not isinstance(text, str) or not text.strip():
        return None
    attributed_to = item.get("attributed_to")
    return Fact(text.strip(), "assistant" if attributed_to == "assistant" else "user")
