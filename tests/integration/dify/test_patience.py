"""How long one request to one part may take is what the plugin says, wherever the memories lie."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from firmware_sim.cloud import StandInCloud
from mem0_tools import opening_other, opening_postgres, patience
from tests.integration.dify.world import credentials_for, tools
from tests.support.openai_stub import OpenAiStub, hangs
from xiaozhi_memory.mem0ai.by_mem0.extract_by_mem0 import ExtractionOptions
from xiaozhi_memory.mem0ai.by_mem0.opening import PartLimits


@pytest.fixture(params=["pgvector", "qdrant"])
def credentials(request: pytest.FixtureRequest, cloud: StandInCloud, database_dsn: str, tmp_path: Path) -> Any:
    made = credentials_for(cloud, database_dsn, async_mode=False)
    if request.param == "qdrant":
        config = {"path": str(tmp_path / "qdrant"), "collection_name": "mine", "on_disk": True}
        made["local_vector_db_json_secret"] = json.dumps({"provider": "qdrant", "config": config})
    return made


@pytest.fixture
async def silent() -> AsyncIterator[OpenAiStub]:
    """A model that never answers."""
    async with OpenAiStub() as stub:
        stub.reply = hangs
        yield stub


def asking(stub: OpenAiStub, **more: Any) -> str:
    config = {"api_key": "k", "openai_base_url": stub.base_url, "model": "m", **more}
    return json.dumps({"provider": "openai", "config": config})


async def test_a_silent_embedder_is_named(
    credentials: dict[str, Any],
    silent: OpenAiStub,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for opening in (opening_postgres, opening_other):
        monkeypatch.setattr(opening, "LIMITS", PartLimits(embedder_s=0.2))
    credentials["local_embedder_json_secret"] = asking(silent, embedding_dims=384)
    async with tools(credentials) as sync:
        answer = await sync.call("search_memory", query="tea", user_id="anna")
    assert answer.status == "ERROR"
    assert "the embedder m did not answer in 0.2 s" in caplog.text


async def test_a_silent_model_does_not_lose_what_was_said(
    credentials: dict[str, Any], silent: OpenAiStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    for opening in (opening_postgres, opening_other):
        monkeypatch.setattr(opening, "EXTRACTION", ExtractionOptions(timeout_s=0.2, attempts=1))
    credentials["local_llm_json_secret"] = asking(silent)
    async with tools(credentials) as sync:
        assert (await sync.call("add_memory", user="I like tea.", user_id="anna")).status == "SUCCESS"
        kept = (await sync.call("get_all_memories", user_id="anna")).json["results"]
    assert [one["memory"] for one in kept] == ["I like tea."]


def test_whoever_waits_for_several_parts_waits_longer_than_for_each() -> None:
    search, limits = patience.ENGINE.search, patience.LIMITS
    assert limits.embedder_s < search.vector_timeout_s
    assert search.vector_timeout_s + limits.store_s < search.timeout_s
    assert limits.embedder_s < patience.EXTRACTION.around_s
    assert 2 * patience.EXTRACTION.around_s + 4 * patience.EXTRACTION.timeout_s < patience.WRITE_S
