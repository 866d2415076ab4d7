"""mem0's filter language over memories: `parse` reads it, a `Filter` is asked in SQL or in Python, with one answer."""

from .language import MOST_CONDITIONS, MOST_NESTED, Filter, parse

__all__ = ["MOST_CONDITIONS", "MOST_NESTED", "Filter", "parse"]
