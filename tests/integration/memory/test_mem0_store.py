"""mem0 as it comes, on our table: what it writes the engine finds, and the other way round."""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from firmware_sim.cloud import StandInCloud
from tests.integration.memory.mem0_world import MODEL, Pool, embedder, llm, said
from xiaozhi_server.core.providers.memory.mem0ai import InvalidIdError, MemoryEngine
from xiaozhi_server.core.providers.memory.mem0ai.by_mem0.mem0_register import PROVIDER, register
from xiaozhi_server.core.providers.memory.mem0ai.embedding.embed_openai import (
    OpenAiEmbedderConfig,
    open_openai_embedder,
)
from xiaozhi_server.core.providers.memory.mem0ai.errors import InvalidFilterError, MemoryInputError


@dataclass(frozen=True, slots=True)
class World:
    """mem0 blocks, so each of its calls runs in a thread."""

    memory: Any
    engine: MemoryEngine

    async def call(self, name: str, *arguments: Any, **named: Any) -> Any:
        method: Callable[..., Any] = getattr(self.memory, name)
        return await asyncio.to_thread(method, *arguments, **named)

    async def add(self, messages: Any, **named: Any) -> list[dict[str, Any]]:
        results: list[dict[str, Any]] = (await self.call("add", messages, **named))["results"]
        return results

    async def texts(self, name: str, *arguments: Any, **named: Any) -> list[str]:
        return [row["memory"] for row in (await self.call(name, *arguments, **named))["results"]]


@asynccontextmanager
async def world(pool: Pool, dsn: str, folder: Path, **store: Any) -> AsyncIterator[World]:
    """Both have the same embedder, so each can compare the other's vectors."""
    async with StandInCloud() as cloud:
        config = {
            "llm": llm(cloud),
            "embedder": embedder(cloud),
            "vector_store": {"provider": PROVIDER, "config": {"connection_string": dsn, "embedder": MODEL, **store}},
            "history_db_path": ":memory:",
        }
        memory = await asyncio.to_thread(stock, config, folder)
        ours = await open_openai_embedder(OpenAiEmbedderConfig(cloud.base_url, MODEL, dimensions=384))
        with ThreadPoolExecutor(2) as executor:
            engine = MemoryEngine(pool, ours, executor)
            await engine.start()
            try:
                yield World(memory, engine)
            finally:
                await engine.stop(1.0)
                await ours.close()
                await asyncio.to_thread(closed, memory)


def stock(config: dict[str, Any], folder: Path) -> Any:
    register(folder)
    from mem0 import Memory

    return Memory.from_config(config)


def closed(memory: Any) -> None:
    memory.vector_store.close()
    memory.llm.client.close()
    memory.embedding_model.client.close()
    memory.close()


async def test_every_call_of_mem0_works_on_our_table(pool: Pool, database_dsn: str, tmp_path: Path) -> None:
    async with world(pool, database_dsn, tmp_path) as it:
        talk = [
            {"role": "user", "content": "My favourite colour is teal. My dog is Rex."},
            {"role": "assistant", "content": "Nice."},
        ]
        added = await it.add(talk, user_id="ann", agent_id="bot")
        assert [(one["memory"], one["event"]) for one in added] == [
            ("My favourite colour is teal.", "ADD"),
            ("My dog is Rex.", "ADD"),
        ]
        verbatim = await it.add("我喜欢喝茶。", user_id="ann", infer=False, metadata={"kind": "fact", "n": 3})
        ann = {"user_id": "ann"}
        assert set(await it.texts("get_all", filters=ann)) == {
            "My favourite colour is teal.", "My dog is Rex.", "我喜欢喝茶。",
        }  # fmt: skip
        assert (await it.texts("search", "my dog", filters=ann))[0] == "My dog is Rex."
        assert (await it.texts("search", "喝茶", filters={**ann, "n": {"gte": 3}, "kind": "fact"})) == ["我喜欢喝茶。"]
        either = {**ann, "OR": [{"kind": "plan"}, {"kind": "fact"}], "NOT": [{"n": 4}]}
        assert (await it.texts("search", "喝茶", filters=either)) == ["我喜欢喝茶。"]
        assert await it.texts("get_all", filters={**ann, "agent_id": "tutor"}) == []
        id = verbatim[0]["id"]
        await it.call("update", id, text="我喜欢喝咖啡。", metadata={"kind": "changed"})
        changed = await it.call("get", id)
        assert (changed["memory"], changed["metadata"]) == ("我喜欢喝咖啡。", {"kind": "changed", "n": 3})
        await it.call("delete", id)
        assert await it.call("get", id) is None
        await it.call("delete_all", user_id="ann")
        assert await it.texts("get_all", filters=ann) == []


async def test_rows_are_the_same_for_both(pool: Pool, database_dsn: str, tmp_path: Path) -> None:
    async with world(pool, database_dsn, tmp_path) as it:
        (theirs,) = await it.add("I like green tea.", user_id="ann", agent_id="bot", metadata={"kind": "fact"})
        (found,) = await it.engine.search("tea", user_id="ann", agent_id="bot")
        assert (str(found.memory.id), found.memory.text, found.memory.metadata) == (
            theirs["id"], "I like green tea.", {"kind": "fact"},
        )  # fmt: skip
        assert found.semantic_score is not None
        (ours,) = await it.engine.add([said("My dog is Rex.", speaker="Ann")], user_id="ann", session_id="s1")
        row = (await it.call("search", "dog", filters={"user_id": "ann"}))["results"][0]
        assert (row["id"], row["memory"], row["actor_id"]) == (str(ours.id), "My dog is Rex.", "Ann")
        # What mem0 changes is changed for the engine at once, whatever it has in memory, and stands in our history.
        await it.call("update", theirs["id"], text="I like black coffee.")
        await it.call("update", str(ours.id), metadata={"note": 1})
        assert (await it.engine.search("coffee", user_id="ann"))[0].memory.text == "I like black coffee."
        events = await it.engine.history(theirs["id"], user_id="ann")
        assert [(one.event, one.new_memory) for one in events] == [
            ("ADD", "I like green tea."), ("UPDATE", "I like black coffee."),
        ]  # fmt: skip
        kept = await it.engine.get(ours.id, user_id="ann")
        assert kept is not None
        assert (kept.session_id, kept.speaker, kept.metadata) == ("s1", "Ann", {"note": 1})
        await it.call("delete", theirs["id"])
        assert await it.engine.get(theirs["id"], user_id="ann") is None
        assert (await it.engine.history(theirs["id"], user_id="ann"))[-1].event == "DELETE"


async def test_metadata_that_mem0_cannot_see_outlives_its_changes(
    pool: Pool, database_dsn: str, tmp_path: Path
) -> None:
    async with world(pool, database_dsn, tmp_path) as it:
        (ours,) = await it.engine.add([said("I like tea.")], user_id="ann", metadata={"data": "of mine", "kind": "x"})
        await it.call("update", str(ours.id), text="I like coffee.")
        kept = await it.engine.get(ours.id, user_id="ann")
        assert kept is not None
        assert (kept.text, kept.metadata) == ("I like coffee.", {"data": "of mine", "kind": "x"})


@pytest.mark.parametrize(
    ("filters", "error"),
    [
        ({"user_id": "*"}, InvalidIdError),
        ({"user_id": "ann", "agent_id": "*"}, InvalidIdError),
        ({"agent_id": "bot"}, MemoryInputError),
        ({"run_id": "one"}, MemoryInputError),
        ({"user_id": "ann", "n": {"gte": [1]}}, InvalidFilterError),
    ],
)
async def test_whoever_names_no_owner_gets_nothing(
    pool: Pool, database_dsn: str, tmp_path: Path, filters: dict[str, Any], error: type[Exception]
) -> None:
    async with world(pool, database_dsn, tmp_path) as it:
        await it.add("I like tea.", user_id="ann", agent_id="bot", run_id="one", infer=False)
        for call in (it.call("get_all", filters=filters), it.call("search", "tea", filters=filters)):
            with pytest.raises(error):
                await call
        if error is not InvalidFilterError:
            with pytest.raises(error):
                await it.call("delete_all", **filters)
            with pytest.raises(error):
                await it.add("mine", infer=False, **filters)
        assert await it.texts("get_all", filters={"user_id": "ann"}) == ["I like tea."]


async def test_the_table_is_emptied_only_where_that_is_allowed(pool: Pool, database_dsn: str, tmp_path: Path) -> None:
    async with world(pool, database_dsn, tmp_path) as it:
        await it.add("I like tea.", user_id="ann", infer=False)
        for name in ("reset", "delete_col"):
            with pytest.raises(MemoryInputError, match="everybody's"):
                await asyncio.to_thread(getattr(it.memory.vector_store, name))
        assert (await asyncio.to_thread(it.memory.vector_store.col_info))["count"] == 1
    async with world(pool, database_dsn, tmp_path, allow_reset=True) as it:
        await it.call("reset")
        assert await it.texts("get_all", filters={"user_id": "ann"}) == []
        assert await it.engine.get_all(user_id="ann") == []


async def test_owners_stay_apart_however_often_is_asked(pool: Pool, database_dsn: str, tmp_path: Path) -> None:
    """Stock pgvector fails here after some searches, when PostgreSQL changes its plan."""
    async with world(pool, database_dsn, tmp_path) as it:
        for number in range(40):
            await it.add(f"My secret is word{number}.", user_id=f"owner{number}", infer=False)
        for number in range(40):
            found = await it.texts("search", "What is my secret?", filters={"user_id": f"owner{number}"})
            assert found == [f"My secret is word{number}."]


async def test_ids_that_are_none(pool: Pool, database_dsn: str, tmp_path: Path) -> None:
    async with world(pool, database_dsn, tmp_path) as it:
        for id in ("no uuid", str(uuid4()), "'; --"):
            assert await it.call("get", id) is None
            with pytest.raises(ValueError, match="not found"):
                await it.call("delete", id)
        assert UUID((await it.add("I like tea.", user_id="ann", infer=False))[0]["id"])


async def test_names_beside_the_memories_are_kept_nowhere(pool: Pool, database_dsn: str, tmp_path: Path) -> None:
    """With spaCy mem0 keeps a second collection: it must not turn up among the memories."""
    async with world(pool, database_dsn, tmp_path) as it:
        beside = it.memory.entity_store
        await asyncio.to_thread(beside.insert, [[0.0] * 384], [{"data": "Rex", "user_id": "ann"}], [str(uuid4())])
        assert await asyncio.to_thread(beside.search, "Rex", [0.0] * 384, 5, {"user_id": "ann"}) == []
        assert await it.engine.get_all(user_id="ann") == []
