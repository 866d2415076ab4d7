"""Takes out of a streamed answer what nobody should hear: a model's thoughts and blocks of code.

Marks may arrive in pieces. Knows only text.
"""

# What opens a hidden block, and what closes it.
BLOCKS = {"<think>": "</think>", "<thinking>": "</thinking>", "<thought>": "</thought>", "```": "```"}
_OPENINGS = tuple(BLOCKS)
_FIRST_LETTERS = frozenset(opening[0] for opening in _OPENINGS)
_LONGEST = max(map(len, _OPENINGS))


class HiddenBlocks:
    """Feed it the deltas; it returns what is left. What may be half a mark waits for the next delta."""

    def __init__(self) -> None:
        self._rest = ""
        self._closing: str | None = None

    def feed(self, delta: str) -> str:
        if self._closing is None and not self._rest and _FIRST_LETTERS.isdisjoint(delta):
            return delta
        self._rest += delta
        visible: list[str] = []
        while self._step(visible):
            pass
        return "".join(visible)

    def finish(self) -> str:
        """The end of the answer: half a mark was text after all, a block that never closed stays hidden."""
        rest, self._rest = self._rest, ""
        return "" if self._closing else rest

    def _step(self, visible: list[str]) -> bool:
        """Cross one mark; False: there is no whole one left."""
        return self._cross_opening(visible) if self._closing is None else self._cross_closing(self._closing)

    def _cross_opening(self, visible: list[str]) -> bool:
        lowered = self._rest.lower()
        found = [(at, opening) for opening in _OPENINGS if (at := lowered.find(opening)) >= 0]
        if not found:
            kept = _half_mark_length(lowered, _OPENINGS)
            visible.append(self._rest[: len(self._rest) - kept])
            self._rest = self._rest[len(self._rest) - kept :]
            return False
        at, opening = min(found)
        visible.append(self._rest[:at])
        self._rest = self._rest[at + len(opening) :]
        self._closing = BLOCKS[opening]
        return True

    def _cross_closing(self, closing: str) -> bool:
        at = self._rest.lower().find(closing)
        if at < 0:
            self._rest = self._rest[len(self._rest) - _half_mark_length(self._rest.lower(), (closing,)) :]
            return False
        self._rest = self._rest[at + len(closing) :]
        self._closing = None
        return True


def _half_mark_length(text: str, marks: tuple[str, ...]) -> int:
    """How many letters at the end of the text may be the beginning of a mark."""
    for length in range(min(_LONGEST, len(text)), 0, -1):
        if any(mark.startswith(text[-length:]) and len(mark) > length for mark in marks):
            return length
    return 0
