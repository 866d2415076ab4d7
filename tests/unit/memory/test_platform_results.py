"""The platform's answers as memories, whatever stands in them."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from xiaozhi_server.core.providers.memory.mem0ai.platform.results import found_memories, send_id_of
from xiaozhi_server.core.providers.memory.mem0ai.records import FoundMemory
from xiaozhi_server.core.providers.memory.mem0ai.scope import Scope

ID = "6f1d3c5e-8c57-4e0e-9f5a-7f0a5f2f6a55"
GOOD = {
    "id": ID,
    "memory": "Likes teal.",
    "user_id": "ann",
    "score": 0.75,
    "metadata": {"agent_id": "bot", "session_id": "session-1", "send_id": "send-1"},
    "categories": ["colours"],
    "created_at": "2026-11-20T01:15:30-08:00",
    "updated_at": "2026-11-20T10:00:00Z",
}
SCOPE = Scope("ann", "bot")


def mapped(**changes: Any) -> list[FoundMemory]:
    return found_memories([{**GOOD, **changes}], SCOPE)


def test_a_whole_one() -> None:
    (found,) = mapped()
    memory = found.memory
    assert (found.score, found.semantic_score) == (0.75, None)
    assert (memory.id, memory.text, memory.user_id, memory.agent_id) == (uuid.UUID(ID), "Likes teal.", "ann", "bot")
    assert memory.created_at == datetime(2026, 11, 20, 9, 15, 30, tzinfo=UTC)
    assert memory.timestamp == datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
    assert (memory.session_id, send_id_of(memory)) == ("session-1", "send-1")


@pytest.mark.parametrize("somebody", [{"user_id": "bob"}, {"metadata": {"agent_id": "tutor"}}])
def test_what_says_that_it_is_somebody_elses_is_left_out(somebody: dict[str, Any]) -> None:
    assert mapped(**somebody) == []


def test_what_does_not_say_whose_it_is_was_asked_for_by_us() -> None:
    bare = found_memories([{"id": ID, "memory": "Likes teal."}], SCOPE)
    assert [(one.memory.user_id, one.memory.agent_id, one.score) for one in bare] == [("ann", "bot", 0.0)]
    assert datetime.now(UTC) - bare[0].memory.timestamp < timedelta(minutes=1)


def test_without_an_agent_every_agents_are_ours() -> None:
    assert len(found_memories([GOOD, {**GOOD, "metadata": {"agent_id": "tutor"}}], Scope("ann"))) == 2


@pytest.mark.parametrize("text", [None, "", "  \0 ", 7, ["x"]])
def test_without_a_text_it_is_none(text: object) -> None:
    assert mapped(memory=text) == []


@pytest.mark.parametrize("junk", [None, 7, "memory", [GOOD]])
def test_what_is_no_memory_is_left_out(junk: object) -> None:
    assert len(found_memories([junk, GOOD], SCOPE)) == 1


@pytest.mark.parametrize(
    ("score", "expected"), [(7, 1.0), (-1, 0.0), (float("nan"), 0.0), ("0.5", 0.0), (None, 0.0), (True, 0.0)]
)
def test_a_score_lies_between_0_and_1(score: object, expected: float) -> None:
    (found,) = mapped(score=score)
    assert found.score == expected


@pytest.mark.parametrize("time", [None, "yesterday", 12, "0001-01-01T00:00:00+14:00"])
def test_a_time_that_is_none_is_now(time: object) -> None:
    (found,) = mapped(created_at=time, updated_at=time)
    assert datetime.now(UTC) - found.memory.timestamp < timedelta(minutes=1)


def test_an_id_that_is_no_uuid_is_the_same_for_ever() -> None:
    (one,), (same,), (other,) = mapped(id="mem-1"), mapped(id="mem-1"), mapped(id="mem-2")
    assert one.memory.id == same.memory.id != other.memory.id


def test_a_text_can_be_sent_on() -> None:
    (found,) = mapped(memory="half \ud83d a pair" + "x" * 100_000)
    assert found.memory.text.encode().startswith(b"half ? a pair")
    assert len(found.memory.text) == 8000
