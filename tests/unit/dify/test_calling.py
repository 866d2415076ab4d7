"""Whatever happens, a workflow gets a status: the same ones in both modes, and never an empty success for a failure."""

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from psycopg import OperationalError
from psycopg_pool import PoolTimeout, TooManyRequests

from mem0_tools import logs
from mem0_tools.background import Background
from mem0_tools.calling import Caller, Limits
from mem0_tools.clients import Clients
from mem0_tools.memory import Home
from mem0_tools.operations import OPERATIONS
from tests.unit.dify.fake_home import CREDENTIALS, FakeMemory, FakeWrites, home_of
from xiaozhi_memory.mem0ai.accepting.accepted import JournalFullError
from xiaozhi_memory.mem0ai.errors import MemoryNotFoundError
from xiaozhi_memory.mem0ai.platform.errors import PlatformAwayError

ID = "11111111-2222-3333-4444-555555555555"
SECRET = CREDENTIALS["mem0_api_key"]
PARAMETERS: dict[str, dict[str, Any]] = {
    "add_memory": {"user": "hello", "user_id": "u"},
    "search_memory": {"query": "q", "user_id": "u"},
    "retrieve_memory": {"query": "q", "user_id": "u"},
    "get_all_memories": {"user_id": "u"},
    "get_memory": {"memory_id": ID},
    "update_memory": {"memory_id": ID, "text": "x"},
    "delete_memory": {"memory_id": ID},
    "delete_all_memories": {"user_id": "u"},
    "get_memory_history": {"memory_id": ID},
    "extract_long_term_memory": {
        "user_ids": "u",
        "app_id": "app",
        "dify_base_url": "http://127.0.0.1/v1",
        "dify_api_key": "app-1",
    },
    "check_extraction_status": {"task_id": "t"},
    "get_user_checkpoint": {"user_id": "u"},
    "forget_memories": {"user_id": "u"},
}
READS = ("search_memory", "retrieve_memory", "get_all_memories", "get_memory", "get_memory_history")
Make = Callable[..., Caller]


@pytest.fixture
def make() -> Iterator[Make]:
    """Makes what calls the tools of one home."""
    made: list[Caller] = []

    def caller(home: Home | Exception, **limits: float) -> Caller:
        async def open_home(settings: Any) -> Home:
            if isinstance(home, Exception):
                raise home
            return home

        made.append(Caller(Background(), Clients(open_home), Limits(**limits)))
        return made[-1]

    yield caller
    for one in made:
        one.stop()


def failing(problem: Exception) -> Home:
    """Every method of it fails."""
    names = "add search search_by_agent get_all get update delete delete_all history owner_of"
    memory = FakeMemory(**dict.fromkeys(names.split(), problem))
    door = FakeMemory(start=problem, run=problem, status=problem, checkpoint=problem, forget_faded=problem)
    return home_of(memory, writes=FakeWrites(problem), longterm=door, forgets=door)


def test_there_are_the_twelve_tools_and_the_old_one() -> None:
    assert OPERATIONS.keys() == PARAMETERS.keys()


@pytest.mark.parametrize("async_mode", [True, False])
@pytest.mark.parametrize("tool", PARAMETERS)
@pytest.mark.parametrize(
    ("problem", "status"),
    [
        (RuntimeError(f"boom {SECRET}"), "ERROR"),
        (OperationalError(f"password {SECRET}"), "ERROR"),
        (PoolTimeout("none in time"), "ERROR"),
        (PlatformAwayError("no answer", may_have_worked=False), "ERROR"),
        (TimeoutError(), "TIMEOUT"),
        (TooManyRequests("too many"), "OVERLOAD"),
        (JournalFullError("full"), "OVERLOAD"),
    ],
)
def test_a_failure_has_its_status_in_both_modes(
    make: Make, tool: str, async_mode: bool, problem: Exception, status: str
) -> None:
    answer = make(failing(problem)).call(tool, PARAMETERS[tool], {**CREDENTIALS, "async_mode": async_mode})
    assert answer.status == status
    assert SECRET not in repr(answer)
    assert "Failed to" in answer.text or answer.status == "OVERLOAD"


@pytest.mark.parametrize("async_mode", [True, False])
@pytest.mark.parametrize("tool", ["get_memory", "update_memory", "delete_memory", "get_memory_history"])
def test_what_is_gone_is_not_found(make: Make, tool: str, async_mode: bool) -> None:
    home = home_of(FakeMemory(owner_of=None), writes=FakeWrites())
    answer = make(home).call(tool, PARAMETERS[tool], {**CREDENTIALS, "async_mode": async_mode})
    assert answer.status == "NOT_FOUND"


@pytest.mark.parametrize("tool", ["update_memory", "delete_memory"])
def test_what_goes_meanwhile_is_not_found(make: Make, tool: str) -> None:
    memory = FakeMemory(owner_of=_gives("u"), update=MemoryNotFoundError(), delete=MemoryNotFoundError())
    answer = make(home_of(memory)).call(tool, PARAMETERS[tool], {**CREDENTIALS, "async_mode": False})
    assert answer.status == "NOT_FOUND"


@pytest.mark.parametrize("tool", PARAMETERS)
@pytest.mark.parametrize("credentials", [None, {}, {"local_llm_json_secret": f'{{"x": "{SECRET}"'}])
def test_wrong_credentials_are_an_error(make: Make, tool: str, credentials: Any) -> None:
    answer = make(home_of(FakeMemory())).call(tool, PARAMETERS[tool], credentials)
    assert answer.status == "ERROR"
    assert SECRET not in repr(answer)


@pytest.mark.parametrize("tool", PARAMETERS)
def test_a_memory_that_does_not_open_is_an_error(make: Make, tool: str) -> None:
    answer = make(OperationalError(SECRET)).call(tool, PARAMETERS[tool], CREDENTIALS)
    assert answer.status == "ERROR"
    assert SECRET not in repr(answer)


@pytest.mark.parametrize("tool", PARAMETERS)
def test_no_parameters_are_an_error(make: Make, tool: str) -> None:
    answer = make(home_of(FakeMemory())).call(tool, {}, CREDENTIALS)
    assert answer.status == "ERROR"
    assert "required" in answer.text


def test_the_words_for_what_is_missing(make: Make) -> None:
    call = make(home_of(FakeMemory())).call
    assert call("add_memory", {"user": "x"}, CREDENTIALS).json == {
        "status": "ERROR",
        "messages": "user_id is required",
        "results": {},
    }
    assert call("search_memory", {"query": "x"}, CREDENTIALS).json == {
        "status": "ERROR",
        "messages": "user_id or agent_id is required",
        "results": [],
    }


@pytest.mark.parametrize(
    ("tool", "messages", "results"),
    [
        ("search_memory", "Operation timed out, returning empty results", []),
        ("get_all_memories", "Operation timed out, returning empty results", []),
        ("get_memory_history", "Operation timed out, returning empty results", []),
        ("get_memory", f"Operation timed out while retrieving memory: {ID}", None),
    ],
)
def test_the_words_for_what_is_late(make: Make, tool: str, messages: str, results: Any) -> None:
    answer = make(failing(TimeoutError())).call(tool, PARAMETERS[tool], CREDENTIALS)
    assert (answer.json["messages"], answer.json["results"]) == (messages, results)


def test_the_words_for_too_much(make: Make) -> None:
    call = make(failing(JournalFullError())).call
    added = call("add_memory", PARAMETERS["add_memory"], CREDENTIALS)
    assert added.json["results"] == [{"id": "", "memory": "", "event": "SKIP"}]
    assert added.json["messages"] == [{"role": "user", "content": "hello"}]
    assert added.text == "System overloaded, memory add skipped (not enqueued)."
    found = call("search_memory", PARAMETERS["search_memory"], CREDENTIALS)
    assert found.json["messages"] == "System overloaded, returning empty results"


def _gives(value: Any) -> Callable[..., Any]:
    async def answer(*_: Any, **__: Any) -> Any:
        return value

    return answer


@pytest.mark.parametrize("tool", READS)
@pytest.mark.parametrize("async_mode", [True, False])
def test_a_call_ends_at_its_own_limit_and_what_it_began_is_cancelled(make: Make, tool: str, async_mode: bool) -> None:
    ended = threading.Event()

    async def hangs(*_: Any, **__: Any) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    names = ("search", "get_all", "get", "history")
    home = home_of(FakeMemory(owner_of=_gives("u"), **dict.fromkeys(names, hangs)))
    answer = make(home).call(tool, {**PARAMETERS[tool], "timeout": "1"}, {**CREDENTIALS, "async_mode": async_mode})
    assert answer.status == "TIMEOUT"
    assert ended.wait(5.0)


def test_reads_have_a_limit_of_ours_in_async_mode_alone(make: Make) -> None:
    async def slow(*_: Any, **__: Any) -> list[Any]:
        await asyncio.sleep(0.2)
        return []

    caller = make(home_of(FakeMemory(search=slow)), read_s=0.05)
    assert caller.call("search_memory", PARAMETERS["search_memory"], CREDENTIALS).status == "TIMEOUT"
    sync = {**CREDENTIALS, "async_mode": "false"}
    assert caller.call("search_memory", PARAMETERS["search_memory"], sync).status == "SUCCESS"


def test_overload_is_told_at_once_while_others_are_under_way(make: Make) -> None:
    free, begun = asyncio.Event(), threading.Semaphore(0)

    async def holds(*_: Any, **__: Any) -> list[Any]:
        begun.release()
        await free.wait()
        return []

    memory = FakeMemory(search=holds)
    caller = make(home_of(memory))
    credentials = {**CREDENTIALS, "max_concurrent_memory_operations": "1"}
    statuses: list[str] = []

    def search() -> None:
        statuses.append(
            caller.call("search_memory", {**PARAMETERS["search_memory"], "timeout": 60}, credentials).status
        )

    threads = [threading.Thread(target=search) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert begun.acquire(timeout=5.0)
    pause = threading.Event()
    while caller.pending(credentials) < 2:
        pause.wait(0.01)
    search()
    assert statuses == ["OVERLOAD"]
    assert len([name for name, _, _ in memory.asked if name == "search"]) == 1
    free.set()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == ["OVERLOAD", "SUCCESS", "SUCCESS"]


@pytest.mark.parametrize("tool", ["extract_long_term_memory", "check_extraction_status", "get_user_checkpoint"])
def test_extraction_needs_a_home_that_can(make: Make, tool: str) -> None:
    answer = make(home_of(FakeMemory())).call(tool, PARAMETERS[tool], CREDENTIALS)
    assert answer.status == "ERROR"
    assert "needs self-hosted mode" in answer.json["messages"]


def test_extraction_waits_in_sync_mode_and_tells_what_was_done(make: Make) -> None:
    door = FakeMemory(run=_gives({"status": "SUCCESS", "user_count": 1, "per_user": []}), start=_gives({}))
    call = make(home_of(FakeMemory(), longterm=door)).call
    tool = "extract_long_term_memory"
    answer = call(tool, PARAMETERS[tool], {**CREDENTIALS, "async_mode": False})
    assert answer.json == {"mode": "sync", "status": "SUCCESS", "user_count": 1, "per_user": []}
    assert [name for name, _, _ in door.asked] == ["run"]


def test_an_accepted_write_carries_what_is_needed_to_do_it(make: Make) -> None:
    writes = FakeWrites()
    call = make(home_of(FakeMemory(owner_of=_gives("owner")), writes=writes)).call
    call("add_memory", {**PARAMETERS["add_memory"], "agent_id": "a", "metadata": "{'k': 1}"}, CREDENTIALS)
    call("update_memory", PARAMETERS["update_memory"], CREDENTIALS)
    call("delete_memory", PARAMETERS["delete_memory"], CREDENTIALS)
    call("delete_all_memories", {"user_id": "u", "agent_id": "a"}, CREDENTIALS)
    hello = [{"role": "user", "content": "hello"}]
    assert writes.accepted == [
        ("add", "u", {"messages": hello, "infer": True, "agent_id": "a", "metadata": {"k": 1}}),
        ("update", "owner", {"id": ID, "text": "x"}),
        ("delete", "owner", {"id": ID}),
        ("delete_all", "u", {"agent_id": "a"}),
    ]


def test_what_waits_to_be_added_goes_with_all_memories(make: Make) -> None:
    writes, memory = FakeWrites(), FakeMemory(delete_all=3)
    call = make(home_of(memory, writes=writes)).call
    answer = call("delete_all_memories", {"user_id": "u"}, {**CREDENTIALS, "async_mode": False})
    assert answer.json["results"]["deleted_count"] == 3
    assert writes.dropped == [("u", None)]


def test_after_the_end_there_is_still_an_answer(make: Make) -> None:
    caller = make(home_of(FakeMemory(search=_gives([]))))
    caller.stop()
    assert caller.call("search_memory", PARAMETERS["search_memory"], CREDENTIALS).status == "ERROR"


def test_credentials_that_were_replaced_leave_nothing_behind(make: Make) -> None:
    caller = make(home_of(FakeMemory(search=_gives([]))))
    for number in range(20):
        credentials = {"mem0_api_key": f"m0-key-{number}"}
        assert caller.call("search_memory", PARAMETERS["search_memory"], credentials).status == "SUCCESS"
    assert caller._lanes.count() <= 1, "the last one may not have been left yet"


class Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))

    def of(self, *words: str) -> list[str]:
        """Which run each of these lines names, in their order."""
        return [line.partition("]")[0].removeprefix("[req:") for line in self.lines if all(w in line for w in words)]


@pytest.fixture
def lines() -> Iterator[Lines]:
    handler = Lines()
    loggers = [logging.getLogger(name) for name in ("mem0_tools", "xiaozhi_memory")]
    before = [(one, one.level, one.propagate) for one in loggers]
    logs.join(handler)
    yield handler
    for one, level, propagate in before:
        one.removeHandler(handler)
        one.setLevel(level)
        one.propagate = propagate


@pytest.mark.parametrize("async_mode", [True, False])
def test_every_line_of_a_call_names_its_run(make: Make, lines: Lines, async_mode: bool) -> None:
    """Of two at once, in both packages, in what they begin beside them, and after what they raise."""
    speaks, met = logging.getLogger("xiaozhi_memory.mem0ai.engine"), asyncio.Barrier(2)

    async def beside(query: str) -> None:
        speaks.debug("beside %s", query)

    async def search(query: str, **_: Any) -> list[Any]:
        speaks.info("begun %s", query)
        await met.wait()
        await asyncio.create_task(beside(query))
        await asyncio.to_thread(speaks.warning, "in a thread %s", query)
        await met.wait()
        raise RuntimeError(query)

    caller = make(home_of(FakeMemory(search=search)))
    credentials = {**CREDENTIALS, "async_mode": async_mode, "log_level": "DEBUG"}

    def call(name: str) -> None:
        asked = {**PARAMETERS["search_memory"], "query": f"query-{name}", "run_id": f"run-{name}", "timeout": 20}
        assert caller.call("search_memory", asked, credentials).status == "ERROR"

    threads = [threading.Thread(target=call, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in "ab":
        assert lines.of(f"query-{name}") == [f"run-{name}"] * 3, lines.lines
    for told in ("search_memory failed", "search_memory: ERROR"):
        assert sorted(lines.of(told)) == ["run-a", "run-b"], lines.lines


@pytest.mark.parametrize("run_id", [None, "", {"no": "text"}, True])
def test_a_call_without_a_run_does_not_go_on_with_the_one_before(make: Make, lines: Lines, run_id: Any) -> None:
    caller = make(home_of(FakeMemory(search=_gives([]))))
    for asked in ({"run_id": "run-1"}, {"run_id": run_id}):
        caller.call("search_memory", {**PARAMETERS["search_memory"], **asked}, CREDENTIALS)
    assert lines.of("search_memory: ") == ["run-1", "no-run-id"]
    caller.call("search_memory", {**PARAMETERS["search_memory"], "run_id": "run-2"}, CREDENTIALS)
    caller.validate({})
    assert lines.of("do not work") == ["no-run-id"]
