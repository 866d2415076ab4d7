"""`memory prune` and `memory pin`, as processes of their own beside an engine that hears of it."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from tests.integration.memory.test_memory_command import Commands, command
from tests.support.waiting import until
from xiaozhi_server.core.providers.memory.base import SpokenMessage
from xiaozhi_server.core.providers.memory.mem0ai import MemoryEngine

__all__ = ["command"]

Pool = AsyncConnectionPool[AsyncConnection[Any]]


async def told(engine: MemoryEngine, text: str, days: float, user_id: str = "ann") -> str:
    said = SpokenMessage("user", text, datetime.now(UTC) - timedelta(days=days))
    (memory,) = await engine.add([said], user_id=user_id, agent_id="bot")
    return str(memory.id)


async def test_it_is_shown_then_asked_for_then_done(command: Commands, engine: MemoryEngine) -> None:
    bus = await told(engine, "The bus was late.\x1b[2J", 100)
    await told(engine, "I like teal.", 10)
    await told(engine, "Bob's train was late.", 100, "bob")

    shown = await command("prune", "--user", "ann", "--dry-run")
    heading, row, count = shown.out.splitlines()
    assert heading.split() == ["ID", "OWNER", "WHY", "AGE", "LEFT", "RECALLED", "TEXT"]
    assert row.split()[:7] == [bus, "ann", "faded", "100", "days", "4%", "0"]
    assert row.endswith("The bus was late.\\x1b[2J")
    assert count == "1 would be deleted (1 faded), 1 stay"
    assert shown.complaints == "2 of 2\n"

    unasked = await command("prune", "--user", "ann")
    assert (unasked.code, unasked.complaints.splitlines()[-1]) == (1, "nobody is there to be asked: add --yes")
    assert await engine.count() == 3
    done = await command("prune", "--user", "ann", "--yes")
    assert (done.code, done.out) == (0, "1 deleted (1 faded), 1 stay\n")

    async def is_gone() -> bool:
        return all("bus" not in hit.memory.text for hit in await engine.search("the late bus", user_id="ann"))

    await until(is_gone)
    again = await command("prune", "--user", "ann")  # where nothing would go nobody is asked
    assert (again.code, again.out) == (0, "0 deleted, 1 stay\n")
    everybody = await command("prune", "--yes", "--json", "--ttl-days", "5")
    assert (everybody.code, everybody.out.replace("\n", "").replace(" ", "")) == (
        0, '{"deleted_count":2,"retained_count":0,"dry_run":false,"reasons":{"too_old":2},'
        '"recently_recalled":0,"is_partial":false}',
    )  # fmt: skip


async def test_a_dry_run_in_json_has_the_judgement(command: Commands, engine: MemoryEngine) -> None:
    bus = await told(engine, "The bus was late.", 100)
    ended = await command("prune", "--dry-run", "--json", "--agent", "bot")
    (would,) = json.loads(ended.out)["would_delete"]
    info = would["retention_info"]
    assert (would["id"], would["user_id"], would["memory"], would["why"]) == (bus, "ann", "The bus was late.", "faded")
    assert (info["memory_subtype"], info["s0_used"], info["forget"], info["ttl_expired"]) == ("other", 30, True, False)
    assert await engine.count() == 1


async def test_pinned_memories_stay(command: Commands, engine: MemoryEngine) -> None:
    bus, train = await told(engine, "The bus was late.", 100), await told(engine, "The train was late.", 100)
    planned = await command("pin", bus, "--dry-run")
    assert planned.out == f"{bus} The bus was late.\n1 would be pinned\n"
    unknown = await command("pin", bus, "nothing")
    assert (unknown.code, unknown.complaints) == (1, "nothing: this owner has no memory with that id\n")
    assert [memory.pinned for memory in await engine.get_all(user_id="ann")] == [False, False]
    pinned = await command("pin", bus, bus)
    assert pinned.out.endswith("1 pinned\n")
    assert pinned.complaints == "1 of 1\n"
    assert (await command("pin", bus, "--json")).json == {"pinned": 0, "dry_run": False, "ids": []}
    assert (await command("prune", "--yes")).out == "1 deleted (1 faded), 1 stay\n"
    assert await engine.get(train, user_id="ann") is None
    assert (await command("pin", bus, "--off")).out.endswith("1 unpinned\n")
    assert (await command("prune", "--yes")).out == "1 deleted (1 faded), 0 stay\n"


async def test_mistakes_are_one_line(command: Commands, engine: MemoryEngine) -> None:
    await told(engine, "The bus was late.", 100)
    for arguments, complaint in (
        (("--ttl-days", "0"), "ttl_days must be a whole number from 1 to 36500"),
        (("--user", "*"), "user_id must be printable"),
    ):
        ended = await command("prune", "--yes", *arguments)
        assert (ended.code, ended.out) == (1, "")
        assert ended.complaints.startswith(complaint)
        assert ended.complaints.count("\n") == 1
    assert await engine.count() == 1


async def test_stats_show_what_the_daily_work_did(command: Commands, engine: MemoryEngine, pool: Pool) -> None:
    assert "daily" not in (await command("stats")).out
    async with pool.connection() as connection:
        await connection.execute(
            "INSERT INTO memory_run (day, step, started_at, ended_at, counts, error) VALUES"
            " ('2026-11-19', 'forget', now(), now(), '{\"deleted\": 9}', NULL),"
            " ('2026-11-20', 'compress', now(), NULL, '{}', 'TimeoutError'),"
            " ('2026-11-20', 'forget', now(), now(), '{\"retained\": 3, \"deleted\": 1}', NULL)"
        )
    out = (await command("stats")).out
    assert [line.split(": ", 1)[1] for line in out.splitlines() if line.startswith("daily")] == [
        "failed (TimeoutError)", "1 deleted, 3 retained",
    ]  # fmt: skip
    runs = (await command("stats", "--json")).json["daily_runs"]
    assert [(run["day"], run["step"]) for run in runs] == [("2026-11-20", "compress"), ("2026-11-20", "forget")]
