"""When the daily work is due: at night, each program at a moment of its own, or soon after a start that comes later."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Nights:
    """The night begins at `begins` in `zone`; the work begins within `spread` of that, after `settle` of running."""

    zone: tzinfo = UTC
    begins: time = time(2)
    spread: timedelta = timedelta(hours=3)
    settle: timedelta = timedelta(minutes=10)

    def day(self, now: datetime) -> date:
        """The day whose night was the last to begin."""
        local = now.astimezone(self.zone)
        return local.date() if local.time() >= self.begins else (local - _DAY).date()

    def due_at(self, day: date, running_since: datetime, share: float) -> datetime:
        """When that day's work is to begin; `share` (0..1) is the program's own moment of the night."""
        begins = datetime.combine(day, self.begins, self.zone).astimezone(UTC)
        return max(begins + self.spread * share, running_since + self.settle)
