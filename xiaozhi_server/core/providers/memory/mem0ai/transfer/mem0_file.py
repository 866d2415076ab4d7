"""What Mem0 gives out of its memories: a list, an object with `results` as its pages are, or one object a line."""

import uuid
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, BinaryIO

from ..checks import checked_expiry
from ..errors import InvalidDateError, InvalidMetadataError
from ..message import LONGEST_TEXT, storable
from ..metadata import checked_metadata
from ..records import StoredMemory
from .errors import TransferError
from .fields import Fields, LineError
from .items import Item, MemoryItem, Notice
from .lines import json_lines, parsed
from .ours import FROM_THE_FUTURE, Reading, is_ahead

LARGEST_FILE = 256 * 1024 * 1024  # of the form that is read whole
_LISTS = ("results", "memories", "data")
_NAMESPACE = uuid.UUID("3f0d1f0c-6c6f-4f5c-9a53-0d8a1f5b5d0e")  # ids of theirs that are no UUID
_BESIDE = ("categories", "app_id")  # has no place of its own here
_ROLES = ("user", "assistant")


def read_whole(file: BinaryIO, reading: Reading, as_of: datetime) -> Iterator[Item]:
    """What has no date is from `as_of`, when the file was written."""
    raw = file.read(LARGEST_FILE + 1)
    if len(raw) > LARGEST_FILE:
        raise TransferError(f"this file is larger than {LARGEST_FILE} bytes: write one memory a line (JSON lines)")
    try:
        entries = _entries(parsed(raw.decode("utf-8-sig")))
    except (ValueError, RecursionError):
        raise TransferError("this file is no JSON: it may have been cut off") from None
    for number, entry in enumerate(entries, start=1):
        yield from _taken(number, entry, reading, as_of)


def read_lines(file: BinaryIO, reading: Reading, as_of: datetime) -> Iterator[Item]:
    for line in json_lines(file):
        if line.value is None:
            yield Notice(line.number, line.reason)
        else:
            yield from _taken(line.number, line.value, reading, as_of)


def looks_like(value: Mapping[str, Any]) -> bool:
    """Whether an object is one of their memories."""
    return isinstance(value.get("memory"), str) and not value.keys() & {"kind", "format"}


def _entries(value: Any) -> list[Any]:
    if isinstance(value, dict):
        lists = [value[name] for name in _LISTS if isinstance(value.get(name), list)]
        value = lists[0] if lists else [value]
    if not isinstance(value, list):
        raise TransferError("this JSON holds no list of memories")
    return value


def _taken(number: int, entry: Any, reading: Reading, as_of: datetime) -> Iterator[Item]:
    try:
        if not isinstance(entry, Mapping):
            raise LineError("is no JSON object")
        yield from _memory(number, entry, reading, as_of)
    except LineError as error:
        yield Notice(number, str(error))


def _memory(number: int, entry: Mapping[str, Any], reading: Reading, as_of: datetime) -> Iterator[Item]:
    fields = Fields(entry)
    text = fields.text("memory" if fields.has("memory") else "text")
    if len(text) > LONGEST_TEXT:
        raise LineError(f"has a memory of more than {LONGEST_TEXT} characters")
    owner = reading.owner(fields.owner() if fields.has("user_id") else "")
    created_at = fields.maybe_moment("created_at") or fields.maybe_moment("updated_at")
    said_at = created_at or as_of
    updated_at = max(said_at, fields.maybe_moment("updated_at") or said_at)
    ahead = is_ahead(updated_at, reading)
    metadata = _metadata(fields, entry)
    role = fields.short("role", "user")
    memory = StoredMemory(
        id=_id(fields.raw("id"), text),
        user_id=owner,
        agent_id=fields.scope("agent_id"),
        run_id=fields.scope("run_id") or fields.scope("session_id"),
        session_id="",
        role=role if role in _ROLES else "user",
        speaker=fields.maybe_text("actor_id"),
        text=storable(text),
        metadata=metadata,
        created_at=said_at,
        updated_at=updated_at,
        flag=FROM_THE_FUTURE if ahead else "",
        expires_at=_expiry(fields.raw("expiration_date")),
    )
    if ahead:
        yield Notice(number, "has a date in the future: it is kept as it is, and flagged", is_refused=False)
    yield MemoryItem(number, memory, is_dated=created_at is not None)


def _id(id: Any, text: str) -> uuid.UUID:
    try:
        return uuid.UUID(id)
    except (ValueError, TypeError, AttributeError):
        return uuid.uuid5(_NAMESPACE, id if isinstance(id, str) and id else text)


def _metadata(fields: Fields, entry: Mapping[str, Any]) -> dict[str, Any] | None:
    beside = {name: entry[name] for name in _BESIDE if entry.get(name)}
    told = fields.metadata() or {}
    try:
        return checked_metadata({**beside, **told}).value or None
    except InvalidMetadataError:
        raise LineError("has categories that cannot be kept") from None


def _expiry(value: Any) -> datetime | None:
    try:
        return checked_expiry(value)
    except InvalidDateError:
        raise LineError("has an expiration_date that is no date") from None
