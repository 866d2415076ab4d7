"""What commands print. Devices and people choose names and texts, and a terminal obeys what it is shown."""

import sys
from collections.abc import Sequence


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines with aligned columns; the first row is the heading."""
    widths = [max(len(shown(row[column])) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(f"{shown(text):<{width}}" for text, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def shown(text: str) -> str:
    """The text in one line, with nothing that a terminal would take for a command."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def failed(why: str) -> int:
    """The exit code of a command that could not do it."""
    print(why, file=sys.stderr)
    return 1
