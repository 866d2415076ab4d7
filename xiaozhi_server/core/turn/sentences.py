"""Cuts a streamed answer into pieces for the voice: the first clause early, then whole sentences. Knows only text."""

import re
from typing import Final

# Weights count a wide character as two.
FIRST_CLAUSE_WEIGHT: Final = 8
SENTENCE_WEIGHT: Final = 16
LONGEST_WEIGHT: Final = 240
# Chinese, Japanese and Korean begin here: two letters wide, and written without spaces.
FIRST_WIDE: Final = "\u2e80"

_CLOSERS = r"[\"'”’」』）】》)\]*_~`]*"
# A Latin stop ends a sentence only before a space, so that neither 3.5 nor an address is cut.
_SENTENCE_END: Final = re.compile(rf"[。！？…；]+{_CLOSERS}|[.!?;]+{_CLOSERS}(?=\s)|\n+")
_CLAUSE_END: Final = re.compile(rf"[，、：。！？…；—\n]+{_CLOSERS}|[,:;.!?]+{_CLOSERS}(?=\s)")
_SPACE: Final = re.compile(r"\s")
_LIST_NUMBER: Final = re.compile(r"(?:^|\n)\s*\d{1,3}\.$")
_ABBREVIATION: Final = re.compile(
    r"\b(?:[A-Za-z]|Mr|Mrs|Ms|Dr|Prof|St|Sr|Jr|vs|etc|approx|e\.g|i\.e|a\.m|p\.m)\.$", re.IGNORECASE
)


def weight(text: str) -> int:
    return len(text) if text.isascii() else len(text) + sum(character >= FIRST_WIDE for character in text)


class Sentences:
    """Feed it the deltas; it returns the pieces that are complete."""

    def __init__(self) -> None:
        self._rest = ""
        self._is_first = True

    def feed(self, delta: str) -> list[str]:
        self._rest += delta
        pieces: list[str] = []
        while (end := self._next_end()) is not None:
            pieces.append(self._rest[:end])
            self._rest = self._rest[end:]
            self._is_first = False
        return pieces

    def finish(self) -> list[str]:
        """The end of the answer: what is left is a piece too."""
        pieces = self.feed("\n") if self._rest else []
        rest, self._rest = self._rest, ""
        return [*pieces, rest] if rest.strip() else pieces

    def _next_end(self) -> int | None:
        if self._is_first:
            end = self._first_end(_CLAUSE_END, FIRST_CLAUSE_WEIGHT)
        else:
            end = self._first_end(_SENTENCE_END, SENTENCE_WEIGHT)
        if end is not None and weight(self._rest[:end]) <= LONGEST_WEIGHT:
            return end
        return self._forced_end()

    def _first_end(self, pattern: re.Pattern[str], least: int) -> int | None:
        for found in pattern.finditer(self._rest):
            piece = self._rest[: found.end()]
            if weight(piece.strip()) >= least and not _is_false_end(piece):
                return found.end()
        return None

    def _forced_end(self) -> int | None:
        """A piece that nobody can read or say in one go: cut at a clause, else at a space, else anywhere."""
        if weight(self._rest) <= LONGEST_WEIGHT:
            return None
        longest = _prefix_length(self._rest, LONGEST_WEIGHT)
        for pattern in (_SENTENCE_END, _CLAUSE_END, _SPACE):
            ends = [found.end() for found in pattern.finditer(self._rest, 0, longest)]
            if ends:
                return ends[-1]
        return longest


def _is_false_end(piece: str) -> bool:
    return piece.endswith(".") and bool(_LIST_NUMBER.search(piece) or _ABBREVIATION.search(piece))


def _prefix_length(text: str, most: int) -> int:
    total = 0
    for index, character in enumerate(text):
        total += 2 if character >= FIRST_WIDE else 1
        if total > most:
            return index
    return len(text)
