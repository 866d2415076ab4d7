"""Edge cases 42 to 53 and 61 to 64 of the device protocol: aborts, voices that fail, odd messages, the way out.

The 49th, a client that does not read, is in `tests/integration/bounds/`.
"""

import asyncio
import json
import re
from pathlib import Path

import pytest
from loguru import logger

from firmware_sim.cloud import Fault
from firmware_sim.device import State
from firmware_sim.opus import DTX_PACKET
from firmware_sim.websocket import ServerClose
from tests.support.wire_world import SPOKEN, Wire, spoken, wire_world

# The stand-in model says it all back: some twenty seconds of speech, which nobody waits for.
LONG = "Tell it again, and then once more. " * 20
TOOL_RESULT = [{"type": "text", "text": "Tell it again."}]
# A tts stop is promised within 100 ms of an abort; the machine that runs this may be busy.
AT_ONCE_S = 0.5


async def speaking(wire: Wire, text: str = LONG) -> int:
    """A long answer has begun to sound: the place of its first sound."""
    before = len(wire.events)
    wire.type_in(text)
    return await wire.until("audio", after=before)


async def stopped_at_once(wire: Wire, **abort: object) -> int:
    before = len(wire.events)
    asked_at_s = asyncio.get_running_loop().time()
    wire.send(type="abort", **abort)
    stopped = await wire.until("tts stop", after=before)
    assert wire.events[stopped - 1].at_s - asked_at_s < AT_ONCE_S
    return stopped


async def nothing_late(wire: Wire, stopped: int) -> None:
    """The next turn is whole, and nothing but it has come since."""
    events = await wire.turn()
    assert wire.events[stopped:] == events, wire.kinds(stopped)
    assert [event.kind for event in events][:2] == ["stt", "tts start"], wire.kinds(stopped)
    assert not [text for text in wire.texts(stopped) if "again" in text]


async def test_e42_an_abort_stops_speech_at_once_and_nothing_of_it_follows(database_dsn: str, tmp_path: Path) -> None:
    async with wire_world(database_dsn, tmp_path) as world, await world.wire() as wire:
        world.cloud.faults.chat = Fault(step_s=0.005)  # the answer is still coming in when it is aborted
        await speaking(wire)
        stopped = await stopped_at_once(wire)
        await nothing_late(wire, stopped)


async def test_e42_the_device_listens_again_after_an_abort_by_button_or_wake_word(
    database_dsn: str, tmp_path: Path
) -> None:
    async with wire_world(database_dsn, tmp_path) as world, world.device() as device:
        await device.boot()
        await device.listen_start("auto")
        device.send_json(type="listen", state="detect", text=LONG)
        await device.wait_speaking()
        device.abort()
        await device.wait_message("tts", state="stop")
        assert (await device.next_reply()).aborted
        assert (await device.say_packets(spoken(), mode="auto")).stt == SPOKEN
        device.send_json(type="listen", state="detect", text=LONG)
        await device.wait_speaking()
        await device.wake(mode="realtime")
        assert (await device.say_packets(spoken(), mode="realtime")).stt == SPOKEN
        assert not device.violations


async def test_e43_e44_every_abort_is_answered_with_one_stop_and_harms_nothing(
    database_dsn: str, tmp_path: Path
) -> None:
    async with wire_world(database_dsn, tmp_path) as world, await world.wire() as wire:
        for _ in range(2):  # idle
            await stopped_at_once(wire)
        wire.listen("start", mode="auto")
        await stopped_at_once(wire)  # listening
        wire.send_sound(spoken() + [DTX_PACKET] * 20)
        heard = await wire.until("stt", text=SPOKEN)
        await wire.until("tts start", after=heard)
        first = await stopped_at_once(wire)  # thinking or speaking
        assert await stopped_at_once(wire) == first + 1  # the same again
        await wire.turn()
        ended = len(wire.events)
        await stopped_at_once(wire)  # it crosses the stop of a turn that has just ended
        assert wire.kinds(ended) == ["tts stop"]
        await wire.turn()


async def test_e45_what_an_aborted_turn_waited_for_is_not_spoken_later(database_dsn: str, tmp_path: Path) -> None:
    async with wire_world(database_dsn, tmp_path) as world, await world.wire() as wire:
        world.cloud.faults.chat = Fault(delay_s=0.3, times=1)
        wire.type_in(LONG)
        await wire.until("stt")
        stopped = await stopped_at_once(wire)
        await nothing_late(wire, stopped)
        world.cloud.faults.transcription = Fault(delay_s=0.3, times=1)
        wire.say(spoken())
        await wire.fence()
        stopped = await stopped_at_once(wire)
        # Turns call no tools yet: what there can be of one is the answer of a device, to nobody.
        wire.send(type="mcp", payload={"jsonrpc": "2.0", "id": 1, "result": {"content": TOOL_RESULT, "isError": False}})
        await nothing_late(wire, stopped)
        assert SPOKEN not in [event.field("text") for event in wire.events]


async def test_e46_the_reason_of_an_abort_changes_nothing(database_dsn: str, tmp_path: Path) -> None:
    reasons: list[dict[str, object]] = [{}]
    reasons += [{"reason": reason} for reason in ("wake_word_detected", "x" * 5000, None, 5)]
    async with wire_world(database_dsn, tmp_path) as world, await world.wire() as wire:
        for reason in reasons:
            await speaking(wire)
            await stopped_at_once(wire, **reason)
        await nothing_late(wire, len(wire.events))


async def test_e47_a_voice_that_gives_no_sound_still_ends_what_it_began(database_dsn: str, tmp_path: Path) -> None:
    async with wire_world(database_dsn, tmp_path, voice="cloud") as world, world.device() as device:
        await device.boot()
        for fault in (Fault(mode="empty"), Fault(status=500), Fault(mode="garbage"), Fault(mode="cut")):
            world.cloud.faults.speech = fault
            reply = await device.say_text("Hi")
            assert reply.finished
            assert device.state is State.IDLE
            assert reply.sentences
            assert reply.alerts or fault.mode == "garbage", "what could not be said is to be read"
        world.cloud.faults.clear()
        assert (await device.say_text("Hi")).frames > 0
        assert not device.violations


async def test_e48_a_voice_that_stalls_is_given_up_after_its_limit(database_dsn: str, tmp_path: Path) -> None:
    async with (
        wire_world(database_dsn, tmp_path, {"tts_timeout": 0.3}, voice="cloud") as world,
        await world.wire() as wire,
    ):
        world.cloud.faults.speech = Fault(mode="stall_midway")
        wire.type_in("Hi")
        stopped = await wire.until("tts stop")
        started = await wire.until("tts start")
        assert wire.kinds(0, stopped).count("tts start") == 1
        assert wire.events[stopped - 1].at_s - wire.events[started - 1].at_s < 5
        world.cloud.faults.clear()
        await wire.turn()


MARKDOWN = "# Title 😀 **bold** `code` [a link](http://x.example/y) | cell | 🎉 " + "word " * 150 + "字" * 300


async def test_e50_long_texts_are_split_and_shown_without_emoji_and_markdown(database_dsn: str, tmp_path: Path) -> None:
    async with wire_world(database_dsn, tmp_path, voice="cloud") as world, await world.wire() as wire:
        world.cloud.faults.speech = Fault(status=500)  # so that it is all shown at once
        wire.type_in(MARKDOWN)
        stopped = await wire.until("tts stop")
        texts = wire.texts(0, stopped)
        assert "".join(texts).count("字") == 300
        assert " ".join(texts).count("word") == 150
        assert max(map(len, texts)) <= 240
        assert max(text.count("字") for text in texts) <= 120
        assert not re.search(r"[😀🎉#*`|\[\]]|http", " ".join(texts))


async def test_e51_a_device_that_is_idle_can_be_spoken_to_and_listens_then(database_dsn: str, tmp_path: Path) -> None:
    async with (
        wire_world(database_dsn, tmp_path, {"enable_greeting": True}) as world,
        world.device() as device,
    ):
        await device.boot()
        await device.connect()
        device.send_json(type="listen", state="detect", text="你好小智")  # and no listen start
        reply = await device.next_reply()
        assert reply.finished
        assert reply.frames > 0
        await device.wait_live()
        assert (await device.say_packets(spoken(), mode="auto")).stt == SPOKEN
        assert not device.violations


async def test_e52_an_alert_comes_when_everything_has_been_played(database_dsn: str, tmp_path: Path) -> None:
    async with wire_world(database_dsn, tmp_path, voice="cloud") as world, await world.wire() as wire:
        world.cloud.faults.speech = Fault(mode="cut_midway")
        wire.type_in("Hi")
        await wire.until("tts stop")
        world.cloud.faults.speech = Fault(status=500)
        before = len(wire.events)
        wire.type_in("Hi")
        stopped = await wire.until("tts stop", after=before)
        assert wire.kinds(before, stopped)[-2:] == ["alert", "tts stop"]
        for place, event in enumerate(wire.events):
            if event.kind == "alert":
                sounds = [sound.at_s for sound in wire.events[:place] if sound.kind == "audio"]
                assert "audio" not in wire.kinds(place, place + 2)
                assert not sounds or event.at_s >= sounds[-1] + 0.06 - 0.02


async def test_e53_a_farewell_is_heard_to_its_end_before_the_connection_closes(
    database_dsn: str, tmp_path: Path
) -> None:
    async with wire_world(database_dsn, tmp_path) as world, await world.wire() as wire:
        wire.type_in("Goodbye!")
        await wire.until("closed")
        kinds = wire.kinds()
        assert kinds[-2:] == ["tts stop", "closed"]
        sounds = [event for event in wire.events if event.kind == "audio"]
        played_s = len(sounds) * 0.06
        assert wire.events[-2].at_s - sounds[0].at_s >= played_s - 0.05
        assert wire.events[-1].what == ServerClose(1000, "said goodbye")


ODD_TEXTS = {
    "unknown type": '{"type":"quantum"}',
    "unknown and long": json.dumps({"type": "q" * 5000}),
    "array": "[]",
    "array of messages": '[{"type":"abort"}]',
    "number": "5",
    "null": "null",
    "text": '"abort"',
    "no JSON": "abort",
    "empty": "",
    "half": '{"type":"listen","state":',
    "no type": "{}",
    "type is no text": '{"type":5}',
    "deep": '{"type":"mcp","payload":' + '{"a":' * 5000 + "1" + "}" * 5001,
    "deeper": "[" * 60_000,
    "NaN": '{"type":"hello","version":NaN}',
    "infinity": '{"type":"listen","state":"detect","text":1e999}',
    "big number": '{"type":"hello","version":' + "9" * 5000 + "}",
    "half a pair": '{"type":"\\ud800"}',
    "control": '{"type":"\\u0000\\n"}',
    "twice": '{"type":"abort","type":"quantum"}',
    "wide": '{"type":"quantum","x":"' + "字" * 20_000 + '"}',
    "wrong fields": '{"type":"listen","state":["start"],"mode":{},"text":7}',
    "detect of a number": '{"type":"listen","state":"detect","text":{}}',
}


async def test_e61_odd_messages_cost_one_log_line_and_no_session(database_dsn: str, tmp_path: Path) -> None:
    lines: list[str] = []
    async with wire_world(database_dsn, tmp_path) as world, await world.wire() as wire:
        sink = logger.add(lambda message: lines.append(str(message)), level="INFO", format="{message}")
        try:
            for _ in range(3):
                for text in ODD_TEXTS.values():
                    wire.send_text(text)
                wire.send_invalid_utf8(b'{"type":"abort\xff"}')
            fence = await wire.fence()
        finally:
            logger.remove(sink)
        assert wire.kinds(0, fence) == ["hello", "pong"]
        await wire.turn()
    ignored = [line for line in lines if line.startswith("ignored")]
    assert len(ignored) == len(set(ignored)) <= len(ODD_TEXTS)
    assert "ignored: unknown type\n" in ignored
    assert all(len(line) < 200 for line in lines)


async def test_e62_no_session_id_of_a_device_counts_for_anything(database_dsn: str, tmp_path: Path) -> None:
    async with wire_world(database_dsn, tmp_path) as world:
        async with await world.wire() as stale:
            old = stale.events[0].field("session_id")
        async with await world.wire() as wire:
            for number, session_id in enumerate([old, "", None, 5, {"a": 1}, "'; DROP TABLE sessions; --"]):
                before = len(wire.events)
                wire.send(type="listen", state="detect", text=f"{LONG}{number}", session_id=session_id)
                await wire.until("tts start", after=before)
                wire.send(type="abort", session_id=session_id)
                await wire.until("tts stop", after=before)
            before = len(wire.events)
            wire.send(type="listen", state="start", mode="manual")
            wire.send_sound(spoken())
            wire.send(type="listen", state="stop", session_id="")
            await wire.until("tts stop", after=await wire.until("stt", after=before, text=SPOKEN))
            own = {event.field("session_id") for event in wire.events if event.kind not in ("audio", "closed")}
            assert len(own) == 1
            assert own != {old}


@pytest.mark.parametrize("busy", [False, True], ids=["E63-idle", "E63-speaking"])
async def test_e63_a_goodbye_over_the_websocket_closes_politely(database_dsn: str, tmp_path: Path, busy: bool) -> None:
    async with wire_world(database_dsn, tmp_path) as world, await world.wire() as wire:
        if busy:
            await speaking(wire)
        wire.send(type="goodbye", session_id="x")
        closed = await wire.until("closed")
        close = wire.events[closed - 1].what
        assert isinstance(close, ServerClose)
        assert close.code == 1000


async def test_e64_legacy_iot_messages_change_nothing(database_dsn: str, tmp_path: Path) -> None:
    lamp = {"name": "Lamp", "description": "A lamp", "properties": {}, "methods": {}}
    async with wire_world(database_dsn, tmp_path) as world, await world.wire() as wire:
        wire.send(type="iot", update=True, descriptors=[lamp])
        wire.send(type="iot", states=[{"name": "Lamp", "state": {"on": True}}])
        wire.send(type="iot", descriptors="lamp")
        fence = await wire.fence()
        assert wire.kinds(0, fence) == ["hello", "pong"]
        await wire.turn()
