"""A memory survives the way into one of mem0's stores and back."""

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from xiaozhi_server.core.providers.memory.mem0ai.by_mem0.mem0_payload import (
    memory_from,
    payload_of,
    without_taken_names,
)
from xiaozhi_server.core.providers.memory.mem0ai.errors import InvalidMetadataError
from xiaozhi_server.core.providers.memory.mem0ai.records import StoredMemory

SAID_AT = datetime(2026, 11, 20, 12, 0, 5, 123456, tzinfo=UTC)
PLAIN = StoredMemory(
    id=uuid.UUID(int=7),
    user_id="ann",
    agent_id="",
    run_id="",
    session_id="",
    role="user",
    speaker=None,
    text="喜欢 tea",
    metadata=None,
    created_at=SAID_AT,
    updated_at=SAID_AT,
)
FULL = replace(
    PLAIN,
    agent_id="bot",
    run_id="one",
    session_id="s1",
    role="assistant",
    speaker="Ann",
    metadata={"kind": "fact", "n": [1, {"deep": None}], "zero": 0, "blank": ""},
    updated_at=SAID_AT + timedelta(days=1),
    subtype="fact",
    flag="unextracted",
    position=3,
    expires_at=SAID_AT + timedelta(days=30),
    valid_from=SAID_AT,
    valid_to=SAID_AT + timedelta(days=2),
)


@pytest.mark.parametrize("memory", [PLAIN, FULL])
def test_there_and_back(memory: StoredMemory) -> None:
    assert memory_from(memory.id, payload_of(memory)) == memory


def test_mem0_finds_its_own_names() -> None:
    payload = payload_of(FULL)
    assert payload["data"] == FULL.text
    assert payload["actor_id"] == "Ann"
    assert payload["kind"] == "fact"
    assert payload["expiration_date"] == "2026-12-20"
    assert "agent_id" not in payload_of(PLAIN)


def test_the_day_of_mem0_decides_when_a_memory_runs_out() -> None:
    later = {**payload_of(FULL), "expiration_date": "2027-01-31"}
    assert memory_from(FULL.id, later).expires_at == datetime(2027, 2, 1, tzinfo=UTC)
    assert memory_from(FULL.id, {**later, "expiration_date": None}).expires_at is None
    midnight = replace(FULL, expires_at=datetime(2027, 2, 1, tzinfo=UTC))
    assert payload_of(midnight)["expiration_date"] == "2027-01-31"


@pytest.mark.parametrize("payload", [{}, {"created_at": "?", "expiration_date": 7, "position": None, "data": None}])
def test_what_others_wrote_is_read_somehow(payload: dict[str, Any]) -> None:
    memory = memory_from(PLAIN.id, payload)
    assert (memory.user_id, memory.text, memory.role) == ("", "", "user")
    assert memory.created_at.tzinfo is not None


@pytest.mark.parametrize("name", ["data", "user_id", "hash", "created_at", "batch"])
def test_metadata_cannot_take_the_place_of_what_a_memory_is(name: str) -> None:
    with pytest.raises(InvalidMetadataError, match=name):
        without_taken_names({"kind": "fact", name: "x"})
    assert without_taken_names(None) is None
