"""Facts in another store, which has no transactions: the same guard, and the history beside it in our database."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from firmware_sim.cloud import StandInCloud
from tests.integration.memory.mem0_world import Engine, Pool, embedder, said, saved, self_hosted
from tests.support.scripted_model import ScriptedModel
from xiaozhi_server.core.providers.memory.mem0ai.by_mem0.other_stores import OtherStoreEngine
from xiaozhi_server.core.providers.memory.mem0ai.errors import NoModelError


@asynccontextmanager
async def world(pool: Pool, folder: Path) -> AsyncIterator[tuple[ScriptedModel, Engine]]:
    async with StandInCloud() as cloud, ScriptedModel() as model:
        config = {
            "llm": model.part(),
            "embedder": embedder(cloud),
            "vector_store": {"provider": "qdrant", "config": {}},
        }
        async with self_hosted(config, pool, folder) as engine:
            assert isinstance(engine, OtherStoreEngine)
            yield model, engine


async def tell(engine: Engine, text: str, minutes_ago: float = 1.0) -> None:
    await engine.enqueue([said(text, minutes_ago=minutes_ago)], user_id="ann", agent_id="bot", session_id="s1")
    await saved(engine)


async def by_text(engine: Engine) -> dict[str, Any]:
    return {memory.text: memory for memory in await engine.get_all(user_id="ann")}


async def test_a_replaced_memory_stays_with_its_end(pool: Pool, tmp_path: Path) -> None:
    async with world(pool, tmp_path) as (model, engine):
        model.answers = {"memory": [{"text": "Lives in Munich."}]}
        await tell(engine, "I live in Munich.", 60)
        model.answers = {"memory": [{"text": "Moved to Berlin.", "replaces": [1]}]}
        await tell(engine, "I have moved to Berlin.")
        memories = await by_text(engine)
        munich, berlin = memories["Lives in Munich."], memories["Moved to Berlin."]
        assert (munich.superseded_by, munich.valid_to) == (berlin.id, said("x").spoken_at)
        assert [one.memory.text for one in await engine.search("Munich", user_id="ann")] == ["Moved to Berlin."]
        events = await engine.history(munich.id, user_id="ann")
        assert [(one.event, one.new_memory) for one in events] == [
            ("ADD", "Lives in Munich."),
            ("SUPERSEDE", "Moved to Berlin."),
        ]


async def test_what_is_said_again_is_kept_once_with_the_longer_text(pool: Pool, tmp_path: Path) -> None:
    async with world(pool, tmp_path) as (model, engine):
        for text in ("Has a dog.", "HAS A DOG", "Has a dog with brown fur."):
            model.answers = {"memory": [{"text": text, "same_as": 1}]}
            await tell(engine, f"{text} It is true.")
        (memory,) = (await by_text(engine)).values()
        assert memory.text == "Has a dog with brown fur."
        assert [one.event for one in await engine.history(memory.id, user_id="ann")] == ["ADD", "UPDATE"]


async def test_the_guard_is_the_same(pool: Pool, tmp_path: Path) -> None:
    async with world(pool, tmp_path) as (model, engine):
        model.answers = {"memory": [{"text": "Likes green tea."}, {"text": "Owns a castle in Scotland."}]}
        await tell(engine, "I like green tea.")
        assert {text: one.flag for text, one in (await by_text(engine)).items()} == {
            "Likes green tea.": "",
            "Owns a castle in Scotland.": "unfounded",
        }
        assert [one.memory.text for one in await engine.search("castle in Scotland", user_id="ann")] == [
            "Likes green tea."
        ]
        model.answers = "Sorry, what?"
        await tell(engine, "I like plums very much.")
        assert (await by_text(engine))["I like plums very much."].flag == "unextracted"


async def test_facts_can_be_had_while_one_waits(pool: Pool, tmp_path: Path) -> None:
    async with world(pool, tmp_path) as (model, engine):
        model.answers = {"memory": [{"text": "Likes green tea."}]}
        (added,) = await engine.add([said("I like green tea.")], user_id="ann", agent_id="bot", infer=True)
        assert (added.event, added.memory.text) == ("ADD", "Likes green tea.")
        assert (await by_text(engine)).keys() == {"Likes green tea."}


async def test_without_a_model_nobody_makes_facts(pool: Pool, tmp_path: Path) -> None:
    async with StandInCloud() as cloud:
        config = {"embedder": embedder(cloud), "vector_store": {"provider": "qdrant", "config": {}}}
        async with self_hosted(config, pool, tmp_path) as engine:
            with pytest.raises(NoModelError):
                await engine.add([said("I like tea.")], user_id="ann", infer=True)
            assert await engine.get_all(user_id="ann") == []
