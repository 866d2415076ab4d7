"""What kind of memory a conversation holds, asked of a model: several conversations in one call, where they are short.

Whatever the model fails to answer is an error of that conversation, never a "nothing worth remembering".
"""

import asyncio
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from functools import cache
from pathlib import Path
from typing import Any, Literal, Protocol

from ..budget import tokens_in
from ..facts import lenient_json
from ..facts.once import Talk
from .excerpt import excerpt

Subtype = Literal["semantic", "episodic", "procedural"]

SUBTYPES: tuple[Subtype, ...] = ("semantic", "episodic", "procedural")
_NONE = "none"
_TALK_TOKENS = 20  # braces and names around what is counted
_ATTEMPTS = 2
_MOST_STARTS = 20
_MINUTE = "%Y-%m-%d %H:%M"


class Asks(Protocol):
    """A language model that answers in JSON. It raises where it gives no answer."""

    async def answer(self, messages: list[dict[str, str]]) -> str: ...


class BrokenAnswerError(RuntimeError):
    """The model answered, and not what it was asked. Never quotes it."""

    def __init__(self) -> None:
        super().__init__("the model did not say what kind of conversation this is")


@dataclass(frozen=True, slots=True)
class ClassifyOptions:
    """So many conversations and so much text share a call. `tokens` is what one call may show."""

    together: int = 8
    tokens: int = 3000
    zone: tzinfo = UTC


@dataclass(slots=True)
class Calls:
    """How often a model was asked for what."""

    classification: int = 0
    extraction: int = 0
    conversations: int = 0


# None: nothing worth remembering. An exception: nobody knows.
Kind = Subtype | None | Exception


@dataclass(slots=True)
class Classifier:
    model: Asks
    options: ClassifyOptions = field(default_factory=ClassifyOptions)
    calls: Calls = field(default_factory=Calls)
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))

    async def classify(self, talks: Sequence[Talk]) -> list[Kind]:
        """One kind for each, in their order."""
        kinds: list[Kind] = [None] * len(talks)
        spoken = [(place, talk) for place, talk in enumerate(talks) if any(one.role == "user" for one in talk.messages)]
        for group in packed(spoken, self.options):
            places = [place for place, _ in group]
            for place, kind in zip(places, await self._together([talk for _, talk in group]), strict=True):
                kinds[place] = kind
        return kinds

    async def _together(self, talks: Sequence[Talk]) -> list[Kind]:
        """Those that the common answer leaves out are asked for one by one."""
        try:
            known = await self._asked(talks)
        except BrokenAnswerError:
            known = {}
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - a provider call
            return [error] * len(talks)
        attempts = _ATTEMPTS if len(talks) > 1 else _ATTEMPTS - 1
        return [
            known[number] if number in known else await self._alone(talk, attempts)
            for number, talk in enumerate(talks, 1)
        ]

    async def _alone(self, talk: Talk, attempts: int) -> Kind:
        for _ in range(attempts):
            try:
                return (await self._asked([talk]))[1]
            except BrokenAnswerError:
                continue
            except asyncio.CancelledError:
                raise
            except Exception as error:  # noqa: BLE001 - a provider call
                return error
        return BrokenAnswerError()

    async def _asked(self, talks: Sequence[Talk]) -> dict[int, Subtype | None]:
        """By number. A BrokenAnswerError where nothing of the answer can be used."""
        async with self.turns:
            self.calls.classification += 1
            answer = await self.model.answer(self._request(talks))
        found = kinds_in(answer, len(talks))
        if not found:
            raise BrokenAnswerError
        return found

    def _request(self, talks: Sequence[Talk]) -> list[dict[str, str]]:
        shown = [
            {"n": number, "messages": [self._line(who, at, text) for who, at, text in self._excerpt(talk)]}
            for number, talk in enumerate(talks, 1)
        ]
        told = json.dumps({"conversations": shown}, ensure_ascii=False, separators=(",", ":"))
        return [{"role": "system", "content": instruction()}, {"role": "user", "content": told}]

    def _line(self, who: str, at: Any, text: str) -> dict[str, str]:
        return {"who": who, "at": at.astimezone(self.options.zone).strftime(_MINUTE), "text": text}

    def _excerpt(self, talk: Talk) -> Iterator[tuple[str, Any, str]]:
        for message in excerpt(talk.messages, self.options.tokens):
            yield message.role, message.spoken_at, message.content


@cache
def instruction() -> str:
    return (Path(__file__).parent / "classify.txt").read_text("utf-8").strip()


def tokens_of_talk(talk: Talk) -> int:
    return _TALK_TOKENS + sum(_TALK_TOKENS + tokens_in(message.content) for message in talk.messages)


def packed(talks: Iterable[tuple[int, Talk]], options: ClassifyOptions) -> Iterator[list[tuple[int, Talk]]]:
    """In groups that fit into one call. One that is too long for it goes alone."""
    group: list[tuple[int, Talk]] = []
    left = options.tokens
    for place, talk in talks:
        tokens = tokens_of_talk(talk)
        if group and (tokens > left or len(group) >= options.together):
            yield group
            group, left = [], options.tokens
        group.append((place, talk))
        left -= tokens
    if group:
        yield group


def kinds_in(answer: str, count: int) -> dict[int, Subtype | None]:
    """What the answer says of each number. One that is told twice in different ways is not told."""
    found: dict[int, set[Subtype | None]] = {}
    for item in _items(answer, count):
        number, kind = _number(item, count), _kind(item)
        if number is not None and kind is not _UNKNOWN:
            found.setdefault(number, set()).add(kind)  # type: ignore[arg-type]
    return {number: next(iter(kinds)) for number, kinds in found.items() if len(kinds) == 1}


_UNKNOWN = object()


def _items(answer: str, count: int) -> list[dict[str, Any]]:
    """The list, or for a single conversation the object alone."""
    for value in _values(answer):
        listed = value.get("conversations") if isinstance(value, dict) else value
        if isinstance(listed, dict):
            listed = [listed]
        if isinstance(listed, list):
            return [item for item in listed if isinstance(item, dict)]
        if count == 1 and isinstance(value, dict) and "memory_type" in value:
            return [value]
    return []


def _values(answer: str) -> Iterator[Any]:
    at = 0
    for _ in range(_MOST_STARTS):
        starts = [start for mark in "{[" if (start := answer.find(mark, at)) >= 0]
        if not starts:
            return
        found = lenient_json.read(answer, min(starts))
        yield found.value
        at = max(found.end, min(starts) + 1)


def _number(item: dict[str, Any], count: int) -> int | None:
    number = item.get("n")
    if number is None and count == 1:
        return 1
    if isinstance(number, str) and number.strip().isdecimal():
        number = int(number)
    is_number = isinstance(number, int) and not isinstance(number, bool)
    return number if is_number and 1 <= number <= count else None  # type: ignore[operator]


def _kind(item: dict[str, Any]) -> object:
    """`_UNKNOWN` where the type is none of ours."""
    told = item.get("memory_type")
    name = told.strip().casefold() if isinstance(told, str) else ""
    if name == _NONE or item.get("should_extract") in (False, "false", "False", 0):
        return None
    return name if name in SUBTYPES else _UNKNOWN
