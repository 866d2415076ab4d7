"""What the device waits for at boot and on a silent channel, in its own time: minutes pass at once here."""

import asyncio
import itertools
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from firmware_sim.bootstrap import Activation
from firmware_sim.device import SimulatedDevice, State
from firmware_sim.errors import BootError
from tests.support.scripted_server import ScriptedServer, ScriptedSession
from tests.support.virtual_time import run_virtual

WITH_CHALLENGE = {"code": "123456", "message": "Type this in", "challenge": "prove it"}
WITHOUT_CHALLENGE = {"code": "123456", "message": "Type this in"}


async def greet_and_answer(session: ScriptedSession) -> None:
    await session.greet()
    while True:
        await session.expect("listen", state="detect")
        await session.answer()


def on_a_server(
    test: Callable[[ScriptedServer, SimulatedDevice], Coroutine[Any, Any, None]], *activations: dict[str, str]
) -> None:
    """Run `test` on a virtual clock; the first OTA answers bring these activations, the others none."""

    def ota(_: object) -> dict[str, Any]:
        answer: dict[str, Any] = {"websocket": {"url": server.websocket_url}}
        number = len(server.ota_requests) - 1
        return answer | ({"activation": activations[number]} if number < len(activations) else {})

    server = ScriptedServer(greet_and_answer, ota=ota)

    async def run() -> None:
        async with server, SimulatedDevice(server.ota_url) as device:
            await test(server, device)

    run_virtual(run())


def pauses(times_s: list[float]) -> list[float]:
    return [round(later - earlier, 2) for earlier, later in itertools.pairwise(times_s)]


def test_a_failed_request_is_repeated_after_10_20_40_seconds() -> None:
    async def boot(server: ScriptedServer, device: SimulatedDevice) -> None:
        server.ota_statuses = [500, 404, 201]
        await device.boot(attempts=10)
        assert pauses(server.ota_at_s) == [10, 20, 40]
        assert device.state is State.IDLE

    on_a_server(boot)


def test_after_ten_failures_in_85_minutes_it_gives_up() -> None:
    async def boot(server: ScriptedServer, device: SimulatedDevice) -> None:
        server.ota_statuses = [500] * 20
        with pytest.raises(BootError, match="500"):
            await device.boot(attempts=10)
        assert len(server.ota_requests) == 10
        assert sum(pauses(server.ota_at_s)) == pytest.approx(5110)
        assert device.state is State.STARTING

    on_a_server(boot)


def test_a_pending_activation_is_polled_every_3_seconds_ten_times_and_then_asked_for_anew() -> None:
    announced: list[Activation] = []

    async def boot(server: ScriptedServer, device: SimulatedDevice) -> None:
        await device.boot(on_activation=announced.append)
        assert pauses(server.activation_at_s) == [3] * 9
        assert pauses(server.ota_at_s) == [30]
        assert server.activations == [{}] * 10
        assert device.state is State.IDLE

    on_a_server(boot, WITH_CHALLENGE)
    assert announced == [Activation("123456", "Type this in", "prove it")]


def test_a_bound_device_stops_polling_and_asks_at_once() -> None:
    async def boot(server: ScriptedServer, device: SimulatedDevice) -> None:
        server.activation_statuses = [202, 202, 200]
        await device.boot()
        assert pauses(server.activation_at_s) == [3, 3]
        assert server.ota_at_s[1] == server.activation_at_s[-1]

    on_a_server(boot, WITH_CHALLENGE)


@pytest.mark.parametrize("status", [400, 500, 0], ids=["refused", "broken", "away"])
def test_anything_but_pending_costs_10_seconds_and_ends_nothing(status: int) -> None:
    async def boot(server: ScriptedServer, device: SimulatedDevice) -> None:
        server.activation_statuses = [status, 202, 200]
        await device.boot()
        assert pauses(server.activation_at_s) == [10, 3]

    on_a_server(boot, WITH_CHALLENGE)


def test_without_a_challenge_it_only_waits() -> None:
    announced: list[Activation] = []

    async def boot(server: ScriptedServer, device: SimulatedDevice) -> None:
        await device.boot(on_activation=announced.append)
        assert server.activations == []
        assert pauses(server.ota_at_s) == [100, 100]

    on_a_server(boot, WITHOUT_CHALLENGE, WITHOUT_CHALLENGE)
    assert len(announced) == 2


def test_never_activated_it_has_no_voice_channel_and_tells_its_code() -> None:
    async def boot(server: ScriptedServer, device: SimulatedDevice) -> None:
        with pytest.raises(BootError, match="123456"):
            await device.boot(activation_rounds=3)
        assert len(server.activations) == 30
        assert not server.sessions

    on_a_server(boot, *[WITH_CHALLENGE] * 4)


def test_a_failure_in_the_middle_of_an_activation_is_retried_as_at_boot() -> None:
    async def boot(server: ScriptedServer, device: SimulatedDevice) -> None:
        server.activation_statuses = [200]
        server.ota_statuses = [200, 500]
        await device.boot(attempts=2)
        assert pauses(server.ota_at_s) == [0, 10]

    on_a_server(boot, WITH_CHALLENGE)


@pytest.mark.parametrize(("silence_s", "sessions"), [(119.0, 1), (121.0, 2)])
def test_a_channel_counts_as_dead_after_120_seconds_without_data(silence_s: float, sessions: int) -> None:
    """The scripted server sends pings all the time: they do not count."""

    async def talk(server: ScriptedServer, device: SimulatedDevice) -> None:
        await device.boot()
        await device.say_text("one")
        await asyncio.sleep(silence_s)
        assert device.connected
        assert (await device.say_text("two")).finished
        assert len(server.sessions) == sessions
        assert len(device.violations) == sessions - 1

    on_a_server(talk)


def test_any_data_frame_keeps_the_channel_alive() -> None:
    async def talk(server: ScriptedServer, device: SimulatedDevice) -> None:
        await device.boot()
        await device.say_text("one")
        for _ in range(3):
            await asyncio.sleep(100)
            await server.sessions[0].send(type="llm", emotion="happy")
        await asyncio.sleep(100)
        await device.say_text("two")
        assert len(server.sessions) == 1

    on_a_server(talk)
