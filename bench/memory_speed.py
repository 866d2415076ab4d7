"""`python -m bench.memory_speed`: how quickly memory recalls and saves, how much room it takes, and that it is right.

The embedder is left out but for a case of its own: every vector is looked up. The cases have each an embedded
PostgreSQL on this machine, which shares the processors with the callers. One run each; run it on a quiet machine.
`wanted` is what was promised.
"""

import argparse
import asyncio
import json
import random
import re
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import count, cycle, islice
from pathlib import Path
from statistics import fmean
from typing import TypeVar

import numpy as np
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from bench.counted import CountedEmbedder, Counts
from bench.memory_data import Asked, LookupEmbedder, Person, event, lookup_embedder, people, short_sentences
from bench.nearest import nearest
from bench.stock_mem0 import open_stock_mem0
from xiaozhi_server.core.providers.memory.base import SpokenMessage
from xiaozhi_server.core.providers.memory.mem0ai import (
    Embedder,
    EngineOptions,
    MemoryEngine,
    MiniLmEmbedder,
    SearchOptions,
)
from xiaozhi_server.core.providers.memory.mem0ai.embedding.embed import Vectors
from xiaozhi_server.core.providers.memory.mem0ai.message import memory_id
from xiaozhi_server.core.providers.memory.mem0ai.recall.words import tokens_of
from xiaozhi_server.core.providers.memory.mem0ai.records import NewMemory
from xiaozhi_server.core.providers.memory.mem0ai.rows import pgstore
from xiaozhi_server.core.providers.memory.mem0ai.saving.verbatim import row_of
from xiaozhi_server.core.providers.memory.mem0ai.scope import Scope
from xiaozhi_server.store.embedded import EmbeddedPostgres

T = TypeVar("T")
Ask = Callable[[Person, Asked], Awaitable[list[str]]]

_CALLERS = 32
_POOL = 8
_TOP = 10
_STOP_S = 5.0
_TURNS = 10
_COPIED = 2000  # rows in one COPY
_EVENT = re.compile(r"(?P<who>\w+|(?:my|the|our|a) \w+) and I (?P<did>.+ with \w+)")
NOTHING_AT_HAND = EngineOptions(search=SearchOptions(index_cache_mb=0))
BY_STATEMENT = EngineOptions(search=SearchOptions(index_cache_mb=0, index_page=0))


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of everything, and for how long each measurement runs."""

    few_owners: int = 1000
    many_owners: int = 10_000
    active_owners: int = 2000
    large_rows: int = 100_000
    saved_rows: int = 20_000
    seconds: float = 5.0
    talking: int = 20


QUICK = Sizes(100, 300, 100, 3000, 2000, 1.0)


@dataclass(frozen=True, slots=True)
class Figure:
    case: str
    name: str
    value: float
    unit: str
    wanted: str = ""
    kept: bool | None = None


def at_least(case: str, name: str, value: float, unit: str, bound: float) -> Figure:
    return Figure(case, name, value, unit, f">= {bound:g}", value >= bound)


def at_most(case: str, name: str, value: float, unit: str, bound: float) -> Figure:
    return Figure(case, name, value, unit, f"<= {bound:g}", value <= bound)


@dataclass(frozen=True, slots=True)
class Bench:
    folder: Path
    executor: ThreadPoolExecutor
    model: MiniLmEmbedder
    lookup: LookupEmbedder
    sizes: Sizes


# --- parts ---


@asynccontextmanager
async def database(bench: Bench, name: str) -> AsyncIterator[str]:
    postgres = EmbeddedPostgres(bench.folder / name)
    yield await postgres.start()
    await postgres.stop()


@asynccontextmanager
async def engine_on(
    dsn: str,
    bench: Bench,
    embedder: Embedder,
    options: EngineOptions | None = None,
    counts: Counts | None = None,
) -> AsyncIterator[MemoryEngine]:
    async with AsyncConnectionPool(dsn, min_size=_POOL, max_size=_POOL, open=False) as pool:
        engine = MemoryEngine(pool, embedder, bench.executor, options, observer=counts, model=counts)
        await engine.start()
        yield engine
        await engine.stop(_STOP_S)


async def fill(dsn: str, persons: Iterator[Person], lookup: LookupEmbedder) -> float:
    """Save what these people said, and tidy up as the database does by itself in quiet hours. Rows a second."""
    began_at, rows = time.perf_counter(), 0
    async with await AsyncConnection.connect(dsn, autocommit=True) as connection:
        number = await pgstore.embedder_number(connection, lookup)
        for chunk in chunks((new for person in persons for new in _rows(person, lookup)), _COPIED):
            await pgstore.insert(connection, chunk, number)
            rows += len(chunk)
            say(f"\r  {rows} rows", end="")
        rate = rows / (time.perf_counter() - began_at)
        await connection.execute("VACUUM ANALYZE memory_entry")
    say(f"\r  {rows} rows, {rate:.0f} a second")
    return rate


def _rows(person: Person, lookup: LookupEmbedder) -> Iterator[NewMemory]:
    scope = Scope(person.user_id, "agent")
    for session, talk in person.talks():
        vectors = lookup.embed_now([message.content for message in talk])
        for position, (message, vector) in enumerate(zip(talk, vectors, strict=True)):
            id = memory_id(person.user_id, session, position)
            row = row_of(message, scope, session, id, position)
            yield NewMemory(row, tokens_of(message.content), vector)


def asks(engine: MemoryEngine, top_k: int = _TOP) -> Ask:
    async def ask(person: Person, asked: Asked) -> list[str]:
        found = await engine.search(asked.question, user_id=person.user_id, agent_id="agent", top_k=top_k)
        return [one.memory.text for one in found]

    return ask


async def alone(ask: Ask, persons: Sequence[Person], seconds: float) -> dict[str, float]:
    """One caller: percentiles in milliseconds, and how often the right fact was among the answers."""
    dice = random.Random(5)
    times, right = [], []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        person = dice.choice(persons)
        asked = dice.choice(person.asked)
        began_at = time.perf_counter()
        found = await ask(person, asked)
        times.append((time.perf_counter() - began_at) * 1000)
        right.append(asked.answer in found)
    p50, p95, p99 = np.percentile(times, [50, 95, 99])
    return {"p50": float(p50), "p95": float(p95), "p99": float(p99), "right": fmean(right)}


async def together(ask: Ask, persons: Sequence[Person], seconds: float) -> float:
    """Searches a second with `_CALLERS` callers, each asking as soon as it is answered."""
    until = time.perf_counter() + seconds

    async def call(seed: int) -> int:
        dice, count = random.Random(seed), 0
        while time.perf_counter() < until:
            person = dice.choice(persons)
            await ask(person, dice.choice(person.asked))
            count += 1
        return count

    began_at = time.perf_counter()
    counts = await asyncio.gather(*(call(seed) for seed in range(_CALLERS)))
    return sum(counts) / (time.perf_counter() - began_at)


async def warm(ask: Ask, persons: Sequence[Person]) -> None:
    """Everybody has begun to talk: what there is of them is at hand."""
    for group in chunks(iter(persons), _CALLERS):
        await asyncio.gather(*(ask(person, person.asked[0]) for person in group))


async def size_mb(dsn: str) -> float:
    async with await AsyncConnection.connect(dsn) as connection:
        cursor = await connection.execute("SELECT pg_total_relation_size('memory_entry') / 1048576.0::float8")
        row = await cursor.fetchone()
    assert row is not None
    return float(row[0])


def chunks(items: Iterator[T], size: int) -> Iterator[list[T]]:
    while chunk := list(islice(items, size)):
        yield chunk


def say(text: str, end: str = "\n") -> None:
    print(text, end=end, file=sys.stderr, flush=True)


# --- cases ---


async def isolation(bench: Bench) -> list[Figure]:
    """500 people with 20 facts each, all about the same things: everybody gets their own."""
    persons = list(people(500, 20))
    figures = []
    async with database(bench, "isolation") as dsn:
        async with engine_on(dsn, bench, bench.lookup):
            pass  # makes the tables
        await fill(dsn, iter(persons), bench.lookup)
        for name, options in (("at hand", None), ("by statement", BY_STATEMENT)):
            async with engine_on(dsn, bench, bench.lookup, options) as engine:
                for person in persons[:50]:  # more than enough for plans that fit everybody
                    await engine.search(person.asked[0].question, user_id=person.user_id, top_k=5)
                right, foreign = await _isolated(engine, persons)
            figures.append(at_least("isolation", f"right fact in top 5, {name}", 100 * right, "%", 97))
            figures.append(at_most("isolation", f"rows of others, {name}", foreign, "", 0))
    return figures


async def _isolated(engine: MemoryEngine, persons: Sequence[Person]) -> tuple[float, int]:
    dice = random.Random(3)
    right, foreign = [], 0
    for _ in range(500):
        person = dice.choice(persons)
        asked = dice.choice(person.asked)
        found = await engine.search(asked.question, user_id=person.user_id, agent_id="agent", top_k=5)
        right.append(any(one.memory.text == asked.answer for one in found))
        foreign += sum(one.memory.user_id != person.user_id for one in found)
    return fmean(right), foreign


async def against_mem0(bench: Bench) -> list[Figure]:
    """1000 people with 100 memories each, here and in stock mem0 with the index that makes it find anything."""
    sizes = bench.sizes
    case = f"{sizes.few_owners} x 100"
    persons = list(people(sizes.few_owners, 100))
    async with database(bench, "few") as dsn:
        async with engine_on(dsn, bench, bench.lookup):
            pass
        await fill(dsn, iter(persons), bench.lookup)
        size = await size_mb(dsn) / (sizes.few_owners * 100) * 100_000
        async with engine_on(dsn, bench, bench.lookup) as engine:
            cold = await alone(asks(engine), persons, sizes.seconds)
            await warm(asks(engine), persons)
            one = await alone(asks(engine), persons, sizes.seconds)
            rate = await together(asks(engine), persons, sizes.seconds)
        async with engine_on(dsn, bench, bench.lookup, NOTHING_AT_HAND) as engine:
            await warm(asks(engine), persons[:_CALLERS])
            anew = await alone(asks(engine), persons, sizes.seconds)
            anew_rate = await together(asks(engine), persons, sizes.seconds)
    async with database(bench, "stock") as dsn:
        say("  stock mem0 ...")
        stock = await asyncio.to_thread(open_stock_mem0, dsn, bench.folder / "mem0", bench.lookup, persons)

        async def ask(person: Person, asked: Asked) -> list[str]:
            return await stock.search(asked.question, person.user_id, _TOP)

        await warm(ask, persons[:_CALLERS])
        theirs = await alone(ask, persons, sizes.seconds)
        their_rate = await together(ask, persons, sizes.seconds)
        stock.close()
    return [
        at_most(case, "p50 alone, owners at hand", one["p50"], "ms", 1.5),
        Figure(case, "p95 alone, owners at hand", one["p95"], "ms"),
        Figure(case, "p50 alone, first question of most", cold["p50"], "ms"),
        Figure(case, "p50 alone, read anew each time", anew["p50"], "ms"),
        Figure(case, "p50 alone, stock mem0", theirs["p50"], "ms"),
        Figure(case, "32 callers, owners at hand", rate, "/s"),
        Figure(case, "32 callers, read anew each time", anew_rate, "/s"),
        Figure(case, "32 callers, stock mem0", their_rate, "/s"),
        at_least(case, "32 callers, at hand : stock", rate / their_rate, "x", 6),
        Figure(case, "32 callers, read anew : stock", anew_rate / their_rate, "x"),
        Figure(case, "right fact in top 10, ours", 100 * one["right"], "%"),
        Figure(case, "right fact in top 10, stock mem0", 100 * theirs["right"], "%"),
        at_most(case, "size for 100,000 rows", size, "MB", 150),
    ]


async def million(bench: Bench) -> list[Figure]:
    """10,000 people with 100 memories each: some of them talk now, or all at once."""
    sizes = bench.sizes
    case = f"{sizes.many_owners} x 100"
    persons = list(people(sizes.many_owners, 100))
    active = persons[:: max(1, sizes.many_owners // sizes.active_owners)][: sizes.active_owners]
    async with database(bench, "many") as dsn:
        async with engine_on(dsn, bench, bench.lookup):
            pass
        await fill(dsn, iter(persons), bench.lookup)
        size = await size_mb(dsn) / (sizes.many_owners * 100) * 100_000
        async with engine_on(dsn, bench, bench.lookup, NOTHING_AT_HAND) as engine:
            await warm(asks(engine), persons[:_CALLERS])
            anew = await alone(asks(engine), persons, sizes.seconds)
            anew_rate = await together(asks(engine), persons, sizes.seconds)
        async with engine_on(dsn, bench, bench.lookup) as engine:
            await warm(asks(engine), persons[:_CALLERS])
            anybody = await alone(asks(engine), persons, sizes.seconds)
            anybody_rate = await together(asks(engine), persons, sizes.seconds)
            await warm(asks(engine), active)
            one = await alone(asks(engine), active, sizes.seconds)
            rate = await together(asks(engine), active, sizes.seconds)
        everybody = EngineOptions(search=SearchOptions(index_cache_mb=1500))
        async with engine_on(dsn, bench, bench.lookup, everybody) as engine:
            await warm(asks(engine), persons)
            all_one = await alone(asks(engine), persons, sizes.seconds)
            all_rate = await together(asks(engine), persons, sizes.seconds)
    talking = f"{sizes.active_owners} talk"
    return [
        at_most(case, f"p95 alone, {talking}", one["p95"], "ms", 5),
        at_least(case, f"32 callers, {talking}", rate, "/s", 3000),
        at_most(case, "p95 alone, all talk, room for all", all_one["p95"], "ms", 5),
        at_least(case, "32 callers, all talk, room for all", all_rate, "/s", 3000),
        at_most(case, "p95 alone, all talk, room for a quarter", anybody["p95"], "ms", 5),
        at_least(case, "32 callers, all talk, room for a quarter", anybody_rate, "/s", 3000),
        at_most(case, "p95 alone, read anew each time", anew["p95"], "ms", 5),
        at_least(case, "32 callers, read anew each time", anew_rate, "/s", 3000),
        Figure(case, "right fact in top 10", 100 * one["right"], "%"),
        at_most(case, "size for 100,000 rows", size, "MB", 150),
    ]


async def large(bench: Bench) -> list[Figure]:
    """One owner with 100,000 memories, with the model's own vectors of all of them."""
    rows = bench.sizes.large_rows
    case = f"1 x {rows}"
    dice = random.Random(9)
    facts = next(people(1, 20)).asked
    texts = list(dict.fromkeys([fact.answer for fact in facts] + [event(dice) for _ in range(rows * 11 // 10)]))[:rows]
    known = await asyncio.to_thread(_embedded, bench.model, texts + [fact.question for fact in facts])
    lookup = LookupEmbedder(known, np.stack(list(known.values())[:100]))
    dice.shuffle(texts)
    person = Person("person", texts, facts)
    told = [text for text in texts if _EVENT.search(text)]
    questions = [Asked(_asked(text), text) for text in dice.sample(told, 300)]
    known |= await asyncio.to_thread(_embedded, bench.model, [one.question for one in questions])
    persons = [Person("person", texts, questions)]
    options = EngineOptions(search=SearchOptions(index_rows_max=min(20_000, rows // 2)))
    async with database(bench, "large") as dsn:
        async with engine_on(dsn, bench, lookup):
            pass
        await fill(dsn, iter([person]), lookup)
        async with engine_on(dsn, bench, lookup, options) as engine:
            before = await alone(asks(engine), persons, bench.sizes.seconds)
            say("  building the indexes ...")
            began_at = time.perf_counter()
            await _until_large(engine, dsn)
            built_s = time.perf_counter() - began_at
            size = await size_mb(dsn) / rows * 100_000
            after = await alone(asks(engine), persons, 2 * bench.sizes.seconds)
            rate = await together(asks(engine), persons, bench.sizes.seconds)
            near = await nearest(dsn, lookup, Scope("person", "agent"), [one.question for one in questions[:100]])
    return [
        at_most(case, "p95 alone", after["p95"], "ms", 10),
        Figure(case, "p50 alone", after["p50"], "ms"),
        Figure(case, "32 callers", rate, "/s"),
        at_least(case, "recall@10 of the nearest against exact", near.found, "", 0.95),
        at_least(case, "index used", near.by_index, "", 1),
        Figure(case, "right fact in top 10", 100 * after["right"], "%"),
        Figure(case, "p95 alone, before it has indexes", before["p95"], "ms"),
        Figure(case, "right fact in top 10, before", 100 * before["right"], "%"),
        Figure(case, "time to build the indexes", built_s, "s"),
        at_most(case, "size for 100,000 rows", size, "MB", 280),
    ]


def _asked(text: str) -> str:
    """What somebody might ask who remembers all of it but when it was."""
    found = _EVENT.search(text)
    assert found is not None
    return f"When did {found['who']} and I {found['did']}?"


def _embedded(model: MiniLmEmbedder, texts: Sequence[str]) -> dict[str, Vectors]:
    known: dict[str, Vectors] = {}
    for chunk in chunks(iter(texts), 1024):
        known.update(zip(chunk, model.embed_now(chunk), strict=True))
        say(f"\r  embedded {len(known)} texts", end="")
    say("")
    return known


async def _until_large(engine: MemoryEngine, dsn: str) -> None:
    async with await AsyncConnection.connect(dsn, autocommit=True) as connection:
        while not (await (await connection.execute("SELECT count(*) FROM memory_large")).fetchall())[0][0]:
            await engine.search("hello", user_id="person", agent_id="agent")
            await asyncio.sleep(0.5)


async def saving(bench: Bench) -> list[Figure]:
    """`add(infer=False)`, in batches and one exchange at a time."""
    case = "saving"
    persons = list(people(max(1, bench.sizes.saved_rows // 100), 100, seed=2))
    async with database(bench, "saving") as dsn, engine_on(dsn, bench, bench.lookup) as engine:
        began_at, rows = time.perf_counter(), 0
        for person in persons:
            kept = await engine.add(list(person.messages()), user_id=person.user_id, agent_id="agent", infer=False)
            rows += len(kept)
        batched = rows / (time.perf_counter() - began_at)
        began_at, rows = time.perf_counter(), 0
        for person in persons[: max(1, len(persons) // 10)]:
            for pair in chunks(person.messages(), 2):
                await engine.add(pair, user_id=f"{person.user_id}-2", agent_id="agent", infer=False)
                rows += len(pair)
        single = rows / (time.perf_counter() - began_at)
    return [
        at_least(case, "add(infer=False), 100 messages at a time", batched, "/s", 1000),
        Figure(case, "add(infer=False), 2 messages at a time", single, "/s"),
    ]


async def live(bench: Bench) -> list[Figure]:
    """Turns of a conversation: a question, then the exchange is saved, and so on."""
    case = "live turn"
    persons = list(people(bench.sizes.talking, 100, seed=4))
    counts, embedder = Counts(), CountedEmbedder(bench.lookup)
    times, told, calls_of_recall = [], set[str](), 0
    async with database(bench, "live") as dsn:
        async with engine_on(dsn, bench, bench.lookup):
            pass
        await fill(dsn, iter(persons), bench.lookup)
        async with engine_on(dsn, bench, embedder, counts=counts) as engine:
            for person in persons:
                engine.prefetch(person.user_id)
            await asyncio.sleep(0.5)
            for turn in range(_TURNS):
                for number, person in enumerate(persons):
                    asked = person.asked[turn]
                    calls, began_at = counts.model_calls, time.perf_counter()
                    await engine.search(asked.question, user_id=person.user_id, agent_id="agent", top_k=_TOP)
                    times.append((time.perf_counter() - began_at) * 1000)
                    calls_of_recall += counts.model_calls - calls
                    said = _exchange(random.Random(f"{turn} {number}"))
                    told.update(message.content for message in said)
                    await engine.enqueue(said, user_id=person.user_id, agent_id="agent", session_id="now")
                await asyncio.sleep(0.5)  # they talk; meanwhile it is saved
    # The engine has stopped: what was to be saved is.
    p50, p99 = np.percentile(times, [50, 99])
    batches = embedder.batches_with(frozenset(told)) / max(1, counts.exchanges)
    return [
        at_most(case, "p50 of recall, exchanges saved in between", float(p50), "ms", 1),
        at_most(case, "p99 of recall, exchanges saved in between", float(p99), "ms", 80),
        at_most(case, "model calls of all recalls", calls_of_recall, "", 0),
        at_least(case, "exchanges saved", counts.exchanges, "", len(times)),
        at_most(case, "embedding batches for each of them", batches, "", 1),
    ]


def _exchange(dice: random.Random) -> list[SpokenMessage]:
    """What is said and answered. Never the same: a text that was embedded a moment ago would cost nothing."""
    now = datetime.now(UTC)
    return [SpokenMessage("user", event(dice), now), SpokenMessage("assistant", event(dice), now)]


async def embedding(bench: Bench) -> list[Figure]:
    """One sentence after the other through the real model, as one thread does it; each is another one."""
    case = "embedder"
    dice = random.Random(6)
    bench.model.embed_now([event(dice)])  # whoever is first waits for the model
    short = _embedding_times(bench, cycle(short_sentences(dice)))
    long = _embedding_times(bench, (event(dice) for _ in count()))
    return [
        at_most(case, "p50 of a short sentence, one thread", short["p50"], "ms", 8),
        Figure(case, "p95 of a short sentence, one thread", short["p95"], "ms"),
        Figure(case, "processor time of a short sentence, p50", short["worked"], "ms"),
        Figure(case, "p50 of a sentence of about 20 tokens", long["p50"], "ms"),
        Figure(case, "p95 of a sentence of about 20 tokens", long["p95"], "ms"),
    ]


def _embedding_times(bench: Bench, texts: Iterator[str]) -> dict[str, float]:
    """In milliseconds; `worked` leaves out what other processes took of the time."""
    times, worked = [], []
    until = time.perf_counter() + bench.sizes.seconds
    while time.perf_counter() < until:
        text = next(texts)
        began_at, worked_before = time.perf_counter(), time.thread_time()
        bench.model.embed_now([text])
        times.append((time.perf_counter() - began_at) * 1000)
        worked.append((time.thread_time() - worked_before) * 1000)
    p50, p95 = np.percentile(times, [50, 95])
    return {"p50": float(p50), "p95": float(p95), "worked": float(np.median(worked))}


CASES: dict[str, Callable[[Bench], Awaitable[list[Figure]]]] = {
    "isolation": isolation,
    "mem0": against_mem0,
    "million": million,
    "large": large,
    "saving": saving,
    "live": live,
    "embedder": embedding,
}


def table(figures: Sequence[Figure]) -> str:
    lines = [("case", "what", "value", "wanted", "")]
    for one in figures:
        value = f"{one.value:,.0f}" if one.value >= 100 else f"{one.value:.3g}"
        verdict = "" if one.kept is None else "yes" if one.kept else "NO"
        lines.append((one.case, one.name, f"{value} {one.unit}".strip(), one.wanted, verdict))
    widths = [max(len(line[column]) for line in lines) for column in range(5)]
    lines.insert(1, tuple("-" * width for width in widths))  # type: ignore[arg-type]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )


async def run(names: Sequence[str], sizes: Sizes) -> list[Figure]:
    figures = []
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as executor:
        model = MiniLmEmbedder(Path(folder) / "model", executor)
        bench = Bench(Path(folder), executor, model, await asyncio.to_thread(lookup_embedder, model), sizes)
        for name in names:
            say(f"{name} ...")
            figures += await CASES[name](bench)
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.memory_speed", description=__doc__)
    parser.add_argument("--case", action="append", choices=CASES, help="only this one; may be repeated")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--quick", action="store_true", help="everything much smaller: whether it runs, not how fast")
    options = parser.parse_args()
    figures = asyncio.run(run(options.case or list(CASES), QUICK if options.quick else Sizes()))
    print(table(figures))
    if options.json:
        options.json.write_text(json.dumps([asdict(figure) for figure in figures], indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
