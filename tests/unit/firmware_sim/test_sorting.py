"""The stand-in model, asked what kinds of memory conversations hold."""

import json

import pytest

from firmware_sim.cloud.answers import answer
from firmware_sim.cloud.sorting import TASK


def kinds(asked: object) -> list[tuple[int, str]]:
    told = json.loads(answer([{"role": "system", "content": f"{TASK} …"}, {"role": "user", "content": asked}]).text)
    return [(one["n"], one["memory_type"]) for one in told["conversations"]]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("I like green tea.", "SEMANTIC"),
        ("I went to Oslo yesterday.", "EPISODIC"),
        ("First I warm the pot, then I pour.", "PROCEDURAL"),
        ("What is the capital of Norway?", "NONE"),
        ("我喜欢绿茶。", "SEMANTIC"),
    ],
)
def test_a_kind_for_each(text: str, kind: str) -> None:
    talk = {"n": 7, "messages": [{"who": "user", "at": "", "text": text}, {"who": "assistant", "text": "I see."}]}
    assert kinds(json.dumps({"conversations": [talk, {"n": 8, "messages": []}]})) == [(7, kind), (8, "NONE")]


@pytest.mark.parametrize("asked", ["", "[]", '{"conversations": [1]}'])
def test_what_it_cannot_read_it_does_not_sort(asked: str) -> None:
    assert kinds(asked) == []
