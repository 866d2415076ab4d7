"""The stand-in Mem0 platform as mem0's own clients see it, and its rules that surprise."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import pytest

from firmware_sim.cloud import Extraction, Fault, StandInCloud

KEY = "m0-stand-in"
SAID_AT = 1_795_000_000
TEAL = {"role": "user", "content": "My favourite colour is teal."}
NOTED = {"role": "assistant", "content": "Noted: teal."}
ANN = {"AND": [{"user_id": "ann"}]}


@pytest.fixture(scope="module", autouse=True)
def mem0_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Set before mem0 is imported for the first time: it writes there, and tells its makers what it does."""
    folder = tmp_path_factory.mktemp("mem0")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEM0_DIR", str(folder))
        patch.setenv("MEM0_TELEMETRY", "False")
        yield folder


class Stock:
    """mem0's client, the blocking one in a thread or the other one: both with the same methods."""

    def __init__(self, client: Any) -> None:
        self._client = client

    async def __call__(self, method: str, *arguments: Any, **options: Any) -> Any:
        function = getattr(self._client, method)
        if asyncio.iscoroutinefunction(function):
            return await function(*arguments, **options)
        return await asyncio.to_thread(function, *arguments, **options)


@asynccontextmanager
async def blocking_client(host: str, key: str = KEY) -> AsyncIterator[Stock]:
    from mem0 import MemoryClient

    with httpx.Client() as http:  # its own would stay open where the key is refused
        yield Stock(await asyncio.to_thread(MemoryClient, api_key=key, host=host, client=http))


@asynccontextmanager
async def async_client(host: str, key: str = KEY) -> AsyncIterator[Stock]:
    from mem0 import AsyncMemoryClient

    async with httpx.AsyncClient() as http:
        yield Stock(await asyncio.to_thread(AsyncMemoryClient, api_key=key, host=host, client=http))


CLIENTS = (blocking_client, async_client)
with_each_client = pytest.mark.parametrize("opened", CLIENTS)


@asynccontextmanager
async def cloud_and_client(opened: Any = async_client) -> AsyncIterator[tuple[StandInCloud, Stock]]:
    async with StandInCloud(phrases=[], api_key=KEY) as cloud, opened(cloud.memory_host) as stock:
        yield cloud, stock


@asynccontextmanager
async def cloud_and_web() -> AsyncIterator[tuple[StandInCloud, aiohttp.ClientSession]]:
    headers = {"Authorization": f"Token {KEY}"}
    async with (
        StandInCloud(phrases=[], api_key=KEY) as cloud,
        aiohttp.ClientSession(cloud.memory_host, headers=headers) as web,
    ):
        yield cloud, web


async def texts_of(stock: Stock, query: str = "favourite colour", filters: Any = ANN, **options: Any) -> list[str]:
    return [found["memory"] for found in (await stock("search", query, filters=filters, **options))["results"]]


@with_each_client
async def test_what_is_added_is_found_changed_and_deleted(opened: Any) -> None:
    async with cloud_and_client(opened) as (cloud, stock):
        added = await stock(
            "add",
            [TEAL, NOTED],
            user_id="ann",
            metadata={"agent": "bot"},
            timestamp=SAID_AT,
            custom_instructions="Hobbies.",
        )
        assert added["status"] == "PENDING"
        (found,) = (await stock("search", "What is my favourite colour?", filters=ANN))["results"]
        assert found["memory"] == TEAL["content"]
        assert 0 < found["score"] <= 1
        assert found["metadata"] == {"agent": "bot"}
        assert found["created_at"] == found["updated_at"] == "2026-11-18T11:06:40+00:00"
        assert cloud.platform.memories.event(added["event_id"])["results"][0]["id"] == found["id"]
        assert (await stock("get", found["id"]))["user_id"] == "ann"
        assert (await stock("get_all", filters=ANN))["count"] == 1

        changed = await stock("update", found["id"], text="My favourite colour is amber.")
        assert changed["memory"] == "My favourite colour is amber."
        assert await texts_of(stock) == ["My favourite colour is amber."]
        assert "deleted" in (await stock("delete", found["id"]))["message"]
        assert await texts_of(stock) == []
        history = await stock("history", found["id"])
        assert [entry["event"] for entry in history] == ["ADD", "UPDATE", "DELETE"]
        assert history[1]["old_memory"] == TEAL["content"]
        asked = {request.body["operation"]: request.body for request in cloud.requests}
        assert asked["add"]["custom_instructions"] == "Hobbies."
        assert asked["add"]["messages"] == [TEAL, NOTED]


@with_each_client
async def test_all_of_one_and_not_of_the_other_is_deleted(opened: Any) -> None:
    async with cloud_and_client(opened) as (_, stock):
        for user in ("ann", "bob"):
            await stock("add", [TEAL], user_id=user)
        assert (await stock("users"))["total_users"] == 2
        await stock("delete_all", user_id="ann")
        assert await texts_of(stock) == []
        assert await texts_of(stock, filters={"user_id": "bob"}) == [TEAL["content"]]
        await stock("delete_users", user_id="bob")
        assert await texts_of(stock, filters={"user_id": "bob"}) == []


@with_each_client
async def test_batches(opened: Any) -> None:
    async with cloud_and_client(opened) as (_, stock):
        await stock("add", "I live in Oslo.", user_id="ann")
        (one,) = (await stock("get_all", filters=ANN))["results"]
        await stock("batch_update", [{"memory_id": one["id"], "text": "I live in Halifax."}])
        assert await texts_of(stock, "Where do I live?") == ["I live in Halifax."]
        await stock("batch_delete", [{"memory_id": one["id"]}])
        assert await texts_of(stock, "Where do I live?") == []


@with_each_client
async def test_pages(opened: Any) -> None:
    async with cloud_and_client(opened) as (_, stock):
        for number in range(5):
            await stock("add", f"Fact {number}", user_id="ann", timestamp=SAID_AT + number)
        first = await stock("get_all", filters=ANN, page=1, page_size=2)
        assert [memory["memory"] for memory in first["results"]] == ["Fact 4", "Fact 3"]
        assert first["count"] == 5
        assert "page=2" in first["next"]
        assert first["previous"] is None
        last = await stock("get_all", filters=ANN, page=3, page_size=2)
        assert [memory["memory"] for memory in last["results"]] == ["Fact 0"]
        assert last["next"] is None


@with_each_client
async def test_what_is_not_there_is_not_found(opened: Any) -> None:
    async with cloud_and_client(opened) as (_, stock):
        from mem0.exceptions import MemoryNotFoundError

        for method, options in (("get", {}), ("update", {"text": "x"}), ("delete", {}), ("history", {})):
            with pytest.raises(MemoryNotFoundError):
                await stock(method, "00000000-0000-0000-0000-000000000000", **options)


@with_each_client
async def test_a_wrong_key_is_refused(opened: Any) -> None:
    async with StandInCloud(phrases=[], api_key=KEY) as cloud:
        with pytest.raises(ValueError, match="wrong key"):
            async with opened(cloud.memory_host, "m0-other"):
                pass


@with_each_client
async def test_faults_are_the_clients_errors(opened: Any) -> None:
    async with cloud_and_client(opened) as (cloud, stock):
        from mem0.exceptions import NetworkError, RateLimitError

        cloud.faults.memory = Fault(status=429, times=1)
        with pytest.raises(RateLimitError) as refused:
            await texts_of(stock)
        assert refused.value.debug_info["retry_after"] == 1
        cloud.faults.memory = Fault(mode="cut", times=1)
        with pytest.raises(NetworkError):
            await texts_of(stock)
        assert await texts_of(stock) == []


@with_each_client
async def test_what_a_user_said_is_kept_word_for_word_and_twice_if_it_came_twice(opened: Any) -> None:
    async with cloud_and_client(opened) as (_, stock):
        for _ in range(2):
            await stock("add", [TEAL, NOTED], user_id="ann")
        assert await texts_of(stock) == [TEAL["content"]] * 2
        await stock("add", [TEAL, NOTED], user_id="bob", infer=False)
        assert set(await texts_of(stock, filters={"user_id": "bob"}, threshold=0.0)) == {
            TEAL["content"],
            NOTED["content"],
        }


@with_each_client
async def test_a_memory_belongs_to_its_user_or_to_its_agent_and_never_to_both(opened: Any) -> None:
    async with cloud_and_client(opened) as (_, stock):
        await stock("add", [TEAL, NOTED], user_id="ann", agent_id="bot", infer=False)
        assert await texts_of(stock, filters={"AND": [{"user_id": "ann"}, {"agent_id": "bot"}]}) == []
        assert await texts_of(stock) == [TEAL["content"]]
        assert await texts_of(stock, "teal", filters={"agent_id": "bot"}) == [NOTED["content"]]


@with_each_client
async def test_a_name_takes_the_memory_away_from_its_user(opened: Any) -> None:
    async with cloud_and_client(opened) as (_, stock):
        await stock("add", [{**TEAL, "name": "Zoe"}], user_id="ann")
        assert await texts_of(stock) == []
        assert await texts_of(stock, filters={"user_id": "Zoe"}) == [TEAL["content"]]


@with_each_client
async def test_an_entity_that_is_not_named_must_be_absent(opened: Any) -> None:
    async with cloud_and_client(opened) as (_, stock):
        await stock("add", [TEAL], user_id="ann", run_id="session-1")
        assert await texts_of(stock) == []
        for run in ("session-1", "*"):
            assert await texts_of(stock, filters={"AND": [{"user_id": "ann"}, {"run_id": run}]}) == [TEAL["content"]]


@pytest.mark.parametrize(
    ("condition", "count"),
    [
        ({"metadata": {"agent": "bot"}}, 1),
        ({"metadata": {"agent": {"ne": "bot"}}}, 1),
        ({"NOT": [{"metadata": {"agent": "bot"}}]}, 1),
        ({"OR": [{"metadata": {"agent": "bot"}}, {"metadata": {"agent": "tutor"}}]}, 2),
        ({"keywords": {"icontains": "TEAL"}}, 1),
        ({"created_at": {"gte": "2026-11-18", "lt": "2026-11-19"}}, 2),
        ({"created_at": {"gt": "2026-11-19"}}, 0),
        ({"categories": {"contains": "food"}}, 0),
        ({"memory_ids": []}, 0),
    ],
)
async def test_filters(condition: dict[str, Any], count: int) -> None:
    async with cloud_and_client() as (_, stock):
        for agent, text in (("bot", TEAL["content"]), ("tutor", "I like amber.")):
            await stock("add", text, user_id="ann", metadata={"agent": agent}, timestamp=SAID_AT)
        found = await stock("get_all", filters={"AND": [{"user_id": "ann"}, condition]})
        assert found["count"] == count


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v3/memories/add/", {"messages": [TEAL]}),
        ("/v3/memories/add/", {"messages": [], "user_id": "ann"}),
        ("/v3/memories/search/", {"query": "teal"}),
        ("/v3/memories/search/", {"query": " ", "filters": ANN}),
        ("/v3/memories/search/", {"query": "teal", "filters": ANN, "top_k": 0}),
        ("/v3/memories/search/", {"query": "teal", "user_id": "ann", "filters": ANN}),
        ("/v3/memories/search/", {"query": "teal", "filters": {"AND": [{"metadata": {"agent": "bot"}}]}}),
        ("/v3/memories/search/", {"query": "teal", "filters": {"AND": [{"user_id": {">": "a"}}]}}),
        ("/v3/memories/", {"filters": {"AND": [{"user_id": "ann"}, {"metadata": {"agent": {"in": ["bot"]}}}]}}),
        ("/v3/memories/", {"filters": {"user_id": "ann", "mood": "good"}}),
        ("/v3/memories/?page=0", {"filters": ANN}),
    ],
)
async def test_what_the_platform_refuses(path: str, body: dict[str, Any]) -> None:
    async with cloud_and_web() as (_, web), web.post(path, json=body) as response:
        assert response.status == 400
        assert (await response.json())["error"]


async def test_a_write_takes_its_time() -> None:
    async with cloud_and_web() as (cloud, web):

        async def status_of(event_id: str) -> str:
            async with web.get(f"/v1/event/{event_id}/") as response:
                return str((await response.json())["status"])

        async def count() -> int:
            async with web.post("/v3/memories/", json={"filters": ANN}) as response:
                return int((await response.json())["count"])

        cloud.platform.memories.extraction = Extraction(delay_s=0.4)
        async with web.post("/v3/memories/add/", json={"messages": [TEAL], "user_id": "ann"}) as response:
            event_id = (await response.json())["event_id"]
        assert await count() == 0
        statuses = [await status_of(event_id)]
        async with asyncio.timeout(10):
            while statuses[-1] != "SUCCEEDED":
                await asyncio.sleep(0.02)
                statuses.append(await status_of(event_id))
        assert list(dict.fromkeys(statuses)) == ["PENDING", "RUNNING", "SUCCEEDED"]
        assert await count() == 1
        async with web.get("/v1/event/00000000-0000-0000-0000-000000000000/") as response:
            assert response.status == 404


async def test_a_write_can_fail_afterwards() -> None:
    async with cloud_and_client() as (cloud, stock):
        cloud.platform.memories.extraction = Extraction(failures=1)
        first, second = [await stock("add", [TEAL], user_id="ann") for _ in range(2)]
        assert cloud.platform.memories.event(first["event_id"])["status"] == "FAILED"
        assert cloud.platform.memories.event(second["event_id"])["status"] == "SUCCEEDED"
        assert await texts_of(stock) == [TEAL["content"]]


async def test_extraction_is_set_over_http() -> None:
    async with cloud_and_web() as (cloud, web):
        wishes: list[tuple[dict[str, Any], int]] = [({"delay_s": 2, "failures": 1}, 200), ({"delay_s": -1}, 400)]
        for wish, status in wishes:
            async with web.post("/_control", json={"extraction": wish}) as response:
                assert response.status == status
        assert cloud.platform.memories.extraction == Extraction(delay_s=2, failures=1)
