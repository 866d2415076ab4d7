"""Answers kept for a while in a real Redis."""

from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from tests.integration.memory.conftest import Pool
from tests.support.redis_server import redis_server
from tests.support.waiting import until
from xiaozhi_server.core.providers.memory.base import SpokenMessage
from xiaozhi_server.core.providers.memory.mem0ai import EngineOptions, MemoryEngine, SearchOptions
from xiaozhi_server.core.providers.memory.mem0ai.embedding.embed import Vectors
from xiaozhi_server.core.providers.memory.mem0ai.finding.recall_cache import RecallCache, answer_key
from xiaozhi_server.core.providers.memory.mem0ai.finding.recall_cache_redis import RedisCache
from xiaozhi_server.core.providers.memory.mem0ai.records import FoundMemory, StoredMemory
from xiaozhi_server.core.providers.memory.mem0ai.testing import WordEmbedder

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


def found(text: str) -> list[FoundMemory]:
    memory = StoredMemory(
        UUID(int=7), "o", "a", "", "s", "user", "Anna", text, {"k": [1, "ü"]}, NOON, NOON, superseded_by=UUID(int=8)
    )
    return [FoundMemory(memory, 0.5, None), FoundMemory(memory, 0.25, 0.125)]


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with redis_server() as port:
        yield port


@pytest.fixture
async def cache(port: int) -> AsyncIterator[RedisCache]:
    cache = RedisCache(f"redis://127.0.0.1:{port}", prefix=uuid4().hex)
    yield cache
    await cache.close()


async def kept(cache: RecallCache, owner: str, key: str) -> str | None:
    answer = await cache.slot(owner).get(key)
    return answer[0].memory.text if answer else None


async def test_an_answer_comes_back_as_it_was(cache: RecallCache) -> None:
    slot = cache.slot("o")
    assert await slot.get("k") is None
    await slot.put("k", found("blue"))
    assert list(await cache.slot("o").get("k") or ()) == found("blue")
    assert await cache.slot("o").get("other") is None
    assert await cache.slot("p").get("k") is None


async def test_an_empty_answer_is_an_answer(cache: RecallCache) -> None:
    slot = cache.slot("o")
    await slot.get("k")
    await slot.put("k", [])
    answer = await cache.slot("o").get("k")
    assert answer is not None
    assert not answer


async def test_a_search_takes_the_answer_of_another_process_until_something_changes(
    pool: Pool, executor: ThreadPoolExecutor, port: int
) -> None:
    prefix = uuid4().hex
    caches = [RedisCache(f"redis://127.0.0.1:{port}", prefix=prefix) for _ in range(2)]
    counting = _Counting()
    engines = [
        MemoryEngine(pool, counting, executor, EngineOptions(search=SearchOptions(cache=cache))) for cache in caches
    ]
    for engine in engines:
        await engine.start()
    try:
        one, other = engines
        await one.add([SpokenMessage("user", "Anna likes blue.", NOON)], user_id="o")
        await until(lambda: not caches[0]._untold and not caches[0]._being_told)
        first = await one.search("what does Anna like?", user_id="o")
        asked = len(counting.asked)
        second = await other.search("what does Anna like?", user_id="o")
        assert [hit.memory.text for hit in first] == ["Anna likes blue."]
        assert second == first
        assert len(counting.asked) == asked, "the answer was searched for again"
        assert await other.search("what does Anna like?", user_id="p") == []
        await one.delete(first[0].memory.id, user_id="o")
        assert await one.search("what does Anna like?", user_id="o") == []

        async def knows() -> bool:
            return await other.search("what does Anna like?", user_id="o") == []

        await until(knows)
    finally:
        for engine, cache in zip(engines, caches, strict=True):
            await engine.stop(1.0)
            await cache.close()


class _Counting(WordEmbedder):
    def __init__(self) -> None:
        self.asked: list[str] = []

    async def embed(self, texts: Sequence[str]) -> Vectors:
        self.asked += texts
        return await super().embed(texts)


async def test_a_change_forgets_all_answers_of_that_owner_alone(cache: RecallCache) -> None:
    for owner in ("o", "p"):
        for key in ("k", "l"):
            slot = cache.slot(owner)
            await slot.get(key)
            await slot.put(key, found(f"{owner}{key}"))
    cache.forget("o")
    assert [await kept(cache, owner, key) for owner in ("o", "p") for key in ("k", "l")] == [None, None, "pk", "pl"]


async def test_what_was_found_before_a_change_is_not_kept_after_it(cache: RecallCache) -> None:
    slot = cache.slot("o")
    assert await slot.get("k") is None
    cache.forget("o")
    await slot.put("k", found("old"))
    assert await kept(cache, "o", "k") is None


async def test_an_answer_dies_of_age(port: int) -> None:
    cache = RedisCache(f"redis://127.0.0.1:{port}", ttl_s=0.05, prefix="age")
    slot = cache.slot("o")
    await slot.get("k")
    await slot.put("k", found("old"))

    async def is_gone() -> bool:
        return await kept(cache, "o", "k") is None

    await until(is_gone)
    await cache.close()


async def test_two_processes_share_answers_and_changes(port: int) -> None:
    one, other = (RedisCache(f"redis://127.0.0.1:{port}", prefix="shared") for _ in range(2))
    slot = one.slot("o")
    await slot.get("k")
    await slot.put("k", found("blue"))
    assert await kept(other, "o", "k") == "blue"
    waiting = other.slot("o")
    await waiting.get("l")
    one.forget("o")
    assert await kept(one, "o", "k") is None

    async def is_told() -> bool:
        return await kept(other, "o", "k") is None

    await until(is_told)
    await waiting.put("l", found("old"))
    assert await kept(one, "o", "l") is None
    await one.close()
    await other.close()


async def test_nonsense_in_redis_is_no_answer(port: int) -> None:
    cache = RedisCache(f"redis://127.0.0.1:{port}", prefix="odd")
    slot = cache.slot("o")
    await slot.get("k")
    await slot.put("k", found("blue"))
    _, answers = cache._keys("o")
    for nonsense in ("{", "[[{}, 1, 2]]", "[1]", "\x00"):
        await cache._client.hset(answers, "k", nonsense)
        assert await cache.slot("o").get("k") is None
    await cache.close()


async def test_without_redis_there_is_no_answer_and_no_error() -> None:
    cache = RedisCache("redis://127.0.0.1:9")
    slot = cache.slot("o")
    assert await slot.get("k") is None
    await slot.put("k", found("blue"))
    cache.forget("o")
    await cache.close()


async def test_a_change_while_redis_was_away_is_told_when_it_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xiaozhi_server.core.providers.memory.mem0ai.finding.recall_cache_redis._PAUSE_S", 0.05)
    with redis_server() as port:
        cache = RedisCache(f"redis://127.0.0.1:{port}")
        slot = cache.slot("o")
        await slot.get("k")
    cache.forget("o")
    with redis_server(port):
        # The others have not lost their answers, as a server that was only out of reach has not.
        other = RedisCache(f"redis://127.0.0.1:{port}")
        kept_elsewhere = other.slot("o")
        await kept_elsewhere.get("k")
        await kept_elsewhere.put("k", found("old"))

        async def is_gone() -> bool:
            return await kept(other, "o", "k") is None

        await until(is_gone)
        await until(lambda: not cache._untold)
        await other.close()
        await cache.close()


def test_a_key_holds_everything_that_an_answer_depends_on() -> None:
    parts = [("who?", None, 5, None), ("who?", "a", 5, None), ("who?", None, 6, None), ("who!", None, 5, None)]
    assert len({answer_key(*part) for part in parts}) == 4
    assert answer_key("a", "b") != answer_key("ab")
    assert answer_key("\ud800") == answer_key("\ud800")
