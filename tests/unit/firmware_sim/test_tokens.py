"""Estimated tokens: near what models count, for English and Chinese."""

import pytest

from firmware_sim.cloud.tokens import tokens_asked, tokens_in, tokens_reserved


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0),
        ("I like green tea.", 5),
        ("internationalisation", 4),
        ("2026-11-28", 6),
        ("我喜欢绿茶。", 6),
        ('"}]', 2),
    ],
)
def test_a_text_has_about_as_many_tokens_as_it_costs(text: str, tokens: int) -> None:
    assert tokens_in(text) == tokens


def test_a_request_costs_its_messages_and_its_tools() -> None:
    message = {"role": "user", "content": "I like green tea."}
    assert tokens_asked({"messages": [message, message]}) == 2 * tokens_asked({"messages": [message]})
    assert tokens_asked({"messages": [message], "tools": [{"name": "x"}]}) > tokens_asked({"messages": [message]})
    assert tokens_asked({"messages": [{"role": "user", "content": [{"type": "text", "text": "tea"}]}]}) > 4
    assert tokens_asked({}) == 0


def test_the_answer_reserves_room_by_either_name() -> None:
    assert tokens_reserved({"max_tokens": 20}) == tokens_reserved({"max_completion_tokens": 20}) == 20
    assert tokens_reserved({}) == 0
