"""How far the conversations of one user with one app have been read, in the public plugin's JSON.

That one knows a single stretch for each conversation. Where days were left out there are several: the newest stands
where it looks for it, and all of them in `processed_ranges`, which it does not know and leaves alone.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from ..dates import moment_of
from ..errors import InvalidDateError
from .spans import Spans, Stretch, spans_of
from .window import Window


@dataclass(frozen=True, slots=True)
class Mark:
    """Of one conversation. `last_message_id` is the newest message that was taken; an old checkpoint has only that."""

    last_message_id: str = ""
    read: Spans = field(default_factory=Spans)

    def joined(self, other: "Mark") -> "Mark":
        """All that either has read; the name of the last message comes from whichever has read further."""
        mine, theirs = self.read.newest, other.read.newest
        is_behind = mine is not None and (theirs is None or theirs.last < mine.last)
        last = self.last_message_id if is_behind or not other.last_message_id else other.last_message_id
        return Mark(last, self.read.joined(other.read))


@dataclass(frozen=True, slots=True)
class Resume:
    """Where a run had as many conversations as it may have: behind this one. It counts for the same window alone."""

    conversation_id: str
    run_at: datetime
    start_time: datetime

    def fits(self, window: Window) -> bool:
        return self.run_at == window.end and self.start_time == window.start


@dataclass(frozen=True, slots=True)
class Checkpoint:
    conversations: Mapping[str, Mark] = field(default_factory=dict)
    resume: Resume | None = None

    def of(self, conversation_id: str) -> Mark:
        return self.conversations.get(conversation_id, Mark())

    def moved(self, conversation_id: str, mark: Mark) -> "Checkpoint":
        """With this conversation read as far as `mark` says, and as far as was known before."""
        joined = self.of(conversation_id).joined(mark)
        return replace(self, conversations={**self.conversations, conversation_id: joined})

    def resuming(self, resume: Resume | None) -> "Checkpoint":
        return replace(self, resume=resume)

    def without_older(self, than: datetime) -> "Checkpoint":
        """Without conversations in which nothing was read since then; no window reaches back to them."""
        second = int(than.timestamp())
        return replace(self, conversations={id: one for id, one in self.conversations.items() if _is_of(one, second)})

    def as_json(self) -> dict[str, Any]:
        return {
            "conversations": {id: _mark_json(mark) for id, mark in self.conversations.items()},
            "resume_conversation_cursor": self.resume.conversation_id if self.resume else None,
            "resume_run_at": self.resume.run_at.isoformat() if self.resume else None,
            "resume_start_time": self.resume.start_time.isoformat() if self.resume else None,
        }


def checkpoint_of(kept: object) -> Checkpoint:
    """Whatever can be understood of what was kept, a JSON text or what it says; an empty one where that is nothing."""
    value = _parsed(kept)
    conversations = _mapping(value.get("conversations"))
    marks = {str(id): mark for id, one in conversations.items() if id and (mark := _mark(_mapping(one))) != Mark()}
    return Checkpoint(marks, _resume(value))


def _parsed(kept: object) -> Mapping[Any, Any]:
    if isinstance(kept, str | bytes):
        try:
            kept = json.loads(kept)
        except (ValueError, RecursionError):
            return {}
    return _mapping(kept)


def _mapping(value: object) -> Mapping[Any, Any]:
    return value if isinstance(value, Mapping) else {}


def _mark(value: Mapping[Any, Any]) -> Mark:
    pairs = value.get("processed_ranges")
    ranges = [pair for pair in pairs if isinstance(pair, list)] if isinstance(pairs, list) else []
    ranges.append([value.get("processed_range_start"), value.get("processed_range_end")])
    found = [stretch for pair in ranges if (stretch := _stretch(pair))]
    return Mark(_text(value.get("last_processed_message_id")), spans_of(found))


def _stretch(pair: list[Any]) -> Stretch | None:
    """Both ends were read. A very old checkpoint knows the end alone: all before it was read too."""
    moments = [_moment(one) for one in pair]
    if len(moments) != 2 or moments[1] is None:
        return None
    last = int(moments[1].timestamp())
    if moments[0] is None:
        return Stretch(min(0, last), last) if pair[0] is None else None
    first = int(moments[0].timestamp())
    return Stretch(first, last) if first <= last else None


def _resume(value: Mapping[Any, Any]) -> Resume | None:
    cursor = _text(value.get("resume_conversation_cursor"))
    run_at, start_time = _moment(value.get("resume_run_at")), _moment(value.get("resume_start_time"))
    return Resume(cursor, run_at, start_time) if cursor and run_at and start_time else None


def _moment(value: object) -> datetime | None:
    """Without a zone it is UTC."""
    try:
        return moment_of(value)
    except InvalidDateError:
        return None


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


def _mark_json(mark: Mark) -> dict[str, Any]:
    newest = mark.read.newest
    told: dict[str, Any] = {
        "last_processed_message_id": mark.last_message_id or None,
        "processed_range_start": _iso(newest.first) if newest else None,
        "processed_range_end": _iso(newest.last) if newest else None,
    }
    if len(mark.read.stretches) > 1:
        told["processed_ranges"] = [[_iso(one.first), _iso(one.last)] for one in mark.read.stretches]
    return told


def _iso(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).isoformat()


def _is_of(mark: Mark, second: int) -> bool:
    return mark.read.newest is None or mark.read.newest.last >= second
