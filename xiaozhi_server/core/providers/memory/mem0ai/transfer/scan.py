"""Looks for words wherever something could be kept: in all tables and columns, in Redis, and in this process."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import AsyncConnection, sql
from psycopg.rows import dict_row

from ..statements import statement

_PACKAGE = __name__.rpartition(".mem0ai.")[0]
_LONGEST_WORD = 200
_CONTAINERS = (dict, list, tuple, set, frozenset, deque)


@dataclass(frozen=True, slots=True)
class Place:
    """Where something was found, and in how many rows or values."""

    where: str
    count: int


async def scan_tables(
    connection: AsyncConnection[Any], words: Sequence[str], *, but_of_others: str | None = None
) -> list[Place]:
    """All columns of all tables that could hold one of the words, and the definitions of all indexes.

    With `but_of_others`, rows that name another owner than this one do not count: somebody else may have said the same.
    """
    known = [word[:_LONGEST_WORD] for word in words if word.strip()]
    # Bytes come as hexadecimal numbers.
    patterns = [f"%{form}%" for word in known for form in (_escaped(word), word.encode().hex())]
    found = []
    for table, owner, columns in await _tables(connection):
        whose = sql.Composed([sql.SQL("TRUE")])
        if but_of_others is not None and owner:
            whose = sql.SQL("{} = {}").format(sql.Identifier(owner), sql.Literal(but_of_others))
        for column in columns:
            query = sql.SQL("SELECT count(*) AS rows FROM {} WHERE {}::text ILIKE ANY (%(patterns)s) AND {}").format(
                sql.Identifier(*table), sql.Identifier(column), whose
            )
            count = await _count(connection, query, {"patterns": patterns})
            if count:
                found.append(Place(f"{'.'.join(table)}.{column}", count))
    in_indexes = sql.SQL(
        "SELECT count(*) AS rows FROM pg_indexes"
        " WHERE schemaname NOT IN ('pg_catalog', 'pg_toast') AND indexdef ILIKE ANY (%(patterns)s)"
    )
    if count := await _count(connection, in_indexes, {"patterns": patterns}):
        found.append(Place("definitions of indexes", count))
    return found


async def scan_redis(url: str, words: Sequence[str]) -> list[Place]:
    """All keys of the recall cache and what they hold."""
    import redis.asyncio as redis  # only who configures it pays for it

    found = []
    async with redis.Redis.from_url(url, socket_timeout=5.0, socket_connect_timeout=5.0) as client:
        async for key in client.scan_iter(match="memory:*"):
            kept = await _redis_values(client, key)
            count = sum(_holds(value, words) for value in (key, *kept))
            if count:
                found.append(Place("Redis", count))
    return found


def scan_objects(root: object, words: Sequence[str]) -> list[Place]:
    """Everything that objects of this package keep, from this one on."""
    return [Place(type(holder).__name__, 1) for holder, value in _kept(root) if _holds(value, words)]


async def _redis_values(client: Any, key: bytes) -> list[bytes]:
    if await client.type(key) == b"hash":
        pairs: Mapping[bytes, bytes] = await client.hgetall(key)
        return [*pairs, *pairs.values()]
    value = await client.get(key)
    return [] if value is None else [value]


def _kept(root: object) -> Iterator[tuple[object, str | bytes]]:
    """Texts with whoever holds them. Only our own objects and plain containers are looked into."""
    known, left = {id(root)}, [root]
    while left:
        holder = left.pop()
        for value in _parts(holder):
            if isinstance(value, str | bytes):
                yield holder, value
            elif id(value) not in known and (isinstance(value, _CONTAINERS) or _is_ours(value)):
                known.add(id(value))
                left.append(value)


def _parts(holder: object) -> Iterator[Any]:
    if isinstance(holder, Mapping):
        yield from tuple(holder)
        yield from tuple(holder.values())
    elif isinstance(holder, _CONTAINERS):
        yield from tuple(holder)
    if not _is_ours(holder):
        return
    yield from vars(holder).values() if hasattr(holder, "__dict__") else ()
    for kind in type(holder).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if hasattr(holder, name):
                yield getattr(holder, name)


def _is_ours(value: object) -> bool:
    return type(value).__module__.startswith(_PACKAGE) and not isinstance(value, type)


def _holds(value: str | bytes, words: Sequence[str]) -> bool:
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    folded = text.casefold()
    return any(word.casefold() in folded for word in words)


async def _tables(connection: AsyncConnection[Any]) -> list[tuple[tuple[str, str], str | None, Sequence[str]]]:
    """Every table with its schema, the column that names an owner, and the columns that could hold a word."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(statement("scan_columns"))
        rows = await cursor.fetchall()
    return [((row["schema"], row["name"]), row["owner"], row["columns"]) for row in rows]


async def _count(connection: AsyncConnection[Any], query: sql.Composed | sql.SQL, parameters: Mapping[str, Any]) -> int:
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(query, parameters)
        (row,) = await cursor.fetchall()
    return int(row["rows"])


def _escaped(word: str) -> str:
    return word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
