"""A process that extracts the conversations of one user, and is killed at the step that its arguments name."""

import asyncio
import json
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from tests.integration.memory.killed_saver import die, die_before_telling
from tests.integration.memory.longterm_world import APP, LIKES, OPTIONS, QUESTION, STEPS, WENT, WINDOW, kinds
from tests.support.dify_api import KEY
from xiaozhi_server.core.providers.memory.mem0ai import MemoryEngine
from xiaozhi_server.core.providers.memory.mem0ai.by_mem0.extract_by_mem0 import ExtractingSaver
from xiaozhi_server.core.providers.memory.mem0ai.facts.answer import Answer, Told
from xiaozhi_server.core.providers.memory.mem0ai.facts.check import check
from xiaozhi_server.core.providers.memory.mem0ai.facts.learn import Learner, Part
from xiaozhi_server.core.providers.memory.mem0ai.facts.learned import Learned
from xiaozhi_server.core.providers.memory.mem0ai.facts.request import Line, Request
from xiaozhi_server.core.providers.memory.mem0ai.longterm.dify_api import DifyOptions
from xiaozhi_server.core.providers.memory.mem0ai.longterm.door import ExtractionRequest, LongTerm, on_postgres
from xiaozhi_server.core.providers.memory.mem0ai.longterm.extract import ExtractOptions
from xiaozhi_server.core.providers.memory.mem0ai.longterm.pool import Ceiling
from xiaozhi_server.core.providers.memory.mem0ai.longterm.records_pg import PostgresRecords
from xiaozhi_server.core.providers.memory.mem0ai.longterm.scan import Scan
from xiaozhi_server.core.providers.memory.mem0ai.rows import pgstore
from xiaozhi_server.core.providers.memory.mem0ai.saving.outbox import Batch
from xiaozhi_server.core.providers.memory.mem0ai.saving.saver import EmbedAll, Search
from xiaozhi_server.core.providers.memory.mem0ai.saving.verbatim import VerbatimSaver
from xiaozhi_server.core.providers.memory.mem0ai.testing import WordEmbedder
from xiaozhi_server.core.providers.memory.mem0ai.wishes import Wishes

SAID = (LIKES, "I like chess and I like rowing.", WENT, STEPS, QUESTION)
REMEMBERED = sorted(SAID[:-1])


class EchoModel:
    """Sorts conversations as the scripted model does."""

    async def answer(self, messages: list[dict[str, str]]) -> str:
        return json.dumps(kinds(json.loads(messages[1]["content"])))


class EchoExtractor:
    """Takes each message of the user's for a fact."""

    def search_by(self, search: Search, embed: EmbedAll | None = None) -> None:
        """What is known changes nothing."""

    async def extract(self, batch: Batch) -> Learned:
        learner = Learner(batch, multilingual=True)
        lines = tuple(Line(place, message) for place, message in enumerate(learner.messages))
        told = [
            Told(line.message.content, sources=(number,))
            for number, line in enumerate(lines, 1)
            if line.message.role == "user"
        ]
        request, answer = Request(lines, (), (), Wishes()), Answer(tuple(told))
        vectors = await WordEmbedder().embed([fact.text for fact in told])
        found = dict(zip((fact.text for fact in told), vectors, strict=True))
        learner.take(Part(request, answer, check(answer, request), found, {}))
        return learner.learned()


def die_at(owner: Any, name: str, nth: int = 1) -> None:
    """As soon as the nth of these calls has had its effect."""
    original, left = getattr(owner, name), [nth]

    async def call_and_die(*arguments: Any, **named: Any) -> Any:
        result = await original(*arguments, **named)
        left[0] -= 1
        if not left[0]:
            die()
        return result

    setattr(owner, name, call_and_die)


def die_when_moved(nth: int) -> None:
    """Within the transaction, behind the checkpoint."""
    original, left = PostgresRecords.moving, [nth]

    def moving(self: PostgresRecords, *arguments: Any) -> Any:
        move = original(self, *arguments)

        async def move_and_die(connection: AsyncConnection[Any]) -> None:
            await move(connection)
            left[0] -= 1
            if not left[0]:
                die()

        return move_and_die

    PostgresRecords.moving = moving  # type: ignore[assignment, method-assign]


def die_when_read() -> None:
    original = Scan.conversations

    async def conversations(self: Scan) -> Any:
        async for one in original(self):
            yield one
            die()

    Scan.conversations = conversations  # type: ignore[method-assign]


STEPS_OF_A_RUN: dict[str, Callable[[], None]] = {
    "task written": lambda: die_at(PostgresRecords, "put_task"),
    "locked": lambda: die_at(PostgresRecords, "lock"),
    "checkpoint read": lambda: die_at(PostgresRecords, "checkpoint"),
    "first conversation read": die_when_read,
    "sorted": lambda: die_at(EchoModel, "answer"),
    "moved past the first": lambda: die_when_moved(1),
    "passed over": lambda: die_at(PostgresRecords, "move"),
    "extracted": lambda: die_at(EchoExtractor, "extract"),
    "moved with memories": lambda: die_when_moved(2),
    "inserted": lambda: die_at(pgstore, "insert"),
    "committed": die_before_telling,
    "extracted the second": lambda: die_at(EchoExtractor, "extract", 2),
    "inserted the second": lambda: die_at(pgstore, "insert", 2),
    "released": lambda: die_at(PostgresRecords, "release"),
    "last record": lambda: die_at(PostgresRecords, "put_task", 2),
    "all done": lambda: None,
}


def engine_on(pool: Any, executor: ThreadPoolExecutor) -> MemoryEngine:
    def make(verbatim: VerbatimSaver) -> ExtractingSaver:
        return ExtractingSaver(EchoExtractor(), verbatim, OPTIONS)

    return MemoryEngine(pool, WordEmbedder(), executor, make_saver=make)


def longterm_on(engine: MemoryEngine, pool: Any) -> LongTerm:
    """One conversation in each call, so that there is much to be killed between."""
    return on_postgres(engine, pool, EchoModel(), ceiling=Ceiling(), options=ExtractOptions(learn_together=1))


def request(base_url: str) -> ExtractionRequest:
    dify = DifyOptions(base_url, KEY, retries=1, first_pause_s=0.01)
    return ExtractionRequest(("ann",), APP, WINDOW, dify)


async def main(dsn: str, base_url: str, step: str) -> None:
    pool: AsyncConnectionPool[AsyncConnection[Any]] = AsyncConnectionPool(dsn, open=False)
    async with pool:
        engine = engine_on(pool, ThreadPoolExecutor(1))
        await engine.start()
        STEPS_OF_A_RUN[step]()
        await longterm_on(engine, pool).run(request(base_url))
        die()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
