"""The SQL of this package, read once from its .sql files."""

from functools import cache
from pathlib import Path

MIGRATIONS = Path(__file__).parent / "migrations"
_FOLDER = Path(__file__).parent / "sql"


@cache
def statement(name: str) -> bytes:
    return (_FOLDER / f"{name}.sql").read_bytes()
