"""No memory at all."""

from .nomem import NoMemory

__all__ = ["NoMemory"]
