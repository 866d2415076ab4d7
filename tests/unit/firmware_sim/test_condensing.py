"""The stand-in model condenses old memories: from the request alone, in its language, only where it was asked to."""

import json
from typing import Any

import pytest

from firmware_sim.cloud.answers import answer

TASK = "You condense old memories of one household."


def asked(*texts: str, task: str = TASK, most_words: int = 20) -> str:
    told = [{"n": number, "day": "2026-03-02", "who": "user", "text": text} for number, text in enumerate(texts, 1)]
    request = {"most_words": most_words, "texts": told}
    user = {"role": "user", "content": json.dumps(request, ensure_ascii=False)}
    return answer([{"role": "system", "content": task}, user]).text


@pytest.mark.parametrize(
    ("texts", "summary"),
    [
        (("We were in the zoo.", "Tom was sick in the bus!"), "zoo; Tom sick bus."),
        (("We were in the zoo.", "We were in the zoo."), "zoo."),
        (("周六我们带小宝去了动物园。",), "周六我们带小宝。"),
    ],
)
def test_the_words_that_say_something_are_left(texts: tuple[str, ...], summary: str) -> None:
    found: dict[str, Any] = json.loads(asked(*texts))
    assert found == {"memory": [{"text": summary}]}


def test_it_says_no_more_than_it_may_and_nothing_of_nothing() -> None:
    assert json.loads(asked("Alpha beta gamma delta.", "Epsilon zeta eta.", most_words=4)) == {
        "memory": [{"text": "Alpha beta; Epsilon zeta."}]
    }
    assert json.loads(asked()) == {"memory": []}


def test_another_task_is_another_answer() -> None:
    assert "memory" not in asked("We were in the zoo.", task="You are a parrot.")[:9]
