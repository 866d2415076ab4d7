"""What the engine on PostgreSQL has more than others: relations, forgetting, and the public plugin's data."""

import json
from typing import Any

import psycopg
import pytest

from firmware_sim.cloud import Fault, StandInCloud
from tests.integration.dify.world import Tools, credentials_for, tools
from tests.integration.memory.test_adoption import load
from tests.support.scripted_model import ScriptedModel

_AGE = "UPDATE memory_entry SET created_at = now() - interval '400 days', updated_at = now() - interval '400 days'"


async def remember(sync: Tools, *texts: str) -> None:
    for text in texts:
        added = await sync.call("add_memory", user=text, user_id="anna", infer=False)
        assert added.status == "SUCCESS", added


async def test_what_has_faded_is_shown_first_and_goes_then(cloud: StandInCloud, database_dsn: str) -> None:
    async with tools(credentials_for(cloud, database_dsn, async_mode=False)) as sync:
        await remember(sync, "I had a cold", "I bought a hat")
        async with await psycopg.AsyncConnection.connect(database_dsn) as connection:
            await connection.execute(_AGE)
        await remember(sync, "I like tea")
        shown = await sync.call("forget_memories", user_id="anna", dry_run="true")
        assert shown.status == "SUCCESS", shown
        assert shown.text == "Would delete 2 memories, retained 1, cleaned 0 old checkpoint(s)."
        told = shown.json["results"]
        assert {one["memory"] for one in told["would_delete"]} == {"I had a cold", "I bought a hat"}
        info = told["would_delete"][0]["retention_info"]
        assert info["forget"] is True
        assert info["s0_used"] == 30
        assert len((await sync.call("get_all_memories", user_id="anna")).json["results"]) == 3
        # The text "false" is no wish for a preview.
        done = await sync.call("forget_memories", user_id="anna", dry_run="false")
        assert (done.json["results"]["deleted_count"], done.json["results"]["dry_run"]) == (2, False)
        left = (await sync.call("get_all_memories", user_id="anna")).json["results"]
        assert [one["memory"] for one in left] == ["I like tea"]


async def test_a_time_to_live_is_a_hard_end(cloud: StandInCloud, database_dsn: str) -> None:
    async with tools(credentials_for(cloud, database_dsn, async_mode=False, memory_ttl_days="5")) as sync:
        await remember(sync, "I had a cold")
        async with await psycopg.AsyncConnection.connect(database_dsn) as connection:
            await connection.execute(_AGE.replace("400", "6"))
        shown = await sync.call("forget_memories", user_id="anna", dry_run=True)
        (one,) = shown.json["results"]["would_delete"]
        assert one["retention_info"]["ttl_expired"] is True


@pytest.mark.parametrize("version", ["1_0_11", "2_2_1"])
async def test_what_the_public_plugin_kept_is_there(cloud: StandInCloud, database_dsn: str, version: str) -> None:
    load(database_dsn, version)
    with psycopg.connect(database_dsn) as connection:
        (name,) = connection.execute(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname LIKE 'mem0%' ORDER BY length(relname) LIMIT 1"
        ).fetchone() or ("mem0",)
    store = json.dumps({"provider": "pgvector", "config": {"connection_string": database_dsn, "collection_name": name}})
    credentials = credentials_for(cloud, database_dsn, local_vector_db_json_secret=store)
    async with tools(credentials) as accepting:
        listed = await accepting.call("get_all_memories", user_id="ann")
        texts = {one["memory"] for one in listed.json["results"]}
        assert {"I like green tea.", "My dog is called Rex."} <= texts
        id = next(one["id"] for one in listed.json["results"] if one["memory"] == "I live in Berlin.")
        assert (await accepting.call("get_memory", memory_id=id)).status == "SUCCESS"


async def test_relations_come_back_where_a_graph_is_wished_for(cloud: StandInCloud, database_dsn: str) -> None:
    def answer(asked: dict[str, Any]) -> Any:
        return {
            "memory": ["My sister is called Berta."],
            "things": [{"name": "Berta", "kind": "person"}],
            "relations": [["Berta", "sister", "I"]],
        }

    graph = json.dumps({"provider": "neo4j", "config": {"url": "bolt://nowhere", "password": "x"}})
    async with ScriptedModel(answer) as model:
        credentials = credentials_for(
            cloud,
            database_dsn,
            async_mode=False,
            local_llm_json_secret=json.dumps(model.part()),
            local_graph_db_json_secret=graph,
        )
        async with tools(credentials) as sync:
            added = await sync.call("add_memory", user="My sister is called Berta", user_id="anna")
            assert added.status == "SUCCESS", added
            (relation,) = added.json["results"]["relations"]
            assert (relation["source"], relation["relationship"]) == ("Berta", "sister")
            found = await sync.call("search_memory", query="sister", user_id="anna")
            assert found.json["relations"] == [relation]
    async with tools(credentials_for(cloud, database_dsn, async_mode=False)) as plain:
        assert "relations" not in (await plain.call("search_memory", query="sister", user_id="anna")).json


async def test_a_reranker_is_really_asked(cloud: StandInCloud, database_dsn: str) -> None:
    llm = json.loads(credentials_for(cloud, "")["local_llm_json_secret"])
    reranker = json.dumps({"provider": "llm_reranker", "config": {"llm": llm}})
    credentials = credentials_for(cloud, database_dsn, async_mode=False, local_reranker_json_secret=reranker)
    async with tools(credentials) as sync:
        await remember(sync, "We like tea.", "I do like tea.", "I like plums.")
        before = len(cloud.requests)
        cloud.faults.chat = Fault(delay_s=1.2)  # longer than a talk would wait for it
        found = await sync.call("search_memory", query="Do I like tea?", user_id="anna", top_k=1)
        (best,) = found.json["results"]
        assert best["memory"] == "I do like tea."
        assert best["rerank_score"] is not None
        asked = [one for one in list(cloud.requests)[before:] if one.service == "chat"]
        assert len(asked) >= 3


async def test_an_extraction_that_cannot_be_done_tells_why_in_sync_mode(cloud: StandInCloud, database_dsn: str) -> None:
    key = "app-secret-of-dify"
    asked = {"user_ids": "u1,u2", "app_id": "app", "dify_base_url": "http://127.0.0.1:1/v1", "dify_api_key": key}
    async with tools(credentials_for(cloud, database_dsn, async_mode=False)) as sync:
        answer = await sync.call("extract_long_term_memory", **asked, timeout=20)
        assert key not in repr(answer)
        assert answer.status in ("ERROR", "PARTIAL_SUCCESS", "TIMEOUT")
        wrong = await sync.call("extract_long_term_memory", **{**asked, "dify_base_url": f"nonsense {key}"})
        assert wrong.status == "ERROR"
        assert key not in repr(wrong)
