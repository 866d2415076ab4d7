"""Memory on PostgreSQL with pgvector: our own engine on the user's database.

What the public plugin kept there in `collection_name` is taken over: an owner's memories with the first question, all
others in the background. Its table is only read.
"""

import asyncio
import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from typing import Any

from xiaozhi_memory.mem0ai.accepting.postgres import PostgresJournal
from xiaozhi_memory.mem0ai.adopting.conversion import AdoptionOptions
from xiaozhi_memory.mem0ai.adopting.foreign_table import ForeignTable, NotAdoptableError
from xiaozhi_memory.mem0ai.engine import MemoryEngine
from xiaozhi_memory.mem0ai.longterm.door import open_long_term
from xiaozhi_memory.mem0ai.longterm.records_pg import PostgresRecords
from xiaozhi_memory.mem0ai.self_hosted import SelfHosted as Opened
from xiaozhi_memory.mem0ai.self_hosted import SelfHostedOptions, Surroundings, open_self_hosted

from .connecting import Pool, address_of, pool_of, rules_of
from .credentials import SelfHosted, Settings
from .extracting import Extracting, ceiling
from .forgetting import forgets
from .memory import Home
from .patience import ENGINE, EXTRACTION, LIMITS, RERANK
from .places import folder_for
from .writing import PARALLEL_MAX, Writing

logger = logging.getLogger(__name__)

_COLLECTION = "mem0"  # what mem0 calls it where nothing is said
_THREADS = 2
_CONNECT_TIMEOUT_S = 10.0
_LISTENING = 1  # the engine hears of changes on a connection of its own


async def open_postgres(settings: Settings, home: SelfHosted) -> Home:
    async with AsyncExitStack() as opened:
        config = home.vector_store.config
        rules = rules_of(config, operations=settings.max_operations)
        rules = replace(rules, most=max(rules.most - _LISTENING, 1), least=min(rules.least, max(rules.most - 1, 1)))
        pool = pool_of(address_of(config), rules)
        opened.push_async_callback(pool.close)
        await pool.open()
        await pool.wait(timeout=_CONNECT_TIMEOUT_S)
        adopt = await _adoption(pool, config)
        options = SelfHostedOptions(
            threads=PARALLEL_MAX, engine=ENGINE, extraction=EXTRACTION, rerank=RERANK, limits=LIMITS
        )
        memory = await open_self_hosted(_parts(home, adopt), _around(settings, pool, opened), options)
        opened.push_async_callback(memory.close)
        engine = memory.engine
        assert isinstance(engine, MemoryEngine)
        await engine.start()
        journal = PostgresJournal(pool, limit=settings.most_pending)
        return _home(settings, memory, engine, pool, journal, bool(adopt), opened.pop_all())


def _home(
    settings: Settings,
    memory: Opened,
    engine: MemoryEngine,
    pool: Pool,
    journal: PostgresJournal,
    adopts: bool,
    opened: AsyncExitStack,
) -> Home:
    writing = Writing(journal, engine, parallel=settings.max_operations)
    writing.start()
    longterm = open_long_term(memory, pool, ceiling=ceiling())
    adopting = asyncio.create_task(_adopt(engine), name="mem0-adopt") if adopts else None

    async def close(deadline_s: float) -> None:
        try:
            if adopting is not None:
                adopting.cancel()
                await asyncio.wait({adopting})
            await asyncio.gather(writing.stop(deadline_s), longterm.stop(deadline_s))
            await journal.close()
            await engine.stop(deadline_s)
        finally:
            await opened.aclose()

    return Home(
        memory=engine,
        close=close,
        writes=writing,
        relations=engine,
        longterm=Extracting(longterm),
        forgets=forgets(engine, PostgresRecords(pool), settings),
        beats={"the database": pool.check},
    )


def _parts(home: SelfHosted, adopt: Mapping[str, Any]) -> dict[str, Any]:
    """As the memory package reads them. Without a vector store it is our own engine."""
    parts: dict[str, Any] = {"llm": home.llm.as_mem0(), "embedder": home.embedder.as_mem0(), "adopt": adopt}
    if home.reranker is not None:
        parts["reranker"] = home.reranker.as_mem0()
    return parts


async def _adoption(pool: Pool, config: Mapping[str, Any]) -> dict[str, Any]:
    """Nothing where there is no such table, or it is none of mem0's: then it has nothing to do with us."""
    name = str(config.get("collection_name") or _COLLECTION)
    try:
        await ForeignTable(pool, name).dimensions()
    except NotAdoptableError:
        return {}
    # It was written with these very credentials; vectors of another length are made anew.
    return {"collection_name": name, "same_embedder": True}


def _around(settings: Settings, pool: Pool, opened: AsyncExitStack) -> Surroundings:
    executors = [ThreadPoolExecutor(_THREADS, thread_name_prefix=name) for name in ("mem0-work", "mem0-embed")]
    for executor in executors:
        opened.callback(partial(executor.shutdown, wait=False, cancel_futures=True))
    folder = folder_for(settings)
    return Surroundings(pool, executors[0], executors[1], folder / "mem0", folder / "cache")


async def _adopt(engine: MemoryEngine) -> None:
    """All of the table, beside everything else. What is there already is passed over."""
    try:
        report = await engine.adopt(None, AdoptionOptions(same_embedder=True), lambda done, of: None)
    except Exception as error:  # noqa: BLE001 - each owner still comes with the first question
        logger.warning("the public plugin's memories have not all come over (%s)", type(error).__name__)
    else:
        logger.info("the public plugin's memories have come over: %d new, %d known", report.adopted, report.known)
