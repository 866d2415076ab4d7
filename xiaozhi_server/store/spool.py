"""Exchanges that wait on disk for the database: one private file each, written whole or not at all. Knows no SQL."""

import contextlib
import json
import os
from collections.abc import Container
from pathlib import Path
from time import time, time_ns

from pydantic import TypeAdapter, ValidationError

from ..core.ports import Exchange
from .whose import whose

_EXCHANGE: TypeAdapter[Exchange] = TypeAdapter(Exchange)
_ABANDONED_AFTER_S = 60.0


class SpoolFullError(Exception):
    """There is no room left for exchanges that wait for the database."""


class Spool:
    """A bounded folder of waiting exchanges, oldest first. All methods block: they belong in an executor."""

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder = folder
        self._limit = limit

    def open(self) -> int:
        """How many are waiting from before."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._folder.chmod(0o700)
        self._throw_halves_away()
        return len(self.waiting())

    def _throw_halves_away(self) -> None:
        """Only what is so old that nobody writes it any more: another server may be at work on this folder."""
        for draft in self._folder.glob("*.new"):
            with contextlib.suppress(FileNotFoundError):
                if time() - draft.stat().st_mtime > _ABANDONED_AFTER_S:
                    draft.unlink()

    def waiting(self) -> list[Path]:
        return sorted(self._folder.glob("*.json"))

    def put(self, exchange: Exchange) -> None:
        """Once this returns the exchange survives a crash of the machine."""
        if sum(1 for _ in self._folder.iterdir()) >= self._limit:
            raise SpoolFullError(f"{self._limit} exchanges wait for the database already")
        # Names sort by time; a number makes two of the same moment differ.
        target = self._folder / f"{time_ns():020d}-{os.getpid()}-{os.urandom(4).hex()}.json"
        draft = target.with_suffix(".new")
        with os.fdopen(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            file.write(_EXCHANGE.dump_json(exchange))
            file.flush()
            os.fsync(file.fileno())
        draft.rename(target)
        self._flush_folder()

    def read(self, entry: Path) -> Exchange | None:
        """None: another server on this folder was quicker, or the entry cannot be read and was put aside."""
        try:
            return _EXCHANGE.validate_json(entry.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError:
            self.put_aside(entry)
            return None

    def remove(self, entry: Path) -> None:
        entry.unlink(missing_ok=True)

    def forget(self, owner_id: str, *, dry_run: bool = False) -> int:
        """Remove all exchanges of an owner, a household or one of its persons, those that were put aside too; how many
        there were.
        """
        entries = [entry for pattern in ("*.json", "*.rejected") for entry in self._folder.glob(pattern)]
        theirs = [entry for entry in entries if owner_id in _owners_in(entry)]
        for entry in [] if dry_run else theirs:
            entry.unlink(missing_ok=True)
        return len(theirs)

    def put_aside(self, entry: Path) -> None:
        """Keep it for a person to look at; it does not hold up the others any more."""
        with contextlib.suppress(FileNotFoundError):
            entry.rename(entry.with_suffix(".rejected"))

    def _flush_folder(self) -> None:
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _owners_in(entry: Path) -> Container[str]:
    """Of an exchange that may be broken, or gone since it was listed."""
    try:
        return whose(_EXCHANGE.validate_json(entry.read_bytes()))
    except (OSError, ValueError):
        return _household_in(entry)


def _household_in(entry: Path) -> Container[str]:
    try:
        return {str(json.loads(entry.read_bytes())["binding"]["owner_id"])}
    except (OSError, ValueError, KeyError, TypeError):
        return ()
