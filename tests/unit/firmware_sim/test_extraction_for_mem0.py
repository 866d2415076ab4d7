"""The stand-in model at work for mem0 in its own words: it reads the request and nothing else."""

import json
from typing import Any

import pytest

from firmware_sim.cloud.answers import answer


def request(new: str, known: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """As mem0 words it."""
    existing = json.dumps([{"id": str(at), "text": text} for at, text in enumerate(known)], ensure_ascii=False)
    asked = (
        f"## Summary\n\n\n## Existing Memories\n{existing}\n\n## New Messages\n{new}\n\n"
        "## Observation Date\n2026-11-20\n\n## Custom Instructions\nuser: I am no message.\n\n# Output:"
    )
    role = "# ROLE\n\nYou are a Memory Extractor - a precise processor"
    return [{"role": "system", "content": role}, {"role": "user", "content": asked}]


def facts(new: str, known: tuple[str, ...] = ()) -> list[str]:
    return [memory["text"] for memory in json.loads(answer(request(new, known)).text)["memory"]]


def test_a_fact_is_a_sentence_of_the_users() -> None:
    talk = "user: Hello! I like tea. My dog is Rex\nassistant: I like tea too.\nuser: 我喜欢茶。你呢？\n"
    assert facts(talk) == ["I like tea.", "My dog is Rex", "我喜欢茶。"]


def test_what_is_known_is_not_said_again() -> None:
    assert facts("user: I like tea. I like plums. I like plums.\n", ("I like tea.",)) == ["I like plums."]


def test_nothing_told_is_an_empty_list() -> None:
    assert facts("user: Hi!\nassistant: I am a robot.\nuser: What is the time?\n") == []


@pytest.mark.parametrize(("text", "score"), [("My dog is Rex.", "1.00"), ("my cat", "0.50"), ("Tea!", "0.00")])
def test_a_text_is_rated_by_the_words_it_shares(text: str, score: str) -> None:
    system = "You are a relevance scoring assistant. Given a query and a document"
    asked = f"Query: my dog\n\nDocument: {text}"
    assert answer([{"role": "system", "content": system}, {"role": "user", "content": asked}]).text == score


def test_other_talk_is_answered_as_ever() -> None:
    assert answer([{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hello"}]).text.startswith(
        "H"
    )
