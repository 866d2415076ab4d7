"""Memory on PostgreSQL with pgvector: an engine for the process and a light provider for each connection."""

from .embed import Embedder
from .engine import EngineOptions, FoundMemory, MemoryEngine
from .mem0ai import Mem0aiMemory, ProviderOptions
from .minilm import MiniLmEmbedder
from .outbox import OutboxDepth, OutboxFullError
from .pgstore import StoredMemory
from .scope import InvalidIdError

__all__ = [
    "Embedder",
    "EngineOptions",
    "FoundMemory",
    "InvalidIdError",
    "Mem0aiMemory",
    "MemoryEngine",
    "MiniLmEmbedder",
    "OutboxDepth",
    "OutboxFullError",
    "ProviderOptions",
    "StoredMemory",
]
