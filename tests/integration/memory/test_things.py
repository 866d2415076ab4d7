"""People and things are listed and corrected by hand: checked input, one owner's, and complete or not at all."""

import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from tests.integration.memory.household import Household, texts
from xiaozhi_server.core.providers.memory.mem0ai import MemoryEngine, MemoryInputError
from xiaozhi_server.core.providers.memory.mem0ai.errors import (
    InvalidCursorError,
    InvalidTextError,
    NameTakenError,
    RelationNotFoundError,
    ThingNotFoundError,
)
from xiaozhi_server.core.providers.memory.mem0ai.things.listing import cursor_of

Pool = AsyncConnectionPool[AsyncConnection[Any]]
HORSES, CHESS = "Anna loves horses.", "Annika plays chess."


@pytest.fixture
async def home(engine: MemoryEngine, pool: Pool) -> Household:
    """Anna and Annika are one and the same, told apart by a model."""
    home = Household(engine, pool)
    for name in ("I", "Anna", "Annika", "Tom"):
        await home.knows(name)
    said = await home.says("My sister is Anna.", about=["Anna"])
    await home.says(HORSES, days=3, about=["Anna"])
    await home.says(CHESS, days=2, about=["Annika", "Anna"])
    await home.relates("Anna", "sister", "I", said)
    await home.relates("Annika", "sister", "I", until=9)
    await home.relates("Tom", "husband", "Annika")
    await home.relates("Anna", "cousin", "Annika")
    return home


async def relations(home: Household, **asked: Any) -> set[tuple[str, str, str]]:
    found = await home.engine.relations(user_id="ann", **asked)
    return {(one.subject, one.relation, one.object) for one in found}


async def test_all_are_listed_page_by_page(home: Household) -> None:
    things = await home.engine.things(user_id="ann")
    assert {(one.name, one.memories, one.is_owner) for one in things} == {
        ("I", 0, True), ("Anna", 3, False), ("Annika", 1, False), ("Tom", 0, False)
    }  # fmt: skip
    first = await home.engine.things(user_id="ann", limit=3)
    rest = await home.engine.things(user_id="ann", limit=3, cursor=cursor_of(first[-1]))
    assert first + rest == things
    assert await home.engine.thing(things[0].id, user_id="ann") == things[0]
    pages = [await home.engine.relations(user_id="ann", limit=2)]
    pages.append(await home.engine.relations(user_id="ann", limit=9, cursor=cursor_of(pages[0][-1])))
    assert [*pages[0], *pages[1]] == await home.engine.relations(user_id="ann", agent_id="bot")
    assert await relations(home, thing_id=home.things["Tom"]) == {("Tom", "husband", "Annika")}
    about = await home.engine.memories_of_thing(home.things["Anna"], user_id="ann")
    assert [one.text for one in about] == ["My sister is Anna.", CHESS, HORSES]
    assert await home.engine.things(user_id="ann", agent_id="tutor") == []
    assert await home.engine.relations(user_id="ann", agent_id="tutor") == []


async def test_a_new_name_is_found_and_the_old_one_too(home: Household) -> None:
    new = await home.engine.update_thing(home.things["Anna"], user_id="ann", name="  Joanna  Kling ", kind="person")
    assert (new.name, new.also, new.kind, new.key, new.memories) == (
        "Joanna Kling",
        ("Anna",),
        "person",
        "joanna kling",
        3,
    )
    for question in ("What about Joanna Kling?", "What about Anna?"):
        assert HORSES in (await texts(home.engine, question))[:3]
    listed = await home.engine.update_thing(new.id, user_id="ann", also=["Jo", "JO", "Joanna Kling"])
    assert (listed.name, listed.also) == ("Joanna Kling", ("Jo",))
    assert (await home.engine.update_thing(new.id, user_id="ann", kind="")).kind == ""


async def test_two_become_one_with_all_that_is_known_of_either(home: Household) -> None:
    one = await home.engine.merge_things(home.things["Annika"], home.things["Anna"], user_id="ann")
    assert (one.name, one.also, one.memories) == ("Anna", ("Annika",), 3)
    assert await home.engine.thing(home.things["Annika"], user_id="ann") is None
    assert await relations(home) == {("Anna", "sister", "I"), ("Tom", "husband", "Anna")}
    assert all(relation.valid_to is None for relation in await home.engine.relations(user_id="ann"))
    assert CHESS in (await texts(home.engine, "Does my sister play?"))[:2]
    into_owner = await home.engine.merge_things(home.things["Tom"], home.things["I"], user_id="ann")
    assert into_owner.is_owner
    assert await relations(home) == {("Anna", "sister", "I"), ("I", "husband", "Anna")}


async def test_a_deleted_one_leaves_its_memories_and_nothing_else(home: Household) -> None:
    await home.engine.delete_thing(home.things["Annika"], user_id="ann")
    assert await relations(home) == {("Anna", "sister", "I")}
    assert CHESS in [one.text for one in await home.engine.get_all(user_id="ann")]
    with pytest.raises(ThingNotFoundError):
        await home.engine.delete_thing(home.things["Annika"], user_id="ann")


async def test_relations_are_added_and_taken_away(home: Household) -> None:
    tom, anna = home.things["Tom"], home.things["Anna"]
    added = await home.engine.add_relation(tom, " neighbour ", user_id="ann")
    assert (added.subject, added.relation, added.object, added.memory_id) == ("Tom", "neighbour", "I", None)
    assert (await home.engine.add_relation(tom, "neighbour", user_id="ann")).id == added.id
    again = await home.engine.add_relation(home.things["Annika"], "sister", home.things["I"], user_id="ann")
    assert again.valid_to is None
    await home.engine.delete_relation(added.id, user_id="ann")
    assert ("Tom", "neighbour", "I") not in await relations(home)
    with pytest.raises(RelationNotFoundError):
        await home.engine.delete_relation(added.id, user_id="ann")
    # What was said once and is confirmed by hand does not go with what was said.
    await home.engine.add_relation(anna, "sister", user_id="ann")
    (said,) = await home.engine.get_all(user_id="ann", filters={"text": "My sister is Anna."})
    await home.engine.delete(said.id, user_id="ann")
    assert ("Anna", "sister", "I") in await relations(home)


async def test_the_owner_is_made_where_an_agent_does_not_know_them_yet(engine: MemoryEngine, pool: Pool) -> None:
    home = Household(engine, pool)
    rex = await home.knows("Rex", kind="animal")
    await home.says("Rex eats anything.", about=["Rex"])
    added = await engine.add_relation(rex, "dog", user_id="ann")
    assert (added.subject, added.object, added.agent_id) == ("Rex", "I", "bot")
    assert (await texts(engine, "What does my dog eat?"))[0] == "Rex eats anything."


Act = Callable[[MemoryEngine, dict[str, uuid.UUID]], Awaitable[Any]]


@pytest.mark.parametrize(
    ("act", "error"),
    [
        (lambda engine, ids: engine.update_thing(ids["Anna"], user_id="ann", name="TOM"), NameTakenError),
        (lambda engine, ids: engine.update_thing(ids["Anna"], user_id="ann", name=" "), InvalidTextError),
        (lambda engine, ids: engine.update_thing(ids["Anna"], user_id="ann", name="…"), InvalidTextError),
        (lambda engine, ids: engine.update_thing(ids["Anna"], user_id="ann", name="me"), InvalidTextError),
        (lambda engine, ids: engine.update_thing(ids["Anna"], user_id="ann", name="x" * 201), InvalidTextError),
        (lambda engine, ids: engine.update_thing(ids["Anna"], user_id="ann", name=7), InvalidTextError),
        (lambda engine, ids: engine.update_thing(ids["Anna"], user_id="ann", also="Jo"), InvalidTextError),
        (lambda engine, ids: engine.update_thing(ids["Anna"], user_id="ann", also=["a"] * 21), InvalidTextError),
        (lambda engine, ids: engine.update_thing(ids["Anna"], user_id="ann", kind="x" * 51), InvalidTextError),
        (lambda engine, ids: engine.update_thing(ids["Anna"], user_id="ann"), InvalidTextError),
        (lambda engine, ids: engine.update_thing(ids["I"], user_id="ann", name="Otto"), MemoryInputError),
        (lambda engine, ids: engine.update_thing(ids["Anna"], user_id="bob", name="Jo"), ThingNotFoundError),
        (lambda engine, ids: engine.update_thing("x", user_id="ann", name="Jo"), ThingNotFoundError),
        (lambda engine, ids: engine.merge_things(ids["Anna"], ids["Tom"], user_id="bob"), ThingNotFoundError),
        (lambda engine, ids: engine.merge_things(ids["Anna"], ids["theirs"], user_id="ann"), ThingNotFoundError),
        (lambda engine, ids: engine.merge_things(ids["Anna"], ids["Anna"], user_id="ann"), MemoryInputError),
        (lambda engine, ids: engine.merge_things(ids["I"], ids["Anna"], user_id="ann"), MemoryInputError),
        (lambda engine, ids: engine.merge_things(ids["pupil"], ids["Anna"], user_id="ann"), MemoryInputError),
        (lambda engine, ids: engine.delete_thing(ids["Anna"], user_id="bob"), ThingNotFoundError),
        (lambda engine, ids: engine.add_relation(ids["Anna"], "", user_id="ann"), InvalidTextError),
        (lambda engine, ids: engine.add_relation(ids["Anna"], "boss", ids["Anna"], user_id="ann"), MemoryInputError),
        (lambda engine, ids: engine.add_relation(ids["I"], "boss", user_id="ann"), MemoryInputError),
        (lambda engine, ids: engine.add_relation(ids["Anna"], "boss", ids["pupil"], user_id="ann"), MemoryInputError),
        (
            lambda engine, ids: engine.add_relation(ids["Anna"], "boss", ids["theirs"], user_id="ann"),
            ThingNotFoundError,
        ),
        (lambda engine, ids: engine.delete_relation(uuid.uuid4(), user_id="ann"), RelationNotFoundError),
        (lambda engine, ids: engine.memories_of_thing(ids["Anna"], user_id="bob"), ThingNotFoundError),
        (lambda engine, ids: engine.things(user_id="ann", cursor="x"), InvalidCursorError),
        (lambda engine, ids: engine.things(user_id="*"), MemoryInputError),
    ],
)
async def test_what_cannot_be_meant_changes_nothing(home: Household, act: Act, error: type[Exception]) -> None:
    pupil, bob = Household(home.engine, home.pool, "ann", "tutor"), Household(home.engine, home.pool, "bob")
    ids = {**home.things, "pupil": await pupil.knows("Pupil"), "theirs": await bob.knows("Theirs")}
    before = await everything(home)
    with pytest.raises(error) as failed:
        await act(home.engine, ids)
    assert isinstance(failed.value, MemoryInputError)
    assert await everything(home) == before


async def everything(home: Household) -> list[Any]:
    found: list[Any] = []
    for user_id in ("ann", "bob"):
        found += [await home.engine.things(user_id=user_id), await home.engine.relations(user_id=user_id)]
    return found


async def test_lists_show_what_was_replaced_and_leave_out_what_a_summary_stands_for(home: Household) -> None:
    memories = {one.text: one for one in await home.engine.get_all(user_id="ann")}
    await home.replaces(memories[HORSES], memories[CHESS], since=3, until=1)
    await home.compresses(memories["My sister is Anna."], memories[CHESS])
    listed = {one.text: one for one in await home.engine.get_all(user_id="ann")}
    assert listed.keys() == {HORSES, CHESS}
    assert listed[HORSES].superseded_by == listed[CHESS].id
    assert listed[HORSES].valid_to is not None
    (hidden,) = await home.engine.get_all(user_id="ann", filters={"compressed_into": "*"})
    assert hidden.text == "My sister is Anna."
    assert (
        len(await home.engine.get_all(user_id="ann", filters={"OR": [{"compressed_into": "*"}, {"text": HORSES}]})) == 2
    )
