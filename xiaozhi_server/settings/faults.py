"""Turns what pydantic finds wrong with the tree into one line with file, key and remedy."""

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from .errors import Fault
from .layers import Path, dotted, origin_of
from .masking import is_secret_name
from .tree import Settings

_REMEDIES: dict[Path, str] = {
    ("server", "websocket"): "write it as ws://host:8000/xiaozhi/v1/, or leave it empty",
    ("server", "ota"): "write it as http://host:8003/xiaozhi/ota/, or leave it empty",
    ("server", "trusted_proxies"): "write a list of addresses or networks such as 10.0.0.7 or 172.16.0.0/12",
    ("agent", "id"): "use up to 36 letters, digits, - and _",
    ("agent", "language"): "write it as en, zh or pt-BR",
}
_SEE = "config.yaml documents every setting"
_LONGEST_SHOWN = 40


def faults_of(problem: ValidationError, origins: Mapping[Path, str], prefix: Path = ()) -> list[Fault]:
    """`prefix` is where in the tree the checked values stand."""
    return [_fault(error, origins, prefix) for error in problem.errors(include_url=False)]


def _fault(error: Mapping[str, Any], origins: Mapping[Path, str], prefix: Path) -> Fault:
    path = (*prefix, *(str(part) for part in error["loc"]))
    source = origin_of(origins, path) or "settings"
    return Fault(source, dotted(path), _what(error, path), _remedy(error, path))


def _what(error: Mapping[str, Any], path: Path) -> str:
    kind, context = str(error["type"]), error.get("ctx", {})
    if kind in _PLAIN:
        return _PLAIN[kind]
    if kind in _WITH_CONTEXT:
        return _WITH_CONTEXT[kind](context)
    if kind == "value_error":
        return str(context.get("error", "is wrong"))
    return _expectation(kind) + _given(error.get("input"), path)


_PLAIN = {
    "extra_forbidden": "unknown key",
    "missing": "is missing",
    "string_pattern_mismatch": "does not have the right form",
}
_WITH_CONTEXT: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "greater_than_equal": lambda context: f"must be at least {context['ge']}",
    "greater_than": lambda context: f"must be greater than {context['gt']}",
    "less_than_equal": lambda context: f"must be at most {context['le']}",
    "less_than": lambda context: f"must be less than {context['lt']}",
    "literal_error": lambda context: f"must be {context['expected']}",
}


def _expectation(kind: str) -> str:
    words = {"int": "a whole number", "float": "a number", "bool": "true or false", "string": "a text"}
    words |= {"tuple": "a list", "list": "a list", "dict": "a mapping", "model": "a mapping"}
    return f"must be {words.get(kind.partition('_')[0], 'something else')}"


def _given(value: Any, path: Path) -> str:
    if is_secret_name(path[-1]) or isinstance(value, dict | list) or value is None:
        return ""
    text = str(value)
    return f", not {text[:_LONGEST_SHOWN]!r}"


def _remedy(error: Mapping[str, Any], path: Path) -> str:
    if error["type"] == "extra_forbidden":
        return did_you_mean(path[-1], _siblings(path[:-1])) or f"remove it; {_SEE}"
    if error["type"] == "missing" or is_secret_name(path[-1]):
        return f"add it to data/.config.yaml or export {environment_name(path)}=…"
    return _REMEDIES.get(path) or _default_remedy(path)


def environment_name(path: Iterable[str]) -> str:
    return "XIAOZHI__" + "__".join(part.upper() for part in path)


def _default_remedy(path: Path) -> str:
    section = _section(path[:-1])
    field = section.model_fields.get(path[-1]) if section else None
    default = field.default if field else None
    if not isinstance(default, str | int | float) or len(str(default)) > _LONGEST_SHOWN:
        return _SEE
    return f"the default is {str(default).lower() if isinstance(default, bool) else repr(default)}; {_SEE}"


def _siblings(path: Path) -> list[str]:
    section = _section(path)
    return list(section.model_fields) if section else []


def _section(path: Path) -> type[BaseModel] | None:
    """The model that stands at a path of the tree."""
    section: type[BaseModel] = Settings
    for part in path:
        field = section.model_fields.get(part)
        below = field.annotation if field else None
        if not (isinstance(below, type) and issubclass(below, BaseModel)):
            return None
        section = below
    return section


def did_you_mean(given: str, known: Iterable[str]) -> str:
    by_lower = {name.lower(): name for name in known}
    close = difflib.get_close_matches(given.lower(), by_lower, n=1, cutoff=0.6)
    return f"did you mean {by_lower[close[0]]}?" if close else ""
