"""A file as lines of JSON, however long or broken they are: a reason is told for each that cannot be read."""

import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, NoReturn

LONGEST_LINE = 1_000_000  # bytes


@dataclass(frozen=True, slots=True)
class Line:
    """One line that is not blank; `value` is None where it cannot be read, and `reason` says why."""

    number: int
    size: int
    value: Mapping[str, Any] | None
    reason: str = ""


class Rewound(io.RawIOBase):
    """A stream whose beginning was read already: it comes again before the rest."""

    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        self._head = memoryview(head)
        self._rest = rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._head:
            read = self._rest.read(len(buffer))
            buffer[: len(read)] = read
            return len(read)
        part = self._head[: len(buffer)]
        self._head = self._head[len(part) :]
        buffer[: len(part)] = part
        return len(part)


def json_lines(file: BinaryIO) -> Iterator[Line]:
    """Never fails on what stands in the file."""
    number = 0
    while raw := file.readline(LONGEST_LINE + 1):
        number += 1
        if len(raw) > LONGEST_LINE:
            size = len(raw) + _skipped(file, raw)
            yield Line(number, size, None, f"is longer than {LONGEST_LINE} bytes")
        elif raw.strip():
            value, reason = _object(raw)
            yield Line(number, len(raw), value, reason)


def _skipped(file: BinaryIO, raw: bytes) -> int:
    """Read on to the end of the line without keeping it."""
    size = 0
    while raw and not raw.endswith(b"\n"):
        raw = file.readline(LONGEST_LINE)
        size += len(raw)
    return size


def _object(raw: bytes) -> tuple[Mapping[str, Any] | None, str]:
    try:
        value = parsed(raw.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return None, "is not UTF-8"
    except RecursionError:
        return None, "is nested too deeply"
    except ValueError:
        return None, "is no JSON"
    return (value, "") if isinstance(value, dict) else (None, "is no JSON object")


def parsed(text: str) -> Any:
    """JSON as it is defined: without NaN and infinity, which Python would take."""
    return _DECODER.decode(text)


def _refuse(_: str) -> NoReturn:
    raise ValueError("not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse)
