"""The commands of the simulated device, run as a user runs them."""

import asyncio
import json
import sys
import wave
from pathlib import Path

from tests.support.scripted_server import ScriptedServer, ScriptedSession, tone_packets


async def answer_all(session: ScriptedSession) -> None:
    await session.greet()
    while True:
        message = await session.expect("listen")
        if message["state"] == "stop":
            await session.answer("Spoken.")
        elif message["state"] == "detect":
            await session.answer(f"You said {message['text']}.", packets=tone_packets(3))


async def run(*arguments: str, typed: str = "") -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "firmware_sim",
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(typed.encode()), 30)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_chat_reads_lines_and_shows_replies() -> None:
    async with ScriptedServer(answer_all) as server:
        code, out, err = await run("chat", "--ota", server.ota_url, typed="hello\nhow are you\n")
    assert (code, err) == (0, "")
    assert "< You said hello." in out
    assert "< You said how are you." in out
    assert "2 turns" in out


async def test_chat_as_json() -> None:
    async with ScriptedServer(answer_all) as server:
        code, out, _ = await run("chat", "--json", "--ota", server.ota_url, typed="hello\n")
    reply, report = (json.loads(line) for line in out.splitlines())
    assert code == 0
    assert reply["text"] == "You said hello."
    assert report["turns"] == 1


async def test_say_writes_the_reply_to_a_wav_file(tmp_path: Path) -> None:
    target = tmp_path / "reply.wav"
    async with ScriptedServer(answer_all) as server:
        code, out, err = await run("say", "Hello", "--mode", "manual", "--wav", str(target), "--ota", server.ota_url)
        assert len(server.sessions[0].packets) > 5
    assert (code, err) == (0, "")
    assert "reply: Spoken." in out
    with wave.open(str(target)) as sound:
        assert (sound.getframerate(), sound.getnframes()) == (24_000, 5 * 1440)


async def test_scenario_checks_what_is_expected(tmp_path: Path) -> None:
    file = tmp_path / "scenario.yaml"
    file.write_text(
        "steps:\n"
        "  - {type: hello, expect: {text: hello, emotion: happy, max_underruns: 0}}\n"
        "  - hang_up: true\n"
        "  - {type: again, expect: {text: something else}}\n"
    )
    async with ScriptedServer(answer_all) as server:
        code, out, _ = await run("scenario", str(file), "--ota", server.ota_url)
    assert code == 1
    assert "ok   type hello" in out
    assert "FAIL type again" in out
    assert "the text lacks 'something else'" in out


async def test_a_scenario_with_a_mistake_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "scenario.yaml"
    file.write_text("steps:\n  - {type: hello, shout: true}\n")
    code, _, err = await run("scenario", str(file))
    assert code == 1
    assert "steps.0.shout" in err
    assert len(err.splitlines()) == 1


async def test_no_server_is_one_line() -> None:
    code, out, err = await run("say", "hello", "--ota", "http://127.0.0.1:9/ota/")
    assert (code, out) == (1, "")
    assert len(err.splitlines()) == 1


async def test_cloud_starts_and_ends_by_signal() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "firmware_sim", "cloud", "--port", "0", "--speech", "status=500,times=2",
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), 20)
    assert b"http://127.0.0.1:" in line
    process.terminate()
    assert await asyncio.wait_for(process.wait(), 10) == 0
    await process.stdout.read()
