"""Every bound of the real server against a client that reaches it: what happens to that client, what is counted, and
that others are served meanwhile.
"""

import asyncio
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from firmware_sim.device import SimulatedDevice
from firmware_sim.opus import encode_speech
from firmware_sim.speech import speak
from tests.support.postgres_proxy import PostgresProxy
from tests.support.raw_client import (
    BINARY,
    CLOSE,
    CONTINUATION,
    HELLO,
    PING,
    PING_FRAME,
    TEXT,
    RawClient,
    RefusedError,
    masked,
    upgrade,
)
from tests.support.running_server import RunningServer, running_server
from xiaozhi_server.core.audio.opus import silence_packet

WAIT_S = 20.0
CERTIFICATES = Path(__file__).resolve().parents[2] / "support" / "tls"
CERT = str(CERTIFICATES / "localhost.pem")
TLS = {"server.tls.cert": CERT, "server.tls.key": str(CERTIFICATES / "localhost.key")}
PACKET = silence_packet(16_000, 60)
SPEAK = '{"type":"listen","state":"detect","text":"hi"}'


class Attacked:
    """The server under attack, and what its metrics say."""

    def __init__(self, server: RunningServer, stack: AsyncExitStack) -> None:
        self.server = server
        self.port = server.websocket_port
        self._stack = stack
        secure = bool(server.settings.server.tls.cert)
        self.http_url = f"https://localhost:{server.http_port}" if secure else server.http_url
        self._tls = ssl.create_default_context(cafile=CERT) if secure else True

    async def knock(self, port: int | None = None) -> RawClient:
        return self._kept(await RawClient.knock(port or self.port))

    async def greet(self, device_id: str = "hostile", **options: Any) -> RawClient:
        return self._kept(await RawClient.greet(self.port, device_id, **options))

    def _kept(self, client: RawClient) -> RawClient:
        self._stack.push_async_callback(client.leave)
        return client

    async def metric(self, name: str, **labels: str) -> float:
        async with aiohttp.ClientSession() as http, http.get(f"{self.http_url}/metrics", ssl=self._tls) as answer:
            text = await answer.text()
        assert f"# TYPE {name} " in text, f"/metrics has no {name}"
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        return sum(sample.value for sample in samples if sample.name == name and sample.labels == labels)

    async def reached(self, bound: str) -> float:
        return await self.metric("xiaozhi_bounds_reached_total", bound=bound)

    async def until(self, name: str, value: float, **labels: str) -> None:
        """Until the metric has at least this value."""
        async with asyncio.timeout(WAIT_S):
            found = await self.metric(name, **labels)
            while found < value:
                await asyncio.sleep(0.02)
                found = await self.metric(name, **labels)

    async def serves_others(self) -> None:
        """A device of good manners boots, greets, and gets an answer."""
        async with SimulatedDevice(f"{self.http_url}/xiaozhi/ota/", mac="aa:bb:cc:00:00:01") as good:
            await good.boot()
            reply = await good.say_text("hi")
            assert reply.sentences


UnderAttack = Callable[..., AbstractAsyncContextManager[Attacked]]


@pytest.fixture
def under_attack(database_dsn: str, tmp_path: Path) -> UnderAttack:
    """The server with these `limits`, or settings of other sections by their dotted key."""

    @asynccontextmanager
    async def start(others: dict[str, Any] | None = None, **limits: Any) -> AsyncIterator[Attacked]:
        overrides = {**(others or {}), **{f"limits.{name}": value for name, value in limits.items()}}
        async with running_server(database_dsn, tmp_path, overrides) as server, AsyncExitStack() as stack:
            yield Attacked(server, stack)

    return start


async def test_more_connections_than_allowed_get_503(under_attack: UnderAttack) -> None:
    async with under_attack(max_connections=2) as attacked:
        first, _ = [await attacked.greet(f"hostile-{number}") for number in range(2)]
        with pytest.raises(RefusedError) as refused:
            await attacked.greet("one-too-many")
        assert refused.value.status == 503
        assert int(refused.value.headers["Retry-After"]) > 0
        assert await attacked.reached("max_connections") == 1
        again = await attacked.greet("hostile-1")  # who replaces its own connection needs no new place
        assert await again.is_served()
        await first.leave()
        await attacked.until("xiaozhi_connections_closed_total", 1, reason="device left")
        await attacked.greet("one-too-many")


async def test_a_rush_does_not_get_more_places_than_there_are(under_attack: UnderAttack) -> None:
    async with under_attack(max_connections=5) as attacked:
        came = await asyncio.gather(*(attacked.greet(f"rush-{n}") for n in range(30)), return_exceptions=True)
        refused = [answer for answer in came if isinstance(answer, RefusedError)]
        assert len(refused) == 25
        assert {answer.status for answer in refused} == {503}
        assert await attacked.metric("xiaozhi_connections") == 5


async def test_connections_that_ask_for_nothing_do_not_keep_others_out(under_attack: UnderAttack) -> None:
    async with under_attack(max_pending_connections=5) as attacked:
        silent = [await attacked.knock() for _ in range(20)]
        for client in silent[10:]:
            client.writer.write(b"GET /xiaozhi/v1/ HTTP/1.1\r\nX-Slow: ")
        await asyncio.gather(*(client.cut_off() for client in silent[:15]))
        assert await attacked.reached("max_pending_connections") == 15
        assert await attacked.metric("xiaozhi_pending_connections") == 5
        assert await (await attacked.greet("honest")).is_served()


async def test_the_ota_port_is_not_taken_by_connections_that_ask_for_nothing(under_attack: UnderAttack) -> None:
    async with under_attack(max_http_connections=5) as attacked:
        silent = [await attacked.knock(attacked.server.http_port) for _ in range(20)]
        await asyncio.gather(*(client.cut_off() for client in silent[:15]))
        assert await attacked.reached("max_http_connections") >= 15
        await SimulatedDevice(attacked.server.ota_url).boot()


CLIENT_HELLO_BEGUN = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"


@pytest.mark.parametrize("first", [b"", CLIENT_HELLO_BEGUN], ids=["silent", "half a ClientHello"])
@pytest.mark.parametrize("bound", ["max_pending_connections", "max_http_connections"])
async def test_who_never_ends_a_tls_handshake_does_not_keep_others_out(
    under_attack: UnderAttack, monkeypatch: pytest.MonkeyPatch, bound: str, first: bytes
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", CERT)  # the device's bundle of authorities
    async with under_attack(TLS, **{bound: 5}) as attacked:
        port = attacked.port if bound == "max_pending_connections" else attacked.server.http_port
        silent = [await attacked.knock(port) for _ in range(20)]
        for client in silent:
            client.writer.write(first)
        await asyncio.gather(*(client.cut_off() for client in silent[:15]))
        if bound == "max_pending_connections":
            assert await attacked.metric("xiaozhi_pending_connections") == 5
            assert await attacked.reached(bound) == 15
        else:
            assert await attacked.reached(bound) > 15, "this very question made one more room for itself"
        await attacked.serves_others()


async def test_noise_instead_of_a_tls_handshake_is_cut_off_and_counts_no_more(under_attack: UnderAttack) -> None:
    async with under_attack(TLS) as attacked:
        for noise in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\x05\xff\xff\xff\xff\xff", bytes(100)):
            client = await attacked.knock()
            client.writer.write(noise)
            await client.cut_off()
        async with asyncio.timeout(WAIT_S):
            while await attacked.metric("xiaozhi_pending_connections"):  # noqa: ASYNC110 a metric tells nobody
                await asyncio.sleep(0.02)


async def test_a_client_that_never_says_hello_is_closed(under_attack: UnderAttack) -> None:
    async with under_attack(hello_timeout_s=0.2) as attacked:
        client = await RawClient.come(attacked.port, "mute")
        assert await client.close_code() == 1008
        assert await attacked.reached("hello_timeout_s") == 1
        await client.leave()


async def test_what_comes_before_anybody_reads_is_bounded_and_the_first_count(under_attack: UnderAttack) -> None:
    async with under_attack() as attacked:
        client = await attacked.knock()
        early = masked(TEXT, HELLO.encode()) + masked(TEXT, PING.encode()) * 99
        client.writer.write(upgrade("hasty") + early)  # at once: nobody reads until the upgrade is answered
        await client.upgraded()
        assert (await client.message())["type"] == "hello"
        assert await client.is_served()
        assert await attacked.reached("max_early_messages") == 100 - 64
        await attacked.greet("patient")
        assert await attacked.reached("max_early_messages") == 100 - 64


async def test_ota_visits_that_cannot_be_noted_down_are_answered_and_bounded(
    database_dsn: str, under_attack: UnderAttack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xiaozhi_server.app.MAX_PENDING_CONTACTS", 10)
    folder = tmp_path / "proxy"
    folder.mkdir()
    async with PostgresProxy(database_dsn, folder) as proxy, under_attack({"database.url": proxy.dsn}) as attacked:
        await SimulatedDevice(attacked.server.ota_url).boot()
        assert await attacked.reached("max_pending_contacts") == 0
        await proxy.fail("frozen")
        crowd = [SimulatedDevice(attacked.server.ota_url, mac=f"02:00:00:00:00:{n:02x}") for n in range(40)]
        await asyncio.gather(*(device.boot() for device in crowd))
        assert await attacked.reached("max_pending_contacts") >= 1
        await proxy.heal()


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(masked(BINARY, bytes(70_000)), id="whole"),
        pytest.param(masked(TEXT, bytes(40_000), fin=False) + masked(CONTINUATION, bytes(40_000)), id="in parts"),
        pytest.param(b"\x82\xff" + struct.pack(">Q", 2**62) + bytes(4), id="announced only"),
    ],
)
async def test_e38_a_message_too_big_closes_with_1009(under_attack: UnderAttack, message: bytes) -> None:
    async with under_attack() as attacked:
        client = await attacked.greet()
        client.writer.write(message)
        assert await client.close_code() == 1009
        await attacked.until("xiaozhi_bounds_reached_total", 1, bound="max_message_bytes")
        await attacked.until("xiaozhi_connections_closed_total", 1, reason="closed with 1009")


async def test_e17_a_client_that_says_goodbye_and_stays_is_cut_off(under_attack: UnderAttack) -> None:
    async with under_attack() as attacked:
        client = await attacked.greet()
        client.send(CLOSE, struct.pack(">H", 1000))
        await attacked.until("xiaozhi_connections_closed_total", 1, reason="device left")
        assert await attacked.metric("xiaozhi_connections") == 0


async def test_e38_a_packet_of_sound_too_big_is_left_out(under_attack: UnderAttack) -> None:
    async with under_attack(max_audio_frame_bytes=1000) as attacked:
        client = await attacked.greet()
        client.send(BINARY, bytes(1001))
        assert await client.is_served()
        assert await attacked.reached("max_audio_frame_bytes") == 1


async def test_a_flood_is_read_no_faster_than_allowed(under_attack: UnderAttack) -> None:
    async with under_attack(message_burst=100, messages_per_second=20) as attacked:
        client = await attacked.greet()
        client.writer.write(masked(TEXT, b"{") * 20_000)
        await attacked.until("xiaozhi_bounds_reached_total", 1, bound="messages_per_second")
        assert await (await attacked.greet("another")).is_served()
        # One slice may overdraw the allowance; then nothing is read until that is paid, which takes its time.
        assert await attacked.metric("xiaozhi_messages_ignored_total", reason="not JSON") < 1_000


@pytest.mark.parametrize(
    ("opcode", "payload"), [(TEXT, PING.encode()), (PING_FRAME, b""), (BINARY, PACKET)], ids=["JSON", "ping", "sound"]
)
async def test_others_are_served_beside_a_flood(under_attack: UnderAttack, opcode: int, payload: bytes) -> None:
    async with under_attack(message_burst=100, messages_per_second=20) as attacked:
        client = await attacked.greet()
        client.writer.write(masked(opcode, payload) * 20_000)
        await attacked.until("xiaozhi_bounds_reached_total", 1, bound="messages_per_second")
        await attacked.serves_others()
        assert await attacked.metric("xiaozhi_connections") >= 1, "the flood itself was not cut off"


async def test_who_was_slowed_down_loses_nothing(under_attack: UnderAttack) -> None:
    async with under_attack(message_burst=100, messages_per_second=1000) as attacked:
        client = await attacked.greet()
        client.writer.write(masked(TEXT, PING.encode()) * 600)
        for _ in range(600):
            assert (await client.message())["type"] == "pong"
        assert await attacked.reached("messages_per_second") >= 1


async def test_a_large_message_counts_for_more_than_one(under_attack: UnderAttack) -> None:
    async with under_attack(message_burst=100, messages_per_second=1000) as attacked:
        client = await attacked.greet()
        client.writer.write(masked(TEXT, b'{"type":"iot"' + b" " * 60_000 + b"}") * 3)
        assert await client.is_served()
        assert await attacked.reached("messages_per_second") >= 1


async def test_empty_fragments_without_end_are_no_way_to_fill_the_memory(under_attack: UnderAttack) -> None:
    async with under_attack(messages_per_second=1e6) as attacked:
        client = await attacked.greet()
        client.send(TEXT, PING[:7].encode(), fin=False)
        client.writer.write(masked(CONTINUATION, b"", fin=False) * 20_000)
        client.send(CONTINUATION, PING[7:].encode())
        assert (await client.message())["type"] == "pong"


@pytest.mark.parametrize(("mode", "setting"), [("manual", "max_utterance_manual_s"), ("auto", "max_utterance_s")])
async def test_e23_e33_an_utterance_without_end_is_cut(under_attack: UnderAttack, mode: str, setting: str) -> None:
    speech = encode_speech(speak("One two three four five six seven eight nine ten eleven twelve."))
    async with under_attack({f"hearing.{setting}": 1}) as attacked:
        client = await attacked.greet()
        client.say(type="listen", state="start", mode=mode)
        for packet in speech:
            client.send(BINARY, packet)
            await asyncio.sleep(0.005)
        await attacked.until("xiaozhi_utterances_capped_total", 1)
        while (await client.message()).get("state") != "start":
            pass
        assert await attacked.metric("xiaozhi_sound_packets_total", fate="heard") > 10


async def test_e40_sound_that_waits_is_bounded_and_the_oldest_goes(under_attack: UnderAttack) -> None:
    async with under_attack(max_queued_sound_ms=600) as attacked:
        client = await attacked.greet()
        client.say(type="listen", state="start", mode="auto")
        client.writer.write(masked(BINARY, PACKET) * 200)
        assert await client.is_served()
        await attacked.until("xiaozhi_sound_packets_total", 200, fate="heard")
        assert await attacked.metric("xiaozhi_sound_packets_total", fate="overflowed") >= 100


async def test_what_hearing_counts_is_in_the_metrics(under_attack: UnderAttack) -> None:
    async with under_attack() as attacked:
        client = await attacked.greet()
        client.send(BINARY, PACKET)
        client.say(type="listen", state="start", mode="manual")
        client.send(BINARY, PACKET)
        client.send(BINARY, b"\xff" * 30)
        assert await client.is_served()
        for fate, count in {"discarded": 1, "heard": 1, "corrupt": 1, "overflowed": 0}.items():
            assert await attacked.metric("xiaozhi_sound_packets_total", fate=fate) == count, fate


@pytest.mark.parametrize(
    ("limits", "bound"),
    [
        pytest.param({"max_unsent_bytes": 16_384, "send_timeout_s": 60}, "max_unsent_bytes", id="too much"),
        pytest.param({"max_unsent_bytes": 10**9, "send_timeout_s": 0.2}, "send_timeout_s", id="too long"),
    ],
)
@pytest.mark.parametrize("ping", [masked(TEXT, PING.encode()), masked(PING_FRAME, bytes(125))], ids=["JSON", "frame"])
async def test_e49_a_client_that_does_not_read_is_cut_off(
    under_attack: UnderAttack, limits: dict[str, Any], bound: str, ping: bytes
) -> None:
    async with under_attack(**limits, messages_per_second=1e6, message_burst=10**6) as attacked:
        client = await attacked.greet(receive_buffer=4096)
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        async with asyncio.timeout(WAIT_S):
            while not client.writer.transport.is_closing() and await attacked.metric("xiaozhi_connections"):
                client.writer.write(ping * 500)
                await asyncio.sleep(0)
        await attacked.until("xiaozhi_connections_closed_total", 1, reason="device does not read")
        assert await attacked.reached(bound) == 1


async def test_e14_two_clients_with_one_name_do_not_fight_for_ever(under_attack: UnderAttack) -> None:
    async with under_attack(replacements_per_minute=3) as attacked:
        holder = await attacked.greet("mine")
        for _ in range(3):
            newer = await attacked.greet("mine")
            await holder.cut_off()
            holder = newer
        with pytest.raises(RefusedError) as refused:
            await attacked.greet("mine")
        assert refused.value.status == 429
        assert int(refused.value.headers["Retry-After"]) > 0
        assert await attacked.reached("replacements_per_minute") == 1
        assert await holder.is_served()
        await attacked.greet("another")
        await holder.leave()
        await attacked.until("xiaozhi_connections_closed_total", 1, reason="device left")
        await attacked.greet("mine")  # the name is free: nobody is replaced


async def test_a_client_may_not_begin_turns_without_end(under_attack: UnderAttack) -> None:
    async with under_attack(turns_per_minute=3) as attacked:
        client = await attacked.greet()
        client.writer.write(masked(TEXT, SPEAK.encode()) * 50)
        assert await client.is_served()
        assert await attacked.reached("turns_per_minute") == 47
        await attacked.serves_others()
