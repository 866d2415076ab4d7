"""What is late is ended where it runs: its statement in the database, its request to a model."""

import asyncio
import json
from typing import Any

import psycopg

from firmware_sim.cloud import StandInCloud
from tests.integration.dify.world import credentials_for, tools
from tests.support.openai_stub import OpenAiStub, hangs
from tests.support.waiting import until

_MORE_THAN_THREADS = 5
_BLOCKED = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND state = 'active' AND wait_event_type = 'Lock'
"""


async def test_the_statement_of_a_late_call_ends(cloud: StandInCloud, database_dsn: str) -> None:
    async with (
        tools(credentials_for(cloud, database_dsn, async_mode=False)) as sync,
        await psycopg.AsyncConnection.connect(database_dsn) as locking,
        await psycopg.AsyncConnection.connect(database_dsn, autocommit=True) as watching,
    ):
        assert (await sync.call("get_all_memories", user_id="anna")).status == "SUCCESS"
        await locking.execute("LOCK TABLE memory_entry IN ACCESS EXCLUSIVE MODE")

        async def blocked() -> int:
            row = await (await watching.execute(_BLOCKED)).fetchone()
            assert row is not None
            return int(row[0])

        calling = asyncio.create_task(sync.call("get_all_memories", user_id="anna", timeout=1))
        await until(blocked)
        answer = await calling
        assert answer.json["messages"] == "Operation timed out, returning empty results"

        async def none_is_blocked() -> bool:
            return await blocked() == 0

        await until(none_is_blocked)
        await locking.rollback()
        assert (await sync.call("get_all_memories", user_id="anna")).status == "SUCCESS"


async def test_the_request_of_a_late_call_ends(cloud: StandInCloud, database_dsn: str) -> None:
    async with OpenAiStub() as stub:
        config: dict[str, Any] = {"api_key": "k", "openai_base_url": stub.base_url, "model": "m", "embedding_dims": 384}
        embedder = json.dumps({"provider": "openai", "config": config})
        credentials = credentials_for(cloud, database_dsn, async_mode=False, local_embedder_json_secret=embedder)
        async with tools(credentials) as sync:
            assert (await sync.call("get_all_memories", user_id="anna")).status == "SUCCESS"  # it is open
            stub.reply = hangs
            stub.client_left.clear()
            answer = await sync.call("add_memory", user="x", user_id="anna", infer=False, timeout=1)
            assert answer.status == "TIMEOUT"
            async with asyncio.timeout(5.0):
                await stub.client_left.wait()


async def test_the_request_to_the_model_of_a_late_call_ends(cloud: StandInCloud, database_dsn: str) -> None:
    async with OpenAiStub() as stub:
        stub.reply = hangs
        asked = {"api_key": "k", "openai_base_url": stub.base_url, "model": "m"}
        llm = json.dumps({"provider": "openai", "config": asked})
        credentials = credentials_for(cloud, database_dsn, async_mode=False, local_llm_json_secret=llm)
        async with tools(credentials) as sync:
            assert (await sync.call("get_all_memories", user_id="anna")).status == "SUCCESS"  # it is open
            for _ in range(_MORE_THAN_THREADS):
                stub.request_came.clear()
                stub.client_left.clear()
                answer = await sync.call("add_memory", user="I like tea.", user_id="anna", timeout=1)
                assert answer.status == "TIMEOUT"
                assert stub.request_came.is_set()  # the one before has left its thread to this one
                async with asyncio.timeout(5.0):
                    await stub.client_left.wait()
