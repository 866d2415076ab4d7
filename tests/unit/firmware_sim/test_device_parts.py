"""The parts of the simulated device that need no connection: frames, codec, playback, websocket framing, settings."""

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.bootstrap import Identity, Storage, activation_body, client_id_for, read_answer
from firmware_sim.errors import BootError, ConnectError, DeviceCrashError
from firmware_sim.frames import FrameLayout
from firmware_sim.handshake import Habits, SessionParams, device_hello, session_params, upgrade_headers
from firmware_sim.http_client import HttpAnswer
from firmware_sim.microphone import Microphone
from firmware_sim.opus import (
    DTX_PACKET,
    decode_speech,
    encode_speech,
    packet_duration_ms,
    quiet_packet,
    silence_packet,
)
from firmware_sim.playback import Playback
from firmware_sim.websocket import apply_mask, parse_url
from tests.support.virtual_time import run_virtual

LOUD = bytes(100)


@given(st.binary(max_size=300), st.sampled_from([1, 2, 3]))
def test_frames_come_back_as_they_were(payload: bytes, version: int) -> None:
    layout = FrameLayout(version)
    assert layout.unpack(layout.pack(payload)).payload == payload


def test_frame_layouts_are_those_of_the_protocol() -> None:
    assert FrameLayout(1).pack(b"ab") == b"ab"
    assert FrameLayout(2).pack(b"ab", 7).hex() == "0002" + "0000" + "00000000" + "00000007" + "00000002" + "6162"
    assert FrameLayout(3).pack(b"ab").hex() == "0000" + "0002" + "6162"


@pytest.mark.parametrize(("version", "message"), [(2, bytes(15)), (3, b"\0\0\0"), (3, b"\0\0\0\2x")])
def test_frames_that_lie_about_their_length_crash(version: int, message: bytes) -> None:
    with pytest.raises(DeviceCrashError):
        FrameLayout(version).unpack(message)


@given(st.binary(max_size=500), st.binary(min_size=4, max_size=4))
def test_masking_twice_changes_nothing(payload: bytes, mask: bytes) -> None:
    assert apply_mask(apply_mask(payload, mask), mask) == payload


def test_addresses_are_read_as_the_firmware_reads_them() -> None:
    url = parse_url("ws://host:8000/a/b?c=1")
    assert (url.host, url.port, url.path, url.tls) == ("host", 8000, "/a/b?c=1", False)
    assert (parse_url("wss://host").port, parse_url("ws://host").path) == (443, "/")
    with pytest.raises(DeviceCrashError):
        parse_url("ws://host/path:with-colon")


def test_silence_becomes_dtx_and_is_refreshed() -> None:
    packets = [quiet_packet(index) for index in range(15)]
    assert packets[:4] == [silence_packet()] * 4
    assert packets[4:7] == [DTX_PACKET] * 3
    assert packets[7] == silence_packet()
    assert {packet_duration_ms(packet) for packet in packets} == {60}
    assert len(decode_speech(packets, 16_000)[0]) == 15 * 960 * 2


@pytest.mark.parametrize("frame_ms", [20, 40, 60])
def test_packets_tell_their_duration(frame_ms: int) -> None:
    packets = encode_speech(bytes(16_000), frame_ms=frame_ms)
    assert {packet_duration_ms(packet) for packet in packets} == {frame_ms}
    assert packet_duration_ms(b"") == 0


def test_garbage_is_counted_not_raised() -> None:
    _, errors = decode_speech([b"\xff" * 7, silence_packet()], 24_000)
    assert errors == 1


def test_playback_on_time_has_no_underrun() -> None:
    playback = Playback(60)
    for index in range(10):
        playback.push(LOUD, max(0.0, (index - 4) * 0.06))
    assert (playback.underruns, playback.overflows, playback.max_outstanding) == (0, 0, 5)
    assert playback.empty_at_s == pytest.approx(0.6)


def test_playback_counts_gaps_once_sound_has_begun() -> None:
    playback = Playback(60)
    playback.push(b"quiet", 0.0)
    playback.push(LOUD, 0.5)
    playback.push(LOUD, 0.7)
    assert playback.underruns == 1
    assert playback.underrun_ms == pytest.approx(140)
    assert playback.first_sound_at_s == 0.5


def test_playback_loses_the_newest_packet_when_full() -> None:
    playback = Playback(60)
    for _ in range(50):
        playback.push(LOUD, 0.0)
    assert (len(playback.packets), playback.overflows) == (44, 6)


def test_microphone_keeps_an_absolute_clock() -> None:
    sent: list[tuple[float, bytes]] = []

    async def speak() -> float:
        loop = asyncio.get_running_loop()
        microphone = Microphone(lambda packet: sent.append((loop.time(), packet)))
        microphone.switch_on(lambda: None)
        await microphone.speak([b"one", b"two", b"three"])
        spoken_at = loop.time()
        await asyncio.sleep(0.3)
        microphone.switch_off()
        return spoken_at

    assert run_virtual(speak()) == pytest.approx(0.24)
    assert [packet for _, packet in sent[:3]] == [b"one", b"two", b"three"]
    assert [at for at, _ in sent] == pytest.approx([0.12 + 0.06 * index for index in range(len(sent))])


def test_microphone_switched_off_releases_who_speaks() -> None:
    async def speak() -> None:
        microphone = Microphone(lambda _: None)
        microphone.switch_on(lambda: None)
        asyncio.get_running_loop().call_later(0.2, microphone.switch_off)
        await microphone.speak([b"x"] * 100)
        assert asyncio.get_running_loop().time() == pytest.approx(0.2)

    run_virtual(speak())


def answered(body: object, status: int = 200) -> HttpAnswer:
    return HttpAnswer(status, json.dumps(body).encode())


def test_settings_outlive_an_answer_that_leaves_them_out() -> None:
    storage = Storage()
    storage.keep(read_answer(answered({"websocket": {"url": "ws://a:1/", "version": 3, "flag": True}}), "2.4.2"))
    storage.keep(read_answer(answered({"websocket": {"token": "t"}}), "2.4.2"))
    assert (storage.url(), storage.token(), storage.version()) == ("ws://a:1/", "t", 3)
    assert "flag" not in storage.websocket
    assert upgrade_headers(Identity("m", "c"), storage)["Authorization"] == "Bearer t"


@pytest.mark.parametrize(
    "body",
    [
        {"websocket": {"a-key-of-16-chars": "x"}},
        {"websocket": {"url": "x" * 4000}},
        {"websocket": {}, "firmware": {"version": "v2.0", "url": ""}},
    ],
)
def test_answers_that_make_hardware_reboot(body: object) -> None:
    with pytest.raises(DeviceCrashError):
        read_answer(answered(body), "2.4.2")


@pytest.mark.parametrize(
    "answer", [answered({}, 201), answered([]), HttpAnswer(200, b"<html>"), HttpAnswer(200, b"[" * 8000)]
)
def test_answers_that_are_failures(answer: HttpAnswer) -> None:
    with pytest.raises(BootError):
        read_answer(answer, "2.4.2")


def test_firmware_is_compared_number_by_number() -> None:
    def upgrade(version: str, **more: object) -> bool:
        firmware = {"version": version, "url": "http://x/", **more}
        return read_answer(answered({"firmware": firmware}), "2.4.2").upgrade

    assert upgrade("2.10.0")
    assert upgrade("2.4.2.1")
    assert not upgrade("2.4.2")
    assert upgrade("1.0", force=1)
    assert not upgrade("1.0", force=True)


def test_without_an_address_there_is_no_connection() -> None:
    with pytest.raises(ConnectError):
        Storage().url()


def test_activation_body_is_signed_by_chips_with_a_serial_number() -> None:
    assert activation_body(Identity("m", "c"), "ch") == {}
    signed = activation_body(Identity("m", "c", serial_number="s" * 32, hmac_key=b"k"), "ch")
    assert signed["challenge"] == "ch"
    assert len(signed["hmac"]) == 64


def test_a_device_comes_back_as_itself() -> None:
    assert client_id_for("aa") == client_id_for("aa") != client_id_for("bb")


def test_hello_sets_what_it_says_and_leaves_the_rest() -> None:
    params = session_params({"session_id": "s", "audio_params": {"sample_rate": 16_000}}, SessionParams())
    assert params == SessionParams("s", 16_000, 60)
    for odd in ("loud", True, None, float("nan")):
        assert session_params({"audio_params": {"sample_rate": odd}}, params) == params
    assert device_hello(Habits(aec=True, mcp=False), 2)["features"] == {"aec": True, "glyph_push": False}
