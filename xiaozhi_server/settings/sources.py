"""Reads layers of settings: YAML files and the environment. It knows their shape, not what is set in them."""

import json
import re
from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any

import yaml

from .errors import Fault, SettingsError
from .layers import Layer, Path, Tree, leaves, put

ENVIRONMENT_PREFIX = "xiaozhi__"
# What the label of a preset's layer begins with, and of no other's.
PRESET_LABEL = "preset "
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_MOST_BITS = 63


class _Loader(yaml.SafeLoader):
    """YAML's safe loader, whose constructors fail with all kinds of errors, but with one kind and a place."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            value = super().construct_object(node, deep)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            raise _unusable("this value is not of the kind that it looks like", node) from None
        if isinstance(value, str) and not _is_text(value):
            raise _unusable("half of a character", node)
        if isinstance(value, int) and value.bit_length() > _MOST_BITS:
            raise _unusable("no setting is as large as this number", node)
        return value


def _unusable(what: str, node: yaml.Node) -> yaml.constructor.ConstructorError:
    return yaml.constructor.ConstructorError(None, None, what, node.start_mark)


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


class _StrictLoader(_Loader):
    """As that one, but a key that is given twice is an error instead of a surprise."""


def _mapping_without_doubles(loader: yaml.SafeLoader, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
    seen: set[str] = set()
    for key_node, _ in node.value:
        key = str(key_node.value)
        if key in seen and key != "<<":
            raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} is given twice", key_node.start_mark)
        seen.add(key)
    loader.flatten_mapping(node)
    return yaml.SafeLoader.construct_mapping(loader, node, deep)


def _construct(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    return _mapping_without_doubles(loader, node, deep=True)


_StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _construct)


def read_file(file: FilePath, environ: Mapping[str, str], *, label: str | None = None, users: bool = False) -> Layer:
    """One YAML file. `${NAME}` or `${NAME:-otherwise}` as a whole value stands for an environment variable."""
    source = label or file.as_posix()
    layer = Layer(source, _string_keys(_parse(file, source), source), is_users_file=users)
    _expand(layer, environ)
    return layer


def _parse(file: FilePath, source: str) -> Any:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else "it is not UTF-8 text"
        raise SettingsError(
            [Fault(source, "-", f"cannot be read ({reason})", "check the path and its rights")]
        ) from None
    try:
        return yaml.load(text, _StrictLoader)  # noqa: S506 - a subclass of SafeLoader
    except yaml.YAMLError as problem:
        raise SettingsError([_yaml_fault(source, problem)]) from None
    except RecursionError:
        raise SettingsError(
            [Fault(source, "-", "is nested too deep", "check for brackets that nothing closes")]
        ) from None


def _yaml_fault(source: str, problem: yaml.YAMLError) -> Fault:
    """Only the place and the kind of fault: the text around it may hold a key."""
    if not isinstance(problem, yaml.MarkedYAMLError):
        return Fault(source, "-", "is not YAML", "check for characters that cannot be printed")
    mark = problem.problem_mark
    place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "-"
    return Fault(source, place, problem.problem or "is not YAML", "check the indentation and the quotes there")


def _string_keys(values: Any, source: str) -> Tree:
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise SettingsError([Fault(source, "-", "is not a mapping of settings", "write lines such as `server:`")])
    return {
        str(key): _string_keys(value, source) if isinstance(value, dict) else value for key, value in values.items()
    }


def _expand(layer: Layer, environ: Mapping[str, str]) -> None:
    """What is not set stays as it is written: a stronger layer may still replace it."""
    for path, value in list(leaves(layer.values)):
        match = _VARIABLE.fullmatch(value.strip()) if isinstance(value, str) else None
        if match is None:
            continue
        name, otherwise = match.groups()
        if found := environ.get(name, "").strip():
            put(layer.values, path, found)
            layer.labels[path] = f"environment {name}, asked for by {layer.source}"
        elif otherwise is not None:
            put(layer.values, path, otherwise)


def variable_not_set(value: Any) -> str | None:
    """The environment variable that a value still stands for."""
    match = _VARIABLE.fullmatch(value.strip()) if isinstance(value, str) else None
    return match.group(1) if match else None


def read_environment(environ: Mapping[str, str]) -> list[tuple[str, Path, Any]]:
    """Each `XIAOZHI__A__B` as (variable, path in lower case, value)."""
    return [
        (name, tuple(name[len(ENVIRONMENT_PREFIX) :].lower().split("__")), parse_scalar(value))
        for name, value in sorted(environ.items())
        if name.lower().startswith(ENVIRONMENT_PREFIX)
    ]


def parse_scalar(text: str) -> Any:
    """A number, true, false, null, a list or a mapping; whatever would change when written back stays a text."""
    stripped = text.strip()
    if stripped[:1] in ("[", "{"):
        return _parse_container(stripped, text)
    try:
        value = json.loads(stripped)
    except (ValueError, RecursionError):
        return text
    return value if json.dumps(value) == stripped else text


def _parse_container(stripped: str, text: str) -> Any:
    try:
        return yaml.load(stripped, _Loader)  # noqa: S506 - a subclass of SafeLoader
    except (yaml.YAMLError, RecursionError):
        return text
