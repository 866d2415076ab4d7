"""A task as it is written down and shown: how far it is, what it found, and whether anybody still works on it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from .classify import SUBTYPES, Subtype
from .records import Json, KeptTask
from .report import UserReport, nothing_written
from .told import LONGEST
from .window import Window

RUNNING, COMPLETED, FAILED = "running", "completed", "failed"
# A task says that it lives more often than this; one that does not is nobody's any more.
FLUSH_S = 10.0
_SILENT = timedelta(minutes=5)
_SHOWN = "%Y-%m-%d %H:%M:%S"
_STALE = "nobody works on this task any more: what is left is taken by the next run"
_COUNTS = (
    "user_count", "processed_users", "skipped_users", "scanned_conversations", "scanned_messages",
    "processed_conversations", "processed_messages",
)  # fmt: skip


@dataclass(slots=True)
class Totals:
    """Of all users that are done."""

    users: int
    processed_users: int = 0
    skipped_users: int = 0
    failed_users: int = 0
    partial_users: int = 0
    scanned_conversations: int = 0
    scanned_messages: int = 0
    processed_conversations: int = 0
    processed_messages: int = 0
    written: dict[Subtype, int] = field(default_factory=nothing_written)

    def add(self, report: UserReport) -> None:
        self.skipped_users += report.status == "SKIPPED"
        self.processed_users += report.status != "SKIPPED"
        self.failed_users += report.status == "ERROR"
        self.partial_users += report.status == "PARTIAL_SUCCESS"
        self.scanned_conversations += report.scan.scanned_conversations
        self.scanned_messages += report.scan.scanned_messages
        self.processed_conversations += report.processed_conversations
        self.processed_messages += report.processed_messages
        for subtype, count in report.written.items():
            self.written[subtype] += count

    @property
    def done(self) -> int:
        return self.processed_users + self.skipped_users

    @property
    def status(self) -> str:
        """Of all together. Nobody who was processed failed: a success, also where some were skipped."""
        if not self.failed_users and not self.partial_users:
            return "SUCCESS"
        return "ERROR" if self.failed_users == self.processed_users else "PARTIAL_SUCCESS"

    def as_json(self) -> dict[str, Any]:
        return {
            "processed_users": self.processed_users,
            "skipped_users": self.skipped_users,
            "scanned_conversations": self.scanned_conversations,
            "scanned_messages": self.scanned_messages,
            "processed_conversations": self.processed_conversations,
            "processed_messages": self.processed_messages,
            "written_memories": dict(self.written),
        }


@dataclass(slots=True)
class TaskState:
    """A task while it runs."""

    id: str
    run_id: str
    app_id: str
    window: Window
    budget_s: int
    started_at: datetime
    totals: Totals
    status: str = RUNNING
    error: str = ""
    reports: list[dict[str, Any]] = field(default_factory=list)
    unsaved: int = 0  # of the reports, the last ones

    def add(self, report: UserReport) -> None:
        self.totals.add(report)
        self.reports.append(report.as_json())
        self.unsaved += 1

    def kept(self, now: datetime) -> KeptTask:
        """With the reports that were not written down yet."""
        totals = self.totals
        value = {
            "task_id": self.id,
            "run_id": self.run_id,
            "app_id": self.app_id,
            "status": self.status,
            "progress": round(totals.done / totals.users, 2) if totals.users else 1.0,
            "started_at": self.started_at.isoformat(),
            "updated_at": now.isoformat(),
            "range_start": self.window.start.isoformat(),
            "range_end": self.window.end.isoformat(),
            "time_budget_seconds": self.budget_s,
            "user_count": totals.users,
            **totals.as_json(),
        }
        if self.error:
            value["error"] = self.error[:LONGEST]
        if self.status != RUNNING:
            value["final_report"] = self.report(with_users=False)
        new = self.reports[len(self.reports) - self.unsaved :]
        return KeptTask(self.id, value, self.started_at, now, tuple(new))

    def report(self, *, with_users: bool = True) -> dict[str, Any]:
        """The final one."""
        told = {
            "status": "ERROR" if self.status == FAILED else self.totals.status,
            "run_id": self.run_id,
            "start_time": self.window.start.isoformat(),
            "end_time": self.window.end.isoformat(),
            "app_id": self.app_id,
            "user_count": self.totals.users,
            "summary": self.totals.as_json(),
        }
        return {**told, "per_user": list(self.reports)} if with_users else told


def shown(task: KeptTask, now: datetime) -> dict[str, Any]:
    """What check_extraction_status answers."""
    value = task.value
    status = str(value.get("status") or value.get("task_status") or RUNNING)
    error = str(value.get("error") or "")
    is_stale = status == RUNNING and now - task.updated_at > _patience(value)
    if is_stale:
        status, error = FAILED, _STALE
    seconds = int(((now if status == RUNNING else task.updated_at) - task.started_at).total_seconds())
    start, end = str(value.get("range_start") or ""), str(value.get("range_end") or "")
    answer = {
        "status": "SUCCESS",
        "task_id": task.id,
        "run_id": str(value.get("run_id") or task.id),
        "task_status": status,
        "progress": _number(value.get("progress")),
        "started_at": task.started_at.isoformat(),
        "updated_at": task.updated_at.isoformat(),
        "range_start": start,
        "range_end": end,
        "time_range_display": f"{_day(start)} ~ {_day(end)}" if start and end else "",
        "duration_seconds": max(0, seconds),
        "duration_display": displayed(seconds),
        **{name: int(_number(value.get(name))) for name in _COUNTS},
        "written_memories": _written(value.get("written_memories")),
        "stale": is_stale,
    }
    if error:
        answer["error"] = error[:LONGEST]
    if isinstance(report := value.get("final_report"), Mapping):
        answer["final_report"] = {**report, "per_user": report.get("per_user") or list(task.reports)}
    return answer


def displayed(seconds: int) -> str:
    """mm:ss, from an hour on hh:mm:ss."""
    minutes, rest = divmod(max(0, seconds), 60)
    hours, left = divmod(minutes, 60)
    return f"{hours:02}:{left:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"


def first_error(reports: Sequence[Json]) -> str:
    """One of all users' errors, for the task as a whole. It names nobody."""
    errors = (error for report in reports for error in report["errors"])
    return next((f"{error['type']}: {error['message']}"[:LONGEST] for error in errors), "")


def _patience(value: Json) -> timedelta:
    """A task of the public plugin says less often that it lives."""
    budget = value.get("time_budget_seconds")
    if isinstance(budget, int | float) and budget > 0:
        return min(timedelta(seconds=budget), _SILENT)
    return timedelta(hours=1)


def _day(moment: str) -> str:
    try:
        return datetime.fromisoformat(moment).strftime(_SHOWN)
    except ValueError:
        return moment


def _number(value: object) -> float:
    return round(float(value), 2) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0


def _written(value: object) -> dict[str, int]:
    """By kind; an old record may have their sum alone, which says nothing of the kinds."""
    told = value if isinstance(value, Mapping) else {}
    return {subtype: int(_number(told.get(subtype))) for subtype in SUBTYPES}
