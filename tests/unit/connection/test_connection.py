"""The life of a connection on a virtual clock: hello, what is ignored, silence, the ways it ends."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.support.connection_fakes import CONTACT, SESSION_ID, World
from tests.support.virtual_time import run_virtual
from xiaozhi_server.core.connection import ConnectionOptions
from xiaozhi_server.core.wire.frames import FrameCodec

HELLO = {"type": "hello", "version": 1, "transport": "websocket"}


def in_world(
    scenario: Callable[[World], Awaitable[None]], options: ConnectionOptions | None = None, version: int = 1
) -> World:
    """Run a scenario against one connection to its end."""

    async def main() -> World:
        async with World(options, version) as world:
            await scenario(world)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return world

    return run_virtual(main())


def test_hello_is_answered_at_once_and_once() -> None:
    async def scenario(world: World) -> None:
        world.directory.delay_s = 60
        world.say(**HELLO)
        assert world.channel.texts() == [
            {
                "type": "hello",
                "transport": "websocket",
                "session_id": SESSION_ID,
                "audio_params": {"format": "opus", "sample_rate": 24_000, "channels": 1, "frame_duration": 60},
            }
        ]
        world.say(**HELLO)
        assert world.channel.kinds() == ["hello"]

    world = in_world(scenario)
    assert world.observer.ignored == ["second hello"]


def test_the_session_is_loaded_beside_the_hello_and_closed_in_the_log() -> None:
    async def scenario(world: World) -> None:
        await world.greeted()
        assert world.log.opened == []
        await asyncio.sleep(0.3)
        assert world.log.opened == [SESSION_ID]

    world = in_world(scenario)
    assert world.log.closed == [(SESSION_ID, "device left")]
    assert world.observer.closed == ["device left"]


def test_without_a_hello_it_closes_after_ten_seconds() -> None:
    async def scenario(world: World) -> None:
        world.say(type="listen", state="start", mode="auto")
        world.channel.come(b"opus")
        await asyncio.sleep(9.9)
        assert world.channel.closed_with is None
        await world.ended()
        assert asyncio.get_running_loop().time() == pytest.approx(10.0)

    world = in_world(scenario)
    assert world.channel.closed_with == (1008, "no hello")
    assert world.observer.ignored == ["message before hello", "sound before hello"]


def test_a_malformed_hello_may_be_followed_by_a_good_one() -> None:
    async def scenario(world: World) -> None:
        for text in ("", "[]", "{", '{"type":7}'):
            world.channel.come(text)
        world.say(**HELLO)
        assert world.channel.kinds() == ["hello"]

    in_world(scenario)


@pytest.mark.parametrize("session_id", [{}, {"session_id": ""}, {"session_id": "stale"}, {"session_id": 5}])
def test_the_session_id_of_a_device_is_not_looked_at(session_id: dict[str, Any]) -> None:
    async def scenario(world: World) -> None:
        await world.greeted()
        world.say(type="listen", state="start", mode="manual", **session_id)
        assert world.listener.calls == ["start manual"]

    in_world(scenario)


def test_what_cannot_be_used_is_ignored() -> None:
    async def scenario(world: World) -> None:
        await world.greeted()
        for kind in ("mcp", "iot", "glyph", "dance"):
            world.say(type=kind, payload={"id": 1})
        world.channel.come("[" * 50_000)
        world.channel.come('{"type":"listen","state":"detect","text":"say "hi""}')
        world.say(type="listen", state="detect", text="hello there")
        await asyncio.sleep(0.01)
        assert len(world.turns) == 1

    world = in_world(scenario)
    assert len(world.observer.ignored) == 6


def test_a_message_that_breaks_us_does_not_end_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(world: World) -> None:
        await world.greeted()

        def broken(_: bytes) -> None:
            raise RuntimeError

        monkeypatch.setattr(world.listener, "feed", broken)
        world.channel.come(b"opus")
        world.say(type="ping")
        assert world.channel.kinds() == ["pong"]

    world = in_world(scenario)
    assert world.observer.ignored == ["failed with RuntimeError"]


@pytest.mark.parametrize("version", [1, 2, 3])
def test_sound_is_unpacked_and_packed_in_the_layout_of_the_connection(version: int) -> None:
    async def scenario(world: World) -> None:
        await world.greeted()
        world.channel.come(FrameCodec(version).encode(b"opus up"))
        assert world.listener.fed == [b"opus up"]
        world.say(type="listen", state="detect", text="hi")
        await asyncio.sleep(0.01)
        assert FrameCodec(version).encode(b"opus") in world.channel.sent

    in_world(scenario, version=version)


def test_goodbye_closes_politely() -> None:
    async def scenario(world: World) -> None:
        await world.greeted()
        world.say(type="goodbye")
        await world.ended()

    assert in_world(scenario).channel.closed_with == (1000, "device said goodbye")


def test_an_idle_device_without_open_microphone_is_closed() -> None:
    async def scenario(world: World) -> None:
        await world.greeted()
        await asyncio.sleep(80)
        world.say(type="listen", state="start", mode="manual")
        world.say(type="listen", state="stop")
        await world.ended()
        assert asyncio.get_running_loop().time() == pytest.approx(170, abs=0.1)

    world = in_world(scenario)
    assert world.channel.closed_with == (1000, "idle")
    assert world.turns == []


def test_where_nobody_speaks_to_an_open_microphone_it_says_goodbye_first() -> None:
    async def scenario(world: World) -> None:
        await world.greeted()
        world.say(type="listen", state="start", mode="auto")
        world.channel.come(b"opus")
        await world.ended()
        assert asyncio.get_running_loop().time() == pytest.approx(91, abs=0.1)

    world = in_world(scenario)
    assert world.channel.kinds() == ["tts start", "tts sentence_start", "audio", "tts stop"]
    assert world.announced() == ["Goodbye, see you soon."]
    assert world.channel.closed_with == (1000, "said goodbye")


def test_who_interrupts_the_goodbye_stays() -> None:
    async def scenario(world: World) -> None:
        await world.greeted()
        world.say(type="listen", state="start", mode="auto")
        await asyncio.sleep(90.1)
        world.say(type="abort", reason="wake_word_detected")
        await asyncio.sleep(30)
        assert world.channel.closed_with is None

    in_world(scenario)


def test_a_long_answer_is_not_idleness() -> None:
    async def scenario(world: World) -> None:
        await world.greeted()
        world.script.speak_s = 200
        world.say(type="listen", state="detect", text="tell me everything")
        await asyncio.sleep(201)
        assert world.channel.kinds()[-1] == "tts stop"
        await asyncio.sleep(89)
        assert world.channel.closed_with is None
        await world.ended()

    in_world(scenario)


def test_a_device_hears_from_us_before_it_gives_the_channel_up() -> None:
    async def scenario(world: World) -> None:
        await world.greeted()
        for _ in range(4):
            await asyncio.sleep(60)
            world.say(type="listen", state="start", mode="manual")
        assert world.channel.kinds() == ["pong", "pong"]

    in_world(scenario)


def test_an_exit_command_closes_after_the_answer() -> None:
    async def scenario(world: World) -> None:
        await world.greeted()
        world.say(type="listen", state="detect", text="Goodbye, NOW!")
        await world.ended()

    world = in_world(scenario)
    assert world.channel.kinds()[-1] == "tts stop"
    assert world.channel.closed_with == (1000, "said goodbye")


def test_a_device_that_vanishes_takes_its_turn_with_it() -> None:
    async def scenario(world: World) -> None:
        await world.greeted()
        world.say(type="listen", state="detect", text="hi")
        await asyncio.sleep(0.5)
        world.channel.vanish()
        await world.ended()
        assert asyncio.get_running_loop().time() < 1

    world = in_world(scenario)
    assert world.turn.state == "cancelled"
    assert world.listener.calls[-1] == "close"


def test_leaving_waits_for_the_turn() -> None:
    async def scenario(world: World) -> None:
        await world.greeted()
        world.say(type="listen", state="detect", text="hi")
        await asyncio.sleep(0.5)
        world.handler.leave()
        await world.ended()
        assert asyncio.get_running_loop().time() == pytest.approx(1, abs=0.1)

    world = in_world(scenario)
    assert world.turn.state == "done"
    assert world.channel.closed_with == (1001, "server stops")


def test_leaving_without_a_turn_is_at_once() -> None:
    async def scenario(world: World) -> None:
        world.handler.leave()
        await world.ended()

    assert in_world(scenario).channel.closed_with == (1001, "server stops")


def test_leaving_after_the_turn_was_aborted() -> None:
    async def scenario(world: World) -> None:
        await world.greeted()
        world.say(type="listen", state="detect", text="hi")
        await asyncio.sleep(0.5)
        world.handler.leave()
        world.say(type="abort")
        await world.ended()
        assert asyncio.get_running_loop().time() < 1

    in_world(scenario)


def test_a_dropped_connection_ends_without_a_handshake() -> None:
    async def scenario(world: World) -> None:
        await world.greeted()
        world.handler.drop("replaced")
        await world.ended()

    world = in_world(scenario)
    assert world.channel.aborted
    assert world.channel.closed_with is None
    assert world.observer.closed == ["replaced"]


def test_without_a_directory_the_talk_goes_on_and_nothing_is_kept() -> None:
    async def scenario(world: World) -> None:
        world.directory.failure = OSError("no database")
        await world.greeted()
        for _ in range(2):
            world.say(type="listen", state="detect", text="hi")
            await asyncio.sleep(2)
        assert world.directory.asked == 1
        binding = world.turn.context.binding
        assert (binding.owner_id, binding.agent.memory_enabled, binding.agent.history) == (
            f"device:{CONTACT.device_id}",
            False,
            "off",
        )
        world.directory.failure = None
        await asyncio.sleep(10)
        world.say(type="listen", state="detect", text="hi")
        await asyncio.sleep(2)
        assert world.turn.context.binding.agent.memory_enabled
        assert world.turn.context.dialogue is world.turns[0].context.dialogue

    world = in_world(scenario)
    assert world.observer.outcomes == ["done", "done", "done"]


def test_a_frozen_directory_delays_the_first_turn_by_its_deadline_only() -> None:
    async def scenario(world: World) -> None:
        world.directory.delay_s = 3600
        world.say(**HELLO)
        world.say(type="listen", state="detect", text="hi")
        await asyncio.sleep(1.6)
        assert world.channel.kinds()[1] == "tts start"

    in_world(scenario)
