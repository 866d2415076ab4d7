"""`check`: prints the settings in force, then asks every chosen provider and the database one real question.

It changes nothing, except that the embedded PostgreSQL is set up if it never was.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TextIO

from psycopg import AsyncConnection

from .core.providers.memory.mem0ai.minilm import MiniLmEmbedder
from .logs import masker, setup_console_warnings
from .settings import ChosenProvider, ChosenProviders, Settings, secrets_of, show, survey_providers
from .settings.layers import dotted, leaves
from .store.database import checked_dsn

PROBE_DEADLINE_S = 20.0
LONGEST_VALUE = 60


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report: what was asked, and what it answered or why it failed."""

    subject: str
    ok: bool
    detail: str
    took_ms: float

    def __str__(self) -> str:
        mark = "ok    " if self.ok else "FAILED"
        return f"{mark}  {self.subject}: {self.detail} ({self.took_ms:.0f} ms)"


def run_check(settings: Settings, out: TextIO | None = None) -> int:
    """0 if everything answered, else 1."""
    out = out or sys.stdout
    setup_console_warnings(settings)
    _print(out, "Settings (key, value, where it comes from):", *setting_lines(settings), "")
    chosen, faults = survey_providers(settings)
    _print(out, *(f"note    {line}" for line in (*settings.notices, *chosen.notices)))
    _print(out, *(f"FAILED  {fault}" for fault in faults))
    findings = asyncio.run(probe_all(settings, chosen))
    mask = masker(secrets_of(settings.model_dump()))
    _print(out, *(mask(str(finding)) for finding in findings))
    return 0 if not faults and all(finding.ok for finding in findings) else 1


def _print(out: TextIO, *lines: str) -> None:
    out.writelines(f"{line}\n" for line in lines)
    out.flush()


def setting_lines(settings: Settings) -> list[str]:
    """Every value in force with its origin; secrets masked, long texts cut."""
    rows = [
        (dotted(path), _shortened(show(path[-1], value)), settings.origins.get(dotted(path), "default"))
        for path, value in leaves(settings.model_dump())
    ]
    key_width = max(len(key) for key, _, _ in rows)
    value_width = max(len(value) for _, value, _ in rows)
    return [f"  {key:<{key_width}}  {value:<{value_width}}  {origin}" for key, value, origin in rows]


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_VALUE else f"{line[: LONGEST_VALUE - 1]}…"


async def probe_all(settings: Settings, chosen: ChosenProviders) -> list[Finding]:
    """All at once, each with a deadline of its own."""
    questions = [(_subject(provider), _question(provider)) for provider in chosen.by_kind.values() if provider.config]
    memory = chosen.by_kind.get("Memory")
    if memory is not None and memory.type_name == "mem0ai":
        questions.append((_subject(memory), lambda: _ask_embedder(settings)))
    questions.append(("database", lambda: _ask_database(settings)))
    return await asyncio.gather(*(_find_out(subject, ask) for subject, ask in questions))


def _subject(provider: ChosenProvider) -> str:
    return f"{provider.kind} {provider.name} (type {provider.type_name})"


def _question(provider: ChosenProvider) -> Callable[[], Awaitable[str]]:
    return lambda: _ask_provider(provider)


async def _ask_provider(provider: ChosenProvider) -> str:
    assert provider.provider_class is not None
    instance = provider.provider_class(provider.config)
    try:
        answer: str = await instance.probe()
        return answer
    finally:
        await instance.close()


async def _ask_embedder(settings: Settings) -> str:
    """The part of memory that is not the database, which is asked for itself."""
    with ThreadPoolExecutor(max_workers=1) as executor:
        embedder = MiniLmEmbedder(Path(settings.data_dir) / "cache", executor)
        try:
            vectors = await embedder.embed(["hello"])
        finally:
            await embedder.close()
    return f"kept in the database, found by MiniLM in this process ({vectors.shape[1]} dimensions)"


async def _find_out(subject: str, ask: Callable[[], Awaitable[str]]) -> Finding:
    began = perf_counter()
    try:
        async with asyncio.timeout(PROBE_DEADLINE_S):
            detail, ok = await ask(), True
    except TimeoutError:
        detail, ok = f"no answer within {PROBE_DEADLINE_S:g} s", False
    except Exception as problem:  # noqa: BLE001 - a provider call: whatever it raises is the finding
        detail, ok = _reason(problem), False
    return Finding(subject, ok, detail, (perf_counter() - began) * 1000)


def _reason(problem: BaseException) -> str:
    """The error and what lies below it: the innermost one often names the part that failed."""
    chain: list[BaseException] = [problem]
    while (below := chain[-1].__cause__) is not None and below not in chain:
        chain.append(below)
    return "; because ".join(_one_line(link) for link in _without_repeats(chain))


def _one_line(problem: BaseException) -> str:
    text = " ".join(str(problem).split())
    return text or type(problem).__name__


def _without_repeats(chain: Iterable[BaseException]) -> list[BaseException]:
    kept: list[BaseException] = []
    for link in chain:
        if not any(_one_line(link) in _one_line(earlier) for earlier in kept):
            kept.append(link)
    return kept


async def _ask_database(settings: Settings) -> str:
    async with _database(settings) as (dsn, what):
        connection = await AsyncConnection.connect(dsn, connect_timeout=int(PROBE_DEADLINE_S), autocommit=True)
        async with connection:
            version = await _value(connection, "SHOW server_version")
            vector = await _value(
                connection, "SELECT default_version FROM pg_available_extensions WHERE name = 'vector'"
            )
    if vector is None:
        raise RuntimeError(f"{what}, version {version}, answers, but its extension pgvector is not installed")
    return f"{what}, version {version}, pgvector {vector}"


@asynccontextmanager
async def _database(settings: Settings) -> AsyncIterator[tuple[str, str]]:
    url = settings.database.url.get_secret_value()
    if url:
        yield checked_dsn(url), "your PostgreSQL"
        return
    from .store.embedded import EmbeddedPostgres

    embedded = EmbeddedPostgres(
        Path(settings.data_dir),
        port=settings.database.port or None,
        start_timeout_s=settings.database.start_timeout_s,
    )
    dsn = await embedded.start()
    try:
        yield dsn, "the embedded PostgreSQL"
    finally:
        await embedded.stop()


async def _value(connection: AsyncConnection, query: str) -> str | None:
    row = await (await connection.execute(query.encode())).fetchone()
    return None if row is None else str(row[0])
