"""Stock mem0 with pgvector, the yardstick: asked through its own API, with the index that it forgets to make."""

import importlib
import json
import os
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import psycopg
from psycopg.conninfo import conninfo_to_dict

from bench.memory_data import Person
from xiaozhi_server.core.providers.memory.mem0ai.embedding.embed import Vectors

_COLLECTION = "stock"


class Lookup(Protocol):
    """Vectors that take no time."""

    @property
    def dimensions(self) -> int: ...

    def embed_now(self, texts: Sequence[str]) -> Vectors: ...


@dataclass(frozen=True, slots=True)
class StockOptions:
    """How it is set up: its pool's sizes, whether its index over everybody's vectors is made, and one on the owner."""

    least_connections: int = 1
    most_connections: int = 5
    hnsw: bool = False
    owner_index: bool = True


class StockMem0:
    """`search` is asked like ours. Use `open_stock_mem0`."""

    def __init__(self, memory: Any) -> None:
        self._memory = memory

    async def search(self, question: str, user_id: str, top_k: int) -> list[str]:
        found = await self._memory.search(question, filters={"user_id": user_id}, top_k=top_k)
        return [one["memory"] for one in found["results"]]

    async def add(self, text: str, user_id: str) -> None:
        """Word for word."""
        await self._memory.add([{"role": "user", "content": text}], user_id=user_id, infer=False)

    def close(self) -> None:
        self._memory.vector_store.connection_pool.close()


class _Embedder:
    """What mem0 asks instead of a service."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self.config = type("Config", (), {"embedding_dims": lookup.dimensions})()

    def embed(self, text: str, _action: str | None = None) -> list[float]:
        vector: list[float] = self._lookup.embed_now([text])[0].tolist()
        return vector

    def embed_batch(self, texts: Sequence[str], _action: str | None = None) -> list[list[float]]:
        return [self.embed(text) for text in texts]


def open_stock_mem0(
    dsn: str,
    folder: Path,
    lookup: Lookup,
    persons: Sequence[Person],
    options: StockOptions | None = None,
    embedder: Mapping[str, Any] | None = None,
) -> StockMem0:
    """With these people's memories. Its table is made by itself and filled at once, or it would take an hour.

    Vectors are looked up, unless `embedder` is mem0's object for a service that makes the same ones.
    """
    options = options or StockOptions()
    os.environ["MEM0_TELEMETRY"] = "False"
    os.environ["MEM0_DIR"] = str(folder)
    folder.mkdir(parents=True, exist_ok=True)
    _make(_memory(dsn, folder, lookup, options, embedder))
    with psycopg.connect(dsn) as connection:
        _fill(connection, lookup, persons)
        if options.owner_index:
            # Without it a search reads the whole table, or finds next to nothing by way of the index over everybody.
            connection.execute(f"CREATE INDEX ON {_COLLECTION} ((payload->>'user_id'))")
        connection.commit()
        connection.autocommit = True
        connection.execute(f"VACUUM ANALYZE {_COLLECTION}")
    # Connections that are made before the index is there never use it.
    return StockMem0(_memory(dsn, folder, lookup, options, embedder))


def _memory(dsn: str, folder: Path, lookup: Lookup, options: StockOptions, embedder: Mapping[str, Any] | None) -> Any:
    mem0 = importlib.import_module("mem0")
    part = conninfo_to_dict(dsn)
    store = {
        "connection_string": dsn,
        "dbname": part["dbname"],
        "collection_name": _COLLECTION,
        "embedding_model_dims": lookup.dimensions,
        "hnsw": options.hnsw,
        "minconn": options.least_connections,
        "maxconn": options.most_connections,
    }
    nothing = {"provider": "openai", "config": {"api_key": "none"}}
    memory = mem0.AsyncMemory.from_config(
        {
            "llm": nothing,
            "embedder": embedder or nothing,
            "vector_store": {"provider": "pgvector", "config": store},
            "history_db_path": str(folder / "history.db"),
        }
    )
    if embedder is None:
        memory.embedding_model = _Embedder(lookup)
    return memory


def _make(memory: Any) -> None:
    memory.vector_store.col_info()
    memory.vector_store.connection_pool.close()


def _fill(connection: psycopg.Connection[Any], lookup: Lookup, persons: Sequence[Person]) -> None:
    with connection.cursor().copy(f"COPY {_COLLECTION} (id, vector, payload) FROM STDIN") as copy:
        for person in persons:
            for message, vector in zip(person.messages(), lookup.embed_now(person.lines), strict=True):
                payload = {
                    "data": message.content,
                    "hash": uuid.uuid5(uuid.NAMESPACE_OID, message.content).hex,
                    "text_lemmatized": message.content.lower(),
                    "created_at": message.spoken_at.isoformat(),
                    "updated_at": message.spoken_at.isoformat(),
                    "user_id": person.user_id,
                    "role": message.role,
                }
                copy.write_row((str(uuid.uuid4()), str(vector.tolist()), json.dumps(payload)))
