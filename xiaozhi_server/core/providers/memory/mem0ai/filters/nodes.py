"""What a filter is made of. Every part has two readings side by side: SQL over a row, and Python over a `StoredMemory`.

Both are always true or false for the same rows: SQL's third value would not turn around under NOT.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any, Protocol

from ..dates import Span, span_of
from ..errors import InvalidDateError, InvalidFilterError
from ..records import StoredMemory

Bind = Callable[[Any], str]


class Node(Protocol):
    """`sql` hands each of its values to `bind` and writes what that returns in its place."""

    def sql(self, bind: Bind) -> str: ...

    def matches(self, memory: StoredMemory) -> bool: ...


@dataclass(frozen=True, slots=True)
class Leaf:
    """One comparison. `text` has a question mark for each of `values`."""

    text: str
    values: tuple[Any, ...]
    test: Callable[[StoredMemory], bool]

    def sql(self, bind: Bind) -> str:
        first, *rest = self.text.split("?")
        return first + "".join(bind(value) + piece for value, piece in zip(self.values, rest, strict=True))

    def matches(self, memory: StoredMemory) -> bool:
        return self.test(memory)


@dataclass(frozen=True, slots=True)
class Every:
    parts: tuple[Node, ...]

    def sql(self, bind: Bind) -> str:
        return f"({' AND '.join(part.sql(bind) for part in self.parts)})" if self.parts else "TRUE"

    def matches(self, memory: StoredMemory) -> bool:
        return all(part.matches(memory) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Some:
    parts: tuple[Node, ...]

    def sql(self, bind: Bind) -> str:
        return f"({' OR '.join(part.sql(bind) for part in self.parts)})" if self.parts else "FALSE"

    def matches(self, memory: StoredMemory) -> bool:
        return any(part.matches(memory) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Not:
    part: Node

    def sql(self, bind: Bind) -> str:
        return f"(NOT {self.part.sql(bind)})"

    def matches(self, memory: StoredMemory) -> bool:
        return not self.part.matches(memory)


@dataclass(frozen=True, slots=True)
class Comparison:
    """`sign` is the operator in SQL. `edge` tells which end of a day counts: after a day is after its end."""

    sign: str
    holds: Callable[[Any, Any], bool]
    edge: Callable[[Span], datetime]


ORDER: Mapping[str, Comparison] = {
    "gt": Comparison(">", operator.gt, operator.attrgetter("end")),
    "gte": Comparison(">=", operator.ge, operator.attrgetter("begin")),
    "lt": Comparison("<", operator.lt, operator.attrgetter("begin")),
    "lte": Comparison("<=", operator.le, operator.attrgetter("end")),
}


class Field(Protocol):
    """Something of a memory that can be compared. What its kind does not know is an `InvalidFilterError`."""

    def exists(self) -> Node: ...

    def equal(self, values: Sequence[Any], zone: tzinfo) -> Node:
        """It is one of these."""
        ...

    def order(self, comparison: Comparison, value: Any, zone: tzinfo) -> Node: ...

    def part(self, value: str, *, any_case: bool) -> Node:
        """It contains this text."""
        ...


def known_span(name: str, value: Any, zone: tzinfo) -> Span:
    """What a date means; an error that names the field."""
    try:
        return span_of(value, zone=zone)
    except InvalidDateError as problem:
        raise InvalidFilterError(f"{name}: {problem}") from None
