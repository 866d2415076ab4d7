"""Dates in the forms in which they come, and what is no date, or more than one."""

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xiaozhi_server.core.providers.memory.mem0ai.dates import moment_of, span_of
from xiaozhi_server.core.providers.memory.mem0ai.errors import InvalidDateError

DAY = datetime(2026, 1, 31, tzinfo=UTC)
AT_TEN = DAY.replace(hour=10, minute=15)
LAST_TICK = timedelta(days=1) - timedelta(microseconds=1)


@pytest.mark.parametrize(
    "written",
    [
        "2026-01-31", "20260131", "2026-W05-6", " 2026-1-31 ", "2026/01/31", "2026/1/31", "2026.1.31", "31.01.2026",
        "31. 1. 2026", "31/01/2026", "01/31/2026", "31-01-2026", "Jan 31, 2026", "January 31 2026", "JAN 31st, 2026",
        "31 Jan 2026", "31 january, 2026", "31st of January 2026", "Sat, 31 Jan 2026", "Saturday, January 31, 2026",
        "2026年1月31日", "2026 年 01 月 31 号", "２０２６年１月３１日", date(2026, 1, 31),
    ],
)  # fmt: skip
def test_a_day_is_all_of_it(written: Any) -> None:
    assert span_of(written).begin == DAY
    assert span_of(written).end == DAY + LAST_TICK


@pytest.mark.parametrize(
    "written",
    [
        "2026-01-31T10:15", "2026-01-31 10:15:00Z", "2026-01-31t10:15:00z", "2026-01-31T12:15:00+02:00",
        "20260131T101500Z", "2026/01/31 10:15", "31.01.2026 10:15:00", "Jan 31, 2026 10:15 AM", "Jan 31, 2026 at 10:15",
        "Sat, 31 Jan 2026 11:15:00 +0100", "Sat, 31 Jan 2026 10:15:00 GMT", "Sat, 31 Jan 2026 10:15:00 +0000 (UTC)",
        "2026年1月31日 10:15", "2026年1月31日10时15分", "2026年1月31日 上午10点15分", "2026/1/31 18:15:00.000 +08:00",
        1769854500, 1769854500.0, 1769854500000, "1769854500", "1769854500000", AT_TEN, AT_TEN.replace(tzinfo=None),
        AT_TEN.astimezone(timezone(timedelta(hours=8))),
    ],
)  # fmt: skip
def test_a_moment_is_one(written: Any) -> None:
    assert moment_of(written) == AT_TEN
    assert span_of(written).begin == span_of(written).end
    assert span_of(written).begin.tzinfo is UTC


@pytest.mark.parametrize(
    ("written", "hour"),
    [("2026年1月31日 下午3点", 15), ("2026/01/31 3 pm", 15), ("2026/01/31 12:00 a.m.", 0), ("2026/01/31 12 PM", 12)],
)
def test_halves_of_the_day(written: str, hour: int) -> None:
    assert moment_of(written) == DAY.replace(hour=hour)


@pytest.mark.parametrize(
    "written",
    [
        "", " ", "soon", "yesterday", "2026", "2026-01", "5", "-1", "10:15", "2026-02-30", "2026-13-01", "2025-02-29",
        "30.02.2026", "01.31.2026", "01/02/2026", "2-1-2026", "32/01/2026", "Foo 31, 2026", "Janu 31, 2026",
        "2026/01/31 25:00", "2026/01/31 15", "2026/01/31 13 pm", "2026/01/31 10:15 tea", "2026年13月1日",
        "20260131101500", "99999999999999999999", "2026-01-31T10:15:00+99:00", "0001-01-01T00:00:00+08:00",
        "9" * 1_000_000, "\0", "\ud800", "2026-01-31\0", "31/01/2026; DROP TABLE memory_entry",
        None, True, b"2026-01-31", ["2026-01-31"], {}, float("nan"), float("inf"), 1e300, 10**400, -(10**400),
    ],
)  # fmt: skip
def test_what_is_no_date_or_more_than_one_is_an_error(written: Any) -> None:
    with pytest.raises(InvalidDateError, match="2026-01-31"):
        span_of(written)


def test_an_error_does_not_repeat_a_novel() -> None:
    with pytest.raises(InvalidDateError) as raised:
        span_of("x" * 1_000_000)
    assert len(str(raised.value)) < 300


def test_days_are_those_of_the_given_zone() -> None:
    shanghai = ZoneInfo("Asia/Shanghai")
    assert span_of("2026-01-31", zone=shanghai).begin == DAY - timedelta(hours=8)
    assert moment_of("2026/01/31 10:15", zone=shanghai) == AT_TEN - timedelta(hours=8)
    assert moment_of("2026/01/31 10:15Z", zone=shanghai) == AT_TEN
    berlin = ZoneInfo("Europe/Berlin")
    short = span_of("2026-03-29", zone=berlin)  # the clocks go forward
    assert short.end - short.begin == timedelta(hours=23) - timedelta(microseconds=1)


@given(st.datetimes(min_value=datetime(1000, 1, 1), max_value=datetime(9998, 1, 1), timezones=st.timezones()))
def test_what_python_writes_is_read_again(moment: datetime) -> None:
    assert moment_of(moment.isoformat()) == datetime.fromisoformat(moment.isoformat())
    assert moment_of(moment) == moment.astimezone(UTC)


@given(st.one_of(st.text(max_size=80), st.text("0123456789-/.:年月日 TZ+apm", max_size=40), st.floats(), st.integers()))
def test_anything_is_a_span_or_the_error(written: Any) -> None:
    try:
        span = span_of(written)
    except InvalidDateError:
        return
    assert span.begin <= span.end
