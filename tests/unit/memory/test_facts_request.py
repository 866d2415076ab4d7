"""What the model is shown, that it always fits into its context, and that nothing of a talk is left out."""

import json
import re
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xiaozhi_server.core.providers.memory.base import SpokenMessage
from xiaozhi_server.core.providers.memory.mem0ai.budget import tokens_in
from xiaozhi_server.core.providers.memory.mem0ai.errors import InvalidTextError
from xiaozhi_server.core.providers.memory.mem0ai.facts.answer import Pointer
from xiaozhi_server.core.providers.memory.mem0ai.facts.parts import NoRoomError, Room
from xiaozhi_server.core.providers.memory.mem0ai.facts.request import Line, Request, instruction
from xiaozhi_server.core.providers.memory.mem0ai.facts.sentences import pieces_of, sentences_of
from xiaozhi_server.core.providers.memory.mem0ai.facts.thing import KnownThing, key_of, thing_id
from xiaozhi_server.core.providers.memory.mem0ai.records import StoredMemory
from xiaozhi_server.core.providers.memory.mem0ai.wishes import Wishes, checked_categories

NOW = datetime(2026, 11, 28, 20, 30, tzinfo=UTC)


def line(text: str, number: int = 0, role: str = "user", speaker: str | None = None) -> Line:
    return Line(number, SpokenMessage(role, text, NOW + timedelta(minutes=number), speaker))  # type: ignore[arg-type]


def memory(text: str, number: int = 0) -> StoredMemory:
    return StoredMemory(uuid.UUID(int=number), "ann", "", "", "", "user", None, text, None, NOW, NOW)


def test_the_instruction_is_short() -> None:
    assert instruction().startswith("You keep the memory of one household.")
    assert tokens_in(instruction()) <= 2000
    assert len(re.findall(r"\w+|[^\w\s]", instruction())) <= 2000  # no tokenizer makes more of it than this by much


def test_a_request_shows_the_talk_and_what_is_known() -> None:
    anna = KnownThing(uuid.UUID(int=1), "Anna", "person", "anna")
    wishes = Wishes("Hobbies.", ("sport",), "Asia/Shanghai")
    request = Request(
        (line("I moved.", speaker="Tom"), line("Oh!", 1, "assistant")), (memory("Lives in Kiel."),), (anna,), wishes
    )
    system, user = request.messages()
    assert (system["role"], user["role"]) == ("system", "user")
    assert json.loads(user["content"]) == {
        "today": "2026-11-29 (Sunday)",
        "wanted": "Hobbies.",
        "categories": ["sport"],
        "known": [{"n": 1, "text": "Lives in Kiel.", "since": "2026-11-29"}],
        "things": [{"n": 1, "name": "Anna", "kind": "person"}],
        "talk": [
            {"n": 1, "who": "user", "name": "Tom", "at": "2026-11-29 04:30", "text": "I moved."},
            {"n": 2, "who": "assistant", "at": "2026-11-29 04:31", "text": "Oh!"},
        ],
    }
    assert [request.memory(number) for number in (None, 0, 1, 2, -1)] == [None, None, request.known[0], None, None]
    assert request.sources([2, 9, 0, 1, 1]) == [0, 1]


def test_what_is_not_there_is_left_out_and_a_wrong_zone_is_utc() -> None:
    shown = json.loads(Request((line("Hi."),), (), (), Wishes(timezone="Mars/Base")).messages()[1]["content"])
    assert shown.keys() == {"today", "known", "things", "talk"}
    assert shown["today"] == "2026-11-28 (Saturday)"


TEXTS = st.one_of(
    st.text(max_size=400),
    st.text(alphabet="ab .!?", max_size=3000),
    st.text(alphabet="我喜欢喝茶。", max_size=1500),
    st.integers(1, 800).map(lambda count: "Anna likes tea. " * count),
)


@pytest.mark.parametrize(
    ("pointer", "found"),
    [
        (Pointer(2, "Drives a red Golf."), ("Drives a red Golf.", True)),
        (Pointer(2, "drives a RED golf"), ("Drives a red Golf.", True)),
        (Pointer(2, "Drives a red"), ("Drives a red Golf.", True)),
        (Pointer(1, "Drives a red Golf since 2019."), ("Drives a red Golf.", True)),
        (Pointer(2, "a red Golf"), ("Drives a red Golf.", False)),  # what is missing at the begin may be a "not"
        (Pointer(2, "Drives a red Gol"), ("Drives a red Golf.", False)),
        (Pointer(1, "Drives a red Golf."), ("Drives a red Golf.", True)),  # a slip of the number
        (Pointer(None, "住在慕尼黑"), ("住在慕尼黑。", True)),
        (Pointer(9, "住在慕尼黑"), ("住在慕尼黑。", True)),
        (Pointer(2), ("Drives a red Golf.", False)),
        (Pointer(2, "2"), ("Drives a red Golf.", False)),
        (Pointer(2, "Golf"), ("Drives a red Golf.", False)),  # too little of it
        (Pointer(2, "Drives a blue Volvo."), ("Drives a red Golf.", False)),
        (Pointer(2, "Has a sister."), ("Drives a red Golf.", False)),  # stands twice in the list
        (Pointer(5, "Has a sister."), ("Has a sister.", True)),
        (Pointer(None, "Drives a blue Volvo."), None),
        (Pointer(9), None),
        (Pointer(0, "。"), None),
    ],
)
def test_a_known_memory_is_found_by_its_words_and_its_number(pointer: Pointer, found: tuple[str, bool] | None) -> None:
    texts = ("Likes tea.", "Drives a red Golf.", "住在慕尼黑。", "Has a sister.", "Has a sister.")
    known = tuple(memory(text, number) for number, text in enumerate(texts))
    pointed = Request((line("Hello.", 0),), known, (), Wishes()).pointed(pointer)
    assert (pointed and (pointed.memory.text, pointed.copied)) == found


@pytest.mark.parametrize(
    ("known", "pointer", "found"),
    [
        (("Lives in Munich with Anna.", "Lives in Munich."), Pointer(1, "Lives in Munich."), 2),
        (("Has a dog.", "Lives in Munich.", "Lives in Munich with Anna."), Pointer(1, "Lives in Munich."), 2),
        (("Dislikes tea.", "Likes tea."), Pointer(1, "Likes tea."), 2),
        (("不喜欢喝茶。", "喜欢喝茶。"), Pointer(1, "喜欢喝茶"), 2),
        (("Lives in Munich with Anna.", "Lives in Munich with Tom."), Pointer(1, "Lives in Munich"), 1),
    ],
)
def test_all_of_the_words_count_more_than_a_part(known: tuple[str, ...], pointer: Pointer, found: int) -> None:
    memories = tuple(memory(text, number) for number, text in enumerate(known))
    pointed = Request((line("Hello.", 0),), memories, (), Wishes()).pointed(pointer)
    assert pointed == (memories[found - 1], True)


@pytest.mark.parametrize(("known", "words"), [("Dislikes tea.", "Likes tea."), ("不喜欢喝茶。", "喜欢喝茶。")])
def test_a_denial_is_no_copy(known: str, words: str) -> None:
    pointed = Request((line("Hello.", 0),), (memory(known),), (), Wishes()).pointed(Pointer(1, words))
    assert pointed == (memory(known), False)


@settings(deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=6), st.integers(1100, 4000), st.text(max_size=3000))
def test_a_talk_of_any_size_goes_in_parts_that_fit_and_nothing_gets_lost(
    texts: list[str], tokens: int, wanted: str
) -> None:
    room = Room(tokens, Wishes(wanted, ("health", "family")))
    left = [line(text, number) for number, text in enumerate(texts)]
    known = [memory(f"Known thing number {number}.", number) for number in range(50)]
    told: dict[int, str] = {}
    while left:
        group, left = room.first(left)
        request = room.request(group, known, ())
        assert sum(tokens_in(message["content"]) for message in request.messages()) <= tokens
        for one in group:
            told[one.source] = told.get(one.source, "") + one.message.content
    assert ["".join(told[number].split()) for number in range(len(texts))] == ["".join(text.split()) for text in texts]


def test_a_context_that_holds_nothing_is_an_error() -> None:
    with pytest.raises(NoRoomError):
        Room(800, Wishes())


def test_wishes_that_are_shown_in_part_are_known_to_be() -> None:
    assert not Room(4000, Wishes("Hobbies.", ("health",))).is_shortened
    for wishes in (Wishes("Hobbies. " * 500), Wishes("", tuple(f"category {number}" for number in range(500)))):
        room = Room(4000, wishes)
        assert room.is_shortened
        assert wishes.instruction.startswith(room.wishes.instruction)
        assert wishes.categories[: len(room.wishes.categories)] == room.wishes.categories


def test_sentences_stay_whole_where_they_fit() -> None:
    text = "I like tea. 我喜欢茶。Really?! Yes.\nAnd a line without an end"
    assert [one.strip() for one in sentences_of(text)] == [
        "I like tea.",
        "我喜欢茶。",
        "Really?!",
        "Yes.",
        "And a line without an end",
    ]
    assert pieces_of(text, len, 20) == [
        "I like tea. 我喜欢茶。",
        "Really?! Yes.",
        "And a line",
        "without an end",
    ]


@pytest.mark.parametrize(
    "wishes",
    [
        Wishes(),
        Wishes("Hobbies."),
        Wishes("", ("a", "b")),
        Wishes("说中文", ("健康",), "Asia/Shanghai"),
        Wishes('{"wishes": "none"}'),
        Wishes('{"wishes":'),
        Wishes("", (), "UTC"),
    ],
)
def test_wishes_come_out_of_the_outbox_as_they_went_in(wishes: Wishes) -> None:
    assert Wishes.from_text(wishes.as_text()) == wishes
    assert Wishes.of(wishes) is wishes


def test_an_instruction_alone_waits_as_it_is() -> None:
    assert Wishes.of("Hobbies.").as_text() == "Hobbies."
    assert Wishes.of(None) == Wishes()


def test_categories_are_checked() -> None:
    assert checked_categories([" health ", "family", "health"]) == ("health", "family")
    for wrong in ("health", [""], ["x" * 65], [7], ["x"] * 51, {"a": 1}):
        with pytest.raises(InvalidTextError):
            checked_categories(wrong)


def test_names_are_compared_as_they_sound() -> None:
    assert key_of("  ANNA  Müller ") == key_of("Anna Muller") == "anna muller"
    assert {key_of(name) for name in ("I", "me", "the user", "我", "用户")} == {"self"}
    assert thing_id("ann", "bot", "anna") == thing_id("ann", "bot", "anna") != thing_id("bob", "bot", "anna")
