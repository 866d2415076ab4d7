"""The door to long-term extraction: what Dify's users said in their conversations becomes memories, in the background
or while the caller waits. Answers have the shapes of the public plugin's tools.
"""

import asyncio
import logging
import math
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg_pool import AsyncConnectionPool

from ..by_mem0.other_memories import OtherMemories
from ..by_mem0.other_stores import OtherStoreEngine
from ..engine import MemoryEngine
from ..errors import InvalidTextError, NoModelError
from ..scope import checked_id
from ..self_hosted import SelfHosted
from .classify import Asks, Calls
from .dify_api import DifyApi, DifyOptions
from .extract import ExtractOptions, Order, Tools
from .pool import USERS_AT_ONCE, Ceiling
from .records import Lock, Records
from .records_pg import PostgresRecords
from .records_store import StoreRecords
from .run_task import TaskRun
from .scan import ScanLimits
from .task import TaskState, Totals, shown
from .tokens import CountTokens, token_counter
from .window import Window
from .writing import AtOnce, StepByStep, Writer

logger = logging.getLogger(__name__)

DEFAULT_BUDGET_S = 3600
_LOCK_SHARE = 1.2  # of the time budget
_KEPT = timedelta(days=90)
_MOST_USERS = 10_000
_CANCEL_S = 5.0


@dataclass(frozen=True, slots=True)
class ExtractionRequest:
    """Whose conversations with which app, said when, read where. `budget_s` bounds how long users are begun."""

    user_ids: tuple[str, ...]
    app_id: str
    window: Window
    dify: DifyOptions
    limits: ScanLimits = field(default_factory=ScanLimits)
    budget_s: int = DEFAULT_BUDGET_S
    run_id: str = ""

    def __post_init__(self) -> None:
        checked_id("app_id", self.app_id)
        if not self.user_ids:
            raise InvalidTextError("user_ids names nobody")
        if len(self.user_ids) > _MOST_USERS:
            raise InvalidTextError(f"user_ids names {len(self.user_ids)} users and may name {_MOST_USERS}")
        for user_id in self.user_ids:
            checked_id("user_ids", user_id)
        object.__setattr__(self, "user_ids", tuple(dict.fromkeys(self.user_ids)))


class LongTerm:
    """One memory's. `ceiling` is shared by all of a process. Stop it before what it stands on is closed."""

    def __init__(
        self,
        records: Records,
        write_for: Callable[[Lock], Writer],
        model: Asks,
        *,
        ceiling: Ceiling,
        options: ExtractOptions | None = None,
        users_at_once: int = USERS_AT_ONCE,
    ) -> None:
        self.calls = Calls()
        self._records = records
        self._write_for = write_for
        self._model = model
        self._ceiling = ceiling
        self._options = options or ExtractOptions()
        self._turns = asyncio.Semaphore(self._options.model_calls)
        self._at_once = users_at_once
        self._running: set[asyncio.Task[None]] = set()
        self._is_stopping = False
        self._count: CountTokens | None = None

    @property
    def is_busy(self) -> bool:
        """Tasks are under way behind their answers."""
        return bool(self._running)

    async def start(self, request: ExtractionRequest) -> dict[str, Any]:
        """Accepted, and written down as such; the work goes on behind the answer."""
        if not self._may_begin():
            return _overload(request, "async")
        try:
            state, run = await self._begun(request)
        except BaseException:
            self._ceiling.end_task()
            raise
        working = asyncio.create_task(self._work(request, run, self._at_once), name=f"memory-{state.id}")
        self._running.add(working)
        working.add_done_callback(self._ended)
        await asyncio.sleep(0)  # one that is cancelled before it has begun could not say how it ended
        return _accepted(request, state, "async")

    async def run(self, request: ExtractionRequest) -> dict[str, Any]:
        """The final report, after one user after the other. Whoever gives up waiting ends the work."""
        if not self._may_begin():
            return _overload(request, "sync")
        try:
            state, run = await self._begun(request)
            await self._work(request, run, 1)
        finally:
            self._ceiling.end_task()
        return {**state.report(), "task_id": state.id, "mode": "sync"}

    async def status(self, task_id: str) -> dict[str, Any]:
        task = await self._records.task(task_id)
        if task is None:
            return {"status": "NOT_FOUND", "task_id": task_id, "message": "Task not found."}
        return shown(task, datetime.now(UTC))

    async def checkpoint(self, user_id: str, app_id: str | None = None) -> dict[str, Any]:
        checked_id("user_id", user_id)
        if app_id is not None:
            checked_id("app_id", app_id)
        kept = await self._records.checkpoint(user_id, app_id)
        if kept is None:
            missing = {"status": "NOT_FOUND", "user_id": user_id, "app_id": app_id}
            return {**missing, "message": "Checkpoint not found."}
        conversations = kept.value.get("conversations")
        return {
            "status": "SUCCESS",
            "user_id": user_id,
            "app_id": kept.app_id or app_id,
            "checkpoint_id": kept.id,
            "checkpoint": dict(kept.value),
            "conversations_count": len(conversations) if isinstance(conversations, dict) else 0,
        }

    async def stop(self, deadline_s: float) -> None:
        """No more users are begun; those in hand may end within the deadline. The rest comes with the next run."""
        self._is_stopping = True
        if not self._running:
            return
        _, left = await asyncio.wait(self._running, timeout=deadline_s)
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=_CANCEL_S)

    def _may_begin(self) -> bool:
        return not self._is_stopping and self._ceiling.take_task()

    async def _begun(self, request: ExtractionRequest) -> tuple[TaskState, TaskRun]:
        task_id, now = f"extract_{secrets.token_hex(6)}", datetime.now(UTC)
        state = TaskState(
            task_id,
            request.run_id or task_id,
            request.app_id,
            request.window,
            request.budget_s,
            now,
            Totals(len(request.user_ids)),
        )
        if self._count is None:
            self._count = await token_counter()
        run = TaskRun(state, request.user_ids, self._records, self._ceiling, lambda: self._is_stopping)
        await run.begin()
        return state, run

    async def _work(self, request: ExtractionRequest, run: TaskRun, at_once: int) -> None:
        state, api = run.state, DifyApi(request.dify)
        try:
            assert self._count is not None
            order = Order(
                state.id,
                request.app_id,
                request.window,
                request.limits,
                math.ceil(_LOCK_SHARE * request.budget_s),
                state.started_at,
            )
            tools = Tools(
                self._records, self._write_for, self._model, api, self._count, self._options, self.calls, self._turns
            )
            await run.run(order, tools, at_once=min(at_once, len(request.user_ids)))
            await self._drop_old()
        finally:
            await api.close()

    async def _drop_old(self) -> None:
        try:
            await self._records.drop_tasks(before=datetime.now(UTC) - _KEPT)
        except Exception as error:  # noqa: BLE001 - the next task tries again
            logger.warning("memory: old tasks are still there (%s)", type(error).__name__)

    def _ended(self, working: asyncio.Task[None]) -> None:
        self._running.discard(working)
        self._ceiling.end_task()
        if not working.cancelled() and (error := working.exception()) is not None:
            logger.error("memory: a task of extraction broke off (%s)", type(error).__name__)


def open_long_term(
    opened: SelfHosted,
    pool: AsyncConnectionPool[Any] | None,
    *,
    ceiling: Ceiling,
    options: ExtractOptions | None = None,
) -> LongTerm:
    """On a memory that was opened and started; a NoModelError where it has no language model.

    `pool` is that of the engine's own database. Where the memories lie in another store it is not asked.
    """
    if opened.model is None:
        raise NoModelError("facts")
    engine = opened.engine
    if isinstance(engine, OtherStoreEngine):
        return on_store(engine, opened.embedder.dimensions, opened.model, ceiling=ceiling, options=options)
    assert isinstance(engine, MemoryEngine) and pool is not None
    return on_postgres(engine, pool, opened.model, ceiling=ceiling, options=options)


def on_postgres(
    engine: MemoryEngine,
    pool: AsyncConnectionPool[Any],
    model: Asks,
    *,
    ceiling: Ceiling,
    options: ExtractOptions | None = None,
) -> LongTerm:
    records = PostgresRecords(pool, meet=engine.meet)
    return LongTerm(records, lambda lock: AtOnce(engine, records, lock), model, ceiling=ceiling, options=options)


def on_store(
    memory: OtherMemories, dimensions: int, model: Asks, *, ceiling: Ceiling, options: ExtractOptions | None = None
) -> LongTerm:
    """`dimensions` is how long the vectors of the store are. No PostgreSQL is needed."""
    records = StoreRecords(memory.store, dimensions)
    return LongTerm(records, lambda lock: StepByStep(memory, records, lock), model, ceiling=ceiling, options=options)


def _accepted(request: ExtractionRequest, state: TaskState, mode: str) -> dict[str, Any]:
    return {
        "status": "ACCEPTED",
        "task_id": state.id,
        "run_id": state.run_id,
        "message": "Long-term memory extraction has been accepted",
        "user_count": len(request.user_ids),
        "start_time": request.window.start.isoformat(),
        "end_time": request.window.end.isoformat(),
        "mode": mode,
    }


def _overload(request: ExtractionRequest, mode: str) -> dict[str, Any]:
    message = "System overloaded, extraction was not accepted"
    return {"status": "OVERLOAD", "message": message, "user_count": len(request.user_ids), "mode": mode}
