"""What the stand-in Mem0 platform keeps: memories, their history, and the events of writes that are not finished yet.

It extracts nothing: a memory is a user's message word for word (with `infer` false an assistant's too), and nothing is
taken for a duplicate, so that whoever sends a message twice finds it twice. It knows no HTTP.
"""

import re
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from firmware_sim.cloud.faults import Extraction
from firmware_sim.cloud.mem0_filters import ENTITIES, matcher

_TERM = re.compile(r"[\u3400-\u9fff]|\w+")
_THRESHOLD = 0.1

Json = dict[str, Any]


class UnknownIdError(LookupError):
    """There is no memory with this id."""


class RefusedError(ValueError):
    """A request that the platform answers with status 400."""


@dataclass(slots=True)
class _Event:
    """A write on its way: pending for the first half of its time, running for the second."""

    id: str
    request: Json
    begun_s: float
    due_s: float
    fails: bool
    created_at: str
    results: list[Json] = field(default_factory=list)
    is_finished: bool = False

    def status(self, now_s: float) -> str:
        if self.is_finished:
            return "FAILED" if self.fails else "SUCCEEDED"
        return "PENDING" if now_s < (self.begun_s + self.due_s) / 2 else "RUNNING"


class PlatformMemories:
    """`clock` gives seconds that only grow; `extraction` holds for the writes that come from now on."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.extraction = Extraction()
        self._clock = clock
        self._memories: dict[str, Json] = {}
        self._history: dict[str, list[Json]] = {}
        self._events: dict[str, _Event] = {}

    def add(self, request: Json) -> Json:
        """Take a write on; it becomes memories when its time has come."""
        if not any(request.get(entity) for entity in ENTITIES):
            raise RefusedError(f"one of {', '.join(ENTITIES)} is required")
        if not isinstance(request.get("messages"), list) or not request["messages"]:
            raise RefusedError("messages must be a list that is not empty")
        begun_s, wanted = self._clock(), self.extraction
        fails = wanted.failures > 0
        if fails:
            self.extraction = replace(wanted, failures=wanted.failures - 1)
        event = _Event(str(uuid.uuid4()), deepcopy(request), begun_s, begun_s + wanted.delay_s, fails, _now())
        self._events[event.id] = event
        return {"message": "Memory processing has been queued", "status": "PENDING", "event_id": event.id}

    def event(self, event_id: str) -> Json:
        self._catch_up()
        if event_id not in self._events:
            raise UnknownIdError(event_id)
        event = self._events[event_id]
        return {
            "id": event.id,
            "event_type": "ADD",
            "status": event.status(self._clock()),
            "results": event.results,
            "created_at": event.created_at,
        }

    def search(self, request: Json) -> list[Json]:
        query = request.get("query")
        if not isinstance(query, str) or not query.strip():
            raise RefusedError("query must not be empty")
        top_k = int(request.get("top_k", 10))
        if not 1 <= top_k <= 1000:
            raise RefusedError("top_k must lie between 1 and 1000")
        threshold = float(request.get("threshold", _THRESHOLD))
        scored = [{**memory, "score": _likeness(query, memory["memory"])} for memory in self.matching(request)]
        found = [memory for memory in scored if memory["score"] >= threshold]
        return sorted(found, key=lambda memory: memory["score"], reverse=True)[:top_k]

    def matching(self, request: Json) -> list[Json]:
        """The memories that fit the filters, the newest first."""
        misplaced = [entity for entity in ENTITIES if entity in request]
        if misplaced:
            raise RefusedError(f"{', '.join(misplaced)} must stand in filters")
        self._catch_up()
        fits = matcher(request.get("filters"))
        found = [memory for memory in self._memories.values() if fits(memory)]
        return sorted(found, key=lambda memory: memory["created_at"], reverse=True)

    def get(self, memory_id: str) -> Json:
        self._catch_up()
        if memory_id not in self._memories:
            raise UnknownIdError(memory_id)
        return self._memories[memory_id]

    def update(self, memory_id: str, changes: Json) -> Json:
        memory = self.get(memory_id)
        if not changes.keys() & {"text", "metadata", "timestamp", "expiration_date"}:
            raise RefusedError("nothing to change")
        old = memory["memory"]
        memory["memory"] = changes.get("text", old)
        memory["metadata"] = changes.get("metadata", memory["metadata"])
        memory["expiration_date"] = changes.get("expiration_date", memory["expiration_date"])
        memory["updated_at"] = _now()
        self._note_change(memory, "UPDATE", old, memory["memory"])
        return memory

    def delete(self, memory_id: str) -> None:
        memory = self.get(memory_id)
        self._note_change(memory, "DELETE", memory["memory"], None)
        del self._memories[memory_id]

    def delete_all(self, entities: Mapping[str, str]) -> int:
        """Everything that belongs to these entities, whatever else it belongs to."""
        if not entities or not entities.keys() <= set(ENTITIES):
            raise RefusedError(f"one of {', '.join(ENTITIES)} is required")
        self._catch_up()
        doomed = [id for id, memory in self._memories.items() if all(memory[k] == v for k, v in entities.items())]
        for memory_id in doomed:
            self.delete(memory_id)
        return len(doomed)

    def history(self, memory_id: str) -> list[Json]:
        self._catch_up()
        if memory_id not in self._history:
            raise UnknownIdError(memory_id)
        return self._history[memory_id]

    def changes(self) -> list[Json]:
        """All that ever happened to any memory, each memory's in order."""
        self._catch_up()
        return [change for history in self._history.values() for change in history]

    def entities(self) -> list[Json]:
        self._catch_up()
        found: dict[tuple[str, str], list[Json]] = {}
        for memory in self._memories.values():
            for entity in ENTITIES:
                if memory[entity] is not None:
                    found.setdefault((entity.removesuffix("_id"), memory[entity]), []).append(memory)
        return [
            {
                "id": f"{kind}-{name}",
                "name": name,
                "type": kind,
                "owner": "stand-in",
                "total_memories": len(memories),
                "created_at": min(memory["created_at"] for memory in memories),
                "updated_at": max(memory["updated_at"] for memory in memories),
                "metadata": {},
            }
            for (kind, name), memories in found.items()
        ]

    # --- writes that come of age ---

    def hurry(self) -> None:
        """Whatever is under way takes effect now."""
        for event in self._events.values():
            event.due_s = min(event.due_s, self._clock())
        self._catch_up()

    def _catch_up(self) -> None:
        """Finish what is due, in the order in which it came."""
        now_s = self._clock()
        for event in self._events.values():
            if not event.is_finished and event.due_s <= now_s:
                event.is_finished = True
                if not event.fails:
                    event.results = [self._remember(memory) for memory in _memories_of(event.request)]

    def _remember(self, memory: Json) -> Json:
        self._memories[memory["id"]] = memory
        self._note_change(memory, "ADD", None, memory["memory"])
        return {"id": memory["id"], "data": {"memory": memory["memory"]}, "event": "ADD"}

    def _note_change(self, memory: Json, event: str, old: str | None, new: str | None) -> None:
        entry = {
            "id": str(uuid.uuid4()),
            "memory_id": memory["id"],
            "input": [],
            "old_memory": old,
            "new_memory": new,
            "event": event,
            "user_id": memory["user_id"],
            "metadata": memory["metadata"],
            "created_at": memory["created_at"],
            "updated_at": memory["updated_at"],
        }
        self._history.setdefault(memory["id"], []).append(entry)


def _memories_of(request: Json) -> Iterator[Json]:
    roles = ("user",) if request.get("infer", True) else ("user", "assistant")
    said_at = _when(request.get("timestamp"))
    for message in request["messages"]:
        if message.get("role") in roles and str(message.get("content") or "").strip():
            yield {
                "id": str(uuid.uuid4()),
                "memory": message["content"],
                **_entities_of(message, request),
                "session_id": request.get("run_id"),
                "metadata": deepcopy(request.get("metadata")),
                "categories": [],
                "created_at": said_at,
                "updated_at": said_at,
                "expiration_date": request.get("expiration_date"),
            }


def _entities_of(message: Json, request: Json) -> Json:
    """A memory belongs to its user or to its agent, never to both; a message with a name belongs to that name."""
    entities: Json = {entity: request.get(entity) for entity in ENTITIES}
    is_agents = entities["user_id"] is None or (message["role"] == "assistant" and entities["agent_id"] is not None)
    owner, other = ("agent_id", "user_id") if is_agents else ("user_id", "agent_id")
    return {**entities, owner: message.get("name") or entities[owner], other: None}


def _when(timestamp: object) -> str:
    if isinstance(timestamp, bool) or not isinstance(timestamp, int | float):
        return _now()
    return datetime.fromtimestamp(timestamp, UTC).isoformat()


def _now() -> str:
    return datetime.now(UTC).isoformat()


def _likeness(query: str, text: str) -> float:
    """How many words they share, from 0 to 1."""
    asked, said = _terms(query), _terms(text)
    return len(asked & said) / ((len(asked) * len(said)) ** 0.5 or 1.0)


def _terms(text: str) -> set[str]:
    return set(_TERM.findall(text.casefold()))


def page_of(memories: Sequence[Json], number: int, size: int) -> tuple[list[Json], bool]:
    """One page, and whether there is another after it."""
    start = (number - 1) * size
    return list(memories[start : start + size]), start + size < len(memories)
