"""The simulated device against a scripted server: what it sends, how it reacts, what it counts."""

import asyncio
import json

import pytest

from firmware_sim.device import Habits, SimulatedDevice, State
from firmware_sim.errors import (
    ChannelClosedError,
    ConnectError,
    DeviceCrashError,
    HelloTimeoutError,
    MessageTooLongError,
    NoReplyError,
    UnansweredError,
)
from firmware_sim.opus import DTX_PACKET, encode_speech
from firmware_sim.tools import Tool
from tests.support.scripted_server import ScriptedServer, ScriptedSession, tone_packets
from tests.support.virtual_time import run_virtual

QUICK = Habits(mic_speed=20, warm_up_s=0)
SPEECH = tone_packets(10, sample_rate=16_000)
LOUD_PACKET = tone_packets(2)[1]


async def greet_and_answer(session: ScriptedSession) -> None:
    await session.greet()
    while True:
        await session.expect("listen", state="detect")
        await session.answer()


async def only_greet(session: ScriptedSession) -> None:
    await session.greet()
    await session.expect("never")


async def booted(server: ScriptedServer, habits: Habits = QUICK, mac: str = "aa:bb:cc:dd:ee:ff") -> SimulatedDevice:
    device = SimulatedDevice(server.ota_url, mac=mac, habits=habits)
    await device.boot()
    return device


async def test_boot_posts_who_it_is_and_keeps_the_address() -> None:
    async with ScriptedServer(only_greet) as server, SimulatedDevice(server.ota_url, mac="aa:bb:cc:00:11:22") as device:
        answer = await device.boot()
        headers, body = server.ota_requests[0]
        assert headers["Device-Id"] == body["mac_address"] == "aa:bb:cc:00:11:22"
        assert headers["Client-Id"] == body["uuid"] == device.identity.client_id
        assert headers["Activation-Version"] == "1"
        assert device.storage.url() == server.websocket_url
        assert not answer.upgrade
        assert device.state is State.IDLE


async def test_upgrade_request_has_the_firmwares_headers_in_alphabetical_order() -> None:
    async with ScriptedServer(only_greet) as server:
        device = await booted(server)
        device.storage.websocket["token"] = "abc"
        await device.connect()
        names = [name for name, _ in server.sessions[0].headers]
        headers = dict(server.sessions[0].headers)
        assert names[0] == "Host"
        assert names[1:] == sorted(names[1:])
        assert headers["Host"] == "127.0.0.1"
        assert headers["Authorization"] == "Bearer abc"
        assert headers["Protocol-Version"] == "1"
        assert "Sec-WebSocket-Extensions" not in headers
        assert server.sessions[0].texts[0]["features"] == {"mcp": True, "glyph_push": False}
        assert device.session_id == "s-1"
        await device.hang_up()


@pytest.mark.parametrize("version", [1, 2, 3])
async def test_typed_turn_is_answered_in_every_version(version: int) -> None:
    async def script(session: ScriptedSession) -> None:
        heads = {1: b"", 2: bytes([0, 2, 0, 0] + [0] * 8 + [0, 0]), 3: bytes([0, 0])}
        packets = tone_packets(6)
        await session.greet()
        await session.expect("listen", state="detect", text="How are you?")
        tail = 2 if version > 1 else 0
        await session.answer(
            "Fine.", [heads[version] + (len(packet).to_bytes(2, "big") if tail else b"") + packet for packet in packets]
        )
        await session.expect("never")

    async with ScriptedServer(script, version=version) as server:
        device = await booted(server)
        reply = await device.say_text("How are you?")
        assert (reply.stt, reply.text, reply.emotion) == ("what was heard", "Fine.", "happy")
        assert (reply.frames, reply.dropped, reply.overflows, reply.unplayable) == (6, 0, 0, 0)
        assert reply.decode_errors == 0
        assert len(reply.pcm) == 6 * 1440 * 2
        assert reply.finished
        assert device.state is State.IDLE
        assert json.dumps(reply.report())
        await device.hang_up()


async def test_manual_speech_is_framed_by_start_and_stop() -> None:
    async def script(session: ScriptedSession) -> None:
        await session.greet()
        await session.expect("listen", state="start", mode="manual")
        await session.expect("listen", state="stop")
        assert session.packets == SPEECH
        await session.answer()
        await session.expect("never")

    async with ScriptedServer(script) as server:
        device = await booted(server)
        reply = await device.say_packets(SPEECH, mode="manual")
        assert reply.frames == 5
        assert reply.timings.start_s is not None
        assert reply.timings.start_s >= 0
        assert device.state is State.IDLE
        await device.hang_up()


async def test_auto_mode_goes_on_with_silence_and_listens_again_after_the_reply() -> None:
    starts_at: list[float] = []

    async def script(session: ScriptedSession) -> None:
        await session.greet()
        await session.expect("listen", state="start", mode="auto")
        await session.expect_packets(len(SPEECH) + 8)
        assert session.packets[: len(SPEECH)] == SPEECH
        assert DTX_PACKET in session.packets[len(SPEECH) :]
        await session.answer(packets=tone_packets(4))
        starts_at.append(asyncio.get_running_loop().time())
        await session.expect("listen", state="start", mode="auto")
        starts_at.append(asyncio.get_running_loop().time())
        await session.expect("never")

    async with ScriptedServer(script) as server:
        device = await booted(server)
        await device.say_packets(SPEECH)
        assert device.state is State.LISTENING
        await device.wait_live()
        await device.hang_up()
    # Four packets of 60 ms came at once: they are heard to their end before the microphone opens.
    assert starts_at[1] - starts_at[0] > 0.15


async def test_realtime_keeps_the_microphone_on_while_speaking() -> None:
    async def script(session: ScriptedSession) -> None:
        await session.greet()
        await session.expect("listen", state="start", mode="realtime")
        await session.expect_packets(len(SPEECH))
        await session.send(type="tts", state="start")
        count = len(session.packets)
        await session.expect_packets(count + 10)
        await session.send(type="tts", state="stop")
        await session.expect_packets(count + 20)
        assert [text["state"] for text in session.texts if text["type"] == "listen"] == ["start"]
        await session.send(type="alert", status="done", message="done", emotion="happy")
        await session.expect("never")

    async with ScriptedServer(script) as server:
        device = await booted(server)
        await device.say_packets(SPEECH, mode="realtime")
        await device.wait_message("alert")
        await device.hang_up()


async def test_button_abort_stays_speaking_until_stop() -> None:
    async def script(session: ScriptedSession) -> None:
        await session.greet()
        await session.send(type="tts", state="start")
        await session.expect("abort")
        assert "reason" not in session.texts[-1]
        await session.send_bytes(tone_packets(1)[0])
        await session.send(type="tts", state="stop")
        await session.expect("never")

    async with ScriptedServer(script) as server:
        device = await booted(server)
        await device.connect()
        await device.wait_message("tts", state="start")
        device.abort()
        assert device.state is State.SPEAKING
        reply = await device.next_reply()
        assert reply.aborted
        assert reply.frames == 1
        await device.hang_up()


async def test_push_to_talk_while_speaking_aborts_and_ignores_the_late_stop() -> None:
    async def script(session: ScriptedSession) -> None:
        await session.greet()
        await session.send(type="tts", state="start")
        await session.expect("abort")
        await session.expect("listen", state="start", mode="manual")
        await session.send(type="tts", state="stop")
        await session.expect("never")

    async with ScriptedServer(script) as server:
        device = await booted(server)
        await device.connect()
        await device.wait_message("tts", state="start")
        await device.listen_start("manual")
        await device.wait_message("tts", state="stop")
        assert device.state is State.LISTENING
        assert (await device.next_reply()).aborted
        await device.hang_up()


async def test_wake_word_sends_burst_detect_and_start() -> None:
    async def script(session: ScriptedSession) -> None:
        await session.greet()
        await session.expect("listen", state="detect", text="Hi, ESP")
        assert len(session.packets) == 33
        await session.expect("listen", state="start", mode="auto")
        await session.send(type="tts", state="start")
        await session.expect("abort", reason="wake_word_detected")
        await session.send(type="tts", state="stop")
        await session.expect("listen", state="start", mode="auto")
        await session.expect("never")

    async with ScriptedServer(script) as server:
        device = await booted(server)
        await device.wake("Hi, ESP", packets=SPEECH * 4)
        await device.wait_message("tts", state="start")
        await device.wake()
        assert device.state is State.LISTENING
        await device.hang_up()


async def test_audio_outside_speaking_is_dropped_and_counted() -> None:
    async def script(session: ScriptedSession) -> None:
        await session.greet()
        await session.expect("listen", state="detect")
        await session.send_bytes(tone_packets(1)[0])
        await session.answer(packets=[*tone_packets(2), tone_packets(1, frame_ms=40)[0], b""])
        await session.expect("never")

    async with ScriptedServer(script) as server:
        device = await booted(server)
        reply = await device.say_text("hello")
        assert (reply.dropped, reply.frames, reply.unplayable) == (1, 3, 1)
        assert device.dropped_frames == 1
        await device.hang_up()


async def test_audio_before_the_main_task_has_started_speaking_is_lost() -> None:
    async with ScriptedServer(greet_and_answer) as server:
        device = await booted(server, Habits(main_task_delay_s=0.05))
        reply = await device.say_text("hello")
        assert (reply.dropped, reply.frames) == (5, 0)
        await device.hang_up()


def test_forty_packets_in_the_queue_and_four_on_the_way_are_all_that_fits() -> None:
    async def script(session: ScriptedSession) -> None:
        await session.greet()
        await session.expect("listen", state="detect")
        await session.answer(packets=tone_packets(50))
        await session.expect("never")

    async def talk() -> None:
        async with ScriptedServer(script) as server:
            device = await booted(server)
            reply = await device.say_text("hello")
            assert (reply.frames, reply.overflows, reply.max_outstanding) == (44, 6, 44)
            await device.hang_up()

    run_virtual(talk())


def test_a_gap_in_the_sound_is_an_underrun() -> None:
    async def script(session: ScriptedSession) -> None:
        await session.greet()
        await session.expect("listen", state="detect")
        await session.send(type="tts", state="start")
        for pause_s in (0.0, 0.06, 0.16, 0.06):
            await asyncio.sleep(pause_s)
            await session.send_bytes(LOUD_PACKET)
        await session.send(type="tts", state="stop")
        await session.expect("never")

    async def talk() -> None:
        async with ScriptedServer(script) as server:
            device = await booted(server)
            reply = await device.say_text("hello")
            assert (reply.frames, reply.underruns, round(reply.underrun_ms)) == (4, 1, 100)
            await device.hang_up()

    run_virtual(talk())


async def test_no_reply_is_an_error_that_tells_what_came() -> None:
    async with ScriptedServer(only_greet) as server:
        device = await booted(server)
        with pytest.raises(NoReplyError, match=r"within 0\.1 s"):
            await device.say_text("hello", timeout_s=0.1)
        await device.hang_up()


async def test_device_drops_tcp_without_a_close_frame() -> None:
    codes: list[int | None] = []

    async def script(session: ScriptedSession) -> None:
        await session.greet()
        await session.connection.wait_closed()
        codes.append(session.connection.close_code)

    async with ScriptedServer(script) as server:
        device = await booted(server)
        await device.connect()
        await device.hang_up()
        assert not device.connected
        assert device.state is State.IDLE
    assert codes == [1006]


async def test_a_close_frame_is_not_echoed() -> None:
    async def script(session: ScriptedSession) -> None:
        await session.greet()
        await session.expect("listen", state="detect")
        await session.connection.close(1000, "idle")

    async with ScriptedServer(script) as server:
        device = await booted(server)
        with pytest.raises(ChannelClosedError, match="1000"):
            await device.say_text("hello")
        close = await device.wait_closed()
        assert close is not None
        assert close.code == 1000
        # The scripted server waited for an echo that did not come.
        assert server.sessions[0].connection.close_code == 1006
        await device.hang_up()


async def test_next_use_after_a_close_opens_a_new_session() -> None:
    async def script(session: ScriptedSession) -> None:
        await session.greet()
        await session.expect("listen", state="detect")
        await session.answer()

    async with ScriptedServer(script) as server:
        device = await booted(server)
        await device.say_text("one")
        await device.wait_closed()
        await device.say_text("two")
        assert len(server.sessions) == 2
        await device.hang_up()


async def test_no_hello_is_a_timeout_and_the_next_use_connects_anew() -> None:
    async def script(session: ScriptedSession) -> None:
        if len(server.sessions) > 1:
            await greet_and_answer(session)
        await session.expect("never")

    async with ScriptedServer(script) as server:
        device = await booted(server, Habits(hello_timeout_s=0.1))
        with pytest.raises(HelloTimeoutError):
            await device.connect()
        assert device.state is State.IDLE
        assert (await device.say_text("hello")).finished
        await device.hang_up()


async def test_a_second_hello_stays_latched_for_the_next_connection() -> None:
    async def script(session: ScriptedSession) -> None:
        await session.greet()
        await session.expect("ready")
        await session.send(type="hello", transport="websocket", session_id="s-2")
        await session.send(type="custom")
        await session.expect("never")

    async with ScriptedServer(script) as server:
        device = await booted(server)
        await device.connect()
        device.send_json(type="ready")
        await device.wait_message("custom")
        await device.connect()
        assert any("left over" in violation for violation in device.violations)
        await device.hang_up()


async def test_hello_without_transport_crashes_the_device() -> None:
    async def script(session: ScriptedSession) -> None:
        await session.send(type="hello")
        await session.expect("never")

    async with ScriptedServer(script) as server:
        device = await booted(server)
        with pytest.raises(DeviceCrashError, match="transport"):
            await device.connect()
        with pytest.raises(DeviceCrashError):
            await device.connect()
        await device.boot()
        assert device.crashed is None
        await device.hang_up()


async def test_a_length_that_lies_crashes_the_device() -> None:
    async def script(session: ScriptedSession) -> None:
        await session.greet()
        await session.send(type="tts", state="start")
        await session.send_bytes(bytes([0, 0, 255, 255, 1]))
        await session.expect("never")

    async with ScriptedServer(script, version=3) as server:
        device = await booted(server)
        with pytest.raises(DeviceCrashError, match="payload_size"):
            await device.say_text("hello")
        await device.hang_up()


async def test_strange_messages_are_noted_and_survived() -> None:
    async def script(session: ScriptedSession) -> None:
        await session.greet()
        for text in ("[]", "5", "nonsense", '{"type":7}'):
            await session.connection.send(text)
        await session.send(type="unheard-of")
        await greet_and_answer_later(session)

    async def greet_and_answer_later(session: ScriptedSession) -> None:
        await session.expect("listen", state="detect")
        await session.answer()
        await session.expect("never")

    async with ScriptedServer(script) as server:
        device = await booted(server)
        assert (await device.say_text("hello")).finished
        assert len(device.violations) == 5
        await device.hang_up()


async def test_ping_is_answered_and_fragments_are_joined() -> None:
    async def script(session: ScriptedSession) -> None:
        await session.greet()
        await asyncio.wait_for(await session.connection.ping(), 2)
        await session.connection.send(['{"type":"tts",', '"state":"start"}'])
        await session.send(type="tts", state="stop")
        await session.expect("never")

    async with ScriptedServer(script) as server:
        device = await booted(server)
        await device.connect()
        assert (await device.next_reply()).frames == 0
        await device.hang_up()


async def test_tools_are_listed_and_called() -> None:
    results: list[dict[str, object]] = []

    async def call(session: ScriptedSession, number: int, method: str, **params: object) -> None:
        payload = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        await session.send(type="mcp", payload=payload)
        results.append((await session.expect("mcp"))["payload"])

    async def script(session: ScriptedSession) -> None:
        await session.greet()
        await call(session, 1, "tools/list")
        await call(session, 2, "tools/call", name="self.lamp.set", arguments={"on": True})
        await session.send(type="custom")
        await session.expect("never")

    lamp = Tool("self.lamp.set", "Switches the lamp.", lambda arguments: arguments["on"], {"on": {"type": "boolean"}})
    async with ScriptedServer(script) as server:
        device = SimulatedDevice(server.ota_url, habits=QUICK, tools=[lamp])
        await device.boot()
        await device.connect()
        await device.wait_message("custom")
        assert "self.lamp.set" in json.dumps(results[0])
        assert results[1]["result"] == {"content": [{"type": "text", "text": "true"}], "isError": False}
        assert device.tools.calls == [("self.lamp.set", {"on": True})]
        await device.hang_up()


async def test_a_device_without_tools_does_not_answer_calls() -> None:
    async def script(session: ScriptedSession) -> None:
        await session.greet()
        await session.send(type="mcp", payload={"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
        await greet_nobody_but_answer(session)

    async def greet_nobody_but_answer(session: ScriptedSession) -> None:
        await session.expect("listen", state="detect")
        await session.answer()
        await session.expect("never")

    async with ScriptedServer(script) as server:
        device = await booted(server, Habits(mcp=False))
        await device.say_text("hello")
        assert [text["type"] for text in server.sessions[0].texts] == ["hello", "listen"]
        assert len(device.violations) == 1
        await device.hang_up()


async def test_what_nobody_began_to_answer_can_be_said_again() -> None:
    async def script(session: ScriptedSession) -> None:
        await session.greet()
        await session.expect("listen", state="detect")
        if len(server.sessions) == 1:
            await session.connection.close(1000, "idle")
        elif len(server.sessions) == 2:
            await session.send(type="stt", text="heard")
            await session.send(type="tts", state="start")
            session.connection.transport.abort()
        else:
            await session.answer()
        await session.connection.wait_closed()

    async with ScriptedServer(script) as server:
        device = await booted(server)
        with pytest.raises(UnansweredError):
            await device.say_text("one")
        with pytest.raises(ChannelClosedError) as cut:
            await device.say_text("two")
        assert not isinstance(cut.value, UnansweredError)
        assert (await device.say_text("three")).finished
        await device.hang_up()


async def test_a_text_that_is_too_long_is_not_sent_and_the_session_goes_on() -> None:
    async with ScriptedServer(greet_and_answer) as server:
        device = await booted(server)
        with pytest.raises(MessageTooLongError):
            await device.say_text("x" * 65_536)
        assert device.state is State.IDLE
        assert (await device.say_text("short")).finished
        assert len(server.sessions) == 1
        await device.hang_up()


async def test_a_reboot_on_command_needs_a_boot_before_the_next_session() -> None:
    async def script(session: ScriptedSession) -> None:
        await session.greet()
        await session.send(type="system", command="reboot")
        await session.connection.wait_closed()

    async with ScriptedServer(script) as server:
        device = await booted(server)
        await device.connect()
        await device.wait_closed()
        assert device.state is State.STARTING
        with pytest.raises(ConnectError, match="booted"):
            await device.connect()
        await device.boot()
        await device.connect()
        await device.hang_up()


def test_what_waits_for_the_main_task_when_it_hangs_up_is_lost() -> None:
    async def script(session: ScriptedSession) -> None:
        await session.greet()
        await session.expect("ready")
        await session.send(type="tts", state="start")
        await session.connection.wait_closed()

    async def talk() -> None:
        async with ScriptedServer(script) as server:
            device = await booted(server, Habits(main_task_delay_s=0.05))
            await device.connect()
            device.send_json(type="ready")
            await asyncio.sleep(0.04)
            assert device.received[-1]["type"] == "tts"
            await device.hang_up()
            await asyncio.sleep(1)
            assert device.state is State.IDLE

    run_virtual(talk())


@pytest.mark.parametrize(("sample_rate", "frame_duration"), [(44_100, 60), (24_000, 30)])
async def test_a_sound_format_without_decoder_is_silence(sample_rate: int, frame_duration: int) -> None:
    async def script(session: ScriptedSession) -> None:
        await session.greet(sample_rate=sample_rate, frame_duration=frame_duration)
        await session.expect("listen", state="detect")
        await session.answer()
        await session.expect("never")

    async with ScriptedServer(script) as server:
        device = await booted(server)
        reply = await device.say_text("hello")
        assert reply.pcm == b""
        assert any("no decoder" in violation for violation in device.violations)
        await device.hang_up()


async def test_mqtt_in_the_answer_leads_the_device_away() -> None:
    def ota(_: object) -> dict[str, object]:
        return {"mqtt": {}, "websocket": {"url": "ws://127.0.0.1:1/"}}

    async with ScriptedServer(only_greet, ota=ota) as server:
        device = await booted(server)
        with pytest.raises(ConnectError, match="MQTT"):
            await device.connect()


async def test_a_refused_upgrade_is_cannot_connect() -> None:
    async with ScriptedServer(only_greet) as server:
        device = await booted(server)
        device.storage.websocket["url"] = server.ota_url.replace("http", "ws")
        with pytest.raises(ConnectError, match="405"):
            await device.connect()
        assert device.state is State.IDLE


async def test_many_devices_talk_in_one_process() -> None:
    async def one(server: ScriptedServer) -> int:
        async with SimulatedDevice(server.ota_url, habits=QUICK) as device:
            await device.boot()
            return (await device.say_text("hello")).frames

    async with ScriptedServer(greet_and_answer) as server:
        frames = await asyncio.gather(*(one(server) for _ in range(50)))
        assert frames == [5] * 50


def test_encoding_gives_one_packet_a_frame() -> None:
    assert len(encode_speech(bytes(16_000 * 2))) == 17
