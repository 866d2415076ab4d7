"""`memory export|import|forget`: memories that come and go as a whole, and a person of whom nothing shall be left."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from .cli_memory_command import Command, CommandError, confirm, print_json, print_table, progress
from .cli_output import shown
from .core.providers.memory.mem0ai.platform import PlatformEngine, PlatformOptions
from .core.providers.memory.mem0ai.scope import Scope
from .core.providers.memory.mem0ai.transfer import person
from .core.providers.memory.mem0ai.transfer.exporting import counted
from .core.providers.memory.mem0ai.transfer.importing import Imported, ImportOptions
from .core.providers.memory.mem0ai.transfer.items import Notice
from .core.providers.memory.mem0ai.transfer.scan import Place, scan_redis, scan_tables
from .store.forgetting import count_dialogue, forget_dialogue, forget_spooled

Pool = AsyncConnectionPool[AsyncConnection[Any]]

_NOTICES_SHOWN = 100
_TEXTS_LOOKED_FOR = 50
_TELL_EVERY = 5000
_REST_ON_DISK = (
    "The rows are gone. PostgreSQL overwrites their places on disk with its next VACUUM (by itself, or at once by"
    " `VACUUM`); a talk that goes on still has what was said in it, and backups and exported files are yours to delete."
)


# --- export ---


async def _export(command: Command) -> None:
    chosen = command.chosen
    owner = None if chosen.all else await command.owner()
    if chosen.dry_run:
        async with command.pool.connection() as connection:
            _tell_counts(command, "would be exported", await counted(connection, owner))
        return
    told = _sometimes()
    with _written(chosen.file) as file:
        size = 0
        async with aclosing(command.engine.exported(user_id=owner, vectors=chosen.vectors, progress=told)) as lines:
            async for some in lines:
                size += len(some)
                await asyncio.to_thread(file.write, some)
        await asyncio.to_thread(file.flush)
    if chosen.file == "-":
        return
    if chosen.json:
        print_json({"file": chosen.file, "bytes": size})
    else:
        print(f"{shown(chosen.file)}: {size} bytes")


@contextmanager
def _written(name: str) -> Iterator[BinaryIO]:
    """A file for its owner's eyes alone. One that is there already is not touched, and no half of one is left."""
    if name == "-":
        yield sys.stdout.buffer
        return
    path = Path(name)
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except OSError as error:
        raise CommandError(f"{shown(name)}: {error.strerror}") from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _sometimes() -> Callable[[int, int], None]:
    told = 0

    def tell(done: int, total: int) -> None:
        nonlocal told
        if done - told >= _TELL_EVERY or (done == total and told):
            told = done
            progress(total)(done)

    return tell


# --- import ---


async def _import(command: Command) -> None:
    chosen = command.chosen
    with _read(chosen.file) as (file, as_of):
        options = ImportOptions(
            format=chosen.format,
            user_id=chosen.user,
            from_user=chosen.from_user,
            agent_id=chosen.agent,
            notes=command.plan.keeper == "notes",
            dry_run=chosen.dry_run,
            as_of=as_of,
        )
        done = await command.engine.imported(file, options, notice=_Notices().tell, progress=_lines_done())
    _tell_imported(command, done)
    if done.refused:
        raise CommandError(f"{done.refused} were not taken (see above); the rest was")


@contextmanager
def _read(name: str) -> Iterator[tuple[BinaryIO, datetime | None]]:
    """With the moment when it was written."""
    if name == "-":
        yield sys.stdin.buffer, None
        return
    try:
        with Path(name).open("rb") as file:
            yield file, datetime.fromtimestamp(os.fstat(file.fileno()).st_mtime, UTC)
    except OSError as error:
        raise CommandError(f"{shown(name)}: {error.strerror}") from None


class _Notices:
    """Tells the first of them."""

    def __init__(self) -> None:
        self._count = 0

    def tell(self, notice: Notice) -> None:
        self._count += 1
        if self._count <= _NOTICES_SHOWN:
            print(f"line {notice.number} {notice.reason}", file=sys.stderr)
        elif self._count == _NOTICES_SHOWN + 1:
            print("more of the kind is not shown", file=sys.stderr)


def _lines_done() -> Callable[[int], None]:
    told = 0

    def tell(done: int) -> None:
        nonlocal told
        if done - told >= _TELL_EVERY:
            told = done
            print(f"{done} done", end="\r" if sys.stderr.isatty() else "\n", file=sys.stderr, flush=True)

    return tell


def _tell_imported(command: Command, done: Imported) -> None:
    if command.chosen.json:
        counts: dict[str, dict[str, int]] = {}
        for (kind, outcome), count in done.counts.items():
            counts.setdefault(kind, {})[outcome] = count
        notices = [asdict(notice) for notice in done.notices]
        about = {"format": done.format, "dry_run": command.chosen.dry_run, "embedded": done.embedded}
        print_json({**about, "counts": counts, "refused": done.refused, "notices": notices})
        return
    would = "would be " if command.chosen.dry_run else ""
    for (kind, outcome), count in sorted(done.counts.items()):
        print(f"{kind:<10} {count:>9} {would}{outcome}")
    if done.embedded:
        print(f"{done.embedded} got new vectors")


# --- forget ---


async def _forget(command: Command) -> None:
    household = Scope(command.chosen.user).user_id
    async with command.pool.connection() as connection:
        persons = await person.persons(connection, household)
    owners = [household, *(persons if command.chosen.household else [])]
    there = [await _present(command, owner) for owner in owners]
    if command.chosen.dry_run:
        _tell_forgotten(command, owners, there, persons, [])
        return
    total = sum(sum(counts.values()) for counts in there)
    names = ", ".join(map(shown, owners))
    confirm(command, f"Forget {names}, all {total} rows, for ever?")
    tell = progress(total)
    removed: list[Mapping[str, int]] = []
    left: list[Place] = []
    for owner in owners:
        texts = await _texts_of(command, owner)
        removed.append(await _forget_one(command, owner))
        tell(sum(sum(counts.values()) for counts in removed))
        left += await _left(command, owner, texts)
    _tell_forgotten(command, owners, removed, persons, left)
    if left:
        raise CommandError("not everything is gone: say it again, and if that does not help look at these places")


async def _present(command: Command, owner: str) -> dict[str, int]:
    async with command.pool.connection() as connection:
        memory, dialogue = await person.present(connection, owner), await count_dialogue(connection, owner)
    spooled = await asyncio.to_thread(forget_spooled, command.spool, owner, dry_run=True)
    return _together(memory, dialogue, {"waiting on disk": spooled})


async def _forget_one(command: Command, owner: str) -> dict[str, int]:
    """The dialogue first: what it hands to the memory comes before the memory's own end."""
    async with command.pool.connection() as connection:
        dialogue = await forget_dialogue(connection, owner)
    there = 0
    if command.plan.platform is not None:
        there = await _forget_on_platform(command.pool, command.plan.platform, owner)
    memory = await command.engine.forget_person(user_id=owner)
    spooled = await asyncio.to_thread(forget_spooled, command.spool, owner)
    if url := _redis_url(command):
        await _forget_in_redis(url, owner)
    return _together(memory, dialogue, {"waiting on disk": spooled, "Mem0's platform": there})


def _redis_url(command: Command) -> str:
    return command.plan.cache.redis_url.get_secret_value()


async def _forget_on_platform(pool: Pool, options: PlatformOptions, owner: str) -> int:
    """What is still on its way there is deleted by the server, when it appears."""
    platform = PlatformEngine(pool, options)
    await platform.start(work=False)
    try:
        return await platform.delete_all(user_id=owner)
    finally:
        await platform.stop(0.0)


async def _forget_in_redis(url: str, owner: str) -> None:
    from .core.providers.memory.mem0ai.finding.recall_cache_redis import RedisCache

    cache = RedisCache(url)
    try:
        if not await cache.forget_now(owner):
            raise CommandError("the shared cache (redis_url) does not answer: its answers die of age; say it again")
    finally:
        await cache.close()


def _together(*counts: Mapping[str, int]) -> dict[str, int]:
    return {name: count for some in counts for name, count in some.items() if count}


async def _texts_of(command: Command, owner: str) -> list[str]:
    """Some of what the scan looks for: the longest piece of each text that is written the same everywhere."""
    memories = await command.engine.get_all(user_id=owner, top_k=_TEXTS_LOOKED_FOR)
    pieces = (max(one.text.replace("\\", '"').splitlines()[0].split('"'), key=len) for one in memories)
    return [piece for piece in pieces if len(piece) >= 10]


async def _left(command: Command, owner: str, texts: Sequence[str]) -> list[Place]:
    """What is still there of this owner: rows that bear the name, the name in an index, and what was said."""
    async with command.pool.connection() as connection:
        rows = {**await person.present(connection, owner), **await count_dialogue(connection, owner)}
        named = await scan_tables(connection, [f"'{owner}'"], but_of_others=owner)
        said = await scan_tables(connection, texts, but_of_others=owner) if texts else []
    left = [Place(name, count) for name, count in rows.items()] + named + said
    url = _redis_url(command)
    return left + (await scan_redis(url, texts) if url and texts else [])


def _tell_forgotten(
    command: Command,
    owners: Sequence[str],
    counts: Sequence[Mapping[str, int]],
    persons: Sequence[str],
    left: Sequence[Place],
) -> None:
    not_meant = [one for one in persons if one not in owners]
    if command.chosen.json:
        per_owner = dict(zip(owners, counts, strict=True))
        found = [asdict(place) for place in left]
        done = "present" if command.chosen.dry_run else "removed"
        print_json({done: per_owner, "persons_left": not_meant, "found_afterwards": found})
        return
    rows = [
        (owner, name, str(count)) for owner, some in zip(owners, counts, strict=True) for name, count in some.items()
    ]
    print_table(("OWNER", "WHERE", "ROWS" if command.chosen.dry_run else "REMOVED"), rows)
    if not_meant:
        print(f"persons of this household, not forgotten without --household: {', '.join(map(shown, not_meant))}")
    if command.chosen.dry_run:
        return
    for place in left:
        print(f"still there: {shown(place.where)} ({place.count})", file=sys.stderr)
    if not left:
        print(f"A scan of all tables, columns and caches found nothing left. {_REST_ON_DISK}")


def _tell_counts(command: Command, what: str, counts: Mapping[str, int]) -> None:
    if command.chosen.json:
        print_json({"lines": dict(counts)})
        return
    for kind, count in counts.items():
        print(f"{kind:<10} {count:>9} {what}")


ACTIONS: dict[str, Callable[[Command], Awaitable[Any]]] = {"export": _export, "import": _import, "forget": _forget}
