"""What a model may answer, and what is read of it."""

import json

import pytest

from xiaozhi_server.core.providers.memory.mem0ai.by_mem0.mem0_answer import Fact, ModelAnswerError, as_answer, facts_of

GOOD = json.dumps({"memory": [{"id": "0", "text": "likes tea", "attributed_to": "user"}]})
TEA = [Fact("likes tea", "user")]


@pytest.mark.parametrize(
    "answer",
    [
        GOOD,
        f"```json\n{GOOD}\n```",
        f"Sure, {{here}} it is:\n```\n{GOOD}\n```\nAnything else {{?}}",
        f"<think>maybe {{'memory': []}} or {GOOD[:20]}</think>{GOOD}",
        f'{{"note": "first"}} {GOOD}',
        '{"memory": ["likes tea"]}',
        '{"memory": [{"text": "  likes tea\\n"}, {"text": ""}, {"text": 7}, null, "likes tea"]}',
        '{"memory": [{"text": "likes tea", "attributed_to": "somebody"}]}',
    ],
)
def test_facts_are_found_in_whatever_surrounds_them(answer: str) -> None:
    assert facts_of(answer) == TEA


def test_who_said_it_is_kept() -> None:
    answer = '{"memory": [{"text": "proposed a walk", "attributed_to": "assistant"}]}'
    assert facts_of(answer) == [Fact("proposed a walk", "assistant")]


def test_an_empty_list_is_an_answer() -> None:
    assert facts_of('{"memory": []}') == []


@pytest.mark.parametrize(
    "answer",
    [
        None,
        "",
        " \n",
        7,
        "I found nothing.",
        '{"memory": [{"text": "likes t',
        '{"facts": ["likes tea"]}',
        '{"memory": "likes tea"}',
        '{"memory": [{"fact": "likes tea"}]}',
        "[" * 5000,
        '{"a":' * 5000,
        "{" * 300_000,
    ],
)
def test_nonsense_is_never_taken_for_no_facts(answer: object) -> None:
    with pytest.raises(ModelAnswerError) as caught:
        facts_of(answer)
    assert "tea" not in str(caught.value)


def test_what_is_handed_on_reads_the_same() -> None:
    facts = [Fact("喜欢“茶”", "user"), Fact('a "quoted" {word}', "assistant")]
    assert facts_of(as_answer(facts)) == facts


def test_a_flood_of_facts_is_cut() -> None:
    assert len(facts_of(json.dumps({"memory": [f"fact {number}" for number in range(5000)]}))) == 200
