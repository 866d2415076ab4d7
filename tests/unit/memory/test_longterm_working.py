"""Long-term extraction without a database: how conversations share calls, what answers are believed, what is shown."""

import asyncio
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from xiaozhi_server.core.providers.memory.base import SpokenMessage
from xiaozhi_server.core.providers.memory.mem0ai.facts.once import Talk
from xiaozhi_server.core.providers.memory.mem0ai.longterm.classify import (
    BrokenAnswerError,
    Classifier,
    ClassifyOptions,
    kinds_in,
)
from xiaozhi_server.core.providers.memory.mem0ai.longterm.excerpt import excerpt
from xiaozhi_server.core.providers.memory.mem0ai.longterm.pool import Ceiling, work_through
from xiaozhi_server.core.providers.memory.mem0ai.longterm.records import KeptTask
from xiaozhi_server.core.providers.memory.mem0ai.longterm.report import UserReport
from xiaozhi_server.core.providers.memory.mem0ai.longterm.task import Totals, displayed, shown

AT = datetime(2026, 11, 19, 9, tzinfo=UTC)


def talk(*texts: str, role: Any = "user") -> Talk:
    return Talk("c1", tuple(SpokenMessage(role, text, AT) for text in texts))


def item(n: Any, kind: Any, **more: Any) -> dict[str, Any]:
    return {"n": n, "memory_type": kind, "should_extract": True, **more}


class Model:
    """`reply` is told how many conversations are shown."""

    def __init__(self, reply: Callable[[int], Any]) -> None:
        self._reply = reply
        self.shown: list[int] = []

    async def answer(self, messages: list[dict[str, str]]) -> str:
        count = len(json.loads(messages[1]["content"])["conversations"])
        self.shown.append(count)
        told = self._reply(count)
        if isinstance(told, Exception):
            raise told
        return told if isinstance(told, str) else json.dumps(told)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"conversations": [item(1, "SEMANTIC"), item(2, "NONE")]}, {1: "semantic", 2: None}),
        ({"conversations": [item("1", " episodic "), item(2, "PROCEDURAL")]}, {1: "episodic", 2: "procedural"}),
        ({"conversations": [item(1, "SEMANTIC", should_extract=False), item(2, "x")]}, {1: None}),
        ({"conversations": [item(1, "SEMANTIC"), item(1, "EPISODIC")]}, {}),
        ({"conversations": [item(0, "SEMANTIC"), item(3, "SEMANTIC"), item(True, "SEMANTIC"), "x"]}, {}),
        ([item(1, "SEMANTIC")], {1: "semantic"}),
        ({"conversations": item(2, "EPISODIC")}, {2: "episodic"}),
        ({"memory_type": "SEMANTIC"}, {}),
        ({}, {}),
        ("", {}),
        ("[[[[[[[[", {}),
        ('Sure!\n```json\n{"conversations": [{"n": 1, "memory_type": "SEMANTIC"},]}\n```', {1: "semantic"}),
    ],
)
def test_what_an_answer_says_of_two_conversations(answer: Any, expected: dict[int, Any]) -> None:
    assert kinds_in(answer if isinstance(answer, str) else json.dumps(answer), 2) == expected


def test_a_single_conversation_needs_no_number() -> None:
    assert kinds_in('{"memory_type": "SEMANTIC", "should_extract": true}', 1) == {1: "semantic"}
    assert kinds_in('{"conversations": [{"memory_type": "NONE"}]}', 1) == {1: None}


async def test_short_conversations_share_a_call_and_long_ones_do_not() -> None:
    def semantic(count: int) -> Any:
        return {"conversations": [item(n, "SEMANTIC") for n in range(1, count + 1)]}

    model = Model(semantic)
    talks = [talk("I like plums.") for _ in range(11)] + [talk("plums " * 4000), talk("I like tea.")]
    kinds = await Classifier(model, ClassifyOptions(together=8, tokens=2000)).classify(talks)
    assert kinds == ["semantic"] * 13
    assert model.shown == [8, 3, 1, 1]


async def test_what_only_the_assistant_said_is_not_asked_about() -> None:
    model = Model(lambda count: AssertionError("nobody asks"))
    assert await Classifier(model).classify([talk("Hello!", role="assistant"), talk()]) == [None, None]
    assert model.shown == []


async def test_a_model_that_is_away_is_asked_once() -> None:
    model = Model(lambda count: ConnectionError())
    kinds = await Classifier(model).classify([talk("I like plums.")] * 5)
    assert [type(kind) for kind in kinds] == [ConnectionError] * 5
    assert model.shown == [5]


async def test_what_stays_unanswered_is_an_error_of_that_conversation_alone() -> None:
    def first_alone(count: int) -> Any:
        return {"conversations": [item(1, "SEMANTIC")]} if count > 1 else "no"

    model = Model(first_alone)
    kinds = await Classifier(model).classify([talk("I like plums.")] * 2)
    assert kinds[0] == "semantic"
    assert isinstance(kinds[1], BrokenAnswerError)
    assert model.shown == [2, 1, 1]


def messages(*texts: str) -> list[SpokenMessage]:
    return [SpokenMessage("user", text, AT) for text in texts]


@pytest.mark.parametrize("count", [1, 2, 7, 400])
def test_an_excerpt_fits_and_keeps_both_ends(count: int) -> None:
    said = messages(*(f"{number} {'word ' * 500}" for number in range(count)))
    found = excerpt(said, 3000)
    assert sum(len(message.content) / 4 + 20 for message in found) <= 3000
    places = [int(message.content.split()[0]) for message in found]
    assert places == sorted(set(places))
    assert {places[0], places[-1]} == {0, count - 1}


def test_what_fits_is_not_shortened() -> None:
    said = messages("I like plums.", "I like tea.")
    assert excerpt(said, 3000) == said


@pytest.mark.parametrize(
    ("seconds", "expected"), [(-3, "00:00"), (0, "00:00"), (61, "01:01"), (3599, "59:59"), (3600, "01:00:00")]
)
def test_how_long_it_took(seconds: int, expected: str) -> None:
    assert displayed(seconds) == expected


def kept(value: dict[str, Any], minutes_ago: float = 0.0) -> KeptTask:
    return KeptTask("t1", value, AT, AT + timedelta(hours=2) - timedelta(minutes=minutes_ago))


@pytest.mark.parametrize(
    ("budget_s", "silent_minutes", "is_stale"), [(3600, 1, False), (3600, 6, True), (60, 2, True), (None, 59, False)]
)
def test_a_silent_task_is_stale(budget_s: int | None, silent_minutes: float, is_stale: bool) -> None:
    value = {"status": "running", "time_budget_seconds": budget_s}
    told = shown(kept(value, silent_minutes), AT + timedelta(hours=2))
    assert told["stale"] == is_stale
    assert told["task_status"] == ("failed" if is_stale else "running")
    assert ("error" in told) == is_stale


def test_a_task_of_the_public_plugin_is_shown() -> None:
    value = {"task_id": "t1", "status": "completed", "progress": 1.0, "written_memories": 7, "final_report": {"n": 1}}
    told = shown(kept(value), AT + timedelta(hours=3))
    assert (told["task_status"], told["progress"], told["duration_display"]) == ("completed", 1.0, "02:00:00")
    assert told["written_memories"] == {"semantic": 0, "episodic": 0, "procedural": 0}
    assert told["final_report"] == {"n": 1, "per_user": []}


def test_an_error_is_short() -> None:
    assert len(shown(kept({"status": "failed", "error": "x" * 2000}), AT)["error"]) == 500


def reports(*statuses: str) -> Totals:
    totals = Totals(len(statuses))
    for status in statuses:
        report = UserReport("ann")
        if status == "SKIPPED":
            report.reason = "lock_held"
        elif status != "SUCCESS":
            report.failed("x", RuntimeError())
            report.processed_conversations = int(status == "PARTIAL_SUCCESS")
        assert report.status == status
        totals.add(report)
    return totals


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        (["SUCCESS", "SKIPPED"], "SUCCESS"),
        (["SKIPPED"], "SUCCESS"),
        (["SUCCESS", "ERROR"], "PARTIAL_SUCCESS"),
        (["PARTIAL_SUCCESS"], "PARTIAL_SUCCESS"),
        (["ERROR", "ERROR", "SKIPPED"], "ERROR"),
    ],
)
def test_what_all_users_are_together(statuses: Sequence[str], expected: str) -> None:
    assert reports(*statuses).status == expected


async def test_the_window_slides() -> None:
    """While one hangs the other places go on being used."""
    hangs, done = asyncio.Event(), list[str]()

    async def work(user_id: str) -> UserReport:
        if user_id == "user-0":
            await hangs.wait()
        return UserReport(user_id)

    async def ended(report: UserReport) -> None:
        done.append(report.user_id)
        if len(done) == 29:
            hangs.set()

    users = [f"user-{number}" for number in range(30)]
    async with asyncio.timeout(10):
        await work_through(users, work, ended, ceiling=Ceiling(users=3), at_once=5, skip=lambda: "")
    assert done[-1] == "user-0"
    assert sorted(done) == sorted(users)
