"""Filters of the Mem0 platform, by its published rules, the surprising ones above all. It knows records, no HTTP.

A filter that names some of the entities (user, agent, app, run) means that the others are absent: who asks for a user
alone finds nothing that was stored for a user within a run.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

ENTITIES = ("user_id", "agent_id", "app_id", "run_id")

Record = Mapping[str, Any]
_Test = Callable[[Record], bool]

_LOGIC = ("AND", "OR", "NOT")
_FIELDS = (*ENTITIES, "created_at", "updated_at", "categories", "metadata", "keywords", "memory_ids")
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda value, wanted: bool(value == wanted),
    "ne": lambda value, wanted: bool(value != wanted),
    "in": lambda value, wanted: value in wanted,
    "gt": lambda value, wanted: value is not None and value > wanted,
    "gte": lambda value, wanted: value is not None and value >= wanted,
    "lt": lambda value, wanted: value is not None and value < wanted,
    "lte": lambda value, wanted: value is not None and value <= wanted,
    "contains": lambda value, wanted: value is not None and wanted in value,
    "icontains": lambda value, wanted: value is not None and str(wanted).lower() in str(value).lower(),
}
_METADATA_COMPARE = ("eq", "ne", "contains")


class FilterError(ValueError):
    """A filter that the platform would refuse."""


def matcher(filters: object) -> _Test:
    """What tells whether a record fits the filters of a search or a listing."""
    if not isinstance(filters, Mapping) or not filters:
        raise FilterError("filters must be an object with at least one entity id")
    named = {field for field, _ in _conditions(filters) if field in ENTITIES}
    if not named:
        raise FilterError(f"filters must name one of {', '.join(ENTITIES)}")
    absent = [entity for entity in ENTITIES if entity not in named]
    fits = _all_of(filters)
    return lambda record: fits(record) and all(record.get(entity) is None for entity in absent)


def _conditions(filters: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in filters.items():
        if key not in _LOGIC:
            yield key, value
            continue
        for part in _parts(value):
            yield from _conditions(part)


def _parts(value: object) -> list[Mapping[str, Any]]:
    found = value if isinstance(value, list) else [value]
    parts = [part for part in found if isinstance(part, Mapping)]
    if len(parts) < len(found):
        raise FilterError("AND, OR and NOT take objects")
    return parts


def _all_of(filters: Mapping[str, Any]) -> _Test:
    tests = [_logic(key, value) if key in _LOGIC else _condition(key, value) for key, value in filters.items()]
    return lambda record: all(test(record) for test in tests)


def _logic(operator: str, value: object) -> _Test:
    tests = [_all_of(part) for part in _parts(value)]
    if operator == "AND":
        return lambda record: all(test(record) for test in tests)
    if operator == "OR":
        return lambda record: any(test(record) for test in tests)
    return lambda record: not any(test(record) for test in tests)


def _condition(field: str, wanted: Any) -> _Test:
    if field not in _FIELDS:
        raise FilterError(f"unknown field {field}")
    if field == "memory_ids":
        return lambda record: record["id"] in wanted
    if field == "metadata":
        return _metadata(wanted)
    name = "memory" if field == "keywords" else field
    test = _value_test(wanted)
    return lambda record: test(record.get(name))


def _metadata(wanted: object) -> _Test:
    if not isinstance(wanted, Mapping):
        raise FilterError("metadata takes an object")
    for value in wanted.values():
        if isinstance(value, Mapping) and not value.keys() <= set(_METADATA_COMPARE):
            raise FilterError(f"metadata can only be compared by {', '.join(_METADATA_COMPARE)}")
    tests = {key: _value_test(value) for key, value in wanted.items()}
    return lambda record: all(test((record["metadata"] or {}).get(key)) for key, test in tests.items())


def _value_test(wanted: Any) -> Callable[[Any], bool]:
    if wanted == "*":
        return lambda value: value is not None
    if not isinstance(wanted, Mapping):
        return lambda value: bool(value == wanted)
    unknown = wanted.keys() - _COMPARE.keys()
    if unknown:
        raise FilterError(f"unknown operator {', '.join(sorted(unknown))}")
    return lambda value: all(_COMPARE[operator](value, operand) for operator, operand in wanted.items())
