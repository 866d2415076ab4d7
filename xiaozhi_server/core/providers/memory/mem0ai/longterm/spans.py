"""Stretches of time in whole seconds, both ends inside: what of a conversation has been read."""

from collections.abc import Iterable
from dataclasses import dataclass

_MOST = 64


@dataclass(frozen=True, slots=True)
class Stretch:
    """`first` is never later than `last`."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Spans:
    """Apart from each other, the oldest first. Use `spans_of`."""

    stretches: tuple[Stretch, ...] = ()

    def has(self, second: int) -> bool:
        return self.cover(Stretch(second, second))

    def cover(self, wanted: Stretch) -> bool:
        return any(one.first <= wanted.first and wanted.last <= one.last for one in self.stretches)

    def joined(self, other: "Spans") -> "Spans":
        return spans_of([*self.stretches, *other.stretches])

    @property
    def newest(self) -> Stretch | None:
        return self.stretches[-1] if self.stretches else None


def spans_of(stretches: Iterable[Stretch]) -> Spans:
    """What touches becomes one. Of very many the oldest grow together: nothing is read twice, and nobody asks for what
    lies so far back.
    """
    joined: list[Stretch] = []
    for one in sorted(stretches, key=lambda stretch: (stretch.first, stretch.last)):
        if joined and one.first <= joined[-1].last + 1:
            joined[-1] = Stretch(joined[-1].first, max(joined[-1].last, one.last))
        elif one.first <= one.last:
            joined.append(one)
    surplus = len(joined) - _MOST
    if surplus > 0:
        joined[: surplus + 1] = [Stretch(joined[0].first, joined[surplus].last)]
    return Spans(tuple(joined))
