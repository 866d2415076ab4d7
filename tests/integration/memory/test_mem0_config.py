"""How the self-hosted memory is configured: mem0's objects, each with a clear word when it cannot be used."""

from pathlib import Path
from typing import Any

import pytest

from firmware_sim.cloud import StandInCloud
from tests.integration.memory.mem0_world import Pool, embedder, llm, opened_self_hosted, said, saved, self_hosted
from xiaozhi_server.core.providers.memory.mem0ai import MemoryEngine
from xiaozhi_server.core.providers.memory.mem0ai.by_mem0.mem0_parts import ProviderConfigError
from xiaozhi_server.core.providers.memory.mem0ai.by_mem0.other_stores import OtherStoreEngine

SECRET = "sk-very-secret"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"llm": "openai"}, r"llm must be an object"),
        ({"llm": {"provider": "openai", "model": "x"}}, r"llm must be an object"),
        ({"llm": {"config": {}}}, r"llm\.provider must name"),
        ({"llm": {"provider": "openai", "config": []}}, r"llm\.config must be an object|OPENAI_API_KEY|openai"),
        ({"llm": {"provider": "nobody"}}, r"llm\.provider 'nobody' is not known: it is one of .*openai"),
        ({"llm": {"provider": "groq"}}, r"llm\.provider 'groq' is not installed: .*pip install groq"),
        ({"llm": {"provider": "openai", "config": {"modle": "x"}}}, r"llm\.config does not fit 'openai': .*modle"),
        ({"llm": {"provider": "openai", "config": {"model": "x"}}}, r"llm: 'openai' cannot be opened"),
        ({"embedder": {"provider": "nobody"}}, r"embedder\.provider 'nobody' is not known"),
        ({"embedder": {"provider": "fastembed"}}, r"embedder\.provider 'fastembed' is not installed"),
        ({"vector_store": {"provider": "nobody"}}, r"vector_store\.provider 'nobody' is not known: .*qdrant"),
        ({"vector_store": {"provider": "chroma"}}, r"vector_store\.provider 'chroma' is not installed: .*chromadb"),
        (
            {"vector_store": {"provider": "qdrant", "config": {"api_key": SECRET, "colour": SECRET}}},
            r"vector_store: 'qdrant' cannot be opened with its config \(.*colour",
        ),
        ({"reranker": {"provider": "nobody"}}, r"reranker\.provider 'nobody' is not known: .*cohere"),
        ({"reranker": {"provider": "cohere", "config": {"api_key": SECRET}}}, r"'cohere' is not installed: .*cohere"),
    ],
)
async def test_what_cannot_be_used_is_said_at_once(
    pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: dict[str, Any], message: str
) -> None:
    for name in ("OPENAI_API_KEY", "OPENROUTER_API_KEY", "GROQ_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ProviderConfigError, match=message) as caught:
        async with self_hosted(config, pool, tmp_path):
            raise AssertionError("it was opened")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("empty", [{}, {"llm": None, "vector_store": {}}, {"vector_store": {"provider": "xiaozhi"}}])
async def test_without_any_of_it_everything_is_embedded(pool: Pool, tmp_path: Path, empty: dict[str, Any]) -> None:
    async with self_hosted(empty, pool, tmp_path) as engine:
        assert isinstance(engine, MemoryEngine)
        await engine.enqueue([said("Hello there!")], user_id="ann")
        await saved(engine)
        assert [one.text for one in await engine.get_all(user_id="ann")] == ["Hello there!"]


async def test_whether_a_question_leaves_the_house_is_said(pool: Pool, tmp_path: Path) -> None:
    async with StandInCloud() as cloud:
        reranker = {"provider": "llm_reranker", "config": {"llm": llm(cloud)}}
        cases: list[tuple[dict[str, Any], bool]] = [
            ({}, True),
            ({"llm": llm(cloud), "vector_store": {"provider": "xiaozhi"}}, True),
            ({"embedder": embedder(cloud)}, False),
            ({"vector_store": {"provider": "qdrant"}}, False),
            ({"reranker": reranker}, False),
        ]
        for config, is_embedded in cases:
            async with opened_self_hosted(config, pool, tmp_path) as opened:
                assert opened.is_embedded == is_embedded


async def test_all_four_together(pool: Pool, tmp_path: Path) -> None:
    async with StandInCloud() as cloud:
        config = {
            "llm": llm(cloud),
            "embedder": embedder(cloud),
            "vector_store": {"provider": "qdrant", "config": {"collection_name": "ours"}},
            "reranker": {"provider": "llm_reranker", "config": {"llm": llm(cloud)}},
        }
        async with self_hosted(config, pool, tmp_path) as engine:
            assert isinstance(engine, OtherStoreEngine)
            await engine.enqueue([said("I like tea. My dog is Rex. Who am I?")], user_id="ann", agent_id="bot")
            await saved(engine)
            found = await engine.search("my dog", user_id="ann")
            assert [one.memory.text for one in found] == ["Dog is Rex.", "Likes tea."]
            assert {one.memory.agent_id for one in found} == {"bot"}
            await engine.enqueue([said("My dog is Rex. I like plums.")], user_id="ann", agent_id="bot")
            await saved(engine)
            texts = sorted(one.text for one in await engine.get_all(user_id="ann"))
            assert texts == ["Dog is Rex.", "Likes plums.", "Likes tea."]
        assert is_in(tmp_path / "qdrant", "ours")  # the store lies in our folder, not in /tmp


def is_in(folder: Path, name: str) -> bool:
    return any(path.name == name for path in folder.rglob("*"))


async def test_mem0s_own_embedder(pool: Pool, tmp_path: Path) -> None:
    """One that we have no client of our own for: its length is found out by asking."""
    async with StandInCloud(dimensions=48) as cloud:
        config = {"model": "x", "lmstudio_base_url": cloud.base_url}
        async with self_hosted({"embedder": {"provider": "lmstudio", "config": config}}, pool, tmp_path) as engine:
            await engine.add([said("I like tea.")], user_id="ann")
            (found,) = await engine.search("I like tea.", user_id="ann")
            assert found.semantic_score == pytest.approx(1.0, abs=0.01)
        assert cloud.counts["embeddings"] >= 2
