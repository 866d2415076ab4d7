"""Edge cases 34 to 41 of the device protocol: what a device may send as sound, against the whole server."""

import asyncio
import random
import struct
from pathlib import Path

from firmware_sim.opus import DTX_PACKET, silence_packet
from tests.support.wire_world import SPOKEN, Wire, WireWorld, spoken, wire_world

# The longest there is, and longer than most of these tests: where this is set, only sound can end an utterance.
NO_GAP = {"hearing.gap_ms": 10_000}
SOONER_THAN_A_GAP_S = 8.0


async def understood(wire: Wire, after: int = 0) -> int:
    """What was said has been understood, and is answered to the end."""
    return await wire.until("tts stop", after=await wire.until("stt", after=after, text=SPOKEN))


def recordings(world: WireWorld) -> list[str]:
    """What was made of all that the recogniser got but the half second with which the server tries it at its start."""
    bodies = [request.body for request in world.cloud.requests if request.service == "transcription"]
    return [body["text"] for body in bodies if body["text"] or body["bytes"] > 20_000]


async def test_e34_an_empty_frame_ends_a_browsers_recording_and_is_nothing_otherwise(
    database_dsn: str, tmp_path: Path
) -> None:
    async with wire_world(database_dsn, tmp_path, NO_GAP) as world, await world.wire() as wire:
        wire.send_raw(b"")
        wire.listen("start", mode="manual")
        wire.send_raw(b"")
        wire.send_sound(spoken())
        wire.send_raw(b"")
        answered = await understood(wire)
        wire.send_raw(b"")
        wire.listen("start", mode="auto")
        wire.send_raw(b"")
        wire.send_sound(spoken())
        wire.send_raw(b"")
        async with asyncio.timeout(SOONER_THAN_A_GAP_S):
            await wire.until("stt", after=answered, text=SPOKEN)
        await understood(wire, answered)
    assert recordings(world).count(SPOKEN) == 2


async def test_e35_one_byte_packets_are_silence_that_ends_an_utterance(database_dsn: str, tmp_path: Path) -> None:
    async with wire_world(database_dsn, tmp_path, NO_GAP) as world, await world.wire() as wire:
        wire.listen("start", mode="auto")
        wire.send_sound([DTX_PACKET] * 5 + spoken() + [DTX_PACKET] * 10)
        answered = await understood(wire)
        wire.listen("start", mode="manual")
        wire.send_sound([DTX_PACKET] * 20)
        wire.listen("stop")
        await wire.fence()
        wire.say([DTX_PACKET, *spoken(), DTX_PACKET])
        await understood(wire, answered)
    assert recordings(world).count(SPOKEN) == 2
    assert "" not in recordings(world), "silence alone was sent to the recogniser"


async def test_e36_packets_that_are_no_opus_are_skipped_and_the_stream_goes_on(
    database_dsn: str, tmp_path: Path
) -> None:
    broken = [b"\xff", b"\x5b", b"\xff\xff\xff\xff", b"\x5b\x3f" + bytes(8), b"\x4b\xc1\x00", b"\x59\x01\x02"]
    said = [packet for pair in zip(spoken(), broken * 9, strict=False) for packet in pair]
    async with wire_world(database_dsn, tmp_path) as world, await world.wire() as wire:
        wire.say(said)
        await understood(wire)


async def test_e36_rubbish_that_decodes_costs_no_more_than_its_own_turn(database_dsn: str, tmp_path: Path) -> None:
    rng = random.Random(36)
    async with wire_world(database_dsn, tmp_path) as world, await world.wire() as wire:
        for mode in ("manual", "auto", "realtime"):
            wire.listen("start", mode=mode)
            wire.send_sound([rng.randbytes(rng.randint(1, 200)) for _ in range(50)])
            wire.listen("stop")
        wire.send(type="abort")
        place = await wire.until("tts stop")
        wire.say(spoken())
        await understood(wire, place)


async def test_e37_the_packet_says_how_long_it_is_whatever_was_announced(database_dsn: str, tmp_path: Path) -> None:
    async def say(world: WireWorld, mode: str, frame_ms: int) -> None:
        async with await world.wire(mac=f"{mode}-{frame_ms}") as wire:  # its hello announces 60 ms
            wire.listen("start", mode=mode)
            wire.send_sound(spoken(frame_ms=frame_ms))
            if mode == "manual":
                wire.listen("stop")
            else:
                wire.send_sound([silence_packet(frame_ms)] * (600 // frame_ms))
            await understood(wire)

    async with wire_world(database_dsn, tmp_path, NO_GAP) as world:
        await asyncio.gather(*(say(world, mode, frame_ms) for mode in ("manual", "auto") for frame_ms in (20, 40)))


async def test_e38_sound_of_over_4_kib_is_dropped_and_a_message_over_the_limit_closes_with_1009(
    database_dsn: str, tmp_path: Path
) -> None:
    async with wire_world(database_dsn, tmp_path) as world, await world.wire() as wire:
        wire.listen("start", mode="manual")
        for packet in spoken():
            wire.send_raw(packet)
            wire.send_raw(packet + bytes(5_000))
        wire.listen("stop")
        answered = await understood(wire)
        limit = world.server.settings.limits.max_message_bytes
        wire.send_long(limit + 1)
        await wire.until("closed", after=answered)
        close = wire.events[-1].what
        assert close is not None
        assert getattr(close, "code", None) == 1009


async def test_e39_frames_that_do_not_fit_their_header_are_dropped(database_dsn: str, tmp_path: Path) -> None:
    async def say(world: WireWorld, version: int) -> None:
        async with await world.wire(mac=f"version-{version}", version=version) as wire:
            wire.listen("start", mode="manual")
            for packet in spoken():
                good = wire.layout.pack(packet)
                wire.send_raw(good)
                for bad in (good + b"\0", good[:-1], good[:3], b""):
                    wire.send_raw(bad)
            wire.listen("stop")
            await understood(wire)
            assert "audio" in wire.kinds()
            assert all(is_exact(event.what, version) for event in wire.events if isinstance(event.what, bytes))

    async with wire_world(database_dsn, tmp_path) as world:
        await asyncio.gather(say(world, 2), say(world, 3))


def is_exact(frame: bytes, version: int) -> bool:
    size: int = (
        struct.unpack_from(">I", frame, 12)[0] + 16 if version == 2 else struct.unpack_from(">H", frame, 2)[0] + 4
    )
    return size == len(frame)


async def test_e39_json_in_a_binary_frame_is_no_sound(database_dsn: str, tmp_path: Path) -> None:
    message = b'{"type":"listen","state":"stop"}'
    async with wire_world(database_dsn, tmp_path) as world, await world.wire(version=2) as wire:
        wire.listen("start", mode="manual")
        for packet in spoken():
            wire.send_sound([packet])
            wire.send_raw(struct.pack(">HHIII", 2, 1, 0, 0, len(message)) + message)
        wire.listen("stop")
        await understood(wire)


async def test_e39_who_announces_a_header_and_sends_none_is_understood_all_the_same(
    database_dsn: str, tmp_path: Path
) -> None:
    async def say(world: WireWorld, version: int) -> None:
        async with await world.wire(mac=f"version-{version}", version=version) as wire:
            wire.listen("start", mode="manual")
            for packet in [silence_packet()] * 3 + spoken():
                wire.send_raw(packet)
            wire.listen("stop")
            await understood(wire)

    async with wire_world(database_dsn, tmp_path) as world:
        await asyncio.gather(say(world, 2), say(world, 3))


async def test_e40_of_a_flood_the_oldest_is_dropped(database_dsn: str, tmp_path: Path) -> None:
    async def say(world: WireWorld, mode: str) -> None:
        async with await world.wire(mac=mode) as wire:
            wire.listen("start", mode=mode)
            wire.send_sound([silence_packet()] * 90 + spoken() + [silence_packet()] * 8)
            answered = await understood(wire)
            wire.say(spoken())
            await understood(wire, answered)

    async with wire_world(database_dsn, tmp_path, NO_GAP) as world:
        await asyncio.gather(say(world, "auto"), say(world, "realtime"))


async def test_e41_an_utterance_ends_by_the_clock_when_no_more_frames_come(database_dsn: str, tmp_path: Path) -> None:
    async def say(world: WireWorld, mode: str) -> None:
        async with await world.wire(mac=mode) as wire:
            wire.listen("start", mode=mode)
            for packet in spoken():
                wire.send_sound([packet])
                await asyncio.sleep(0.06)  # live sound, not a burst
            await understood(wire)

    async with wire_world(database_dsn, tmp_path) as world:
        await asyncio.gather(say(world, "auto"), say(world, "realtime"))
