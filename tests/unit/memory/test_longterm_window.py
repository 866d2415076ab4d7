"""Which days long-term extraction reads, and how long it takes a text to be."""

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xiaozhi_server.core.providers.memory.mem0ai.budget import tokens_in
from xiaozhi_server.core.providers.memory.mem0ai.longterm.tokens import token_counter
from xiaozhi_server.core.providers.memory.mem0ai.longterm.window import clamped_days, window_of

BERLIN = ZoneInfo("Europe/Berlin")
HAVANA = ZoneInfo("America/Havana")  # its clock leaps from midnight to one o'clock


@pytest.mark.parametrize(
    ("asked", "days"),
    [
        (1, 1), (7, 7), (3.0, 3), ("2", 2), (" 5 ", 5), (0, 1), (-3, 1), (8, 7), (10**6, 7), ("9" * 400, 1),
        (None, 1), ("", 1), ("soon", 1), ([], 1), (float("nan"), 1), (float("inf"), 1), (True, 1),
    ],
)  # fmt: skip
def test_days_are_one_to_seven(asked: Any, days: int) -> None:
    assert clamped_days(asked) == days


def test_the_last_whole_day() -> None:
    window = window_of(1, now=datetime(2026, 3, 10, 9, 30, tzinfo=BERLIN), zone=BERLIN)
    assert window.start.isoformat() == "2026-03-09T00:00:00+01:00"
    assert window.end.isoformat() == "2026-03-10T00:00:00+01:00"
    assert window.last_second - window.first_second == 86_399


def test_the_day_is_that_of_the_zone() -> None:
    window = window_of(2, now=datetime(2026, 3, 9, 23, 30, tzinfo=UTC), zone=BERLIN)
    assert window.end.isoformat() == "2026-03-10T00:00:00+01:00"


@pytest.mark.parametrize(("day", "hours"), [((2026, 3, 30), 23), ((2026, 10, 26), 25), ((2026, 7, 1), 24)])
def test_a_day_is_as_long_as_the_clock_makes_it(day: tuple[int, int, int], hours: int) -> None:
    window = window_of(1, now=datetime(*day, 12, tzinfo=BERLIN), zone=BERLIN)
    assert window.end.astimezone(UTC) - window.start.astimezone(UTC) == timedelta(hours=hours)


def test_a_day_without_a_midnight_begins_all_the_same() -> None:
    window = window_of(1, now=datetime(2026, 3, 9, 12, tzinfo=HAVANA), zone=HAVANA)
    assert window.start.isoformat() == "2026-03-08T01:00:00-04:00"
    before = window_of(1, now=datetime(2026, 3, 8, 12, tzinfo=HAVANA), zone=HAVANA)
    assert before.end == window.start


@given(
    st.datetimes(datetime(2000, 1, 1), datetime(2037, 1, 1)),
    st.integers(1, 7),
    st.sampled_from([BERLIN, HAVANA, UTC, ZoneInfo("Asia/Shanghai"), ZoneInfo("Australia/Lord_Howe")]),
)
def test_days_follow_each_other_without_gap_or_overlap(now: datetime, days: int, zone: ZoneInfo) -> None:
    moment = now.replace(tzinfo=UTC)
    window = window_of(days, now=moment, zone=zone)
    assert window.end <= moment
    single = [window_of(1, now=moment - timedelta(days=back), zone=zone) for back in range(days + 1)]
    ends = {one.end.astimezone(UTC) for one in single} | {one.start.astimezone(UTC) for one in single}
    assert {window.start.astimezone(UTC), window.end.astimezone(UTC)} <= ends


def test_without_a_zone_it_is_this_machines() -> None:
    window = window_of(1)
    assert window.end.utcoffset() is not None
    assert (window.end.hour, window.end.minute) == (0, 0)
    assert window.end <= datetime.now(UTC) < window.end + timedelta(hours=25)


async def test_without_an_encoding_tokens_are_estimated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    assert await token_counter() is tokens_in


async def test_a_damaged_encoding_is_not_fetched_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = "https://openaipublic.blob.core.windows.net/encodings/cl100k_base.tiktoken"
    damaged = tmp_path / hashlib.sha1(address.encode(), usedforsecurity=False).hexdigest()
    damaged.write_text("IQ== 0")
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    count = await token_counter()
    assert count("你好") == 2
    assert damaged.exists()  # tiktoken throws away what it does not trust


async def test_an_empty_setting_is_no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", "")
    assert await token_counter() is tokens_in
