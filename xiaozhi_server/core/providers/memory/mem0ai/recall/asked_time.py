"""The time that a question names: "in May 2023", "on 7 July", "last week", 昨天. What was said about then counts more.

Read from the folded text, so 五月 has become 5月. Days are those of UTC; the ranking blurs the edges.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from .folding import folded

_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip
_MONTH = rf"(?P<month>{'|'.join(_MONTHS)}|(?:jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec)\b\.?)"
_DAY = r"(?:st|nd|rd|th)?\b"
_YEAR = r"(?:,? (?:of )?(?P<year>(?:19|20)\d\d)\b)?"
_CALENDAR = tuple(
    re.compile(pattern)
    for pattern in (
        rf"\b(?P<day>\d{{1,2}}){_DAY} (?:of )?{_MONTH}\b{_YEAR}",
        rf"\b{_MONTH} (?P<day>\d{{1,2}}){_DAY}(?!\d){_YEAR}",
        rf"\b(?:in|of|during|last|this|since|by|until|early|late|mid) {_MONTH}{_YEAR}(?! \d)",
        rf"\b{_MONTH},? (?:of )?(?P<year>(?:19|20)\d\d)\b",
        r"\b(?P<year>(?:19|20)\d\d)[-/.](?P<month>\d{1,2})[-/.](?P<day>\d{1,2})\b",
        r"(?:(?P<year>(?:19|20)\d\d)年)?(?P<month>\d{1,2})月(?:份|(?P<day>\d{1,2})[日号])?",
        r"\b(?:in|during|since) (?P<year>(?:19|20)\d\d)\b",
        r"(?P<year>(?:19|20)\d\d)年(?!\d)",
    )
)

_DAYS = {"day": 1, "天": 1, "week": 7, "星期": 7, "周": 7, "month": 30, "月": 30, "year": 365, "年": 365}
_AGO = re.compile(r"\b(?P<count>\d{1,4}|an?|two|three|four|five|six) (?P<unit>day|week|month|year)s? ago")
_AGO_UNSPACED = re.compile(r"(?<!\d)(?P<count>\d{1,4})个?(?P<unit>天|星期|周|月|年)(?:以?前)")
_COUNTS = {"a": 1, "an": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6}
# How many days before now such a time begins and ends.
_RELATIVE = (
    (re.compile(r"\b(?:today|tonight|this (?:morning|afternoon|evening))\b|今天|今早|今晚"), 1, 0),
    (re.compile(r"\b(?:yesterday|last night)\b|昨天|昨晚|昨日"), 2, 1),
    (re.compile(r"\bthe day before yesterday\b|前天"), 3, 2),
    (re.compile(r"\bthis week(?:end)?\b|[这本](?:个?星期|周|个?礼拜)"), 7, 0),
    (re.compile(r"\b(?:last|past) week(?:end)?\b|上(?:个?星期|周|个?礼拜)"), 14, 5),
    (re.compile(r"\bthis month\b|[这本]个?月"), 31, 0),
    (re.compile(r"\b(?:last|past) month\b|上个?月"), 61, 25),
    (re.compile(r"\bthis year\b|今年"), 366, 0),
    (re.compile(r"\b(?:last|past) year\b|去年"), 731, 300),
)
# Without one of these no pattern fits. Most questions have none, and looking for these takes hardly any time.
_HINTS = (
    *(month[:3] for month in _MONTHS), "day", "night", "morning", "noon", "evening", "week", "month", "year", "ago",
    "今", "昨", "前", "周", "月", "年", "礼拜", "星期",
)  # fmt: skip
_DIGIT = re.compile(r"\d")
_SECONDS_OF_A_DAY = 86400.0
_SECONDS_OF_A_YEAR = 365 * _SECONDS_OF_A_DAY
_YEARS_MAX = 20  # a day without a year is not looked for in more of them
_LEAP_YEARS = 8  # within so many there is a 29 February


@dataclass(frozen=True, slots=True)
class CalendarTime:
    """A day, a month or a year of the calendar. Without a year it comes every year."""

    year: int | None
    month: int | None
    day: int | None

    def spans(self, first_year: int, last_year: int) -> Iterator[tuple[float, float]]:
        years = range(first_year, last_year + 1) if self.year is None else (self.year,)
        for year in years:
            try:
                start = datetime(year, self.month or 1, self.day or 1, tzinfo=UTC)
            except ValueError:  # 31 June
                continue
            yield start.timestamp(), (start + self._length()).timestamp()

    def _length(self) -> timedelta:
        return timedelta(days=1 if self.day else 30 if self.month else 365)


@dataclass(frozen=True, slots=True)
class AskedTime:
    """All times that a question names: by the calendar, and as days before now (begin, end)."""

    calendar: tuple[CalendarTime, ...] = ()
    days_ago: tuple[tuple[float, float], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.calendar or self.days_ago)

    def spans(self, oldest_s: float, newest_s: float, now_s: float) -> list[tuple[float, float]]:
        """Each time as begin and end in seconds since 1970, as far as memories from oldest to newest can tell."""
        last = datetime.fromtimestamp(newest_s, UTC).year
        years = min(int((newest_s - oldest_s) / _SECONDS_OF_A_YEAR) + 1, _YEARS_MAX)
        named = [span for time in self.calendar for span in time.spans(last - years, last)]
        return named + [
            (now_s - begin * _SECONDS_OF_A_DAY, now_s - end * _SECONDS_OF_A_DAY) for begin, end in self.days_ago
        ]

    def over(self, now_s: float) -> list[tuple[float, float]]:
        """Those of them that are over, the last one of what comes every year."""
        ended: dict[tuple[float, float], None] = {}
        for time in self.calendar:
            this_year = datetime.fromtimestamp(now_s, UTC).year
            spans = [span for span in time.spans(this_year - _LEAP_YEARS, this_year) if span[1] <= now_s]
            ended.update(dict.fromkeys(spans[-1:]))
        relative = [
            (now_s - begin * _SECONDS_OF_A_DAY, now_s - end * _SECONDS_OF_A_DAY) for begin, end in self.days_ago
        ]
        return [*ended, *(span for span in relative if span[1] < now_s)]


_NO_TIME = AskedTime()


def asked_time(text: str) -> AskedTime:
    plain = folded(text)
    if not _DIGIT.search(plain) and not any(hint in plain for hint in _HINTS):
        return _NO_TIME
    return AskedTime(tuple(dict.fromkeys(_calendar_times(plain))), tuple(_days_ago(plain)))


def _calendar_times(text: str) -> Iterator[CalendarTime]:
    for pattern in _CALENDAR:
        for found in pattern.finditer(text):
            parts = found.groupdict()
            year, day = (int(parts[name]) if parts.get(name) else None for name in ("year", "day"))
            month = _month(parts.get("month"))
            if (month is None or 1 <= month <= 12) and (day is None or 1 <= day <= 31):
                yield CalendarTime(year, month, day)
        text = pattern.sub(" ", text)  # "7 July 2023" is a day, not a month and a year besides


def _month(name: str | None) -> int | None:
    if name is None or name.isdigit():
        return int(name) if name else None
    return next(number for number, month in enumerate(_MONTHS, 1) if month.startswith(name[:3]))


def _days_ago(text: str) -> Iterator[tuple[float, float]]:
    for pattern, begin, end in _RELATIVE:
        if pattern.search(text):
            yield begin, end
    for found in (*_AGO.finditer(text), *_AGO_UNSPACED.finditer(text)):
        count, unit = found["count"], _DAYS[found["unit"]]
        days = min((_COUNTS.get(count) or int(count)) * unit, 40_000)
        yield days + 0.5 * unit + 0.5, max(0.0, days - 0.5 * unit - 0.5)
