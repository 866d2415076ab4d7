"""The reference server's short memories: `.memory.yaml`, a map from a role to its notes, and a single `summary_memory`.

The notes are JSON that a model wrote, or plain lines. What they say becomes facts, each with its day where one is told.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, time
from typing import Any, BinaryIO

from ..dates import moment_of
from ..errors import InvalidDateError
from ..message import LONGEST_TEXT, storable
from .errors import TransferError
from .fields import Fields, LineError
from .items import Fact, Item, Notice
from .lines import parsed
from .ours import Reading

LARGEST_FILE = 16 * 1024 * 1024
_FENCE = re.compile(r"```(?:json)?\s*(.*?)\s*```", re.DOTALL)
_DATED = re.compile(r"^\s*[-*•]?\s*\[(\d{4}-\d\d-\d\d)(?:[ T][\d:]+)?\]\s*(\S.*)$")
_BULLET = re.compile(r"^\s*(?:[-*•]|\d+[.、)])\s*")
# What the reference server's instruction asks for: an event, its day, and numbers of its own about it.
_EVENT, _DAY = "事件", "时间戳"
_MOST_NESTED = 20


def read_map(file: BinaryIO, reading: Reading, as_of: datetime) -> Iterator[Item]:
    """Of a `.memory.yaml`; entries count from 1."""
    for number, (role_id, notes) in enumerate(_map(_text(file)).items(), start=1):
        try:
            fields = Fields({"user_id": str(role_id), "text": notes})
            yield from _facts(number, reading.owner(fields.owner()), "", fields.text("text"), as_of)
        except LineError as error:
            yield Notice(number, str(error))


def read_summary(file: BinaryIO, reading: Reading, agent_id: str, as_of: datetime) -> Iterator[Item]:
    """Of one owner's text."""
    try:
        text = Fields({"text": _text(file)}).text("text")
        yield from _facts(1, reading.owner(""), agent_id, text, as_of)
    except LineError as error:
        yield Notice(1, str(error))


def is_map(text: str) -> bool:
    """Whether a text is a map from devices to notes, and no note of its own: its keys look like addresses or ids."""
    try:
        known = _map(text)
    except TransferError:
        return False
    keys = [str(key) for key in known]
    return all(re.fullmatch(r"[\w.:@-]+", key) and re.search(r"[\d:]", key) for key in keys)


def _map(text: str) -> Mapping[Any, Any]:
    import yaml  # only who reads such a file pays for it

    try:
        known = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        raise TransferError("this file is no YAML: it may have been cut off") from None
    if not isinstance(known, dict) or not known:
        raise TransferError("this YAML is no map from roles to their memories")
    return known


def _text(file: BinaryIO) -> str:
    raw = file.read(LARGEST_FILE + 1)
    if len(raw) > LARGEST_FILE:
        raise TransferError(f"this file is larger than {LARGEST_FILE} bytes, which no notes are")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise TransferError("this file is not UTF-8: convert it first") from None


def _facts(number: int, user_id: str, agent_id: str, text: str, as_of: datetime) -> Iterator[Item]:
    for said_at, fact, metadata in facts_of(text, as_of):
        if len(fact) > LONGEST_TEXT:
            yield Notice(number, f"says something of more than {LONGEST_TEXT} characters")
        elif kept := storable(fact):
            yield Fact(number, user_id, agent_id, kept, said_at, metadata)


def facts_of(text: str, as_of: datetime) -> Iterator[tuple[datetime, str, Mapping[str, Any] | None]]:
    """Each fact with its day (else that of the file), and what else was noted of it."""
    fenced = _FENCE.search(text)
    try:
        value = parsed(fenced[1] if fenced else text)
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, dict | list):
        yield from _told(value, (), as_of)
        return
    for line in text.splitlines():
        if dated := _DATED.match(line):
            yield _day(dated[1], as_of), dated[2].strip(), None
        elif fact := _BULLET.sub("", line).strip():
            yield as_of, fact, None


def _told(
    value: Any, path: tuple[str, ...], as_of: datetime
) -> Iterator[tuple[datetime, str, Mapping[str, Any] | None]]:
    """Every value with the name under which it stands."""
    if len(path) > _MOST_NESTED:
        return
    if isinstance(value, dict) and isinstance(value.get(_EVENT), str) and value[_EVENT].strip():
        beside = {name: inner for name, inner in value.items() if name not in (_EVENT, _DAY) and inner}
        yield _day(value.get(_DAY), as_of), value[_EVENT].strip(), beside or None
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _told(inner, (*path, str(name)), as_of)
    elif isinstance(value, list):
        for inner in value:
            yield from _told(inner, path, as_of)
    elif value is not None and (said := str(value).strip()):
        # The outermost names are headings of the page.
        label = " ".join(path[1:] if len(path) > 1 else path)
        yield as_of, f"{label}: {said}" if label else said, None


def _day(told: Any, as_of: datetime) -> datetime:
    """Noon of the day, which is the same day almost everywhere."""
    try:
        return datetime.combine(moment_of(told).date(), time(12), UTC)
    except InvalidDateError:
        return as_of
