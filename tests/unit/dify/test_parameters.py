"""Parameters as workflows really hand them over."""

from typing import Any

import pytest

from mem0_tools.errors import ToolInputError
from mem0_tools.parameters import (
    flag_of,
    names_of,
    object_of,
    required_text,
    text_of,
    timeout_of,
    whole_number,
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, True),
        (False, False),
        ("true", True),
        ("false", False),
        ("False", False),
        (" NO ", False),
        ("off", False),
        ("0", False),
        (0, False),
        (1, True),
        ("on", True),
    ],
)
def test_booleans_come_as_text_too(value: object, expected: bool) -> None:
    assert flag_of(value, default=not expected) is expected


@pytest.mark.parametrize("value", [None, "", "maybe", [], 2.5])
@pytest.mark.parametrize("default", [True, False])
def test_what_is_no_boolean_is_the_default(value: object, default: bool) -> None:
    assert flag_of(value, default=default) is default


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, 5), ("", 5), ("7", 7), ("7.6", 8), (0, 1), (-3, 1), (10**6, 1000), ("x", 5), (float("nan"), 5), (True, 5)],
)
def test_numbers_are_moved_into_their_bounds(value: object, expected: int) -> None:
    assert whole_number({"top_k": value}, "top_k", default=5, least=1, most=1000) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, None), ("", None), ("3", 3), (2.5, 2), (0.2, 1), (0, None), (-4, None), ("soon", None), ("inf", None)],
)
def test_a_timeout_is_whole_seconds_from_one_on(value: object, expected: int | None) -> None:
    assert timeout_of({"timeout": value}) == expected


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1, "b": null}',
        '```json\n{"a": 1, "b": null}\n```',
        '```\n{"a": 1, "b": null}```',
        "{'a': 1, 'b': None}",
        "```python\n{'a': 1, 'b': None}\n```",
    ],
)
def test_objects_come_as_json_in_fences_or_as_python(text: str) -> None:
    assert object_of({"filters": text}, "filters") == {"a": 1, "b": None}


def test_an_object_may_come_as_it_is_or_not_at_all() -> None:
    assert object_of({"filters": {"a": 1}}, "filters") == {"a": 1}
    assert object_of({"filters": "  "}, "filters") is None
    assert object_of({}, "filters") is None


@pytest.mark.parametrize(
    "broken",
    ['{"a": ', "nonsense", "[1, 2]", '"text"', "{'a': {1, 2}}", "{" * 5000, '{"a":' * 3000 + "1" + "}" * 3000, 5],
)
def test_what_is_no_object_is_an_error_that_names_the_parameter(broken: Any) -> None:
    with pytest.raises(ToolInputError, match="filters"):
        object_of({"filters": broken}, "filters")


def test_an_object_is_not_read_without_end() -> None:
    with pytest.raises(ToolInputError, match="too long"):
        object_of({"metadata": '{"a": "' + "x" * 1_000_000 + '"}'}, "metadata")


@pytest.mark.parametrize(
    "value", ["u1, u2 ,u1,", '["u1", "u2", "u1"]', ["u1", "u2"], '```json\n["u1", "u2"]\n```', "('u1', 'u2')"]
)
def test_users_come_as_a_list_in_many_forms(value: object) -> None:
    assert names_of({"user_ids": value}, "user_ids") == ("u1", "u2")


def test_ids_may_be_numbers() -> None:
    assert names_of({"user_ids": [12, "13"]}, "user_ids") == ("12", "13")
    assert text_of({"user_id": 12.0}, "user_id") == "12"


@pytest.mark.parametrize("value", [None, "", " , ", [], "[]", [[]], '[{"a": 1}]'])
def test_no_users_are_an_error(value: object) -> None:
    with pytest.raises(ToolInputError, match="user_ids"):
        names_of({"user_ids": value}, "user_ids")


@pytest.mark.parametrize("value", [None, "", "  ", False])
def test_what_is_needed_must_be_there(value: object) -> None:
    with pytest.raises(ToolInputError, match="query is required"):
        required_text({"query": value}, "query")
