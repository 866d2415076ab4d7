"""Edge cases 19 to 33 of the device protocol: when the microphone counts, and when it does not."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from firmware_sim.device import Habits, SimulatedDevice
from firmware_sim.errors import ChannelClosedError
from tests.support.connection_fakes import World
from tests.support.edge_client import EdgeClient, edge_client, quiet, spoken
from tests.support.edge_world import EdgeWorld, edge_world, soon_idle, until
from tests.support.virtual_time import run_virtual
from xiaozhi_server.options import connection_options
from xiaozhi_server.settings import Settings

ONE_REPLY = ["tts start", "tts stop"]
MODES = ("manual", "auto", "realtime")


@pytest_asyncio.fixture
async def world(database_dsn: str, tmp_path: Path) -> AsyncIterator[EdgeWorld]:
    async with edge_world(database_dsn, tmp_path) as world:
        yield world


Case = Callable[[EdgeWorld, EdgeClient, str], Awaitable[None]]


async def in_each(choices: Sequence[str], dsn: str, folder: Path, case: Case, **overrides: object) -> None:
    """The case for each choice, at the same time: one device each, in one world."""

    async def one(world: EdgeWorld, number: int, choice: str) -> None:
        async with edge_client(world.url, device_id=f"device-{number}") as client:
            await case(world, client, choice)

    settings = {key.replace("__", "."): value for key, value in overrides.items()}
    async with edge_world(dsn, folder, settings) as world, asyncio.TaskGroup() as group:
        for number, choice in enumerate(choices):
            group.create_task(one(world, number, choice))


def replies_in(client: EdgeClient) -> list[str]:
    return [kind for kind in client.kinds if kind in ONE_REPLY]


async def is_understood(client: EdgeClient, text: str) -> None:
    """The next thing that the recogniser made out is this, and it is answered."""
    assert (await client.wait("stt"))["text"] == text
    assert await client.reply() == f"You said: {text}"


async def says(client: EdgeClient, text: str, mode: str = "manual") -> None:
    """One whole spoken turn."""
    client.listen("start", mode=mode)
    client.send_binary(*spoken(text))
    if mode == "manual":
        client.listen("stop")
    else:
        client.send_binary(*quiet())
    await is_understood(client, text)


# --- start and stop ---


async def test_e19_a_start_while_listening_begins_again(database_dsn: str, tmp_path: Path) -> None:
    async def case(world: EdgeWorld, client: EdgeClient, mode: str) -> None:
        client.listen("start", mode=mode)
        client.listen("start", mode=mode)
        client.send_binary(*spoken("Thank you."))
        await says(client, "Stop.", mode)
        assert replies_in(client) == ONE_REPLY
        assert client.kinds.count("stt") == 1

    await in_each(MODES, database_dsn, tmp_path, case)


async def test_e20_a_start_while_the_server_speaks_is_barge_in(database_dsn: str, tmp_path: Path) -> None:
    async def case(world: EdgeWorld, client: EdgeClient, mode: str) -> None:
        client.listen("start", mode="manual")
        client.send_binary(*spoken("Thank you."))
        client.listen("stop")
        await client.wait("tts", state="start")
        await client.wait("tts", state="sentence_start")
        client.listen("start", mode=mode)
        await client.wait("tts", state="stop")
        await client.settled()
        assert replies_in(client) == ONE_REPLY
        assert client.kinds[-2:] == ["tts stop", "pong"]
        client.send_binary(*spoken("Stop."), *quiet())
        if mode == "manual":
            client.listen("stop")
        await client.wait("stt", text="Stop.")
        between = client.kinds[client.kinds.index("tts stop") : client.kinds.index("stt", 3)]
        assert "audio" not in between
        assert await client.reply() == "You said: Stop."
        assert await world.metric("xiaozhi_turns_total", outcome="interrupted") > 0

    await in_each(MODES, database_dsn, tmp_path, case)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("think_s", [0.0, 60.0], ids=["speaking", "thinking"])
def test_e20_what_an_interrupted_turn_still_sends_does_not_reach_the_device(mode: str, think_s: float) -> None:
    """The turn of this test goes on sending after it was cancelled: a start, a sentence, sound and a stop."""

    async def scenario() -> list[str]:
        async with World(connection_options(Settings())) as world:
            await world.greeted()
            world.script.think_s, world.script.speak_s = think_s, 60.0
            world.say(type="listen", state="detect", text="Tell me a story")
            await asyncio.sleep(2)
            world.say(type="listen", state="start", mode=mode)
            await asyncio.sleep(2)
            assert world.turn.state == "cancelled", "it has said its late things"
            return world.channel.kinds()

    spoken_before = ["tts start", "tts sentence_start", "audio", "tts stop"]
    assert run_virtual(scenario()) == ([] if think_s else spoken_before)


async def test_e20_a_simulated_button_press_while_it_speaks(world: EdgeWorld) -> None:
    async with SimulatedDevice(world.server.ota_url, habits=Habits(mic_speed=20)) as device:
        await device.boot()
        await device.listen_start("manual")
        await device.speak(spoken("Thank you."))
        device.listen_stop()
        await device.wait_speaking()
        reply = await device.say_packets(spoken("Stop."), mode="manual")
        assert reply.stt == "Stop."
        assert reply.finished
        assert not device.violations


async def test_e21_a_stop_without_a_start_or_twice_is_ignored(world: EdgeWorld) -> None:
    async with edge_client(world.url) as client:
        client.listen("stop")
        client.listen("stop")
        client.listen("start", mode="manual")
        client.send_binary(*spoken("Stop."))
        client.listen("stop")
        client.listen("stop")
        await is_understood(client, "Stop.")
        client.listen("stop")
        await client.settled()
        assert replies_in(client) == ONE_REPLY
        await says(client, "Thank you.")
        assert world.heard == 2


async def test_e22_a_stop_with_next_to_no_sound_asks_nobody(world: EdgeWorld) -> None:
    async with edge_client(world.url) as client:
        for frames in ([], spoken("Stop.")[:3], [b"\x58"] * 3, quiet(3)):
            client.listen("start", mode="manual")
            client.send_binary(*frames)
            client.listen("stop")
            await client.settled()
        await says(client, "Stop.")
        assert client.kinds.count("stt") == 1
        assert replies_in(client) == ONE_REPLY
        assert world.heard == 1


async def test_e23_a_recording_that_nobody_ends_is_capped(database_dsn: str, tmp_path: Path) -> None:
    assert Settings().hearing.max_utterance_manual_s == 60
    async with (
        edge_world(database_dsn, tmp_path, {"hearing.max_utterance_manual_s": 1.2}) as world,
        edge_client(world.url) as client,
    ):
        client.listen("start", mode="manual")
        endless = spoken("Stop.") + quiet(400)
        await until(lambda: _goes_on(world, client, endless), "the recording is ended")
        await is_understood(client, "Stop.")
        assert seconds_of(world.cloud.requests[0].body) < 2.4  # sound is looked at in pieces of up to a second
        client.send_binary(*spoken("Good morning."))
        client.listen("stop")  # the button is released at last
        client.listen("start", mode="manual")
        client.send_binary(*spoken("Thank you."))  # and then neither a frame nor a stop: the clock alone ends it
        await is_understood(client, "Thank you.")
        await says(client, "Stop.")
        assert world.heard == 3


async def _goes_on(world: EdgeWorld, client: EdgeClient, packets: list[bytes]) -> bool:
    """There is always more, until somebody was asked what was said."""
    client.send_binary(packets.pop(0))
    return any(request.service == "transcription" for request in world.cloud.requests)


def seconds_of(upload: dict[str, Any]) -> float:
    return (int(upload["bytes"]) - 44) / 2 / 16_000


async def test_e24_an_unknown_state_is_ignored(world: EdgeWorld) -> None:
    async with edge_client(world.url) as client:
        for odd in ({"state": "pause"}, {"state": 1}, {"state": None}, {"state": ["start"]}, {}):
            client.send(type="listen", mode="manual", **odd)
        client.send_binary(*spoken("Good morning."))
        await client.settled()
        await says(client, "Stop.")
        assert world.heard == 1


async def test_e24_an_unknown_mode_is_auto(database_dsn: str, tmp_path: Path) -> None:
    async def case(world: EdgeWorld, client: EdgeClient, mode: str) -> None:
        client.send_text(f'{{"type":"listen","state":"start"{mode}}}')
        client.send_binary(*spoken("Stop."), *quiet())
        await is_understood(client, "Stop.")

    odd = ("", ',"mode":"telepathy"', ',"mode":7', ',"mode":null')
    await in_each(odd, database_dsn, tmp_path, case)


# --- wake words and typed text ---


async def test_e25_a_detect_without_text_is_no_question(world: EdgeWorld) -> None:
    async with edge_client(world.url) as client:
        for odd in ({}, {"text": ""}, {"text": "  \n"}, {"text": None}, {"text": 5}, {"text": ["Stop."]}):
            client.listen("detect", **odd)
        await client.settled()
        await says(client, "Stop.", "auto")
        assert replies_in(client) == ONE_REPLY
        assert world.thought == 1


async def test_e26_a_wake_word_is_known_however_it_is_written(world: EdgeWorld) -> None:
    async with edge_client(world.url) as client:
        for word in ("Hi,ESP", "hi esp", "ＨＩ　ＥＳＰ！", "你好，小智！", " 你好 小智 ", "Computer."):
            client.listen("detect", text=word)
        await client.settled()
        await says(client, "Stop.", "auto")
        assert replies_in(client) == ONE_REPLY
        assert world.thought == 1


async def test_e27_a_detect_with_other_text_is_a_question(world: EdgeWorld) -> None:
    async with edge_client(world.url) as client:
        for text in ("Stop.", "Thank you."):
            client.ask(text)
            await is_understood(client, text)
        assert (world.heard, world.thought) == (0, 2)


async def test_e28_a_quote_in_the_wake_word_costs_the_message_and_not_the_session(world: EdgeWorld) -> None:
    async with SimulatedDevice(world.server.ota_url, habits=Habits(mic_speed=20)) as device:
        await device.boot()
        await device.wake('say "hi"')
        reply = await device.say_packets(spoken("Stop."), mode="auto")
        assert reply.stt == "Stop."
        assert world.thought == 1
        assert await world.metric("xiaozhi_messages_ignored_total", reason="not JSON") == 1


async def test_e29_detect_and_start_are_one_turn_in_either_order(database_dsn: str, tmp_path: Path) -> None:
    """A wake word, which is greeted; and typed text, which is answered."""

    async def case(world: EdgeWorld, client: EdgeClient, choice: str) -> None:
        text, mode, order = choice.split("/")
        for step in order.split(","):
            if step == "detect":
                client.listen("detect", text=text)
            else:
                client.listen("start", mode=mode)
            await client.settled()  # a few milliseconds apart
        if text == "Stop.":
            await is_understood(client, "Stop.")
        else:
            assert await client.reply() == "Hello, I am listening."
        client.send_binary(*spoken("Thank you."), *quiet())
        await is_understood(client, "Thank you.")
        assert replies_in(client) == ONE_REPLY * 2
        assert await world.metric("xiaozhi_turns_total", outcome="interrupted") == 0

    choices = itertools.product(("Hi,ESP", "Stop."), ("auto", "realtime"), ("detect,start", "start,detect"))
    await in_each([*map("/".join, choices)], database_dsn, tmp_path, case, enable_greeting=True)


async def test_e30_the_sound_of_the_wake_word_is_no_utterance(world: EdgeWorld) -> None:
    burst = (spoken("Good morning.") * 3)[:33]
    async with edge_client(world.url, early=burst) as client:  # a fresh connection
        client.listen("detect", text="Hi,ESP")
        await says(client, "Stop.", "auto")
        assert world.heard == 1
        await says(client, "Stop.", "manual")
        client.send_binary(*burst)  # idle on an open channel
        client.listen("detect", text="Hi,ESP")
        await says(client, "Stop.", "auto")
        assert world.heard == 3
        client.send_binary(*burst)  # while it listens
        client.listen("detect", text="Hi,ESP")
        client.send_binary(*spoken("Stop."), *quiet())
        await is_understood(client, "Stop.")
        assert world.heard == 4
        assert client.kinds.count("stt") == 4


# --- what does not count ---


async def test_e31_what_follows_a_stop_is_discarded(world: EdgeWorld) -> None:
    async with edge_client(world.url) as client:
        client.listen("start", mode="manual")
        client.send_binary(*spoken("Stop."))
        client.listen("stop")
        client.send_binary(*spoken("Good morning."), *quiet())
        await is_understood(client, "Stop.")
        client.send_binary(*spoken("Good morning."), *quiet())
        await client.settled()
        await says(client, "Thank you.")
        assert world.heard == 2


async def test_e31_in_auto_mode_nothing_is_heard_while_the_server_speaks(world: EdgeWorld) -> None:
    async with edge_client(world.url) as client:
        client.listen("start", mode="auto")
        client.send_binary(*spoken("Stop."), *quiet())
        await client.wait("tts", state="start")
        client.send_binary(*spoken("Good morning."), *quiet())
        await client.wait("tts", state="stop")
        client.send_binary(*spoken("Thank you."), *quiet())  # the device listens on without a new start
        await client.wait("stt", text="Stop.")
        await is_understood(client, "Thank you.")
        assert world.heard == 2
        assert replies_in(client) == ONE_REPLY * 2


@pytest.mark.parametrize("mode", ["auto", "realtime"])
def test_e32_when_nobody_speaks_it_says_goodbye_and_closes(mode: str) -> None:
    async def scenario() -> tuple[float, World]:
        async with World(connection_options(Settings())) as world:
            await world.greeted()
            world.say(type="listen", state="start", mode=mode)
            while world.channel.closed_with is None:
                world.channel.come(b"\x58")  # silence goes on and on
                await asyncio.sleep(0.06)
            return asyncio.get_running_loop().time(), world

    closed_at, world = run_virtual(scenario())
    assert 60 <= closed_at <= 120
    assert world.announced() == ["Goodbye, see you soon."]
    assert world.channel.kinds() == ["tts start", "tts sentence_start", "audio", "tts stop"]
    assert world.channel.closed_with == (1000, "said goodbye")


@pytest.mark.parametrize("mode", ["auto", "realtime"])
async def test_e32_whoever_only_sends_silence_hears_the_goodbye_and_then_a_close_frame(
    mode: str, database_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soon_idle(monkeypatch)
    async with edge_world(database_dsn, tmp_path) as world, edge_client(world.url) as client:
        client.listen("start", mode=mode)
        silence = asyncio.create_task(_keep_silent(client))
        assert await client.reply() == "Goodbye, see you soon."
        close = await client.wait_closed()
        await silence
        assert close is not None
        assert (close.code, close.reason) == (1000, "said goodbye")
        assert replies_in(client) == ONE_REPLY
        assert "audio" in client.kinds
        assert (world.heard, world.thought) == (0, 0)


async def _keep_silent(client: EdgeClient) -> None:
    """As a microphone does in an empty room, for as long as there is a connection."""
    with suppress(ChannelClosedError):
        while client.close is None:
            client.send_binary(*quiet(1))
            await asyncio.sleep(0.06)


async def test_e33_endless_speech_is_cut_into_utterances(database_dsn: str, tmp_path: Path) -> None:
    assert Settings().hearing.max_utterance_s == 30

    async def case(world: EdgeWorld, client: EdgeClient, mode: str) -> None:
        client.listen("start", mode=mode)
        endless = spoken("Good morning good morning good morning good morning good morning good morning") * 20
        await until(lambda: _goes_on(world, client, endless), "the utterance is cut")
        assert all(seconds_of(request.body) < 1.5 for request in world.cloud.requests if "bytes" in request.body)

    for mode in ("auto", "realtime"):
        await in_each([mode], database_dsn, tmp_path / mode, case, hearing__max_utterance_s=1)
