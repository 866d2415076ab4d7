"""Many rows at once, by COPY in PostgreSQL's binary form: several times faster than a statement for each."""

import json
import struct
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from psycopg import AsyncConnection
from psycopg.errors import UniqueViolation

from ..records import NewMemory
from .halfvec import HalfVector

Connection = AsyncConnection[Any]
_Columns = dict[str, tuple[Callable[[NewMemory], Any], Callable[[Any], bytes]]]

_HEAD = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_END = b"\xff\xff"
_NULL = b"\xff\xff\xff\xff"
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_INT4_OID = 23
_CHUNK_ROWS = 256

_size = struct.Struct(">i").pack
_short = struct.Struct(">h").pack
_integer = struct.Struct(">i").pack
_long = struct.Struct(">q").pack
_boolean = struct.Struct(">?").pack
_real = struct.Struct(">f").pack
_array_head = struct.Struct(">5i").pack


def _text(value: str) -> bytes:
    return value.encode()


def _moment(value: datetime) -> bytes:
    return _long((value - _EPOCH) // _MICROSECOND)


def _json(value: Any) -> bytes:
    return b"\x01" + json.dumps(value).encode()  # the version of jsonb's binary form


def _integers(values: Sequence[int]) -> bytes:
    if not values:
        return bytes(8) + _integer(_INT4_OID)
    elements = np.full((len(values), 2), 4, ">i4")
    elements[:, 1] = values
    return _array_head(1, 0, _INT4_OID, len(values), 1) + elements.tobytes()


# Every column that a new memory fills (see entry_insert.sql), with its form. The others get their defaults.
_COLUMNS: _Columns = {
    "user_id": (lambda new: new.memory.user_id, _text),
    "id": (lambda new: new.memory.id, lambda value: value.bytes),
    "agent_id": (lambda new: new.memory.agent_id, _text),
    "run_id": (lambda new: new.memory.run_id, _text),
    "session_id": (lambda new: new.memory.session_id, _text),
    "role": (lambda new: new.memory.role, _text),
    "speaker": (lambda new: new.memory.speaker, _text),
    "text": (lambda new: new.memory.text, _text),
    "metadata": (lambda new: new.memory.metadata, _json),
    "created_at": (lambda new: new.memory.created_at, _moment),
    "updated_at": (lambda new: new.memory.updated_at, _moment),
    "subtype": (lambda new: new.memory.subtype, _text),
    "flag": (lambda new: new.memory.flag, _text),
    "position": (lambda new: new.memory.position, _integer),
    "valid_from": (lambda new: new.memory.valid_from, _moment),
    "expires_at": (lambda new: new.memory.expires_at, _moment),
    "words": (lambda new: new.tokens, _integers),
    "embedding": (lambda new: HalfVector(new.vector).binary, bytes),
}
# What has become of it since. Only who restores a memory knows that.
_LIFE: _Columns = {
    "valid_from": (lambda new: new.memory.valid_from, _moment),
    "valid_to": (lambda new: new.memory.valid_to, _moment),
    "superseded_by": (lambda new: new.memory.superseded_by, lambda value: value.bytes),
    "accessed_at": (lambda new: new.memory.accessed_at, _moment),
    "used_at": (lambda new: new.memory.used_at, _moment),
    "access_count": (lambda new: new.memory.access_count, _integer),
    "pinned": (lambda new: new.memory.pinned, _boolean),
    "quality": (lambda new: new.memory.quality, _real),
    "compressed_into": (lambda new: new.memory.compressed_into, lambda value: value.bytes),
}
_WHOLE = _COLUMNS | _LIFE


async def copied(connection: Connection, memories: Sequence[NewMemory], embedder: int) -> bool:
    """Whether the rows were added. False, and nothing is, where one of them is there already."""
    try:
        async with connection.transaction():
            await _copy(connection, "memory_entry", _COLUMNS, memories, embedder)
    except UniqueViolation:
        return False
    return True


async def staged(connection: Connection, memories: Sequence[NewMemory], embedder: int) -> None:
    """Add the rows, with all that has become of them, to the temporary table memory_import."""
    await _copy(connection, "memory_import", _WHOLE, memories, embedder)


async def _copy(
    connection: Connection, table: str, columns: _Columns, memories: Sequence[NewMemory], embedder: int
) -> None:
    fields, number = _short(len(columns) + 1), _size(2) + _short(embedder)
    statement = f"COPY {table} ({', '.join(columns)}, embedder) FROM STDIN (FORMAT BINARY)"
    async with connection.cursor() as cursor, cursor.copy(statement.encode()) as copy:
        await copy.write(_HEAD)
        for start in range(0, len(memories), _CHUNK_ROWS):
            chunk = memories[start : start + _CHUNK_ROWS]
            await copy.write(b"".join(fields + _row(columns, new) + number for new in chunk))
        await copy.write(_END)


def _row(columns: _Columns, new: NewMemory) -> bytes:
    return b"".join(_field(read(new), form) for read, form in columns.values())


def _field(value: Any, form: Callable[[Any], bytes]) -> bytes:
    if value is None:
        return _NULL
    binary = form(value)
    return _size(len(binary)) + binary
