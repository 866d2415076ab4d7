"""Long-term extraction between a stand-in for Dify and a model that does what it is asked: how often it is asked.

Each user has some conversations of a day, and each of those tells one thing that is to be remembered: one half of them
facts, the other one episodes.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from psycopg_pool import AsyncConnectionPool

from bench.memory_data import people
from tests.support.dify_api import KEY, DifyStandIn
from tests.support.scripted_model import Asked, ScriptedModel
from xiaozhi_server.core.providers.memory.mem0ai import MemoryEngine
from xiaozhi_server.core.providers.memory.mem0ai.longterm.dify_api import DifyOptions
from xiaozhi_server.core.providers.memory.mem0ai.longterm.door import ExtractionRequest, LongTerm, open_long_term
from xiaozhi_server.core.providers.memory.mem0ai.longterm.pool import Ceiling
from xiaozhi_server.core.providers.memory.mem0ai.longterm.window import Window
from xiaozhi_server.core.providers.memory.mem0ai.self_hosted import Surroundings, open_self_hosted

_DAY = datetime(2026, 3, 2, tzinfo=UTC)
_APP = "app"
_POOL = 8
_STOP_S = 5.0
_TURNS = 4  # of a conversation; the others are small talk
# What the model takes each conversation for: as the words of `memory_data` are.
_EPISODE = " and I "
_SMALL_TALK = ("Good morning.", "How are you?", "That is nice.", "Thank you, bye.")


@dataclass(frozen=True, slots=True)
class ModelCalls:
    """`remembered` is the share of told things that are memories afterwards."""

    extracted: int
    classification: int
    extraction: int
    remembered: float

    @property
    def each(self) -> float:
        return (self.classification + self.extraction) / max(1, self.extracted)


async def model_calls(dsn: str, folder: Path, *, users: int, conversations: int) -> ModelCalls:
    """Of one run over all of them."""
    async with ScriptedModel(_answer) as model, DifyStandIn() as dify:
        told = {}
        for number, person in enumerate(people(users, 40, seed=6)):
            user = f"user-{number}"
            told[user] = list(person.lines[:conversations])
            for place, line in enumerate(told[user]):
                _say(dify, user, line, place)
        async with _opened(dsn, folder, model) as (longterm, engine):
            window = Window(_DAY, _DAY + timedelta(days=1))
            request = ExtractionRequest(tuple(told), _APP, window, DifyOptions(dify.base_url, KEY))
            report = await longterm.run(request)
            if report["status"] != "SUCCESS":
                raise RuntimeError(f"the extraction ended with {report['status']}: {report['per_user'][0]['errors']}")
            found = 0
            for user, lines in told.items():
                texts = {memory.text for memory in await engine.get_all(user_id=user, top_k=1000)}
                found += sum(line in texts for line in lines)
        asked = [("conversations" in one) for one in model.asked]
    count = sum(map(len, told.values()))
    return ModelCalls(count, sum(asked), len(asked) - sum(asked), found / count)


def _say(dify: DifyStandIn, user: str, line: str, place: int) -> None:
    begins = _DAY + timedelta(hours=8, minutes=10 * place)
    texts = [*_SMALL_TALK[: _TURNS // 2], line, *_SMALL_TALK[_TURNS // 2 :]]
    talk = ""
    for turn, text in enumerate(texts):
        at = (begins + timedelta(seconds=30 * turn)).timestamp()
        talk, _ = dify.add(user, text, "I see.", at=at, conversation_id=talk)


def _answer(asked: Asked) -> Any:
    if "conversations" in asked:
        return {"conversations": [{"n": one["n"], **_kind(one)} for one in asked["conversations"]]}
    said = [line for line in asked["talk"] if line["who"] == "user" and line["text"] not in _SMALL_TALK]
    return {"memory": [{"text": line["text"], "from": [line["n"]]} for line in said]}


def _kind(conversation: dict[str, Any]) -> dict[str, Any]:
    said = json.dumps(conversation["messages"])
    return {"memory_type": "EPISODIC" if _EPISODE in said else "SEMANTIC", "should_extract": True, "reason": "told"}


@asynccontextmanager
async def _opened(dsn: str, folder: Path, model: ScriptedModel) -> AsyncIterator[tuple[LongTerm, MemoryEngine]]:
    await asyncio.to_thread(folder.mkdir)
    with ThreadPoolExecutor(2) as executor:
        async with AsyncConnectionPool(dsn, min_size=1, max_size=_POOL, open=False) as pool:
            around = Surroundings(
                pool=pool, executor=executor, embedding_executor=executor, folder=folder, cache_dir=folder
            )
            opened = await open_self_hosted({"llm": model.part()}, around)
            engine = opened.engine
            assert isinstance(engine, MemoryEngine)
            await engine.start()
            longterm = open_long_term(opened, pool, ceiling=Ceiling())
            try:
                yield longterm, engine
            finally:
                await longterm.stop(_STOP_S)
                await engine.stop(_STOP_S)
                await opened.close()
                await asyncio.sleep(0)
