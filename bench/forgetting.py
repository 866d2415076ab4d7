"""`python -m bench.forgetting`: what is left of a year, and how quickly many memories are judged.

A year of 50 people on a clock of its own: every day they tell something, some days they ask, every night the daily work
runs. What is asked goes through the provider, as in a talk; nothing sleeps. Which of it matters is known: see GROUPS.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import psutil
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from bench.memory_data import Asked, LookupEmbedder, Person, event, lookup_embedder, people
from bench.memory_speed import Bench, Figure, Sizes, at_most, database, engine_on, fill, say, table
from xiaozhi_server.core.providers.memory.base import MemoryRules, SpokenMessage
from xiaozhi_server.core.providers.memory.mem0ai import EngineOptions, Mem0aiMemory, MemoryEngine, MiniLmEmbedder
from xiaozhi_server.core.providers.memory.mem0ai.daily.maintenance import MaintenanceOptions
from xiaozhi_server.core.providers.memory.mem0ai.daily.night import Nights
from xiaozhi_server.core.providers.memory.mem0ai.forgetting.retention import FORGET_Q_MIN
from xiaozhi_server.core.providers.memory.mem0ai.message import memory_id
from xiaozhi_server.core.providers.memory.mem0ai.recall.words import tokens_of
from xiaozhi_server.core.providers.memory.mem0ai.records import NewMemory
from xiaozhi_server.core.providers.memory.mem0ai.rows import pgstore
from xiaozhi_server.core.providers.memory.mem0ai.saving.verbatim import row_of
from xiaozhi_server.core.providers.memory.mem0ai.scope import Scope

Pool = AsyncConnectionPool[Any]

_AGENT = "agent"
_FIRST_DAY = datetime(2025, 1, 1, 20, tzinfo=UTC)
_SHORTEST_LIFE_DAYS = 42  # of an episode that is never recalled: nothing may go sooner after a recall
_DEADLINE_S = 5.0
_RECALLED = 8
_PAGES_SETTLED = 5  # then the process has all that it needs for one more page
_STOP_S = 5.0


@dataclass(frozen=True, slots=True)
class Group:
    """Facts of one kind: how many of them each person tells, and how many days pass between two questions for one."""

    name: str
    facts: int
    subtype: str
    asked_every: int | None = None
    is_pinned: bool = False


GROUPS = (
    Group("important, asked for every 2 weeks", 6, "semantic", 14),
    Group("important, asked for every 2 months", 6, "semantic", 60),
    Group("important, told in the last 3 months", 3, "semantic"),
    Group("important, never asked for again", 3, "semantic"),
    Group("important, never asked for, pinned", 2, "semantic", is_pinned=True),
)
_LATE = GROUPS[2]
TRIVIAL = Group("trivial, of the last 6 weeks", 0, "episodic")
TRIVIAL_OLD = Group("trivial, older", 0, "episodic")
_TRIVIAL_EVERY = 0.6  # a person and day


@dataclass(slots=True)
class Fact:
    user_id: str
    group: Group
    asked: Asked
    told_on: int
    id: UUID | None = None


@dataclass(slots=True)
class Life:
    """Of every memory its group, and the days on which it was told, recalled (well) for the last time, and gone."""

    group: dict[UUID, Group] = field(default_factory=dict)
    told_on: dict[UUID, int] = field(default_factory=dict)
    told_again_on: dict[UUID, int] = field(default_factory=dict)
    recalled_on: dict[UUID, int] = field(default_factory=dict)
    gone_on: dict[UUID, int] = field(default_factory=dict)


@dataclass(slots=True)
class Clock:
    day: int = 0

    def __call__(self) -> datetime:
        return _FIRST_DAY + timedelta(days=self.day)


class Year:
    """50 people, day by day."""

    def __init__(self, engine: MemoryEngine, pool: Pool, lookup: LookupEmbedder, clock: Clock, seed: int) -> None:
        self.life = Life()
        self._engine = engine
        self._pool = pool
        self._lookup = lookup
        self._clock = clock
        self._dice = random.Random(seed)
        self._number = 0

    async def live(self, persons: Sequence[Person], days: int) -> None:
        facts = {person.user_id: self._facts(person, days) for person in persons}
        async with self._pool.connection() as connection:
            self._number = await pgstore.embedder_number(connection, self._lookup)
        providers = {person.user_id: await self._provider(person) for person in persons}
        for day in range(days):
            self._clock.day = day
            await self._tell(day, persons, [fact for told in facts.values() for fact in told if fact.told_on == day])
            await asyncio.gather(*(self._talk(providers[user_id], told, day) for user_id, told in facts.items()))
            await self._engine.maintenance.run_if_due()
            await self._note_who_went(day)
            say(f"\r  day {day + 1} of {days}", end="")
        say("")
        for provider in providers.values():
            await provider.close()

    def _facts(self, person: Person, days: int) -> list[Fact]:
        groups = [group for group in GROUPS for _ in range(group.facts)]
        facts = []
        for group, asked in zip(groups, person.asked, strict=True):
            early, late = (days - 90, days) if group is _LATE else (0, 90)
            facts.append(Fact(person.user_id, group, asked, self._dice.randrange(early, late)))
        return facts

    async def _provider(self, person: Person) -> Mem0aiMemory:
        provider = Mem0aiMemory(self._engine)
        await provider.init_memory(person.user_id, agent_id=_AGENT)
        return provider

    async def _tell(self, day: int, persons: Sequence[Person], facts: Sequence[Fact]) -> None:
        rows: list[NewMemory] = []
        for fact in facts:
            row = self._row(fact.user_id, fact.asked.answer, fact.group, day, len(rows))
            fact.id = row.memory.id
            rows.append(row)
        for person in persons:
            if self._dice.random() < _TRIVIAL_EVERY:
                rows.append(self._row(person.user_id, event(self._dice), TRIVIAL, day, len(rows)))
        async with self._pool.connection() as connection:
            await pgstore.insert(connection, rows, self._number)
        for fact in facts:
            if fact.group.is_pinned and fact.id is not None:
                await self._engine.pin(fact.id, user_id=fact.user_id)
        for user_id in {row.memory.user_id for row in rows}:
            self._engine.prefetch(user_id)

    def _row(self, user_id: str, text: str, group: Group, day: int, position: int) -> NewMemory:
        message = SpokenMessage("user", text, self._clock())
        id = memory_id(user_id, f"day {day}", position)
        memory = replace(row_of(message, Scope(user_id, _AGENT), f"day {day}", id, position), subtype=group.subtype)
        self.life.group[id] = group
        self.life.told_on[id] = day
        return NewMemory(memory, tokens_of(text), self._lookup.embed_now([text])[0])

    def _is_asked(self, fact: Fact, day: int) -> bool:
        every = fact.group.asked_every
        return every is not None and fact.told_on < day and self._dice.random() < 1 / every

    async def _talk(self, provider: Mem0aiMemory, facts: Sequence[Fact], day: int) -> None:
        for fact in facts:
            if self._is_asked(fact, day):
                for memory in await provider.recall(fact.asked.question, _RECALLED, _DEADLINE_S):
                    self.life.told_again_on[UUID(memory.id)] = day
                    if memory.score >= FORGET_Q_MIN:
                        self.life.recalled_on[UUID(memory.id)] = day

    async def _note_who_went(self, day: int) -> None:
        async with self._pool.connection() as connection:
            cursor = await connection.execute("SELECT id FROM memory_entry")
            there = {row[0] for row in await cursor.fetchall()}
        for id in self.life.group.keys() - there - self.life.gone_on.keys():
            self.life.gone_on[id] = day


async def a_year(bench: Bench) -> list[Figure]:
    """What is kept and what goes; pinned and recently recalled memories are never lost."""
    case, clock = "a year", Clock()
    days = 365 if bench.sizes.few_owners > 500 else 150
    persons = list(people(50, 20, seed=12))
    nights = Nights(begins=_FIRST_DAY.time(), spread=timedelta(0), settle=timedelta(0))
    options = EngineOptions(maintenance=MaintenanceOptions(nights=nights, pause_s=0.0), clock=clock)
    async with database(bench, "year") as dsn, pool_and_engine(dsn, bench, options) as (pool, engine):
        year = Year(engine, pool, bench.lookup, clock, seed=8)
        await year.live(persons, days)
        history = await _rows(pool, "SELECT count(*) FROM memory_history WHERE event = 'DELETE'")
    life = year.life
    assert history == len(life.gone_on), "each leaves its history"
    say(fates(life, days))
    pinned = sum(life.group[id].is_pinned for id in life.gone_on)
    fitted = _lost_soon(life, life.recalled_on, list(life.gone_on))
    any_recall = _lost_soon(life, life.told_again_on, list(life.gone_on))
    figures = [
        Figure(case, f"kept: {name}", 100 * kept / told, "%") for name, (told, kept) in _counted(life, days).items()
    ]
    return [
        *figures,
        at_most(case, "pinned memories that were lost", pinned, "", 0),
        at_most(case, f"lost within {_SHORTEST_LIFE_DAYS} days of a recall that fitted", fitted, "", 0),
        at_most(case, f"lost within {_SHORTEST_LIFE_DAYS} days of any recall", any_recall, "", 0),
    ]


def _lost_soon(life: Life, recalled_on: Mapping[UUID, int], gone: Sequence[UUID]) -> int:
    """How many of these went that had just been recalled."""
    return sum(life.gone_on[id] - recalled_on[id] < _SHORTEST_LIFE_DAYS for id in gone if id in recalled_on)


def _counted(life: Life, days: int) -> dict[str, tuple[int, int]]:
    told: Counter[str] = Counter()
    kept: Counter[str] = Counter()
    for id, group in life.group.items():
        name = _named(group, life.told_on[id], days)
        told[name] += 1
        kept[name] += id not in life.gone_on
    order = [group.name for group in (*GROUPS, TRIVIAL, TRIVIAL_OLD)]
    return {name: (told[name], kept[name]) for name in order if told[name]}


def _named(group: Group, told_on: int, days: int) -> str:
    is_old = group is TRIVIAL and days - told_on > _SHORTEST_LIFE_DAYS
    return TRIVIAL_OLD.name if is_old else group.name


def fates(life: Life, days: int) -> str:
    """A table: of each group how many were told, stayed and went, and after how many days."""
    ages = defaultdict(list)
    for id, day in life.gone_on.items():
        ages[_named(life.group[id], life.told_on[id], days)].append(day - life.told_on[id])
    lines = [f"  {'':<38} {'told':>6} {'kept':>6} {'gone':>6}  after days (median, most)"]
    for name, (told, kept) in _counted(life, days).items():
        lived = f"{np.median(ages[name]):>6.0f} {max(ages[name]):>6}" if ages[name] else ""
        lines.append(f"  {name:<38} {told:>6} {kept:>6} {told - kept:>6}  {lived}")
    return "\n".join(lines)


async def judged(bench: Bench) -> list[Figure]:
    """100,000 memories of 1000 people, half of which have faded: how long it takes, and how much memory."""
    count = bench.sizes.large_rows
    case = f"{count} judged"
    process = psutil.Process()
    async with database(bench, "judged") as dsn:
        async with engine_on(dsn, bench, bench.lookup):
            pass  # makes the tables
        await fill(dsn, people(count // 100, 100), bench.lookup)
        async with engine_on(dsn, bench, bench.lookup) as engine, await AsyncConnection.connect(dsn) as connection:
            await _age_by_chance(connection)
            rss: list[int] = []
            looked_at = time.perf_counter()
            dry = await engine.prune(dry_run=True, progress=lambda _: rss.append(process.memory_info().rss))
            dry_s = time.perf_counter() - looked_at
            began_at = time.perf_counter()
            result = await engine.prune(progress=lambda _: rss.append(process.memory_info().rss))
            took_s = time.perf_counter() - began_at
    assert result.deleted_count == dry.deleted_count
    assert result.deleted_count + result.retained_count == count
    settled = rss[min(_PAGES_SETTLED, len(rss) - 1)]
    return [
        at_most(case, "seconds, dry run", dry_s, "s", 20),
        at_most(case, f"seconds, {result.deleted_count} of them deleted with history", took_s, "s", 20),
        at_most(case, "most memory : memory after a few pages", max(rss) / settled, "x", 1.1),
    ]


async def _age_by_chance(connection: AsyncConnection[Any]) -> None:
    """Each of a kind, of an age, and with recalls of its own."""
    await connection.execute(
        "UPDATE memory_entry SET created_at = now() - random() * interval '400 days',"
        " subtype = (ARRAY['', 'episodic', 'semantic', 'procedural'])[1 + floor(random() * 4)::integer],"
        " access_count = floor(random() * 4)::integer, quality = 0.5 + random() / 2,"
        " accessed_at = CASE WHEN random() < 0.5 THEN now() - random() * interval '200 days' END"
    )
    await connection.commit()


@asynccontextmanager
async def pool_and_engine(dsn: str, bench: Bench, options: EngineOptions) -> AsyncIterator[tuple[Pool, MemoryEngine]]:
    async def rules() -> Mapping[str, MemoryRules]:
        return {_AGENT: MemoryRules(forget=True)}

    async with AsyncConnectionPool(dsn, min_size=2, max_size=4, open=False) as pool:
        engine = MemoryEngine(pool, bench.lookup, bench.executor, options, rules=rules)
        await engine.start()
        yield pool, engine
        await engine.stop(_STOP_S)


async def _rows(pool: Pool, query: str) -> int:
    async with pool.connection() as connection:
        row = await (await connection.execute(query.encode())).fetchone()
    return int(row[0]) if row else 0


CASES: dict[str, Callable[[Bench], Awaitable[list[Figure]]]] = {"year": a_year, "judged": judged}


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
    parser = argparse.ArgumentParser(prog="python -m bench.forgetting", description=__doc__)
    parser.add_argument("--case", action="append", choices=CASES, help="only this one; may be repeated")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--quick", action="store_true", help="a shorter year, fewer memories: whether it runs")
    options = parser.parse_args()
    sizes = Sizes(few_owners=100, large_rows=10_000) if options.quick else Sizes()
    figures = asyncio.run(run(options.case or list(CASES), sizes))
    print(table(figures))
    if options.json:
        options.json.write_text(json.dumps([asdict(figure) for figure in figures], indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
