"""What is wrong with the settings, one line for each fault. It never shows a value that may be a secret."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """`source` is the file, variable or option that holds the key."""

    source: str
    key: str
    what: str
    remedy: str

    def __str__(self) -> str:
        return printable(f"{self.source}: {self.key}: {self.what}: {self.remedy}")


def printable(text: str) -> str:
    """On one line whatever it holds: keys and values of a file may hold line breaks."""
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)


class SettingsError(Exception):
    """The settings cannot be used. `lines` says every reason at once."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        self.lines = tuple(str(fault) for fault in self.faults)
        super().__init__("\n".join(self.lines))
