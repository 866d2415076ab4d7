"""`memory things`: what a person sees and mends at the terminal, and what `memory list` says of a memory's state."""

from pathlib import Path
from typing import Any

import pytest
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from tests.integration.memory.household import Household
from tests.integration.memory.test_memory_command import Commands
from tests.integration.memory.test_memory_command import command as command
from xiaozhi_server.core.providers.memory.mem0ai import MemoryEngine

Pool = AsyncConnectionPool[AsyncConnection[Any]]


@pytest.fixture
async def home(engine: MemoryEngine, pool: Pool, tmp_path: Path) -> Household:
    home = Household(engine, pool)
    for name in ("I", "Anna", "Annika"):
        await home.knows(name)
    await home.says("Anna loves horses.", days=3, about=["Anna"])
    await home.says("Annika plays chess.", days=2, about=["Annika"])
    await home.relates("Anna", "sister", "I")
    return home


async def test_people_are_listed_renamed_merged_related_and_deleted(command: Commands, home: Household) -> None:
    anna, annika = str(home.things["Anna"]), str(home.things["Annika"])
    shown = (await command("things", "--user", "ann")).out
    rows = [line.split() for line in shown.splitlines()]
    assert rows[0] == ["ID", "AGENT", "KIND", "NAME", "ALSO", "MEMORIES"]
    assert [anna, "bot", "person", "Anna", "-", "1"] in rows
    assert rows[5] == ["RELATION", "WHO", "IS", "THE", "OF", "UNTIL"]
    assert rows[6][1:] == ["Anna", "sister", "I", "-"]
    listed = (await command("things", "--json")).json
    assert {one["name"] for one in listed["things"]} == {"I", "Anna", "Annika"}
    assert [one["relation"] for one in listed["relations"]] == ["sister"]
    assert (await command("things", "show", anna)).out.splitlines()[1].endswith("Anna loves horses.")

    renamed = await command("things", "rename", anna, "Anna", "Kling")
    assert renamed.out == "Anna Kling (also Anna): 1 memories\n"
    unasked = await command("things", "merge", annika, anna)
    assert (unasked.code, unasked.complaints) == (1, "nobody is there to be asked: add --yes\n")
    merged = (await command("things", "merge", annika, anna, "--yes", "--json")).json
    assert (merged["name"], merged["also"], merged["memories"]) == ("Anna Kling", ["Anna", "Annika"], 2)
    related = (await command("things", "relate", anna, "neighbour", "--json")).json
    assert (related["subject"], related["object"]) == ("Anna Kling", "I")
    assert (await command("things", "unrelate", related["id"])).out == f"{related['id']} is deleted\n"
    assert (await command("things", "delete", anna, "--yes")).out == "Anna Kling is deleted\n"
    assert (await command("things", "--json")).json["relations"] == []
    assert len(await home.engine.get_all(user_id="ann")) == 2


async def test_mistakes_are_one_line(command: Commands, home: Household) -> None:
    anna = str(home.things["Anna"])
    for arguments, complaint in (
        (("rename", anna), "say: memory things rename ID NAME"),
        (("merge", anna), "say: memory things merge ID INTO_ID"),
        (("list", anna), "say: memory things list"),
        (("rename", anna, "Annika"), "another person or thing has this name"),
        (("delete", "x\x1b[2J", "--yes"), "x\\x1b[2J: this owner has no person or thing with that id"),
        (("delete", anna, "--agent", "tutor", "--yes"), f"{anna}: this owner has no person"),
        (("unrelate", "x"), "this owner has no relation with that id"),
    ):
        ended = await command("things", *arguments)
        assert (ended.code, ended.out) == (1, "")
        assert ended.complaints.startswith(complaint)
        assert ended.complaints.count("\n") == 1
    assert len(await home.engine.things(user_id="ann")) == 3


async def test_the_list_of_memories_says_what_is_not_true_any_more(command: Commands, home: Household) -> None:
    new, old = await home.engine.get_all(user_id="ann")
    await home.replaces(old, new, since=3, until=1)
    async with home.pool.connection() as connection:
        await connection.execute("UPDATE memory_entry SET flag = 'unfounded' WHERE id = %s", (new.id,))
    rows = (await command("list")).out.splitlines()[1:]
    assert rows[0].endswith("Annika plays chess. (unfounded)")
    assert "Anna loves horses. (until 2" in rows[1]
    assert rows[1].endswith(") (replaced)")
