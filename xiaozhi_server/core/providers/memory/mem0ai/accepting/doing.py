"""Does accepted writes by an engine's own methods: the embedded one, the one on another store, or the platform."""

import inspect
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

from .accepted import Accepted, Operation, Within
from .checking import messages_of


class EngineDoer:
    """A Doer. The engine has `add`, `update`, `delete` and `delete_all` as the embedded one has them.

    Where a write and its journal share no transaction, its methods need not know `within`.
    """

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self._is_patient = "attempt" in inspect.signature(engine.add).parameters
        self._ways: dict[Operation, Callable[..., Awaitable[Any]]] = {
            "add": self._add,
            "update": self._update,
            "delete": self._delete,
            "delete_all": self._delete_all,
        }

    async def perform(self, accepted: Accepted, settle: Within | None) -> None:
        named = {name: value for name, value in accepted.arguments.items() if name not in ("messages", "trace")}
        if settle is not None:
            named["within"] = settle
        await self._ways[accepted.operation](accepted, **named)

    async def _add(self, accepted: Accepted, *, expires_at: str | None = None, **named: Any) -> None:
        """The write's id is the key: done again, it adds nothing."""
        if expires_at is not None:
            named["expires_at"] = datetime.fromisoformat(expires_at)
        if self._is_patient and named.get("infer"):  # a model that is away for a while costs no facts
            named["attempt"] = accepted.attempts
        messages = messages_of(accepted.arguments)
        await self._engine.add(messages, user_id=accepted.user_id, key=accepted.id.hex, **named)

    async def _update(self, accepted: Accepted, *, id: str, **named: Any) -> None:
        await self._engine.update(id, user_id=accepted.user_id, **named)

    async def _delete(self, accepted: Accepted, *, id: str, **named: Any) -> None:
        await self._engine.delete(id, user_id=accepted.user_id, **named)

    async def _delete_all(self, accepted: Accepted, **named: Any) -> None:
        await self._engine.delete_all(user_id=accepted.user_id, **named)
