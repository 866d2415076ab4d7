"""The fields that somebody made up. Their values may be anything, so each comparison first looks at the kind.

A value is cast only after its form was checked: no row can make PostgreSQL fail.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from json import dumps
from typing import Any

from ..dates import Span, span_of
from ..errors import InvalidDateError, InvalidFilterError
from .nodes import Comparison, Leaf, Node, Some, known_span
from .values import by_digits, containing, identity, is_number

_BARE_NUMBER = re.compile(r"\s*[-+]?\d+(?:[.,]\d+)?\s*")

# What both PostgreSQL and `datetime.fromisoformat` take, and nothing that one of them refuses: no 30th of February.
_DAY = (
    "(?!0000)(?:[0-9]{4}-(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)"
    "|(?:0[13578]|1[02])-31)"
    "|(?:[0-9][0-9](?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29)"
)
_CLOCK = r"[ T](?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]{1,6})?)?"
_ZONE = "(?:Z|[+-](?:0[0-9]|1[0-4]):[0-5][0-9])"
_WITH_ZONE = f"^{_DAY}{_CLOCK}{_ZONE}$"
_WITHOUT_ZONE = f"^{_DAY}(?:{_CLOCK})?$"
_ISO_DATE = re.compile(f"{_DAY}(?:{_CLOCK}{_ZONE}?)?")

_TEXT = "(item.value #>> '{}')"
_IS_TEXT = "jsonb_typeof(item.value) = 'string'"
_MOMENT = (
    f"CASE WHEN NOT ({_IS_TEXT}) THEN NULL WHEN {_TEXT} ~ ?::text THEN {_TEXT}::timestamptz"
    f" WHEN {_TEXT} ~ ?::text THEN {_TEXT}::timestamp AT TIME ZONE 'UTC' END"
)
_ELEMENTS = (
    "jsonb_array_elements(CASE jsonb_typeof(metadata -> ?::text) WHEN 'array' THEN metadata -> ?::text"
    " ELSE jsonb_build_array(metadata -> ?::text) END)"
)


@dataclass(frozen=True, slots=True)
class MetadataKey:
    """A list stands for its elements: it is enough that one of them fits. A null is as good as no key.

    Values of different kinds are never equal, and none of them is the greater. A date is a text in ISO 8601, in UTC
    where it names no zone.
    """

    name: str

    def exists(self) -> Node:
        text = "coalesce(metadata -> ?::text, 'null') <> 'null'"
        return Leaf(text, (self.name,), lambda memory: (memory.metadata or {}).get(self.name) is not None)

    def equal(self, values: Sequence[Any], zone: tzinfo) -> Node:
        days = [known_span(self.name, value, zone) for value in values if isinstance(value, date)]
        plain = [value for value in values if not isinstance(value, date)]
        wanted = {identity(value) for value in plain}
        written = [dumps(value) for value in plain]
        scalars = self._one("item.value = ANY (?::text[]::jsonb[])", (written,), lambda one: identity(one) in wanted)
        return Some((scalars, *(self._within(day) for day in days)))

    def order(self, comparison: Comparison, value: Any, zone: tzinfo) -> Node:
        if is_number(value):
            return self._number(comparison, value)
        if (span := self._date(value, zone)) is not None:
            return self._moment(comparison, comparison.edge(span))
        if not isinstance(value, str):
            raise InvalidFilterError(f"{self.name}: only a number, a text or a date can be greater or less")
        return self._one(
            f'({_IS_TEXT} AND {_TEXT} COLLATE "C" {comparison.sign} ?::text)',
            (value,),
            lambda one: isinstance(one, str) and comparison.holds(one, value),
        )

    def part(self, value: str, *, any_case: bool) -> Node:
        text, bound, holds = containing(_TEXT, value, any_case=any_case)
        return self._one(f"({_IS_TEXT} AND {text})", (bound,), lambda one: isinstance(one, str) and holds(one))

    def _date(self, value: Any, zone: tzinfo) -> Span | None:
        """A text that can only be a date is one; a number written as a text may be anything."""
        if isinstance(value, date):
            return known_span(self.name, value, zone)
        if not isinstance(value, str) or _BARE_NUMBER.fullmatch(value):
            return None
        try:
            return span_of(value, zone=zone)
        except InvalidDateError:
            return None

    def _number(self, comparison: Comparison, bound: float) -> Node:
        exact = by_digits(bound)
        return self._one(
            f"(jsonb_typeof(item.value) = 'number' AND item.value {comparison.sign} ?::jsonb)",
            (dumps(bound),),
            lambda one: is_number(one) and comparison.holds(by_digits(one), exact),
        )

    def _moment(self, comparison: Comparison, bound: datetime) -> Node:
        return self._one(
            f"{_MOMENT} {comparison.sign} ?::timestamptz",
            (_WITH_ZONE, _WITHOUT_ZONE, bound),
            lambda one: (moment := _moment(one)) is not None and comparison.holds(moment, bound),
        )

    def _within(self, span: Span) -> Node:
        return self._one(
            f"{_MOMENT} BETWEEN ?::timestamptz AND ?::timestamptz",
            (_WITH_ZONE, _WITHOUT_ZONE, span.begin, span.end),
            lambda one: (moment := _moment(one)) is not None and span.begin <= moment <= span.end,
        )

    def _one(self, text: str, values: tuple[Any, ...], holds: Callable[[Any], bool]) -> Node:
        """True where the value or an element of it fits. EXISTS makes false of what is neither true nor false."""
        return Leaf(
            f"EXISTS (SELECT FROM {_ELEMENTS} AS item (value) WHERE {text})",
            (self.name, self.name, self.name, *values),
            lambda memory: any(map(holds, _elements(memory.metadata, self.name))),
        )


def _elements(metadata: Mapping[str, Any] | None, key: str) -> Iterable[Any]:
    value = (metadata or {}).get(key)
    return value if isinstance(value, list | tuple) else (value,)


def _moment(value: Any) -> datetime | None:
    if not isinstance(value, str) or not _ISO_DATE.fullmatch(value):
        return None
    moment = datetime.fromisoformat(value)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
