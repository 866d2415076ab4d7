"""Memory on PostgreSQL with pgvector: an engine for the process and a light provider for each connection."""

from .embed import Embedder
from .engine import EngineOptions, MemoryEngine
from .errors import InvalidIdError, MemoryInputError, MemoryNotFoundError
from .history import MemoryEvent
from .listing import cursor_of
from .mem0ai import Mem0aiMemory, ProviderOptions
from .minilm import MiniLmEmbedder
from .outbox import OutboxDepth, OutboxFullError
from .records import FoundMemory, StoredMemory
from .search import SearchOptions

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
