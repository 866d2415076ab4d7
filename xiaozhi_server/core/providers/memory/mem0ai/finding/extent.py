"""Which memories take part in a search: those that hold now, and where they are asked for those that held before.

What has run out (expires_at) never does; what is suspect (see flags.py) only if a filter looks at the flag. The rest is
decided by the question and by what a filter names.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ..flags import SUSPECT
from ..recall.rank import Question

_HOLDS = "superseded_by IS NULL AND coalesce(valid_to > now(), true)"
_NOT_COMPRESSED = "compressed_into IS NULL"
_TRUSTED = f"flag NOT IN ({', '.join(map(repr, SUSPECT))})"
_NOT_EXPIRED = "coalesce(expires_at > now(), true)"
# When a memory held: some know since when, and until when. Something that merely happened was over at once, and so was
# what somebody said, as far as anybody knows.
HELD_FROM = "coalesce(valid_from, CASE WHEN valid_to IS NULL THEN greatest(created_at, updated_at) ELSE created_at END)"
HELD_TO = (
    "coalesce(valid_to, CASE WHEN valid_from IS NULL THEN greatest(created_at, updated_at)"
    " WHEN subtype = 'episodic' THEN valid_from ELSE 'infinity' END)"
)
_IN_TIME = (
    "EXISTS (SELECT FROM unnest(%(past_begins)s::float8[], %(past_ends)s::float8[]) AS span (begins, ends)"
    f" WHERE {HELD_FROM} <= to_timestamp(ends) AND {HELD_TO} >= to_timestamp(begins))"
)
# Without a subject, so that these hold for a row of memory_entry under any name.
LIVES = f"({_HOLDS} AND {_NOT_COMPRESSED} AND {_TRUSTED} AND {_NOT_EXPIRED})"
HIDDEN = f"(NOT {LIVES} AND {_NOT_EXPIRED})"

_NAMES_REPLACED = frozenset({"superseded_by", "valid_to"})
_NAMES_COMPRESSED = frozenset({"compressed_into"})
_NAMES_SUSPECT = frozenset({"flag"})

Spans = Sequence[tuple[float, float]]


class Named(Protocol):
    """Of a filter: the fields that it looks at."""

    @property
    def fields(self) -> Collection[str]: ...


@dataclass(frozen=True, slots=True)
class Extent:
    """`replaced`: also what is not true any more, where `times` are given what was true then. `compressed`: also what
    a summary stands for. `suspect`: also what may not be so.
    """

    replaced: bool = False
    times: tuple[tuple[float, float], ...] = ()
    compressed: bool = False
    suspect: bool = False

    @property
    def is_wide(self) -> bool:
        """Whether more is asked for than what holds now."""
        return self.replaced or self.compressed or self.suspect

    def sql(self) -> str:
        """A condition over the columns of memory_entry; its parameters are those of `parameters`."""
        parts = [_NOT_EXPIRED]
        if not self.compressed:
            parts.append(_NOT_COMPRESSED)
        if not self.suspect:
            parts.append(_TRUSTED)
        if not self.replaced:
            parts.append(_HOLDS)
        elif self.times:
            parts.append(f"(({_HOLDS}) OR {_IN_TIME})")
        return f"({' AND '.join(parts)})"

    def parameters(self) -> Mapping[str, Any]:
        return {"past_begins": [begin for begin, _ in self.times], "past_ends": [end for _, end in self.times]}


NOW = Extent()


def extent_of(question: Question, filter: Named | None, now_s: float) -> Extent:
    fields = frozenset() if filter is None else frozenset(filter.fields)
    named = not fields.isdisjoint(_NAMES_REPLACED)
    times = () if question.before or named or not question.time else tuple(question.time.over(now_s))
    return Extent(
        replaced=question.before or named or bool(times),
        times=times,
        compressed=not fields.isdisjoint(_NAMES_COMPRESSED),
        suspect=not fields.isdisjoint(_NAMES_SUSPECT),
    )
