"""`python -m xiaozhi_server memory` where Mem0's platform keeps the memories: what is there, and that it says so."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.memory.platform_world import (
    DOG,
    KEY,
    TEAL,
    Pool,
    World,
    handed_over,
    later,
    platform_world,
    said,
)
from tests.integration.memory.test_memory_command import Commands
from tests.support.tcp_proxy import LinkFault

SETTINGS = """
selected_module: {{Memory: mem0ai}}
Memory:
  mem0ai: {{api_key: {key}, host: "{host}"}}
"""
THERE = "Mem0's platform keeps the memories: this is what lies there.\n"


@pytest.fixture
async def world(pool: Pool) -> AsyncIterator[World]:
    async with platform_world(pool) as world:
        yield world


def commands(world: World, folder: Path, dsn: str, key: str = KEY) -> Commands:
    config = folder / ".config.yaml"
    config.write_text(SETTINGS.format(key=key, host=world.link.url))
    return Commands(folder, {"XIAOZHI__DATABASE__URL": dsn})


async def test_list_search_and_delete(world: World, tmp_path: Path, database_dsn: str) -> None:
    command = commands(world, tmp_path, database_dsn)
    async with world.engine() as engine:
        await engine.enqueue([said(TEAL)], user_id="ann", agent_id="bot")
        await engine.enqueue([said(DOG, later(1))], user_id="ann", agent_id="bot")
        await handed_over(engine)

    listed = await command("list")
    assert (listed.code, listed.complaints) == (0, THERE)
    heading, *rows = listed.out.splitlines()
    assert heading.split() == ["ID", "SAID", "AGENT", "WHO", "TEXT"]
    assert [row.endswith(text) for row, text in zip(rows, (DOG, TEAL), strict=True)] == [True, True]
    found = await command("search", "favourite colour", "--limit", "1")
    assert TEAL in found.out
    id = rows[1].split()[0]
    assert (await command("delete", id, "--yes")).out == "1 deleted\n"
    assert world.there() == [DOG]
    twice = await command("delete", id, "--yes")
    assert (twice.code, "no memory with that id" in twice.complaints) == (1, True)
    assert (await command("delete", "--all", "--yes", "--user", "ann")).out == "1 deleted\n"
    assert world.there() == []


async def test_who_is_meant_is_asked_of_the_platform(world: World, tmp_path: Path, database_dsn: str) -> None:
    command = commands(world, tmp_path, database_dsn)
    nobody = await command("list")
    assert (nobody.code, "nobody has any memories yet" in nobody.complaints) == (1, True)
    for owner in ("home", "home/person:ann"):
        request = {"messages": [{"role": "user", "content": TEAL}], "user_id": owner}
        world.cloud.platform.memories.add(request)
    several = await command("list")
    assert several.code == 1
    assert "home, home/person:ann" in several.complaints


async def test_what_only_our_own_database_can_do(world: World, tmp_path: Path, database_dsn: str) -> None:
    stats = await commands(world, tmp_path, database_dsn)("stats")
    assert stats.code == 0
    assert "this is what lies in your own database" in stats.complaints


@pytest.mark.parametrize(
    "asked",
    [
        ("prune", "--dry-run"),
        ("compress", "--dry-run"),
        ("share", "grant", "--user", "ann", "--agent", "bot", "--from", "tutor"),
    ],
)
async def test_what_would_do_nothing_is_refused(
    world: World, tmp_path: Path, database_dsn: str, asked: tuple[str, ...]
) -> None:
    command = commands(world, tmp_path, database_dsn)
    refused = await command(*asked)
    assert (refused.code, refused.out) == (1, "")
    assert f"memory {asked[0]} is done in your own database only: nothing was changed" in refused.complaints
    config = tmp_path / ".config.yaml"
    config.write_text(config.read_text().replace("{api_key", "{fallback: self_hosted, api_key"))
    done = await command(*asked)
    assert done.code == 0, done.complaints
    assert "this is what lies in your own database" in done.complaints


async def test_away_or_with_a_wrong_key_it_is_one_line(world: World, tmp_path: Path, database_dsn: str) -> None:
    refused = await commands(world, tmp_path, database_dsn, key="m0-wrong")("list", "--user", "ann")
    await world.link.fail(LinkFault("refuse"))
    away = await commands(world, tmp_path, database_dsn)("delete", "--all", "--yes", "--user", "ann")
    for ended in (refused, away):
        assert (ended.code, ended.out) == (1, "")
        assert "Mem0's platform did not do it" in ended.complaints
        assert len(ended.complaints.splitlines()) == 2
        assert "m0-wrong" not in ended.complaints
