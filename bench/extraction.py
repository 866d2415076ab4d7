"""`python -m bench.extraction`: how well a memory understands what households tell it, judged.

Their talks (see extraction_sets.py) are saved as a server saves them, by a model; then the tables are judged, and
memory is asked. The model is the stand-in, which errs on purpose in a part of its answers; with `--url` and `--model`
it is any that speaks like OpenAI's. The embedder is the embedded one: it knows English, so that Chinese is found by its
words alone, as in a fresh installation.

`OPENAI_BASE_URL`, `OPENAI_MODEL` and `OPENAI_API_KEY` say the same as the options, so that `make bench-memory` measures
a real model too.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from bench.extraction_judge import Judged, Rate, judge
from bench.extraction_sets import HALVES, LANGUAGES, Household, Talk, households
from firmware_sim.cloud import StandInCloud
from firmware_sim.cloud.extraction import Erring
from xiaozhi_server.core.providers.memory.base import SpokenMessage
from xiaozhi_server.core.providers.memory.mem0ai import EngineOptions, MemoryEngine
from xiaozhi_server.core.providers.memory.mem0ai.by_mem0.extract_by_mem0 import ExtractionOptions
from xiaozhi_server.core.providers.memory.mem0ai.observe import NoObserver
from xiaozhi_server.core.providers.memory.mem0ai.saving.drain import DrainOptions
from xiaozhi_server.core.providers.memory.mem0ai.saving.saver import BatchPolicy
from xiaozhi_server.core.providers.memory.mem0ai.self_hosted import SelfHostedOptions, Surroundings, open_self_hosted
from xiaozhi_server.store.embedded import EmbeddedPostgres

SEED = 1
ERRING = 0.25  # of the stand-in's answers

_AGENT = "agent"
_TOP = 10
_POOL = 8
_STOP_S = 5.0
_POLL_S = 0.02
_LONGEST_TALK_S = 1800.0  # until all households' talks of one day are saved
_TALKS_A_DAY = 20
_OPTIONS = SelfHostedOptions(
    engine=EngineOptions(drain=DrainOptions(first_retry_s=0.05, longest_retry_s=1.0, idle_pause_s=0.1)),
    extraction=ExtractionOptions(policy=BatchPolicy(idle_s=_LONGEST_TALK_S, exchanges=20)),
)


@dataclass(frozen=True, slots=True)
class Model:
    url: str
    name: str
    key: str


class Counted(NoObserver):
    """How often the model was asked, and what it cost."""

    def __init__(self) -> None:
        self.tokens: list[int] = []

    def model_called(self, tokens: int) -> None:
        self.tokens.append(tokens)


@dataclass(frozen=True, slots=True)
class Cost:
    exchanges: int
    talks: int
    calls: int
    tokens: int
    seconds: float

    def figures(self) -> dict[str, float]:
        return {
            "exchanges": self.exchanges,
            "talks": self.talks,
            "model calls": self.calls,
            "model calls per exchange": self.calls / self.exchanges,
            "tokens per call": self.tokens / max(1, self.calls),
            f"tokens of a day of {_TALKS_A_DAY} talks": self.tokens / self.talks * _TALKS_A_DAY,
            "seconds": self.seconds,
        }


@dataclass(frozen=True, slots=True)
class Report:
    judged: dict[str, Judged]
    cost: Cost
    ways: Mapping[str, int]  # how often the stand-in answered in which way

    def figures(self) -> dict[str, Any]:
        parts = {name: figures(part) for name, part in self.judged.items()}
        return {"judged": parts, "cost": self.cost.figures(), "answers": dict(self.ways)}


async def measure(
    told: Sequence[Household], model: Model | None, *, erring: float = ERRING, seed: int = SEED
) -> Report:
    """With a database of its own. Without a model the stand-in is asked."""
    with tempfile.TemporaryDirectory() as name:
        async with _database(Path(name) / "postgres") as dsn:
            if model is not None:
                return await measured(dsn, Path(name), told, model)
            async with StandInCloud(phrases=()) as cloud:
                cloud.erring = Erring(erring, seed)
                report = await measured(dsn, Path(name), told, Model(cloud.base_url, "stand-in", "none"))
            return replace(report, ways={str(way): count for way, count in cloud.erring.seen.items()})


async def measured(dsn: str, folder: Path, told: Sequence[Household], model: Model) -> Report:
    observer = Counted()
    with ThreadPoolExecutor(2) as executor:
        async with _engine(dsn, model, folder, executor, observer) as engine:
            began_at = time.perf_counter()
            for number in range(len(told[0].talks)):
                await _talk(engine, told, number)
            seconds = time.perf_counter() - began_at
            judged = await _judged(engine, dsn, told)
    exchanges = sum(len(talk.exchanges) for household in told for talk in household.talks)
    cost = Cost(exchanges, len(told) * len(told[0].talks), len(observer.tokens), sum(observer.tokens), seconds)
    return Report(judged, cost, {})


@asynccontextmanager
async def _database(folder: Path) -> AsyncIterator[str]:
    postgres = EmbeddedPostgres(folder)
    try:
        yield await postgres.start()
    finally:
        await postgres.stop()


@asynccontextmanager
async def _engine(
    dsn: str, model: Model, folder: Path, executor: ThreadPoolExecutor, observer: Counted
) -> AsyncIterator[MemoryEngine]:
    config = {"api_key": model.key, "openai_base_url": model.url, "model": model.name}
    async with AsyncConnectionPool(dsn, min_size=_POOL, max_size=_POOL, open=False) as pool:
        around = Surroundings(pool, executor, executor, folder / "mem0", folder / "cache", observer)
        opened = await open_self_hosted({"llm": {"provider": "openai", "config": config}}, around, _OPTIONS)
        assert isinstance(opened.engine, MemoryEngine)
        try:
            await opened.engine.start()
            yield opened.engine
        finally:
            await opened.engine.stop(_STOP_S)
            await opened.close()


async def _talk(engine: MemoryEngine, told: Sequence[Household], number: int) -> None:
    """Every household has its talk, then all of it is waited for."""
    for household in told:
        talk = household.talks[number]
        for messages in _messages(talk):
            await engine.enqueue(messages, user_id=household.id, agent_id=_AGENT, session_id=talk.name)
        await engine.end_session(talk.name, user_id=household.id)
    async with asyncio.timeout(_LONGEST_TALK_S):
        while (await engine.depth()).waiting:  # noqa: ASYNC110 - the database has no event to wait for
            await asyncio.sleep(_POLL_S)
    print(f"  {number + 1} of {len(told[0].talks)} talks", file=sys.stderr, flush=True)


def _messages(talk: Talk) -> list[list[SpokenMessage]]:
    return [
        [
            SpokenMessage("user", said, talk.begins_at + timedelta(minutes=number)),
            SpokenMessage("assistant", answered, talk.begins_at + timedelta(minutes=number, seconds=5)),
        ]
        for number, (said, answered) in enumerate(talk.exchanges)
    ]


async def _judged(engine: MemoryEngine, dsn: str, told: Sequence[Household]) -> dict[str, Judged]:
    """For each language and half, and for all."""
    parts = {f"{language}, {half}": Judged() for half in HALVES for language in LANGUAGES}
    parts |= {half: Judged() for half in HALVES} | {"all": Judged()}
    async with await AsyncConnection.connect(dsn, autocommit=True) as connection:
        for household in told:

            async def ask(question: str, owner: str = household.id) -> set[UUID]:
                found = await engine.search(question, user_id=owner, agent_id=_AGENT, top_k=_TOP)
                return {one.memory.id for one in found}

            one = await judge(household, connection, ask)
            for name in (f"{household.language}, {household.half}", household.half, "all"):
                parts[name].add(replace(one))
    return {name: part for name, part in parts.items() if part.told}


# --- figures ---


def figures(judged: Judged) -> dict[str, Any]:
    rates = {"superseded": judged.superseded, "merged": judged.merged, "related": judged.related}
    return {
        **{name: {**asdict(rate), "precision": rate.precision, "recall": rate.recall} for name, rate in rates.items()},
        "told": judged.told,
        "lost": judged.lost,
        "suspect": judged.suspect,
        "superseded recalled as current": judged.over_as_current,
        "not understood to be superseded, recalled as current": judged.missed_as_current,
        "current found": _share(judged.current_found, judged.asked),
        "past found": _share(judged.past_found, judged.asked),
        "past found by its month": _share(judged.dated_found, judged.asked),
    }


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 1.0


_ASKED = ("over as current", "missed as current", "now", "before", "month")
_COLUMNS = ("", "superseded", "merged", "related", "told, lost", "suspect", *_ASKED)


def table(report: Report) -> str:
    lines: list[tuple[str, ...]] = [_COLUMNS]
    lines += [(name, *_cells(part)) for name, part in report.judged.items()]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_COLUMNS))]
    lines.insert(1, tuple("-" * width for width in widths))
    rows = ("| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in lines)
    costs = (f"{name}: {value:,.2f}".removesuffix(".00") for name, value in report.cost.figures().items())
    ways = ", ".join(f"{way} {count}" for way, count in sorted(report.ways.items()))
    told = ("Precision / recall (of how many); of what was superseded, how often each question finds it.", "", *rows)
    return "\n".join([*told, "", *costs, *([f"answers of the stand-in: {ways}"] if ways else [])])


def _cells(judged: Judged) -> tuple[str, ...]:
    asked = (judged.current_found, judged.past_found, judged.dated_found)
    return (
        *(_rate(rate) for rate in (judged.superseded, judged.merged, judged.related)),
        f"{judged.told}, {judged.lost}",
        str(judged.suspect),
        str(judged.over_as_current),
        str(judged.missed_as_current),
        *(f"{_share(found, judged.asked):.2f}" for found in asked),
    )


def _rate(rate: Rate) -> str:
    return f"{rate.precision:.2f} / {rate.recall:.2f} ({rate.wanted})"


def options_of(arguments: Sequence[str] | None, environment: Mapping[str, str]) -> argparse.Namespace:
    """An empty variable is none."""
    parser = argparse.ArgumentParser(prog="python -m bench.extraction", description=__doc__)
    parser.add_argument("--seed", type=int, default=SEED, help="of the sets and of the stand-in's errors")
    parser.add_argument("--erring", type=float, default=ERRING, help="share of the stand-in's answers (%(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--misses", action="store_true", help="tell what went wrong in the tuned half")
    url, name, key = (environment.get(f"OPENAI_{what}", "") for what in ("BASE_URL", "MODEL", "API_KEY"))
    parser.add_argument("--url", default=url, help="ask this model instead, such as https://api.openai.com/v1")
    parser.add_argument("--model", default=name or "gpt-4.1-mini", help="default: OPENAI_MODEL, else gpt-4.1-mini")
    parser.add_argument("--key", default=key, help="default: OPENAI_API_KEY")
    return parser.parse_args(arguments)


def model_of(options: argparse.Namespace) -> Model | None:
    """None for the stand-in."""
    return Model(options.url, options.model, options.key or "none") if options.url else None


def main() -> int:
    options = options_of(None, os.environ)
    model = model_of(options)
    print(f"  asking {model.name if model else 'the stand-in'}", file=sys.stderr, flush=True)
    told = households(options.seed, datetime.now(UTC))
    report = asyncio.run(measure(told, model, erring=options.erring, seed=options.seed))
    print(table(report))
    if options.misses and "tuned" in report.judged:
        print("\n".join(report.judged["tuned"].missed))
    if options.json:
        options.json.write_text(json.dumps(report.figures(), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
