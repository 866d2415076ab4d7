"""`memory share list|grant|revoke|audit`: who may read what of a person, and who decided that when."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict

from .cli_memory_command import Command, CommandError, local, print_json, print_table
from .cli_output import shown

_DONE_BY = "the command line"


async def _share(command: Command) -> None:
    await _WHAT[command.chosen.what](command)


async def _list(command: Command) -> None:
    chosen = command.chosen
    shares = await command.engine.shares(user_id=await command.owner(), agent_id=chosen.agent)
    shares = [one for one in shares if chosen.from_agent in (None, one.from_agent)]
    if chosen.json:
        print_json([asdict(one) for one in shares])
    else:
        rows = [(one.agent_id, one.from_agent, one.granted_by, local(one.granted_at)) for one in shares]
        print_table(("AGENT", "READS OF", "GRANTED BY", "SINCE"), rows)


async def _grant(command: Command) -> None:
    names = await _named(command)
    is_new = await command.engine.share(**names, done_by=_DONE_BY)
    done = "may read from now on" if is_new else "may read already"
    _tell(command, {"granted": is_new}, _sentence(names, done))


async def _revoke(command: Command) -> None:
    names = await _named(command)
    is_gone = await command.engine.unshare(**names, done_by=_DONE_BY)
    done = "may not read any more" if is_gone else "could not read before either"
    _tell(command, {"revoked": is_gone}, _sentence(names, done))


async def _audit(command: Command) -> None:
    chosen = command.chosen
    lines = await command.engine.audit(user_id=await command.owner(), limit=chosen.limit)
    lines = [
        one for one in lines if chosen.agent in (None, one.agent_id) and chosen.from_agent in (None, one.from_agent)
    ]
    if chosen.json:
        print_json([asdict(one) for one in lines])
        return
    rows = [
        (local(one.happened_at), one.event, one.agent_id, one.from_agent, str(one.reads or "-"), one.done_by or "-")
        for one in lines
    ]
    print_table(("WHEN", "WHAT", "AGENT", "READS OF", "TIMES", "BY"), rows)


_WHAT: dict[str, Callable[[Command], Awaitable[None]]] = {
    "list": _list,
    "grant": _grant,
    "revoke": _revoke,
    "audit": _audit,
}
ACTIONS: dict[str, Callable[[Command], Awaitable[None]]] = {"share": _share}


async def _named(command: Command) -> dict[str, str]:
    chosen = command.chosen
    if not chosen.agent or not chosen.from_agent:
        raise CommandError(f"memory share {chosen.what} needs --agent (who reads) and --from (whose memories)")
    return {"user_id": await command.owner(), "agent_id": chosen.agent, "from_agent": chosen.from_agent}


def _sentence(names: dict[str, str], done: str) -> str:
    agent, other, owner = (shown(names[name]) for name in ("agent_id", "from_agent", "user_id"))
    return f"{agent} {done}: what {other} heard of {owner}"


def _tell(command: Command, as_json: dict[str, bool], sentence: str) -> None:
    if command.chosen.json:
        print_json(as_json)
    else:
        print(sentence)
