"""The tools, each as three steps: what was asked for, doing it, and what to answer where it could not be done.

What fails is told as a failure, with the statuses that workflows know, whether calls wait for their end or not.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Generic, Literal, TypeVar

from xiaozhi_memory.mem0ai.accepting.accepted import Operation as Write
from xiaozhi_memory.mem0ai.checks import checked_limit
from xiaozhi_memory.mem0ai.records import FoundMemory, StoredMemory
from xiaozhi_memory.mem0ai.rows.listing import cursor_of
from xiaozhi_memory.mem0ai.scope import checked_id

from . import answers, requests
from .answers import ERROR, NOT_FOUND, OVERLOAD, SUCCESS, TIMEOUT, Answer, envelope
from .errors import NotHereError, NothingThereError
from .memory import Home
from .parameters import Parameters
from .requests import (
    AddRequest,
    DeleteAllRequest,
    ExtractRequest,
    ListRequest,
    OneRequest,
    PersonRequest,
    SearchRequest,
    StatusRequest,
)

R = TypeVar("R")
Kind = Literal["read", "write", "extract"]

_RELATIONS_MAX = 100


@dataclass(frozen=True, slots=True)
class Call:
    """`waits`: a write is done before the answer (sync mode); else it is accepted. `relations`: they are wished for."""

    home: Home
    waits: bool
    relations: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why there is no result. `reason` is a sentence without secrets; `is_input`: the caller can mend it."""

    status: str
    reason: str
    is_input: bool = False


@dataclass(frozen=True, slots=True)
class Operation(Generic[R]):
    """`what` stands in "Failed to <what>: …". `refused` is given no request where that could not be read."""

    what: str
    kind: Kind
    read: Callable[[Parameters], R]
    run: Callable[[Call, R], Awaitable[Answer]]
    refused: Callable[[Refusal, R | None], Answer]


# --- writes ---------------------------------------------------------------------------------------------------------


async def _add(call: Call, asked: AddRequest) -> Answer:
    messages = [dict(one) for one in asked.messages]
    if not messages:
        text = "Skipped memory addition for empty messages."
        return envelope(SUCCESS, [], [_add_event("SKIP")], text)
    _check_ids(asked.user_id, asked.agent_id)
    if not call.waits:
        await _accept(call, "add", asked.user_id, _add_arguments(call.home, asked))
        text = "Memory addition accepted: it will be processed asynchronously."
        return envelope(SUCCESS, messages, [_add_event("ACCEPT")], text)
    changes = await added(call.home, asked, key=None)
    results: dict[str, Any] = {"results": [answers.change_item(one) for one in changes]}
    if call.relations and call.home.relations is not None:
        results["relations"] = await _relations(call, asked.user_id, asked.agent_id)
    lines = [f"- {one['event']}: {one['memory']}" for one in results["results"]]
    return envelope(SUCCESS, messages, results, "\n".join(["Memory added successfully.", *lines]))


async def added(home: Home, asked: AddRequest, *, key: str | None) -> Sequence[Any]:
    """What became of each memory. With the same key nothing is written twice."""
    return await home.memory.add(user_id=asked.user_id, key=key, **_add_arguments(home, asked))


def _add_arguments(home: Home, asked: AddRequest) -> dict[str, Any]:
    infer = asked.infer and home.infers
    told: dict[str, Any] = {"messages": list(asked.messages), "infer": infer}
    if infer and asked.instruction:
        told["instruction"] = asked.instruction
    if asked.agent_id:
        told["agent_id"] = asked.agent_id
    if asked.metadata is not None:
        told["metadata"] = asked.metadata
    return told


def _add_refused(why: Refusal, asked: AddRequest | None) -> Answer:
    messages: Any = why.reason
    results: Any = {}
    text = f"Failed to add memory: {why.reason}"
    if asked is not None and why.status == OVERLOAD:
        messages, results = [dict(one) for one in asked.messages], [_add_event("SKIP")]
        text = "System overloaded, memory add skipped (not enqueued)."
    return envelope(why.status, messages, results, text)


async def _update(call: Call, asked: OneRequest) -> Answer:
    user_id = await _owner(call, asked)
    echo = {"memory_id": asked.memory_id, "text": asked.text}
    if not call.waits:
        await _accept(call, "update", user_id, {"id": asked.memory_id, "text": asked.text})
        return _said(echo, "Memory update has been accepted")
    await call.home.memory.update(asked.memory_id, user_id=user_id, text=asked.text)
    return _said(echo, "Memory updated successfully!")


async def _delete(call: Call, asked: OneRequest) -> Answer:
    user_id = await _owner(call, asked)
    echo = {"memory_id": asked.memory_id}
    if not call.waits:
        await _accept(call, "delete", user_id, {"id": asked.memory_id})
        return _said(echo, "Memory deletion has been accepted")
    await call.home.memory.delete(asked.memory_id, user_id=user_id)
    return _said(echo, "Memory deleted successfully!")


async def _delete_all(call: Call, asked: DeleteAllRequest) -> Answer:
    _check_ids(asked.user_id, asked.agent_id)
    echo = {"filters": asked.filters}
    if not call.waits:
        await _accept(call, "delete_all", asked.user_id, {"agent_id": asked.agent_id})
        return _said(echo, "Batch memory deletion has been accepted")
    if call.home.writes is not None:  # accepted before calls were told to wait
        await call.home.writes.drop(asked.user_id, asked.agent_id)
    count = await call.home.memory.delete_all(user_id=asked.user_id, agent_id=asked.agent_id)
    return _said(echo, "Memories deleted successfully!", deleted_count=count)


def _one_write_refused(what: str) -> Callable[[Refusal, OneRequest | None], Answer]:
    def refused(why: Refusal, asked: OneRequest | None) -> Answer:
        if asked is None or why.status not in (NOT_FOUND, OVERLOAD):
            return envelope(why.status, why.reason, {}, f"Failed to {what}: {why.reason}")
        if why.status == NOT_FOUND:
            return _not_found(asked)
        echo = {"memory_id": asked.memory_id, **({"text": asked.text} if asked.text else {})}
        return envelope(OVERLOAD, echo, {}, f"Failed to {what}: {why.reason}")

    return refused


def _delete_all_refused(why: Refusal, asked: DeleteAllRequest | None) -> Answer:
    echo = why.status == OVERLOAD and asked is not None
    messages: Any = {"filters": asked.filters} if echo and asked is not None else why.reason
    return envelope(why.status, messages, {}, f"Failed to delete all memories: {why.reason}")


# --- reads ----------------------------------------------------------------------------------------------------------


async def _search(call: Call, asked: SearchRequest) -> Answer:
    whose, memory = asked.whose, call.home.memory
    _check_ids(whose.user_id, whose.agent_id)
    if whose.user_id is not None:
        found = await memory.search(
            asked.query, user_id=whose.user_id, agent_id=whose.agent_id, top_k=asked.top_k, filters=whose.filters
        )
    else:
        agent_id = str(whose.agent_id)
        found = await memory.search_by_agent(asked.query, agent_id=agent_id, top_k=asked.top_k, filters=whose.filters)
    _used(call, found)
    items = [answers.found_item(one) for one in found]
    message = f"Found {len(items)} matching memories"
    more = await _related(call, whose.user_id, whose.agent_id)
    return envelope(SUCCESS, message, items, answers.found_text(asked.query, items), **more)


def _used(call: Call, found: Sequence[FoundMemory]) -> None:
    """They were an answer, so they fade later. By owner, since an agent knows many."""
    for user_id in dict.fromkeys(one.memory.user_id for one in found):
        call.home.memory.recalled([one for one in found if one.memory.user_id == user_id], user_id=user_id)


async def _get_all(call: Call, asked: ListRequest) -> Answer:
    whose, memory = asked.whose, call.home.memory
    _check_ids(whose.user_id, whose.agent_id)
    wanted: Mapping[str, Any] = {"filters": whose.filters, "top_k": asked.limit + 1, "cursor": asked.cursor}
    found: list[StoredMemory]
    if whose.user_id is not None:
        found = await memory.get_all(user_id=whose.user_id, agent_id=whose.agent_id, **wanted)
    else:
        found = await memory.list_by_agent(agent_id=str(whose.agent_id), **wanted)
    page = [answers.stored_item(one) for one in found[: asked.limit]]
    items = answers.with_room(page)
    following = cursor_of(found[len(items) - 1]) if len(found) > len(items) else None
    text = answers.listed_text(items, following)
    more = await _related(call, whose.user_id, whose.agent_id)
    if len(items) < len(page):
        more["truncated"] = True
    return envelope(SUCCESS, f"Found {len(items)} memories", items, text, next=following, **more)


def _list_refused(what: str) -> Callable[[Refusal, Any], Answer]:
    words = {
        TIMEOUT: "Operation timed out, returning empty results",
        OVERLOAD: "System overloaded, returning empty results",
        ERROR: "Operation failed, returning empty results",
    }

    def refused(why: Refusal, asked: Any) -> Answer:
        if why.status == NOT_FOUND and isinstance(asked, OneRequest):
            return _not_found(asked, results=[])
        message = why.reason if why.is_input else words.get(why.status, why.reason)
        more = {} if message == why.reason else {"error": why.reason}
        return envelope(why.status, message, [], f"Failed to {what}: {why.reason}", **more)

    return refused


async def _get(call: Call, asked: OneRequest) -> Answer:
    memory = await call.home.memory.get(asked.memory_id, user_id=await _owner(call, asked))
    if memory is None:
        raise NothingThereError
    item = answers.stored_item(memory)
    return envelope(SUCCESS, "Memory retrieved successfully", item, answers.memory_text(item))


def _get_refused(why: Refusal, asked: OneRequest | None) -> Answer:
    if asked is None:
        return envelope(why.status, why.reason, {}, f"Failed to get memory: {why.reason}")
    if why.status == NOT_FOUND:
        return _not_found(asked)
    words = {
        TIMEOUT: f"Operation timed out while retrieving memory: {asked.memory_id}",
        OVERLOAD: f"System overloaded, unable to retrieve memory: {asked.memory_id}",
    }
    message = words.get(why.status, why.reason)
    return envelope(why.status, message, None if why.status == TIMEOUT else {}, f"Failed to get memory: {message}")


async def _history(call: Call, asked: OneRequest) -> Answer:
    events = await call.home.memory.history(asked.memory_id, user_id=await _owner(call, asked))
    if not events:
        raise NothingThereError
    items = [answers.event_item(one) for one in events]
    return envelope(SUCCESS, f"Found {len(items)} history records", items, answers.history_text(items))


# --- long-term extraction and forgetting -----------------------------------------------------------------------------


async def _extract(call: Call, asked: ExtractRequest) -> Answer:
    door = call.home.longterm
    if door is None:
        raise NotHereError("extraction needs self-hosted mode")
    _check_ids(*asked.user_ids, asked.app_id)
    request = asdict(asked)
    told = dict(await (door.run(request) if call.waits else door.start(request)))
    if call.waits:
        told = {"mode": "sync", **told}
        return Answer(told, f"Extraction ended with {told.get('status')} for {told.get('user_count', 0)} user(s).")
    told = {"mode": "async", **told}
    return Answer(told, str(told.get("message") or f"Extraction {told.get('status')}: {told.get('task_id')}"))


def _extract_refused(why: Refusal, asked: ExtractRequest | None) -> Answer:
    text = f"Failed to extract: {why.reason}"
    if why.status == OVERLOAD:
        count = 0 if asked is None else len(asked.user_ids)
        return Answer({"status": OVERLOAD, "message": why.reason, "user_count": count, "mode": "async"}, text)
    return Answer({"status": why.status, "messages": why.reason, "results": []}, text)


async def _status(call: Call, asked: StatusRequest) -> Answer:
    if call.home.longterm is None:
        raise NotHereError("extraction needs self-hosted mode")
    told = dict(await call.home.longterm.status(asked.task_id))
    if told.get("status") == NOT_FOUND:
        return Answer(told, str(told.get("message", f"Task not found: {asked.task_id}")))
    shown = f"{told.get('progress', 0) * 100:.0f}%"
    return Answer(told, f"Task {asked.task_id}: {told.get('task_status')}, {shown}, {told.get('duration_display', '')}")


async def _checkpoint(call: Call, asked: PersonRequest) -> Answer:
    if call.home.longterm is None:
        raise NotHereError("extraction needs self-hosted mode")
    _check_ids(asked.user_id, asked.app_id)
    told = dict(await call.home.longterm.checkpoint(asked.user_id, asked.app_id))
    if told.get("status") == NOT_FOUND:
        return Answer(told, str(told.get("message", "Checkpoint not found.")))
    return Answer(told, f"Checkpoint of {asked.user_id}: {told.get('conversations_count', 0)} conversation(s).")


def _flat_refused(what: str) -> Callable[[Refusal, Any], Answer]:
    def refused(why: Refusal, asked: Any) -> Answer:
        return Answer({"status": why.status, "messages": why.reason, "results": []}, f"Failed to {what}: {why.reason}")

    return refused


async def _forget(call: Call, asked: PersonRequest) -> Answer:
    if call.home.forgets is None:
        raise NotHereError("this kind of memory forgets nothing by itself")
    _check_ids(asked.user_id, asked.app_id)
    told = await call.home.forgets.forget_faded(user_id=asked.user_id, app_id=asked.app_id, dry_run=asked.dry_run)
    did = "Would delete" if asked.dry_run else "Deleted"
    text = (
        f"{did} {told.get('deleted_count', 0)} memories, retained {told.get('retained_count', 0)}, "
        f"cleaned {told.get('checkpoints_cleaned', 0)} old checkpoint(s)."
    )
    return envelope(SUCCESS, {}, dict(told), text)


def _forget_refused(why: Refusal, asked: PersonRequest | None) -> Answer:
    return envelope(why.status, why.reason, {}, f"Failed to forget memories: {why.reason}")


# --- what several of them need ---------------------------------------------------------------------------------------


async def _owner(call: Call, asked: OneRequest) -> str:
    """Whose memory it is. Somebody else's is as if it were not there."""
    owner = await call.home.memory.owner_of(asked.memory_id)
    if owner is None or asked.user_id not in (None, owner):
        raise NothingThereError
    return owner


async def _accept(call: Call, operation: Write, user_id: str, arguments: Mapping[str, Any]) -> None:
    """Written down when this returns: it will be done, also if this process is killed now."""
    writes = call.home.writes
    if writes is None:
        raise NotHereError("this memory takes writes only one by one: switch async_mode off")
    await writes.accept(operation, user_id, arguments)


async def _related(call: Call, user_id: str | None, agent_id: str | None) -> dict[str, Any]:
    if not call.relations or call.home.relations is None or user_id is None:
        return {}
    return {"relations": await _relations(call, user_id, agent_id)}


async def _relations(call: Call, user_id: str, agent_id: str | None) -> list[dict[str, Any]]:
    assert call.home.relations is not None
    known = await call.home.relations.relations(
        user_id=user_id, agent_id=agent_id, limit=checked_limit(_RELATIONS_MAX, _RELATIONS_MAX)
    )
    return [answers.relation_item(one) for one in known if one.valid_to is None]


def _check_ids(*ids: str | None) -> None:
    """Before anything is asked or written down."""
    for one in ids:
        if one is not None:
            checked_id("an id", one)


def _add_event(event: str) -> dict[str, str]:
    return {"id": "", "memory": "", "event": event}


def _said(echo: Mapping[str, Any], message: str, **more: Any) -> Answer:
    return envelope(SUCCESS, dict(echo), {"message": message, **more}, message)


def _not_found(asked: OneRequest, results: Any = None) -> Answer:
    message = f"Memory not found: {asked.memory_id}"
    return envelope(NOT_FOUND, message, {} if results is None else results, f"Error: {message}")


OPERATIONS: Mapping[str, Operation[Any]] = {
    "add_memory": Operation("add memory", "write", requests.add_request, _add, _add_refused),
    "search_memory": Operation(
        "search memory", "read", requests.search_request, _search, _list_refused("search memory")
    ),
    "retrieve_memory": Operation(
        "retrieve memory", "read", requests.retrieve_request, _search, _list_refused("retrieve memory")
    ),
    "get_all_memories": Operation(
        "get all memories", "read", requests.list_request, _get_all, _list_refused("get all memories")
    ),
    "get_memory": Operation("get memory", "read", requests.one_request, _get, _get_refused),
    "update_memory": Operation(
        "update memory", "write", requests.update_request, _update, _one_write_refused("update memory")
    ),
    "delete_memory": Operation(
        "delete memory", "write", requests.one_request, _delete, _one_write_refused("delete memory")
    ),
    "delete_all_memories": Operation(
        "delete all memories", "write", requests.delete_all_request, _delete_all, _delete_all_refused
    ),
    "get_memory_history": Operation(
        "get memory history", "read", requests.one_request, _history, _list_refused("get memory history")
    ),
    "extract_long_term_memory": Operation("extract", "extract", requests.extract_request, _extract, _extract_refused),
    "check_extraction_status": Operation(
        "check extraction status", "read", requests.status_request, _status, _flat_refused("check extraction status")
    ),
    "get_user_checkpoint": Operation(
        "get checkpoint", "read", requests.checkpoint_request, _checkpoint, _flat_refused("get checkpoint")
    ),
    "forget_memories": Operation("forget memories", "write", requests.forget_request, _forget, _forget_refused),
}
