"""What callers hand in, checked before anything is read or written."""

import math
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from ..base import SpokenMessage
from ..speaker import unwrapped
from .dates import span_of
from .errors import InvalidIdError, InvalidNumberError, InvalidTextError, MemoryNotFoundError
from .message import storable, worth_keeping
from .scope import checked_id

LONGEST_QUERY = 2000
MOST_DAYS = 36_500


def checked_limit(top_k: object, most: int) -> int:
    """How many are wanted: none or less is none, and nobody gets more than `most`."""
    if not isinstance(top_k, int) or isinstance(top_k, bool):
        raise InvalidNumberError(f"top_k must be a whole number, not a {type(top_k).__name__}")
    return max(0, min(top_k, most))


def checked_days(name: str, days: object) -> int | None:
    if days is None:
        return None
    if not isinstance(days, int) or isinstance(days, bool) or not 1 <= days <= MOST_DAYS:
        raise InvalidNumberError(f"{name} must be a whole number from 1 to {MOST_DAYS}, or None")
    return days


def checked_threshold(threshold: object) -> float | None:
    if threshold is None:
        return None
    number = isinstance(threshold, int | float) and not isinstance(threshold, bool)
    if not number or not math.isfinite(threshold):  # type: ignore[arg-type]
        raise InvalidNumberError("threshold must be a number from 0 to 1, or None")
    return float(threshold)  # type: ignore[arg-type]


def checked_query(query: object) -> str:
    """A question without what no memory contains; its end is cut off where it is very long."""
    if not isinstance(query, str):
        raise InvalidTextError(f"a query must be text, not {type(query).__name__}")
    return storable(query[:LONGEST_QUERY])


def checked_question(query: object) -> tuple[str, str | None]:
    """The same, of a query that may wrap its speaker: what is asked, and by whom where that is told."""
    if not isinstance(query, str):
        return checked_query(query), None
    asked, speaker = unwrapped(query)
    return checked_query(asked), speaker


def checked_expiry(expires_at: object) -> datetime | None:
    """When a memory runs out: a day counts to its end."""
    return None if expires_at is None else span_of(expires_at).end


def memory_uuid(id: object) -> uuid.UUID | None:
    """None for a text that is no UUID: there is no memory with such an id."""
    if isinstance(id, uuid.UUID):
        return id
    if not isinstance(id, str):
        raise InvalidIdError(f"the id of a memory is a UUID or its text, not {type(id).__name__}")
    try:
        return uuid.UUID(id)
    except ValueError:
        return None


def known_uuid(id: object) -> uuid.UUID:
    """For who needs the memory to be there."""
    found = memory_uuid(id)
    if found is None:
        raise MemoryNotFoundError
    return found


def checked_session(session_id: object) -> str:
    """Where something was said; an empty text where nobody knows."""
    return "" if session_id is None or session_id == "" else checked_id("session_id", session_id)


def checked_messages(messages: object) -> list[SpokenMessage]:
    """What of the messages is worth keeping."""
    if not isinstance(messages, Sequence) or isinstance(messages, str | bytes | bytearray):
        raise InvalidTextError(f"messages must be a list of messages, not a {type(messages).__name__}")
    for message in messages:
        _check_message(message)
    return worth_keeping(messages)


def _check_message(message: Any) -> None:
    known = isinstance(message, Mapping)
    if not known and not hasattr(message, "role"):
        raise InvalidTextError(f"a message has a role and a content, unlike a {type(message).__name__}")
    content = message.get("content") if known else getattr(message, "content", None)
    if isinstance(content, bytes | bytearray | memoryview):
        raise InvalidTextError("the content of a message is text, not bytes: decode it first")
