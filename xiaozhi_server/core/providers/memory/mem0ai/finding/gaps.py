"""Which of the rows that a statement fetched are neighbours in their session, and where others lie between them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .owner_index import Flags, OwnerIndex
from .owner_rows import Id

_NOBODY: Id = (0, 0)


@dataclass(frozen=True, slots=True)
class Links:
    """What is known of the order within sessions: the id behind an id, and who comes first. None stands for the end."""

    behind: Mapping[Id, Id | None]
    first: frozenset[Id]

    def joined(self, one: Id | None, next_one: Id | None) -> bool:
        """Whether nothing lies between two saved rows; None stands for either end of a session."""
        if one is None:
            return next_one is None or next_one in self.first
        return one in self.behind and self.behind[one] == next_one


def links_of(ids: Sequence[Id], linked: Sequence[bool], befores: Sequence[Id], afters: Sequence[Id]) -> Links:
    """From rows of which some know who stands before and after them."""
    behind: dict[Id, Id | None] = {}
    first = set()
    for id, known, before, after in zip(ids, linked, befores, afters, strict=True):
        if not known:
            continue
        behind[id] = None if after == _NOBODY else after
        if before == _NOBODY:
            first.add(id)
        else:
            behind[before] = id
    return Links(behind, frozenset(first))


def apart(index: OwnerIndex, links: Links) -> Flags:
    """Of each row: whether saved ones lie between it and the next of its session that are not here.

    What waits stands where it was said, between saved rows or behind them, and moves nothing apart.
    """
    ids, saved, sessions = index.rows.id_list(), index.saved.tolist(), index.features.session.tolist()
    last = _last_saved(ids, saved, sessions)
    ahead = _last_saved(ids[::-1], saved[::-1], sessions[::-1])[::-1]
    gaps = np.zeros(len(ids), np.bool_)
    for row in range(len(ids) - 1):
        gaps[row] = sessions[row] == sessions[row + 1] and not links.joined(last[row], ahead[row + 1])
    return gaps


def _last_saved(ids: Sequence[Id], saved: Sequence[bool], sessions: Sequence[int]) -> list[Id | None]:
    """For each row the nearest saved one of its session that does not come later."""
    found: list[Id | None] = []
    for row, session in enumerate(sessions):
        before = found[-1] if row and sessions[row - 1] == session else None
        found.append(ids[row] if saved[row] else before)
    return found
