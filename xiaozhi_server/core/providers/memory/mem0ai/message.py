"""Messages on their way into memory: what of them is kept, under which id, and their form in the outbox."""

import json
import re
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from ..base import AnyMessage, SpokenMessage
from ..speaker import known_name, unwrapped
from .images import IMAGE, image_of, images_of
from .scope import owner_of

LONGEST_TEXT = 8000  # more is no remark but a document; the rest is cut off

_NAMESPACE = uuid.UUID("6b1d6c1e-0c57-4e0e-9f5a-7f0a5f2f6a55")
_ROLES = ("user", "assistant")
# What recall brought into a conversation and somebody repeats: the whole block, or a line that begins with its time.
_EVIDENCE = re.compile(
    r"<memory>.*?(?:</memory>|\Z)|(?:^[ \t]*[-*•>][ \t]*)?\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\][^\n]*",
    re.DOTALL | re.IGNORECASE | re.MULTILINE,
)


def memory_id(user_id: str, key: str, position: int) -> uuid.UUID:
    """The same message of the same exchange has the same id for ever: saving it again changes nothing."""
    return uuid.uuid5(_NAMESPACE, json.dumps([user_id, key, position]))


def fact_id(user_id: str, key: str, number: int) -> uuid.UUID:
    """The same for what a model made of an exchange, which may be kept word for word beside it."""
    return uuid.uuid5(_NAMESPACE, json.dumps([user_id, key, "fact", number]))


def worth_keeping(messages: Sequence[AnyMessage]) -> list[SpokenMessage]:
    """What user and assistant really said, in a form that any database takes."""
    spoken = (_spoken(message) for message in messages)
    return [message for message in spoken if message is not None and message.content]


def by_owner(household: str, messages: Sequence[SpokenMessage]) -> dict[str, list[SpokenMessage]]:
    """Whose memory each message is: a person's words are that person's, and so is what they are answered.

    What the assistant says before anybody has spoken belongs to whoever speaks next.
    """
    parts: dict[str, list[SpokenMessage]] = {}
    for message, owner in zip(messages, owners_of(household, messages), strict=True):
        parts.setdefault(owner, []).append(message)
    return parts


class _Said(Protocol):
    @property
    def role(self) -> str: ...

    @property
    def speaker(self) -> str | None: ...


def owners_of(household: str, messages: Sequence[_Said]) -> list[str]:
    """Whose each of them is, by the same rule."""
    speaking = [owner_of(household, one.speaker) if one.role == "user" else None for one in messages]
    owner = next(filter(None, speaking), owner_of(household, None))
    owners = []
    for one in speaking:
        owner = one or owner
        owners.append(owner)
    return owners


def to_json(messages: Sequence[SpokenMessage]) -> str:
    return json.dumps([_as_dict(message) for message in messages], ensure_ascii=False)


def images_json(messages: Sequence[SpokenMessage]) -> str | None:
    """The pictures, which are kept beside the texts: a list for each message, or nothing at all."""
    images = [list(message.images) for message in messages]
    return json.dumps(images) if any(images) else None


def from_json(
    entries: Sequence[dict[str, Any]], images: Sequence[Sequence[str]] | None = None
) -> tuple[SpokenMessage, ...]:
    return tuple(
        SpokenMessage(
            entry["role"],
            entry["content"],
            datetime.fromisoformat(entry["spoken_at"]),
            entry.get("speaker"),
            tuple(shown),
        )
        for entry, shown in zip(entries, images or [()] * len(entries), strict=True)
    )


def _as_dict(message: SpokenMessage) -> dict[str, str]:
    entry = {"role": message.role, "content": message.content, "spoken_at": message.spoken_at.isoformat()}
    return entry if message.speaker is None else {**entry, "speaker": message.speaker}


def _spoken(message: AnyMessage) -> SpokenMessage | None:
    fields = _fields(message)
    role = fields.get("role")
    if role not in _ROLES:
        return None
    content, speaker = unwrapped(_text(fields.get("content")))
    speaker = speaker or known_name(_text(fields.get("speaker") or fields.get("name")))
    said = _EVIDENCE.sub("", storable(content)).strip()[:LONGEST_TEXT]
    images = message.images if isinstance(message, SpokenMessage) else images_of(fields.get("content"))
    return SpokenMessage(role, said, _time(fields.get("spoken_at")), speaker, images)


def _fields(message: object) -> Mapping[str, Any]:
    """Of whatever has a role and a content: scripts have messages of their own."""
    if isinstance(message, Mapping):
        return message
    if not hasattr(message, "role"):
        raise TypeError(f"a message must be a SpokenMessage or a mapping, not {type(message).__name__}")
    return {name: getattr(message, name, None) for name in ("role", "content", "spoken_at", "speaker", "name")}


def _text(content: object) -> str:
    """Plain text, or the texts among the parts of a message with marks for pictures; calls of tools have none."""
    if isinstance(content, str):
        return content
    if isinstance(content, Mapping):
        return IMAGE if image_of(content) else _text(content.get("text"))
    if isinstance(content, list | tuple):
        return "\n".join(filter(None, (_text(part) for part in content if isinstance(part, str | Mapping))))
    return ""


def _time(spoken_at: object) -> datetime:
    """Now where none is given or it cannot be understood; without a zone it is UTC."""
    if isinstance(spoken_at, str):
        try:
            spoken_at = datetime.fromisoformat(spoken_at)
        except ValueError:
            spoken_at = None
    if not isinstance(spoken_at, datetime):
        return datetime.now(UTC)
    return spoken_at if spoken_at.tzinfo else spoken_at.replace(tzinfo=UTC)


def storable(text: str) -> str:
    # PostgreSQL takes neither NUL nor half a surrogate pair.
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8").strip()
