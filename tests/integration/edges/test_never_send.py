"""What a server must never send (section 8 of the device protocol), because devices crash, reboot or hang on it.

Each is provoked as well as a client can, against the whole server.
"""

import asyncio
import json
import re
import struct
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import make_mocked_request

from firmware_sim.bootstrap import read_answer
from firmware_sim.cloud import Fault
from firmware_sim.cloud.faults import Service
from firmware_sim.http_client import HttpAnswer
from firmware_sim.websocket import ServerClose, parse_url
from tests.support.running_server import RunningServer, running_server
from tests.support.wire_world import DEADLINE_S, HELLO, SPOKEN, Event, Wire, WireWorld, spoken, wire_world
from xiaozhi_server.http.firmware import FirmwareShelf
from xiaozhi_server.http.ota import OtaHandler, OtaOptions
from xiaozhi_server.settings import Files, SettingsError, load_settings

MAC = "02:00:00:00:0e:08"
SAFE_TEXT_BYTES = 8 * 1024

HELLOS: tuple[dict[str, object], ...] = (
    {"type": "hello"},
    {"type": "hello", "transport": "udp"},
    {"type": "hello", "transport": None, "version": "x"},
    {"type": "hello", "transport": {"a": 1}, "audio_params": {"sample_rate": -1, "frame_duration": 1e9, "format": 5}},
    {"type": "hello", "session_id": 'a"b\\', "device_id": 'a"b\\', "audio_params": {"sample_rate": 44_100}},
    {"type": "hello", "version": 3, "features": ["mcp"], "audio_params": [1]},
    {**HELLO, "audio_params": {"format": "pcm", "sample_rate": 8_000, "frame_duration": 20}},
)


async def greetings(server: RunningServer) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for hello in HELLOS:
        async with await Wire.open(server, mac='a"b\\c') as wire:
            wire.send(**hello)
            greeted = await wire.until("hello")
            what = wire.events[greeted - 1].what
            assert isinstance(what, dict)
            found.append(what)
    return found


async def test_never_a_hello_that_a_device_cannot_take(database_dsn: str, tmp_path: Path) -> None:
    """Without a string `transport` it reboots; an odd session id breaks its messages; odd numbers make it mute."""
    async with running_server(database_dsn, tmp_path) as server:
        for hello in await greetings(server):
            assert hello["transport"] == "websocket"
            assert re.fullmatch(r"[A-Za-z0-9-]{1,64}", hello["session_id"])
            audio = {"format": "opus", "sample_rate": 24_000, "channels": 1, "frame_duration": 60}
            assert hello["audio_params"] == audio


async def test_never_a_second_or_a_late_hello(database_dsn: str, tmp_path: Path) -> None:
    async with wire_world(database_dsn, tmp_path, {"limits.hello_timeout_s": 0.2}) as world:
        async with await world.wire() as wire:
            for _ in range(3):
                wire.send(**HELLO)
            await wire.fence()
            await wire.turn()
            wire.send(**HELLO)
            await wire.fence()
            assert wire.kinds().count("hello") == 1
        async with await Wire.open(world.server) as wire:
            closed = await wire.until("closed")
            assert isinstance(wire.events[closed - 1].what, ServerClose)
            assert wire.kinds() == ["closed"]


ODD_VERSIONS = ("2.4.2", "v2.0", "2.x", "", "2..1", "-1.0", "9" * 400, "1.2\n", "２.4", None, 5, ["2"], {"a": 1})
ODD_HOSTS = ("a:b", "[::1]:80", "[::1]", "x:99999", "x:", ":80", "h", "h:8003", "a:b:c", "u@h", "x" * 4000, "e%20f")


async def ota_answers(server: RunningServer) -> list[tuple[str, HttpAnswer]]:
    found: list[tuple[str, HttpAnswer]] = []
    async with aiohttp.ClientSession() as session:

        async def ask(path: str, headers: dict[str, str], body: bytes, method: str = "POST") -> None:
            url = f"{server.http_url}{path}"
            async with session.request(method, url, headers=headers, data=body) as answer:
                if "Content-Length" in answer.headers or answer.headers.get("Transfer-Encoding") == "chunked":
                    found.append((f"{path} {headers}"[:300], HttpAnswer(answer.status, await answer.read())))

        who = {"Device-Id": MAC, "Client-Id": "c" * 7000}
        for version in ODD_VERSIONS:
            asked = {"application": {"version": version}, "board": {"type": "board-x", "ssid": "s" * 9000}}
            await ask("/xiaozhi/ota/", who, json.dumps(asked).encode())
        for host in ODD_HOSTS:
            asked = {"application": {"version": "1.0.0"}, "board": {"type": "board-x"}}
            await ask("/xiaozhi/ota/", {**who, "Host": host}, json.dumps(asked).encode())
        await ask("/xiaozhi/ota/", {"Device-Id": "d" * 7000}, b"")
        await ask("/xiaozhi/ota/", {}, b"x" * 100_000)
        await ask("/xiaozhi/ota/", {**who, "Accept-Language": "l" * 7000, "User-Agent": "u" * 7000}, b"{}", "GET")
        await ask("/xiaozhi/ota/activate", who, b"x" * 100_000)
        await ask("/xiaozhi/ota/activate", {}, b"{}")
        await ask("/" + "p" * 7000, who, b"{}")
        await ask("/xiaozhi/ota/", who, b"{}", "DELETE")
    return found


async def test_never_an_ota_answer_that_freezes_or_loops_a_device(database_dsn: str, tmp_path: Path) -> None:
    """8 KiB freeze it; long keys or values, odd versions and odd addresses crash it at every boot; mqtt misleads it."""
    shelf = tmp_path / "data" / "bin"
    shelf.mkdir(parents=True)
    for name in ("board-x_1.0.1.bin", "board-x_v2.0.bin", "board-x_2.x.bin", "board-x_.bin", "board-x_3:4.bin"):
        (shelf / name).write_bytes(b"firmware")
    async with running_server(database_dsn, tmp_path) as server:
        answers = await ota_answers(server)
    assert len(answers) > len(ODD_VERSIONS) + len(ODD_HOSTS)
    assert any(b"/board-x_1.0.1.bin" in answer.body for _, answer in answers)
    for asked, answer in answers:
        assert 0 < len(answer.body) < 8192, asked
        if answer.status == 200 and "activate" not in asked:
            check_document(asked, answer)


def check_document(asked: str, answer: HttpAnswer) -> None:
    """`read_answer` and `parse_url` crash where a device would."""
    taken = read_answer(answer, "0.0.1")
    assert "mqtt" not in taken.raw, asked
    assert taken.raw.keys() <= {"server_time", "websocket", "firmware"}, asked
    url = str(taken.settings["url"])
    assert 0 < parse_url(url).port < 65_536, (asked, url)
    assert url.partition("://")[2].count(":") == 1, (asked, url)
    firmware = taken.raw.get("firmware", {"version": "1.0.0", "url": ""})
    assert re.fullmatch(r"[0-9]+(\.[0-9]+)*", firmware["version"]), asked
    assert firmware["url"] or not taken.firmware_url
    if firmware["url"]:
        assert firmware["version"] == "1.0.1"
        assert 0 < parse_url(firmware["url"]).port < 65_536, (asked, firmware)


class DualStack(asyncio.Transport):
    """A connection over IPv4 to a socket that listens on both."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("::ffff:192.168.1.5", 8003, 0, 0) if name == "sockname" else default


async def test_never_an_ipv6_address_with_its_colons(tmp_path: Path) -> None:
    handler = OtaHandler(OtaOptions(websocket_port=8000), FirmwareShelf(tmp_path), lambda _: None)
    request = make_mocked_request("POST", "/", {"Device-Id": MAC, "Host": "[fe80::1]:8003"}, transport=DualStack())
    body = (await handler.answer(request)).body
    assert isinstance(body, bytes)
    assert json.loads(body)["websocket"]["url"] == "ws://192.168.1.5:8000/xiaozhi/v1/"


def test_never_an_address_too_long_to_be_kept() -> None:
    with pytest.raises(SettingsError, match=r"server\.websocket"):
        load_settings(Files(), environ={}, overrides={"server.websocket": ("test", "ws://h:1/" + "x" * 1_000)})


async def test_never_a_header_that_promises_more_than_the_frame_holds(database_dsn: str, tmp_path: Path) -> None:
    async def hear(world: WireWorld, version: int) -> None:
        async with await world.wire(mac=f"version-{version}", version=version) as wire:
            await wire.turn()
            frames = [event.what for event in wire.events if isinstance(event.what, bytes)]
            assert frames
            assert all(is_exact(frame, version) for frame in frames)

    async with wire_world(database_dsn, tmp_path) as world:
        await asyncio.gather(hear(world, 2), hear(world, 3))


def is_exact(frame: bytes, version: int) -> bool:
    if version == 2:
        number, kind, reserved, _, size = struct.unpack_from(">HHIII", frame)
        return (number, kind, reserved, size) == (2, 0, 0, len(frame) - 16)
    kind, reserved, size = struct.unpack_from(">BBH", frame)
    return (kind, reserved, size) == (0, 0, len(frame) - 4)


async def until(holds: Callable[[], bool]) -> None:
    """Look again and again at something that tells nobody when it changes."""
    async with asyncio.timeout(DEADLINE_S):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def interrupted_by_abort(wire: Wire) -> None:
    wire.type_in("Hello there")
    await wire.until("audio")
    wire.send(type="abort")


async def interrupted_by_listening(wire: Wire) -> None:
    wire.type_in("Hello there")
    await wire.until("audio")
    await asyncio.sleep(1.0)  # what comes within a second of a `detect` belongs to it
    wire.listen("start", mode="manual")
    wire.listen("stop")


async def interrupted_by_typing(wire: Wire) -> None:
    for _ in range(5):
        wire.type_in("Hello there")
    await wire.until("audio")
    wire.type_in("Hello there")


async def ended_by_a_farewell(wire: Wire) -> None:
    wire.type_in("Goodbye!")
    await wire.until("closed")


async def spoken_nothing(wire: Wire) -> None:
    wire.say([b"\x58"] * 10)


ENDINGS = (interrupted_by_abort, interrupted_by_listening, interrupted_by_typing, ended_by_a_farewell, spoken_nothing)
NOTHING = Fault(mode="empty")
FAULTS: tuple[tuple[tuple[Service, Fault], ...], ...] = (
    (
        ("transcription", Fault(mode="garbage")),
        ("transcription", Fault(status=400)),
        ("transcription", NOTHING),
        ("chat", Fault(status=400)),
        ("chat", Fault(mode="cut_midway")),
        ("chat", NOTHING),
    ),
    (("speech", Fault(status=400)), ("speech", Fault(mode="cut_midway")), ("speech", NOTHING)),
)


async def test_never_a_start_without_its_stop_nor_sound_outside_of_them(database_dsn: str, tmp_path: Path) -> None:
    async def end(world: WireWorld, number: int) -> None:
        async with await world.wire(mac=f"ending-{number}") as wire:
            await ENDINGS[number](wire)
            if not wire.kinds().count("closed"):
                await wire.turn()
            check_speech(wire.events)

    async with wire_world(database_dsn, tmp_path, voice="cloud") as world, asyncio.TaskGroup() as devices:
        for number in range(len(ENDINGS)):
            devices.create_task(end(world, number))


async def test_never_a_start_without_its_stop_whatever_fails(database_dsn: str, tmp_path: Path) -> None:
    async with wire_world(database_dsn, tmp_path, voice="cloud") as world, AsyncExitStack() as stack:
        wires = [await stack.enter_async_context(await world.wire(mac=f"fault-{number}")) for number in range(9)]
        free = iter(wires)
        for faults in FAULTS:  # each is met by one device and by nobody else
            async with asyncio.TaskGroup() as ends:
                for service, fault in faults:
                    wire = next(free)
                    await meet(world, wire, service, fault)
                    if (service, fault) != ("transcription", NOTHING):  # what nobody understood is not answered
                        ends.create_task(wire.until("tts stop"))
        await asyncio.gather(*(wire.turn() for wire in wires))
        for wire in wires:
            check_speech(wire.events)


async def meet(world: WireWorld, wire: Wire, service: Service, fault: Fault) -> None:
    asked = world.cloud.counts[service]
    setattr(world.cloud.faults, service, replace(fault, times=1))
    wire.say(spoken()) if service == "transcription" else wire.type_in(SPOKEN)
    await until(lambda: world.cloud.counts[service] > asked)


def check_speech(events: list[Event]) -> None:
    """Each start has its stop, each stop but the answer to an abort its start, all sound lies between the two."""
    speaking = False
    for event in events:
        if event.kind == "tts start":
            assert not speaking
            speaking = True
        elif event.kind == "tts stop":
            speaking = False
        elif event.kind in ("audio", "tts sentence_start"):
            assert speaking, [one.kind for one in events]
    assert not speaking, [one.kind for one in events]


HUGE = ("A" * 4000, "字" * 4000, "\U0001f600" * 2000 + "x", '\x07\x1f"\\' * 1000 + "x", "<b>" * 1300 + "x")


async def test_never_a_huge_text_frame(database_dsn: str, tmp_path: Path) -> None:
    async with wire_world(database_dsn, tmp_path, voice="cloud") as world, await world.wire() as wire:
        world.cloud.faults.speech = Fault(status=500)  # all that would be spoken is shown at once, and as an alert
        for text in HUGE:
            before = len(wire.events)
            wire.type_in(text)
            await wire.until("tts stop", after=before)
        assert {"stt", "tts sentence_start", "alert"} <= set(wire.kinds())
        assert max(event.size for event in wire.events) < SAFE_TEXT_BYTES
