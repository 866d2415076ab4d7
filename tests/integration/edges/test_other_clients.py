"""Section 6 of the device protocol: a desktop program and a web page hold whole conversations, with their habits."""

import asyncio
from pathlib import Path

from tests.support.edge_world import edge_world
from tests.support.other_clients import BrowserClient, DesktopClient, OtherClient


async def is_answered(client: OtherClient, text: str) -> None:
    """It was understood, answered, and played to its end before the stop came."""
    assert (await client.wait("stt"))["text"] == text
    assert await client.reply() == f"You said: {text}"
    assert client.frames > 5
    assert not client.was_cut_off


async def test_section_6_a_desktop_client_holds_a_whole_conversation(database_dsn: str, tmp_path: Path) -> None:
    async with edge_world(database_dsn, tmp_path) as world:
        async with asyncio.TaskGroup() as group:
            for frame_ms in (20, 40, 60):
                group.create_task(desktop_conversation(world.server.ota_url, frame_ms))
        await world.connections_are(0)
        assert world.heard == 5 * 3


async def desktop_conversation(ota_url: str, frame_ms: int) -> None:
    async with await DesktopClient.come(ota_url, frame_ms) as client:
        await client.start("auto")
        await client.start("auto")
        for text in ("Thank you.", "Stop."):  # the second without a start by hand
            await client.say(text)
            await client.keep_quiet()
            await is_answered(client, text)

        client.forget()
        await client.say("Thank you.")
        await client.keep_quiet()
        await client.wait("tts", state="sentence_start")
        await client.abort()
        await client.wait("tts", state="stop")
        client.forget()
        await client.say("Stop.")
        await client.keep_quiet()
        await is_answered(client, "Stop.")

        await client.start("auto")
        await client.listen("detect", text="Thank you.")
        await is_answered(client, "Thank you.")

        await client.start("manual")
        await client.say("Stop.")
        await client.listen("stop")
        await is_answered(client, "Stop.")
        assert not client.faults


async def test_section_6_a_web_page_holds_a_whole_conversation(database_dsn: str, tmp_path: Path) -> None:
    """Its recordings end by an empty frame: the clock, which would end them too, comes too late for this test."""
    async with edge_world(database_dsn, tmp_path, {"hearing.gap_ms": 10_000}) as world:
        async with await BrowserClient.come(world.server.ota_url) as client:
            await client.type_in("Thank you.")
            await is_answered(client, "Thank you.")
            assert (await client.wait("llm"))["text"], "the page shows the emoji"

            for mode in ("manual", "auto"):
                for says_stop in (True, False):
                    await client.record("Stop.", mode, says_stop=says_stop)
                    await is_answered(client, "Stop.")
            assert world.heard == 4

            client.forget()
            await client.type_in("Thank you.")
            await client.wait("tts", state="start")
            await client.wait("tts", state="sentence_start")
            await client.send(type="abort", reason="user")
            await client.type_in("Stop.")
            await client.wait("tts", state="stop")
            assert await client.reply() == "You said: Stop."
            assert not client.faults
        await world.connections_are(0)
        assert world.thought == 7
