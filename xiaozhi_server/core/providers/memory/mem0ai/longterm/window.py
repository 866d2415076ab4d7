"""The days that are read: whole ones of the local calendar, up to the midnight that has just passed."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo

LEAST_DAYS = 1
MOST_DAYS = 7


@dataclass(frozen=True, slots=True)
class Window:
    """From `start` to just before `end`, both with their zone. Dify tells times in whole seconds, and so do these."""

    start: datetime
    end: datetime

    @property
    def first_second(self) -> int:
        return int(self.start.timestamp())

    @property
    def last_second(self) -> int:
        return int(self.end.timestamp()) - 1


def clamped_days(days_back: object) -> int:
    """From 1 to 7; one where it is no number."""
    try:
        days = round(float(days_back))  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):  # OverflowError: infinity
        return LEAST_DAYS
    return max(LEAST_DAYS, min(days, MOST_DAYS))


def window_of(days_back: object, *, now: datetime | None = None, zone: tzinfo | None = None) -> Window:
    """The last whole days in `zone`, else in this machine's. A day of 23 or 25 hours is one of them."""
    moment = now or datetime.now(UTC)
    today = moment.astimezone(zone).date()
    return Window(_midnight(today - timedelta(days=clamped_days(days_back)), zone), _midnight(today, zone))


def _midnight(day: date, zone: tzinfo | None) -> datetime:
    """The first moment of a day. Where the clock leaps over midnight it reads one o'clock then."""
    begins = datetime.combine(day, time(), zone)  # without a zone: as this machine's clock showed on that day
    return begins.astimezone(UTC).astimezone(zone)
