"""What becomes of a written answer: thoughts out, faces found, cut into pieces, made speakable."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xiaozhi_server.core.turn.answer import AnswerText, cut_whole, join_heard
from xiaozhi_server.core.turn.emotion import EMOTIONS, find_face
from xiaozhi_server.core.turn.hidden import HiddenBlocks
from xiaozhi_server.core.turn.segment import Segment, cut_at_word
from xiaozhi_server.core.turn.sentences import LONGEST_WEIGHT, Sentences, weight
from xiaozhi_server.core.turn.speakable import speakable


def pieces_of(text: str, step: int = 1) -> list[str]:
    sentences = Sentences()
    pieces: list[str] = []
    for start in range(0, len(text), step):
        pieces += sentences.feed(text[start : start + step])
    return [piece.strip() for piece in pieces + sentences.finish()]


def visible(*deltas: str) -> str:
    hidden = HiddenBlocks()
    return "".join(hidden.feed(delta) for delta in deltas) + hidden.finish()


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("plain", "plain"),
        ("<think>a plan</think>Yes", "Yes"),
        ("<THINK>a plan</Think>Yes", "Yes"),
        ("Yes<think>never closed", "Yes"),
        ("1 < 2 and <b>bold</b>", "1 < 2 and <b>bold</b>"),
        ("Look: ```python\nprint(1)\n``` Done.", "Look:  Done."),
        ("<think>one</think>A<thinking>two</thinking>B", "AB"),
        ("<think>about </thin air</think>Yes", "Yes"),
        ("ends with <thi", "ends with <thi"),
    ],
)
def test_hidden_blocks_in_any_number_of_deltas(text: str, seen: str) -> None:
    assert visible(text) == seen
    assert visible(*text) == seen


@given(st.lists(st.text(alphabet="<think>/` ab")))
def test_hidden_blocks_do_not_depend_on_where_deltas_are_cut(deltas: list[str]) -> None:
    assert visible(*deltas) == visible("".join(deltas))


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("Hello there, my friend. How are you?", ["Hello there,", "my friend. How are you?"]),
        ("Yes. I think so, too.", ["Yes. I think so,", "too."]),
        ("It costs 3.50 today, I think.", ["It costs 3.50 today,", "I think."]),
        (
            "Mr. Smith and Dr. Jones came. They left again soon.",
            ["Mr. Smith and Dr. Jones came.", "They left again soon."],
        ),
        ("今天天气很好，我们出去走走吧。你觉得怎么样？", ["今天天气很好，", "我们出去走走吧。", "你觉得怎么样？"]),
        ("好。", ["好。"]),
        ("She said “it is done.” Then she went home again.", ["She said “it is done.”", "Then she went home again."]),
        ("Is it true? It is!", ["Is it true?", "It is!"]),
        ("no stop at all", ["no stop at all"]),
        ("", []),
    ],
)
def test_pieces(text: str, pieces: list[str]) -> None:
    assert pieces_of(text) == pieces
    assert pieces_of(text, 1000) == pieces


def test_the_first_clause_is_out_before_the_sentence_ends() -> None:
    sentences = Sentences()
    assert sentences.feed("当然可以，") == ["当然可以，"]
    assert sentences.feed("今天的天气很好，适合出门散步") == []
    assert sentences.feed("。") == ["今天的天气很好，适合出门散步。"]


@given(st.text(), st.integers(1, 30))
def test_pieces_lose_nothing_and_are_bounded(text: str, step: int) -> None:
    pieces = pieces_of(text, step)
    assert re.sub(r"\s", "", "".join(pieces)) == re.sub(r"\s", "", text)
    assert all(weight(piece) <= LONGEST_WEIGHT for piece in pieces)


@pytest.mark.parametrize("text", ["word " * 400, "字" * 1000, "x" * 5000, "子句，" * 300])
def test_a_text_without_an_end_is_cut_all_the_same(text: str) -> None:
    pieces = pieces_of(text, 7)
    assert len(pieces) > 3
    assert all(0 < weight(piece) <= LONGEST_WEIGHT for piece in pieces)


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("**Bold** and *italic* and `code`", "Bold and italic and code"),
        ("__really__ _so_ snake_case stays", "really so snake_case stays"),
        ("# Heading", "Heading"),
        ("> quoted", "quoted"),
        ("- milk\n- eggs\n* bread", "milk, eggs, bread"),
        ("- 牛奶\n- 鸡蛋", "牛奶，鸡蛋"),
        ("See [this page](https://x.example/a_b) now", "See this page now"),
        ("![a cat](cat.png) A cat.", "A cat."),
        ("Go to https://x.example/a?b=c, please", "Go to please"),
        ("去 https://x.example/路 看看", "去 看看"),
        ("3 * 4 = 12 and 2*3", "3 * 4 = 12 and 2*3"),
        ("a <b>bold</b><br/> word", "a bold word"),
        ("his name is <Tom>", "his name is <Tom>"),
        ("| a | b |", "a, b,"),
        ("Nice 👍🏽!", "Nice!"),
        ("家人👨‍👩‍👧都好。", "家人 都好。"),
        ("好的~", "好的"),
        ("🎉🎉", ""),
        ("---", ""),
        ("...", ""),
        ("  spaced \n\n out  ", "spaced, out"),
        ("a\x00b\x07c \ud83d d", "a b c d"),
    ],
)
def test_speakable(written: str, spoken: str) -> None:
    assert speakable(written) == spoken


@given(st.text(max_size=300))
def test_speakable_never_fails_and_is_clean(text: str) -> None:
    spoken = speakable(text)
    spoken.encode()
    assert "\0" not in spoken and "\n" not in spoken
    assert spoken == spoken.strip()


@pytest.mark.timeout(10)
@pytest.mark.parametrize("text", ["*" * 5000, "[" * 5000, "<a" * 3000, "| " * 3000, "_a*" * 2000, "\n-" * 3000])
def test_speakable_is_quick_on_hostile_text(text: str) -> None:
    speakable(text)


@pytest.mark.parametrize(
    ("text", "emotion"),
    [
        ("😀 Hi", "happy"),
        ("How sad 😔", "sad"),
        ("❤️", "loving"),
        ("😂😭", "laughing"),
        ("🤔 let me see", "thinking"),
        ("a 🪑 chair", "neutral"),
        ("🇩🇪", "neutral"),
        ("👍🏽", "happy"),
    ],
)
def test_faces(text: str, emotion: str) -> None:
    face = find_face(text)
    assert face is not None
    assert face.emotion == emotion


def test_there_are_21_emotions_and_no_face_without_an_emoji() -> None:
    assert len(EMOTIONS) == len(set(EMOTIONS)) == 21
    assert find_face("plain") is None
    assert find_face("你好，3 × 4 — “ok” № ™") is None


def test_an_answer_is_bounded() -> None:
    answer = AnswerText(40)
    said = [piece for _ in range(100) for piece in answer.feed("word and ")] + answer.finish()
    assert answer.is_full
    assert len(join_heard(said)) <= 40


def test_a_whole_text_is_cut_like_a_stream() -> None:
    pieces, face = cut_whole("😀 Hello there, my friend.")
    assert pieces == ["Hello there,", "my friend."]
    assert face is not None and face.emotion == "happy"


def test_pieces_are_joined_as_their_language_writes() -> None:
    assert join_heard(["Hello,", "you."]) == "Hello, you."
    assert join_heard(["你好，", "朋友。"]) == "你好，朋友。"
    assert join_heard([]) == ""


@pytest.mark.parametrize(
    ("text", "fraction", "part"),
    [
        ("one two three", 0.0, ""),
        ("one two three", 0.1, ""),
        ("one two three", 0.4, "one"),
        ("one two three", 0.6, "one two"),
        ("one two three", 1.0, "one two three"),
        ("one two three", 1.7, "one two three"),
        ("one two three", -1.0, ""),
        ("今天天气很好", 0.5, "今天天"),
    ],
)
def test_cut_at_word(text: str, fraction: float, part: str) -> None:
    assert cut_at_word(text, fraction) == part


def test_what_was_heard_of_a_segment() -> None:
    segment = Segment("one two three four", is_own=False, first_audio_timeout_s=1.0)
    assert segment.heard(100) == ""
    segment.first_frame, segment.made_frames, segment.is_complete = 10, 20, True
    assert segment.heard(10) == ""
    assert segment.heard(21) == "one two"
    segment.end_frame = 30
    assert segment.heard(30) == "one two three four"


def test_a_segment_whose_sound_is_not_complete_is_estimated() -> None:
    segment = Segment("one two three four", is_own=False, first_audio_timeout_s=1.0)
    segment.first_frame, segment.made_frames = 0, 5
    assert 0 < len(segment.heard(5)) < len(segment.text)
