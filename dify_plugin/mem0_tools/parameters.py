"""Parameters as workflows really hand them over: numbers and booleans as text, JSON in fences, Python literals, blanks.

What is merely out of bounds is moved into them. What cannot mean anything is a ToolInputError, which never quotes more
than a few characters.
"""

import ast
import json
import logging
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from .errors import ToolInputError

logger = logging.getLogger(__name__)

Parameters = Mapping[str, Any]

MOST_JSON = 256 * 1024

_TRUE = frozenset({"true", "1", "yes", "y", "on"})
_FALSE = frozenset({"false", "0", "no", "n", "off"})
_FENCE = re.compile(r"\s*```[a-zA-Z0-9_-]*[ \t]*\n?(?P<inside>.*?)\n?\s*```\s*", re.DOTALL)


def text_of(parameters: Parameters, name: str) -> str:
    """The text under this name without blanks around it; empty where there is none. A number counts as its digits."""
    value = parameters.get(name)
    if value is None or isinstance(value, bool):
        return ""
    if isinstance(value, int | float):
        return str(int(value)) if float(value).is_integer() else str(value)
    if not isinstance(value, str):
        raise ToolInputError(f"{name} must be text, not a {_kind(value)}")
    return value.strip()


def required_text(parameters: Parameters, name: str) -> str:
    found = text_of(parameters, name)
    if not found:
        raise ToolInputError(f"{name} is required")
    return found


def flag_of(value: object, *, default: bool) -> bool:
    """ "false" is false. What is neither is the default."""
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower() if isinstance(value, str | int) else ""
    if word in _TRUE:
        return True
    return False if word in _FALSE else default


def number_of(value: object) -> float | None:
    """A number, also as text; None where it is none that could be counted with."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def whole_number(parameters: Parameters, name: str, *, default: int, least: int, most: int) -> int:
    """Moved into its bounds; the default where there is none."""
    value = parameters.get(name)
    number = number_of(value)
    if number is None:
        if value not in (None, ""):
            logger.warning("%s is no number: %d is used", name, default)
        return default
    return max(least, min(round(max(-1e9, min(number, 1e9))), most))


def timeout_of(parameters: Parameters) -> int | None:
    """How many seconds this call may take; None where nothing usable is said."""
    value = parameters.get("timeout")
    if value in (None, ""):
        return None
    number = number_of(value)
    if number is None or number <= 0:
        logger.warning("timeout is no number above 0: the usual limit is used")
        return None
    return max(1, round(min(number, 1e6)))


def object_of(parameters: Parameters, name: str) -> dict[str, Any] | None:
    """A JSON object, as text or as it is; None where there is none."""
    value = parameters.get(name)
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    found = parsed(value, name) if isinstance(value, str) else value
    if not isinstance(found, Mapping):
        raise ToolInputError(f"{name} must be a JSON object, not a {_kind(found)}")
    return dict(found)


def parsed(text: str, name: str) -> Any:
    """JSON, or a Python literal; fences around it are taken away."""
    if len(text) > MOST_JSON:
        raise ToolInputError(f"{name} is too long: {MOST_JSON} characters are the most")
    fenced = _FENCE.fullmatch(text)
    inside = (fenced["inside"] if fenced else text).strip()
    try:
        return json.loads(inside)
    except RecursionError:
        raise ToolInputError(f"Invalid JSON in {name}: it is nested too deeply") from None
    except ValueError as error:
        problem = error.msg if isinstance(error, json.JSONDecodeError) else "it cannot be read"
    try:
        found = ast.literal_eval(inside)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise ToolInputError(f"Invalid JSON in {name}: {problem}") from None
    return _plain(found, name)


def names_of(parameters: Parameters, name: str) -> tuple[str, ...]:
    """Ids as a list, as a JSON array or with commas between them; each once, in their order."""
    value = parameters.get(name)
    if isinstance(value, str):
        text = value.strip()
        # What stands in brackets or fences is meant as a list; all else is read at its commas.
        value = parsed(text, name) if text.startswith(("[", "```", "(")) else text.split(",")
    if value is None:
        raise ToolInputError(f"{name} is required")
    if not isinstance(value, list | tuple):
        value = [value]
    found = tuple(dict.fromkeys(filter(None, (text_of({name: one}, name) for one in value))))
    if not found:
        raise ToolInputError(f"{name} is required")
    return found


def _plain(value: Any, name: str) -> Any:
    """Python has values that JSON has not."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one, name) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one, name) for one in value]
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise ToolInputError(f"Invalid JSON in {name}: it holds a {_kind(value)}")


def _kind(value: object) -> str:
    if isinstance(value, Mapping):
        return "object"
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return "list"
    return {"str": "text", "bool": "boolean", "NoneType": "null"}.get(type(value).__name__, type(value).__name__)
