"""Whatever lies in a table of mem0's is read as a memory or left where it is, with a word why."""

import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xiaozhi_server.core.providers.memory.mem0ai.adopting.access_log import read_access_log
from xiaozhi_server.core.providers.memory.mem0ai.adopting.foreign_row import OWNERLESS, UnfitRowError, read_row
from xiaozhi_server.core.providers.memory.mem0ai.metadata import checked_metadata
from xiaozhi_server.core.providers.memory.mem0ai.scope import checked_id

ID = uuid.UUID(int=7)
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
NAMES = (
    *("data", "user_id", "agent_id", "run_id", "actor_id", "role", "created_at", "updated_at", "expiration_date"),
    *("memory_subtype", "memory_type", "hash", "category"),
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20)
    | st.datetimes().map(datetime.isoformat),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
PAYLOADS = st.dictionaries(st.sampled_from(NAMES), VALUES) | VALUES


def read(**payload: Any) -> Any:
    return read_row(ID, {"data": "I like tea.", "user_id": "ann", **payload}, now=NOW)


@given(PAYLOADS)
def test_anything_is_a_memory_or_unfit(payload: Any) -> None:
    try:
        found = read_row(ID, payload, now=NOW, ownerless="house")
    except UnfitRowError as problem:
        assert str(problem)
        return
    memory = found.memory
    assert checked_id("user_id", memory.user_id) == memory.user_id
    assert memory.text == memory.text.strip() != ""
    assert memory.role in ("user", "assistant")
    assert memory.created_at <= memory.updated_at <= NOW + timedelta(days=1)
    assert memory.metadata is None or checked_metadata(memory.metadata).value == memory.metadata
    assert memory.created_at == NOW or found.is_dated


@given(PAYLOADS.map(json.dumps) | st.text(max_size=50))
def test_any_log_is_read(data: str) -> None:
    for access in read_access_log({"data": data}):
        assert access.access_count >= 0
        assert access.quality is None or 0 <= access.quality <= 1


def test_a_memory_of_nobody_is_told_apart() -> None:
    with pytest.raises(UnfitRowError, match=OWNERLESS):
        read(user_id=None, agent_id="kitchen")


@pytest.mark.parametrize("bad", ["*", " ann", "x" * 300, True, 1.5, ["ann"]])
@pytest.mark.parametrize("name", ["user_id", "agent_id", "run_id"])
def test_an_id_that_names_nobody_in_particular_is_unfit(name: str, bad: Any) -> None:
    with pytest.raises(UnfitRowError, match=name) as caught:
        read(**{name: bad})
    assert "tea" not in str(caught.value)


@pytest.mark.parametrize(
    ("given_end", "end", "metadata"),
    [
        ("2031-03-01", datetime(2031, 3, 2, tzinfo=UTC) - timedelta(microseconds=1), None),
        ("2031-03-01T10:00:00+02:00", datetime(2031, 3, 1, 8, tzinfo=UTC), None),
        ("one day", None, {"expiration_date": "one day"}),
        (None, None, None),
    ],
)
def test_the_end_of_a_memory(given_end: Any, end: datetime | None, metadata: Any) -> None:
    memory = read(expiration_date=given_end).memory
    assert (memory.expires_at, memory.metadata) == (end, metadata)


def test_only_a_change_is_dated() -> None:
    found = read(updated_at="2025-06-01T08:15:30-07:00")
    changed = datetime(2025, 6, 1, 15, 15, 30, tzinfo=UTC)
    assert (found.memory.created_at, found.memory.updated_at, found.is_dated) == (changed, changed, True)


@pytest.mark.parametrize(
    ("fields", "subtype"),
    [
        ({"memory_subtype": "semantic", "memory_type": "procedural_memory"}, "semantic"),
        ({"memory_type": "procedural_memory"}, "procedural"),
        ({"memory_type": "something"}, ""),
    ],
)
def test_the_kind_of_a_memory(fields: dict[str, str], subtype: str) -> None:
    assert read(**fields).memory.subtype == subtype
