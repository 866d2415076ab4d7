"""Whose memories are meant: a filter narrows and never widens."""

from typing import Any

import pytest

from mem0_tools.errors import ToolInputError
from mem0_tools.owners import whose


def test_owners_may_stand_in_the_filters() -> None:
    found = whose("", "", {"user_id": "u", "agent_id": {"eq": "a"}, "topic": "food"})
    assert (found.user_id, found.agent_id, found.filters) == ("u", "a", {"topic": "food"})


def test_owners_may_stand_under_and() -> None:
    wanted = {"AND": [{"user_id": "u"}, {"topic": "food"}, {"AND": [{"agent_id": "a"}]}]}
    found = whose("", "", wanted)
    assert (found.user_id, found.agent_id, found.filters) == ("u", "a", {"AND": [{"topic": "food"}]})


def test_nothing_is_left_of_a_filter_that_only_named_the_owner() -> None:
    assert whose("", "", {"AND": [{"user_id": "u"}]}).filters is None


def test_one_of_the_two_is_enough() -> None:
    assert whose("u", "", None).agent_id is None
    assert whose("", "a", None).user_id is None


@pytest.mark.parametrize("filters", [None, {}, {"topic": "food"}, {"AND": [{"topic": "food"}]}])
def test_nobody_is_an_error(filters: dict[str, Any] | None) -> None:
    with pytest.raises(ToolInputError, match="user_id or agent_id is required"):
        whose("", "", filters)


@pytest.mark.parametrize(
    "filters",
    [
        {"OR": [{"user_id": "u"}, {"user_id": "other"}]},
        {"NOT": [{"user_id": "other"}]},
        {"NOT": {"agent_id": "other"}},
        {"user_id": {"in": ["u", "other"]}},
        {"user_id": ["u", "other"]},
        {"user_id": {"ne": "other"}},
        {"user_id": {"eq": "u", "ne": "other"}},
        {"user_id": {"contains": ""}},
        {"user_id": "*"},
        {"user_id": None},
        {"user_id": ""},
        {"user_id": "other"},
        {"AND": [{"user_id": "other"}]},
        {"AND": [{"OR": [{"user_id": "other"}]}]},
        {"topic": [{"user_id": "other"}]},
    ],
)
def test_no_filter_widens_the_owner(filters: dict[str, Any]) -> None:
    with pytest.raises(ToolInputError, match=r"in filters|filters name another"):
        whose("u", "", filters)


def test_metadata_may_have_such_names_of_its_own() -> None:
    wanted = {"metadata": {"user_id": "x"}}
    assert whose("u", "", wanted).filters == wanted


def test_the_callers_filter_is_left_as_it_was() -> None:
    given = {"AND": [{"user_id": "u"}, {"topic": "food"}]}
    whose("", "", given)
    assert given == {"AND": [{"user_id": "u"}, {"topic": "food"}]}
