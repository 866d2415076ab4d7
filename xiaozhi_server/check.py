"""`check`: prints the settings in force, then asks every chosen provider and the database one real question.

It changes nothing, except that the embedded PostgreSQL is set up if it never was.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from .core.providers.memory.mem0ai.platform import PlatformApi, PlatformOptions
from .core.providers.memory.mem0ai.self_hosted import Surroundings, open_self_hosted
from .logs import masker, setup_console_warnings
from .memory_plan import MemoryPlan, plan_memory
from .probing import PROBE_DEADLINE_S, put_question
from .provider_room import KINDS
from .settings import (
    ChosenProvider,
    ChosenProviders,
    Settings,
    embedded_provider,
    is_chosen_by_preset,
    named_provider,
    secrets_of,
    show,
    survey_providers,
)
from .settings.layers import dotted, leaves
from .store.database import checked_dsn

LONGEST_VALUE = 60


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report: what was asked, and what it answered or why it failed."""

    subject: str
    ok: bool
    detail: str
    took_ms: float
    # What a preset asks for and its service has not: the embedded one serves, which is no fault.
    absent: bool = False

    def __str__(self) -> str:
        mark = "absent" if self.absent else "ok    " if self.ok else "FAILED"
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
    findings = [_probe(settings, provider) for provider in chosen.by_kind.values() if provider.provider_class]
    memory = chosen.by_kind.get("Memory")
    if memory is not None and memory.type_name != "nomem":
        findings += _memory_findings(settings, chosen, memory)
    findings.append(_find_out("database", lambda: _ask_database(settings)))
    return await asyncio.gather(*findings)


async def _probe(settings: Settings, provider: ChosenProvider) -> Finding:
    answer = await put_question(lambda: _ask_provider(provider))
    absent, detail = False, answer.detail
    if not answer.ok and provider.kind in KINDS and is_chosen_by_preset(settings, provider.kind):
        absent = answer.absent and provider.kind != "LLM"
        detail += f"; the embedded {embedded_provider(settings, provider.kind).name} is used in its place"
    return Finding(_subject(provider), answer.ok or absent, detail, answer.took_ms, absent)


def _subject(provider: ChosenProvider) -> str:
    return f"{provider.kind} {provider.name} (type {provider.type_name})"


async def _ask_provider(provider: ChosenProvider) -> str:
    assert provider.provider_class is not None
    instance = provider.provider_class(provider.config)
    try:
        answer: str = await instance.probe()
        return answer
    finally:
        await instance.close()


def _memory_findings(
    settings: Settings, chosen: ChosenProviders, memory: ChosenProvider
) -> list[Coroutine[None, None, Finding]]:
    plan = plan_memory(memory)
    findings: list[Coroutine[None, None, Finding]] = []
    if plan.platform is not None:
        findings.append(_find_out(_subject(memory), partial(_ask_platform, plan.platform)))
    if plan.keeper == "database" or plan.has_fallback:
        subject = f"{_subject(memory)}, fallback" if plan.has_fallback else _subject(memory)
        findings.append(_find_out(subject, lambda: _ask_embedder(settings, plan)))
    if plan.notes is not None:
        findings.append(_find_out(_subject(memory), partial(_ask_writer, settings, chosen, plan.notes.llm)))
    return findings


async def _ask_writer(settings: Settings, chosen: ChosenProviders, name: str) -> str:
    """The model that writes the notes; the one that talks is asked for itself."""
    writer = named_provider(settings, "LLM", name) if name else chosen["LLM"]
    if writer.type_name == embedded_provider(settings, "LLM").type_name:
        raise LookupError("notes need a language model (llm): nothing is remembered")
    return f"notes in the database, written by {writer.name}: {await _ask_provider(writer)}"


async def _ask_platform(options: PlatformOptions) -> str:
    api = PlatformApi(options)
    try:
        await api.ping()
    finally:
        await api.close()
    return f"kept on Mem0's platform at {options.host}"


async def _ask_embedder(settings: Settings, plan: MemoryPlan) -> str:
    """The part of memory that is not the database, which is asked for itself."""
    data_dir = Path(settings.data_dir)
    with ThreadPoolExecutor(max_workers=1) as executor:
        unused: AsyncConnectionPool[Any] = AsyncConnectionPool("", open=False)
        around = Surroundings(unused, executor, executor, folder=data_dir / "mem0", cache_dir=data_dir / "cache")
        hosted = await open_self_hosted({"embedder": plan.parts.get("embedder")}, around)
        try:
            vectors = await hosted.embedder.embed(["hello"])
        finally:
            await hosted.close()
    return f"kept in the database, found by {hosted.embedder.name} ({vectors.shape[1]} dimensions)"


async def _find_out(subject: str, ask: Callable[[], Awaitable[str]]) -> Finding:
    answer = await put_question(ask)
    return Finding(subject, answer.ok, answer.detail, answer.took_ms)


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
