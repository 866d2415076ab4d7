"""Reads what was meant as JSON: single quotes, Python's words, trailing commas, and an end that never came."""

import re
from dataclasses import dataclass
from typing import Any

_BLANKS = re.compile(r"(?:\s|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_BARE = re.compile(r"[^\s,:{}\[\]\"']+")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?\Z")
_WORDS: dict[str, Any] = {"true": True, "false": False, "null": None, "none": None}
_QUOTES = {'"': '"', "'": "'", "“": "”", "„": "“", "‘": "’"}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_DEEPEST = 20


@dataclass(frozen=True, slots=True)
class Lenient:
    """`is_whole` is False where the text ended in the middle: what was complete until then is there."""

    value: Any
    end: int
    is_whole: bool


def read(text: str, at: int = 0) -> Lenient:
    """The value that begins at this place."""
    reader = _Reader(text, at)
    value, is_whole = reader.value(0)
    return Lenient(value, reader.at, is_whole)


class _Reader:
    """Each method returns a value and whether its end was there."""

    def __init__(self, text: str, at: int) -> None:
        self.at = at
        self._text = text

    def value(self, depth: int) -> tuple[Any, bool]:
        if depth > _DEEPEST:
            return None, False
        first = self._next()
        if first == "{":
            return self._object(depth)
        if first == "[":
            return self._list(depth)
        return self._string() if first in _QUOTES else self._word()

    def _list(self, depth: int) -> tuple[list[Any], bool]:
        found: list[Any] = []
        self.at += 1
        while (mark := self._next()) != "]":
            if not mark or mark == "}":
                return found, False
            if mark == ",":
                self.at += 1
                continue
            item, is_whole = self.value(depth + 1)
            if is_whole or (isinstance(item, list) and item):
                found.append(item)
            if not is_whole:
                return found, False
        self.at += 1
        return found, True

    def _object(self, depth: int) -> tuple[dict[str, Any], bool]:
        found: dict[str, Any] = {}
        self.at += 1
        while (mark := self._next()) != "}":
            if not mark or mark == "]":
                return found, False
            if mark == ",":
                self.at += 1
                continue
            name, is_whole = self._string() if mark in _QUOTES else (self._bare(), True)
            if not name or not is_whole or self._next() != ":":
                return found, False
            self.at += 1
            item, is_whole = self.value(depth + 1)
            if is_whole or isinstance(item, list):
                found[str(name)] = item
            if not is_whole:
                return found, False
        self.at += 1
        return found, True

    def _string(self) -> tuple[str, bool]:
        closing = _QUOTES[self._text[self.at]]
        self.at += 1
        parts: list[str] = []
        while self.at < len(self._text):
            character = self._text[self.at]
            self.at += 1
            if character == closing and self._ends_a_string(closing):
                return "".join(parts), True
            parts.append(self._escaped() if character == "\\" else character)
        return "".join(parts), False

    def _ends_a_string(self, closing: str) -> bool:
        """An apostrophe within a word, between single quotes, ends nothing."""
        return closing != "'" or not self._text[self.at : self.at + 1].isalnum()

    def _escaped(self) -> str:
        character = self._text[self.at : self.at + 1]
        self.at += 1
        if character != "u":
            return _ESCAPES.get(character, character)
        digits = self._text[self.at : self.at + 4]
        try:
            code = int(digits, 16)
        except ValueError:
            return "u"
        self.at += 4
        return chr(code)

    def _word(self) -> tuple[Any, bool]:
        """A number, or one of the words that JSON and Python have; prose is none."""
        word = self._bare()
        is_whole = self.at < len(self._text)
        if _NUMBER.match(word):
            number = float(word)
            return int(number) if number.is_integer() else number, is_whole
        known = word.casefold() in _WORDS
        return _WORDS.get(word.casefold()), known and is_whole

    def _bare(self) -> str:
        match = _BARE.match(self._text, self.at)
        self.at = self.at if match is None else match.end()
        return "" if match is None else match[0]

    def _next(self) -> str:
        """The next mark, behind blanks and remarks; empty at the end."""
        match = _BLANKS.match(self._text, self.at)
        assert match is not None
        self.at = match.end()
        return self._text[self.at : self.at + 1]
