"""What of a user's talks with a Dify app is new: each message comes once, whatever the pages, windows and limits."""

import asyncio
import json
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.dify_api import KEY, Call, DifyStandIn
from xiaozhi_server.core.providers.memory.mem0ai.longterm.checkpoint import Checkpoint, Mark, Resume, checkpoint_of
from xiaozhi_server.core.providers.memory.mem0ai.longterm.dify_api import DifyApi, DifyOptions
from xiaozhi_server.core.providers.memory.mem0ai.longterm.dify_errors import (
    DifyAnswerError,
    DifyAwayError,
    DifyRefusedError,
)
from xiaozhi_server.core.providers.memory.mem0ai.longterm.scan import Conversation, Scan, ScanLimits, ScanReport
from xiaozhi_server.core.providers.memory.mem0ai.longterm.spans import Stretch, spans_of
from xiaozhi_server.core.providers.memory.mem0ai.longterm.window import Window

ZERO = 1_780_000_000
LONG_AFTER = datetime.fromtimestamp(ZERO + 10**6, UTC)
PLENTY = ScanLimits(conversations=1000, tokens=10**6)


def window(first: int, end: int) -> Window:
    """In seconds after `ZERO`; the end is outside."""
    return Window(datetime.fromtimestamp(ZERO + first, UTC), datetime.fromtimestamp(ZERO + end, UTC))


@dataclass
class World:
    """`kept` is the checkpoint as it lies in a store; `taken` is what was remembered."""

    dify: DifyStandIn
    kept: str = "{}"
    user: str = "ann"

    def __post_init__(self) -> None:
        self.taken: Counter[str] = Counter()

    def says(self, query: str, at: float, talk: str = "", answer: str = "") -> str:
        return self.dify.add(self.user, query, answer, at=ZERO + at, conversation_id=talk)[0]

    async def run(
        self, window: Window, limits: ScanLimits = PLENTY, *, failing: int = 0, read_at: datetime = LONG_AFTER
    ) -> tuple[list[Conversation], ScanReport]:
        """One run; what comes first fails to be remembered, as often as `failing` says."""
        checkpoint = checkpoint_of(self.kept)
        api = DifyApi(DifyOptions(self.dify.base_url, KEY, first_pause_s=0.001))
        scan = Scan(api, self.user, window, checkpoint, len, limits, read_at=read_at)
        found = []
        try:
            async for one in scan.conversations():
                found.append(one)
                if len(found) > failing:
                    checkpoint = checkpoint.moved(one.id, one.mark)
                    self.taken.update(message.query for message in one.messages)
        finally:
            await api.close()
        self.kept = json.dumps(checkpoint.resuming(scan.resume).as_json())
        return found, scan.report

    async def queries(self, window: Window, limits: ScanLimits = PLENTY) -> list[list[str]]:
        return [[message.query for message in one.messages] for one in (await self.run(window, limits))[0]]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with DifyStandIn(largest_page=3) as dify:
        yield World(dify)


# --- windows ---


async def test_only_what_was_said_within_the_window(world: World) -> None:
    talk = world.says("before", 99.9)
    for query, at in [("first", 100), ("last", 199.99), ("after", 200), ("long after", 500)]:
        world.says(query, at, talk)
    world.says("old talk", 50)
    world.says("new talk", 300)
    found, report = await world.run(window(100, 200))
    assert [[message.query for message in one.messages] for one in found] == [["first", "last"]]
    assert report.as_json() == {
        "scanned_conversations": 1,
        "scanned_messages": 5,
        "conversations_with_messages": 1,
        "messages_in_time_range": 2,
        "dropped_future_messages": 2,
        "trimmed_messages": 0,
        "stop_reason": "no_more_conversations",
    }


async def test_a_talk_that_went_on_after_the_window_is_read(world: World) -> None:
    """The public plugin leaves it out, and the next day's window does not reach back."""
    talk = world.says("yesterday", 150)
    world.says("today", 250, talk)
    assert await world.queries(window(100, 200)) == [["yesterday"]]
    assert await world.queries(window(200, 300)) == [["today"]]


async def test_a_window_that_grows_backwards_brings_what_lies_before(world: World) -> None:
    talk = world.says("m0", 0)
    for number in range(1, 10):
        world.says(f"m{number}", 10 * number, talk)
    assert await world.queries(window(60, 100)) == [["m6", "m7", "m8", "m9"]]
    assert await world.queries(window(30, 100)) == [["m3", "m4", "m5"]]
    assert await world.queries(window(0, 100)) == [["m0", "m1", "m2"]]
    kept = json.loads(world.kept)["conversations"][talk]
    last = world.dify.conversation("ann", talk).messages[-1].id
    assert kept == {
        "last_processed_message_id": last,
        "processed_range_start": "2026-05-28T20:26:40+00:00",
        "processed_range_end": "2026-05-28T20:28:19+00:00",
    }


async def test_days_that_were_left_out_are_read_when_they_are_asked_for(world: World) -> None:
    talk = world.says("day 1", 10)
    world.says("day 2", 110, talk)
    world.says("day 3", 210, talk)
    assert await world.queries(window(0, 100)) == [["day 1"]]
    assert await world.queries(window(200, 300)) == [["day 3"]]
    assert await world.queries(window(0, 300)) == [["day 2"]]
    assert await world.queries(window(0, 300)) == []


async def test_what_was_read_is_not_asked_for_again(world: World) -> None:
    for number in range(8):
        world.says("q", number)
    await world.run(window(0, 100))
    world.dify.calls.clear()
    assert await world.queries(window(0, 100)) == []
    assert await world.queries(window(50, 100)) == []
    assert world.dify.counts()["/messages"] == 0


async def test_one_second_is_taken_as_a_whole_wherever_the_page_ends(world: World) -> None:
    talk = world.says("m0", 50)
    for number in range(1, 10):
        world.says(f"m{number}", 50 + number / 100, talk)
    assert await world.queries(window(0, 100), ScanLimits(tokens=3)) == [[f"m{number}" for number in range(10)]]


async def test_what_was_said_a_moment_ago_may_be_listed_later(world: World) -> None:
    talk = world.says("in time", 30)
    at_midnight = datetime.fromtimestamp(ZERO + 100, UTC)
    await world.run(window(0, 100), read_at=at_midnight)
    world.says("late", 99, talk)
    assert await world.queries(window(0, 200)) == [["late"]]


async def test_blank_messages_are_nothing(world: World) -> None:
    talk = world.says(" ", 10)
    world.says("", 20, talk, answer="\n")
    assert await world.queries(window(0, 100)) == []
    world.says("", 30, talk, answer="Hello.")
    (found,), _ = await world.run(window(0, 100))
    assert [one.content for message in found.messages for one in message.spoken()] == ["Hello."]


# --- what the public plugin left behind ---


async def test_its_checkpoint_goes_on_where_it_stood(world: World) -> None:
    talk = world.says("read", 10)
    for query, at in [("read too", 20), ("new", 30), ("newer", 40)]:
        world.says(query, at, talk)
    start, end = (datetime.fromtimestamp(ZERO + at, UTC).isoformat() for at in (0, 20))
    mark = {"last_processed_message_id": None, "processed_range_start": start, "processed_range_end": end}
    world.kept = json.dumps({"conversations": {talk: mark}})
    assert await world.queries(window(0, 100)) == [["new", "newer"]]
    assert await world.queries(window(-100, 100)) == []


async def test_its_oldest_checkpoint_knows_the_last_message_alone(world: World) -> None:
    talk = world.says("m0", 0)
    for number in range(1, 8):
        world.says(f"m{number}", number / 10, talk)  # all in one second
    last = world.dify.conversation("ann", talk).messages[4].id
    world.kept = json.dumps({"conversations": {talk: {"last_processed_message_id": last}}})
    assert await world.queries(window(0, 100)) == [["m5", "m6", "m7"]]
    assert await world.queries(window(-100, 100)) == []


# --- limits ---


async def test_of_too_many_tokens_the_newest_stay_and_the_others_come_later(world: World) -> None:
    talk = world.says("m0", 0)
    for number in range(1, 9):
        world.says(f"m{number}", number, talk)
    (found,), report = await world.run(window(0, 100), ScanLimits(tokens=7))
    assert [message.query for message in found.messages] == ["m6", "m7", "m8"]
    assert found.tokens == 6
    assert report.trimmed_messages == found.trimmed > 0
    assert await world.queries(window(0, 100), ScanLimits(tokens=8)) == [["m2", "m3", "m4", "m5"]]
    assert await world.queries(window(0, 100), ScanLimits(tokens=8)) == [["m0", "m1"]]
    assert await world.queries(window(0, 100)) == []


async def test_one_message_comes_however_long_it_is(world: World) -> None:
    talk = world.says("short", 10)
    world.says("long" * 100, 20, talk)
    assert await world.queries(window(0, 100), ScanLimits(tokens=5)) == [["long" * 100]]
    assert await world.queries(window(0, 100), ScanLimits(tokens=5)) == [["short"]]


async def test_as_many_conversations_as_may_be_and_the_others_next_time(world: World) -> None:
    for number in range(7):
        world.says(f"q{number}", number)
    limits = ScanLimits(conversations=3)
    reports = []
    for expected in (["q6", "q5", "q4"], ["q3", "q2", "q1"], ["q0"]):
        found, report = await world.run(window(0, 100), limits)
        assert [one.messages[0].query for one in found] == expected
        reports.append(report.stop_reason)
    assert reports == ["max_conversations_reached", "max_conversations_reached", "no_more_conversations"]
    assert json.loads(world.kept)["resume_conversation_cursor"] is None


async def test_exactly_as_many_as_may_be_is_not_too_many(world: World) -> None:
    for number in range(3):
        world.says("q", number)
    world.says("of another day", -50)
    _, report = await world.run(window(0, 100), ScanLimits(conversations=3))
    assert report.stop_reason == "no_more_conversations"


async def test_talks_without_anything_new_do_not_use_up_the_limit(world: World) -> None:
    for number in range(5):
        talk = world.says("before", -50 - number)
        world.says("after", 200 + number, talk)
    world.says("within", 50)
    assert await world.queries(window(0, 100), ScanLimits(conversations=1)) == [["within"]]


async def test_a_place_is_kept_only_for_the_same_window(world: World) -> None:
    talks = [world.says(f"q{number}", number) for number in range(6)]
    limits = ScanLimits(conversations=2)
    await world.run(window(0, 100), limits)
    assert checkpoint_of(world.kept).resume == Resume(talks[4], window(0, 100).end, window(0, 100).start)
    world.dify.calls.clear()
    await world.run(window(0, 101), limits)
    assert "last_id" not in world.dify.calls[0].query
    world.dify.calls.clear()
    await world.run(window(0, 101), limits)
    assert world.dify.calls[0].query["last_id"] == talks[2]


@pytest.mark.parametrize("place", ["deleted", "never one", ""])
async def test_a_place_that_is_gone_costs_nothing_but_a_look(world: World, place: str) -> None:
    for number in range(6):
        world.says(f"q{number}", number)
    cursor = str(uuid.uuid4()) if place == "deleted" else place
    resume = Resume(cursor, window(0, 100).end, window(0, 100).start)
    world.kept = json.dumps(Checkpoint(resume=resume).as_json())
    await world.run(window(0, 100))
    assert world.taken == Counter(f"q{number}" for number in range(6))


async def test_what_failed_to_be_remembered_comes_again(world: World) -> None:
    for number in range(7):
        world.says(f"q{number}", number)
    limits = ScanLimits(conversations=3)
    await world.run(window(0, 100), limits, failing=2)
    assert world.taken == Counter(["q4"])
    for _ in range(3):
        await world.run(window(0, 100), limits)
    assert world.taken == Counter(f"q{number}" for number in range(7))


async def test_a_talk_of_very_many_pages_is_not_read_for_ever(world: World) -> None:
    talk = world.says("m0", 0)
    for number in range(1, 30):
        world.says(f"m{number}", number, talk)
    limits = ScanLimits(pages=2)
    assert await world.queries(window(0, 100), limits) == [["m25", "m26", "m27", "m28", "m29"]]
    assert world.dify.counts()["/messages"] == 2


# --- while it is read ---


async def test_a_talk_that_moves_to_the_front_meanwhile_is_found_there(world: World) -> None:
    talks = [world.says(f"q{number}", number) for number in range(9)]

    def move(call: Call) -> None:
        if call.query.get("last_id"):
            world.dify.before_answer = lambda call: None
            world.says("later", 500, talks[0])

    world.dify.before_answer = move
    await world.run(window(0, 100))
    assert world.taken == Counter(f"q{number}" for number in range(9))


async def test_the_place_itself_moves_to_the_front(world: World) -> None:
    talks = [world.says(f"q{number}", number) for number in range(9)]

    def move(call: Call) -> None:
        if call.query.get("last_id") == talks[3]:
            world.dify.before_answer = lambda call: None
            world.says("later", 500, talks[3])

    world.dify.before_answer = move
    await world.run(window(0, 100))
    assert world.taken == Counter(f"q{number}" for number in range(9))


async def test_a_talk_that_is_deleted_meanwhile_is_left_out(world: World) -> None:
    talks = [world.says(f"q{number}", number) for number in range(3)]

    def delete(call: Call) -> None:
        if call.query.get("conversation_id") == talks[2]:
            world.dify.before_answer = lambda call: None
            world.dify.delete("ann", talks[1])

    world.dify.before_answer = delete
    found, report = await world.run(window(0, 100))
    assert [one.messages[0].query for one in found] == ["q2", "q0"]
    assert report.stop_reason == "no_more_conversations"


# --- faults ---


async def test_one_talk_that_cannot_be_read_keeps_nobody_else_waiting(world: World) -> None:
    talks = [world.says(f"q{number}", number) for number in range(4)]
    world.dify.fail("status", status=500, text=talks[2])
    found, report = await world.run(window(0, 100))
    assert [one.messages[0].query for one in found] == ["q3", "q1", "q0"]
    assert report.stop_reason == "conversation_failed"
    assert [error["conversation_id"] for error in report.errors] == [talks[2]]
    assert KEY not in str(report.errors)
    world.dify.mend()
    assert await world.queries(window(0, 100)) == [["q2"]]


async def test_where_none_can_be_read_it_stops_soon(world: World) -> None:
    for number in range(20):
        world.says("q", number)
    world.dify.fail("half", path="/messages")
    found, report = await world.run(window(0, 100))
    assert (found, report.stop_reason, len(report.errors)) == ([], "conversation_failed", 3)
    assert world.dify.counts()["/messages"] == 3


@pytest.mark.parametrize(("kind", "error"), [("status", DifyAwayError), ("html", DifyAnswerError)])
async def test_a_list_that_cannot_be_read_is_an_error(world: World, kind: str, error: type[Exception]) -> None:
    world.dify.fail(kind, path="/conversations")  # type: ignore[arg-type]
    with pytest.raises(error):
        await world.run(window(0, 100))


async def test_a_key_that_is_refused_meanwhile_is_an_error(world: World) -> None:
    world.says("q", 10)
    world.dify.fail("status", status=401, path="/messages")
    with pytest.raises(DifyRefusedError):
        await world.run(window(0, 100))


async def test_the_same_page_of_conversations_for_ever(world: World) -> None:
    for number in range(9):
        world.says(f"q{number}", number)
    world.dify.fail("same_page", path="/conversations")
    with pytest.raises(DifyAnswerError, match="again and again"):
        await world.run(window(0, 100))
    assert world.dify.counts()["/conversations"] < 10


async def test_the_same_page_of_messages_for_ever(world: World) -> None:
    talk = world.says("m0", 0)
    for number in range(1, 9):
        world.says(f"m{number}", number, talk)
    world.dify.fail("same_page", path="/messages")
    found, report = await world.run(window(0, 100))
    assert found == []
    assert "again and again" in report.errors[0]["message"]
    assert world.dify.counts()["/messages"] == 2


# --- anything ---

# Of each talk: when something is said, in seconds; several may fall into one.
histories = st.lists(st.lists(st.integers(0, 40), min_size=1, max_size=12), min_size=1, max_size=7)


@dataclass(frozen=True)
class Run:
    first: int
    length: int
    limits: ScanLimits
    failing: int
    moves: tuple[tuple[int, int], ...]  # at which call which talk goes on
    at_once: bool
    loses_place: bool


runs = st.builds(
    Run,
    st.integers(0, 40),
    st.integers(1, 42),
    st.builds(ScanLimits, st.integers(1, 4), st.sampled_from([1, 6, 15, 10**6]), st.sampled_from([200, 200, 2])),
    st.integers(0, 2),
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 6)), max_size=2).map(tuple),
    st.booleans(),
    st.booleans(),
)
# Per talk what the public plugin has read of it, if anything.
left_behind = st.dictionaries(st.integers(0, 6), st.tuples(st.integers(0, 30), st.integers(0, 15)), max_size=3)


class Random:
    """A random life: runs over random windows, then runs over everything until nothing is new."""

    def __init__(self, world: World, histories: list[list[int]], left: dict[int, tuple[int, int]]) -> None:
        self._world = world
        self._later = 100
        self._calls = 0
        self.expected: set[str] = set()
        self._talks = []
        marks = Checkpoint()
        for number, times in enumerate(histories):
            first, length = left.get(number, (100, -1))
            talk = ""
            for place, at in enumerate(sorted(times)):
                talk = world.says(f"{number}.{place}", at + place / 100 + number / 1000, talk)  # Dify loses ties
                if not first <= at <= first + length:
                    self.expected.add(f"{number}.{place}")
            self._talks.append(talk)
            if length >= 0:
                read = spans_of([Stretch(ZERO + first, ZERO + first + length)])
                marks = marks.moved(talk, Mark("", read))
        world.kept = json.dumps(marks.as_json())

    async def live(self, runs: list[Run]) -> None:
        for run in runs:
            self._calls = 0
            self._world.dify.before_answer = lambda call, run=run: self._move(run)  # type: ignore[misc]
            wanted = window(run.first, run.first + run.length)
            read_at = max(wanted.end, datetime.fromtimestamp(ZERO + 41, UTC)) if run.at_once else LONG_AFTER
            found, _ = await self._world.run(wanted, run.limits, failing=run.failing, read_at=read_at)
            self._check(found, wanted)
            if run.loses_place:
                self._world.kept = json.dumps(checkpoint_of(self._world.kept).resuming(None).as_json())
        self._world.dify.before_answer = lambda call: None
        limits = ScanLimits(conversations=2, tokens=6)
        for _ in range(200):
            found, report = await self._world.run(window(0, 50), limits)
            self._check(found, window(0, 50))
            if not found and report.stop_reason != "max_conversations_reached":
                return
        raise AssertionError("it never came to its end")

    def _move(self, run: Run) -> None:
        for at, number in run.moves:
            if at == self._calls and number < len(self._talks):
                self._later += 1
                self._world.says("later", self._later, self._talks[number])
        self._calls += 1

    def _check(self, found: list[Conversation], wanted: Window) -> None:
        assert len({one.id for one in found}) == len(found)
        for one in found:
            times = [message.created_at for message in one.messages]
            assert times == sorted(times)
            assert wanted.first_second <= times[0] and times[-1] <= wanted.last_second
            assert [message.query for message in one.messages] == sorted(
                (message.query for message in one.messages), key=lambda query: int(query.split(".")[1])
            )


@pytest.mark.parametrize("largest_page", [1, 2, 3, 7])
def test_each_message_is_taken_once_whatever_happens(largest_page: int) -> None:
    @settings(deadline=None, max_examples=20)
    @given(histories, left_behind, st.lists(runs, max_size=6))
    def lives(histories: list[list[int]], left: dict[int, tuple[int, int]], runs: list[Run]) -> None:
        asyncio.run(live(histories, left, runs))

    async def live(histories: list[list[int]], left: dict[int, tuple[int, int]], runs: list[Run]) -> None:
        async with DifyStandIn(largest_page=largest_page) as dify:
            world = World(dify)
            random = Random(world, histories, left)
            await random.live(runs)
        assert world.taken == Counter(random.expected)

    lives()
