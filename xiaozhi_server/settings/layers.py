"""Layers of settings laid over each other, with the origin of every key. It knows no names of settings."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Path = tuple[str, ...]
Tree = dict[str, Any]


def dotted(path: Path) -> str:
    return ".".join(path)


@dataclass(slots=True)
class Layer:
    """One source of settings. `labels` names the exact origin of a key where it is not the source as a whole."""

    source: str
    values: Tree
    is_users_file: bool = False
    labels: dict[Path, str] = field(default_factory=dict)

    def label(self, path: Path) -> str:
        return self.labels.get(path, self.source)


def leaves(values: Mapping[str, Any], path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every value that is no mapping, with its path; an empty mapping counts as a value."""
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key), value


def get(values: Mapping[str, Any], path: Path) -> Any:
    """The value at a path, or None."""
    current: Any = values
    for key in path:
        if not isinstance(current, Mapping):
            return None
        current = current.get(key)
    return current


def put(values: Tree, path: Path, value: Any) -> None:
    for key in path[:-1]:
        below = values.get(key)
        if not isinstance(below, dict):
            below = values[key] = {}
        values = below
    values[path[-1]] = value


def remove(values: Tree, path: Path) -> None:
    """Drop one key, and the mappings above it that are empty then."""
    parent = get(values, path[:-1])
    if isinstance(parent, dict) and path[-1] in parent:
        del parent[path[-1]]
        if not parent and path[:-1]:
            remove(values, path[:-1])


def merge(layers: list[Layer]) -> tuple[Tree, dict[Path, str]]:
    """Lay the layers over each other, the last on top. A key without a value leaves what is below it."""
    merged: Tree = {}
    origins: dict[Path, str] = {}
    for layer in layers:
        for path, value in leaves(layer.values):
            if value is None or (value == {} and isinstance(get(merged, path), dict)):
                continue
            origins = {known: label for known, label in origins.items() if not _overlaps(known, path)}
            put(merged, path, value)
            origins[path] = layer.label(path)
    return merged, origins


def origin_of(origins: Mapping[Path, str], path: Path) -> str | None:
    """Who set this key, or what stands above or below it."""
    if path in origins:
        return origins[path]
    return next((label for known, label in origins.items() if _overlaps(known, path)), None)


def _overlaps(one: Path, other: Path) -> bool:
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]
