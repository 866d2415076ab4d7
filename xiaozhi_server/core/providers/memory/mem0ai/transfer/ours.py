"""Our own form of a file: one JSON object a line, a header first and an end last, all kinds of rows in between.

A field that is empty, zero, false or null is left out. Vectors are base64 of half-precision numbers, the highest byte
first, and stand only where the header's embedder made them.
"""

import base64
import binascii
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, BinaryIO
from uuid import UUID

import numpy as np

from ..embedding.embed import Vectors
from ..records import StoredMemory
from .fields import Fields, LineError
from .items import Item, Kind, MemoryItem, Notice, RowItem
from .lines import Line, json_lines

FORMAT = "xiaozhi-memory"
VERSION = 1
FROM_THE_FUTURE = "from_the_future"  # the flag of a memory whose date lies ahead
_AHEAD = timedelta(days=1)  # clocks differ
_EVENTS = ("UPDATE", "DELETE", "SUPERSEDE", "COMPRESS", "RESTORE")
_HALF = np.dtype(">f2")


@dataclass(frozen=True, slots=True)
class Model:
    """Which embedder made vectors."""

    name: str
    dimensions: int


@dataclass(frozen=True, slots=True)
class Reading:
    """What the reader of a line must know beside it."""

    owner: Callable[[str], str]
    ours: Model
    now: datetime


def is_ahead(moment: datetime, reading: Reading) -> bool:
    return moment > reading.now + _AHEAD


# --- writing ---


def written(kind: str, values: Mapping[str, Any]) -> bytes:
    kept = {name: _plain(value) for name, value in values.items() if not _is_nothing(value)}
    return json.dumps({"kind": kind, **kept}, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def vector_text(binary: bytes) -> str:
    """A vector in pgvector's binary form, whose first four bytes tell its size."""
    return base64.b64encode(binary[4:]).decode()


def _is_nothing(value: Any) -> bool:
    return value is None or value is False or (isinstance(value, str | list | int) and not value)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return str(value) if isinstance(value, UUID | date) else value


# --- reading ---


def read(file: BinaryIO, reading: Reading) -> Iterator[Item]:
    """What the lines mean. Without its end a file was cut off, which is said at last."""
    model: Model | None = None
    number, ended = 0, False
    for line in json_lines(file):
        number = line.number
        kind = None if line.value is None else line.value.get("kind")
        if kind == "header":
            model = _model(line)
            yield from _header(line)
        elif kind == "end":
            ended = True
        else:
            yield from _taken(line, reading, model)
    if not ended:
        yield Notice(number + 1, "is missing: the file ends before its last line, so it was cut off")


def _header(line: Line) -> Iterator[Item]:
    version = None if line.value is None else line.value.get("version")
    if version != VERSION:
        yield Notice(line.number, f"is the header of another version; version {VERSION} is read, as far as it fits")


def _model(line: Line) -> Model | None:
    told = (line.value or {}).get("embedder")
    if not isinstance(told, Mapping):
        return None
    name, dimensions = told.get("name"), told.get("dimensions")
    return Model(name, dimensions) if isinstance(name, str) and isinstance(dimensions, int) else None


def _taken(line: Line, reading: Reading, model: Model | None) -> Iterator[Item]:
    if line.value is None:
        yield Notice(line.number, line.reason)
        return
    reader = _READERS.get(line.value.get("kind"))
    if reader is None:
        yield Notice(line.number, "is of a kind that is not known here")
        return
    try:
        yield from reader(line.number, Fields(line.value), reading, model)
    except LineError as error:
        yield Notice(line.number, str(error))


def _memory(number: int, fields: Fields, reading: Reading, model: Model | None) -> Iterator[Item]:
    created_at = fields.moment("created_at")
    updated_at = fields.maybe_moment("updated_at") or created_at
    ahead = is_ahead(max(created_at, updated_at), reading)
    memory = StoredMemory(
        id=fields.uuid("id"),
        user_id=reading.owner(fields.owner()),
        agent_id=fields.scope("agent_id"),
        run_id=fields.scope("run_id"),
        session_id=fields.scope("session_id"),
        role=fields.short("role", "user"),
        speaker=fields.maybe_text("speaker"),
        text=fields.text("text"),
        metadata=fields.metadata(),
        created_at=created_at,
        updated_at=updated_at,
        subtype=fields.short("subtype"),
        flag=fields.short("flag", FROM_THE_FUTURE if ahead else ""),
        position=fields.number("position"),
        valid_from=fields.maybe_moment("valid_from"),
        valid_to=fields.maybe_moment("valid_to"),
        superseded_by=fields.maybe_uuid("superseded_by"),
        expires_at=fields.maybe_moment("expires_at"),
        accessed_at=fields.maybe_moment("accessed_at"),
        used_at=fields.maybe_moment("used_at"),
        access_count=fields.number("access_count"),
        pinned=fields.flag("pinned"),
        quality=fields.share("quality"),
        compressed_into=fields.maybe_uuid("compressed_into"),
    )
    if ahead:
        yield Notice(number, "has a date in the future: it is kept as it is, and flagged", is_refused=False)
    vector, reason = _vector(fields, reading.ours, model)
    if reason:
        yield Notice(number, f"{reason}: it gets a new one", is_refused=False)
    yield MemoryItem(number, memory, vector)


def _vector(fields: Fields, ours: Model, model: Model | None) -> tuple[Vectors | None, str]:
    """The vector, if our embedder made it; else None, with a reason where that is the line's own fault."""
    if not fields.has("vector") or model != ours:
        return None, ""
    try:
        halves = np.frombuffer(base64.b64decode(fields.raw("vector"), validate=True), _HALF)
    except (binascii.Error, ValueError, TypeError):
        return None, "has a vector that cannot be read"
    if len(halves) != ours.dimensions:
        return None, "has a vector of another size than its embedder's"
    if not np.isfinite(halves).all():
        return None, "has a vector that is none"
    return halves.astype(np.float32), ""


def _history(number: int, fields: Fields, reading: Reading, _: Model | None) -> Iterator[Item]:
    event = fields.short("event")
    if event not in _EVENTS:
        raise LineError("has an event that is not known here")
    if (event == "DELETE") == fields.has("new_text"):
        raise LineError("has a new text where something was deleted, or none where it was not")
    row = {
        "user_id": reading.owner(fields.owner()),
        "memory_id": fields.uuid("memory_id"),
        "event": event,
        "old_text": fields.maybe_text("old_text") or "",
        "new_text": fields.maybe_text("new_text"),
        "role": fields.short("role", "user"),
        "speaker": fields.maybe_text("speaker"),
        "created_at": fields.moment("created_at"),
        "happened_at": fields.moment("happened_at"),
    }
    yield _row(number, "history", row)


def _thing(number: int, fields: Fields, reading: Reading, _: Model | None) -> Iterator[Item]:
    row = {
        "user_id": reading.owner(fields.owner()),
        "id": fields.uuid("id"),
        "agent_id": fields.scope("agent_id"),
        "name": fields.text("name"),
        "kind": fields.short("sort"),
        "key": fields.text("key"),
        "also": fields.texts("also"),
        "also_keys": fields.texts("also_keys"),
        "created_at": fields.moment("created_at"),
        "updated_at": fields.moment("updated_at"),
    }
    yield _row(number, "thing", row)


def _link(number: int, fields: Fields, reading: Reading, _: Model | None) -> Iterator[Item]:
    owner = reading.owner(fields.owner())
    row = {"user_id": owner, "memory_id": fields.uuid("memory_id"), "thing_id": fields.uuid("thing_id")}
    yield _row(number, "link", row)


def _relation(number: int, fields: Fields, reading: Reading, _: Model | None) -> Iterator[Item]:
    row = {
        "user_id": reading.owner(fields.owner()),
        "id": fields.uuid("id"),
        "agent_id": fields.scope("agent_id"),
        "subject": fields.uuid("subject"),
        "relation": fields.text("relation"),
        "object": fields.uuid("object"),
        "memory_id": fields.maybe_uuid("memory_id"),
        "created_at": fields.moment("created_at"),
        "valid_to": fields.maybe_moment("valid_to"),
    }
    yield _row(number, "relation", row)


def _summary(number: int, fields: Fields, reading: Reading, _: Model | None) -> Iterator[Item]:
    row = {
        "user_id": reading.owner(fields.owner()),
        "agent_id": fields.scope("agent_id"),
        "text": fields.text("text"),
        "updated_at": fields.moment("updated_at"),
    }
    yield _row(number, "summary", row)


def _unsaved(number: int, fields: Fields, reading: Reading, _: Model | None) -> Iterator[Item]:
    messages = fields.raw("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(one, dict) for one in messages):
        raise LineError("has no messages")
    spoken = [_message(Fields(one)) for one in messages]
    key = fields.scope("key")
    if not key:
        raise LineError("has no key")
    row = {
        "user_id": reading.owner(fields.owner()),
        "key": key,
        "agent_id": fields.scope("agent_id"),
        "session_id": fields.scope("session_id"),
        "messages": spoken,
        "images": _images(fields, len(spoken)),
        "chars": sum(len(one["content"]) for one in spoken),
        "instruction": fields.maybe_text("instruction") or "",
        "created_at": fields.moment("created_at"),
    }
    yield _row(number, "unsaved", row)


def _images(fields: Fields, messages: int) -> list[list[str]] | None:
    """Addresses of pictures, a list for each message."""
    images = fields.raw("images")
    if images is None:
        return None
    if not isinstance(images, list) or len(images) != messages:
        raise LineError("has images that do not belong to its messages")
    return [Fields({"images": some}).texts("images") for some in images]


def _message(fields: Fields) -> dict[str, str]:
    role, speaker = fields.short("role"), fields.maybe_text("speaker")
    if role not in ("user", "assistant"):
        raise LineError("has a message of neither user nor assistant")
    said = {"role": role, "content": fields.text("content"), "spoken_at": fields.moment("spoken_at").isoformat()}
    return said if speaker is None else {**said, "speaker": speaker}


def _row(number: int, kind: Kind, row: Mapping[str, Any]) -> RowItem:
    return RowItem(number, kind, {name: _plain(value) for name, value in row.items()})


_Reader = Callable[[int, Fields, Reading, Model | None], Iterator[Item]]
_READERS: dict[Any, _Reader] = {
    "memory": _memory,
    "history": _history,
    "thing": _thing,
    "link": _link,
    "relation": _relation,
    "summary": _summary,
    "unsaved": _unsaved,
}
