"""`memory prune|pin`: let go now what has faded, look beforehand at what that would be, and keep what must stay."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

from .cli_memory_command import Command, CommandError, confirm, line, print_json, print_table, progress
from .cli_output import shown
from .core.providers.memory.mem0ai.errors import MemoryNotFoundError
from .core.providers.memory.mem0ai.forgetting.prune import PruneResult, WouldDelete

_WHY = {
    "faded": "faded",
    "too_old": "older than --ttl-days",
    "expired": "ran out a month ago",
    "summarised": "its summary goes",
}


async def _prune(command: Command) -> None:
    chosen = command.chosen
    whose: dict[str, Any] = {"user_id": chosen.user, "agent_id": chosen.agent}
    told = progress(await command.engine.count(**whose))
    asked = {**whose, "ttl_days": chosen.ttl_days, "progress": told}
    if chosen.dry_run:
        _print(command, await command.engine.prune(**asked, dry_run=True))
        return
    if not chosen.yes:
        expected = await command.engine.prune(**asked, dry_run=True)
        if expected.deleted_count:
            confirm(command, f"Delete {expected.deleted_count} faded memories of {_whose(command)}?")
    _print(command, await command.engine.prune(**asked))


async def _pin(command: Command) -> None:
    """All of them are looked up first: where one is unknown, none is changed."""
    chosen = command.chosen
    owner = await command.owner()
    memories = [await command.engine.get(id, user_id=owner) for id in chosen.ids]
    for id, memory in zip(chosen.ids, memories, strict=True):
        if memory is None or chosen.agent not in (None, memory.agent_id):
            raise CommandError(f"{shown(id)}: {MemoryNotFoundError()}")
    known = {memory.id: memory for memory in memories if memory is not None}
    changing = [memory for memory in known.values() if memory.pinned == chosen.off]
    if not chosen.dry_run:
        tell = progress(len(changing))
        for number, memory in enumerate(changing, start=1):
            await command.engine.pin(memory.id, user_id=owner, pinned=not chosen.off)
            tell(number)
    done = "unpinned" if chosen.off else "pinned"
    if chosen.json:
        print_json({done: len(changing), "dry_run": chosen.dry_run, "ids": [memory.id for memory in changing]})
        return
    for memory in changing:
        print(f"{memory.id} {line(memory.text)}")
    print(f"{len(changing)} {'would be ' if chosen.dry_run else ''}{done}")


ACTIONS: dict[str, Callable[[Command], Awaitable[None]]] = {"prune": _prune, "pin": _pin}


def _whose(command: Command) -> str:
    chosen = command.chosen
    return (shown(chosen.user) if chosen.user else "everybody") + (
        f" and agent {shown(chosen.agent)}" if chosen.agent else ""
    )


def _print(command: Command, result: PruneResult) -> None:
    if command.chosen.json:
        print_json(_as_dict(result))
        return
    if result.would_delete:
        print_table(("ID", "OWNER", "WHY", "AGE", "LEFT", "RECALLED", "TEXT"), [*map(_row, result.would_delete)])
        if (more := result.deleted_count - len(result.would_delete)) > 0:
            print(f"and {more} more")
    reasons = ", ".join(f"{count} {_WHY[why]}" for why, count in result.reasons.items())
    done = "would be deleted" if result.dry_run else "deleted"
    print(f"{result.deleted_count} {done}{f' ({reasons})' if reasons else ''}, {result.retained_count} stay")


def _row(one: WouldDelete) -> tuple[str, ...]:
    info = one.retention_info
    age = "-" if info.age_days is None else f"{info.age_days:.0f} days"
    return (
        str(one.id),
        one.user_id,
        _WHY[one.why],
        age,
        f"{info.retention:.0%}",
        str(info.recall_count),
        line(one.memory),
    )


def _as_dict(result: PruneResult) -> dict[str, Any]:
    counts = asdict(result)
    would_delete = counts.pop("would_delete")
    return {**counts, "would_delete": would_delete} if result.dry_run else counts
