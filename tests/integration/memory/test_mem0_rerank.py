"""A reranker is really asked and orders what was found; where it fails or is late the order stays ours."""

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from firmware_sim.cloud import Fault, StandInCloud
from tests.integration.memory.mem0_world import QUICK, Engine, Pool, embedder, llm, said, self_hosted
from xiaozhi_server.core.providers.memory.mem0ai import Mem0aiMemory, MemoryEngine, ProviderOptions
from xiaozhi_server.core.providers.memory.mem0ai.by_mem0.rerank import Reranker, RerankOptions
from xiaozhi_server.core.providers.memory.mem0ai.records import FoundMemory
from xiaozhi_server.core.providers.memory.mem0ai.scope import owner_of
from xiaozhi_server.core.providers.memory.mem0ai.testing import WordEmbedder

# The reranker counts words and nothing else. For us an answer that only repeats the question tells nothing.
ASKED = "Do I like tea?"
OURS_FIRST = "We like tea."
ITS_FIRST = "I do like tea."
STORES = [None, {"provider": "qdrant"}]


@asynccontextmanager
async def world(
    pool: Pool, folder: Path, *, store: Any = None, timeout_s: float = 5.0
) -> AsyncIterator[tuple[StandInCloud, Engine]]:
    async with StandInCloud() as cloud:
        config = {
            "embedder": embedder(cloud),
            "vector_store": store,
            "reranker": {"provider": "llm_reranker", "config": {"llm": llm(cloud)}},
        }
        options = replace(QUICK, rerank=RerankOptions(timeout_s=timeout_s))
        async with self_hosted(config, pool, folder, options) as engine:
            await engine.add(
                [said(OURS_FIRST), said(ITS_FIRST, role="assistant"), said("I like plums.")], user_id="ann"
            )
            yield cloud, engine
            await cloud.close()  # what still hangs ends


async def found(engine: Engine, top_k: int = 3) -> list[str]:
    return [one.memory.text for one in await engine.search(ASKED, user_id="ann", top_k=top_k)]


@pytest.mark.parametrize("store", STORES, ids=["ours", "qdrant"])
async def test_it_is_asked_about_every_text_and_orders_them(pool: Pool, tmp_path: Path, store: Any) -> None:
    async with world(pool, tmp_path, store=store) as (cloud, engine):
        assert await found(engine) == [ITS_FIRST, OURS_FIRST, "I like plums."]
        asked = [request.body["messages"][1]["content"] for request in cloud.requests if request.service == "chat"]
        assert sorted(asked) == sorted(
            f"Query: {ASKED}\n\nDocument: {text}" for text in (OURS_FIRST, ITS_FIRST, "I like plums.")
        )
        # It chooses among more than are wanted, and our score keeps its meaning.
        (best,) = await engine.search(ASKED, user_id="ann", top_k=1)
        assert best.memory.text == ITS_FIRST
        cloud.faults.chat = Fault(status=500)
        scores = {one.memory.text: one.score for one in await engine.search(ASKED, user_id="ann")}
        assert scores[ITS_FIRST] == pytest.approx(best.score, abs=1e-3)
        assert scores[OURS_FIRST] > scores[ITS_FIRST]


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=500),
        Fault(status=500, times=1),  # one text without a score would stand anywhere
        Fault(mode="garbage"),
        Fault(mode="empty"),
        Fault(mode="cut"),
        Fault(mode="stall"),
        Fault(wording="mute"),
        Fault(wording="nothing"),
    ],
    ids=lambda fault: f"{fault.status}-{fault.mode}-{fault.wording}-{fault.times}",
)
async def test_its_failure_leaves_our_order(pool: Pool, tmp_path: Path, fault: Fault) -> None:
    async with world(pool, tmp_path, timeout_s=0.5) as (cloud, engine):
        cloud.faults.chat = fault
        assert (await found(engine))[0] == OURS_FIRST
        assert cloud.counts["chat"] >= 1


async def test_one_memory_needs_no_order(pool: Pool, tmp_path: Path) -> None:
    async with world(pool, tmp_path) as (cloud, engine):
        assert await engine.search(ASKED, user_id="bob") == []
        assert await engine.search(ASKED, user_id="ann", top_k=0) == []
        assert cloud.counts["chat"] == 0


class Shuffling:
    """A reranker as those behind an API are: all texts in one call, and the worst left out."""

    def rerank(self, query: str, documents: list[dict[str, Any]], top_k: int | None = None) -> list[dict[str, Any]]:
        kept = [one for one in documents if "plums" not in one["memory"]]
        return [{**one, "rerank_score": float(len(one["memory"]))} for one in kept]


async def test_texts_that_it_leaves_out_come_last(pool: Pool, tmp_path: Path) -> None:
    async with world(pool, tmp_path) as (_, engine):
        plain = Reranker(Shuffling(), RerankOptions())

        async def search(limit: int) -> list[FoundMemory]:
            return [one for one in await engine.search("plums", user_id="ann", top_k=limit)]

        ordered = await plain.search("plums", 3, search)
        assert [one.memory.text for one in ordered] == [ITS_FIRST, OURS_FIRST, "I like plums."]


class LakesFirst:
    """Of one mind with nobody: what speaks of water stands above what answers the question."""

    def rerank(self, query: str, documents: list[dict[str, Any]], top_k: int | None = None) -> list[dict[str, Any]]:
        worth = {"lake": 0.9, "river": 0.8}
        return [{**one, "rerank_score": worth.get(one["memory"].split()[-1], 0.1)} for one in documents]


async def test_what_it_puts_first_is_told_where_the_budget_is_short(pool: Pool, executor: ThreadPoolExecutor) -> None:
    engine = MemoryEngine(pool, WordEmbedder(), executor, reranker=Reranker(LakesFirst(), RerankOptions(timeout_s=5.0)))
    await engine.start()
    told = {
        "home": ["My favourite colour is teal.", "The colour of the river"],
        owner_of("home", "Ben"): ["My favourite colour is red.", "The colour of the lake"],
    }
    for owner, texts in told.items():
        await engine.add([said(text) for text in texts], user_id=owner, infer=False)
    for tokens, expected in (
        (25, {"The colour of the lake"}),
        (45, {"The colour of the lake", "The colour of the river"}),
    ):
        memory = Mem0aiMemory(engine, ProviderOptions(recall_tokens=tokens), role_id="home")
        recalled = await memory.recall("What is my favourite colour?", 5, 10.0, speaker="Ben")
        assert {one.text for one in recalled} == expected
        await memory.close()
    await engine.stop(1.0)
