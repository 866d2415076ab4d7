"""Memory on PostgreSQL with pgvector: an engine for the process and a light provider for each connection."""

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
