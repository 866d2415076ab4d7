"""`memory list|search|add|delete|stats|…`: what a person looks up and mends in the server's own database, while the
server runs or without it. A running server hears of every change at once.
"""

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from psycopg import Error
from psycopg_pool import PoolTimeout

from . import cli_memory_compress, cli_memory_prune, cli_memory_share, cli_memory_things, cli_memory_transfer
from .cli_database import opened_database
from .cli_memory_adopt import ADOPT, adopt, parts_for_adoption
from .cli_memory_command import (
    OWNERS_SHOWN,
    Command,
    CommandError,
    KeptCommand,
    confirm,
    line,
    local,
    print_json,
    print_table,
    progress,
)
from .cli_memory_platform import command_options, opened_platform
from .cli_output import failed, shown
from .core.providers.memory.base import SpokenMessage
from .core.providers.memory.mem0ai.by_mem0.mem0_parts import ProviderConfigError
from .core.providers.memory.mem0ai.daily.runs import StepRun
from .core.providers.memory.mem0ai.embedding.embed_openai import EmbedderError
from .core.providers.memory.mem0ai.engine import EngineOptions, MemoryEngine
from .core.providers.memory.mem0ai.errors import MemoryInputError, MemoryNotFoundError
from .core.providers.memory.mem0ai.finding.search import SearchOptions
from .core.providers.memory.mem0ai.platform.errors import PlatformError
from .core.providers.memory.mem0ai.records import StoredMemory
from .core.providers.memory.mem0ai.saving.outbox import DeadLetter
from .core.providers.memory.mem0ai.self_hosted import SelfHosted, SelfHostedOptions, Surroundings, open_self_hosted
from .logs import setup_console_warnings
from .memory_plan import MemoryPlan, plan_memory
from .settings import Settings, choose_providers
from .store.database import DatabaseError
from .store.embedded import EmbeddedPostgresError

_LARGEST_INPUT = 1_000_000
_PARTS = frozenset(("embedder", "vector_store", "adopt"))
_ASKS = cli_memory_compress.COMPRESS
_DONE_HERE = frozenset(("prune", "compress", "share"))  # on memories that the platform keeps they would do nothing
# Whoever waits at a terminal wants the right answer: the embedder has yet to be loaded.
_PATIENT = EngineOptions(search=SearchOptions(timeout_s=60.0, vector_timeout_s=60.0))


def run_memory(settings: Settings, chosen: argparse.Namespace) -> int:
    """The exit code: 0 if it was done."""
    setup_console_warnings(settings)
    try:
        asyncio.run(_run(settings, chosen))
    except (DatabaseError, EmbeddedPostgresError, CommandError, MemoryInputError) as problem:
        return failed(str(problem))
    except PlatformError as problem:
        return failed(f"Mem0's platform did not do it ({problem}): see Memory.mem0ai, and try again")
    except (Error, PoolTimeout, TimeoutError) as problem:
        return failed(f"the database did not do it ({type(problem).__name__}): see database.url")
    return 0


async def _run(settings: Settings, chosen: argparse.Namespace) -> None:
    """Without a worker, and with a model only where it is asked: what waits in the outbox is the server's to save."""
    plan = plan_memory(choose_providers(settings)["Memory"])
    kept = KEEPER_ACTIONS.get(chosen.action)
    if plan.platform is not None:
        if chosen.action in _DONE_HERE and not plan.has_fallback:
            raise CommandError(
                f"Mem0's platform keeps the memories, and memory {chosen.action} is done in your own database only: "
                "nothing was changed. To keep them there, leave out Memory.mem0ai.api_key"
            )
        where = "there" if kept is not None else "in your own database"
        sys.stderr.write(f"Mem0's platform keeps the memories: this is what lies {where}.\n")
        if kept is not None:
            async with opened_platform(settings, plan) as platform:
                await kept(KeptCommand(platform, chosen))
            return
    async with _opened(settings, plan, chosen) as command:
        await ACTIONS[chosen.action](command)


@asynccontextmanager
async def _opened(settings: Settings, plan: MemoryPlan, chosen: argparse.Namespace) -> AsyncIterator[Command]:
    async with opened_database(settings, command_options(settings)) as database:
        with ThreadPoolExecutor(2) as executor:
            parts = parts_for_adoption(plan.parts) if chosen.action == ADOPT else plan.parts
            needed = {*_PARTS, "llm"} if chosen.action == _ASKS else _PARTS
            opened = {name: part for name, part in parts.items() if name in needed}
            hosted = await _opened_parts(opened, database.pool, executor, Path(settings.data_dir))
            try:
                if not isinstance(hosted.engine, MemoryEngine):
                    raise CommandError("these memories lie in another store (vector_store): look there")
                await hosted.engine.start(work=False)
                yield Command(hosted.engine, chosen, database.pool, plan, Path(settings.data_dir) / "spool")
                await hosted.engine.stop(0.0)
            finally:
                await hosted.close()


async def _opened_parts(parts: Mapping[str, Any], pool: Any, executor: Executor, data_dir: Path) -> SelfHosted:
    around = Surroundings(pool, executor, executor, folder=data_dir / "mem0", cache_dir=data_dir / "cache")
    try:
        return await open_self_hosted(parts, around, SelfHostedOptions(engine=_PATIENT))
    except (ProviderConfigError, EmbedderError) as problem:
        raise CommandError(f"Memory.mem0ai: {problem}") from None


async def _list(command: KeptCommand) -> None:
    chosen = command.chosen
    owner = await command.owner()
    memories = await command.engine.get_all(user_id=owner, agent_id=chosen.agent, top_k=chosen.limit)
    if chosen.json:
        print_json([_as_dict(memory) for memory in memories])
    else:
        print_table(("ID", "SAID", "AGENT", "WHO", "TEXT"), [_row(memory) for memory in memories])


async def _search(command: KeptCommand) -> None:
    chosen = command.chosen
    owner = await command.owner()
    hits = await command.engine.search(chosen.query, user_id=owner, agent_id=chosen.agent, top_k=chosen.limit)
    if chosen.json:
        print_json([{**_as_dict(hit.memory), "score": hit.score, "semantic_score": hit.semantic_score} for hit in hits])
    else:
        rows = [(f"{hit.score:.2f}", *_row(hit.memory)) for hit in hits]
        print_table(("SCORE", "ID", "SAID", "AGENT", "WHO", "TEXT"), rows)


async def _add(command: Command) -> None:
    chosen = command.chosen
    owner = await command.owner()
    text = sys.stdin.read(_LARGEST_INPUT) if chosen.text == "-" else chosen.text
    message = SpokenMessage("user", text, datetime.now(UTC))
    memories = await command.engine.add([message], user_id=owner, agent_id=chosen.agent)
    if not memories:
        raise CommandError("there is nothing in this text that could be remembered")
    if chosen.json:
        print_json([_as_dict(memory) for memory in memories])
    else:
        print(f"{memories[0].id} is remembered for {shown(owner)}")


async def _delete(command: KeptCommand) -> None:
    chosen = command.chosen
    if chosen.all == bool(chosen.ids):
        raise CommandError("memory delete needs either ids (see `memory list`) or --all")
    owner = await command.owner()
    count = await (_delete_all if chosen.all else _delete_some)(command, owner)
    if chosen.json:
        print_json({"deleted": count})
    else:
        print(f"{count} deleted")


async def _delete_all(command: KeptCommand, owner: str) -> int:
    agent = command.chosen.agent
    whose = shown(owner) + (f" and agent {shown(agent)}" if agent else "")
    confirm(command, f"Delete all memories of {whose}?")
    return await command.engine.delete_all(user_id=owner, agent_id=agent)


async def _delete_some(command: KeptCommand, owner: str) -> int:
    """All of them are looked up first: where one is unknown, none is deleted."""
    memories = [await command.engine.get(id, user_id=owner) for id in command.chosen.ids]
    agent = command.chosen.agent
    for id, memory in zip(command.chosen.ids, memories, strict=True):
        if memory is None or agent not in (None, memory.agent_id):
            raise CommandError(f"{shown(id)}: {MemoryNotFoundError()}")
    known = {memory.id: memory for memory in memories if memory is not None}
    confirm(command, "\n".join([*(line(memory.text) for memory in known.values()), "Delete?"]))
    for id in known:
        await command.engine.delete(id, user_id=owner)
    return len(known)


async def _stats(command: Command) -> None:
    stats, depth = await command.engine.stats(), await command.engine.depth()
    runs = await command.engine.daily_runs()
    outbox = {"waiting": depth.waiting, "dead": depth.dead, "oldest_s": round(depth.oldest.total_seconds(), 1)}
    if command.chosen.json:
        print_json({**asdict(stats), "outbox": outbox, "daily_runs": [asdict(run) for run in runs]})
        return
    embedders = ", ".join(f"{shown(name) or 'none'}: {count}" for name, count in stats.embedders.items())
    indexed = f"{len(stats.large_owners)} ({', '.join(map(shown, stats.large_owners[:OWNERS_SHOWN])) or '-'})"
    size = stats.entry_bytes + stats.history_bytes + stats.outbox_bytes
    for name, value in (
        ("owners", stats.owners),
        ("memories", stats.memories),
        ("changes in the history", stats.changes),
        ("size on disk", f"{size / 1e6:.1f} MB (memories {stats.entry_bytes / 1e6:.1f} MB)"),
        ("vectors by embedder", embedders or "-"),
        ("owners with an index of their own", indexed),
        ("not saved yet", f"{depth.waiting} (the oldest for {outbox['oldest_s']:g} s)" if depth.waiting else 0),
        ("given up (see `memory dead`)", depth.dead),
        *((f"daily {run.step}", _told(run)) for run in runs),
    ):
        print(f"{name:<34} {value}")


async def _dead(command: Command) -> None:
    chosen = command.chosen
    if chosen.replay:
        count = await command.engine.replay(chosen.user)
        if chosen.json:
            print_json({"replayed": count})
        else:
            print(f"{count} will be tried again by the server")
        return
    letters = await command.engine.dead_letters(chosen.user)
    if chosen.json:
        print_json([_dead_dict(letter) for letter in letters])
    else:
        rows = [
            (local(one.created_at), one.entry.user_id, one.entry.key, one.error, line(_texts(one))) for one in letters
        ]
        print_table(("SINCE", "OWNER", "KEY", "ERROR", "TEXT"), rows)


async def _reembed(command: Command) -> None:
    total = sum((await command.engine.outdated()).values())
    count = await command.engine.reembed(progress(total))
    if command.chosen.json:
        print_json({"reembedded": count})
    else:
        print(f"{count} memories have new vectors" if count else "all memories have vectors of the present embedder")


# What can be done wherever the memories lie.
KEEPER_ACTIONS: dict[str, Callable[[KeptCommand], Awaitable[None]]] = {
    "list": _list,
    "search": _search,
    "delete": _delete,
}
ACTIONS: dict[str, Callable[[Command], Awaitable[None]]] = {
    **KEEPER_ACTIONS,
    "add": _add,
    "stats": _stats,
    "dead": _dead,
    "reembed": _reembed,
    ADOPT: adopt,
    **cli_memory_compress.ACTIONS,
    **cli_memory_prune.ACTIONS,
    **cli_memory_share.ACTIONS,
    **cli_memory_things.ACTIONS,
    **cli_memory_transfer.ACTIONS,
}


def _told(run: StepRun) -> str:
    counts = ", ".join(f"{count} {word}" for word, count in run.counts.items())
    if run.ended_at is not None:
        return f"{local(run.ended_at)}: {counts or 'nothing to do'}"
    return f"{local(run.started_at)}: {f'failed ({run.error})' if run.error else 'under way, or broken off'}"


def _row(memory: StoredMemory) -> tuple[str, ...]:
    who = memory.speaker or memory.role
    return str(memory.id), local(memory.created_at), memory.agent_id or "-", who, line(memory.text) + _marks(memory)


def _marks(memory: StoredMemory) -> str:
    """What there is to know of a memory before it is believed."""
    until = "" if memory.valid_to is None else f" (until {local(memory.valid_to)[:10]})"
    replaced = " (replaced)" if memory.superseded_by is not None else ""
    flag = f" ({shown(memory.flag)})" if memory.flag else ""
    return f"{until}{replaced}{flag}"


def _as_dict(memory: StoredMemory) -> dict[str, Any]:
    return {name: value for name, value in asdict(memory).items() if value not in (None, "")}


def _dead_dict(letter: DeadLetter) -> dict[str, Any]:
    entry = letter.entry
    messages = [{"role": one.role, "content": one.content, "spoken_at": one.spoken_at} for one in entry.messages]
    named = {"user_id": entry.user_id, "agent_id": entry.agent_id, "key": entry.key, "attempts": entry.attempts}
    return {**named, "error": letter.error, "since": letter.created_at, "messages": messages}


def _texts(letter: DeadLetter) -> str:
    return " / ".join(message.content for message in letter.entry.messages)
