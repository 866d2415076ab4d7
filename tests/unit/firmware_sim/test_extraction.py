"""The stand-in model asked for a household's memory: what it understands, and what it does not."""

import json
from typing import Any

import pytest

from firmware_sim.cloud.answers import answer

SYSTEM = "You keep the memory of one household. Answer with JSON."


def asked(*said: str, known: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    talk = [{"n": number, "who": "user", "at": "2026-11-28 10:02", "text": text} for number, text in enumerate(said, 1)]
    talk.append({"n": len(talk) + 1, "who": "assistant", "text": "I live in a box. My sister Zoe is a robot."})
    request = {
        "today": "2026-11-28 (Saturday)",
        "known": [{"n": number, "text": text} for number, text in enumerate(known, 1)],
        "talk": talk,
        **more,
    }
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": json.dumps(request)}]
    found: dict[str, Any] = json.loads(answer(messages).text)
    return found


def only(*said: str, known: tuple[str, ...] = ()) -> dict[str, Any]:
    (memory,) = asked(*said, known=known)["memory"]
    found: dict[str, Any] = memory
    return found


@pytest.mark.parametrize(
    ("said", "fact"),
    [
        ("By the way, I live in Munich.", "Lives in Munich."),
        ("I'm allergic to peanuts!", "Is allergic to peanuts."),
        ("I don't like tea any more.", "Does not like tea any more."),
        ("We really enjoy hiking.", "Really enjoys hiking."),
        ("My sister Anna studies law.", "Sister Anna studies law."),
        ("I went to my aunt and carry her bags.", "Went to their aunt and carry her bags."),
        ("对了，我住在成都。", "住在成都。"),
        ("我姐姐叫小红，我很想她。", "姐姐叫小红，很想她。"),
    ],
)
def test_a_fact_stands_for_itself_and_in_its_language(said: str, fact: str) -> None:
    assert only(said) == only(said) | {"text": fact, "by": "user", "from": [1]}


@pytest.mark.parametrize(
    "said",
    ["Hello!", "How are you?", "Can you play some music.", "Thanks a lot.", "你好！", "现在几点了？", "帮我定个闹钟。"],
)
def test_small_talk_is_nothing(said: str) -> None:
    assert asked(said)["memory"] == []


def test_each_fact_says_where_it_comes_from_and_he_and_she_are_named() -> None:
    found = asked("Hi! My sister Anna lives in Oslo.", "She works as a nurse.")["memory"]
    assert [(one["text"], one["from"]) for one in found] == [
        ("Sister Anna lives in Oslo.", [1]),
        ("Anna works as a nurse.", [2]),
    ]


CONTRADICTIONS = [
    ("Lives in Munich.", "I moved to Berlin last week."),
    ("I live in Munich, by the way.", "Our new home is in Berlin."),
    ("Works as a nurse.", "I became a florist."),
    ("Likes coffee.", "I can't stand coffee any more."),
    ("Drives a red Golf.", "I sold my Golf."),
    ("Drives a Golf.", "I swapped my Golf for a Tesla."),
    ("Phone number is 555 1234.", "My new phone number is 555 9876."),
    ("Favourite colour is teal.", "Green is my favourite colour now."),
    ("Sister Anna lives in Oslo.", "Anna moved to Paris."),
    ("Plays the cello.", "I gave up playing the cello."),
    ("Is vegetarian.", "I eat meat again."),
    ("Gym day is Monday.", "My gym day is Friday."),
    ("住在成都。", "我上个月搬到北京了。"),
    ("在华为工作。", "我跳槽去了腾讯。"),
    ("喜欢喝咖啡。", "我戒了咖啡，再也不喝咖啡了。"),
    ("手机号是138123456。", "我的新手机号是139000111。"),
    ("最喜欢的颜色是蓝色。", "我现在最喜欢的颜色是绿色。"),
    ("养了一只猫。", "我把猫送人了。"),
]


@pytest.mark.parametrize(("known", "said"), CONTRADICTIONS)
def test_what_is_not_true_any_more_is_replaced(known: str, said: str) -> None:
    found = only(said, known=("Owns a telescope.", known, "有一把吉他。"))
    assert found["replaces"] == [{"n": 2, "was": known}]


REPETITIONS = [
    ("Lives in Munich.", "My home is in Munich."),
    ("Is allergic to peanuts.", "Peanuts give me an allergic reaction."),
    ("Works as a nurse.", "As you know, I am a nurse."),
    ("Our dog is called Rex.", "My dog's name is Rex."),
    ("住在成都。", "我家在成都。"),
    ("对花生过敏。", "我对花生严重过敏。"),
]


@pytest.mark.parametrize(("known", "said"), REPETITIONS)
def test_what_is_known_is_told_by_its_number(known: str, said: str) -> None:
    found = only(said, known=("Owns a telescope.", known))
    assert (found.get("same_as"), found.get("replaces")) == (2, None)


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ("Has a cat.", "I have a dog."),
        ("Lives in Berlin.", "My sister Anna lives in Munich."),
        ("Likes tea.", "I like coffee."),
        ("Plays the cello.", "I play chess."),
        ("Works as a nurse.", "I work at the harbour."),
        ("有一只猫。", "我养了一条狗。"),
        ("住在北京。", "我姐姐住在上海。"),
        ("喜欢喝茶。", "我喜欢喝咖啡。"),
    ],
)
def test_what_only_looks_alike_is_left_alone(known: str, said: str) -> None:
    assert not only(said, known=(known,)).keys() & {"replaces", "same_as"}


@pytest.mark.parametrize(
    ("said", "relation"),
    [
        ("My sister's name is Anna.", ["Anna", "sister", "I"]),
        ("Anna is my sister.", ["Anna", "sister", "I"]),
        ("Anna's husband is called Tom.", ["Tom", "husband", "Anna"]),
        ("We have a dog called Rex.", ["Rex", "dog", "I"]),
        ("我姐姐叫小红。", ["小红", "姐姐", "I"]),
        ("李雷是我同事。", ["李雷", "同事", "I"]),
        ("小红的丈夫叫大明。", ["大明", "丈夫", "小红"]),
    ],
)
def test_who_is_who(said: str, relation: list[str]) -> None:
    found = asked(said)
    assert found["relations"] == [relation]
    assert relation[0] in [thing["name"] for thing in found["things"]]
    assert relation[0] in found["memory"][0]["about"]


@pytest.mark.parametrize(
    "said", ["I met Anna in the park.", "My sister likes Oslo.", "昨天见到了小红。", "我姐姐是护士。"]
)
def test_who_is_nobody_in_particular(said: str) -> None:
    assert asked(said)["relations"] == []


def test_when_it_was_and_what_it_belongs_to() -> None:
    found = asked("Yesterday I fell off a ladder.", "I am allergic to milk.", categories=["Health"])["memory"]
    assert [(one.get("when"), one["kind"], one.get("category")) for one in found] == [
        ("2026-11-27", "episodic", None),
        (None, "semantic", "Health"),
    ]
