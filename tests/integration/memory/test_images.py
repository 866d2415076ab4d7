"""Pictures in messages are kept as their description, or refused clearly where nobody sees them."""

import base64
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from firmware_sim.cloud import Fault, StandInCloud
from tests.integration.memory.mem0_world import QUICK, Engine, Pool, embedder, llm, saved, self_hosted
from xiaozhi_server.core.providers.memory.mem0ai import MemoryEngine
from xiaozhi_server.core.providers.memory.mem0ai.errors import ImageRefusedError
from xiaozhi_server.core.providers.memory.mem0ai.images import LONGEST_DATA, MOST_IMAGES
from xiaozhi_server.core.providers.memory.mem0ai.mem0ai import Mem0aiMemory
from xiaozhi_server.core.providers.memory.mem0ai.saving.describing import DescriptionFailedError

BICYCLE = "https://pictures.example/a%20red%20bicycle.jpg"


@asynccontextmanager
async def world(
    pool: Pool, folder: Path, *, sees: bool = True, **more: Any
) -> AsyncIterator[tuple[StandInCloud, Engine]]:
    async with StandInCloud() as cloud:
        model = llm(cloud, enable_vision=True, vision_details="low") if sees else llm(cloud)
        config = {"llm": model, "embedder": embedder(cloud), **more}
        async with self_hosted(config, pool, folder) as engine:
            yield cloud, engine


def picture(address: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": address}}


def shown(*addresses: str, text: str | None = None) -> dict[str, Any]:
    """A message as scripts send it: parts, or a picture alone."""
    if text is None and len(addresses) == 1:
        return {"role": "user", "content": picture(addresses[0])}
    said = [] if text is None else [{"type": "text", "text": text}]
    return {"role": "user", "content": [*said, *map(picture, addresses)]}


def data(words: str, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(words.encode()).decode()}"


def asked_of_vision(cloud: StandInCloud) -> list[list[dict[str, Any]]]:
    """The parts of each request that had a picture in it."""
    contents = [one.body["messages"][-1]["content"] for one in cloud.requests if one.service == "chat"]
    return [content for content in contents if isinstance(content, list)]


async def texts_of(engine: Engine) -> str:
    return "\n".join(sorted(memory.text for memory in await engine.get_all(user_id="ann")))


async def test_a_picture_is_found_by_what_it_shows(pool: Pool, tmp_path: Path) -> None:
    async with world(pool, tmp_path) as (cloud, engine):
        await engine.enqueue([shown(BICYCLE, text="This is mine.")], user_id="ann")
        assert asked_of_vision(cloud) == []  # nobody waits for a model
        await saved(engine)
        assert "The picture shows a red bicycle." in await texts_of(engine)
        best = (await engine.search("Which bicycle do I have?", user_id="ann"))[0].memory
        assert "red bicycle" in best.text
        ((words, image),) = asked_of_vision(cloud)
        assert image == {"type": "image_url", "image_url": {"url": BICYCLE, "detail": "low"}}
        assert "This is mine." in words["text"]


async def test_a_picture_alone_and_in_the_data_itself(pool: Pool, tmp_path: Path) -> None:
    async with world(pool, tmp_path) as (cloud, engine):
        await engine.enqueue([shown(data("an old blue boat"))], user_id="ann")
        await saved(engine)
        assert "an old blue boat" in await texts_of(engine)
        assert len(asked_of_vision(cloud)) == 1
        async with pool.connection() as connection:
            cursor = await connection.execute("SELECT messages, images FROM memory_outbox")
            assert await cursor.fetchall() == [(None, None)]


async def test_the_language_of_the_talk_is_that_of_the_description(pool: Pool, tmp_path: Path) -> None:
    async with world(pool, tmp_path) as (_, engine):
        await engine.enqueue([shown(data("一只橘猫"), text="这是我们家的新成员。")], user_id="ann")
        await saved(engine)
        assert "图片里是一只橘猫。" in await texts_of(engine)


async def test_a_search_never_reads_the_pictures_that_wait(pool: Pool, tmp_path: Path) -> None:
    async with world(pool, tmp_path) as (cloud, engine):
        cloud.faults.chat = Fault(status=500)
        await engine.enqueue([shown(data("a boat"), text="We sail on the lake of Konstanz.")], user_id="ann", key="k")
        (hit,) = await engine.search("Where do we sail?", user_id="ann")
        assert hit.memory.text == "We sail on the lake of Konstanz.\n[image]"
        async with pool.connection() as connection:
            cursor = await connection.execute("SELECT messages::text, images FROM memory_outbox")
            ((messages, images),) = await cursor.fetchall()
        assert "data:" not in messages
        assert images == [[data("a boat")]]
        await engine.forget(user_id="ann")
        async with pool.connection() as connection:
            cursor = await connection.execute("SELECT images FROM memory_outbox")
            assert await cursor.fetchall() == []


async def test_each_picture_is_described_once_though_the_rest_fails(pool: Pool, tmp_path: Path) -> None:
    async with world(pool, tmp_path) as (cloud, engine):
        cloud.faults.embeddings = Fault(status=500, times=3)
        await engine.enqueue([shown(BICYCLE, data("a dog"), text="Look at these two.")], user_id="ann")
        await saved(engine)
        assert (len(asked_of_vision(cloud)), cloud.faults.embeddings.times) == (2, 0)
        texts = await texts_of(engine)
        assert "a red bicycle" in texts
        assert "a dog" in texts


async def test_a_picture_that_no_model_can_read_is_kept_as_one(
    pool: Pool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with world(pool, tmp_path) as (cloud, engine):
        await engine.enqueue([shown("https://pictures.example/blank.jpg")], user_id="ann", session_id="s")
        await saved(engine)
        (memory,) = await engine.get_all(user_id="ann")
        assert (memory.text, memory.flag, memory.session_id) == ("[image]", "unextracted", "s")
        assert len(asked_of_vision(cloud)) == QUICK.extraction.attempts
        assert "a picture was not described (DescriptionFailedError)" in caplog.text
        assert "pictures.example" not in caplog.text


async def test_a_model_that_is_away_for_a_moment_is_asked_again(pool: Pool, tmp_path: Path) -> None:
    async with world(pool, tmp_path) as (cloud, engine):
        cloud.faults.chat = Fault(status=503, times=2)
        await engine.enqueue([shown(BICYCLE, text="This is mine.")], user_id="ann")
        await saved(engine)
        assert "a red bicycle" in await texts_of(engine)
        assert "unextracted" not in {memory.flag for memory in await engine.get_all(user_id="ann")}


async def test_add_waits_for_the_description(pool: Pool, tmp_path: Path) -> None:
    async with world(pool, tmp_path) as (_, engine):
        (memory,) = await engine.add([shown(BICYCLE, text="Mine:")], user_id="ann")
        assert memory.text == "Mine:\n[image] The picture shows a red bicycle."
        with pytest.raises(DescriptionFailedError):
            await engine.add([shown("https://pictures.example/blank.jpg")], user_id="ann")
        assert len(await engine.get_all(user_id="ann")) == 1


async def test_memories_in_another_store_are_the_same(pool: Pool, tmp_path: Path) -> None:
    async with world(pool, tmp_path, vector_store={"provider": "qdrant", "config": {}}) as (_, engine):
        await engine.enqueue([shown(BICYCLE)], user_id="ann")
        await saved(engine)
        assert "a red bicycle" in await texts_of(engine)
        (memory,) = await engine.add([shown(data("a dog"))], user_id="ann")
        assert memory.text == "[image] The picture shows a dog."


@pytest.mark.parametrize("model", [True, False])
async def test_without_eyes_a_picture_alone_is_refused_and_words_are_kept(
    pool: Pool, tmp_path: Path, engine: MemoryEngine, model: bool
) -> None:
    if model:
        async with world(pool, tmp_path, sees=False) as (cloud, blind):
            await refuses(blind)
            assert asked_of_vision(cloud) == []
    else:
        await refuses(engine)


async def refuses(engine: Engine) -> None:
    for call in (engine.enqueue, engine.add):
        with pytest.raises(ImageRefusedError, match=r"no model is there to give one: set Memory\.mem0ai\.llm with"):
            await call([{"role": "user", "content": "I like teal."}, shown(BICYCLE)], user_id="ann")
    assert await engine.get_all(user_id="ann") == []
    (memory,) = await engine.add([shown(BICYCLE, text="My bicycle is red.")], user_id="ann")
    assert memory.text == "My bicycle is red.\n[image]"
    assert await engine.enqueue([shown(BICYCLE, text="I ride it daily.")], user_id="ann")
    await saved(engine)
    assert "it daily." in await texts_of(engine)


@pytest.mark.parametrize(
    ("addresses", "complaint"),
    [
        (["file:///etc/passwd"], "begins with http://, https:// or data:image/"),
        (["/etc/passwd"], "begins with http://, https:// or data:image/"),
        (["ftp://a/b.png"], "begins with http://, https:// or data:image/"),
        (["data:text/html;base64,AAAA"], "begins with data:image/"),
        (["https://a/" + "b" * 5000], "at most 4096 characters"),
        (["https://a/b\nc"], "is printable"),
        ([data("x" * LONGEST_DATA)], f"may take {LONGEST_DATA}"),
        (["https://a/b.png"] * (MOST_IMAGES + 1), f"may have {MOST_IMAGES} pictures, not {MOST_IMAGES + 1}"),
    ],
)
async def test_what_is_no_picture_is_refused_before_anything_is_written(
    pool: Pool, tmp_path: Path, addresses: list[str], complaint: str
) -> None:
    async with world(pool, tmp_path) as (cloud, engine):
        for call in (engine.enqueue, engine.add):
            with pytest.raises(ImageRefusedError, match=complaint) as caught:
                await call([shown(*addresses, text="Look.")], user_id="ann")
            assert "passwd" not in str(caught.value)
        assert cloud.counts["chat"] == 0
        assert (await engine.depth()).waiting == 0


async def test_a_talk_goes_on_whatever_is_shown(engine: MemoryEngine, caplog: pytest.LogCaptureFixture) -> None:
    memory = Mem0aiMemory(engine)
    await memory.init_memory("ann")
    try:
        with caplog.at_level(logging.WARNING):
            await memory.save_memory([shown(BICYCLE)], "s1")
            await memory.save_memory([shown("file:///etc/passwd", text="I like teal."), shown(BICYCLE)], "s1")
        await saved(engine)
        assert await texts_of(engine) == "I like teal.\n[image]"
        assert caplog.text.count("kept without its pictures") == 2
        assert "passwd" not in caplog.text
        assert "bicycle" not in caplog.text
    finally:
        await memory.close()
