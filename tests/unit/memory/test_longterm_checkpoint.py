"""How far was read, in the JSON of the public plugin: what it left behind, what is broken, and what we add."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xiaozhi_server.core.providers.memory.mem0ai.longterm.checkpoint import (
    Checkpoint,
    Mark,
    Resume,
    checkpoint_of,
)
from xiaozhi_server.core.providers.memory.mem0ai.longterm.spans import Spans, Stretch, spans_of
from xiaozhi_server.core.providers.memory.mem0ai.longterm.window import Window

TEN = datetime(2026, 2, 6, 10, tzinfo=UTC)
TWELVE = TEN + timedelta(hours=2)
THEIRS: dict[str, Any] = {
    "conversations": {
        "c1": {
            "last_processed_message_id": "m3",
            "processed_range_start": "2026-02-06T10:00:00Z",
            "processed_range_end": "2026-02-06T12:00:00Z",
        }
    },
    "resume_conversation_cursor": "c1",
    "resume_run_at": "2026-02-06T12:00:00Z",
    "resume_start_time": "2026-02-06T10:00:00+00:00",
}


def seconds(*moments: datetime) -> Stretch:
    first, last = (int(moment.timestamp()) for moment in moments)
    return Stretch(first, last)


def test_what_the_public_plugin_left_is_understood() -> None:
    checkpoint = checkpoint_of(json.dumps(THEIRS))
    assert checkpoint.conversations == {"c1": Mark("m3", Spans((seconds(TEN, TWELVE),)))}
    assert checkpoint.resume == Resume("c1", TWELVE, TEN)
    assert checkpoint == checkpoint_of(THEIRS)


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        ("2026-02-06T10:00:00", "2026-02-06T12:00:00"),  # without a zone: UTC
        ("2026-02-06T18:00:00+08:00", "2026-02-06 12:00:00.999Z"),
        (int(TEN.timestamp()), str(int(TWELVE.timestamp()))),
    ],
)
def test_0_2_10_times_with_z_and_without_a_zone(begin: Any, end: Any) -> None:
    kept = {"conversations": {"c1": {"processed_range_start": begin, "processed_range_end": end}}}
    assert checkpoint_of(kept).of("c1") == Mark("", Spans((seconds(TEN, TWELVE),)))


def test_an_old_one_that_knows_only_the_end_has_read_all_before_it() -> None:
    kept = {"conversations": {"c1": {"last_processed_message_id": "m", "processed_range_end": "2026-02-06T12:00:00Z"}}}
    assert checkpoint_of(kept).of("c1").read.cover(Stretch(0, int(TWELVE.timestamp())))


def test_an_old_one_that_knows_only_the_message_keeps_it() -> None:
    kept = {"conversations": {"c1": {"last_processed_message_id": "m3", "processed_range_start": None}}}
    assert checkpoint_of(kept).of("c1") == Mark("m3")


@pytest.mark.parametrize(
    "kept",
    [
        None, "", "{", "null", "[]", "7", b"\xff", [], 7, {}, "{'conversations': 1}", {"conversations": []},
        {"conversations": {"": {}, "c1": None, "c2": 7, "c3": {"processed_range_start": "soon"}}},
        {"conversations": {"c1": {"processed_range_start": "2026-02-07", "processed_range_end": "2026-02-06"}}},
        {"resume_conversation_cursor": "c1"}, {"resume_conversation_cursor": "c1", "resume_run_at": "soon"},
        "[" * 100_000,
    ],
)  # fmt: skip
def test_what_is_broken_is_empty(kept: Any) -> None:
    assert checkpoint_of(kept) == Checkpoint()


def test_one_broken_conversation_costs_only_itself() -> None:
    kept = {"conversations": {**THEIRS["conversations"], "c2": {"processed_range_end": []}}}
    assert set(checkpoint_of(kept).conversations) == {"c1"}


def test_what_is_written_has_the_shape_of_theirs() -> None:
    written = checkpoint_of(THEIRS).as_json()
    assert set(written) == set(THEIRS)
    assert written["conversations"]["c1"] == {
        "last_processed_message_id": "m3",
        "processed_range_start": "2026-02-06T10:00:00+00:00",
        "processed_range_end": "2026-02-06T12:00:00+00:00",
    }
    assert Checkpoint().as_json() == {
        "conversations": {},
        "resume_conversation_cursor": None,
        "resume_run_at": None,
        "resume_start_time": None,
    }


def test_days_that_were_left_out_stay_left_out() -> None:
    later = seconds(TWELVE + timedelta(days=2), TWELVE + timedelta(days=3))
    checkpoint = checkpoint_of(THEIRS).moved("c1", Mark("m9", Spans((later,))))
    written = checkpoint.as_json()["conversations"]["c1"]
    assert written["processed_range_start"] == "2026-02-08T12:00:00+00:00"
    assert len(written["processed_ranges"]) == 2
    assert checkpoint_of(checkpoint.as_json()) == checkpoint
    assert not checkpoint.of("c1").read.has(later.first - 1)
    assert checkpoint.of("c1").last_message_id == "m9"


def test_what_is_read_further_back_does_not_name_the_last_message() -> None:
    before = seconds(TEN - timedelta(days=1), TEN - timedelta(seconds=1))
    moved = checkpoint_of(THEIRS).moved("c1", Mark("m0", Spans((before,))))
    assert moved.of("c1") == Mark("m3", Spans((Stretch(before.first, int(TWELVE.timestamp())),)))


def test_a_place_counts_for_its_own_window_alone() -> None:
    resume = Resume("c1", TWELVE, TEN)
    assert resume.fits(Window(TEN, TWELVE))
    assert not resume.fits(Window(TEN - timedelta(days=1), TWELVE))
    assert not resume.fits(Window(TEN, TWELVE + timedelta(days=1)))


def test_what_is_out_of_reach_can_be_left_out() -> None:
    checkpoint = checkpoint_of(THEIRS).moved("old", Mark("m")).moved("c2", Mark("m", Spans((Stretch(5, 6),))))
    assert set(checkpoint.without_older(TEN).conversations) == {"c1", "old"}


marks = st.builds(
    Mark,
    st.text("abc", max_size=2),
    st.lists(st.tuples(st.integers(0, 90), st.integers(0, 9))).map(
        lambda pairs: spans_of(Stretch(first, first + length) for first, length in pairs)
    ),
)


@given(st.dictionaries(st.text("xyz", min_size=1, max_size=2), marks.filter(lambda mark: mark != Mark())))
def test_written_and_read_again_it_is_the_same(conversations: dict[str, Mark]) -> None:
    checkpoint = Checkpoint(conversations)
    assert checkpoint_of(json.dumps(checkpoint.as_json())) == checkpoint


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 9)), max_size=20))
def test_a_second_is_read_if_any_stretch_has_it(pairs: list[tuple[int, int]]) -> None:
    spans = spans_of(Stretch(first, first + length) for first, length in pairs)
    for second in range(-1, 72):
        assert spans.has(second) == any(first <= second <= first + length for first, length in pairs)
    edges = [(one.last, other.first) for one, other in zip(spans.stretches, spans.stretches[1:], strict=False)]
    assert all(last + 1 < first for last, first in edges)


def test_of_very_many_stretches_the_oldest_grow_together() -> None:
    spans = spans_of(Stretch(10 * number, 10 * number + 1) for number in range(1000))
    assert len(spans.stretches) == 64
    assert spans.cover(Stretch(0, 9360))
    assert not spans.has(9985)
