"""The fields that every memory has, under our names and mem0's."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from decimal import Decimal
from typing import Any

from ..dates import Span
from ..errors import InvalidFilterError
from ..records import StoredMemory
from .nodes import Comparison, Every, Field, Leaf, Node, Some, known_span
from .values import by_digits, containing, is_number


@dataclass(frozen=True, slots=True)
class TextColumn:
    """A text that is empty where there is none. Compared by code points, whatever the database's language."""

    name: str
    column: str  # never NULL
    read: Callable[[StoredMemory], str]

    def exists(self) -> Node:
        return Leaf(f"{self.column} <> ''", (), lambda memory: self.read(memory) != "")

    def equal(self, values: Sequence[Any], zone: tzinfo) -> Node:
        wanted = [self._text(value) for value in values]
        return Leaf(f"{self.column} = ANY (?::text[])", (wanted,), lambda memory: self.read(memory) in wanted)

    def order(self, comparison: Comparison, value: Any, zone: tzinfo) -> Node:
        bound = self._text(value)
        return Leaf(
            f"""({self.column} <> '' AND {self.column} COLLATE "C" {comparison.sign} ?::text)""",
            (bound,),
            lambda memory: (text := self.read(memory)) != "" and comparison.holds(text, bound),
        )

    def part(self, value: str, *, any_case: bool) -> Node:
        text, bound, holds = containing(self.column, value, any_case=any_case)
        return Leaf(text, (bound,), lambda memory: holds(self.read(memory)))

    def _text(self, value: Any) -> str:
        if not isinstance(value, str):
            raise InvalidFilterError(f"{self.name} is a text and cannot be compared with a {type(value).__name__}")
        return value


@dataclass(frozen=True, slots=True)
class DateColumn:
    name: str
    column: str
    read: Callable[[StoredMemory], datetime | None]

    def exists(self) -> Node:
        return Leaf(f"{self.column} IS NOT NULL", (), lambda memory: self.read(memory) is not None)

    def equal(self, values: Sequence[Any], zone: tzinfo) -> Node:
        return Some(tuple(self._within(known_span(self.name, value, zone)) for value in values))

    def order(self, comparison: Comparison, value: Any, zone: tzinfo) -> Node:
        bound = comparison.edge(known_span(self.name, value, zone))
        return Leaf(
            f"coalesce({self.column} {comparison.sign} ?::timestamptz, FALSE)",
            (bound,),
            lambda memory: (moment := self.read(memory)) is not None and comparison.holds(moment, bound),
        )

    def part(self, value: str, *, any_case: bool) -> Node:
        raise InvalidFilterError(f"{self.name} is a date: compare it with gt, gte, lt or lte")

    def _within(self, span: Span) -> Node:
        return Leaf(
            f"coalesce({self.column} BETWEEN ?::timestamptz AND ?::timestamptz, FALSE)",
            (span.begin, span.end),
            lambda memory: (moment := self.read(memory)) is not None and span.begin <= moment <= span.end,
        )


@dataclass(frozen=True, slots=True)
class NumberColumn:
    name: str
    column: str
    read: Callable[[StoredMemory], int]

    def exists(self) -> Node:
        return Every(())

    def equal(self, values: Sequence[Any], zone: tzinfo) -> Node:
        wanted = [self._number(value) for value in values]
        return Leaf(f"{self.column} = ANY (?::numeric[])", (wanted,), lambda memory: self.read(memory) in wanted)

    def order(self, comparison: Comparison, value: Any, zone: tzinfo) -> Node:
        bound = self._number(value)
        return Leaf(
            f"{self.column} {comparison.sign} ?::numeric",
            (bound,),
            lambda memory: comparison.holds(self.read(memory), bound),
        )

    def part(self, value: str, *, any_case: bool) -> Node:
        raise InvalidFilterError(f"{self.name} is a number: compare it with eq, gt, gte, lt or lte")

    def _number(self, value: Any) -> Decimal:
        if not is_number(value):
            raise InvalidFilterError(f"{self.name} is a number and cannot be compared with a {type(value).__name__}")
        return by_digits(value)


_TEXTS: Mapping[str, tuple[str, Callable[[StoredMemory], str]]] = {
    "id": ("id::text", lambda memory: str(memory.id)),
    "user_id": ("user_id", lambda memory: memory.user_id),
    "agent_id": ("agent_id", lambda memory: memory.agent_id),
    "run_id": ("run_id", lambda memory: memory.run_id),
    "session_id": ("session_id", lambda memory: memory.session_id),
    "role": ("role", lambda memory: memory.role),
    "speaker": ("coalesce(speaker, '')", lambda memory: memory.speaker or ""),
    "text": ("text", lambda memory: memory.text),
    "subtype": ("subtype", lambda memory: memory.subtype),
    "flag": ("flag", lambda memory: memory.flag),
    "superseded_by": ("coalesce(superseded_by::text, '')", lambda memory: str(memory.superseded_by or "")),
    "compressed_into": ("coalesce(compressed_into::text, '')", lambda memory: str(memory.compressed_into or "")),
}
_DATES: Mapping[str, tuple[str, Callable[[StoredMemory], datetime | None]]] = {
    "created_at": ("created_at", lambda memory: memory.created_at),
    "updated_at": ("updated_at", lambda memory: memory.updated_at),
    "timestamp": ("greatest(created_at, updated_at)", lambda memory: memory.timestamp),
    "valid_from": ("valid_from", lambda memory: memory.valid_from),
    "valid_to": ("valid_to", lambda memory: memory.valid_to),
    "expires_at": ("expires_at", lambda memory: memory.expires_at),
    "accessed_at": ("accessed_at", lambda memory: memory.accessed_at),
}
_NUMBERS: Mapping[str, tuple[str, Callable[[StoredMemory], int]]] = {
    "position": ("position", lambda memory: memory.position),
    "access_count": ("access_count", lambda memory: memory.access_count),
}
ALIASES: Mapping[str, str] = {
    "session": "session_id",
    "actor_id": "speaker",
    "memory": "text",
    "data": "text",
    "keywords": "text",
    "expiration_date": "expires_at",
}
COLUMNS: Mapping[str, Field] = {
    **{name: TextColumn(name, *found) for name, found in _TEXTS.items()},
    **{name: DateColumn(name, *found) for name, found in _DATES.items()},
    **{name: NumberColumn(name, *found) for name, found in _NUMBERS.items()},
}


def column_name(key: str) -> str:
    return ALIASES.get(key, key)


def column(key: str) -> Field | None:
    return COLUMNS.get(column_name(key))
