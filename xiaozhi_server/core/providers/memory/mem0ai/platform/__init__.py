"""Memories that Mem0 keeps: its platform as the engine behind a connection's view of memory."""

from .api import PlatformApi
from .engine import PlatformEngine
from .memory import PlatformMemory
from .options import DEFAULT_HOST, KEY_VARIABLE, PlatformOptions, PlatformSetupError

__all__ = [
    "DEFAULT_HOST",
    "KEY_VARIABLE",
    "PlatformApi",
    "PlatformEngine",
    "PlatformMemory",
    "PlatformOptions",
    "PlatformSetupError",
]
