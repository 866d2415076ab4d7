"""What became of one user in a run, in the shape of the contract."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ..facts.learned import MemoryChange
from ..flags import SUSPECT
from .classify import SUBTYPES, Subtype
from .scan_report import ScanReport
from .told import told

Status = Literal["SUCCESS", "PARTIAL_SUCCESS", "ERROR", "SKIPPED"]

_MOST_TOLD = 50  # errors and warnings each


def nothing_written() -> dict[Subtype, int]:
    return dict.fromkeys(SUBTYPES, 0)


@dataclass(slots=True)
class UserReport:
    """`processed_…`: what was read and counts as remembered from now on. `reason` is why the user was not begun,
    `broken_off` why what was begun was not ended.
    """

    user_id: str
    scan: ScanReport = field(default_factory=ScanReport)
    written: dict[Subtype, int] = field(default_factory=nothing_written)
    errors: list[dict[str, str]] = field(default_factory=list)
    warnings: list[dict[str, str]] = field(default_factory=list)
    processed_conversations: int = 0
    processed_messages: int = 0
    stop_reason: str | None = None
    broken_off: str = ""
    reason: str = ""
    lock_holder: str = ""
    failed_to_write: bool = False

    @property
    def status(self) -> Status:
        if self.reason:
            return "SKIPPED"
        if self.errors or self.scan.errors:
            return "PARTIAL_SUCCESS" if self.processed_conversations or self.failed_to_write else "ERROR"
        return "PARTIAL_SUCCESS" if self.broken_off else "SUCCESS"

    def failed(self, kind: str, error: BaseException, conversation_id: str = "") -> None:
        where = {"conversation_id": conversation_id} if conversation_id else {}
        self.errors.append({"type": kind, "message": told(error), **where})

    def wrote(self, subtype: Subtype, changes: Sequence[MemoryChange]) -> set[str]:
        """Counts them; which conversations they are from."""
        new = [one.memory for one in changes if one.event in ("ADD", "UPDATE") and one.memory.flag not in SUSPECT]
        self.written[subtype] += len(new)
        return {memory.session_id for memory in new}

    def as_json(self) -> dict[str, Any]:
        skipped = bool(self.reason)
        why: dict[str, Any] = {"reason": self.reason} if skipped else {}
        if self.lock_holder:
            why["lock_holder"] = self.lock_holder
        errors = [*self.scan.errors, *self.errors]
        return {
            "user_id": self.user_id,
            "status": self.status,
            "skipped": skipped,
            "errors": errors[:_MOST_TOLD],
            "warnings": self.warnings[:_MOST_TOLD],
            "written_memories": dict(self.written),
            **self.scan.as_json(),
            "stop_reason": self.broken_off or self.stop_reason or self.scan.stop_reason,
            "processed_conversations": self.processed_conversations,
            "processed_messages": self.processed_messages,
            **why,
        }
