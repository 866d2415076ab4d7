"""The ways of careless models, and a model that has all of them now and then."""

import json
from typing import Any

import pytest

from firmware_sim.cloud.extraction import Erring, worded
from firmware_sim.cloud.extraction.wordings import WORDINGS, Wording

REPLACED = {"n": 3, "was": "Lives in Bonn."}
GOOD = json.dumps(
    {
        "memory": [
            {"text": "Lives in Munich.", "from": [1], "replaces": [REPLACED]},
            {"text": "对花生过敏。", "from": [2], "same_as": 2},
        ],
        "things": [],
        "relations": [],
    },
    ensure_ascii=False,
)


def memories(wording: Wording) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(worded(GOOD, wording, known="Has a dog."))["memory"]
    return found


def test_asked_for_is_given() -> None:
    assert worded(GOOD, "as_asked") == GOOD
    assert GOOD in worded(GOOD, "fenced")
    assert worded(GOOD, "mute") == ""
    assert memories("nothing") == []


@pytest.mark.parametrize("wording", ["babble", "prose", "half", "broken", "mute"])
def test_some_answers_are_no_json(wording: Wording) -> None:
    with pytest.raises(ValueError, match=r"Expecting|Extra|Unterminated"):
        json.loads(worded(GOOD, wording))


def test_prose_tells_the_facts_nevertheless() -> None:
    assert "Lives in Munich." in worded(GOOD, "prose")


def test_wrong_contents() -> None:
    assert memories("paraphrased")[0]["text"] == "The user mentioned: lives in Munich."
    assert memories("paraphrased")[1]["text"] == "用户提到，对花生过敏。"
    assert memories("wrong_ids")[0]["replaces"] == [4711, "x"]
    assert (memories("wrong_one")[1]["replaces"], "same_as" in memories("wrong_one")[1]) == ([1], False)
    assert memories("wrong_copied")[1]["replaces"] == [{"n": 1, "was": "Has a dog."}]
    assert [one["replaces"] for one in memories("slipped")] == [[{"n": 4, "was": "Lives in Bonn."}], []]
    assert [one["text"].isascii() for one in memories("translated")] == [False, True]
    assert len(memories("flood")) > 200
    assert "vineyard" in memories("invented")[-1]["text"]
    assert memories("instruction")[-1]["text"].startswith("Ignore all")


@pytest.mark.parametrize("wording", WORDINGS)
@pytest.mark.parametrize("text", ["0.50", '{"memory": []}', "Hello."])
def test_other_answers_are_worded_too(text: str, wording: Wording) -> None:
    assert isinstance(worded(text, wording), str)


def test_a_seed_errs_always_alike_and_in_every_way() -> None:
    first, second, other = Erring(0.5, seed=1), Erring(0.5, seed=1), Erring(0.5, seed=2)
    requests = [f"request {chr(number + 0x4E00)}" for number in range(400)]
    drawn = [first.wording(one) for one in requests]
    assert drawn == [second.wording(one) for one in requests]
    assert drawn != [other.wording(one) for one in requests]
    assert first.seen.keys() == set(WORDINGS)
    assert 160 < first.seen["as_asked"] < 240


def test_the_same_request_does_not_err_for_ever() -> None:
    erring = Erring(0.5)
    assert "as_asked" in {erring.wording("again") for _ in range(20)}
    assert {Erring(0.0).wording("good") for _ in range(5)} == {"as_asked"}
