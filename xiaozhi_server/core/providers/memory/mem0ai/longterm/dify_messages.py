"""What Dify's Service API tells, as far as it is needed here."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from ...base import SpokenMessage
from ..dates import moment_of
from ..errors import InvalidDateError
from .dify_errors import DifyAnswerError

# What a model thought before it spoke: Dify leaves it in the answer, and nobody has said it.
_THOUGHT = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL)


@dataclass(frozen=True, slots=True)
class DifyConversation:
    """Times in seconds since 1970; 0 where Dify does not tell."""

    id: str
    created_at: int
    updated_at: int


@dataclass(frozen=True, slots=True)
class DifyMessage:
    """A question and its answer, or what else has the form of a message. `created_at` in seconds since 1970."""

    id: str
    created_at: int
    query: str
    answer: str
    role: str = ""
    content: str = ""

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple(text for text in (self.query, self.answer, self.content) if text)

    def spoken(self) -> list[SpokenMessage]:
        """What the user and the assistant said; whoever is neither counts as the user."""
        at = datetime.fromtimestamp(self.created_at, UTC)
        other: Literal["user", "assistant"] = "assistant" if self.role == "assistant" else "user"
        said: list[tuple[Literal["user", "assistant"], str]] = [
            ("user", self.query),
            ("assistant", self.answer),
            (other, self.content),
        ]
        return [SpokenMessage(role, text, at) for role, text in said if text]


def conversation_from(item: Mapping[str, Any]) -> DifyConversation:
    return DifyConversation(_id(item), _second(item.get("created_at")) or 0, _second(item.get("updated_at")) or 0)


def message_from(item: Mapping[str, Any]) -> DifyMessage:
    """One that does not say when it was is an error: it could be taken twice, or never."""
    created_at = _second(item.get("created_at"))
    if created_at is None:
        raise DifyAnswerError("Dify answered with a message without its time")
    query, answer = _text(item.get("query")), _THOUGHT.sub("", _text(item.get("answer"))).strip()
    content = "" if query or answer else _text(item.get("content")) or _text(item.get("text"))
    return DifyMessage(_id(item), created_at, query, answer, str(item.get("role") or "").lower(), content)


def _id(item: Mapping[str, Any]) -> str:
    id = item.get("id")
    if not isinstance(id, str) or not id:
        raise DifyAnswerError("Dify answered with something without an id")
    return id


def _second(value: object) -> int | None:
    try:
        return int(moment_of(value).timestamp()) if value else None
    except InvalidDateError:
        return None


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""
