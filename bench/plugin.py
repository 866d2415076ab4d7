"""`python -m bench.plugin`: the Dify plugin's memory against the public plugin's way of working.

That one asks mem0's `AsyncMemory` directly, with a pool of 10 to 20 connections of its own and 20 operations at once.
Both have the same people, memories and vectors, on an embedded PostgreSQL of their own on this machine, which shares
the processors with the callers. The vectors are looked up, but for `tool`, where they come from a service. One run
each; run it on a quiet machine.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from statistics import fmean, median

import numpy as np
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from bench import tool_calls
from bench.dify_extraction import model_calls
from bench.memory_data import Asked, Person, lookup_embedder, people
from bench.memory_speed import Bench, Figure, Sizes, at_least, at_most, database, fill, say, table
from bench.plugin_start import starts
from bench.stock_mem0 import StockMem0, StockOptions, open_stock_mem0
from xiaozhi_server.core.providers.memory.mem0ai import MemoryEngine, MiniLmEmbedder
from xiaozhi_server.core.providers.memory.mem0ai.accepting.doing import EngineDoer
from xiaozhi_server.core.providers.memory.mem0ai.accepting.postgres import PostgresJournal
from xiaozhi_server.core.providers.memory.mem0ai.accepting.worker import Worker

Ask = Callable[[Person, Asked], Awaitable[list[str]]]

CALLERS = (1, 8, 32)
TOP = 5  # as the tool has it where nothing is said
_AGENT = "agent"
_POOL = 9  # and one connection that hears of changes
_OPERATIONS = 20
_THEIRS = StockOptions(least_connections=10, most_connections=20)
_THEIRS_AS_IT_IS = StockOptions(least_connections=10, most_connections=20, hnsw=True, owner_index=False)
_QUEUED = 200
_WRITERS = 8
_ACCEPTED = 150
_SAMPLE_S = 0.05
_STOP_S = 5.0


@dataclass(frozen=True, slots=True)
class PluginSizes:
    owners: int = 500
    writes: int = 2000
    conversations: int = 120
    seconds: float = 5.0
    starts: int = 7


QUICK = PluginSizes(40, 300, 24, 0.5, 2)


@dataclass(frozen=True, slots=True)
class Speed:
    """Milliseconds, searches a second, the share of answers with the right fact, connections held at most."""

    p50: float
    p95: float
    rate: float
    right: float
    connections: int


# --- searching ---


async def search(bench: Bench, sizes: PluginSizes) -> list[Figure]:
    """The same questions to both; theirs once with an index on the owner, and once as it makes its table itself."""
    persons = list(people(sizes.owners, 100))
    ours = await _our_speed(bench, sizes, persons)
    theirs = await _their_speed(bench, sizes, persons, _THEIRS, "indexed")
    as_it_is = await _their_speed(bench, sizes, persons, _THEIRS_AS_IT_IS, "as it is")
    figures = []
    for callers in CALLERS:
        case = f"search, {callers} at once"
        for name, speeds in (("ours", ours), ("theirs", theirs), ("theirs, no index on the owner", as_it_is)):
            figures += _figures(case, name, speeds[callers])
    most = max(CALLERS)
    figures.append(at_least(f"search, {most} at once", "ours : theirs", ours[most].rate / theirs[most].rate, "x", 4))
    figures.append(
        Figure(
            f"search, {most} at once",
            "ours : theirs, no index on the owner",
            ours[most].rate / as_it_is[most].rate,
            "x",
        )
    )
    figures.append(at_most("connections", "ours", max(one.connections for one in ours.values()), "", 10))
    figures.append(Figure("connections", "theirs", max(one.connections for one in theirs.values()), ""))
    return figures


def _figures(case: str, name: str, speed: Speed) -> list[Figure]:
    return [
        Figure(case, f"p50, {name}", speed.p50, "ms"),
        Figure(case, f"p95, {name}", speed.p95, "ms"),
        Figure(case, f"rate, {name}", speed.rate, "/s"),
        Figure(case, f"right fact in top {TOP}, {name}", 100 * speed.right, "%"),
    ]


async def _our_speed(bench: Bench, sizes: PluginSizes, persons: Sequence[Person]) -> dict[int, Speed]:
    async with database(bench, "ours") as dsn:
        async with _engine(dsn, bench):
            pass  # makes the tables
        await fill(dsn, iter(persons), bench.lookup)
        async with _engine(dsn, bench) as (engine, _):

            async def ask(person: Person, asked: Asked) -> list[str]:
                found = await engine.search(asked.question, user_id=person.user_id, agent_id=_AGENT, top_k=TOP)
                return [one.memory.text for one in found]

            return await _speeds(ask, dsn, persons, sizes.seconds)


async def _their_speed(
    bench: Bench, sizes: PluginSizes, persons: Sequence[Person], options: StockOptions, name: str
) -> dict[int, Speed]:
    say(f"  mem0, {name} ...")
    async with database(bench, f"theirs {name}") as dsn:
        stock = await asyncio.to_thread(
            open_stock_mem0, dsn, bench.folder / f"mem0 {name}", bench.lookup, persons, options
        )
        try:
            return await _speeds(_asking(stock), dsn, persons, sizes.seconds)
        finally:
            stock.close()


def _asking(stock: StockMem0) -> Ask:
    slots = asyncio.Semaphore(_OPERATIONS)

    async def ask(person: Person, asked: Asked) -> list[str]:
        async with slots:
            return await stock.search(asked.question, person.user_id, TOP)

    return ask


async def _speeds(ask: Ask, dsn: str, persons: Sequence[Person], seconds: float) -> dict[int, Speed]:
    """Everybody has asked before."""
    for person in persons:
        await ask(person, person.asked[0])
        await asyncio.sleep(0)
    return {callers: await _speed(ask, dsn, persons, callers, seconds) for callers in CALLERS}


async def _speed(ask: Ask, dsn: str, persons: Sequence[Person], callers: int, seconds: float) -> Speed:
    """Each caller asks anew as soon as it is answered."""
    until = time.perf_counter() + seconds
    times: list[float] = []
    right: list[bool] = []

    async def call(seed: int) -> None:
        dice = random.Random(seed)
        while time.perf_counter() < until:
            person = dice.choice(persons)
            asked = dice.choice(person.asked)
            began_at = time.perf_counter()
            # What is answered at once would keep the loop from everybody else, whose waiting counts.
            await asyncio.sleep(0)
            found = await ask(person, asked)
            times.append((time.perf_counter() - began_at) * 1000)
            right.append(asked.answer in found)

    async with _watching(dsn) as held:
        began_at = time.perf_counter()
        await asyncio.gather(*(call(seed) for seed in range(callers)))
        rate = len(times) / (time.perf_counter() - began_at)
    p50, p95 = np.percentile(times, [50, 95])
    return Speed(float(p50), float(p95), rate, fmean(right), max(held))


@asynccontextmanager
async def _watching(dsn: str) -> AsyncIterator[list[int]]:
    """How many connections others hold, looked at again and again."""
    held: list[int] = []
    query = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
    )
    async with await AsyncConnection.connect(dsn, autocommit=True) as connection:

        async def look() -> None:
            row = await (await connection.execute(query)).fetchone()
            assert row is not None
            held.append(int(row[0]))

        async def watch() -> None:
            while True:
                await look()
                await asyncio.sleep(_SAMPLE_S)

        await look()
        watching = asyncio.create_task(watch())
        try:
            yield held
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)


# --- writing ---


async def writes(bench: Bench, sizes: PluginSizes) -> list[Figure]:
    """Word for word. Ours is accepted durably and done meanwhile; theirs is done when it is answered."""
    texts = [line for person in people(max(1, sizes.writes // 100), 100, seed=3) for line in person.lines]
    async with database(bench, "our writes") as dsn, _engine(dsn, bench) as (engine, pool):
        accepted = await _accepted(engine, pool, texts)
    async with database(bench, "their writes") as dsn:
        stock = await asyncio.to_thread(open_stock_mem0, dsn, bench.folder / "mem0 writes", bench.lookup, [], _THEIRS)
        try:
            rate = await _added(stock, texts[: max(1, len(texts) // 4)])
        finally:
            stock.close()
    case = f"adds, {_WRITERS} callers"
    return [
        at_most("adds", f"ACCEPT p95 with {_QUEUED} in the queue", accepted.p95, "ms", 20),
        Figure("adds", f"ACCEPT p50 with {_QUEUED} in the queue", accepted.p50, "ms"),
        Figure(case, "accepted, ours", accepted.rate, "/s"),
        Figure(case, "done meanwhile and after, ours", accepted.done, "/s"),
        Figure(case, "done, theirs", rate, "/s"),
    ]


@dataclass(frozen=True, slots=True)
class _Accepted:
    p50: float
    p95: float
    rate: float
    done: float


async def _accepted(engine: MemoryEngine, pool: AsyncConnectionPool, texts: Sequence[str]) -> _Accepted:
    """Each after the other first, while the queue is worked off and never shorter than `_QUEUED`; then all at once."""
    journal = PostgresJournal(pool)
    worker = Worker(journal, EngineDoer(engine))
    left = iter(enumerate(texts))

    async def accept(number: int, text: str) -> float:
        arguments = {"messages": [{"role": "user", "content": text}], "agent_id": _AGENT, "infer": False}
        began_at = time.perf_counter()
        await worker.accept("add", f"writer-{number % 100}", arguments)
        return (time.perf_counter() - began_at) * 1000

    async def call() -> int:
        return len([await accept(number, text) for number, text in left])

    before = _QUEUED + _ACCEPTED
    await asyncio.gather(*(accept(number, "What waits already.") for number in range(before)))
    began_at = time.perf_counter()
    worker.start()
    times = [await accept(number, text) for number, text in islice(left, _ACCEPTED)]
    all_began_at = time.perf_counter()
    count = sum(await asyncio.gather(*(call() for _ in range(_WRITERS))))
    rate = count / (time.perf_counter() - all_began_at)
    while await journal.waiting():  # noqa: ASYNC110 - the database has no event to wait for
        await asyncio.sleep(_SAMPLE_S)
    done = (before + len(texts)) / (time.perf_counter() - began_at)
    await worker.stop(_STOP_S)
    await journal.close()
    p50, p95 = np.percentile(times, [50, 95])
    return _Accepted(float(p50), float(p95), rate, done)


async def _added(stock: StockMem0, texts: Sequence[str]) -> float:
    left = iter(enumerate(texts))

    async def call() -> None:
        for number, text in left:
            await stock.add(text, f"writer-{number % 100}")

    began_at = time.perf_counter()
    await asyncio.gather(*(call() for _ in range(_WRITERS)))
    return len(texts) / (time.perf_counter() - began_at)


# --- as in Dify ---


async def tool(bench: Bench, sizes: PluginSizes) -> list[Figure]:
    """From the call of a tool to its answer, with vectors from a service, whose time counts for both. No question is
    asked twice, so each costs a call of the service.
    """
    persons = list(people(max(1, sizes.owners // 5), 100, seed=5))
    with tool_calls.stand_in() as cloud:
        vectors = await tool_calls.held_vectors(cloud.found, persons)
        ours, times, held = await _our_tools(bench, sizes, persons, vectors, cloud.found)
        async with (
            database(bench, "their tools") as dsn,
            tool_calls.their_tools(dsn, cloud.found, bench.folder / "mem0 tools", persons, vectors) as tools,
        ):
            theirs = await _tool_speeds(tools.search, persons, sizes.seconds)
    figures = []
    for callers in CALLERS:
        case = f"search tool, {callers} at once"
        for name, speeds in (("ours", ours), ("theirs", theirs)):
            one = speeds[callers]
            figures += _figures(case, name, Speed(one.p50, one.p95, one.rate, one.right, 0))
    case, most = f"search tool, {max(CALLERS)} at once", max(CALLERS)
    p50, p95 = np.percentile(times, [50, 95])
    return [
        *figures,
        Figure(case, "ours : theirs", ours[most].rate / theirs[most].rate, "x"),
        at_most("add tool", f"ACCEPT p95 with {_QUEUED} in the queue", float(p95), "ms", 20),
        Figure("add tool", f"ACCEPT p50 with {_QUEUED} in the queue", float(p50), "ms"),
        at_most("connections", "the plugin, at most", held, "", 10),
    ]


async def _our_tools(
    bench: Bench, sizes: PluginSizes, persons: Sequence[Person], vectors: tool_calls.HeldVectors, base_url: str
) -> tuple[dict[int, tool_calls.ToolSpeed], list[float], int]:
    """The model answers nobody once adds are measured: they are accepted and wait."""
    async with (
        database(bench, "our tools") as dsn,
        tool_calls.our_tools(dsn, base_url, bench.folder / "plugin") as tools,
    ):
        await tool_calls.filled(dsn, persons, vectors)
        async with _watching(dsn) as held:
            speeds = await _tool_speeds(tools.search, persons, sizes.seconds)
            await tool_calls.stalled(base_url)
            times = await asyncio.to_thread(tool_calls.accepting, tools, _QUEUED, _ACCEPTED, 1)
        return speeds, times, max(held)


async def _tool_speeds(
    call: tool_calls.Call, persons: Sequence[Person], seconds: float
) -> dict[int, tool_calls.ToolSpeed]:
    await asyncio.to_thread(call, persons[0], persons[0].asked[0])
    return {callers: await asyncio.to_thread(tool_calls.speed, call, persons, callers, seconds) for callers in CALLERS}


# --- long-term extraction ---


async def extraction(bench: Bench, sizes: PluginSizes) -> list[Figure]:
    """Model calls for each conversation that was extracted; two each would be one to classify and one to extract."""
    figures = []
    for together in (1, 3, 10):
        say(f"  {together} conversations a user ...")
        async with database(bench, f"extraction {together}") as dsn:
            users = max(1, sizes.conversations // together)
            calls = await model_calls(dsn, bench.folder / f"model {together}", users=users, conversations=together)
        case = f"extraction, {together} a user"
        figures += [
            Figure(case, "conversations extracted", calls.extracted, ""),
            Figure(case, "model calls each, ours", calls.each, ""),
            Figure(case, "model calls each, one to classify and one to extract", 2.0, ""),
            Figure(case, "fewer", 100 * (1 - calls.each / 2.0), "%"),
            at_least(case, "facts told that are remembered", 100 * calls.remembered, "%", 100),
        ]
    return figures


# --- starting ---


async def start(bench: Bench, sizes: PluginSizes) -> list[Figure]:
    """How soon the built package's process is ready, in the environment that its requirements make."""
    found = await asyncio.to_thread(starts, bench.folder, sizes.starts)
    case = "start"
    return [
        at_most(case, "first heartbeat, median", median(found.seconds), "s", 3),
        Figure(case, "first heartbeat, slowest", max(found.seconds), "s"),
        at_most(case, "what its requirements install", found.installed_mb, "MB", 300),
    ]


# --- parts ---


@asynccontextmanager
async def _engine(dsn: str, bench: Bench) -> AsyncIterator[tuple[MemoryEngine, AsyncConnectionPool]]:
    async with AsyncConnectionPool(dsn, min_size=1, max_size=_POOL, open=False) as pool:
        engine = MemoryEngine(pool, bench.lookup, bench.executor)
        await engine.start()
        yield engine, pool
        await engine.stop(_STOP_S)


CASES: dict[str, Callable[[Bench, PluginSizes], Awaitable[list[Figure]]]] = {
    "search": search,
    "writes": writes,
    "tool": tool,
    "extraction": extraction,
    "start": start,
}


async def run(names: Sequence[str], sizes: PluginSizes) -> list[Figure]:
    figures = []
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as executor:
        model = MiniLmEmbedder(Path(folder) / "model", executor)
        bench = Bench(Path(folder), executor, model, await asyncio.to_thread(lookup_embedder, model), Sizes())
        for name in names:
            say(f"{name} ...")
            figures += await CASES[name](bench, sizes)
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.plugin", description=__doc__)
    parser.add_argument("--case", action="append", choices=CASES, help="only this one; may be repeated")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--quick", action="store_true", help="everything much smaller: whether it runs, not how fast")
    options = parser.parse_args()
    figures = asyncio.run(run(options.case or list(CASES), QUICK if options.quick else PluginSizes()))
    print(table(figures))
    if options.json:
        options.json.write_text(json.dumps([asdict(figure) for figure in figures], indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
