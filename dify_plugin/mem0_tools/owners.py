"""Whose memories a search or a list is about: told by the parameters, by the filters, or by both.

A filter only ever narrows. What it says of an owner must be one plain id that holds for all of it; an owner under OR or
NOT, in a list or behind another comparison could let somebody else's memories in.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .errors import ToolInputError

OWNERS = ("user_id", "agent_id")


@dataclass(frozen=True, slots=True)
class Whose:
    """At least one of the two is there. `filters` is what is left to narrow with."""

    user_id: str | None
    agent_id: str | None
    filters: dict[str, Any] | None


def whose(user_id: str, agent_id: str, filters: Mapping[str, Any] | None) -> Whose:
    told = {name: value for name, value in (("user_id", user_id), ("agent_id", agent_id)) if value}
    rest = _without_owners(dict(filters or {}), told)
    _check_rest(rest)
    if not told:
        raise ToolInputError("user_id or agent_id is required")
    return Whose(told.get("user_id"), told.get("agent_id"), rest or None)


def _without_owners(filters: dict[str, Any], told: dict[str, str]) -> dict[str, Any]:
    """What is said of owners goes to `told`: at the top, and in everything that must hold together."""
    for name in OWNERS:
        if name in filters:
            _tell(told, name, filters.pop(name))
    parts = filters.get("AND")
    if isinstance(parts, list | tuple):
        kept = [_without_owners(dict(part), told) if isinstance(part, Mapping) else part for part in parts]
        if kept := [part for part in kept if part != {}]:
            filters["AND"] = kept
        else:
            del filters["AND"]
    return filters


def _tell(told: dict[str, str], name: str, value: Any) -> None:
    if isinstance(value, Mapping) and tuple(value) == ("eq",):
        value = value["eq"]
    if not isinstance(value, str) or not value.strip() or value.strip() == "*":
        raise ToolInputError(f"{name} in filters must be one id: no list, no wildcard and no other comparison")
    if told.setdefault(name, value.strip()) != value.strip():
        raise ToolInputError(f"filters name another {name} than was asked for")


def _check_rest(part: Any) -> None:
    if isinstance(part, Mapping):
        for name, value in part.items():
            if name in OWNERS:
                raise ToolInputError(f"{name} in filters may stand at the top or under AND, not under OR or NOT")
            if name != "metadata":  # names of the user's own
                _check_rest(value)
    elif isinstance(part, list | tuple):
        for one in part:
            _check_rest(one)
