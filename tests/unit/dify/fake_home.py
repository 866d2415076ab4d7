"""A memory that answers as each test says, and remembers what it was asked."""

from collections.abc import Callable, Mapping
from typing import Any

from mem0_tools.memory import Home

CREDENTIALS = {"mem0_api_key": "m0-secret-key"}


class FakeMemory:
    """`answers` by the name of the method: a value, an exception, or a function of what is asked."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.asked: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        async def ask(*positional: Any, **named: Any) -> Any:
            self.asked.append((name, positional, named))
            answer = self.answers.get(name)
            if isinstance(answer, BaseException):
                raise answer
            if callable(answer):
                answer = await answer(*positional, **named)
            return answer

        return ask

    def recalled(self, found: Any, *, user_id: str) -> None:
        self.asked.append(("recalled", (found,), {"user_id": user_id}))


class FakeWrites:
    def __init__(self, problem: Exception | None = None) -> None:
        self.problem = problem
        self.accepted: list[tuple[str, str, Mapping[str, Any]]] = []
        self.dropped: list[tuple[str, str | None]] = []

    async def accept(self, operation: Any, user_id: str, arguments: Mapping[str, Any]) -> None:
        if self.problem is not None:
            raise self.problem
        self.accepted.append((operation, user_id, arguments))

    async def waiting(self) -> int:
        return len(self.accepted)

    async def drop(self, user_id: str, agent_id: str | None) -> None:
        self.dropped.append((user_id, agent_id))


def home_of(memory: Any, **more: Any) -> Home:
    async def close(deadline_s: float) -> None:
        """Nothing is open."""

    return Home(memory=memory, close=more.pop("close", close), **more)
