"""What a workflow gets back: an object with `status`, `messages` and `results`, and the same as text.

Nothing that goes out is longer than a line of the daemon's may be: it kills a plugin that writes one. What is cut says
so with `truncated`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xiaozhi_memory.mem0ai.by_mem0.scores import score_of_found, timestamp_of
from xiaozhi_memory.mem0ai.facts.learned import MemoryChange
from xiaozhi_memory.mem0ai.records import FoundMemory, StoredMemory
from xiaozhi_memory.mem0ai.rows.history import MemoryEvent

from . import constants
from .hiding import without_secrets

SUCCESS = "SUCCESS"
ERROR = "ERROR"
TIMEOUT = "TIMEOUT"
OVERLOAD = "OVERLOAD"
NOT_FOUND = "NOT_FOUND"
ACCEPTED = "ACCEPTED"

_LONGEST_TEXT = 16_000  # of one text in an answer that is too large
_LONGEST_REASON = 500
_CUT = "… (cut)"
_ROOM_FOR_FLAGS = 200
# Where answers grow with what there is; what lies inside goes first.
_CUTTABLE = (
    ("results", "would_delete"),
    ("results", "results"),
    ("results", "relations"),
    ("results",),
    ("relations",),
    ("per_user",),
    ("final_report", "per_user"),
    ("checkpoint", "conversations"),
)
# mem0 knows no such event: what is not true any more was changed.
_EVENTS = {"SUPERSEDE": "UPDATE"}


@dataclass(frozen=True, slots=True)
class Answer:
    json: dict[str, Any]
    text: str

    @property
    def status(self) -> str:
        return str(self.json.get("status", ""))

    def variables(self) -> list[tuple[str, Any]]:
        """What a workflow can name by itself, as the output schema tells it. Dify takes no null for a variable."""
        return [(name, value) for name, value in self.json.items() if value is not None]


def envelope(status: str, messages: Any, results: Any, text: str, **more: Any) -> Answer:
    return Answer({"status": status, "messages": messages, "results": results, **more}, text)


def fitted(answer: Answer, *, most: int = constants.MAX_RESULT_BYTES) -> Answer:
    """As it is, or with its longest parts cut until it is short enough."""
    shown = answer.json
    if _size(shown) > most:
        shown = _cut_texts(shown)
        for path in _CUTTABLE:
            shown = _cut_list(shown, path, most)
        if _size(shown) > most:  # nothing of all that was it: then only what happened is said
            shown = {name: value for name, value in shown.items() if _size({name: value}) < most // 4}
        shown = {**shown, "truncated": True}
    text = answer.text
    if len(json.dumps(text)) > constants.MAX_TEXT_BYTES:
        text = text[: constants.MAX_TEXT_BYTES // 12] + _CUT
    return Answer(shown, text)


def with_room(items: list[dict[str, Any]], *, most: int = constants.MAX_RESULT_BYTES // 2) -> list[dict[str, Any]]:
    """The first of a page that an answer has room for, one at least: the next page begins behind them."""
    size = 0
    for number, item in enumerate(items):
        size += _size(item) + 2
        if size > most and number:
            return items[:number]
    return items


def found_item(found: FoundMemory) -> dict[str, Any]:
    memory = found.memory
    score, timestamp = score_of_found(found), timestamp_of(memory)
    item = {
        "id": str(memory.id),
        "memory": memory.text,
        "score": score.score,
        "vector_distance": score.vector_distance,
        "rerank_score": score.rerank_score,
        "metadata": dict(memory.metadata or {}),
    }
    if timestamp is not None:
        item["timestamp"] = timestamp
    return _with_validity(item, memory)


def stored_item(memory: StoredMemory) -> dict[str, Any]:
    item = {
        "id": str(memory.id),
        "memory": memory.text,
        "metadata": dict(memory.metadata or {}),
        "created_at": memory.created_at.isoformat(),
        "updated_at": memory.updated_at.isoformat(),
    }
    return _with_validity(item, memory)


def change_item(change: MemoryChange | StoredMemory) -> dict[str, Any]:
    """What became of one memory, in mem0's words."""
    if isinstance(change, StoredMemory):
        return {"id": str(change.id), "memory": change.text, "event": "ADD"}
    memory = change.memory
    item = {"id": str(memory.id), "memory": memory.text, "event": _EVENTS.get(change.event, change.event)}
    return _with_validity(item, memory)


def event_item(event: MemoryEvent) -> dict[str, Any]:
    return {
        "memory_id": str(event.memory_id),
        "old_memory": event.old_memory,
        "new_memory": event.new_memory,
        "event": event.event,
        "created_at": event.created_at.isoformat(),
        "updated_at": None if event.updated_at is None else event.updated_at.isoformat(),
        "is_deleted": event.is_deleted,
    }


def relation_item(relation: Any) -> dict[str, Any]:
    """With the names that mem0 1.x gave them."""
    return {"source": relation.subject, "relationship": relation.relation, "destination": relation.object}


def found_text(query: str, items: Sequence[Mapping[str, Any]]) -> str:
    lines = [f"Query: {query}", "", "Results:"]
    if not items:
        return "\n".join([*lines, "No results found."])
    for number, item in enumerate(items, start=1):
        lines += ["", f"{number}. Memory: {item['memory']}", f"   Score: {item['score']:.2f}"]
        if item["metadata"]:
            lines.append(f"   Metadata: {json.dumps(item['metadata'], ensure_ascii=False, default=str)}")
        if item.get("timestamp"):
            lines.append(f"   Timestamp: {item['timestamp']}")
    return "\n".join(lines)


def listed_text(items: Sequence[Mapping[str, Any]], following: str | None) -> str:
    if not items:
        return "No memories found."
    lines = [f"Found {len(items)} memories"]
    for number, item in enumerate(items, start=1):
        lines += ["", f"{number}. ID: {item['id']}", f"   Memory: {item['memory']}"]
        if item["metadata"]:
            lines.append(f"   Metadata: {json.dumps(item['metadata'], ensure_ascii=False, default=str)}")
        lines.append(f"   Created: {item['created_at']}")
    return "\n".join(lines if following is None else [*lines, "", f"Next page: {following}"])


def memory_text(item: Mapping[str, Any]) -> str:
    lines = [f"ID: {item['id']}", f"Memory: {item['memory']}"]
    if item["metadata"]:
        lines.append(f"Metadata: {json.dumps(item['metadata'], ensure_ascii=False, default=str)}")
    return "\n".join([*lines, f"Created: {item['created_at']}", f"Updated: {item['updated_at']}"])


def history_text(items: Sequence[Mapping[str, Any]]) -> str:
    lines = [f"Found {len(items)} history records"]
    for number, item in enumerate(items, start=1):
        lines += ["", f"{number}. Event: {item['event']}"]
        lines += [
            f"   {label}: {item[name]}"
            for label, name in (("Old", "old_memory"), ("New", "new_memory"), ("At", "updated_at"))
            if item[name]
        ]
    return "\n".join(lines)


def reason(text: str, secrets: Sequence[str]) -> str:
    """What is said of an error: a sentence that is not long, and without secrets."""
    told = without_secrets(text, secrets)
    return told if len(told) <= _LONGEST_REASON else told[:_LONGEST_REASON] + "…"


def _with_validity(item: dict[str, Any], memory: StoredMemory) -> dict[str, Any]:
    """Only of what is not true for good."""
    return item if memory.valid_to is None else {**item, "valid_to": memory.valid_to.isoformat()}


def _size(value: Any) -> int:
    """In the form that takes the most room: every character that is not ASCII as an escape."""
    return len(json.dumps(value, default=str))


def _cut_texts(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= _LONGEST_TEXT else value[:_LONGEST_TEXT] + _CUT
    if isinstance(value, Mapping):
        return {name: _cut_texts(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_cut_texts(one) for one in value]
    return value


def _cut_list(whole: dict[str, Any], path: tuple[str, ...], most: int) -> dict[str, Any]:
    """The list (or the object) at this place with as much of its beginning as there is room for."""
    if _size(whole) <= most:
        return whole
    name, *rest = path
    part = whole.get(name)
    if rest and isinstance(part, dict):
        return {**whole, name: _cut_list(part, tuple(rest), most - _size({**whole, name: None}))}
    if rest or not isinstance(part, dict if name == "conversations" else list):
        return whole
    room = most - _size({**whole, name: None}) - _ROOM_FOR_FLAGS
    return {**whole, name: _beginning(part, room), f"{name}_total": len(part)}


def _beginning(part: list[Any] | dict[str, Any], room: int) -> list[Any] | dict[str, Any]:
    kept: list[Any] = []
    for one in part.items() if isinstance(part, dict) else part:
        room -= _size(one) + 2
        if room < 0:
            break
        kept.append(one)
    return dict(kept) if isinstance(part, dict) else kept
