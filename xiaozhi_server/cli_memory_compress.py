"""`memory compress|restore`: summarise what is old now, look beforehand at what belongs together, and undo it."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

from .cli_memory_command import Command, CommandError, line, print_json, progress
from .cli_output import shown
from .core.providers.memory.mem0ai.compressing.candidates import CompressRule
from .core.providers.memory.mem0ai.compressing.compress import CompressResult, ModelAwayError
from .core.providers.memory.mem0ai.errors import NoSummaryError

COMPRESS = "compress"  # the one command that asks the model

_LONGEST_DAYS = 36_500
_WHY = {
    "unreadable": "could not be read",
    "empty": "said nothing",
    "order": "gave orders",
    "long": "were no shorter",
    "foreign": "were in another script",
    "unfounded": "told what nobody said",
    "incomplete": "left too much out",
}


async def _compress(command: Command) -> None:
    chosen = command.chosen
    if not 1 <= chosen.older_than <= _LONGEST_DAYS:
        raise CommandError(f"--older-than must be a number of days from 1 to {_LONGEST_DAYS}")
    rule = CompressRule(chosen.older_than, chosen.verbatim)
    whose: dict[str, Any] = {"user_id": chosen.user, "agent_id": chosen.agent}
    expected = await command.engine.compress(rule, **whose, dry_run=True)
    if chosen.dry_run:
        _print(command, expected)
        return
    try:
        result = await command.engine.compress(rule, **whose, progress=progress(expected.compressed))
    except ModelAwayError as problem:
        raise CommandError(f"{problem}: what is summarised already stays so, run it again for the rest") from None
    _print(command, result)


async def _restore(command: Command) -> None:
    chosen = command.chosen
    owner = await command.owner()
    memory = await command.engine.get(chosen.id, user_id=owner)
    if memory is None or chosen.agent not in (None, memory.agent_id):
        raise NoSummaryError
    count = await command.engine.restore(memory.id, user_id=owner)
    if chosen.json:
        print_json({"restored": count})
    else:
        print(f"{count} memories are recalled again")


ACTIONS: dict[str, Callable[[Command], Awaitable[None]]] = {COMPRESS: _compress, "restore": _restore}


def _print(command: Command, result: CompressResult) -> None:
    if command.chosen.json:
        print_json(_as_dict(result))
        return
    for number, group in enumerate(result.planned, start=1):
        agent = f" and agent {shown(group.agent_id)}" if group.agent_id else ""
        print(f"{number}. of {shown(group.user_id)}{agent}:")
        for text in group.texts:
            print(f"   {line(text)}")
    if (more := result.summaries - len(result.planned)) > 0 and result.dry_run:
        print(f"and {more} more")
    would = "would become" if result.dry_run else "became"
    print(f"{result.compressed} memories {would} {result.summaries}")
    for count, told in _complaints(result):
        print(f"{count} {told}")


def _complaints(result: CompressResult) -> list[tuple[int, str]]:
    found = [(count, f"summaries {_WHY[why]}: nothing was changed there") for why, count in result.refused.items()]
    found.append((result.changed, "groups were changed meanwhile"))
    found.append((result.failed, "times the model gave no answer: run it again"))
    found.append((result.busy, "owners are being summarised by somebody else right now"))
    return [(count, told) for count, told in found if count]


def _as_dict(result: CompressResult) -> dict[str, Any]:
    counts = asdict(result)
    planned = counts.pop("planned")
    return {**counts, "planned": planned} if result.dry_run else counts
