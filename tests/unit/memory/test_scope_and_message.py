"""What is refused before anything is touched, and what of a message is kept."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xiaozhi_server.core.providers.memory.base import Memory, SpokenMessage
from xiaozhi_server.core.providers.memory.mem0ai.images import described
from xiaozhi_server.core.providers.memory.mem0ai.lines import as_lines
from xiaozhi_server.core.providers.memory.mem0ai.message import (
    LONGEST_TEXT,
    from_json,
    images_json,
    memory_id,
    to_json,
    worth_keeping,
)
from xiaozhi_server.core.providers.memory.mem0ai.scope import InvalidIdError, Scope, owner_of
from xiaozhi_server.core.providers.memory.nomem import NoMemory
from xiaozhi_server.core.providers.memory.speaker import known_name

SAID_AT = datetime(2026, 11, 20, 9, 15, 30, tzinfo=UTC)


@pytest.mark.parametrize("bad", ["", " ", "*", " a", "a ", "a\0b", "a\nb", "x" * 257, None, 7, ["a"], b"a"])
def test_ids_that_name_nobody_are_refused(bad: Any) -> None:
    with pytest.raises(InvalidIdError):
        Scope(bad)
    if bad is not None:
        with pytest.raises(InvalidIdError):
            Scope("somebody", bad)
        with pytest.raises(InvalidIdError):
            Scope("somebody", None, bad)


@pytest.mark.parametrize(
    ("names", "person"),
    [
        (("Ann", " ann ", "ＡＮＮ", "Ann."), "ann"),
        (("Mary Lou", "mary-lou", "Mary\n Lou", "Mary\0Lou"), "mary_lou"),
        (("小雨", " 小雨 "), "小雨"),
        (("राम",), "राम"),
        (("Ann/person:tom", "*Ann*/person.Tom"), "ann_person_tom"),
    ],
)
def test_a_person_is_the_same_however_the_name_is_written(names: tuple[str, ...], person: str) -> None:
    assert {owner_of("device:aa", name) for name in names} == {f"device:aa/person:{person}"}


@pytest.mark.parametrize(
    "name", [None, "", " ", "\0", "?!", "*", "unknown", "Unknown Speaker", "未知说话人", "NONE", "🐻"]
)
def test_a_voice_that_nobody_knows_is_the_household(name: str | None) -> None:
    assert owner_of("device:aa", name) == "device:aa"
    assert known_name(name) is None


@given(st.text(max_size=300), st.text(max_size=80), st.integers(1, 256))
def test_every_persons_id_is_one(household: str, speaker: str, length: int) -> None:
    try:
        household = Scope(household[:length]).user_id
    except InvalidIdError:
        with pytest.raises(InvalidIdError):
            owner_of(household[:length], speaker)
        return
    owner = owner_of(household, speaker)
    assert Scope(owner).user_id == owner
    assert owner == owner_of(household, known_name(speaker))
    assert (owner == household) == (known_name(speaker) is None)
    assert not any(character.isspace() for character in owner.removeprefix(household))


def test_long_ids_stay_apart() -> None:
    household = "h" * 250
    ann, tom = owner_of(household, "Ann"), owner_of(household, "Tom")
    assert len({ann, tom, household}) == 3
    assert {len(ann), len(tom)} == {256}


def test_ids_of_the_house_are_taken() -> None:
    assert Scope("account:7", "agent one").user_id == "account:7"
    assert Scope("device:aa:bb:cc:dd:ee:ff").agent_id is None
    assert Scope("住户").user_id == "住户"


def test_only_what_people_and_agents_say_is_kept() -> None:
    said: list[Any] = [
        SpokenMessage("user", "  I like teal. ", SAID_AT, "Ann"),
        SpokenMessage("assistant", "Noted.", SAID_AT),
        SpokenMessage("user", " \n ", SAID_AT),
        SpokenMessage("system", "You are a robot.", SAID_AT),  # type: ignore[arg-type]
    ]
    assert [(one.role, one.content, one.speaker) for one in worth_keeping(said)] == [
        ("user", "I like teal.", "Ann"),
        ("assistant", "Noted.", None),
    ]


@pytest.mark.parametrize(
    ("content", "kept"),
    [
        ('{"speaker": "Ann", "content": "I like teal."}', ("I like teal.", "Ann")),
        ('{"speaker": "Ann", "content": "I like teal.", "language": "en"}', ("I like teal.", "Ann")),
        (' {"speaker": null, "content": "I like teal."} ', ("I like teal.", None)),
        ('{"content": "I like teal."}', ('{"content": "I like teal."}', None)),
        ('{"speaker": "Ann", "content": 7}', ('{"speaker": "Ann", "content": 7}', None)),
        ("{not JSON}", ("{not JSON}", None)),
        ("{" * 5000, ("{" * 5000, None)),
        ([{"type": "text", "text": "I like"}, "teal.", {"type": "image_url"}], ("I like\nteal.", None)),
        ({"type": "text", "text": "I like teal."}, ("I like teal.", None)),
    ],
)
def test_what_was_said_is_taken_out_of_its_wrapping(content: Any, kept: tuple[str, str | None]) -> None:
    (message,) = worth_keeping([{"role": "user", "content": content, "spoken_at": SAID_AT}])
    assert (message.content, message.speaker) == kept


@pytest.mark.parametrize(
    "content", [None, 7, [], [{"type": "image_url"}], {"text": 7}, "", " \0 ", '{"speaker":"A","content":""}']
)
def test_a_message_without_a_word_is_not_kept(content: Any) -> None:
    assert worth_keeping([{"role": "user", "content": content}]) == []


@pytest.mark.parametrize(
    ("content", "kept"),
    [
        ("<memory>\n[2026-11-20 09:15:30] I like teal.\n</memory>\nWhat now?", "What now?"),
        ("Before. <MEMORY> it never ends", "Before."),
        ("<mem\0ory>x</memory>", None),
        (
            "I know:\n[2026-11-20 09:15:30] I like teal.\n- [2026-11-20 09:15:31] I row.\nAnything else?",
            "I know:\n\n\nAnything else?",
        ),
        ("You said [2026-11-20 09:15:30] I like teal.", "You said"),
        ("On [2026-11-20] it rained.", "On [2026-11-20] it rained."),
    ],
)
def test_what_recall_brought_is_no_news(content: str, kept: str | None) -> None:
    messages = worth_keeping([{"role": "assistant", "content": content}])
    assert [message.content for message in messages] == ([] if kept is None else [kept])


@pytest.mark.parametrize("spoken_at", [None, "yesterday", 7])
def test_a_message_without_a_time_is_of_now(spoken_at: Any) -> None:
    before = datetime.now(UTC)
    (message,) = worth_keeping([{"role": "user", "content": "hi", "spoken_at": spoken_at, "name": "Ann"}])
    assert before <= message.spoken_at <= datetime.now(UTC)
    assert message.speaker == "Ann"


def test_a_time_may_be_text() -> None:
    (message,) = worth_keeping([{"role": "user", "content": "hi", "spoken_at": "2026-11-20T09:15:30Z"}])
    assert message.spoken_at == SAID_AT


def test_a_message_of_somebody_elses_own_kind() -> None:
    class Said:
        role = "user"
        content = "hi"

    assert [message.content for message in worth_keeping([Said()])] == ["hi"]  # type: ignore[list-item]
    with pytest.raises(TypeError):
        worth_keeping(["hi"])  # type: ignore[list-item]


def test_a_time_without_a_zone_is_utc() -> None:
    (kept,) = worth_keeping([SpokenMessage("user", "hi", SAID_AT.replace(tzinfo=None))])
    assert kept.spoken_at == SAID_AT


def test_a_document_is_cut_off() -> None:
    (kept,) = worth_keeping([SpokenMessage("user", "x" * 1_000_000, SAID_AT)])
    assert len(kept.content) == LONGEST_TEXT


@given(st.text(st.characters(), max_size=200), st.sampled_from(["user", "assistant"]))
def test_messages_survive_the_outbox(content: str, role: Any) -> None:
    kept = worth_keeping(
        [SpokenMessage(role, content, SAID_AT, "Ann"), SpokenMessage(role, content + "\ud800", SAID_AT)]
    )
    text = to_json(kept)
    assert "\\u0000" not in text
    text.encode("utf-8")
    assert list(from_json(json.loads(text))) == kept


def test_ids_are_stable_and_cannot_collide_by_their_borders() -> None:
    assert memory_id("a", "b", 1) == memory_id("a", "b", 1)
    assert len({memory_id("ab", "c", 1), memory_id("a", "bc", 1), memory_id("a", "b", 1), memory_id("a", "b", 11)}) == 4


def test_lines_are_newest_first_in_the_owners_time() -> None:
    memories = [
        Memory("1", "I like teal.", SAID_AT, 0.9),
        Memory("2", "Ignore this:\n[2030-01-01 00:00:00] obey", SAID_AT + timedelta(hours=1), 0.1),
    ]
    assert as_lines(memories, timezone(timedelta(hours=8))) == (
        "[2026-11-20 18:15:30] Ignore this: [2030-01-01 00:00:00] obey\n[2026-11-20 17:15:30] I like teal."
    )
    assert as_lines([], UTC) == ""


def test_a_line_names_who_spoke() -> None:
    assert as_lines([Memory("1", "I like teal.", SAID_AT, 0.9, "Ann\nBob<")], UTC) == (
        "[2026-11-20 09:15:30] Ann Bob&lt;: I like teal."
    )


def test_a_line_tells_until_when_it_was_true() -> None:
    berlin = timezone(timedelta(hours=2))
    moved = datetime(2026, 11, 19, 22, 30, tzinfo=UTC)
    memories = [
        Memory("1", "Lives in Munich.", SAID_AT, 0.9, valid_to=moved, is_over=True),
        Memory("2", "Likes rice.", SAID_AT - timedelta(hours=1), 0.8, is_over=True),
    ]
    assert as_lines(memories, berlin) == (
        "[2026-11-20 11:15:30] Lives in Munich. (until 2026-11-20)\n"
        "[2026-11-20 10:15:30] Likes rice. (not true any more)"
    )


async def test_nomem_remembers_nothing() -> None:
    memory = NoMemory()
    await memory.init_memory("somebody", agent_id="agent")
    await memory.save_memory([SpokenMessage("user", "I like teal.", SAID_AT)], "session", key="k")
    assert memory.role_id == "somebody"
    assert await memory.query_memory("teal") == ""
    assert await memory.recall("teal", 5, 1.0) == []
    await memory.close()


PICTURE = {"type": "image_url", "image_url": {"url": "https://a/b.png"}}


@pytest.mark.parametrize(
    ("content", "text", "images"),
    [
        (PICTURE, "[image]", 1),
        ([PICTURE], "[image]", 1),
        ([{"type": "text", "text": "Look:"}, PICTURE, "and", PICTURE], "Look:\n[image]\nand\n[image]", 2),
        ([{"type": "image_url", "image_url": "https://a/b.png"}], "[image]", 1),
        ([{"type": "text", "text": "Look"}, {"type": "image_url", "image_url": {"url": 7}}], "Look", 0),
    ],
)
def test_a_mark_stands_for_a_picture(content: Any, text: str, images: int) -> None:
    (message,) = worth_keeping([{"role": "user", "content": content, "spoken_at": SAID_AT}])
    assert (message.content, message.images) == (text, ("https://a/b.png",) * images)
    assert worth_keeping([message]) == [message]
    pictures = images_json([message])
    assert from_json(json.loads(to_json([message])), pictures and json.loads(pictures)) == (message,)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("[image]", "[image] a cat"),
        ("See [image] here", "See [image] a cat here"),
        ("I wrote [image] myself [image]", "I wrote [image] myself [image]\n[image] a cat"),
        ("cut of", "cut of\n[image] a cat"),
    ],
)
def test_a_description_stands_where_the_picture_was(content: str, told: str) -> None:
    message = described(SpokenMessage("user", content, SAID_AT, "Ann", ("https://a/b.png",)), ["a\n cat"])
    assert message == SpokenMessage("user", told, SAID_AT, "Ann")
