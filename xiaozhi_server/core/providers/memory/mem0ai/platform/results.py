"""The platform's memories as ours. What is not whole is left out, and whatever says that it is somebody else's."""

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Literal

from ..message import LONGEST_TEXT, storable
from ..records import FoundMemory, StoredMemory
from ..rows.history import MemoryEvent
from ..scope import OfAgent, Scope, Whose

# What we attach to whatever we send.
MARKS = frozenset(("agent_id", "session_id", "send_id", "attempt"))

_NAMESPACE = uuid.UUID("0f4c3e55-53a5-4f0c-9d54-0c1f6c8f6f0d")


def found_memories(results: Iterable[Any], scope: Whose) -> list[FoundMemory]:
    memories = (_memory(result, scope) for result in results if isinstance(result, Mapping))
    return [found for found in memories if found is not None and _is_in(found.memory, scope)]


def result_ids(results: Iterable[Any]) -> set[uuid.UUID]:
    return {_id(result.get("id")) for result in results if isinstance(result, Mapping)}


def send_id_of(memory: StoredMemory) -> str:
    """Under which name it was sent; empty where somebody else sent it."""
    return _text((memory.metadata or {}).get("send_id"))


def attempt_of(memory: StoredMemory) -> str:
    """By which request; empty where it had no name."""
    return _text((memory.metadata or {}).get("attempt"))


def stored_memories(results: Iterable[Any], scope: Whose) -> list[StoredMemory]:
    return [found.memory for found in found_memories(results, scope)]


def told_memory(result: Mapping[str, Any], scope: Scope) -> StoredMemory:
    """What an event tells of a memory that came of it; its text is empty where that is not told."""
    data = result.get("data")
    text = _text(result.get("memory")) or _text(data.get("memory") if isinstance(data, Mapping) else None)
    found = _memory({**result, "memory": text or "?"}, scope)
    assert found is not None
    return found.memory if text else replace(found.memory, text="")


def without_marks(memory: StoredMemory) -> StoredMemory:
    """Without what we attach to it: whose it is and where it was said stands beside it."""
    metadata = {name: value for name, value in (memory.metadata or {}).items() if name not in MARKS}
    return replace(memory, metadata=metadata or None)


def events_of(results: Iterable[Any], id: uuid.UUID, scope: Scope) -> list[MemoryEvent]:
    """A history, the oldest first; empty where any of it is somebody else's."""
    lines = [line for line in results if isinstance(line, Mapping)]
    if any(_text(line.get("user_id")) != scope.user_id for line in lines):
        return []
    return [_event(line, id) for line in lines]


def _event(line: Mapping[str, Any], id: uuid.UUID) -> MemoryEvent:
    old, new = _text(line.get("old_memory")), _text(line.get("new_memory"))
    created_at = _time(line.get("created_at")) or datetime.now(UTC)
    kind: Literal["ADD", "UPDATE", "DELETE"] = "UPDATE" if old and new else "ADD" if new else "DELETE"
    return MemoryEvent(
        id=_id(line.get("id")),
        memory_id=id,
        old_memory=old or None,
        new_memory=new or None,
        event=kind,
        created_at=created_at,
        updated_at=None if kind == "ADD" else _time(line.get("updated_at")),
        is_deleted=kind == "DELETE",
        actor_id=None,
        role="user",
    )


def _memory(result: Mapping[str, Any], scope: Whose) -> FoundMemory | None:
    text = storable(_text(result.get("memory")))
    if not text:
        return None
    given = result.get("metadata")
    metadata = given if isinstance(given, Mapping) else {}
    created_at = _time(result.get("created_at")) or datetime.now(UTC)
    memory = StoredMemory(
        id=_id(result.get("id")),
        user_id=_text(result.get("user_id")) or (scope.user_id if isinstance(scope, Scope) else ""),
        agent_id=_text(metadata.get("agent_id")) or _agent_of(result, scope),
        run_id="",
        session_id=_text(metadata.get("session_id")),
        role="user",
        speaker=None,
        text=text[:LONGEST_TEXT],
        metadata=metadata,
        created_at=created_at,
        updated_at=_time(result.get("updated_at")) or created_at,
    )
    return FoundMemory(memory, _score(result.get("score")), None)


def _agent_of(result: Mapping[str, Any], scope: Whose) -> str:
    """Where the agent stands whose memory it is, if we have not attached it."""
    return (scope.agent_id or "") if isinstance(scope, Scope) else _text(result.get("agent_id"))


def _is_in(memory: StoredMemory, scope: Whose) -> bool:
    if isinstance(scope, OfAgent):
        return memory.agent_id == scope.agent_id
    return memory.user_id == scope.user_id and scope.agent_id in (None, memory.agent_id)


def _id(given: object) -> uuid.UUID:
    text = _text(given)
    try:
        return uuid.UUID(text)
    except ValueError:
        return uuid.uuid5(_NAMESPACE, text)


def _text(given: object) -> str:
    return given if isinstance(given, str) else ""


def _time(given: object) -> datetime | None:
    try:
        time = datetime.fromisoformat(_text(given))
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _score(given: object) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float) or given != given:
        return 0.0
    return min(max(float(given), 0.0), 1.0)
