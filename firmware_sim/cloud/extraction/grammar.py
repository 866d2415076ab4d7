"""Reads a grammar: a text file of sections, `[name]` and then a line for each alternative of a pattern.

In `[words: name]` stand words parted by blanks, in `[frames]` lines of `topic | one or many | yes or no | pattern`. A
`<name>` in a pattern stands for the section or the words of that name.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

_SECTION = re.compile(r"^\[(?P<name>[a-z: ]+)\]\n(?P<text>.*?)(?=^\[[a-z: ]+\]\n|\Z)", re.MULTILINE | re.DOTALL)
_PART = re.compile(r"(?<!\?P)<(?P<name>[a-z ]+)>")


@dataclass(frozen=True, slots=True)
class Frame:
    """A way to say something: of the topic (`{}` is the group `of`), with one value at a time or more."""

    topic: str
    pattern: re.Pattern[str]
    single: bool
    holds: bool


class Grammar:
    def __init__(self, file: Path) -> None:
        self._sections = {found["name"]: found["text"] for found in _SECTION.finditer(file.read_text("utf-8"))}

    def words(self, name: str) -> frozenset[str]:
        return frozenset(self._sections[f"words: {name}"].split())

    def alike(self) -> dict[str, str]:
        """Different words for one thing: each line begins with the one that stands for the others."""
        lines = (line.split() for line in self._lines("alike"))
        return {other: first for first, *others in lines for other in others}

    def pattern(self, name: str) -> re.Pattern[str]:
        return re.compile(self._filled("|".join(self._lines(name))), re.IGNORECASE)

    def patterns(self, name: str) -> list[re.Pattern[str]]:
        """One for each line. Names are known by their capitals."""
        return [re.compile(self._filled(line)) for line in self._lines(name)]

    @cached_property
    def frames(self) -> tuple[Frame, ...]:
        return tuple(self._frames())

    def framed(self, text: str) -> list[tuple[Frame, re.Match[str]]]:
        """The frames that fit; that of anything else ("its {}") only where no other does."""
        found = [(frame, match) for frame in self.frames if (match := frame.pattern.search(text))]
        others = [(frame, match) for frame, match in found if not frame.topic.startswith("its ")]
        return others or found

    def _frames(self) -> Iterator[Frame]:
        for line in self._lines("frames"):
            topic, count, holds, pattern = (part.strip() for part in line.split(" | ", 3))
            yield Frame(topic, re.compile(self._filled(pattern), re.IGNORECASE), count == "one", holds == "yes")

    def _lines(self, name: str) -> list[str]:
        return [line for line in self._sections[name].splitlines() if line and not line.startswith("# ")]

    def _filled(self, pattern: str) -> str:
        return _PART.sub(lambda part: f"(?:{self._alternatives(part['name'])})", pattern)

    def _alternatives(self, name: str) -> str:
        if f"words: {name}" in self._sections:
            return "|".join(sorted(map(re.escape, self.words(name)), key=len, reverse=True))
        return self._filled("|".join(self._lines(name)))
