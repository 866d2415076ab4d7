"""A row of a table of mem0's, read as a memory of ours. Pure: knows no database."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from ..dates import span_of
from ..errors import InvalidDateError, InvalidIdError, InvalidMetadataError
from ..message import storable
from ..metadata import checked_metadata
from ..records import StoredMemory
from ..scope import checked_id

OWNERLESS: Final = "it names no user"

_AHEAD = timedelta(days=1)  # what lies further in the future is no date but a mistake
_ROLES = ("user", "assistant")
_PROCEDURE = "procedural_memory"  # what mem0 calls the one kind that it knows
# Of these a memory of ours has fields of its own, or makes them anew.
_READ = frozenset(
    (
        *("data", "hash", "text_lemmatized", "created_at", "updated_at", "expiration_date", "memory_subtype"),
        *("user_id", "agent_id", "run_id", "actor_id", "role", "attributed_to"),
    )
)


class UnfitRowError(Exception):
    """A row that cannot become a memory; the text says why and quotes nothing of it."""


@dataclass(frozen=True, slots=True)
class ReadRow:
    """`is_dated`: mem0 said when it was remembered. `has_all`: nothing of its metadata had to be left behind."""

    memory: StoredMemory
    is_dated: bool
    has_all: bool


def read_row(id: UUID, payload: object, *, now: datetime, ownerless: str | None = None) -> ReadRow:
    """`ownerless` is whose the memories shall be that name no user.

    A memory without a usable date is of now: it is then neither forgotten for its age nor shown as of long ago. What
    stood in place of the date is kept in its metadata.
    """
    if not isinstance(payload, Mapping):
        raise UnfitRowError("it has no payload")
    text = _text(payload, "data")
    if not text:
        raise UnfitRowError("it has no text")
    owner = _owner(payload, ownerless)
    created, updated = _moment(payload.get("created_at"), now), _moment(payload.get("updated_at"), now)
    created_at = created or updated or now
    expires_at, rest = _expiry(payload), _rest(payload, is_dated=bool(created))
    metadata = _metadata(rest)
    memory = StoredMemory(
        id=id,
        user_id=owner,
        agent_id=foreign_id(payload, "agent_id"),
        run_id=foreign_id(payload, "run_id"),
        session_id="",
        role=_role(payload),
        speaker=_text(payload, "actor_id") or None,
        text=text,
        metadata=metadata,
        created_at=created_at,
        updated_at=max(updated or created_at, created_at),
        subtype=_subtype(payload),
        expires_at=expires_at,
    )
    return ReadRow(memory, created is not None or updated is not None, bool(metadata) == bool(rest))


def _owner(payload: Mapping[str, Any], ownerless: str | None) -> str:
    owner = foreign_id(payload, "user_id") or ownerless
    if not owner:
        raise UnfitRowError(OWNERLESS)
    return owner


def foreign_id(payload: Mapping[str, Any], name: str) -> str:
    """Numbers were taken for ids too. Empty where there is none, UnfitRowError where it can be none."""
    value = payload.get(name)
    if value is None or value == "":
        return ""
    try:
        is_number = isinstance(value, int) and not isinstance(value, bool)
        return checked_id(name, str(value) if is_number else value)
    except InvalidIdError as problem:
        raise UnfitRowError(str(problem)) from None


def _text(payload: Mapping[str, Any], name: str) -> str:
    value = payload.get(name)
    return storable(value) if isinstance(value, str) else ""


def _role(payload: Mapping[str, Any]) -> str:
    role = payload.get("role") or payload.get("attributed_to")
    return role if role in _ROLES else "user"


def _subtype(payload: Mapping[str, Any]) -> str:
    return _text(payload, "memory_subtype") or ("procedural" if payload.get("memory_type") == _PROCEDURE else "")


def _moment(value: object, now: datetime) -> datetime | None:
    """None where it is none, or one that cannot be."""
    if value is None:
        return None
    try:
        moment = span_of(value).begin
    except InvalidDateError:
        return None
    return moment if moment <= now + _AHEAD else None


def _expiry(payload: Mapping[str, Any]) -> datetime | None:
    """To the end of its last day; a date that nobody understands ends nothing."""
    value = payload.get("expiration_date")
    if value is None:
        return None
    try:
        return span_of(value).end.astimezone(UTC)
    except InvalidDateError:
        return None


def _rest(payload: Mapping[str, Any], *, is_dated: bool) -> dict[str, Any]:
    """What somebody attached, and what of mem0's own was not understood."""
    kept = {name: value for name, value in payload.items() if name not in _READ}
    if not is_dated and payload.get("created_at") is not None:
        kept["created_at"] = payload["created_at"]
    if payload.get("expiration_date") is not None and _expiry(payload) is None:
        kept["expiration_date"] = payload["expiration_date"]
    return kept


def _metadata(rest: Mapping[str, Any]) -> dict[str, Any] | None:
    """None where there is nothing, or more than a memory may have."""
    try:
        return checked_metadata(rest).value or None
    except InvalidMetadataError:
        return None
