"""`memory compress`, `memory restore` and `memory share`, as processes beside an engine that hears of it."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from firmware_sim.cloud import Fault, StandInCloud
from tests.integration.memory.mem0_world import llm
from tests.integration.memory.test_memory_command import Commands, command
from tests.support.waiting import until
from xiaozhi_server.core.providers.memory.base import SpokenMessage
from xiaozhi_server.core.providers.memory.mem0ai import MemoryEngine

__all__ = ["command"]

OLD = datetime.now(UTC) - timedelta(days=200)
ZOO = (
    "We went to the zoo with Tom on the morning of his birthday.",
    "The elephants were the best of all, Tom said.\x1b[2J",
    "Tom ate two ice creams and was sick in the bus.",
)


@pytest.fixture
async def told(engine: MemoryEngine) -> AsyncIterator[MemoryEngine]:
    said = [SpokenMessage("user", text, OLD) for text in ZOO]
    await engine.add(said, user_id="ann", agent_id="bot", session_id="s1")
    yield engine


def with_model(command: Commands, cloud: StandInCloud) -> Commands:
    written = json.dumps({"Memory": {"mem0ai": {"llm": llm(cloud)}}})
    (command.folder / ".config.yaml").write_text(written, encoding="utf-8")
    return command


async def recalled(engine: MemoryEngine, agent: str | None = None) -> list[str]:
    hits = await engine.search("Tom", user_id="ann", agent_id=agent)
    return sorted(one.memory.text for one in hits)


async def test_it_is_shown_then_done_then_undone(command: Commands, told: MemoryEngine) -> None:
    async with StandInCloud() as cloud:
        asking = with_model(command, cloud)
        shown = await asking("compress", "--verbatim", "--dry-run")
        assert shown.out.splitlines() == [
            "1. of ann and agent bot:",
            f"   {ZOO[0]}",
            "   The elephants were the best of all, Tom said.\\x1b[2J",
            f"   {ZOO[2]}",
            "3 memories would become 1",
        ]
        planned = (await asking("compress", "--verbatim", "--dry-run", "--json")).json
        assert (planned["summaries"], planned["planned"][0]["texts"]) == (1, list(ZOO))
        assert not cloud.requests
        assert (await asking("compress", "--verbatim", "--older-than", "300")).out == "0 memories became 0\n"
        assert (await asking("compress")).out == "0 memories became 0\n"  # none of them is an episode

        done = await asking("compress", "--verbatim", "--user", "ann")
        assert (done.code, done.out, done.complaints) == (0, "3 memories became 1\n", "3 of 3\n")
        await until(lambda: _count(told, 1))
        (summary,) = [one for one in await told.get_all(user_id="ann") if one.compressed_into is None]

        assert (await asking("restore", str(summary.id))).out == "3 memories are recalled again\n"
        await until(lambda: _count(told, 3))
        for arguments in (
            ("restore", str(summary.id)),
            ("restore", "x"),
            ("restore", str(summary.id), "--agent", "no"),
        ):
            ended = await asking(*arguments)
            assert (ended.code, ended.out) == (1, "")
            assert ended.complaints == "this owner has no summary with that id: nothing is compressed into it\n"


async def _count(engine: MemoryEngine, count: int) -> bool:
    return len(await recalled(engine)) == count


async def test_what_goes_wrong_is_told_in_a_line(command: Commands, told: MemoryEngine) -> None:
    ended = await command("compress", "--verbatim")
    assert (ended.code, ended.out) == (1, "")
    assert ended.complaints == "a language model makes the summaries and none is set up: configure an llm\n"
    ended = await command("compress", "--older-than", "0")
    assert (ended.code, ended.complaints) == (1, "--older-than must be a number of days from 1 to 36500\n")
    async with StandInCloud() as cloud:
        asking = with_model(command, cloud)
        cloud.faults.chat = Fault(wording="invented")
        refused = await asking("compress", "--verbatim")
        assert refused.out.splitlines() == [
            "0 memories became 0",
            "1 summaries told what nobody said: nothing was changed there",
        ]
        cloud.faults.chat = Fault(status=500)
        failed = (await asking("compress", "--verbatim", "--json")).out
        assert json.loads(failed)["failed"] == 1
    assert await _count(told, 3)


async def test_sharing_is_granted_listed_revoked_and_written_down(command: Commands, told: MemoryEngine) -> None:
    names = ("--user", "ann", "--agent", "tutor", "--from", "bot")
    assert await recalled(told, "tutor") == []
    granted = await command("share", "grant", *names)
    assert granted.out == "tutor may read from now on: what bot heard of ann\n"
    await until(lambda: _is_shared(told, True))
    assert (await command("share", "grant", *names, "--json")).json == {"granted": False}
    heading, row = (await command("share", "list", "--user", "ann")).out.splitlines()
    assert heading.split() == ["AGENT", "READS", "OF", "GRANTED", "BY", "SINCE"]
    assert row.split()[:5] == ["tutor", "bot", "the", "command", "line"]
    assert (await command("share", "list", "--user", "ann", "--agent", "bot", "--json")).json == []
    assert (await command("search", "Tom", "--user", "ann", "--agent", "tutor")).out.count("bot") == 3

    assert (await command("share", "revoke", *names)).out == "tutor may not read any more: what bot heard of ann\n"
    await until(lambda: _is_shared(told, False))
    assert (await command("share", "revoke", *names, "--json")).json == {"revoked": False}
    audit = (await command("share", "audit", "--user", "ann", "--json")).json
    assert [(one["event"], one["done_by"]) for one in audit if one["event"] != "READ"] == [
        ("REVOKE", "the command line"),
        ("GRANT", "the command line"),
    ]
    assert any(one["event"] == "READ" and one["reads"] >= 1 for one in audit)
    lines = (await command("share", "audit", "--user", "ann")).out.splitlines()
    assert lines[0].split() == ["WHEN", "WHAT", "AGENT", "READS", "OF", "TIMES", "BY"]
    assert len(lines) == len(audit) + 1


async def _is_shared(engine: MemoryEngine, expected: bool) -> bool:
    return bool(await recalled(engine, "tutor")) == expected


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("grant", "--user", "ann", "--agent", "tutor"), "memory share grant needs --agent (who reads) and --from"),
        (("revoke", "--user", "ann"), "memory share revoke needs --agent (who reads) and --from"),
        (("grant", "--user", "ann", "--agent", "bot", "--from", "bot"), "an agent reads its own memories anyway"),
        (("grant", "--user", "*", "--agent", "bot", "--from", "tutor"), "user_id must be printable"),
    ],
)
async def test_a_grant_that_makes_no_sense_is_refused_in_a_line(
    command: Commands, engine: MemoryEngine, arguments: tuple[str, ...], complaint: str
) -> None:
    ended: Any = await command("share", *arguments)
    assert (ended.code, ended.out) == (1, "")
    assert ended.complaints.startswith(complaint)
    assert ended.complaints.count("\n") == 1
