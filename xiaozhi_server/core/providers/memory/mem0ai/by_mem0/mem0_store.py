"""Our table of memories as one of mem0's vector stores: what mem0 writes and finds there, the engine does too.

Importing this imports mem0; mem0_register.py makes mem0 import it when somebody asks for the provider. Blocks.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import numpy as np
from mem0.vector_stores.base import VectorStoreBase
from psycopg import AsyncConnection, Connection
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import Json
from psycopg_pool import ConnectionPool
from pydantic import BaseModel, ConfigDict

from ...migrate import apply_migrations
from ..embedding.embed import Vectors
from ..engine import LEDGER
from ..errors import MemoryInputError
from ..filters import parse
from ..recall.words import query_tokens, tokens_of
from ..records import StoredMemory
from ..rows.halfvec import HalfVector
from ..rows.pgstore import memory_of
from ..rows.summaries import AT_ONE
from ..scope import Scope
from ..statements import MIGRATIONS, composed, statement
from .mem0_payload import RESERVED, Row, memory_from, payload_of, row_of

Rows = list[Row]  # the store's method of that name hides the type

_MOST_ROWS = 100_000
_LONGEST_QUERY = 8000
_SCOPE = ("user_id", "agent_id", "run_id")
_LOGICAL = {"$and": "AND", "$or": "OR", "$not": "NOT"}


class XiaozhiStoreConfig(BaseModel):
    """`embedder` is the name of the model whose vectors come here: only vectors of the same name are compared.

    The table is everybody's: it can be emptied as a whole only where `allow_reset` says so.
    """

    model_config = ConfigDict(extra="forbid")

    connection_string: str
    collection_name: str = "memory"
    embedding_model_dims: int | None = None
    embedder: str = "mem0"
    maxconn: int = 4
    allow_reset: bool = False


class OwnerMissingError(MemoryInputError):
    """A search, a list or an insert that names no owner, or everybody."""


class XiaozhiStore(VectorStoreBase):  # type: ignore[misc] # mem0 has no types
    """Only mem0's calls by id alone know no owner: whoever has an id may read, change and delete what it names."""

    def __init__(self, **config: Any) -> None:
        self._config = XiaozhiStoreConfig(**config)
        self.collection_name = self._config.collection_name
        self._numbers: dict[int, int] = {}
        self._finds_ids = False
        self._pool = _opened(self._config)
        self.create_col(self.collection_name, self._config.embedding_model_dims, "cosine")

    def create_col(self, name: str, vector_size: int | None, distance: str) -> None:
        """Bring the tables up to date. There is one for all names and all lengths of vectors."""
        with ThreadPoolExecutor(1) as worker:  # this thread may have an event loop of its own
            worker.submit(_migrate, self._config.connection_string).result()

    def insert(
        self,
        vectors: Sequence[Sequence[float]],
        payloads: Sequence[Mapping[str, Any]] | None = None,
        ids: Sequence[str] | None = None,
    ) -> None:
        memories = [memory_from(UUID(str(id)), payload) for id, payload in zip(ids or (), payloads or (), strict=True)]
        for memory in memories:
            _scope({"user_id": memory.user_id, "agent_id": memory.agent_id or None, "run_id": memory.run_id or None})
        with self._connection() as connection, connection.transaction():
            for memory, vector in zip(memories, vectors, strict=True):
                _execute(connection, statement("entry_insert"), self._columns(connection, memory, vector))

    def search(
        self, query: str, vectors: Sequence[float], top_k: int = 5, filters: Mapping[str, Any] | None = None
    ) -> Rows:
        vector = _vector(vectors)
        with self._connection() as connection:
            found = {"vector": HalfVector(vector), "embedder": self._number(connection, len(vector))}
            return self._found(connection, "mem0_search", found, top_k, filters)

    def keyword_search(self, query: str, top_k: int = 5, filters: Mapping[str, Any] | None = None) -> Rows:
        tokens = list(query_tokens(query[:_LONGEST_QUERY]))
        with self._connection() as connection:
            return self._found(connection, "mem0_words", {"tokens": tokens}, top_k, filters)

    def list(self, filters: Mapping[str, Any] | None = None, top_k: int | None = 100) -> Sequence[Rows]:
        with self._connection() as connection:
            return [self._found(connection, "mem0_list", {}, _MOST_ROWS if top_k is None else top_k, filters)]

    def get(self, vector_id: str) -> Row | None:
        memory = self._by_id(vector_id)
        return None if memory is None else row_of(memory)

    def update(
        self, vector_id: str, vector: Sequence[float] | None = None, payload: Mapping[str, Any] | None = None
    ) -> None:
        old = self._by_id(vector_id)
        if old is None:
            return
        # What mem0 could not be shown must not be lost by what it writes back.
        hidden = {key: value for key, value in (old.metadata or {}).items() if key in RESERVED}
        new = memory_from(old.id, {**(payload_of(old) if payload is None else payload), "user_id": old.user_id})
        with self._connection() as connection, connection.transaction():
            _execute(connection, statement("summary_lock"), {"user_id": old.user_id})
            columns = self._columns(connection, new, vector)
            columns["metadata"] = Json({**(new.metadata or {}), **hidden})
            rows = _execute(connection, statement("mem0_update"), columns)
            if new.text != old.text:
                _dissolve(connection, old.user_id, [row["compressed_into"] for row in rows if row["compressed_into"]])

    def delete(self, vector_id: str) -> None:
        memory = self._by_id(vector_id)
        if memory is not None:
            which = {"user_id": memory.user_id, "agent_id": None, "run_id": None, "id": memory.id}
            with self._connection() as connection, connection.transaction():
                _execute(connection, statement("summary_lock"), which)
                _execute(connection, composed("entry_reopen", which=AT_ONE), which)
                (row,) = _execute(connection, composed("entry_delete", which=AT_ONE), which)
                _dissolve(connection, memory.user_id, row["summaries"])
                _execute(connection, statement("thing_orphans"), {"owners": [memory.user_id]})

    def list_cols(self) -> Sequence[str]:
        return [self.collection_name]

    def col_info(self) -> dict[str, Any]:
        with self._connection() as connection:
            (row,) = _execute(connection, b"SELECT count(*) AS count FROM memory_entry", {})
        return {"name": self.collection_name, "count": row["count"]}

    def delete_col(self) -> None:
        """Everything of everybody."""
        if not self._config.allow_reset:
            raise OwnerMissingError("this table is everybody's: delete_all(user_id=...) deletes one owner's memories")
        with self._connection() as connection:
            connection.execute("TRUNCATE memory_entry, memory_history, memory_thing, memory_link, memory_relation")

    def reset(self) -> None:
        self.delete_col()

    def close(self) -> None:
        self._pool.close()

    def _found(
        self,
        connection: Connection[DictRow],
        name: str,
        parameters: Mapping[str, Any],
        top_k: int,
        filters: Mapping[str, Any] | None,
    ) -> Rows:
        scope, rest = _scope(filters)
        text, values = parse(rest).sql()
        asked = {"user_id": scope.user_id, "agent_id": scope.agent_id, "run_id": scope.run_id}
        limit = {"limit": max(0, min(top_k, _MOST_ROWS))}
        rows = _execute(connection, composed(name, filter=text), {**parameters, **values, **asked, **limit})
        return [row_of(memory_of(row), row["score"]) for row in rows]

    def _by_id(self, vector_id: str) -> StoredMemory | None:
        id = _uuid(vector_id)
        if id is None:
            return None
        self._find_ids()
        with self._connection() as connection:
            rows = _execute(connection, statement("mem0_get"), {"id": id})
        return memory_of(rows[0]) if rows else None

    def _find_ids(self) -> None:
        """Only mem0 looks for an id without its owner: only who uses it pays for an index."""
        if not self._finds_ids:
            with self._connection() as connection:
                connection.execute("CREATE INDEX CONCURRENTLY IF NOT EXISTS memory_entry_id ON memory_entry (id)")
            self._finds_ids = True

    def _columns(
        self, connection: Connection[DictRow], memory: StoredMemory, given: Sequence[float] | None
    ) -> dict[str, Any]:
        vector = None if given is None else _vector(given)
        return {
            "user_id": memory.user_id,
            "id": memory.id,
            "agent_id": memory.agent_id,
            "run_id": memory.run_id,
            "session_id": memory.session_id,
            "role": memory.role,
            "speaker": memory.speaker,
            "text": memory.text.replace("\0", ""),
            "metadata": None if memory.metadata is None else Json(memory.metadata),
            "created_at": memory.created_at,
            "updated_at": memory.updated_at,
            "subtype": memory.subtype,
            "flag": memory.flag,
            "position": memory.position,
            "valid_from": memory.valid_from,
            "expires_at": memory.expires_at,
            "words": tokens_of(memory.text),
            "embedder": None if vector is None else self._number(connection, len(vector)),
            "embedding": None if vector is None else HalfVector(vector),
        }

    def _number(self, connection: Connection[DictRow], dimensions: int) -> int:
        """Under which number vectors of this length are kept."""
        if dimensions not in self._numbers:
            embedder = {"name": self._config.embedder, "dimensions": dimensions}
            connection.execute(statement("embedder_add"), embedder)
            (row,) = _execute(connection, statement("embedder_id"), embedder)
            self._numbers[dimensions] = row["id"]
        return self._numbers[dimensions]

    def _connection(self) -> Any:
        return self._pool.connection()


class NoEntities:
    """Where mem0 would keep names beside the memories. Our words find names; nothing is kept twice."""

    def insert(self, vectors: Any, payloads: Any = None, ids: Any = None) -> None:
        """Kept nowhere."""

    def update(self, vector_id: Any, vector: Any = None, payload: Any = None) -> None:
        """There is none."""

    def delete(self, vector_id: Any) -> None:
        """There is none."""

    def search(self, query: Any, vectors: Any, top_k: int = 5, filters: Any = None) -> Rows:
        return []

    def search_batch(self, queries: Any, vectors_list: Any, top_k: int = 1, filters: Any = None) -> Sequence[Rows]:
        return [[] for _ in queries]

    def list(self, filters: Any = None, top_k: int | None = None) -> Sequence[Rows]:
        return [[]]

    def reset(self) -> None:
        """It is always empty."""


def open_store(**config: Any) -> XiaozhiStore | NoEntities:
    """What mem0 calls when somebody asks for the provider."""
    if str(config.get("collection_name")).endswith("_entities"):
        return NoEntities()
    return XiaozhiStore(**config)


def _opened(config: XiaozhiStoreConfig) -> ConnectionPool[Connection[DictRow]]:
    # No prepared statements: after a few searches PostgreSQL would use one plan for small and for large owners.
    kwargs = {"autocommit": True, "prepare_threshold": None}
    return ConnectionPool(
        config.connection_string, min_size=0, max_size=config.maxconn, kwargs=kwargs, open=True, name="mem0"
    )


def _migrate(conninfo: str) -> None:
    async def apply() -> None:
        async with await AsyncConnection.connect(conninfo) as connection:
            await apply_migrations(connection, MIGRATIONS, ledger=LEDGER)

    # psycopg does not work on the default loop of Windows.
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(apply())


def _execute(connection: Connection[Any], sql: bytes, parameters: Mapping[str, Any]) -> list[DictRow]:
    with connection.cursor(row_factory=dict_row) as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall() if cursor.description else []


def _dissolve(connection: Connection[Any], user_id: str, summaries: Sequence[UUID]) -> None:
    """A summary does not outlive what it tells."""
    if summaries:
        _execute(connection, statement("summary_dissolve"), {"user_id": user_id, "summaries": list(summaries)})


def _scope(filters: Mapping[str, Any] | None) -> tuple[Scope, dict[str, Any]]:
    """Whose memories, and what else is asked of them."""
    given = dict(filters or {})
    ids = {name: given.pop(name, None) for name in _SCOPE}
    if not isinstance(ids["user_id"], str):
        raise OwnerMissingError("filters must name one user_id: memories are only ever read for one owner")
    return Scope(**ids), {_LOGICAL.get(key, key): value for key, value in given.items()}


def _vector(given: Iterable[float]) -> Vectors:
    return np.array([float(number) for number in given], np.float32)


def _uuid(value: object) -> UUID | None:
    try:
        return UUID(str(value))
    except ValueError:
        return None
