"""mem0's language model for questions of our own, besides those that mem0 asks it."""

from typing import Any

from ..compressing.compress import SummaryFailedError
from ..observe import MemoryObserver
from .bridge import Mem0Bridge
from .mem0_add import asked


class Mem0Model:
    """Every failure is told by its kind alone: what a provider says may quote."""

    def __init__(self, bridge: Mem0Bridge, llm: Any, timeout_s: float, observer: MemoryObserver) -> None:
        self._bridge = bridge
        self._llm = llm
        self._timeout_s = timeout_s
        self._observer = observer

    async def answer(self, messages: list[dict[str, str]]) -> str:
        try:
            text, tokens = await self._bridge.run(lambda: asked(self._llm, messages), timeout_s=self._timeout_s)
        except Exception as error:  # noqa: BLE001 - a provider call
            raise SummaryFailedError(type(error).__name__) from None
        self._observer.model_called(tokens)
        return text
