"""Scenarios step by step, and the ones that come with the simulated device."""

import re
from pathlib import Path

import pytest

import firmware_sim
from firmware_sim.device import SimulatedDevice
from firmware_sim.scenario import Scenario, StepResult, load_scenario, run_scenario
from tests.support.scripted_server import ScriptedServer, ScriptedSession, tone_packets

SHIPPED = sorted(Path(firmware_sim.__path__[0], "scenarios").glob("*.yaml"))


async def a_server_that_remembers(session: ScriptedSession) -> None:
    """Answers as the real one does, as far as the scenarios need it; slow enough to be interrupted."""
    told = "My favourite colour is teal."
    await session.greet()
    while True:
        message = await session.expect("listen")
        if message["state"] != "detect" or message["text"] == "你好小智":
            continue
        if "who you are" not in message["text"]:
            await session.answer(told)
            continue
        await session.send(type="tts", state="start")
        await session.expect("abort")
        await session.send(type="tts", state="stop")


async def a_server_that_greets_and_forgets(session: ScriptedSession) -> None:
    await session.greet()
    while True:
        await session.expect("listen", state="detect")
        await session.answer("Hello?", packets=tone_packets(2))


async def results_of(server: ScriptedServer, scenario: Scenario) -> list[StepResult]:
    shown: list[StepResult] = []
    async with SimulatedDevice(server.ota_url, mac=scenario.mac) as device:
        await device.boot()
        results = await run_scenario(scenario, device, shown.append)
    assert shown == results
    return results


def test_there_are_examples() -> None:
    assert [path.stem for path in SHIPPED] == ["interrupted", "remembered"]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
async def test_the_examples_hold_against_a_server_that_behaves(path: Path) -> None:
    async with ScriptedServer(a_server_that_remembers) as server:
        results = await results_of(server, load_scenario(path))
    assert [failure for result in results for failure in result.failures] == []


async def test_the_examples_fail_against_a_server_that_forgets() -> None:
    (path,) = (path for path in SHIPPED if path.stem == "remembered")
    async with ScriptedServer(a_server_that_greets_and_forgets) as server:
        results = await results_of(server, load_scenario(path))
    assert [bool(result.failures) for result in results] == [False, False, True, False, True]


async def test_a_wake_word_is_waited_for_where_something_is_expected() -> None:
    scenario = Scenario.model_validate(
        {
            "steps": [
                {"wake": "hi", "expect": {"text": "hello"}},
                {"hang_up": True},
                {"wake": "hi", "expect": {"text": "goodbye"}},
            ]
        }
    )
    async with ScriptedServer(a_server_that_greets_and_forgets) as server:
        first, _, second = await results_of(server, scenario)
    assert first.reply is not None
    assert first.failures == ()
    assert second.failures == ("the text lacks 'goodbye'",)


async def test_a_reply_that_never_begins_to_be_aborted_is_a_failure_of_its_step() -> None:
    async def script(session: ScriptedSession) -> None:
        await session.greet()
        await session.expect("never")

    scenario = Scenario.model_validate({"steps": [{"type": "hello", "abort_after_s": 0, "timeout_s": 0.1}]})
    async with ScriptedServer(script) as server:
        (result,) = await results_of(server, scenario)
    assert re.search(r"no finished reply within 0\.1 s", result.failures[0])


async def test_every_step_is_carried_out() -> None:
    steps = [
        {"connect": True},
        {"say": "Hello", "mode": "manual"},
        {"vanish": True},
        {"wait_s": 0},
        {"type": "Hello"},
        {"hang_up": True},
    ]

    async def script(session: ScriptedSession) -> None:
        await session.greet()
        while True:
            message = await session.expect("listen")
            if message["state"] in ("stop", "detect"):
                await session.answer()

    async with ScriptedServer(script) as server:
        results = await results_of(server, Scenario.model_validate({"steps": steps}))
        assert len(server.sessions) == 2
    assert [result.title for result in results] == [
        "connect",
        "say Hello",
        "vanish",
        "wait_s 0.0",
        "type Hello",
        "hang_up",
    ]
    assert [result.reply is not None for result in results] == [False, True, False, False, True, False]
