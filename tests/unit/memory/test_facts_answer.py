"""What a model may answer, and what is read of it."""

import json

import pytest

from xiaozhi_server.core.providers.memory.mem0ai.facts.answer import (
    Answer,
    ModelAnswerError,
    NamedThing,
    Pointer,
    Told,
    as_mem0_reads,
    read,
)

GOOD = json.dumps({"memory": [{"text": "likes tea", "by": "user"}]})
ENDED = ("Lives in Munich.",)
TEA = (Told("likes tea"),)


@pytest.mark.parametrize(
    "answer",
    [
        GOOD,
        f"```json\n{GOOD}\n```",
        f"Sure, {{here}} it is:\n```\n{GOOD}\n```\nAnything else {{?}}",
        f"<think>maybe {{'memory': []}} or {GOOD[:20]}</think>{GOOD}",
        f"{{'memory': ['a thought']}} hmm, no</think>{GOOD}",
        f'{{"note": "first"}} {GOOD}',
        '{"memory": ["likes tea"]}',
        '{"memory": {"text": "likes tea"}}',
        '{"memories": [{"memory": "likes tea"}]}',
        '{"memory": [{"text": "  likes\\n tea\\n"}, {"text": ""}, {"text": 7}, null, "likes tea"]}',
        '{"memory": [{"text": "likes tea", "attributed_to": "somebody"}]}',
        '[{"text": "likes tea"}]',
        '["likes tea"]',
        '{"text": "likes tea"}',
    ],
)
def test_facts_are_found_in_whatever_surrounds_them(answer: str) -> None:
    found = read(answer)
    assert found.facts == TEA
    assert found.is_whole


@pytest.mark.parametrize(
    "answer",
    [
        "{'memory': [{'text': 'likes tea', 'same_as': None, 'is_new': True}]}",
        '{"memory": [{"text": "likes tea",},],}',
        '{memory: [{text: "likes tea"}]}',
        '{"memory": [{“text”: “likes tea”}]}',
        '{"memory": [{"text": "likes tea"} // the only one\n]}',
        'Here: {"memory": [{"text": "likes tea", "from": [1,]}]} as you wished',
    ],
)
def test_what_is_nearly_json_is_mended(answer: str) -> None:
    found = read(answer)
    assert [fact.text for fact in found.facts] == ["likes tea"]
    assert found.is_repaired
    assert found.is_whole


@pytest.mark.parametrize("length", range(40, 91))
def test_what_is_complete_in_a_broken_answer_is_saved(length: int) -> None:
    whole = '{"memory": [{"text": "likes tea", "about": ["x"]}, {"text": "has a dog"}, {"text": "lives in Kiel"}]}'
    found = read(whole[: 10 + length])
    texts = ["likes tea", "has a dog", "lives in Kiel"]
    assert [fact.text for fact in found.facts] == texts[: len(found.facts)]
    assert found.facts
    assert not found.is_whole


def test_an_apostrophe_between_single_quotes_ends_nothing() -> None:
    assert [one.text for one in read("{'memory': [{'text': 'It's Tom's tea'}]}").facts] == ["It's Tom's tea"]


def test_every_field_is_read_in_whatever_form_it_comes() -> None:
    told = {
        "text": "Moved to Berlin.",
        "by": "user",
        "kind": "Episodic",
        "from": ["1", 2, "x", True],
        "replaces": "#3",
        "same_as": ["4"],
        "category": " home ",
        "when": "2026-11-20",
        "about": "Anna",
        "ends": [" Lives in  Munich. ", 7],
    }
    things = [{"name": "Anna", "kind": "Person", "also": "Annie"}, "Rex", {"kind": "animal"}, 7]
    relations = [
        ["Anna", "sister", "I"],
        {"subject": "Rex", "relation": "dog", "object": "I"},
        ["Anna"],
        "x",
        [1, 2, 3],
    ]
    assert read(json.dumps({"memory": [told], "things": things, "relations": relations})) == Answer(
        (
            Told(
                "Moved to Berlin.",
                "user",
                "episodic",
                (1, 2),
                (Pointer(3, "#3"),),
                4,
                "home",
                "2026-11-20",
                ("Anna",),
                ("Lives in Munich.",),
            ),
        ),
        (NamedThing("Anna", "person", ("Annie",)), NamedThing("Rex")),
        (("Anna", "sister", "I"), ("Rex", "dog", "I")),
    )


@pytest.mark.parametrize("value", [None, {}, [[1]], -1, 1e300, "none", float("inf"), [None], {"n": 1}])
def test_a_number_that_is_none_is_left_out(value: object) -> None:
    (fact,) = read(json.dumps({"memory": [{"text": "likes tea", "from": value, "same_as": value}]})).facts
    assert (fact.sources, fact.same_as) == ((), None)


@pytest.mark.parametrize(
    ("value", "pointers"),
    [
        ([{"n": 2, "was": "likes  tea"}], [Pointer(2, "likes tea")]),
        ([{"n": "2", "was": None}], [Pointer(2)]),
        ({"id": 2, "text": "likes tea"}, [Pointer(2, "likes tea")]),
        ([{"was": "likes tea"}], [Pointer(None, "likes tea")]),
        ([2, "3", "likes tea", 2], [Pointer(2), Pointer(3, "3"), Pointer(None, "likes tea")]),
        ([None, {}, {"n": -1}, {"was": 7}, [[1]], 1e300, ""], []),
        (None, []),
    ],
)
def test_what_a_fact_replaces_is_named_by_number_or_words(value: object, pointers: list[Pointer]) -> None:
    (fact,) = read(json.dumps({"memory": [{"text": "likes coffee", "replaces": value}]})).facts
    assert list(fact.replaces) == pointers


def test_an_empty_list_is_an_answer() -> None:
    assert read('{"memory": []}') == Answer(())


@pytest.mark.parametrize(
    "answer",
    [
        None,
        "",
        " \n",
        7,
        "I found nothing.",
        "<think>what might there be?</think>",
        '{"memory": [{"text": "likes t',
        'Sure! The memories are {"memory": [and so on',
        '{"said": ["likes tea"]}',
        '{"memory": [{"about": ["tea"]}]}',
        '{"about": ["tea", "milk"], "memory": [{"about": [',
        "[" * 5000,
        '{"a":' * 5000,
        "{" * 300_000,
        "{'" * 100_000,
    ],
)
def test_nonsense_is_never_taken_for_no_facts(answer: object) -> None:
    with pytest.raises(ModelAnswerError) as caught:
        read(answer)
    assert "tea" not in str(caught.value)


def test_what_mem0_is_given_reads_the_same() -> None:
    facts = (Told("喜欢“茶”"), Told('a "quoted" {word}', "assistant"))
    assert read(as_mem0_reads(facts)).facts == facts


def test_a_flood_of_facts_is_cut_and_said_to_be() -> None:
    found = read(json.dumps({"memory": [f"fact {number}" for number in range(5000)]}))
    assert len(found.facts) == 200
    assert not found.is_whole
