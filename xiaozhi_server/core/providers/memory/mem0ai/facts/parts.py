"""Makes requests of a batch that each fit into the model's context. A batch too large is split, never cut."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import tzinfo
from typing import TypeVar

from ..budget import tokens_in
from ..records import StoredMemory
from ..wishes import Wishes
from .request import Line, Request, frame_tokens, item_tokens, known_item, line_item, thing_item, zone_of
from .sentences import pieces_of
from .thing import KnownThing

T = TypeVar("T")

_SHARE_OF_WISHES = 0.2
_SHARE_OF_KNOWN = 0.35
_SHARE_OF_THINGS = 0.1
_FEWEST_TOKENS = 60  # for the talk; with less nothing can be said
_LINE_TOKENS = 30  # number, role, name and time of a message


class NoRoomError(ValueError):
    """The model's context does not even hold the instruction and a sentence."""


class Room:
    """How many tokens a request may take."""

    def __init__(self, tokens: int, wishes: Wishes) -> None:
        self.wishes = _shortened(wishes, int(tokens * _SHARE_OF_WISHES))
        self.is_shortened = self.wishes != wishes
        self._zone: tzinfo = zone_of(wishes)
        self._left = tokens - frame_tokens(self.wishes)
        if self._left < _FEWEST_TOKENS + _LINE_TOKENS:
            raise NoRoomError

    def request(self, lines: Sequence[Line], known: Sequence[StoredMemory], things: Sequence[KnownThing]) -> Request:
        """As many of the known as there is room for besides these lines."""
        left = self._left - sum(map(self._cost, lines))
        most_known = left - self._share(_SHARE_OF_THINGS)
        shown = _first(known, most_known, lambda one: item_tokens(known_item(99, one, self._zone)))
        left -= sum(item_tokens(known_item(99, one, self._zone)) for one in shown)
        shown_things = _first(things, left, lambda one: item_tokens(thing_item(99, one)))
        return Request(tuple(lines), tuple(shown), tuple(shown_things), self.wishes)

    def first(self, lines: Sequence[Line]) -> tuple[list[Line], list[Line]]:
        """As many of the lines as there is room for, besides what is known, and the others."""
        room = self._left - self._share(_SHARE_OF_KNOWN) - self._share(_SHARE_OF_THINGS)
        left = [*self._pieces(lines[0], room), *lines[1:]]
        group = _first(left, room, self._cost) or left[:1]
        return group, left[len(group) :]

    def _pieces(self, line: Line, room: int) -> list[Line]:
        if self._cost(line) <= room:
            return [line]
        pieces = pieces_of(line.message.content, _text_tokens, room - self._cost(_with(line, "")))
        return [_with(line, piece) for piece in pieces]

    def _cost(self, line: Line) -> int:
        return item_tokens(line_item(99, line, self._zone))

    def _share(self, share: float) -> int:
        return int(self._left * share)


def _text_tokens(text: str) -> int:
    return tokens_in(json.dumps(text, ensure_ascii=False))


def _with(line: Line, text: str) -> Line:
    return replace(line, message=replace(line.message, content=text))


def _first(items: Sequence[T], tokens: int, cost: Callable[[T], int]) -> list[T]:
    taken: list[T] = []
    for item in items:
        tokens -= cost(item)
        if tokens < 0:
            break
        taken.append(item)
    return taken


def _shortened(wishes: Wishes, tokens: int) -> Wishes:
    """What an agent wants must leave room for what is said."""
    text = wishes.instruction
    while tokens_in(text) > tokens:
        text = text[: len(text) * 3 // 4].rstrip()
    categories = _first(wishes.categories, max(0, tokens - tokens_in(text)), lambda one: tokens_in(one) + 2)
    return replace(wishes, instruction=text, categories=tuple(categories))
