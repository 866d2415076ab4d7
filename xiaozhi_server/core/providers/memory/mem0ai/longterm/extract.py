"""One user's new conversations become memories: sorted by kind, a few of one kind in a call, each exactly once.

Whoever works on a user holds the lock, and moves the checkpoint together with the memories. What fails stays where it
was and comes again with the next run.
"""

import asyncio
import contextlib
import hashlib
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from ..by_mem0.mem0_add import ModelFailedError
from ..errors import ForgottenMeanwhileError
from ..facts.once import Talk
from .checkpoint import Checkpoint, checkpoint_of
from .classify import SUBTYPES, Asks, Calls, Classifier, ClassifyOptions, Kind, Subtype, packed
from .dify_api import DifyApi
from .dify_errors import DifyError
from .records import BEAT_S, Lock, LockHeldError, LockLostError, Records
from .report import UserReport
from .scan import Conversation, Scan, ScanLimits
from .tokens import CountTokens
from .wanted import wishes_for
from .window import Window
from .writing import Lesson, Writer

logger = logging.getLogger(__name__)

_KEPT = timedelta(days=30)  # a window reaches seven days back
_FAILURES_IN_A_ROW = 2  # alone: then it is not the conversation
_RELEASE_S = 5.0
_LOST = (LockLostError, ForgottenMeanwhileError)


@dataclass(frozen=True, slots=True)
class ExtractOptions:
    """So much is gathered before it is sorted, so that it is learned in the order in which it was said; so many
    conversations of a kind share a call that makes memories of them. So many calls of the model are made at once: one
    that had to wait for another one's thread would use up its time there.
    """

    gathered: int = 100
    gathered_tokens: int = 100_000
    classify: ClassifyOptions = field(default_factory=ClassifyOptions)
    learn_together: int = 6
    learn_tokens: int = 2500
    model_calls: int = 2


@dataclass(frozen=True, slots=True)
class Order:
    """What a task wants of every user. `since` is when it was ordered."""

    task_id: str
    app_id: str
    window: Window
    limits: ScanLimits
    lock_ttl_s: int
    since: datetime


@dataclass(frozen=True, slots=True)
class Tools:
    """What the work is done with. `write_for` makes the writer of whoever holds this lock."""

    records: Records
    write_for: Callable[[Lock], Writer]
    model: Asks
    api: DifyApi
    count_tokens: CountTokens
    options: ExtractOptions = field(default_factory=ExtractOptions)
    calls: Calls = field(default_factory=Calls)
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(2))


async def extract_user(user_id: str, order: Order, tools: Tools, *, is_over: Callable[[], str]) -> UserReport:
    """`is_over` is asked between two steps for a reason to break off: what is left then comes with the next run."""
    report = UserReport(user_id)
    try:
        async with _holding(user_id, order, tools.records) as lock:
            await _UserRun(report, order, tools, lock, is_over).run()
    except LockHeldError as held:
        report.reason, report.lock_holder = "lock_held", held.holder_id
    except _LOST as error:
        report.failed("lock_lost" if isinstance(error, LockLostError) else "user_forgotten", error)
    return report


@dataclass(frozen=True, slots=True)
class _New:
    """A conversation with something new, and that as the memory takes it."""

    conversation: Conversation
    talk: Talk


class _UserRun:
    def __init__(self, report: UserReport, order: Order, tools: Tools, lock: Lock, is_over: Callable[[], str]) -> None:
        zone = order.window.start.tzinfo
        options = tools.options
        sorting = options.classify if zone is None else replace(options.classify, zone=zone)
        self._report = report
        self._order = order
        self._tools = tools
        self._is_over = is_over
        self._zone = zone
        self._classifier = Classifier(tools.model, sorting, tools.calls, tools.turns)
        self._together = ClassifyOptions(options.learn_together, options.learn_tokens)
        self._writer = tools.write_for(lock)
        self._checkpoint = Checkpoint()

    async def run(self) -> None:
        order, tools = self._order, self._tools
        kept = await tools.records.checkpoint(self._report.user_id, order.app_id)
        await self._writer.begin(kept)
        known = checkpoint_of(kept.value if kept is not None else None)
        self._checkpoint = known
        scan = Scan(tools.api, self._report.user_id, order.window, known, tools.count_tokens, order.limits)
        self._report.scan = scan.report
        async with aclosing(self._gathered(scan)) as gathered:
            async for some in gathered:
                if not self._is_over():
                    await self._take(some)
                if reason := self._is_over():
                    self._report.broken_off = reason
                    return
        oldest = order.window.start - _KEPT
        finished = self._checkpoint.resuming(scan.resume).without_older(oldest)
        if finished != self._checkpoint:
            await self._writer.move(finished.as_json())

    async def _gathered(self, scan: Scan) -> AsyncGenerator[list[_New], None]:
        """In the order in which they were said; what was found before Dify failed is not lost."""
        options, some, tokens = self._tools.options, list[_New](), 0
        try:
            async with aclosing(scan.conversations()) as conversations:
                async for one in conversations:
                    some.append(_new(one))
                    tokens += one.tokens
                    if len(some) >= options.gathered or tokens >= options.gathered_tokens or self._is_over():
                        yield _in_order(some)
                        some, tokens = [], 0
        except DifyError as error:
            self._report.failed("dify_error", error)
            self._report.stop_reason = "conversation_failed"
        if some:
            yield _in_order(some)

    async def _take(self, some: Sequence[_New]) -> None:
        self._tools.calls.conversations += len(some)
        kinds = await self._classifier.classify([one.talk for one in some])
        for one, kind in zip(some, kinds, strict=True):
            if isinstance(kind, Exception):
                self._report.failed("classification_error", kind, one.conversation.id)
        await self._pass_over(_of_kind(some, kinds, None))
        for subtype in SUBTYPES:
            for group in self._groups(_of_kind(some, kinds, subtype)):
                if self._is_over():
                    return
                await self._learn(subtype, group)

    async def _pass_over(self, group: Sequence[_New]) -> None:
        """Nothing in these is worth remembering."""
        if not group:
            return
        moved = self._moved(group)
        try:
            await self._writer.move(moved.as_json())
        except _LOST:
            raise
        except Exception as error:  # noqa: BLE001 - whatever the store says: these come again
            self._report.failed("checkpoint_error", error)
        else:
            self._done(group, moved)

    def _groups(self, some: Sequence[_New]) -> list[list[_New]]:
        numbered = ((place, one.talk) for place, one in enumerate(some))
        return [[some[place] for place, _ in group] for group in packed(numbered, self._together)]

    async def _learn(self, subtype: Subtype, group: Sequence[_New]) -> bool:
        """Together, or one by one where the model fails at them together."""
        moved = self._moved(group)
        lesson = Lesson(
            [one.talk for one in group], subtype, _key(self._order, subtype, group), wishes_for(subtype, self._zone)
        )
        try:
            async with self._tools.turns:
                self._tools.calls.extraction += 1
                changes = await self._writer.write(lesson, moved.as_json())
        except _LOST:
            raise
        except Exception as error:  # noqa: BLE001 - of a model or a store
            if len(group) > 1 and isinstance(error, ModelFailedError | TimeoutError):
                return await self._learn_alone(subtype, group)
            for one in group:
                self._report.failed(f"mem0_{subtype}_error", error, one.conversation.id)
            self._report.failed_to_write = True
            return False
        self._done(group, moved)
        told = self._report.wrote(subtype, changes)
        for one in group:
            if one.conversation.id not in told:
                self._report.warnings.append(
                    {"type": f"mem0_{subtype}_empty_result", "conversation_id": one.conversation.id}
                )
        return True

    async def _learn_alone(self, subtype: Subtype, group: Sequence[_New]) -> bool:
        failures = 0
        for place, one in enumerate(group):
            failures = 0 if await self._learn(subtype, [one]) else failures + 1
            if failures >= _FAILURES_IN_A_ROW:
                for left in group[place + 1 :]:
                    self._report.failed(f"mem0_{subtype}_error", _NotTriedError(), left.conversation.id)
                return False
        return True

    def _moved(self, group: Sequence[_New]) -> Checkpoint:
        moved = self._checkpoint
        for one in group:
            moved = moved.moved(one.conversation.id, one.conversation.mark)
        return moved

    def _done(self, group: Sequence[_New], moved: Checkpoint) -> None:
        self._checkpoint = moved
        self._report.processed_conversations += len(group)
        self._report.processed_messages += sum(len(one.conversation.messages) for one in group)


class _NotTriedError(ModelFailedError):
    def __init__(self) -> None:
        super().__init__("not tried: the model had failed at others")


def _new(conversation: Conversation) -> _New:
    spoken = [message for one in conversation.messages for message in one.spoken()]
    return _New(conversation, Talk.of(conversation.id, spoken))


def _in_order(some: Sequence[_New]) -> list[_New]:
    return sorted(some, key=lambda one: one.conversation.messages[0].created_at)


def _of_kind(some: Sequence[_New], kinds: Sequence[Kind], wanted: Kind) -> list[_New]:
    return [one for one, kind in zip(some, kinds, strict=True) if kind == wanted]


def _key(order: Order, subtype: Subtype, group: Sequence[_New]) -> str:
    """The same messages have the same one, whoever brings them."""
    read = [[one.conversation.id, *(message.id for message in one.conversation.messages)] for one in group]
    told = json.dumps([order.app_id, subtype, read], ensure_ascii=True)
    return f"extraction:{hashlib.sha256(told.encode()).hexdigest()[:32]}"


@asynccontextmanager
async def _holding(user_id: str, order: Order, records: Records) -> AsyncIterator[Lock]:
    """The lock, and a sign of life from time to time."""
    lock = await records.lock(user_id, order.app_id, holder_id=order.task_id, ttl_s=order.lock_ttl_s, since=order.since)
    beating = asyncio.create_task(_beat(records, lock), name="memory-extraction-beat")
    try:
        yield lock
    finally:
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)
        with contextlib.suppress(Exception):  # it ends by itself
            async with asyncio.timeout(_RELEASE_S):
                await records.release(lock)


async def _beat(records: Records, lock: Lock) -> None:
    while True:
        await asyncio.sleep(BEAT_S)
        try:
            if not await records.beat(lock):
                return
        except Exception as error:  # noqa: BLE001 - the next beat may come through
            logger.warning("memory: a lock was not renewed (%s)", type(error).__name__)
