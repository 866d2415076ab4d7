"""What a scan has seen, in the words of the report on a user."""

from dataclasses import dataclass, field
from typing import Any, Literal

# The list ended; what is older was not asked for; as many as may be; some could not be read.
StopReason = Literal["no_more_conversations", "completed", "max_conversations_reached", "conversation_failed"]


@dataclass(slots=True)
class ScanReport:
    """`stop_reason` is None until the scan has come to its end."""

    scanned_conversations: int = 0
    scanned_messages: int = 0
    conversations_with_messages: int = 0
    messages_in_time_range: int = 0
    dropped_future_messages: int = 0
    trimmed_messages: int = 0
    stop_reason: StopReason | None = None
    errors: list[dict[str, str]] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return {
            "scanned_conversations": self.scanned_conversations,
            "scanned_messages": self.scanned_messages,
            "conversations_with_messages": self.conversations_with_messages,
            "messages_in_time_range": self.messages_in_time_range,
            "dropped_future_messages": self.dropped_future_messages,
            "trimmed_messages": self.trimmed_messages,
            "stop_reason": self.stop_reason,
        }
