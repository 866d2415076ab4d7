"""The single values of a filter: which are taken, when two are the same, and what it means to contain one."""

import math
import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

from ..errors import InvalidFilterError

LONGEST_TEXT = 1000
_WIDEST_NUMBER_BITS = 1024  # as wide as a float


def checked_value(name: str, value: Any) -> Any:
    """The value itself, if a field may be compared with it."""
    if value is None or isinstance(value, bool | date):
        return value
    if isinstance(value, str):
        return checked_text(name, value)
    if is_number(value):
        return _checked_number(name, value)
    raise InvalidFilterError(f"{name}: a {type(value).__name__} cannot be compared: use a text, number, date or bool")


def checked_text(name: str, value: str) -> str:
    if len(value) > LONGEST_TEXT:
        raise InvalidFilterError(f"{name}: a text in a filter has at most {LONGEST_TEXT} characters")
    if "\0" in value or any("\ud800" <= char <= "\udfff" for char in value):
        raise InvalidFilterError(f"{name}: no memory contains a NUL or half a surrogate pair: leave them out")
    return value


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def by_digits(value: float) -> Decimal:
    """A number as PostgreSQL reads it: by its digits, not by its bits."""
    return Decimal(repr(value))


def identity(value: Any) -> tuple[str, Any]:
    """The same for two values that are the same in JSON, where true is not 1 and "1" neither. Lists have none."""
    if isinstance(value, str | bool):
        return type(value).__name__, value
    return ("number", by_digits(value)) if is_number(value) else ("", None)


def containing(subject: str, value: str, *, any_case: bool) -> tuple[str, str, Callable[[str], bool]]:
    """The SQL over `subject` with one question mark, the value for it, and the same in Python."""
    if not any_case:
        return f"strpos({subject}, ?::text) > 0", value, lambda text: value in text
    pattern = "".join(map(_in_any_case, value))
    find = re.compile(pattern).search
    return f'{subject} COLLATE "C" ~ ?::text', pattern, lambda text: find(text) is not None


def _in_any_case(char: str) -> str:
    """A pattern for the forms of a letter, spelled out: databases differ in the capitals that they know."""
    forms = sorted({form for form in (char, char.lower(), char.upper(), char.title()) if len(form) == 1})
    if len(forms) > 1:
        return f"[{''.join(forms)}]"
    return char if char.isalnum() or not char.isascii() else f"\\{char}"


def _checked_number(name: str, value: float) -> float:
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidFilterError(f"{name}: {value} is nothing to compare with")
    if isinstance(value, int) and value.bit_length() > _WIDEST_NUMBER_BITS:
        raise InvalidFilterError(f"{name}: a number in a filter has at most 308 digits")
    return value
