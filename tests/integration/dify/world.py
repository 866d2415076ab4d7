"""The tools between a real database and the stand-in cloud: called as the plugin calls them, from a thread."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from firmware_sim.cloud import StandInCloud
from mem0_tools.answers import Answer
from mem0_tools.background import Background
from mem0_tools.calling import Caller
from mem0_tools.clients import ClientOptions, Clients
from mem0_tools.opening import open_home


def credentials_for(cloud: StandInCloud, dsn: str, **more: Any) -> dict[str, Any]:
    asked = {"api_key": "sk-secret-of-the-model", "openai_base_url": cloud.base_url}
    return {
        "local_llm_json_secret": json.dumps({"provider": "openai", "config": {**asked, "model": "stand-in"}}),
        "local_embedder_json_secret": json.dumps(
            {"provider": "openai", "config": {**asked, "model": "stand-in", "embedding_dims": 384}}
        ),
        "local_vector_db_json_secret": json.dumps({"provider": "pgvector", "config": {"connection_string": dsn}}),
        **more,
    }


class Tools:
    """Calls tools with one set of credentials."""

    def __init__(self, credentials: dict[str, Any]) -> None:
        self.credentials = credentials
        self.clients = Clients(open_home, ClientOptions(replaced_after_s=0.2))
        self.caller = Caller(Background(), self.clients)

    async def call(self, tool: str, **parameters: Any) -> Answer:
        return await asyncio.to_thread(self.caller.call, tool, parameters, self.credentials)

    async def validate(self, **more: Any) -> str | None:
        return await asyncio.to_thread(self.caller.validate, {**self.credentials, **more})

    async def stop(self) -> None:
        await asyncio.to_thread(self.caller.stop)


@asynccontextmanager
async def tools(credentials: dict[str, Any]) -> AsyncIterator[Tools]:
    made = Tools(credentials)
    try:
        yield made
    finally:
        await made.stop()
