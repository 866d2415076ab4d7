"""What somebody attaches to a memory: any JSON object of moderate size, checked before it reaches the database."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .errors import InvalidMetadataError

LARGEST_BYTES = 16 * 1024
_MOST_NESTED = 20


@dataclass(frozen=True, slots=True)
class Metadata:
    """A copy that nobody else can change, and how it is written."""

    value: dict[str, Any]
    json: str


def checked_metadata(metadata: object) -> Metadata:
    if not isinstance(metadata, Mapping):
        raise InvalidMetadataError(f"metadata must be an object of names and values, not {_kind(metadata)}")
    value = _copy(metadata, "metadata", 0)
    try:
        written = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except ValueError as error:  # an integer of thousands of digits
        raise InvalidMetadataError(f"metadata cannot be written as JSON: {error}") from None
    size = len(written.encode())
    if size > LARGEST_BYTES:
        raise InvalidMetadataError(f"metadata takes {size} bytes as JSON and may take {LARGEST_BYTES}")
    return Metadata(value, written)


def merged(present: Mapping[str, Any] | None, change: Mapping[str, Any]) -> dict[str, Any]:
    """What is named changes, what is None goes, the rest stays."""
    together = {**(present or {}), **change}
    return {name: value for name, value in together.items() if value is not None or name not in change}


def _copy(value: Any, where: str, depth: int) -> Any:
    if depth > _MOST_NESTED:
        raise InvalidMetadataError(f"metadata is nested more than {_MOST_NESTED} deep, or contains itself")
    if isinstance(value, Mapping):
        return {_name(name, where): _copy(inner, f"{where}.{name}", depth + 1) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_copy(inner, f"{where}[{number}]", depth + 1) for number, inner in enumerate(value)]
    if isinstance(value, str):
        return _text(value, where)
    if value is None or isinstance(value, bool | int | float):
        return _number(value, where)
    raise InvalidMetadataError(
        f"{_short(where)} is {_kind(value)}, which JSON does not know: use texts, numbers, booleans, lists or objects"
    )


def _name(name: Any, where: str) -> str:
    if not isinstance(name, str):
        raise InvalidMetadataError(f"the names in {_short(where)} must be texts, not {_kind(name)}")
    return _text(name, f"a name in {where}")


def _text(value: str, where: str) -> str:
    if "\0" in value or any("\ud800" <= char <= "\udfff" for char in value):
        raise InvalidMetadataError(f"{_short(where)} contains a NUL or half a surrogate pair: leave it out")
    return str(value)


def _number(value: Any, where: str) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidMetadataError(f"{_short(where)} is {value}, which JSON does not know: leave it out")
    return value


def _kind(value: object) -> str:
    return f"a {type(value).__name__}"


def _short(where: str) -> str:
    """The name of a value, printable and of bounded length: the sender may have chosen it."""
    return ascii(where[:80])[1:-1]
