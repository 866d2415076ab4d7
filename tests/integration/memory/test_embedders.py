"""Embedders behind a server: the stand-in cloud answers over a real socket."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from firmware_sim.cloud import Fault, StandInCloud
from tests.integration.memory.conftest import StartEngine
from tests.integration.memory.mem0_world import Pool, opened_self_hosted
from xiaozhi_server.core.providers.memory.mem0ai import MemoryEngine
from xiaozhi_server.core.providers.memory.mem0ai.by_mem0.opening import PartLimits
from xiaozhi_server.core.providers.memory.mem0ai.embedding.embed import Vectors
from xiaozhi_server.core.providers.memory.mem0ai.embedding.embed_mem0 import Mem0Embedder
from xiaozhi_server.core.providers.memory.mem0ai.embedding.embed_openai import (
    EmbedderError,
    OpenAiEmbedder,
    OpenAiEmbedderConfig,
    open_openai_embedder,
)
from xiaozhi_server.core.providers.memory.mem0ai.embedding.kept_vectors import KeptVectors
from xiaozhi_server.core.providers.memory.mem0ai.rows import reembed
from xiaozhi_server.core.providers.memory.mem0ai.self_hosted import SelfHostedOptions
from xiaozhi_server.core.providers.memory.mem0ai.testing import WordEmbedder


@pytest.fixture
async def cloud() -> AsyncIterator[StandInCloud]:
    async with StandInCloud(phrases=[], api_key="a-key") as cloud:
        yield cloud


@asynccontextmanager
async def opened(cloud: StandInCloud, **changes: Any) -> AsyncIterator[OpenAiEmbedder]:
    """Closed within the test, so that its connections end with it."""
    config = OpenAiEmbedderConfig(**{"base_url": cloud.base_url, "model": "some-model", "api_key": "a-key", **changes})
    embedder = await open_openai_embedder(config)
    try:
        yield embedder
    finally:
        await embedder.close()


async def test_the_length_of_the_vectors_is_asked_for(cloud: StandInCloud) -> None:
    async with opened(cloud) as embedder:
        assert embedder.dimensions == 384


@pytest.mark.parametrize(("model", "dimensions"), [("text-embedding-3-small", 1536), ("BAAI/bge-m3", 1024)])
async def test_a_known_model_is_not_asked(model: str, dimensions: int) -> None:
    embedder = await open_openai_embedder(OpenAiEmbedderConfig("http://127.0.0.1:9/v1", model))
    assert embedder.dimensions == dimensions


async def test_an_unknown_model_that_is_away_is_told_apart_with_the_remedy() -> None:
    with pytest.raises(EmbedderError, match="Set the dimensions"):
        await open_openai_embedder(OpenAiEmbedderConfig("http://127.0.0.1:9/v1", "some-model"))


async def test_each_text_has_its_own_unit_vector_in_its_place(cloud: StandInCloud) -> None:
    texts = [f"the number {number}" for number in range(300)] + ["the number 7", "", "x" * 20_000]
    async with opened(cloud) as embedder:
        vectors = await embedder.embed(texts)
        alone = await embedder.embed(["the number 123"])
    assert vectors.shape == (303, 384)
    assert np.allclose(np.linalg.norm(vectors[:301], axis=1), 1, atol=1e-5)
    assert np.array_equal(vectors[7], vectors[300])
    assert np.allclose(alone[0], vectors[123])


async def test_texts_go_in_batches_and_each_once(cloud: StandInCloud) -> None:
    async with opened(cloud) as embedder:
        before = cloud.counts["embeddings"]
        await embedder.embed(["same"] * 500 + [str(number) for number in range(200)])
        assert cloud.counts["embeddings"] - before == 2


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (Fault(status=500), "HTTP 500"),
        (Fault(status=429), "HTTP 429"),
        (Fault(mode="garbage"), "cannot be used"),
        (Fault(mode="empty"), "holds no vectors"),
        (Fault(mode="cut"), "cannot be used"),
        (Fault(mode="stall"), "did not answer in 0.5 s"),
    ],
)
async def test_a_failure_is_told_without_text_or_key(cloud: StandInCloud, fault: Fault, told: str) -> None:
    async with opened(cloud, timeout_s=0.5) as embedder:
        cloud.faults.embeddings = fault
        with pytest.raises(EmbedderError, match=told) as caught:
            await embedder.embed(["a private matter"])
        assert "private" not in str(caught.value)
        assert "a-key" not in str(caught.value)
        cloud.faults.clear()
        assert len(await embedder.embed(["again"])) == 1


async def test_a_wrong_key_is_told(cloud: StandInCloud) -> None:
    async with opened(cloud, api_key="wrong", model="bge-m3") as embedder:
        with pytest.raises(EmbedderError, match="HTTP 401"):
            await embedder.embed(["x"])


async def test_other_dimensions_than_known_are_an_error_and_no_nonsense(cloud: StandInCloud) -> None:
    async with opened(cloud, model="bge-m3") as embedder:
        with pytest.raises(EmbedderError, match="384 dimensions instead of 1024"):
            await embedder.embed(["x"])


class _Mem0Like:
    def __init__(self, rows: Any) -> None:
        self._rows = rows

    def embed(self, text: str, action: str) -> Any:
        return self._rows


async def test_an_embedder_of_mem0_with_mixed_numbers() -> None:
    with ThreadPoolExecutor(1) as executor:
        embedder = Mem0Embedder(_Mem0Like([3, 4.0]), executor, name="m", dimensions=2)
        assert np.allclose(await embedder.embed(["a", "b"]), [[0.6, 0.8]] * 2)


@pytest.mark.parametrize("rows", [[1.0], [1.0, float("nan")], "no", None])
async def test_an_embedder_of_mem0_that_answers_nonsense(rows: Any) -> None:
    with ThreadPoolExecutor(1) as executor:
        embedder = Mem0Embedder(_Mem0Like(rows), executor, name="m", dimensions=2)
        with pytest.raises(EmbedderError):
            await embedder.embed(["a"])


class _Counting(WordEmbedder):
    def __init__(self) -> None:
        self.asked: list[str] = []
        self.fails = False

    async def embed(self, texts: Sequence[str]) -> Vectors:
        self.asked += texts
        await asyncio.sleep(0)
        if self.fails:
            raise OSError
        return await super().embed(texts)


async def test_a_question_is_embedded_once_even_at_the_same_time() -> None:
    counting = _Counting()
    kept = KeptVectors(counting)
    first, second = await asyncio.gather(kept.embed(["who am I"]), kept.embed(["who am I"]))
    third = await kept.embed(["who am I"])
    assert counting.asked == ["who am I"]
    assert np.array_equal(first, second)
    assert np.array_equal(first, third)


async def test_what_was_asked_is_not_embedded_again_to_be_saved() -> None:
    counting, plain = _Counting(), WordEmbedder()
    kept = KeptVectors(counting)
    await kept.embed(["who am I"])
    texts = ["You are Ann.", "who am I", "I like tea."]
    assert np.array_equal(await kept.embed(texts), await plain.embed(texts))
    assert counting.asked == ["who am I", "You are Ann.", "I like tea."]
    assert np.array_equal(await kept.embed(["who am I", "who am I"]), await plain.embed(["who am I", "who am I"]))
    assert len(counting.asked) == 3


async def test_what_somebody_says_is_embedded_once_in_a_turn(start_engine: StartEngine) -> None:
    embedder = _Counting()
    async with start_engine(embedder) as engine:
        embedder.asked.clear()  # a start tries it
        await engine.search("I like tea.", user_id="ann")
        said = [{"role": "user", "content": "I like tea."}, {"role": "assistant", "content": "So do I."}]
        await engine.add(said, user_id="ann", infer=False)
        assert embedder.asked == ["I like tea.", "So do I."]
        (best, *_) = await engine.search("I like tea.", user_id="ann")
        assert best.semantic_score == pytest.approx(1.0, abs=0.01)


async def test_what_is_learnt_ahead_is_asked_for_by_one_call_and_kept() -> None:
    counting, plain = _Counting(), WordEmbedder()
    kept = KeptVectors(counting)
    long = "long " * 200
    await kept.embed(["who am I"])
    await kept.know(["who am I", "I like tea.", long, "I like tea."])
    assert counting.asked == ["who am I", "I like tea.", long]
    for text in ("I like tea.", long):
        assert np.array_equal(await kept.embed([text]), await plain.embed([text]))
    await kept.know([])
    assert len(counting.asked) == 3


async def test_a_failure_is_not_kept() -> None:
    counting = _Counting()
    kept = KeptVectors(counting)
    counting.fails = True
    with pytest.raises(OSError):
        await kept.embed(["who am I"])
    counting.fails = False
    assert (await kept.embed(["who am I"])).shape == (1, 64)


async def test_who_stops_waiting_takes_nothing_from_the_others() -> None:
    kept = KeptVectors(_Counting())
    impatient = asyncio.create_task(kept.embed(["who am I"]))
    patient = asyncio.create_task(kept.embed(["who am I"]))
    await asyncio.sleep(0)
    impatient.cancel()
    assert (await patient).shape == (1, 64)


async def test_a_question_that_was_begun_is_computed_once_and_one_that_is_not_needed_not_at_all() -> None:
    embedder = Counting()
    kept = KeptVectors(embedder)
    with kept.begun("My dog?"):
        await asyncio.sleep(0)  # as if an owner were read
        assert len(await kept.embed(["My dog?"])) == 1
    with kept.begun("Ann's dog?") as not_this_one:
        not_this_one()
        await kept.embed(["my dog?"])
    with kept.begun("My dog?"):
        await kept.embed(["My dog?"])
    assert embedder.texts == ["My dog?", "my dog?"]


async def test_a_question_that_was_begun_and_is_ready_before_it_is_asked_is_computed_once() -> None:
    embedder = Counting()
    kept = KeptVectors(embedder)
    with kept.begun("My dog?"):
        # The owner takes longer to be read than the vector to be made.
        await asyncio.wait([task for task in asyncio.all_tasks() if task.get_name() == "memory-question-ahead"])
        await kept.embed(["My dog?"])
    assert embedder.texts == ["My dog?"]


async def test_a_question_that_was_begun_in_vain_leaves_no_error() -> None:
    kept = KeptVectors(Counting(fails=True))
    with kept.begun("My dog?"):
        await asyncio.sleep(0)
    with kept.begun("My dog?"), pytest.raises(RuntimeError):
        await kept.embed(["My dog?"])


class Counting(WordEmbedder):
    def __init__(self, *, fails: bool = False) -> None:
        self.texts: list[str] = []
        self._fails = fails

    async def embed(self, texts: Sequence[str]) -> Vectors:
        self.texts += texts
        if self._fails:
            raise RuntimeError("the embedder is ill")
        return await super().embed(texts)


@pytest.mark.parametrize(("most_s", "answers"), [(0.1, False), (30.0, True)])
async def test_a_slow_embedder_has_the_time_that_whoever_opened_it_gives(
    cloud: StandInCloud, pool: Pool, tmp_path: Path, most_s: float, answers: bool
) -> None:
    config = {"model": "bge-m3", "api_key": "a-key", "openai_base_url": cloud.base_url, "embedding_dims": 384}
    options = SelfHostedOptions(limits=PartLimits(embedder_s=most_s))
    async with opened_self_hosted(
        {"embedder": {"provider": "openai", "config": config}}, pool, tmp_path, options
    ) as made:
        cloud.faults.embeddings = Fault(delay_s=0.5)
        asking = made.embedder.embed(["Anna likes tea."])
        if answers:
            assert (await asking).shape == (1, 384)
        else:
            with pytest.raises(EmbedderError, match=r"did not answer in 0\.1 s"):
                await asking


class Newer(WordEmbedder):
    name = "newer words"


async def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What a start said of other embedders, and by whom, once it has looked."""
    await asyncio.gather(*(task for task in asyncio.all_tasks() if task.get_name() == "memory-foreign"))
    said = [record.name for record in caplog.records if "memory reembed" in record.getMessage()]
    caplog.clear()
    return said


async def test_a_start_says_that_the_embedder_was_changed_until_all_have_new_vectors(
    start_engine: StartEngine, caplog: pytest.LogCaptureFixture
) -> None:
    async with start_engine() as engine:
        await engine.add([{"role": "user", "content": "I like tea."}], user_id="ann", infer=False)
        assert await warned(caplog) == []
    async with start_engine() as engine:
        assert await warned(caplog) == []
    async with start_engine(Newer()) as engine:
        assert await warned(caplog) == [reembed.__name__]
        await engine.reembed(lambda count: None)
    async with start_engine(Newer()):
        assert await warned(caplog) == []


async def test_a_short_command_says_nothing_of_another_embedder(pool: Pool, start_engine: StartEngine) -> None:
    async with start_engine() as engine:
        await engine.add([{"role": "user", "content": "I like tea."}], user_id="ann", infer=False)
    with ThreadPoolExecutor(1) as executor:
        command = MemoryEngine(pool, Newer(), executor)
        await command.start(work=False)
        assert not [task for task in asyncio.all_tasks() if task.get_name() == "memory-foreign"]
        await command.stop(1.0)
