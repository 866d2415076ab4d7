"""What may be accepted: what is wrong is told while somebody listens, and only what has a name here is kept."""

import json
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, get_args

from ...base import SpokenMessage
from ..checks import checked_expiry, checked_messages, checked_session, known_uuid
from ..errors import InvalidTextError, MemoryInputError
from ..message import from_json, storable, to_json
from ..metadata import checked_metadata
from ..rows.edit import checked_text
from ..scope import checked_id
from .accepted import Accepted, Operation

MOST_BYTES = 1024 * 1024
_LONGEST_TRACE = 200


def checked(operation: Operation, user_id: str, arguments: Mapping[str, Any]) -> Accepted:
    """The write as it is kept. What its arguments mean does not depend on when it is done: an exchange was said now."""
    if operation not in get_args(Operation):
        raise MemoryInputError(f"what can be accepted is one of {', '.join(get_args(Operation))}")
    known = _FIELDS[operation]
    if unknown := sorted(set(arguments) - set(known)):
        raise MemoryInputError(f"{operation} has no argument {ascii(unknown[0])[:40]}; it has {', '.join(known)}")
    checked_id("user_id", user_id)
    kept = {name: known[name](value) for name, value in arguments.items() if value is not None}
    for name in _NEEDED[operation]:
        if name not in kept:
            raise MemoryInputError(f"{operation} needs {name}")
    if operation == "update" and not {"text", "metadata"} & set(kept):
        raise InvalidTextError("an update needs a text, metadata or both")
    size = len(json.dumps(kept, ensure_ascii=False).encode())
    if size > MOST_BYTES:
        raise InvalidTextError(f"a write takes {size} bytes and may take {MOST_BYTES}: hand it in in parts")
    return Accepted(uuid.uuid4(), operation, user_id, kept, datetime.now(UTC))


def messages_of(arguments: Mapping[str, Any]) -> tuple[SpokenMessage, ...]:
    """Those of an accepted `add`."""
    kept = arguments["messages"]
    return from_json(kept, [message.get("images", ()) for message in kept])


def _messages(value: object) -> list[dict[str, Any]]:
    messages = checked_messages(value)
    written: list[dict[str, Any]] = json.loads(to_json(messages))
    for entry, message in zip(written, messages, strict=True):
        if message.images:
            entry["images"] = list(message.images)
    return written


def _id(name: str) -> Callable[[object], str]:
    return lambda value: checked_id(name, value)


def _memory(value: Any) -> str:
    return str(known_uuid(value))


def _metadata(value: object) -> dict[str, Any]:
    return checked_metadata(value).value


def _expiry(value: Any) -> str:
    moment = checked_expiry(value)
    assert moment is not None
    return moment.isoformat()


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise MemoryInputError(f"infer is true or false, not a {type(value).__name__}")
    return value


def _words(value: object) -> str:
    if not isinstance(value, str):
        raise InvalidTextError(f"an instruction is text, not {type(value).__name__}")
    return storable(value)


def _trace(value: object) -> str:
    return storable(str(value))[:_LONGEST_TRACE]


_Fields = Mapping[str, Callable[[Any], Any]]
_SHARED: _Fields = {"trace": _trace}  # for the log of whoever does it
_FIELDS: Mapping[Operation, _Fields] = {
    "add": {
        "messages": _messages,
        "agent_id": _id("agent_id"),
        "run_id": _id("run_id"),
        "session_id": checked_session,
        "metadata": _metadata,
        "infer": _flag,
        "expires_at": _expiry,
        "instruction": _words,
        **_SHARED,
    },
    "update": {"id": _memory, "text": checked_text, "metadata": _metadata, **_SHARED},
    "delete": {"id": _memory, **_SHARED},
    "delete_all": {"agent_id": _id("agent_id"), "run_id": _id("run_id"), **_SHARED},
}
_NEEDED: Mapping[Operation, tuple[str, ...]] = {
    "add": ("messages",),
    "update": ("id",),
    "delete": ("id",),
    "delete_all": (),
}
