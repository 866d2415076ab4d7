"""The time that a question names, by the calendar or as seen from now."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xiaozhi_server.core.providers.memory.mem0ai.recall.asked_time import AskedTime, CalendarTime, asked_time

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("What did she buy on 7 July, 2023?", CalendarTime(2023, 7, 7)),
        ("What did she buy on July 7th, 2023?", CalendarTime(2023, 7, 7)),
        ("What happened on the 3rd of May?", CalendarTime(None, 5, 3)),
        ("Where were we in May 2023?", CalendarTime(2023, 5, None)),
        ("Where were we in may?", CalendarTime(None, 5, None)),
        ("Where were we in Sept. 2023?", CalendarTime(2023, 9, None)),
        ("Where were we in 2023?", CalendarTime(2023, None, None)),
        ("Who came on 2023-07-07?", CalendarTime(2023, 7, 7)),
        ("2023年7月7日我们去了哪里？", CalendarTime(2023, 7, 7)),
        ("二〇二三年七月我们去了哪里？", CalendarTime(2023, 7, None)),
        ("七月十五號誰來了", CalendarTime(None, 7, 15)),
        ("2023年发生了什么？", CalendarTime(2023, None, None)),
    ],
)
def test_the_calendar(text: str, time: CalendarTime) -> None:
    assert asked_time(text) == AskedTime(calendar=(time,))


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("What did I do yesterday?", datetime(2026, 11, 19, tzinfo=UTC)),
        ("Who called last week?", datetime(2026, 11, 11, tzinfo=UTC)),
        ("What was it three weeks ago?", datetime(2026, 10, 30, tzinfo=UTC)),
        ("昨天谁来了？", datetime(2026, 11, 19, tzinfo=UTC)),
        ("上个星期我们吃了什么？", datetime(2026, 11, 11, tzinfo=UTC)),
        ("三天前我说了什么？", datetime(2026, 11, 17, 12, tzinfo=UTC)),
        ("去年我们去了哪里旅游？", datetime(2025, 8, 1, tzinfo=UTC)),
    ],
)
def test_as_seen_from_now(text: str, day: datetime) -> None:
    spans = asked_time(text).spans(NOW - 1e8, NOW, NOW)
    assert any(begin <= day.timestamp() <= end for begin, end in spans)
    assert not any(begin <= NOW - 8e7 <= end for begin, end in spans)


@pytest.mark.parametrize(
    "text",
    [
        "May I ask you something?",
        "Will it march on?",
        "I have 3 cats.",
        "What is my name?",
        "我有三个月饼吗",
        "9" * 5000 + " days ago",
        "",
    ],
)
def test_no_time(text: str) -> None:
    assert not asked_time(text)


def test_a_month_without_a_year_is_that_of_each_year() -> None:
    oldest = datetime(2024, 1, 1, tzinfo=UTC).timestamp()
    years = {datetime.fromtimestamp(begin, UTC).year for begin, _ in asked_time("in June").spans(oldest, NOW, NOW)}
    assert {2024, 2025, 2026} <= years


def test_a_day_that_does_not_exist_is_no_time() -> None:
    assert asked_time("on 31 June 2023").spans(NOW - 1e8, NOW, NOW) == []


@given(text=st.text(), oldest_s=st.floats(0, 2e9))
def test_any_text_can_be_asked(text: str, oldest_s: float) -> None:
    assert all(begin <= end for begin, end in asked_time(text).spans(oldest_s, 2e9, 2e9))
