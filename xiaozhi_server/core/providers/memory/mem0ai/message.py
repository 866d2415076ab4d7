"""Messages on their way into memory: what of them is kept, under which id, and their form in the outbox."""

import json
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from ..base import SpokenMessage

LONGEST_TEXT = 8000  # more is no remark but a document; the rest is cut off

_NAMESPACE = uuid.UUID("6b1d6c1e-0c57-4e0e-9f5a-7f0a5f2f6a55")
_ROLES = ("user", "assistant")


def memory_id(user_id: str, key: str, position: int) -> uuid.UUID:
    """The same message of the same exchange has the same id for ever: saving it again changes nothing."""
    return uuid.uuid5(_NAMESPACE, json.dumps([user_id, key, position]))


def worth_keeping(messages: Sequence[SpokenMessage]) -> list[SpokenMessage]:
    """What user and assistant really said, in a form that any database takes."""
    cleaned = (_cleaned(message) for message in messages if message.role in _ROLES)
    return [message for message in cleaned if message.content]


def to_json(messages: Sequence[SpokenMessage]) -> str:
    return json.dumps([_as_dict(message) for message in messages], ensure_ascii=False)


def from_json(entries: Sequence[dict[str, Any]]) -> tuple[SpokenMessage, ...]:
    return tuple(
        SpokenMessage(entry["role"], entry["content"], datetime.fromisoformat(entry["spoken_at"]), entry.get("speaker"))
        for entry in entries
    )


def _as_dict(message: SpokenMessage) -> dict[str, str]:
    entry = {"role": message.role, "content": message.content, "spoken_at": message.spoken_at.isoformat()}
    return entry if message.speaker is None else {**entry, "speaker": message.speaker}


def _cleaned(message: SpokenMessage) -> SpokenMessage:
    speaker = None if message.speaker is None else _storable(message.speaker)
    spoken_at = message.spoken_at if message.spoken_at.tzinfo else message.spoken_at.replace(tzinfo=UTC)
    return SpokenMessage(message.role, _storable(message.content)[:LONGEST_TEXT], spoken_at, speaker or None)


def _storable(text: str) -> str:
    # PostgreSQL takes neither NUL nor half a surrogate pair.
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8").strip()
