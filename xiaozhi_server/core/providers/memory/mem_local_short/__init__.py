"""Memory as one page of notes per person, rewritten by the language model as talk goes on. Small, without vectors."""

from .engine import SummaryEngine, SummaryOptions
from .mem_local_short import LocalShortMemory
from .notes import Model

__all__ = ["LocalShortMemory", "Model", "SummaryEngine", "SummaryOptions"]
