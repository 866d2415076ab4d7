"""What a `.difyignore` leaves out: the rules of a `.gitignore`, as far as they are used here."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

_PIECES = {"**/": "(?:.*/)?", "/**": "(?:/.*)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
_PIECE = re.compile(r"\*\*/|/\*\*|\*\*|\*|\?|\[[^\]]*\]|[^*?\[]|\[")


@dataclass(frozen=True, slots=True)
class _Rule:
    pattern: re.Pattern[str]
    keeps: bool

    def meets(self, path: str) -> bool:
        return self.pattern.fullmatch(path) is not None


def ignored_by(lines: Iterable[str]) -> Callable[[str], bool]:
    """Whether a file (its path below the root, with slashes) is left out. The last rule that meets it decides."""
    rules = [_rule(line) for raw in lines if (line := raw.strip()) and not line.startswith("#")]

    def ignored(path: str) -> bool:
        return next((not rule.keeps for rule in reversed(rules) if rule.meets(path)), False)

    return ignored


def _rule(line: str) -> _Rule:
    keeps = line.startswith("!")
    text = line.removeprefix("!")
    only_below = text.endswith("/")
    text = text.rstrip("/")
    start = "" if "/" in text else "(?:.*/)?"  # a bare name is met at every depth
    end = "/.*" if only_below else "(?:/.*)?"  # what lies in a folder goes with the folder
    return _Rule(re.compile(start + _translated(text.lstrip("/")) + end), keeps)


def _translated(glob: str) -> str:
    return "".join(_piece(piece) for piece in _PIECE.findall(glob))


def _piece(piece: str) -> str:
    if piece in _PIECES:
        return _PIECES[piece]
    if len(piece) > 1:
        return piece.replace("[!", "[^", 1)
    return re.escape(piece)
