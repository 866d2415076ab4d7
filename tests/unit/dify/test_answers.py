"""What goes out is short enough for the daemon, and says so where something was cut."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from mem0_tools import answers, constants
from mem0_tools.answers import Answer, fitted, found_item, found_text, listed_text, reason, stored_item
from xiaozhi_memory.mem0ai.records import FoundMemory, StoredMemory

DAEMON_MAX = 5 * 1024 * 1024
ID = UUID("11111111-2222-3333-4444-555555555555")


def memory(**more: Any) -> StoredMemory:
    fields: dict[str, Any] = {
        "id": ID,
        "user_id": "u",
        "agent_id": "",
        "run_id": "",
        "session_id": "",
        "role": "user",
        "speaker": None,
        "text": "likes tea",
        "metadata": None,
        "created_at": datetime(2026, 1, 1, 12, tzinfo=UTC),
        "updated_at": datetime(2026, 1, 2, 12, tzinfo=UTC),
    }
    return StoredMemory(**{**fields, **more})


def test_a_small_answer_is_left_as_it_is() -> None:
    answer = Answer({"status": "SUCCESS", "messages": "x", "results": [1, 2]}, "text")
    assert fitted(answer) == answer


def test_a_workflow_can_name_what_is_there_and_gets_no_null() -> None:
    answer = Answer({"status": "TIMEOUT", "messages": "late", "results": None, "next": "c"}, "text")
    assert answer.variables() == [("status", "TIMEOUT"), ("messages", "late"), ("next", "c")]


@pytest.mark.parametrize("text", ["x", "记", "😀"])
@pytest.mark.parametrize("count", [1, 20_000])
def test_no_answer_is_longer_than_a_line_may_be(text: str, count: int) -> None:
    items = [{"id": str(at), "memory": text * (6_000_000 // count)} for at in range(count)]
    answer = fitted(Answer({"status": "SUCCESS", "messages": "Found", "results": items}, text * 6_000_000))
    assert answer.json["truncated"] is True
    assert answer.status == "SUCCESS"
    assert len(json.dumps(answer.json)) < DAEMON_MAX // 4
    assert len(json.dumps(answer.text)) < DAEMON_MAX // 4
    assert answer.json["results"]
    assert answer.json["results"] == json.loads(json.dumps(answer.json["results"]))


def test_a_list_is_cut_at_its_end_and_its_length_is_told() -> None:
    items = [{"id": str(at), "memory": "x" * 1000} for at in range(5000)]
    cut = fitted(Answer({"status": "SUCCESS", "messages": "Found", "results": items}, "")).json
    assert cut["results_total"] == 5000
    assert cut["results"] == items[: len(cut["results"])]
    assert len(json.dumps(cut)) <= constants.MAX_RESULT_BYTES


@pytest.mark.parametrize("inside", ["would_delete", "results"])
def test_a_list_inside_is_cut_too(inside: str) -> None:
    items = [{"id": str(at), "memory": "x" * 1000} for at in range(5000)]
    results = {"deleted_count": 5000, inside: items}
    cut = fitted(Answer({"status": "SUCCESS", "messages": {}, "results": results}, "")).json
    assert cut["results"]["deleted_count"] == 5000
    assert cut["results"][f"{inside}_total"] == 5000
    assert 0 < len(cut["results"][inside]) < 5000
    assert len(json.dumps(cut)) <= constants.MAX_RESULT_BYTES


def test_what_cannot_be_cut_is_left_out() -> None:
    cut = fitted(Answer({"status": "SUCCESS", "odd": {str(at): "x" * 500 for at in range(9000)}}, "")).json
    assert cut == {"status": "SUCCESS", "truncated": True}


def test_a_long_echo_does_not_push_the_results_out() -> None:
    messages = [{"role": "user", "content": "x" * 2_000_000}]
    cut = fitted(Answer({"status": "SUCCESS", "messages": messages, "results": [{"event": "ACCEPT"}]}, "")).json
    assert cut["results"] == [{"event": "ACCEPT"}]
    assert cut["truncated"] is True


@pytest.mark.parametrize(
    ("score", "semantic", "expected"),
    [(0.8, 0.9, (0.8, 0.1)), (0.0, 0.0, (0.0, 1.0)), (1.2, 1.5, (1.0, 0.0)), (-0.1, None, (0.0, 1.0))],
)
def test_scores_lie_between_nothing_and_one(
    score: float, semantic: float | None, expected: tuple[float, float]
) -> None:
    item = found_item(FoundMemory(memory(), score, semantic))
    assert (item["score"], item["vector_distance"]) == pytest.approx(expected)


def test_a_found_memory_has_the_newer_time_as_the_clock_here_shows_it() -> None:
    local = datetime(2026, 1, 2, 12, tzinfo=UTC).astimezone()
    assert found_item(FoundMemory(memory(), 0.5, None))["timestamp"] == f"{local:%Y-%m-%dT%H:%M:%S}"


def test_metadata_is_an_object_even_where_there_is_none() -> None:
    assert stored_item(memory())["metadata"] == {}


def test_the_text_of_a_search() -> None:
    item = found_item(FoundMemory(memory(metadata={"topic": "茶"}), 0.876, None))
    text = found_text("what to drink", [item])
    assert text.startswith("Query: what to drink\n")
    assert "Score: 0.88" in text
    assert '{"topic": "茶"}' in text
    assert found_text("x", []).endswith("No results found.")


def test_the_text_of_a_list_names_the_next_page() -> None:
    assert listed_text([stored_item(memory())], "abc").endswith("Next page: abc")
    assert listed_text([], None) == "No memories found."


def test_no_secret_is_told() -> None:
    assert reason("key sk-1234567 refused", ["sk-1234567"]) == "key *** refused"
    assert len(reason("x" * 10_000, [])) < 600


def test_a_page_ends_where_an_answer_has_no_more_room() -> None:
    items = [{"id": str(number), "memory": "x" * 15_000} for number in range(100)]
    page = answers.with_room(items)
    assert 1 < len(page) < 100
    assert page == items[: len(page)]
    assert "truncated" not in answers.fitted(answers.envelope("SUCCESS", "", page, "")).json
    assert answers.with_room([{"memory": "x" * 5_000_000}, {"memory": "y"}]) == [{"memory": "x" * 5_000_000}]
