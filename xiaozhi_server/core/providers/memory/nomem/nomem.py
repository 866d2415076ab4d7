"""The provider `nomem`: remembers nothing, and says so by finding nothing."""

from collections.abc import Sequence
from typing import Any

from ..base import AnyMessage, Memory


class NoMemory:
    """For agents whose memory is switched off: nothing is written anywhere."""

    def __init__(self, *, role_id: str = "") -> None:
        self.role_id = role_id

    async def init_memory(
        self,
        role_id: str,
        *,
        agent_id: str | None = None,
        summary_memory: str | None = None,
        memory_categories: Sequence[str] = (),
    ) -> None:
        self.role_id = role_id

    async def save_memory(
        self,
        messages: Sequence[AnyMessage],
        session_id: str | None = None,
        *,
        key: str | None = None,
        transaction: Any = None,
    ) -> None:
        """Nothing is kept."""

    async def query_memory(self, query: str) -> str:
        return ""

    async def recall(self, query: str, limit: int, deadline: float, *, speaker: str | None = None) -> list[Memory]:
        return []

    async def close(self) -> None:
        """Nothing is open."""
