"""The request for facts: one JSON object that shows a talk, and beside it what is known already."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from ...base import SpokenMessage
from ..budget import tokens_in
from ..recall.folding import folded
from ..records import StoredMemory
from ..wishes import Wishes
from .answer import Pointer
from .thing import KnownThing

_FRAME_TOKENS = 40  # roles, braces and names around what is counted
_ITEM_TOKENS = 12
_DAY = "%Y-%m-%d (%A)"
_MINUTE = "%Y-%m-%d %H:%M"
_COPIED = 0.5  # of a text, at least


@dataclass(frozen=True, slots=True)
class Line:
    """A message of a talk, or a piece of one that is too long for the model. `source` is its place in the batch."""

    source: int
    message: SpokenMessage


class Pointed(NamedTuple):
    """`copied`: the model knew its words too, so that this is the one that it meant."""

    memory: StoredMemory
    copied: bool


@dataclass(frozen=True, slots=True)
class Request:
    """What one call shows. A model names things by their place in these lists, counted from 1."""

    lines: tuple[Line, ...]
    known: tuple[StoredMemory, ...]
    things: tuple[KnownThing, ...]
    wishes: Wishes

    def messages(self) -> list[dict[str, str]]:
        return [{"role": "system", "content": instruction()}, {"role": "user", "content": self._shown()}]

    def memory(self, number: int | None) -> StoredMemory | None:
        """The known memory with this number; None where none was shown under it."""
        return self.known[number - 1] if number is not None and 0 < number <= len(self.known) else None

    def pointed(self, pointer: Pointer) -> Pointed | None:
        """Words are believed more than a number: where they stand in one memory alone, that one is meant."""
        memory = self.memory(pointer.number)
        for copies in (_is, _is_part_of):
            fitting = [one for one in self.known if copies(pointer.words, one.text)]
            if memory is not None and memory in fitting:
                return Pointed(memory, copied=True)
            if len(fitting) == 1:
                return Pointed(fitting[0], copied=True)
            if fitting:
                break
        return None if memory is None else Pointed(memory, copied=False)

    def sources(self, numbers: Sequence[int]) -> list[int]:
        """The places in the batch of the messages with these numbers."""
        return sorted({self.lines[number - 1].source for number in numbers if 0 < number <= len(self.lines)})

    def _shown(self) -> str:
        zone = zone_of(self.wishes)
        shown = {
            "today": self.lines[-1].message.spoken_at.astimezone(zone).strftime(_DAY),
            "wanted": self.wishes.instruction,
            "categories": list(self.wishes.categories),
            "known": [known_item(number, memory, zone) for number, memory in enumerate(self.known, 1)],
            "things": [thing_item(number, thing) for number, thing in enumerate(self.things, 1)],
            "talk": [line_item(number, line, zone) for number, line in enumerate(self.lines, 1)],
        }
        optional = ("wanted", "categories")
        return compact({name: value for name, value in shown.items() if value or name not in optional})


@cache
def instruction() -> str:
    return (Path(__file__).parent / "instruction.txt").read_text("utf-8").strip()


def frame_tokens(wishes: Wishes) -> int:
    """What a request takes before anything is shown in it."""
    own = compact({"wanted": wishes.instruction, "categories": wishes.categories})
    return _FRAME_TOKENS + tokens_in(instruction()) + tokens_in(own)


def known_item(number: int, memory: StoredMemory, zone: tzinfo = UTC) -> dict[str, Any]:
    since = memory.valid_from or memory.created_at
    return {"n": number, "text": memory.text, "since": _in(zone, since).strftime("%Y-%m-%d")}


def thing_item(number: int, thing: KnownThing) -> dict[str, Any]:
    shown = {"n": number, "name": thing.name, "kind": thing.kind}
    return {name: value for name, value in shown.items() if value}


def line_item(number: int, line: Line, zone: tzinfo = UTC) -> dict[str, Any]:
    message = line.message
    name = {"name": message.speaker} if message.speaker else {}
    at = _in(zone, message.spoken_at).strftime(_MINUTE)
    return {"n": number, "who": message.role, **name, "at": at, "text": message.content}


def item_tokens(item: Mapping[str, Any]) -> int:
    """Of names, numbers and marks tokenizers make more than of words."""
    return tokens_in(compact(item)) + _ITEM_TOKENS


def compact(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _is(words: str, text: str) -> bool:
    return words_alone(words) == words_alone(text) != ""


def _is_part_of(words: str, text: str) -> bool:
    """Whether one is a good part of the other, from its begin on: who copies may leave out an end, or add one."""
    one, other = sorted((words_alone(words), words_alone(text)), key=len)
    if not one or not other.startswith(one) or len(one) < _COPIED * len(other):
        return False
    behind = other[len(one) : len(one) + 1]
    return not (one[-1].isascii() and behind.isascii() and behind.isalnum())  # not in the middle of a word


def words_alone(text: str) -> str:
    return " ".join("".join(character if character.isalnum() else " " for character in folded(text)).split())


def zone_of(wishes: Wishes) -> tzinfo:
    """UTC where the name is none."""
    try:
        return ZoneInfo(wishes.timezone) if wishes.timezone else UTC
    except (ValueError, OSError, KeyError):
        return UTC


def _in(zone: tzinfo, moment: datetime) -> datetime:
    return moment.astimezone(zone)
