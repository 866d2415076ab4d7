"""Accepted writes: written down before they are promised, and done in the background under the id of their request."""

from collections.abc import Mapping
from typing import Any

from xiaozhi_memory.mem0ai.accepting.accepted import Accepted, Operation, Within
from xiaozhi_memory.mem0ai.accepting.doing import EngineDoer
from xiaozhi_memory.mem0ai.accepting.journal import Journal
from xiaozhi_memory.mem0ai.accepting.worker import Worker, WorkOptions

from . import logs

PARALLEL_MAX = 8  # more would leave no connection for who asks; so many calls of a model run at once


class Writing:
    """The journal belongs to the caller, who closes it after this has stopped."""

    def __init__(self, journal: Journal, engine: Any, *, parallel: int) -> None:
        self._journal = journal
        self._worker = Worker(journal, _Traced(engine), WorkOptions(parallel=min(parallel, PARALLEL_MAX)))

    def start(self) -> None:
        self._worker.start()

    async def accept(self, operation: Operation, user_id: str, arguments: Mapping[str, Any]) -> None:
        traced = {**arguments, "trace": logs.run_id.get()}
        await self._worker.accept(operation, user_id, traced)

    async def waiting(self) -> int:
        return await self._journal.waiting()

    async def stop(self, deadline_s: float) -> None:
        await self._worker.stop(deadline_s)


class _Traced(EngineDoer):
    async def perform(self, accepted: Accepted, settle: Within | None) -> None:
        logs.begin_run(str(accepted.arguments.get("trace", "")))
        await super().perform(accepted, settle)
