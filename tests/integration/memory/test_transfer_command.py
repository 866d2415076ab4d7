"""`memory export|import|forget` as processes of their own, beside an engine and with the server's dialogue."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.memory.platform_world import KEY, TEAL, handed_over, platform_world, said
from tests.integration.memory.test_forget_person import lets_go
from tests.integration.memory.test_memory_command import Commands
from tests.integration.memory.transfer_world import Pool, everything, rows, whole_life
from tests.integration.store.test_conversation_store import BINDING, exchange
from tests.support.redis_server import redis_server
from tests.support.waiting import until
from xiaozhi_server.core.providers.memory.mem0ai import MemoryEngine, MiniLmEmbedder
from xiaozhi_server.core.providers.memory.mem0ai.transfer.scan import scan_tables
from xiaozhi_server.store.spool import Spool

OWNER = BINDING.owner_id
WORD = "Zanzibar"


@pytest.fixture
def command(tmp_path: Path, database_dsn: str, model_cache: Path) -> Commands:
    (tmp_path / "cache").symlink_to(model_cache)
    return Commands(tmp_path, {"XIAOZHI__DATABASE__URL": database_dsn})


@pytest.fixture
async def minilm_engine(start_engine: Any, minilm: MiniLmEmbedder) -> AsyncIterator[MemoryEngine]:
    async with start_engine(minilm) as engine:
        yield engine


def chooses(command: Commands, **entry: Any) -> None:
    """What the settings say of Memory.mem0ai."""
    settings = {"Memory": {"mem0ai": {"type": "mem0ai", **entry}}}
    (command.folder / ".config.yaml").write_text(json.dumps(settings))


async def test_out_and_in_again(command: Commands, minilm_engine: MemoryEngine, pool: Pool, tmp_path: Path) -> None:
    await whole_life(minilm_engine, pool)
    file = tmp_path / "ann.ndjson"
    assert (await command("export", str(file), "--dry-run", "--json")).json["lines"]["memory"] == 19
    assert not file.exists()
    done = (await command("export", str(file), "--vectors", "--json")).json
    assert done == {"file": str(file), "bytes": file.stat().st_size}
    assert file.stat().st_mode & 0o777 == 0o600
    again = await command("export", str(file))
    assert (again.code, again.complaints) == (1, f"{file}: File exists\n")
    piped = await command("export", "--all", "--vectors")
    assert piped.out.splitlines()[1:] == file.read_text().splitlines()[1:]

    dry = (await command("import", str(file), "--user", "bob", "--dry-run", "--json")).json
    assert not await rows(pool, "memory_entry", "bob")
    did = (await command("import", str(file), "--user", "bob", "--json")).json
    assert did["counts"] == dry["counts"]
    assert (did["format"], did["embedded"], did["refused"]) == ("ours", 0, 0)
    await until(lambda: is_saved(pool, "bob"))
    before = await everything(pool)
    twice = await command("import", "-", "--user", "bob", typed=file.read_text())
    assert twice.code == 0
    assert "memory            19 unchanged" in twice.out
    assert await everything(pool) == before


async def is_saved(pool: Pool, user_id: str) -> bool:
    return {row["state"] for row in await rows(pool, "memory_outbox", user_id)} == {"done"}


async def test_broken_lines_end_with_one(command: Commands, minilm_engine: MemoryEngine, tmp_path: Path) -> None:
    file = tmp_path / "mem0.json"
    good = {"id": "1", "memory": f"Likes {WORD}.", "user_id": "ann"}
    file.write_text(json.dumps([good, {"memory": "a\0b", "user_id": "ann"}]))
    ended = await command("import", str(file))
    assert ended.code == 1
    assert ended.complaints.splitlines() == [
        "line 2 has a NUL character in its memory",
        "1 were not taken (see above); the rest was",
    ]
    assert [one.text for one in await minilm_engine.get_all(user_id="ann")] == [good["memory"]]
    for arguments, complaint in (
        (("import", "nowhere.json"), "nowhere.json: No such file or directory"),
        (("import", str(tmp_path)), f"{tmp_path}: Is a directory"),
        (("import", "-"), "this file is empty"),
        (("import", "-", "--user", "*"), "user_id must be printable"),
        (("export", "/nowhere/x", "--all"), "/nowhere/x: No such file or directory"),
        (("forget", "--user", "*", "--yes"), "user_id must be printable"),
    ):
        ended = await command(*arguments)
        assert (ended.code, ended.out) == (1, "")
        assert ended.complaints.startswith(complaint)
        assert ended.complaints.count("\n") == 1


async def test_notes_where_the_settings_keep_notes(command: Commands, pool: Pool, engine: MemoryEngine) -> None:
    environment = {**command.environment, "XIAOZHI__SELECTED_MODULE__MEMORY": "mem_local_short"}
    notes = Commands(command.folder, environment)
    ended = await notes("import", "-", "--user", "ann", typed="[2025-05-01] Has a dog.")
    assert (ended.code, ended.complaints) == (0, "")
    (summary,) = await rows(pool, "memory_summary", "ann")
    assert summary["text"] == "[2025-05-01] Has a dog."


async def test_a_person_is_forgotten_with_their_dialogue(
    command: Commands, minilm_engine: MemoryEngine, pool: Pool, tmp_path: Path
) -> None:
    with redis_server() as port:
        chooses(command, cache={"redis_url": f"redis://127.0.0.1:{port}/0"})
        await command("stats")  # makes the tables of the server
        await whole_life(minilm_engine, pool, OWNER, WORD)
        await whole_life(minilm_engine, pool, f"{OWNER}/person:anna", WORD)
        await whole_life(minilm_engine, pool, "bob", WORD)
        spool = Spool(tmp_path / "spool", limit=10)
        spool.open()
        spool.put(exchange(f"I live in {WORD}."))
        async with pool.connection() as connection:
            await connection.execute("INSERT INTO session VALUES (%s, 's1', 'default', 'd', now())", (OWNER,))
            await connection.execute(
                "INSERT INTO message VALUES (%s, gen_random_uuid(), 's1', 'default', 't', NULL, 'user', %s, now())",
                (OWNER, f"I live in {WORD}."),
            )
        before = await everything(pool, "bob")

        unasked = await command("forget", "--user", OWNER)
        assert (unasked.code, unasked.complaints) == (1, "nobody is there to be asked: add --yes\n")
        present = (await command("forget", "--user", OWNER, "--dry-run", "--json")).json
        assert present["present"][OWNER]["memory_entry"] == 19
        assert present["persons_left"] == [f"{OWNER}/person:anna"]
        assert len(spool.waiting()) == 1

        forgot = await command("forget", "--user", OWNER, "--household", "--yes", "--json")
        done, told_of = json.loads(forgot.out), [line.split(" of ") for line in forgot.complaints.splitlines()]
        total = sum(sum(counts.values()) for counts in done["removed"].values())
        assert [int(count) for count, _ in told_of] == [sum(done["removed"][OWNER].values()), total]
        assert set(done["removed"]) == {OWNER, f"{OWNER}/person:anna"}
        assert done["removed"][OWNER] == present["present"][OWNER]
        assert (done["removed"][OWNER]["message"], done["removed"][OWNER]["waiting on disk"]) == (1, 1)
        assert (done["persons_left"], done["found_afterwards"]) == ([], [])
        told = await command("forget", "--user", OWNER, "--yes")
        assert "found nothing left" in told.out
        assert "VACUUM" in told.out
    async with pool.connection() as connection:
        assert await scan_tables(connection, [WORD, OWNER], but_of_others=OWNER) == []
        assert await scan_tables(connection, [OWNER]) == []
    assert spool.waiting() == []
    assert await everything(pool, "bob") == before
    await lets_go(minilm_engine, OWNER)


async def test_mem0s_platform_forgets_too(command: Commands, pool: Pool) -> None:
    async with platform_world(pool) as world:
        async with world.engine() as engine:
            for owner in (OWNER, "bob"):
                await engine.enqueue([said(TEAL)], user_id=owner, agent_id="bot")
            await handed_over(engine)
        assert world.there(OWNER)
        kept = world.there("bob")
        chooses(command, api_key=KEY, host=world.cloud.memory_host)
        told = (await command("forget", "--user", OWNER, "--yes", "--json")).out
        assert json.loads(told)["removed"][OWNER]["Mem0's platform"] >= 1
        assert world.there(OWNER) == []
        assert world.there("bob") == kept
        chooses(command, api_key="m0-wrong-0123456789", host=world.cloud.memory_host)
        refused = await command("forget", "--user", OWNER, "--yes")
        assert refused.code == 1
        assert "Mem0's platform did not do it (HTTP 401)" in refused.complaints
