"""The SQL of this package, read once from its .sql files."""

from functools import cache
from pathlib import Path

MIGRATIONS = Path(__file__).parent / "migrations"
_FOLDER = Path(__file__).parent / "sql"


@cache
def statement(name: str) -> bytes:
    return (_FOLDER / f"{name}.sql").read_bytes()


def composed(name: str, **parts: str) -> bytes:
    """A statement with `{part}` replaced where it stands. The parts are SQL of our own, never a value."""
    text = statement(name).decode()
    for part, replacement in parts.items():
        text = text.replace(f"{{{part}}}", replacement)
    return text.encode()
