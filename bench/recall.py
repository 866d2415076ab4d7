"""`python -m bench.recall`: how often memory finds what answers a question.

With `--data FILE` (dialogues in the form of LoCoMo's) each dialogue becomes one owner's memories, turn by turn as it
was said, and each question of categories 1 to 4 is asked: what share of the turns that answer it is among the first 5,
10 and 20, and how often the first 10 hold any turn of a session that has one; `wanted` is what was promised for the
development dialogues. Without a file it says that these figures are missing. Then the Chinese household, whose
questions are asked by words alone and with an embedder that knows Chinese: a stand-in (see concepts.py), or with
`--embeddings URL --model NAME` a real one.
"""

import argparse
import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from psycopg_pool import AsyncConnectionPool

from bench.concepts import ConceptEmbedder, NoMeaning
from bench.dialogues import Dialogue, Question, read_dialogues
from bench.household import Household, HouseholdQuestion, read_household
from bench.memory_speed import Figure, at_least, say, table
from xiaozhi_server.core.providers.memory.base import SpokenMessage
from xiaozhi_server.core.providers.memory.mem0ai import Embedder, MemoryEngine, MiniLmEmbedder
from xiaozhi_server.core.providers.memory.mem0ai.embedding.embed_openai import (
    OpenAiEmbedderConfig,
    open_openai_embedder,
)
from xiaozhi_server.store.embedded import EmbeddedPostgres

_WIDTHS = (5, 10, 20)
_SESSION_WIDTH = 10
_WANTED = {"recall@5": 0.68, "recall@10": 0.79, "recall@20": 0.86, f"session hit@{_SESSION_WIDTH}": 0.95}
_STOP_S = 5.0
_FIRST_DAY = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)


class Place(NamedTuple):
    """Where a memory comes from: the session, and the turn or fact."""

    session: str
    name: str


class Answered(NamedTuple):
    """One question's figures: recall at each of `_WIDTHS`, and whether a right session was among the first."""

    category: int
    recall: tuple[float, ...]
    session_hit: bool


@asynccontextmanager
async def database(folder: Path) -> AsyncIterator[str]:
    postgres = EmbeddedPostgres(folder)
    try:
        yield await postgres.start()
    finally:
        await postgres.stop()


@asynccontextmanager
async def engine_on(dsn: str, embedder: Embedder, executor: ThreadPoolExecutor) -> AsyncIterator[MemoryEngine]:
    async with AsyncConnectionPool(dsn, min_size=4, max_size=4, open=False) as pool:
        engine = MemoryEngine(pool, embedder, executor)
        await engine.start()
        try:
            yield engine
        finally:
            await engine.stop(_STOP_S)


async def ask_dialogue(engine: MemoryEngine, dialogue: Dialogue) -> list[Answered]:
    places = {}
    for session in dialogue.sessions:
        said = [turn for turn in session.turns if turn.text.strip()]
        messages = [SpokenMessage("user", turn.text, session.begins_at, turn.speaker) for turn in said]
        kept = await engine.add(messages, user_id=dialogue.name, session_id=session.name, infer=False)
        places.update({one.id: Place(session.name, turn.id) for one, turn in zip(kept, said, strict=True)})
    sessions = {place.name: place.session for place in places.values()}
    answered = []
    for question in dialogue.questions:
        found = await engine.search(question.text, user_id=dialogue.name, top_k=max(_WIDTHS))
        answered.append(_judged(question, [places[one.memory.id] for one in found], sessions))
    return answered


def _judged(question: Question, found: Sequence[Place], sessions: dict[str, str]) -> Answered:
    names = [place.name for place in found]
    right = {sessions[name] for name in question.evidence if name in sessions}
    return Answered(
        question.category,
        tuple(len(question.evidence.intersection(names[:width])) / len(question.evidence) for width in _WIDTHS),
        any(place.session in right for place in found[:_SESSION_WIDTH]),
    )


def figures(answered: Sequence[Answered]) -> dict[str, Any]:
    recall = {f"recall@{width}": fmean(one.recall[at] for one in answered) for at, width in enumerate(_WIDTHS)}
    hits = fmean(float(one.session_hit) for one in answered)
    return {"questions": len(answered), **recall, f"session hit@{_SESSION_WIDTH}": hits}


def judged(found: dict[str, Any]) -> list[Figure]:
    """The figures of all dialogues together, each beside what was promised for it."""
    return [at_least("dialogues", name, found[name], "", bound) for name, bound in _WANTED.items()]


async def ask_household(engine: MemoryEngine, household: Household) -> list[tuple[HouseholdQuestion, int | None]]:
    """Each question with the place (from 0) of the first fact that answers it."""
    names = {}
    for number, day in enumerate(household.days):
        at = _FIRST_DAY + timedelta(days=number)
        messages = [SpokenMessage("user" if one.speaker else "assistant", one.text, at, one.speaker) for one in day]
        kept = await engine.add(messages, user_id="household", session_id=f"day {number}", infer=False)
        names.update({one.id: line.id for one, line in zip(kept, day, strict=True)})
    asked = []
    for question in household.questions:
        found = await engine.search(question.text, user_id="household", top_k=max(_WIDTHS))
        places = [place for place, one in enumerate(found) if names[one.memory.id] in question.facts]
        asked.append((question, places[0] if places else None))
    return asked


def household_figures(asked: Iterable[tuple[HouseholdQuestion, int | None]]) -> dict[str, Any]:
    """Apart: questions that share more than one pair of characters with the fact, and those that share at most one."""
    groups: dict[str, list[int | None]] = {"shared > 1": [], "shared <= 1": []}
    for question, place in asked:
        groups["shared > 1" if question.shared > 1 else "shared <= 1"].append(place)
    return {
        name: {
            "questions": len(places),
            **{
                f"recall@{width}": _share(place is not None and place < width for place in places)
                for width in (1, 5, 10)
            },
        }
        for name, places in groups.items()
    }


def _share(held: Iterable[bool]) -> float:
    return fmean(map(float, held))


async def measure(data: Path | None, chinese: Embedder | None) -> dict[str, Any]:
    report: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(2) as executor:
        folder = Path(name)
        if data is None:
            say("No dialogues (--data FILE): how often memory finds what answers their questions is NOT measured.")
        else:
            async with (
                database(folder) as dsn,
                engine_on(dsn, MiniLmEmbedder(folder / "minilm", executor), executor) as engine,
            ):
                report["dialogues"] = await _dialogue_report(engine, read_dialogues(data))
            report["judged"] = judged(report["dialogues"]["all"])
        report["household"] = await _household_report(folder, executor, chinese)
    return report


async def _dialogue_report(engine: MemoryEngine, dialogues: Sequence[Dialogue]) -> dict[str, Any]:
    answered = {dialogue.name: await ask_dialogue(engine, dialogue) for dialogue in dialogues}
    everything = [one for part in answered.values() for one in part]
    categories = sorted({one.category for one in everything})
    return {
        "all": figures(everything),
        **{name: figures(part) for name, part in answered.items() if part},
        **{
            f"category {number}": figures([one for one in everything if one.category == number])
            for number in categories
        },
    }


async def _household_report(folder: Path, executor: ThreadPoolExecutor, chinese: Embedder | None) -> dict[str, Any]:
    household = read_household()
    report = {}
    for number, embedder in enumerate((NoMeaning(), chinese or ConceptEmbedder())):
        async with (
            database(folder / f"household-{number}") as dsn,
            engine_on(dsn, embedder, executor) as engine,
        ):
            name = "words alone" if isinstance(embedder, NoMeaning) else f"words and {embedder.name}"
            report[name] = household_figures(await ask_household(engine, household))
    return report


def show(report: dict[str, Any]) -> None:
    rows = [(name, part) for name, part in report.get("dialogues", {}).items()]
    rows += [(f"{how}, {group}", part) for how, groups in report["household"].items() for group, part in groups.items()]
    for name, part in rows:
        values = (
            f"{key} {value:.3f}" if isinstance(value, float) else f"{value:4d} {key}" for key, value in part.items()
        )
        print(f"{name:36s} " + "   ".join(values))
    if "judged" in report:
        print(table(report["judged"]))


async def _command(options: argparse.Namespace) -> dict[str, Any]:
    if not options.embeddings:
        return await measure(options.data, None)
    embedder = await open_openai_embedder(OpenAiEmbedderConfig(options.embeddings, options.model, options.api_key))
    try:
        return await measure(options.data, embedder)
    finally:
        await embedder.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.recall", description=__doc__)
    parser.add_argument("--data", type=Path, help="dialogues in the form of LoCoMo's file")
    parser.add_argument(
        "--json", nargs="?", const="-", metavar="FILE", help="print one JSON object, or write it to this file too"
    )
    parser.add_argument("--embeddings", help="base URL of a server with /embeddings, for the Chinese household")
    parser.add_argument("--model", default="text-embedding-3-small")
    parser.add_argument("--api-key", default="")
    options = parser.parse_args()
    if options.data is not None and not options.data.is_file():
        parser.error(f"there is no file {options.data}")
    report = asyncio.run(_command(options))
    written = json.dumps(report, ensure_ascii=False, default=asdict)
    if options.json == "-":
        print(written)
        return
    show(report)
    if options.json:
        Path(options.json).write_text(written + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
