"""Edge cases 1 to 18 of the device protocol: how a device comes in, says hello, is replaced, vanishes and is let go."""

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import pytest_asyncio
from aiohttp import ClientSession

from firmware_sim.cloud import Fault
from firmware_sim.device import Habits, SimulatedDevice
from firmware_sim.errors import ChannelClosedError, ConnectError
from firmware_sim.frames import FrameLayout
from firmware_sim.opus import packet_duration_ms
from tests.support.connection_fakes import Stage, World
from tests.support.edge_client import HELLO, MAC, EdgeClient, edge_client, quiet, spoken
from tests.support.edge_world import EdgeWorld, edge_world, soon_idle, until
from tests.support.log_lines import log_lines
from tests.support.running_server import running_server
from tests.support.virtual_time import run_virtual
from xiaozhi_server.core.websocket_server import WebSocketServer
from xiaozhi_server.options import connection_options, server_options
from xiaozhi_server.settings import Settings
from xiaozhi_server.store.database import Database, DatabaseOptions
from xiaozhi_server.store.pairings import PairingStore

OTHER_MAC = "02:00:00:00:00:02"
# What the protocol grants to things that shall be over in about a second, on a machine that has other things to do.
ABOUT_A_SECOND_S = 3.0


@pytest_asyncio.fixture
async def world(database_dsn: str, tmp_path: Path) -> AsyncIterator[EdgeWorld]:
    async with edge_world(database_dsn, tmp_path) as world:
        yield world


async def has_a_turn(client: EdgeClient) -> None:
    client.ask("Stop.")
    assert await client.reply() == "You said: Stop."


async def refusal(url: str, headers: dict[str, str]) -> str:
    with pytest.raises(ConnectError) as refused:
        await EdgeClient.open(url, headers)
    return str(refused.value)


# --- coming in ---


async def test_e01_a_wrong_or_missing_token_is_refused_before_the_upgrade(database_dsn: str, tmp_path: Path) -> None:
    async with (
        running_server(database_dsn, tmp_path, {"server.auth.enabled": True}) as server,
        SimulatedDevice(server.ota_url, mac=MAC, habits=Habits(mic_speed=20)) as device,
    ):
        await device.boot()
        client_id = device.identity.client_id
        for token in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "wrong"}, {"Authorization": "Bearer "}):
            headers = {"Device-Id": MAC, "Client-Id": client_id, **token}
            assert "401" in await refusal(server.websocket_url, headers)
        await device.connect()
        assert device.connected


async def test_e01_on_the_bare_socket_a_revoked_device_reads_403_and_a_wrong_token_401(
    database_dsn: str, tmp_path: Path
) -> None:
    async with running_server(database_dsn, tmp_path, {"server.auth.enabled": True}) as server:
        headers = {"Device-Id": MAC, "Client-Id": "raw"}
        async with ClientSession() as http, http.post(server.ota_url, headers=headers) as answer:
            good = headers | {"Authorization": f"Bearer {(await answer.json())['websocket']['token']}"}
        await revoke(database_dsn, MAC)
        for sent, status in ((good, "403 Forbidden"), (headers | {"Authorization": "Bearer x"}, "401 Unauthorized")):
            head, _, body = (await http_answer(server.websocket_port, upgrade_request(sent))).partition("\r\n\r\n")
            status_line, *lines = head.split("\r\n")
            assert status_line == f"HTTP/1.1 {status}"
            assert f"Content-Length: {len(body)}" in lines, "and then TCP has ended: nothing follows the answer"
            assert body.isascii() and body.endswith("\n")


def upgrade_request(headers: dict[str, str]) -> str:
    key = {"Connection": "Upgrade", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version": "13"}
    lines = [f"{name}: {value}" for name, value in (headers | key | {"Upgrade": "websocket"}).items()]
    return "\r\n".join(("GET /xiaozhi/v1/ HTTP/1.1", *lines))


async def revoke(dsn: str, device_id: str) -> None:
    database = await Database.open(dsn, options=DatabaseOptions(pool_min=1))
    assert await PairingStore(database).revoke(device_id)
    await database.close()


async def test_e02_a_device_names_itself_in_a_header_or_in_the_query_or_not_at_all(world: EdgeWorld) -> None:
    assert "400" in await refusal(world.url, {})
    assert "400" in await refusal(world.url, {"Device-Id": "  "})
    assert "400" in await refusal(f"{world.url}?client-id=x", {"Client-Id": "x"})
    query = f"?device-id={quote(MAC)}&client-id=web&authorization=Bearer%20x"
    async with edge_client(world.url + query, {}) as client:
        await has_a_turn(client)
    assert world.rows("SELECT id, client_id FROM device") == [(MAC, "web")]


async def test_e03_an_odd_device_id_is_made_safe_and_is_the_same_everywhere(world: EdgeWorld) -> None:
    kept_as = {
        "AA:BB:CC:00:11:FF": "aa:bb:cc:00:11:ff",
        "AA-bb-CC-00-11-fe": "aa:bb:cc:00:11:fe",
        "aabbcc0011fd": "aa:bb:cc:00:11:fd",
        "../../etc/passwd": "%2F..%2Fetc%2Fpasswd",
        "x'; DROP TABLE device; --": "x%27%3B%20drop%20table%20device%3B%20--",
        "小智": "%E5%B0%8F%E6%99%BA",
        "小明": "%E5%B0%8F%E6%98%8E",
    }
    for sent in kept_as:
        async with ClientSession() as http, http.post(world.server.ota_url, headers={"Device-Id": sent}) as answer:
            assert answer.status == 200
        async with (
            edge_client(world.url, {"Device-Id": sent}) as client,
            edge_client(f"{world.url}?device-id={quote(sent)}", {}) as again,
        ):
            assert await client.wait_closed() is None, f"{sent!r} was taken for two devices"
            await again.settled()
    await has_a_turn_as(world, "小智")

    async def all_kept() -> bool:
        return sorted(world.rows("SELECT id FROM device")) == sorted((kept,) for kept in kept_as.values())

    await until(all_kept, "each device is kept once")


async def has_a_turn_as(world: EdgeWorld, device_id: str) -> None:
    async with edge_client(world.url, device_id=device_id) as client:
        await has_a_turn(client)


async def test_e04_only_the_versions_2_and_3_mean_other_frames(database_dsn: str, tmp_path: Path) -> None:
    async def talk(world: EdgeWorld, number: int, header: str | None, hello_version: int, layout: FrameLayout) -> None:
        mac = f"02:00:00:00:04:{number:02x}"
        headers = {"Device-Id": mac} | ({} if header is None else {"Protocol-Version": header})
        async with edge_client(world.url, headers, greet=False) as client:
            await client.greet(**{**HELLO, "version": hello_version})
            client.listen("start", mode="manual")
            client.send_binary(*map(layout.pack, spoken("Stop.")))
            client.listen("stop")
            assert (await client.wait("stt"))["text"] == "Stop."
            await client.reply()
            packets = [layout.unpack(packet).payload for packet in client.packets]
            assert {packet_duration_ms(packet) for packet in packets} == {60}

    raw, second, third = FrameLayout(1), FrameLayout(2), FrameLayout(3)
    async with edge_world(database_dsn, tmp_path) as world, asyncio.TaskGroup() as group:
        for number, header in enumerate((None, "0", "1", "9", "abc", "-2", "3.0")):
            group.create_task(talk(world, number, header, 1, raw))
        group.create_task(talk(world, 10, "2", 2, second))
        group.create_task(talk(world, 11, "3", 3, third))
        group.create_task(talk(world, 12, "2", 1, second))  # the header wins
        group.create_task(talk(world, 13, "3", 2, third))


async def test_e04_who_announces_a_layout_and_sends_bare_packets_is_understood(world: EdgeWorld) -> None:
    for version in ("2", "3"):
        async with edge_client(world.url, {"Device-Id": MAC, "Protocol-Version": version}) as client:
            client.listen("start", mode="manual")
            client.send_binary(*quiet(3), *spoken("Stop."))
            client.listen("stop")
            assert (await client.wait("stt"))["text"] == "Stop."
            await client.reply()
            assert {packet_duration_ms(packet) for packet in client.packets} == {60}


# --- hello ---


async def test_e05_without_a_hello_it_is_closed_and_nothing_is_kept(database_dsn: str, tmp_path: Path) -> None:
    assert Settings().limits.hello_timeout_s == 10
    overrides = {"limits.hello_timeout_s": 0.4}
    async with (
        edge_world(database_dsn, tmp_path, overrides) as world,
        edge_client(world.url, greet=False) as mute,
        edge_client(world.url, device_id=OTHER_MAC, greet=False) as babbling,
    ):
        babbling.ask("Stop.")
        babbling.send_binary(*quiet(3))
        babbling.send_text("{")
        for client in (mute, babbling):
            close = await client.wait_closed()
            assert close is not None
            assert close.code == 1008
            assert client.kinds == []
        await world.connections_are(0)
        assert world.rows("SELECT id FROM device UNION SELECT id FROM session") == []
        assert world.thought == 0


NO_HELLOS = (
    "",
    '{"type":"hello"',
    "hello",
    "[]",
    '["hello"]',
    "5",
    "null",
    '"hello"',
    "{}",
    '{"version":1,"transport":"websocket"}',
    '{"type":5}',
    '{"type":null}',
    '{"type":["hello"]}',
    '{"type":"HELLO"}',
)


async def test_e06_after_hellos_that_make_no_sense_a_good_one_is_waited_for(world: EdgeWorld) -> None:
    for number, texts in enumerate((NO_HELLOS, *((text,) for text in NO_HELLOS))):
        async with edge_client(world.url, device_id=f"device-{number}", greet=False) as client:
            for text in texts:
                client.send_text(text)
            assert (await client.greet())["transport"] == "websocket"
            await client.settled()
            assert client.kinds == ["hello", "pong"], texts


async def test_e07_a_bare_hello_means_16_khz_and_60_ms(database_dsn: str, tmp_path: Path) -> None:
    async def talk(world: EdgeWorld, number: int, hello: dict[str, Any]) -> None:
        async with edge_client(world.url, device_id=f"device-{number}", greet=False) as client:
            answer = await client.greet(**hello)
            assert answer["transport"] == "websocket"
            assert answer["session_id"]
            assert answer["audio_params"]["frame_duration"] == 60
            client.listen("start", mode="manual")
            client.send_binary(*spoken("Stop."))
            client.listen("stop")
            assert (await client.wait("stt"))["text"] == "Stop."
            await client.reply()

    hellos: tuple[dict[str, Any], ...] = (
        {"type": "hello"},
        {"type": "hello", "device_id": "x", "device_name": "web", "token": "t", "features": {"mcp": True}},
        {"type": "hello", "features": None, "audio_params": None, "transport": None, "version": None},
        {"type": "hello", "features": [], "audio_params": [], "transport": 1, "version": "one"},
    )
    async with edge_world(database_dsn, tmp_path) as world, asyncio.TaskGroup() as group:
        for number, hello in enumerate(hellos):
            group.create_task(talk(world, number, hello))


async def test_e08_another_sound_format_is_answered_by_our_own(database_dsn: str, tmp_path: Path) -> None:
    ours = {"format": "opus", "sample_rate": 24_000, "channels": 1, "frame_duration": 60}

    async def talk(world: EdgeWorld, number: int, audio_format: object) -> None:
        wishes = {"format": audio_format, "sample_rate": 44_100, "channels": 2, "frame_duration": 35}
        async with edge_client(world.url, device_id=f"device-{number}", greet=False) as client:
            assert (await client.greet(**HELLO, audio_params=wishes))["audio_params"] == ours
            await has_a_turn(client)

    async with edge_world(database_dsn, tmp_path) as world, asyncio.TaskGroup() as group:
        for number, audio_format in enumerate(("pcm", "opus+ogg", "", 7, None)):
            group.create_task(talk(world, number, audio_format))


async def test_e09_a_second_hello_is_not_answered_and_disturbs_nothing(world: EdgeWorld) -> None:
    async with edge_client(world.url) as client:
        client.send(**HELLO)
        client.ask("Stop.")
        await client.wait("tts", state="start")
        client.send(**HELLO)
        await client.wait("tts", state="stop")
        await has_a_turn(client)
        assert client.kinds.count("hello") == 1
        assert client.kinds.count("tts stop") == 2
        assert len({text["session_id"] for text in client.texts}) == 1


async def test_e10_sound_before_the_hello_is_dropped_and_counted(world: EdgeWorld) -> None:
    async with edge_client(world.url, greet=False) as client:
        client.send_binary(*spoken("Stop."), b"", b"\0" * 100)
        await client.greet()
        client.listen("start", mode="manual")
        client.listen("stop")
        await client.settled()
        assert client.kinds == ["hello", "pong"]
        dropped = await world.metric("xiaozhi_messages_ignored_total", reason="sound before hello")
        assert dropped == len(spoken("Stop.")) + 2
        await has_a_turn(client)
        assert world.heard == 0


async def test_e11_messages_before_the_hello_are_ignored(world: EdgeWorld) -> None:
    async with edge_client(world.url, greet=False) as client:
        client.listen("start", mode="auto")
        client.ask("Thank you.")
        client.listen("stop")
        client.send(type="abort")
        client.send(type="mcp", payload={"jsonrpc": "2.0", "id": 1, "result": {}})
        client.send(type="iot", update=True, states=[])
        await client.greet()
        await client.settled()
        assert client.kinds == ["hello", "pong"]
        await has_a_turn(client)
        assert world.thought == 1


async def test_e12_plain_http_gets_an_answer_and_no_trace(world: EdgeWorld, caplog: pytest.LogCaptureFixture) -> None:
    expected = {
        "GET / HTTP/1.1": ("200", "426"),
        "GET /xiaozhi/v1/ HTTP/1.1": ("200", "426"),
        "GET /favicon.ico HTTP/1.1": ("200", "426"),
        "HEAD / HTTP/1.1": ("200", "426", "400", "405"),
        "POST /xiaozhi/v1/ HTTP/1.1": ("200", "426", "400", "405"),
    }
    for request_line, statuses in expected.items():
        answer = await http_answer(world.server.websocket_port, request_line)
        assert answer.split(" ")[1] in statuses, request_line
        assert "Traceback" not in answer
    assert not [record for record in caplog.records if record.exc_info and record.levelno >= logging.WARNING]


async def http_answer(port: int, request: str) -> str:
    """All that comes back, to the end of TCP, for a request line with its first headers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{request}\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())
    async with asyncio.timeout(5):
        answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer.decode()


# --- the same device twice ---


@pytest.fixture
def with_memory() -> dict[str, Any]:
    return {"selected_module.Memory": "mem0ai"}


async def test_e13_the_new_connection_wins_and_the_old_one_is_gone_without_a_word(
    database_dsn: str, tmp_path: Path, with_memory: dict[str, Any]
) -> None:
    async with edge_world(database_dsn, tmp_path, with_memory) as world, AsyncExitStack() as clients:
        old = await clients.enter_async_context(edge_client(world.url))
        old.ask("My dog is called Rex. I tell you that because it is a good dog and I am going to be away.")
        await old.wait("tts", state="sentence_start")
        new = await clients.enter_async_context(edge_client(world.url))
        assert await old.wait_closed() is None, "it was asked to leave instead of dropped"
        assert "tts stop" not in old.kinds[-1:]
        await new.settled()
        assert new.kinds == ["hello", "pong"]
        new.ask("What is my dog called?")
        assert "Rex" in await new.reply()
        assert new.kinds.count("tts start") == new.kinds.count("tts stop") == 1
        await world.connections_are(1)
        assert await world.metric("xiaozhi_turns_total", outcome="interrupted") == 1


async def test_e13_what_an_old_connection_still_delivers_does_not_touch_the_new_one(world: EdgeWorld) -> None:
    async with edge_client(world.url) as old:
        old.listen("start", mode="manual")
        old.send_binary(*spoken("Thank you."))
        await old.settled()
        async with edge_client(world.url) as new:
            new.ask("Stop.")
            with suppress(ChannelClosedError):  # it may have noticed
                old.listen("stop")
                old.send(type="abort")
                old.ask("Thank you.")
            assert await new.reply() == "You said: Stop."
            await old.wait_closed()
            await has_a_turn(new)
            assert new.kinds.count("tts start") == new.kinds.count("tts stop") == 2
            assert (world.heard, world.thought) == (0, 2)


async def test_e14_of_two_clients_with_one_name_the_newer_wins_but_not_without_end(
    database_dsn: str, tmp_path: Path
) -> None:
    limits = {"limits.replacements_per_minute": 3}
    async with edge_world(database_dsn, tmp_path, limits) as world, AsyncExitStack() as clients:
        with log_lines() as lines:
            current = await clients.enter_async_context(edge_client(world.url))
            for _ in range(3):
                newer = await clients.enter_async_context(edge_client(world.url))
                assert await current.wait_closed() is None
                current = newer
            for _ in range(3):
                assert "429" in await refusal(world.url, {"Device-Id": MAC})
            await has_a_turn(current)
            assert len(lines.with_text(MAC)) == 1, lines.all
        await has_a_turn_as(world, OTHER_MAC)
        await world.connections_are(1)


# --- going away ---


@pytest.mark.parametrize("stage", ["transcription", "chat", "speech", "playing"])
async def test_e15_who_leaves_in_the_middle_leaves_nothing_behind(
    database_dsn: str, tmp_path: Path, stage: str
) -> None:
    async with edge_world(database_dsn, tmp_path, voice=True) as world:
        if stage != "playing":
            setattr(world.cloud.faults, stage, Fault("stall"))
        client = await EdgeClient.open(world.url)
        await client.greet()
        client.listen("start", mode="manual")
        client.send_binary(*spoken("Thank you."))
        client.listen("stop")
        if stage == "playing":
            await client.wait("tts", state="sentence_start")
        else:
            await until(lambda: _is_asked(world, stage), f"a request for {stage}")
        await client.vanish()
        await world.connections_are(0, within_s=ABOUT_A_SECOND_S)
        assert await world.metric("xiaozhi_turns_total", outcome="interrupted") == 1
        assert await world.metric("xiaozhi_connections_closed_total", reason="device left") == 1
        if stage != "transcription":
            await until(lambda: _is_kept(world, "Thank you."), "what was said is kept")
        assert world.rows("SELECT close_reason FROM session") == [("device left",)]
        world.cloud.faults.clear()
        async with edge_client(world.url) as again:
            await has_a_turn(again)


async def _is_asked(world: EdgeWorld, stage: str) -> bool:
    return world.cloud.counts[stage] > 0


async def _is_kept(world: EdgeWorld, text: str) -> bool:
    return (text,) in world.rows("SELECT content FROM message")


async def test_e16_a_device_that_vanished_without_a_fin_is_found_by_ping() -> None:
    options = server_options(Settings())
    assert 20 <= options.ping_interval_s <= 30
    stage = Stage(connection_options(Settings()))
    quick = replace(options, host="127.0.0.1", port=0, ping_interval_s=0.1, ping_timeout_s=0.1)
    server = WebSocketServer(quick, stage.services)
    url = f"ws://127.0.0.1:{await server.start()}/xiaozhi/v1/"
    silent = await EdgeClient.open(url, reads=False)
    silent.send(**HELLO)
    async with edge_client(url, device_id=OTHER_MAC) as answering:
        async with asyncio.timeout(10):
            await stage.observer.somebody_left.wait()
        assert stage.observer.closed == ["device does not answer"]
        await answering.settled()
        assert server.connections == 1
    await silent.vanish()
    assert await server.drain(2)


async def test_e17_the_server_does_not_wait_for_an_echo_of_its_close(world: EdgeWorld) -> None:
    async with edge_client(world.url) as client:
        client.ask("goodbye")
        await client.wait("tts", state="stop")
        loop = asyncio.get_running_loop()
        stopped_at = loop.time()
        close = await client.wait_closed()
        assert close is not None
        assert close.code == 1000
        assert loop.time() - stopped_at < ABOUT_A_SECOND_S  # libraries would wait for ten
        await world.connections_are(0, within_s=ABOUT_A_SECOND_S)


def test_e18_a_quiet_connection_is_closed_before_the_device_gives_it_up() -> None:
    async def scenario() -> tuple[float, World]:
        async with World(connection_options(Settings())) as world:
            await world.greeted()
            world.say(type="listen", state="detect", text="Hello")
            await asyncio.sleep(2)  # of the clock that jumps: the turn is over
            quiet_since = asyncio.get_running_loop().time()
            await world.channel.wait_closed()
            return asyncio.get_running_loop().time() - quiet_since, world

    quiet_s, world = run_virtual(scenario())
    assert 58 <= quiet_s <= 110
    assert world.channel.closed_with == (1000, "idle")
    for seconds in (59, 111):
        with pytest.raises(ValueError, match="close_connection_no_voice_time"):
            Settings(close_connection_no_voice_time=seconds)


async def test_e18_a_quiet_socket_gets_a_close_frame_and_then_ends(
    database_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soon_idle(monkeypatch)
    async with edge_world(database_dsn, tmp_path) as world, edge_client(world.url) as client:
        await has_a_turn(client)
        close = await client.wait_closed()
        assert close is not None
        assert (close.code, close.reason) == (1000, "idle")
        assert client.kinds[-1] == "tts stop", "nobody listened, so nobody is told goodbye"
        await world.connections_are(0)
        assert await world.metric("xiaozhi_connections_closed_total", reason="idle") == 1
        await has_a_turn_as(world, OTHER_MAC)


def test_e18_a_connection_that_stays_shows_a_sign_of_life_within_120_s() -> None:
    """In realtime mode somebody may talk to others for an hour, and every word keeps the connection."""

    async def scenario() -> list[float]:
        async with World(connection_options(Settings())) as world:
            await world.greeted()
            sent_at = [asyncio.get_running_loop().time()]
            for _ in range(60):
                world.say(type="listen", state="start", mode="realtime")
                await asyncio.sleep(30)
                if len(world.channel.sent) > len(sent_at) - 1:
                    sent_at.append(asyncio.get_running_loop().time())
            assert world.channel.closed_with is None
            return sent_at

    sent_at = run_virtual(scenario())
    assert len(sent_at) > 10
    assert max(after - before for before, after in itertools.pairwise(sent_at)) <= 120
