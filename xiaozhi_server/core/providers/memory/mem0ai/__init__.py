"""Memory on PostgreSQL with pgvector: an engine for the process and a light provider for each connection.

The names are looked up when they are asked for: whoever needs one module of the package does not load the others, and
a copy of the package that leaves the embedded model out works without it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .embedding.embed import Embedder
    from .embedding.minilm import MiniLmEmbedder
    from .engine import EngineOptions, MemoryEngine
    from .errors import InvalidIdError, MemoryInputError, MemoryNotFoundError
    from .finding.search import SearchOptions
    from .mem0ai import Mem0aiMemory, ProviderOptions
    from .records import FoundMemory, StoredMemory
    from .rows.history import MemoryEvent
    from .rows.listing import cursor_of
    from .saving.outbox import OutboxDepth, OutboxFullError

__all__ = [
    "Embedder",
    "EngineOptions",
    "FoundMemory",
    "InvalidIdError",
    "Mem0aiMemory",
    "MemoryEngine",
    "MemoryEvent",
    "MemoryInputError",
    "MemoryNotFoundError",
    "MiniLmEmbedder",
    "OutboxDepth",
    "OutboxFullError",
    "ProviderOptions",
    "SearchOptions",
    "StoredMemory",
    "cursor_of",
]

_WHERE = {
    "Embedder": "embedding.embed",
    "EngineOptions": "engine",
    "FoundMemory": "records",
    "InvalidIdError": "errors",
    "Mem0aiMemory": "mem0ai",
    "MemoryEngine": "engine",
    "MemoryEvent": "rows.history",
    "MemoryInputError": "errors",
    "MemoryNotFoundError": "errors",
    "MiniLmEmbedder": "embedding.minilm",
    "OutboxDepth": "saving.outbox",
    "OutboxFullError": "saving.outbox",
    "ProviderOptions": "mem0ai",
    "SearchOptions": "finding.search",
    "StoredMemory": "records",
    "cursor_of": "rows.listing",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
