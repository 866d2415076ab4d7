"""What the conversation needs from the rest of the house. `app.py` supplies it; `core` knows no SQL and no HTTP."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

from .providers.memory.base import MemoryProvider, MemoryRules

HistoryMode = Literal["off", "text"]


@dataclass(frozen=True, slots=True)
class AgentProfile:
    """A persona with its settings."""

    id: str
    name: str
    prompt: str
    language: str  # BCP 47, for example "en" or "zh"
    memory_enabled: bool = True
    history: HistoryMode = "text"
    summary_memory: str | None = None
    timezone: str = "UTC"
    memory_rules: MemoryRules = field(default_factory=MemoryRules)


@dataclass(frozen=True, slots=True)
class Binding:
    """Which agent answers a device, and whose memory its household is."""

    device_id: str
    owner_id: str
    agent: AgentProfile
    device_language: str | None = None  # what the device is set to, where it has said so

    @property
    def language(self) -> str:
        """In which language the server itself speaks to the people around this device."""
        return self.device_language or self.agent.language


@dataclass(frozen=True, slots=True)
class DeviceContact:
    """What a device says about itself when it comes."""

    device_id: str
    client_id: str | None
    remote_address: str | None
    user_agent: str | None = None
    language: str | None = None
    board: str | None = None
    firmware_version: str | None = None


class AgentDirectory(Protocol):
    """Finds the agent and the household of a device."""

    async def resolve(self, contact: DeviceContact) -> Binding: ...


@dataclass(frozen=True, slots=True)
class SpokenLine:
    """One line of the dialogue as it was heard. `id` is unique for ever: writing it twice changes nothing.

    `speaker` names the person whose voice was recognised.
    """

    id: str
    role: Literal["user", "assistant"]
    content: str
    spoken_at: datetime
    speaker: str | None = None


@dataclass(frozen=True, slots=True)
class Exchange:
    """One turn as it is written down."""

    turn_id: str
    session_id: str
    binding: Binding
    lines: tuple[SpokenLine, ...]
    outcome: str  # "done", "interrupted", "failed"
    timings_ms: dict[str, float] = field(default_factory=dict)
    errors: tuple[str, ...] = ()


class ConversationLog(Protocol):
    """Keeps what was said. `record` returns once the exchange cannot be lost any more."""

    async def open_session(self, session_id: str, binding: Binding, opened_at: datetime) -> None: ...

    async def record(self, exchange: Exchange, memory: MemoryProvider | None) -> None:
        """Dialogue rows and memory outbox in one transaction; neither where the agent keeps neither."""
        ...

    async def close_session(self, session_id: str, closed_at: datetime, reason: str) -> None: ...

    async def latest_lines(self, binding: Binding, limit: int) -> Sequence[SpokenLine]:
        """The end of the last conversation of this household with this agent, oldest first."""
        ...
