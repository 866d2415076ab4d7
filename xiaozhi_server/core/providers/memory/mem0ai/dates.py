"""Dates as people and programs write them, turned into the time they mean. A doubtful one is an error, not a guess.

Understood are:

- `datetime` (without a zone: in `zone`), `date` (the whole day)
- seconds or milliseconds since 1970, as a number or as text of 9 digits or more: from 10^11 on they are milliseconds
- ISO 8601: `2026-01-31`, `20260131` (eight digits are always a day), `2026-01-31T10:15:30.5+01:00`, `2026-W05-6`
- the year first: `2026/01/31`, `2026.1.31`, `2026年1月31日`
- the day first with dots: `31.01.2026`
- with slashes or dashes and the year last: `31/01/2026`, `01-31-2026`, where one number is above 12 or both are equal;
  `01/02/2026` is one day in Europe and another in America, so it is an error
- the month as a word: `Jan 31, 2026`, `31 January 2026`, `31st Jan 2026`, and as in mails (RFC 2822):
  `Sat, 31 Jan 2026 10:15:30 +0100`

Behind a date may stand a time (`10:15`, `10:15:30.5`, `3 pm`, `10时15分`, `下午3点`) and a zone (`Z`, `UTC`, `+08:00`).
"""

import contextlib
import re
import unicodedata
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo

from .errors import InvalidDateError

_LONGEST_TEXT = 64
_MILLISECONDS_FROM = 1e11  # as seconds that would be the year 5138
_TICK = timedelta(microseconds=1)
_1970 = datetime(1970, 1, 1, tzinfo=UTC)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH_NAMES = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip

_SINCE_1970 = re.compile(r"-?\d{9,13}(?:\.\d{1,9})?")
_WEEKDAY = r"(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]{0,6}\.?,? )?"
_DATES = (
    re.compile(r"(?P<year>\d{4})(?P<mark>[-/.])(?P<month>\d{1,2})(?P=mark)(?P<day>\d{1,2})"),
    re.compile(r"(?P<year>\d{4})\s*年\s*(?P<month>\d{1,2})\s*月\s*(?P<day>\d{1,2})\s*[日号號]"),
    re.compile(r"(?P<day>\d{1,2})\.\s?(?P<month>\d{1,2})\.\s?(?P<year>\d{4})"),
    re.compile(r"(?P<one>\d{1,2})(?P<mark>[-/])(?P<other>\d{1,2})(?P=mark)(?P<year>\d{4})"),
    re.compile(
        _WEEKDAY + r"(?P<day>\d{1,2})(?:st|nd|rd|th|\.)?(?: of |[ -])(?P<name>[a-z]{3,9})\.?,?[ -](?P<year>\d{4})"
    ),
    re.compile(_WEEKDAY + r"(?P<name>[a-z]{3,9})\.? (?P<day>\d{1,2})(?:st|nd|rd|th)?,? (?P<year>\d{4})"),
)
_TIME = re.compile(
    r"(?:,?\s*|t|\s+at\s+)(?P<half_day>上午|下午)?\s*(?P<hour>\d{1,2})"
    r"(?:\s*[:时時点點]\s*(?:(?P<minute>\d{1,2})(?:\s*[:分]\s*(?:(?P<second>\d{1,2})(?:[.,](?P<fraction>\d{1,9}))?\s*秒?)?)?)?)?"
    r"\s*(?P<half>[ap]\.?m\.?)?\s*(?P<zone>z|utc|gmt|[+-]\d{2}:?\d{2})?(?:\s*\([a-z ]{1,20}\))?"
)


@dataclass(frozen=True, slots=True)
class Span:
    """From the first to the last moment that a date means: a whole day, or twice the same moment. In UTC."""

    begin: datetime
    end: datetime


def span_of(value: object, *, zone: tzinfo = UTC) -> Span:
    """What a date means; days and times that name no zone are in `zone`."""
    try:
        found = _span_of(value, zone)
    except (ValueError, OverflowError):
        found = None
    if found is None:
        raise InvalidDateError(
            f"{_shown(value)} is not understood as a date: write it like 2026-01-31 or 2026-01-31T10:15:00+01:00"
        )
    return found


def moment_of(value: object, *, zone: tzinfo = UTC) -> datetime:
    """The first moment of what a date means."""
    return span_of(value, zone=zone).begin


def _span_of(value: object, zone: tzinfo) -> Span | None:
    if isinstance(value, str):
        return _span_of_text(unicodedata.normalize("NFKC", value).strip().lower(), zone)
    if isinstance(value, datetime):
        return _moment(value, zone)
    if isinstance(value, date):
        return _day(value, zone)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _since_1970(value)
    return None


def _span_of_text(text: str, zone: tzinfo) -> Span | None:
    if len(text) > _LONGEST_TEXT:
        return None
    if _SINCE_1970.fullmatch(text):
        return _since_1970(float(text))
    with contextlib.suppress(ValueError):
        return _day(date.fromisoformat(text.upper()), zone)
    with contextlib.suppress(ValueError):
        return _moment(datetime.fromisoformat(text.upper()), zone)
    for pattern in _DATES:
        if match := pattern.match(text):
            return _read(match, text[match.end() :], zone)
    return None


def _read(match: re.Match[str], rest: str, zone: tzinfo) -> Span | None:
    day = _date(match.groupdict())
    if not rest:
        return _day(day, zone)
    if (clock := _TIME.fullmatch(rest)) is None or not _tells_a_time(clock):
        return None
    return _moment(datetime.combine(day, _time(clock), _zone(clock["zone"])), zone)


def _date(parts: dict[str, str | None]) -> date:
    if parts.get("name") is not None:
        month = _month(str(parts["name"]))
    elif parts.get("one") is not None:
        return _without_order(int(str(parts["one"])), int(str(parts["other"])), int(str(parts["year"])))
    else:
        month = int(str(parts["month"]))
    return date(int(str(parts["year"])), month, int(str(parts["day"])))


def _without_order(one: int, other: int, year: int) -> date:
    """A day and a month, whichever comes first, as long as there is only one way to read them."""
    if one == other or one > 12:
        return date(year, other, one)
    if other > 12:
        return date(year, one, other)
    raise ValueError


def _month(name: str) -> int:
    if name not in _MONTH_NAMES and name not in (*_MONTHS, "sept"):
        raise ValueError
    return _MONTHS.index(name[:3]) + 1


def _tells_a_time(clock: re.Match[str]) -> bool:
    """A number alone is no time: it needs its minutes, or a word such as pm."""
    return any(mark in clock[0] for mark in ":时時点點") or bool(clock["half"])


def _time(clock: re.Match[str]) -> time:
    hour = int(clock["hour"])
    half = (clock["half"] or "")[:1]
    if clock["half_day"]:
        half = "p" if clock["half_day"] == "下午" else "a"
    if half and not 1 <= hour <= 12:
        raise ValueError
    if half:
        hour = hour % 12 + (12 if half == "p" else 0)
    fraction = (clock["fraction"] or "").ljust(6, "0")[:6]
    return time(hour, int(clock["minute"] or 0), int(clock["second"] or 0), int(fraction))


def _zone(name: str | None) -> tzinfo | None:
    if name is None:
        return None
    if name[0] not in "+-":
        return UTC
    offset = timedelta(hours=int(name[1:3]), minutes=int(name[-2:]))
    return timezone(-offset if name[0] == "-" else offset)


def _since_1970(number: float) -> Span:
    passed = timedelta(milliseconds=number) if abs(number) >= _MILLISECONDS_FROM else timedelta(seconds=number)
    moment = _1970 + passed
    return Span(moment, moment)


def _moment(moment: datetime, zone: tzinfo) -> Span:
    known = moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)
    return Span(known.astimezone(UTC), known.astimezone(UTC))


def _day(day: date, zone: tzinfo) -> Span:
    """From midnight to the last tick before the next one: not always 24 hours."""
    begin = datetime.combine(day, time(), zone).astimezone(UTC)
    if day == date.max:
        return Span(begin, datetime.max.replace(tzinfo=UTC))
    return Span(begin, datetime.combine(day + timedelta(days=1), time(), zone).astimezone(UTC) - _TICK)


def _shown(value: object) -> str:
    if not isinstance(value, str | int | float):
        return f"a {type(value).__name__}"
    text = repr(value)
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}…"
