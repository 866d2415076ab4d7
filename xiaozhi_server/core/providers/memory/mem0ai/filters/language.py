"""How a filter is written: mem0's language, of its library and of its platform.

    {"kind": "fact", "year": {"gte": 2020}, "tag": ["tea", "coffee"], "note": "*"}
    {"AND": [{"created_at": {"gte": "2026-01-01", "lt": "2026-02-01"}}, {"NOT": {"role": "assistant"}}]}

- The keys of one object must all hold. AND and OR take a list of objects, NOT takes an object, or a list of which none
  may hold.
- A key is one of the fields that every memory has (see columns.py), else a key of the metadata; inside of
  `{"metadata": {...}}` it is always one of the metadata.
- A single value must be equal, a list stands for any of its values, "*" asks only whether there is something, and None
  whether there is nothing. An object compares: eq, ne, gt, gte, lt, lte, in, nin, contains, icontains. `ne` and `nin`
  also hold where there is nothing.
- A date without a time is the whole day in `zone`: `gte` counts from its begin, `lte` to its end. See dates.py.
- What is not true any more is left out, unless the filter names `valid_to` or `superseded_by` (a listing has it
  anyway); what a summary stands for, unless it names `compressed_into`; and from a search what is suspect, unless it
  names `flag`.
- `user_id` is a field like others. The owner of a search is given beside its filter, and a filter only ever takes away
  from that owner's memories: one that names somebody else finds nothing.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import Any

from ..errors import InvalidFilterError
from ..records import StoredMemory
from .columns import column, column_name
from .metadata import MetadataKey
from .nodes import ORDER, Every, Field, Node, Not, Some
from .values import checked_text, checked_value

MOST_NESTED = 20
MOST_CONDITIONS = 200
_MOST_VALUES = 1000
_OPERATORS = ("eq", "ne", "in", "nin", "contains", "icontains", *ORDER)


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter that was understood. `fields` are those of a memory that it looks at, metadata apart."""

    root: Node
    fields: frozenset[str] = frozenset()

    def sql(self) -> tuple[str, dict[str, Any]]:
        """A condition over the columns of memory_entry, and the values of its parameters `filter_0` and so on."""
        values: dict[str, Any] = {}

        def bind(value: Any) -> str:
            name = f"filter_{len(values)}"
            values[name] = value
            return f"%({name})s"

        return self.root.sql(bind), values

    def matches(self, memory: StoredMemory) -> bool:
        """The same of a memory that was read already."""
        return self.root.matches(memory)


def parse(filters: Mapping[str, Any] | Filter | None, *, zone: tzinfo = UTC) -> Filter:
    """The filter, or an `InvalidFilterError`. What was parsed before is left as it is."""
    if isinstance(filters, Filter):
        return filters
    if filters is None:
        return Filter(Every(()))
    reader = _Reader(zone)
    return Filter(reader.every(filters, depth=1), frozenset(reader.fields))


class _Reader:
    """Reads one filter and counts what it contains."""

    def __init__(self, zone: tzinfo) -> None:
        self._zone = zone
        self._conditions = 0
        self.fields: set[str] = set()

    def every(self, given: Any, depth: int, *, of_metadata: bool = False) -> Node:
        """An object, all keys of which must hold."""
        if not isinstance(given, Mapping):
            raise InvalidFilterError(f"a filter is an object of keys and conditions, not a {type(given).__name__}")
        if depth > MOST_NESTED:
            raise InvalidFilterError(f"a filter can be nested {MOST_NESTED} deep and no deeper")
        return Every(tuple(self._entry(_key(key), value, depth, of_metadata) for key, value in given.items()))

    def _entry(self, key: str, value: Any, depth: int, of_metadata: bool) -> Node:
        if of_metadata:
            return self._field(key, MetadataKey(key), value)
        if key in ("AND", "OR", "NOT"):
            return self._joined(key, value, depth + 1)
        if key == "metadata":
            return self.every(value, depth + 1, of_metadata=True)
        found = column(key)
        if found is not None:
            self.fields.add(column_name(key))
        return self._field(key, found or MetadataKey(key), value)

    def _joined(self, word: str, value: Any, depth: int) -> Node:
        if word == "NOT" and isinstance(value, Mapping):
            return Not(self.every(value, depth))
        if not isinstance(value, list | tuple) or not value:
            raise InvalidFilterError(f"{word} needs a list of at least one condition")
        parts = tuple(self.every(part, depth) for part in value)
        if word == "AND":
            return Every(parts)
        return Some(parts) if word == "OR" else Not(Some(parts))

    def _field(self, key: str, field: Field, value: Any) -> Node:
        if not isinstance(value, Mapping):
            return self._condition(key, field, "in" if isinstance(value, list | tuple) else "is", value)
        unknown = [name for name in value if name not in _OPERATORS]
        if unknown or not value:
            raise InvalidFilterError(f"{key}: compare with one of {', '.join(_OPERATORS)}, not with {_shown(unknown)}")
        return Every(tuple(self._condition(key, field, name, operand) for name, operand in value.items()))

    def _condition(self, key: str, field: Field, name: str, value: Any) -> Node:
        self._conditions += 1
        if self._conditions > MOST_CONDITIONS:
            raise InvalidFilterError(f"a filter has at most {MOST_CONDITIONS} conditions")
        if name == "is" and value == "*":
            return field.exists()
        if name in ("is", "eq"):
            return self._one_of(field, [checked_value(key, value)])
        if name == "ne":
            return Not(self._one_of(field, [checked_value(key, value)]))
        if name in ("in", "nin"):
            node = self._one_of(field, list(_values(key, name, value)))
            return Not(node) if name == "nin" else node
        if name in ORDER:
            return field.order(ORDER[name], checked_value(key, value), self._zone)
        return _part(key, field, value, any_case=name == "icontains")

    def _one_of(self, field: Field, values: list[Any]) -> Node:
        """None among the values asks for the absence of one."""
        present = [value for value in values if value is not None]
        nodes: list[Node] = [field.equal(present, self._zone)] if present else []
        return Some((*nodes, Not(field.exists())) if len(present) < len(values) else tuple(nodes))


def _part(key: str, field: Field, value: Any, *, any_case: bool) -> Node:
    if not isinstance(value, str) or not value:
        raise InvalidFilterError(f"{key}: contains and icontains look for a text that is not empty")
    return field.part(checked_text(key, value), any_case=any_case)


def _values(key: str, name: str, value: Any) -> Iterator[Any]:
    if not isinstance(value, list | tuple):
        raise InvalidFilterError(f"{key}: {name} needs a list of values, not a {type(value).__name__}")
    if len(value) > _MOST_VALUES:
        raise InvalidFilterError(f"{key}: a list in a filter has at most {_MOST_VALUES} values")
    return (checked_value(key, one) for one in value)


def _key(key: Any) -> str:
    if not isinstance(key, str) or not key:
        raise InvalidFilterError("every key of a filter is a text that is not empty")
    return checked_text("a key", key)


def _shown(names: list[Any]) -> str:
    return ", ".join(repr(name)[:40] for name in names[:3]) or "nothing"
