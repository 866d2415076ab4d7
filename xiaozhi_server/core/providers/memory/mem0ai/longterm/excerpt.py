"""A conversation shortened to what a model may read, where its kind is all that is asked: a bit of each message, and
where even that is too much, its beginning and its end."""

from collections.abc import Sequence
from dataclasses import replace

from ...base import SpokenMessage
from ..budget import tokens_in

_LENGTHS = (2000, 800, 300, 120)  # characters of a message, the shorter the more there are
_MARK = "…"
_LINE_TOKENS = 20


def excerpt(messages: Sequence[SpokenMessage], tokens: int) -> list[SpokenMessage]:
    """The longest that fits."""
    if _tokens(messages) <= tokens:
        return list(messages)
    for length in _LENGTHS:
        shown = [_cut(message, length) for message in messages]
        if _tokens(shown) <= tokens:
            return shown
    return _ends(shown, tokens)


def _ends(messages: Sequence[SpokenMessage], tokens: int) -> list[SpokenMessage]:
    """From both ends inwards, the beginning first."""
    taken: set[int] = set()
    count = len(messages)
    for place in (one for half in range((count + 1) // 2) for one in (half, count - 1 - half)):
        if place in taken:
            continue
        tokens -= _tokens([messages[place]])
        if tokens < 0 and taken:
            break
        taken.add(place)
    return [messages[place] for place in sorted(taken)]


def _cut(message: SpokenMessage, length: int) -> SpokenMessage:
    if len(message.content) <= length:
        return message
    return replace(message, content=message.content[: length - 1] + _MARK)


def _tokens(messages: Sequence[SpokenMessage]) -> int:
    return sum(_LINE_TOKENS + tokens_in(message.content) for message in messages)
