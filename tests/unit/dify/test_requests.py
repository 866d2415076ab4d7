"""What each tool was asked for."""

import pytest

from mem0_tools import requests
from mem0_tools.errors import ToolInputError

EXTRACT = {"user_ids": "u", "app_id": "app", "dify_base_url": "http://x/v1", "dify_api_key": "app-key"}


def test_blank_and_repeated_messages_are_left_out() -> None:
    def roles(**said: str) -> list[str]:
        return [one["role"] for one in requests.add_request({"user_id": "u", **said}).messages]

    assert roles(user=" hello ", assistant="hi") == ["user", "assistant"]
    assert roles(user="hello", assistant=" hello ") == ["user"]
    assert roles(user="  ", assistant="hi") == ["assistant"]
    assert roles(user="", assistant="") == []


def test_metadata_that_is_no_object_is_an_error() -> None:
    with pytest.raises(ToolInputError, match="Invalid JSON in metadata"):
        requests.add_request({"user_id": "u", "user": "x", "metadata": "{oops"})


def test_an_update_needs_a_uuid_and_a_text() -> None:
    with pytest.raises(ToolInputError, match="memory_id must be a valid UUID"):
        requests.update_request({"memory_id": "seven", "text": "x"})
    with pytest.raises(ToolInputError, match="text is required"):
        requests.update_request({"memory_id": "11111111-2222-3333-4444-555555555555", "text": " "})


def test_a_broken_filter_has_the_words_of_its_tool() -> None:
    broken = {"query": "q", "user_id": "u", "filters": "{"}
    with pytest.raises(ToolInputError, match=r"Invalid JSON in filters: "):
        requests.search_request(broken)
    with pytest.raises(ToolInputError, match=r"\AInvalid JSON format for filters\Z"):
        requests.list_request(broken)


def test_an_extraction_is_clamped() -> None:
    def asked(**more: object) -> requests.ExtractRequest:
        return requests.extract_request({**EXTRACT, **more})

    plain = asked()
    assert (plain.days_back, plain.conversations_limit, plain.max_tokens, plain.time_budget_s) == (1, 20, 64_000, 3600)
    low = asked(days_back=0, conversations_limit="1", max_tokens_per_conversation=0, time_budget="1")
    assert (low.days_back, low.conversations_limit, low.max_tokens, low.time_budget_s) == (1, 10, 1000, 300)
    high = asked(days_back=99, conversations_limit=9999, max_tokens_per_conversation="9999", time_budget="600")
    assert (high.days_back, high.conversations_limit, high.max_tokens, high.time_budget_s) == (7, 500, 200_000, 36_000)
    odd = asked(days_back="x", conversations_limit="", max_tokens_per_conversation=None, time_budget="soon")
    assert odd == plain
    assert "app-key" not in repr(plain)


@pytest.mark.parametrize("name", list(EXTRACT))
def test_what_an_extraction_needs_is_named(name: str) -> None:
    with pytest.raises(ToolInputError, match=f"{name} is required"):
        requests.extract_request({**EXTRACT, name: ""})


@pytest.mark.parametrize(
    ("given", "expected"),
    [(None, False), ("", False), ("false", False), (False, False), ("true", True), (True, True), ("perhaps", True)],
)
def test_nothing_is_deleted_by_a_word_that_nobody_understands(given: object, expected: bool) -> None:
    assert requests.forget_request({"user_id": "u", "dry_run": given}).dry_run is expected
