"""Dify's Service API as it is read: its own order of pages, and everything that may go wrong on the way."""

import asyncio
import sys
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import aiohttp
import pytest

from tests.support.dify_api import KEY, DifyStandIn
from tests.support.waiting import until
from xiaozhi_server.core.providers.memory.base import SpokenMessage
from xiaozhi_server.core.providers.memory.mem0ai.errors import MemoryInputError
from xiaozhi_server.core.providers.memory.mem0ai.longterm.dify_api import (
    DifyApi,
    DifyOptions,
    InvalidDifyError,
    checked_base_url,
)
from xiaozhi_server.core.providers.memory.mem0ai.longterm.dify_errors import (
    DifyAnswerError,
    DifyAwayError,
    DifyError,
    DifyRefusedError,
    DifyRejectedError,
    DifyUnknownError,
)
from xiaozhi_server.core.providers.memory.mem0ai.longterm.dify_messages import message_from

AT = 1_780_000_000


@pytest.fixture
async def dify() -> AsyncIterator[DifyStandIn]:
    async with DifyStandIn() as dify:
        yield dify


def options(dify: DifyStandIn, **others: Any) -> DifyOptions:
    return DifyOptions(**{"base_url": dify.base_url, "api_key": KEY, "first_pause_s": 0.001, **others})


@asynccontextmanager
async def opened(dify: DifyStandIn, **others: Any) -> AsyncIterator[DifyApi]:
    api = DifyApi(options(dify, **others))
    try:
        yield api
    finally:
        await api.close()


async def test_a_page_of_messages_is_ascending_and_the_one_before_it_is_found_by_its_first(dify: DifyStandIn) -> None:
    async with opened(dify) as api:
        talk = ""
        for number in range(250):
            talk, _ = dify.add("ann", f"q{number}", at=AT + number / 3, conversation_id=talk)
        read: list[str] = []
        first_id = ""
        for count, has_more in ((100, True), (100, True), (50, False)):
            page = await api.messages("ann", talk, first_id)
            assert (len(page.items), page.has_more) == (count, has_more)
            read = [one.query for one in page.items] + read
            first_id = page.items[0].id
        assert read == [f"q{number}" for number in range(250)]


async def test_conversations_come_with_the_one_last_used_first(dify: DifyStandIn) -> None:
    async with opened(dify) as api:
        talks = [dify.add("ann", "q", at=AT + number)[0] for number in range(150)]
        dify.add("ann", "again", at=AT + 500, conversation_id=talks[3])
        first = await api.conversations("ann")
        second = await api.conversations("ann", first.items[-1].id)
        listed = [one.id for one in (*first.items, *second.items)]
        assert listed[0] == talks[3]
        assert sorted(listed) == sorted(talks)
        assert (first.has_more, second.has_more) == (True, False)
        assert (first.items[0].created_at, first.items[0].updated_at) == (AT + 3, AT + 500)


async def test_users_and_apps_are_apart(dify: DifyStandIn) -> None:
    async with opened(dify) as api:
        dify.add("ann", "q", at=AT)
        of_another_app, _ = dify.add("bob", "q", at=AT, key="app-other")
        assert (await api.conversations("bob")).items == ()
        assert (await api.conversations("?&user=ann #/%2e")).items == ()
        with pytest.raises(DifyUnknownError):
            await api.messages("bob", of_another_app)


async def test_a_key_that_dify_does_not_know(dify: DifyStandIn) -> None:
    api = DifyApi(options(dify, api_key="app-unknown-9876"))
    with pytest.raises(DifyRefusedError, match="HTTP 401") as raised:
        await api.conversations("ann")
    await api.close()
    assert "9876" not in str(raised.value)
    assert len(dify.calls) == 1


@pytest.mark.parametrize(
    ("fault", "error", "says", "calls"),
    [
        ({"kind": "status", "status": 400}, DifyRejectedError, "HTTP 400, error", 1),
        ({"kind": "status", "status": 403}, DifyRefusedError, "HTTP 403", 1),
        ({"kind": "status", "status": 404}, DifyUnknownError, "dify_base_url", 1),
        ({"kind": "status", "status": 422}, DifyRejectedError, "HTTP 422", 1),
        ({"kind": "status", "status": 429}, DifyAwayError, "HTTP 429", 4),
        ({"kind": "status", "status": 500}, DifyAwayError, "HTTP 500", 4),
        ({"kind": "status", "status": 503}, DifyAwayError, "HTTP 503", 4),
        ({"kind": "drop"}, DifyAwayError, "ServerDisconnected", 4),
        ({"kind": "cut"}, DifyAwayError, "ClientPayload", 4),
        ({"kind": "slow", "delay_s": 30.0}, DifyAwayError, r"no answer within 0\.2 s", 4),
        ({"kind": "html"}, DifyAnswerError, "web page", 1),
        ({"kind": "half"}, DifyAnswerError, "broken JSON", 1),
        ({"kind": "shape"}, DifyAnswerError, "without a list", 1),
        ({"kind": "empty_page"}, DifyAnswerError, "says that there is more", 1),
        ({"kind": "redirect"}, DifyAnswerError, "leads elsewhere", 1),
    ],
    ids=lambda one: "-".join(map(str, one.values())) if isinstance(one, dict) else None,
)
async def test_what_goes_wrong_is_told_clearly_and_only_what_passes_is_tried_again(
    dify: DifyStandIn, fault: dict[str, Any], error: type[DifyError], says: str, calls: int
) -> None:
    dify.add("ann", "q", at=AT)
    dify.fail(**fault)
    api = DifyApi(options(dify, timeout_s=0.2 if fault["kind"] == "slow" else 30.0))
    with pytest.raises(error, match=says) as raised:
        await api.conversations("ann")
    # A kept-alive connection that broke may be tried once more by the client itself.
    assert len(dify.calls) >= calls if fault["kind"] == "drop" else len(dify.calls) == calls
    assert KEY not in "".join(traceback.format_exception(raised.value)) + repr(api) + repr(api._options)
    dify.mend()
    assert len((await api.conversations("ann")).items) == 1
    await api.close()


@pytest.mark.parametrize("kind", ["status", "drop", "cut"])
async def test_what_passes_in_time_is_not_noticed(dify: DifyStandIn, kind: Any) -> None:
    async with opened(dify) as api:
        dify.add("ann", "q", at=AT)
        dify.fail(kind, times=3)
        assert len((await api.conversations("ann")).items) == 1


async def test_nobody_is_there() -> None:
    api = DifyApi(DifyOptions("http://127.0.0.1:1", KEY, first_pause_s=0.001))
    with pytest.raises(DifyAwayError, match="4 attempts"):
        await api.conversations("ann")
    await api.close()


async def test_pauses_grow_and_a_wish_is_heard(dify: DifyStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    really = asyncio.sleep

    async def sleep(delay: float, *rest: Any) -> None:
        pauses.append(delay)
        await really(0)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    api = DifyApi(options(dify, first_pause_s=1.0))
    wishes: list[tuple[str, list[tuple[float, float]]]] = [
        ("", [(0.5, 1.5), (1.0, 3.0), (2.0, 6.0)]),
        ("20", [(20, 20)] * 3),
        ("4000", [(60, 60)] * 3),
        ("soon", [(0.5, 1.5), (1.0, 3.0), (2.0, 6.0)]),
        (format_datetime(datetime.now(UTC) + timedelta(days=1)), [(60, 60)] * 3),
    ]
    for wish, bounds in wishes:
        dify.mend()
        dify.fail("status", status=429, retry_after=wish)
        pauses.clear()
        with pytest.raises(DifyAwayError):
            await api.conversations("ann")
        ours = [pause for pause in pauses if pause]  # the stand-in sleeps too, for no time
        assert [low <= pause <= high for pause, (low, high) in zip(ours, bounds, strict=True)] == [True] * 3
    await api.close()


async def test_who_does_not_wait_any_more_leaves_nothing_behind(dify: DifyStandIn) -> None:
    async with opened(dify) as api:
        dify.fail("slow", delay_s=60.0)
        asking = asyncio.create_task(api.conversations("ann"))
        await until(lambda: dify.running)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await until(lambda: dify.left == 1 and not dify.running)
        dify.mend()
        assert (await api.conversations("ann")).items == ()


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("https://api.dify.ai/v1", "https://api.dify.ai/v1"),
        (" https://api.dify.ai/v1/ ", "https://api.dify.ai/v1"),
        ("https://api.dify.ai", "https://api.dify.ai/v1"),
        ("http://dify:5001/", "http://dify:5001/v1"),
        ("http://[::1]:5001/dify", "http://[::1]:5001/dify/v1"),
    ],
)
def test_an_address_ends_in_v1(given: str, used: str) -> None:
    assert checked_base_url(given) == used


@pytest.mark.parametrize(
    "given",
    [
        "", " ", "api.dify.ai/v1", "ftp://api.dify.ai/v1", "https://", "https:///v1", "https://api.dify.ai/v1/messages",
        "https://ann:secret@api.dify.ai/v1", "https://api.dify.ai/v1?key=secret", "https://api.dify.ai/v1#secret",
        "https://api.dify.ai:99999/v1", "https://api.dify .ai/v1", "https://[::1/v1", "http://x/\nv1", None, 7, b"x",
    ],
)  # fmt: skip
def test_what_is_no_address_is_said_without_it(given: Any) -> None:
    with pytest.raises(InvalidDifyError, match="dify_base_url") as raised:
        DifyOptions(given, KEY)
    assert isinstance(raised.value, MemoryInputError)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("key", ["", " ", "app-sec ret", "app-secret\r\nX-Other: 1", "äpp-secret", None, 7])
def test_what_is_no_key_is_said_without_it(key: Any) -> None:
    with pytest.raises(InvalidDifyError, match="dify_api_key") as raised:
        DifyOptions("https://api.dify.ai/v1", key)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ({"query": " Hello. ", "answer": "Hi."}, [("user", "Hello."), ("assistant", "Hi.")]),
        ({"query": "Hello.", "answer": ""}, [("user", "Hello.")]),
        (
            {"query": "<think>?", "answer": "<think>\nHm.\n</think>\n\nHi."},
            [("user", "<think>?"), ("assistant", "Hi.")],
        ),
        (
            {"query": "Hello.", "answer": "Write <think>x</think>."},
            [("user", "Hello."), ("assistant", "Write <think>x</think>.")],
        ),
        ({"query": None, "answer": "Hi.", "content": "x"}, [("assistant", "Hi.")]),
        ({"role": "assistant", "content": "Hi."}, [("assistant", "Hi.")]),
        ({"role": "tool", "content": "Done."}, [("user", "Done.")]),
        ({"text": "Hello."}, [("user", "Hello.")]),
        ({"query": 7, "answer": ["x"], "content": {}}, []),
    ],
)
def test_a_message_is_what_was_said(item: dict[str, Any], said: list[tuple[Any, str]]) -> None:
    message = message_from({"id": "m", "created_at": AT, **item})
    at = datetime.fromtimestamp(AT, UTC)
    assert message.spoken() == [SpokenMessage(role, text, at) for role, text in said]


@pytest.mark.parametrize("item", [{}, {"id": "m"}, {"id": "", "created_at": AT}, {"id": "m", "created_at": "soon"}])
def test_a_message_without_its_name_or_time_is_an_error(item: dict[str, Any]) -> None:
    with pytest.raises(DifyAnswerError):
        message_from(item)


async def test_the_stand_in_as_its_own_process() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.dify_api", "--key", "app-1", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    base_url = (await process.stdout.readline()).decode().split()[-1]
    root = base_url.removesuffix("/v1")
    async with aiohttp.ClientSession() as session:
        said = [{"user": "ann", "query": "Hello.", "at": AT, "key": "app-1"}]
        async with session.post(f"{root}/_data", json=said) as answer:
            assert len(await answer.json()) == 1
        api = DifyApi(DifyOptions(base_url, "app-1", first_pause_s=0.001))
        async with session.post(f"{root}/_control", json={"kind": "status", "times": 1}):
            assert len((await api.conversations("ann")).items) == 1
        await api.close()
        async with session.get(f"{root}/_stats") as answer:
            assert (await answer.json())["counts"] == {"/conversations": 2}
    process.terminate()
    assert await process.wait() == 0
