"""A memory on one of mem0's stores with nothing of PostgreSQL beside it."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tests.integration.memory.mem0_world import QUICK
from xiaozhi_server.core.providers.memory.mem0ai.by_mem0.beside_file import FileBeside
from xiaozhi_server.core.providers.memory.mem0ai.by_mem0.bridge import load_mem0
from xiaozhi_server.core.providers.memory.mem0ai.by_mem0.mem0_parts import Part, open_vector_store
from xiaozhi_server.core.providers.memory.mem0ai.by_mem0.other_store import OtherStore
from xiaozhi_server.core.providers.memory.mem0ai.by_mem0.plain_engine import PlainEngine
from xiaozhi_server.core.providers.memory.mem0ai.records import NewMemory, StoredMemory
from xiaozhi_server.core.providers.memory.mem0ai.testing import WordEmbedder


@asynccontextmanager
async def plain(kind: str, folder: Path) -> AsyncIterator[PlainEngine]:
    load_mem0(folder)
    config: Mapping[str, Any] = {"url": str(folder / "milvus.db")} if kind == "milvus" else {}
    raw = open_vector_store(Part(kind, config), dimensions=WordEmbedder.dimensions, folder=folder)
    store, beside = OtherStore(raw, kind), FileBeside(folder / "notes.db")
    engine = PlainEngine(beside, WordEmbedder(), store, QUICK.engine)
    try:
        yield engine
    finally:
        await engine.stop(1.0)
        await store.close()
        await beside.close()


async def put_internal(engine: PlainEngine, like: StoredMemory, ids: list[Any], mark: Any) -> None:
    """Records that lie nearer to every question than any memory does."""
    (vector,) = await WordEmbedder().embed([like.text])
    marks = {"__internal": mark, "internal_type": "access_log", "version": "v1"}
    rows = [replace(like, id=id, text='{"teal": "plums"}', metadata=marks) for id in ids]
    await engine.store.insert([NewMemory(row, (), vector.astype(np.float32)) for row in rows])
