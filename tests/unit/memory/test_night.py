"""When the daily work is due."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from xiaozhi_server.core.providers.memory.mem0ai.daily.night import Nights

BERLIN = Nights(ZoneInfo("Europe/Berlin"))
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "day"),
    [
        (datetime(2026, 11, 20, 0, 59, tzinfo=UTC), date(2026, 11, 19)),  # 01:59 in Berlin
        (datetime(2026, 11, 20, 1, 0, tzinfo=UTC), date(2026, 11, 20)),
        (datetime(2026, 11, 20, 23, 30, tzinfo=UTC), date(2026, 11, 20)),  # past midnight in Berlin
        (datetime(2026, 3, 29, 0, 59, tzinfo=UTC), date(2026, 3, 28)),  # the night without a second hour
        (datetime(2026, 3, 29, 1, 0, tzinfo=UTC), date(2026, 3, 29)),
    ],
)
def test_a_day_begins_with_its_night(now: datetime, day: date) -> None:
    assert BERLIN.day(now) == day


def test_each_program_has_a_moment_of_its_own_within_the_night() -> None:
    day = date(2026, 11, 20)
    first, last = (BERLIN.due_at(day, LONG_AGO, share) for share in (0.0, 1.0))
    assert first == datetime(2026, 11, 20, 1, tzinfo=UTC)
    assert last - first == timedelta(hours=3)
    summer = BERLIN.due_at(date(2026, 7, 1), LONG_AGO, 0.0)
    assert summer == datetime(2026, 7, 1, 0, tzinfo=UTC)


def test_who_starts_later_begins_soon_after() -> None:
    started = datetime(2026, 11, 20, 18, tzinfo=UTC)
    assert BERLIN.due_at(BERLIN.day(started), started, 0.5) == started + timedelta(minutes=10)
