"""The SQL of this package, read once from its .sql files, without comments and indentation: psycopg takes a statement
of more than 4,096 bytes apart anew each time.
"""

from functools import cache
from pathlib import Path

MIGRATIONS = Path(__file__).parent / "migrations"
_FOLDER = Path(__file__).parent / "sql"


@cache
def statement(name: str) -> bytes:
    return _short((_FOLDER / f"{name}.sql").read_text("utf-8")).encode()


def composed(name: str, **parts: str) -> bytes:
    """A statement with `{part}` replaced where it stands. The parts are SQL of our own, never a value."""
    text = statement(name).decode()
    for part, replacement in parts.items():
        text = text.replace(f"{{{part}}}", replacement)
    return _short(text).encode()


def _short(text: str) -> str:
    lines = (line.strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("--"))
