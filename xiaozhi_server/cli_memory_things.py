"""`memory things`: the people and things that memories are about, and how they are related: looked up and corrected."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from typing import Any

from .cli_memory_command import Command, CommandError, confirm, line, local, print_json, print_table
from .cli_memory_things_options import THINGS, USES
from .cli_output import shown
from .core.providers.memory.mem0ai.errors import ThingNotFoundError
from .core.providers.memory.mem0ai.things.records import Relation, Thing


async def _list(command: Command, owner: str, words: Sequence[str]) -> None:
    asked: dict[str, Any] = {"user_id": owner, "agent_id": command.chosen.agent, "limit": command.chosen.limit}
    things, relations = await command.engine.things(**asked), await command.engine.relations(**asked)
    if command.chosen.json:
        print_json({"things": [asdict(one) for one in things], "relations": [asdict(one) for one in relations]})
        return
    heading = ("ID", "AGENT", "KIND", "NAME", "ALSO", "MEMORIES")
    print_table(heading, [_row(one) for one in things])
    if relations:
        print()
        print_table(("RELATION", "WHO", "IS THE", "OF", "UNTIL"), [_relation_row(one) for one in relations])


async def _show(command: Command, owner: str, words: Sequence[str]) -> None:
    thing = await _known(command, owner, words[0])
    memories = await command.engine.memories_of_thing(thing.id, user_id=owner, limit=command.chosen.limit)
    if command.chosen.json:
        print_json({**asdict(thing), "about": [asdict(memory) for memory in memories]})
        return
    rows = [(str(one.id), local(one.created_at), "-" if one.valid_to is None else local(one.valid_to), line(one.text))
            for one in memories]  # fmt: skip
    print_table(("ID", "SAID", "UNTIL", "TEXT"), rows)


async def _rename(command: Command, owner: str, words: Sequence[str]) -> None:
    thing = await _known(command, owner, words[0])
    _tell(command, await command.engine.update_thing(thing.id, user_id=owner, name=" ".join(words[1:])))


async def _merge(command: Command, owner: str, words: Sequence[str]) -> None:
    one, other = [await _known(command, owner, word) for word in words]
    confirm(command, f"{_named(one)} and {_named(other)} are the same, called {shown(other.name)}?")
    _tell(command, await command.engine.merge_things(one.id, other.id, user_id=owner))


async def _delete(command: Command, owner: str, words: Sequence[str]) -> None:
    thing = await _known(command, owner, words[0])
    confirm(command, f"Delete {_named(thing)}? The {thing.memories} memories about it stay.")
    await command.engine.delete_thing(thing.id, user_id=owner)
    if command.chosen.json:
        print_json({"deleted": thing.id})
    else:
        print(f"{_named(thing)} is deleted")


async def _relate(command: Command, owner: str, words: Sequence[str]) -> None:
    ids = [(await _known(command, owner, word)).id for word in (words[0], *words[2:])]
    relation = await command.engine.add_relation(ids[0], words[1], *ids[1:], user_id=owner)
    if command.chosen.json:
        print_json(asdict(relation))
    else:
        print(f"{relation.id}: {shown(relation.subject)} is the {shown(relation.relation)} of {shown(relation.object)}")


async def _unrelate(command: Command, owner: str, words: Sequence[str]) -> None:
    await command.engine.delete_relation(words[0], user_id=owner)
    if command.chosen.json:
        print_json({"deleted": words[0]})
    else:
        print(f"{shown(words[0])} is deleted")


_DO: dict[str, Callable[[Command, str, Sequence[str]], Awaitable[None]]] = {
    "list": _list,
    "show": _show,
    "rename": _rename,
    "merge": _merge,
    "delete": _delete,
    "relate": _relate,
    "unrelate": _unrelate,
}


async def _things(command: Command) -> None:
    do, words = command.chosen.do, command.chosen.words
    least, most = _counts(do)
    if not least <= len(words) <= most:
        raise CommandError(f"say: memory things {do} {USES[do]}".rstrip())
    await _DO[do](command, await command.owner(), words)


ACTIONS: dict[str, Callable[[Command], Awaitable[None]]] = {THINGS: _things}


def _counts(do: str) -> tuple[int, int]:
    """How many words it needs, and how many it may have; a name may have any number of them."""
    wanted = USES[do].split()
    optional = sum(word.startswith("[") for word in wanted)
    return len(wanted) - optional, 20 if "NAME" in wanted else len(wanted)


async def _known(command: Command, owner: str, id: str) -> Thing:
    thing = await command.engine.thing(id, user_id=owner)
    if thing is None or command.chosen.agent not in (None, thing.agent_id):
        raise CommandError(f"{shown(id)}: {ThingNotFoundError()}")
    return thing


def _tell(command: Command, thing: Thing) -> None:
    if command.chosen.json:
        print_json(asdict(thing))
    else:
        also = f" (also {', '.join(map(shown, thing.also))})" if thing.also else ""
        print(f"{_named(thing)}{also}: {thing.memories} memories")


def _named(thing: Thing) -> str:
    return "the owner" if thing.is_owner else shown(thing.name)


def _row(one: Thing) -> tuple[str, ...]:
    also = line(", ".join(one.also)) if one.also else "-"
    return str(one.id), one.agent_id or "-", one.kind or "-", _named(one), also, str(one.memories)


def _relation_row(one: Relation) -> tuple[str, ...]:
    until = "-" if one.valid_to is None else local(one.valid_to)
    return str(one.id), one.subject, one.relation, one.object, until
