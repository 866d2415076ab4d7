"""The filter language: what it means, and what it refuses."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from xiaozhi_server.core.providers.memory.mem0ai.errors import InvalidFilterError
from xiaozhi_server.core.providers.memory.mem0ai.filters import MOST_CONDITIONS, MOST_NESTED, parse
from xiaozhi_server.core.providers.memory.mem0ai.records import StoredMemory

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
MEMORY = StoredMemory(
    id=UUID(int=7), user_id="ann", agent_id="bot", run_id="", session_id="s1", role="user", speaker="Ann",
    text="I drink green Tea.", created_at=NOON, updated_at=NOON + timedelta(days=1), subtype="fact", position=2,
    metadata={
        "kind": "drink", "year": 2024, "price": 1.5, "hot": True, "tags": ["tea", "Green", 3], "gone": None,
        "due": "2026-03-01", "seen": "2026-03-01T23:30:00-02:00", "number": "5", "role": "guest", "empty": [],
    },
)  # fmt: skip


@pytest.mark.parametrize(
    "fitting",
    [
        None, {}, {"AND": [{}]}, {"kind": "drink"}, {"kind": "drink", "year": 2024}, {"year": 2024.0},
        {"year": {"eq": 2024}}, {"year": {"gte": 2024, "lt": 2025}}, {"price": {"gt": 1}}, {"hot": True},
        {"kind": ["food", "drink"]}, {"kind": {"in": ["drink"]}}, {"kind": {"nin": []}}, {"kind": {"ne": "food"}},
        {"missing": {"ne": "food"}}, {"missing": {"nin": ["food"]}}, {"missing": None}, {"gone": None},
        {"kind": {"in": ["food", "drink", None]}}, {"missing": ["food", None]}, {"kind": "*"}, {"empty": "*"},
        {"kind": {"contains": "rin"}}, {"kind": {"icontains": "RIN"}}, {"kind": {"gt": "drill"}},
        {"tags": "tea"}, {"tags": ["x", 3]}, {"tags": {"contains": "Gre"}}, {"tags": {"icontains": "gre"}},
        {"tags": {"gt": 2}}, {"OR": [{"kind": "food"}, {"year": {"lt": 2025}}]}, {"NOT": {"kind": "food"}},
        {"NOT": [{"kind": "food"}, {"year": 1}]}, {"NOT": {"kind": "drink", "year": 1}},
        {"NOT": {"missing": {"gt": 5}}},
        {"user_id": "ann"}, {"user_id": "*"}, {"agent_id": {"in": ["bot"]}}, {"run_id": None}, {"session": "s1"},
        {"actor_id": "Ann"}, {"speaker": {"icontains": "ANN"}}, {"memory": {"contains": "Tea"}},
        {"keywords": {"icontains": "TEA"}}, {"id": str(UUID(int=7))}, {"position": 2}, {"position": {"lte": 2.0}},
        {"role": "user"}, {"metadata": {"role": "guest", "kind": "*"}}, {"metadata": {}},
        {"created_at": "2026-01-31"}, {"created_at": {"gte": "2026-01-31"}}, {"created_at": {"lte": "2026-01-31"}},
        {"created_at": {"gt": "2026-01-30"}}, {"created_at": {"lt": "2026-02-01"}}, {"created_at": {"gte": NOON}},
        {"created_at": {"gte": "Jan 31, 2026", "lte": "2026年1月31日"}}, {"created_at": {"gt": 1769000000}},
        {"created_at": ["2025-01-01", "2026-01-31"]}, {"timestamp": date(2026, 2, 1)}, {"expires_at": None},
        {"expiration_date": {"ne": "2026-01-01"}}, {"accessed_at": {"nin": ["2026-01-01"]}},
        {"due": {"gte": "2026-03-01", "lte": "01.03.2026"}}, {"due": {"gt": date(2026, 2, 28)}},
        {"due": date(2026, 3, 1)}, {"seen": {"gte": "2026-03-02"}},
        {"number": {"gt": "4"}}, {"AND": [{"user_id": "ann"}, {"created_at": {"gte": "2026-01-01"}}]},
    ],
)  # fmt: skip
def test_what_fits(fitting: Any) -> None:
    assert parse(fitting).matches(MEMORY)


@pytest.mark.parametrize(
    "unfitting",
    [
        {"kind": "food"}, {"kind": "Drink"}, {"year": "2024"}, {"hot": 1}, {"hot": "true"}, {"number": 5},
        {"number": {"gt": 4}}, {"year": {"gt": "2023"}}, {"kind": []}, {"kind": {"in": []}}, {"missing": "*"},
        {"gone": "*"}, {"kind": None}, {"kind": {"ne": "drink"}}, {"gone": {"ne": None}},
        {"tags": {"ne": "tea"}}, {"tags": {"gt": 3}}, {"empty": {"in": ["x"]}}, {"missing": {"gt": 0}},
        {"missing": {"contains": "x"}}, {"year": {"contains": "2"}},
        {"user_id": "bob"}, {"user_id": {"ne": "ann"}}, {"OR": [{"user_id": "bob"}, {"agent_id": "tutor"}]},
        {"run_id": "*"}, {"metadata": {"role": "user"}}, {"role": "guest"}, {"kind": {"eq": "*"}},
        {"created_at": {"gt": "2026-01-31"}}, {"created_at": {"lt": "2026-01-31"}}, {"expires_at": "*"},
        {"expires_at": {"lt": "2099-01-01"}}, {"due": {"gt": "2026-03-01"}}, {"kind": {"gt": "2026-03-01"}},
        {"created_at": [NOON + timedelta(seconds=1)]}, {"NOT": [{"kind": "food"}, {"kind": "drink"}]},
    ],
)  # fmt: skip
def test_what_does_not_fit(unfitting: Any) -> None:
    assert not parse(unfitting).matches(MEMORY)


def nested(depth: int) -> dict[str, Any]:
    found: dict[str, Any] = {"kind": "drink"}
    for _ in range(depth - 1):
        found = {"NOT": found}
    return found


CYCLE: dict[str, Any] = {}
CYCLE["NOT"] = CYCLE


@pytest.mark.parametrize(
    "bad",
    [
        "kind", 7, [], [{"kind": "drink"}], True, {"": 1}, {7: 1}, {None: 1}, {"k\0": 1}, {"k\ud800": 1},
        {"k" * 2000: 1}, {"AND": {}}, {"AND": []}, {"OR": []}, {"OR": "x"}, {"OR": {"kind": 1}}, {"NOT": []},
        {"NOT": "x"}, {"AND": ["x"]}, {"kind": {}}, {"kind": {"regex": ".*"}}, {"kind": {"$gt": 1}},
        {"kind": {"eq": ["a"]}}, {"kind": {"eq": {}}}, {"kind": {"in": "drink"}}, {"kind": {"in": [["a"]]}},
        {"kind": [{"a": 1}]}, {"kind": {1, 2}}, {"kind": b"drink"}, {"kind": float("nan")},
        {"year": {"gt": float("inf")}},
        {"year": {"gt": 10**400}}, {"year": {"gt": True}}, {"year": {"gt": None}}, {"year": {"gt": [1]}},
        {"kind": {"contains": ""}}, {"kind": {"contains": 5}}, {"kind": {"icontains": None}}, {"kind": "a\0b"},
        {"kind": "\ud800"}, {"kind": "x" * 1_000_000}, {"kind": ["x"] * 5000}, {"and": [{"kind": 1}]},
        {"created_at": "soon"}, {"created_at": {"gte": "2026-02-30"}}, {"created_at": {"gte": None}},
        {"created_at": {"contains": "2026"}}, {"created_at": True}, {"position": "2"}, {"position": {"contains": "2"}},
        {"agent_id": 7}, {"agent_id": {"gt": 7}}, {"metadata": "x"}, {"metadata": {"a": {"b": 1}}},
        {"OR": [{"kind": n} for n in range(201)]},
    ],
)  # fmt: skip
def test_what_is_refused(bad: Any) -> None:
    with pytest.raises(InvalidFilterError) as raised:
        parse(bad)
    assert len(str(raised.value)) < 400


@pytest.mark.parametrize("depth", [MOST_NESTED + 1, 50, 100_000])
def test_depth_is_refused_before_it_hurts(depth: int) -> None:
    with pytest.raises(InvalidFilterError, match="deep"):
        parse(nested(depth))
    with pytest.raises(InvalidFilterError, match="deep"):
        parse(CYCLE)


def test_what_is_just_allowed() -> None:
    parse(nested(MOST_NESTED))
    parse({"OR": [{"kind": n} for n in range(MOST_CONDITIONS)]})


def test_days_are_those_of_the_given_zone() -> None:
    early = replace(MEMORY, created_at=datetime(2026, 1, 30, 16, tzinfo=UTC))
    asked = {"created_at": {"gte": "2026-01-31"}}
    assert parse(asked, zone=ZoneInfo("Asia/Shanghai")).matches(early)
    assert not parse(asked).matches(early)
    known = parse(asked)
    assert parse(known) is known


def test_values_only_travel_as_parameters() -> None:
    evil = "'; DROP TABLE memory_entry; -- %s %(x)s ?"
    text, values = parse({evil: evil, "role": {"icontains": evil}, "OR": [{evil: {"contains": evil}}]}).sql()
    assert "DROP" not in text
    assert all(f"%({name})s" in text for name in values)
    assert parse({}).sql() == ("TRUE", {})
