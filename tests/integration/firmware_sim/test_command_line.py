"""The commands of the simulated device, run as a user runs them."""

import asyncio
import json
import os
import sys
import wave
from argparse import ArgumentTypeError
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from firmware_sim.cli_cloud import parse_fault
from firmware_sim.scenario import ScenarioError, load_scenario
from tests.support.scripted_server import Script, ScriptedServer, ScriptedSession, tone_packets


async def answer_all(session: ScriptedSession) -> None:
    await session.greet()
    while True:
        message = await session.expect("listen")
        if message["state"] == "stop":
            await session.answer("Spoken.")
        elif message["state"] == "detect":
            await session.answer(f"You said {message['text']}.", packets=tone_packets(3))


def ending(how: str) -> Script:
    """Ends the first session this way when the second line comes; the sessions after it are answered."""
    firsts = iter([True])

    async def script(session: ScriptedSession) -> None:
        if not next(firsts, False):
            return await answer_all(session)
        await session.greet()
        await session.expect("listen", state="detect")
        await session.answer("First.")
        await session.expect("listen", state="detect")
        if how == "in the middle of the answer":
            await session.send(type="tts", state="start")
            await session.send(type="tts", state="sentence_start", text="Well,")
        if how == "idle close":
            return await session.connection.close(1000, "idle")
        return session.connection.transport.abort()

    return script


async def run(*arguments: str, typed: str | bytes = "") -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "firmware_sim",
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    given = typed if isinstance(typed, bytes) else typed.encode()
    out, err = await asyncio.wait_for(process.communicate(given), 30)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_chat_reads_lines_and_shows_replies() -> None:
    async with ScriptedServer(answer_all) as server:
        code, out, err = await run("chat", "--ota", server.ota_url, typed="hello\nhow are you\n")
    assert (code, err) == (0, "")
    assert "< You said hello." in out
    assert "< You said how are you." in out
    assert "2 turns" in out


@pytest.mark.parametrize("how", ["idle close", "dies"])
async def test_a_line_that_meets_a_closing_server_is_said_again(how: str) -> None:
    async with ScriptedServer(ending(how)) as server:
        code, out, err = await run("chat", "--ota", server.ota_url, typed="one\ntwo\nthree\n")
        assert len(server.sessions) == 2
    assert code == 0
    assert [line for line in out.splitlines() if line.startswith("<")] == [
        "< First.", "< You said two.", "< You said three."
    ]  # fmt: skip
    assert "trying again" in err
    assert "3 turns" in out


async def test_an_answer_that_is_cut_off_is_told_and_the_next_line_is_answered() -> None:
    async with ScriptedServer(ending("in the middle of the answer")) as server:
        code, out, err = await run("chat", "--ota", server.ota_url, typed="one\ntwo\nthree\n")
    assert code == 1
    assert "! the server ended the channel" in err
    assert "< You said three." in out
    assert "2 turns" in out


async def test_a_server_that_does_not_come_back_ends_the_conversation() -> None:
    async def script(session: ScriptedSession) -> None:
        await session.greet()
        await session.expect("listen", state="detect")
        stopping.set()

    stopping = asyncio.Event()
    async with ScriptedServer(script) as server:
        chat = asyncio.create_task(run("chat", "--timeout", "1", "--ota", server.ota_url, typed="one\ntwo\n"))
        await asyncio.wait_for(stopping.wait(), 20)
    code, out, err = await chat
    assert code == 1
    assert "did not come back" in err
    assert "0 turns" in out


async def test_empty_lines_and_bytes_that_are_no_text_do_not_end_a_piped_conversation() -> None:
    async with ScriptedServer(answer_all) as server:
        code, out, err = await run("chat", "--ota", server.ota_url, typed=b"one\n\n  \n\xff\xfe\nthree")
    assert (code, err) == (0, "")
    assert [line for line in out.splitlines() if line.startswith("<")] == [
        "< You said one.", "< You said \N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}.", "< You said three."
    ]  # fmt: skip


async def test_nothing_said_is_no_failure() -> None:
    async with ScriptedServer(answer_all) as server:
        code, out, _ = await run("chat", "--ota", server.ota_url)
    assert code == 0
    assert "0 turns" in out


@contextmanager
def terminal() -> Iterator[tuple[int, int]]:
    pty = pytest.importorskip("pty", reason="there are no terminals of this kind on Windows")
    ours, theirs = pty.openpty()
    try:
        yield ours, theirs
    finally:
        os.close(ours)
        os.close(theirs)


async def test_at_a_terminal_it_prompts_and_an_empty_line_ends_it() -> None:
    async with ScriptedServer(answer_all) as server:
        with terminal() as (ours, theirs):
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "firmware_sim", "chat", "--ota", server.ota_url,
                stdin=theirs, stdout=asyncio.subprocess.PIPE,
            )  # fmt: skip
            assert process.stdout is not None
            assert b"Type what you want to say" in await asyncio.wait_for(process.stdout.readline(), 20)
            os.write(ours, b"hello\n")
            assert await asyncio.wait_for(process.stdout.readline(), 20) == b"> < You said hello.\n"
            os.write(ours, b"\n")
            rest = await asyncio.wait_for(process.stdout.read(), 20)
            assert await asyncio.wait_for(process.wait(), 20) == 0
    assert b"1 turns" in rest


async def test_a_code_to_activate_with_is_shown() -> None:
    def ota(_: object) -> dict[str, object]:
        answer: dict[str, object] = {"websocket": {"url": server.websocket_url}}
        activation = {"code": "123456", "message": "Type it in.", "challenge": "c"}
        return answer if len(server.ota_requests) > 1 else answer | {"activation": activation}

    async with ScriptedServer(answer_all, ota=ota) as server:
        server.activation_statuses = [200]
        code, out, err = await run("chat", "--ota", server.ota_url, typed="hello\n")
    assert code == 0
    assert "123456" in err
    assert "< You said hello." in out


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


@pytest.mark.parametrize(
    ("mistake", "told"),
    [
        ("steps: [{type: hello, wake: hello}]", "exactly one of"),
        ("steps: [{hang_up: true, expect: {text: x}}]", "hang_up is not answered"),
        ("steps: [{wait_s: 1, abort_after_s: 1}]", "wait_s is not answered"),
        ("steps: [", "scenario.yaml"),
        ("", "scenario.yaml"),
    ],
)
def test_every_mistake_in_a_scenario_is_one_line(tmp_path: Path, mistake: str, told: str) -> None:
    file = tmp_path / "scenario.yaml"
    file.write_text(mistake)
    with pytest.raises(ScenarioError, match=told) as caught:
        load_scenario(file)
    assert len(str(caught.value).splitlines()) == 1


async def test_no_server_is_one_line() -> None:
    code, out, err = await run("say", "hello", "--ota", "http://127.0.0.1:9/ota/")
    assert (code, out) == (1, "")
    assert len(err.splitlines()) == 1
    assert "make run" in err


@pytest.mark.parametrize(
    ("arguments", "told"), [([""], "nothing to say"), (["hello", "--wav", "nowhere/reply.wav"], "no such folder")]
)
async def test_what_cannot_be_said_or_written_is_told_before_anybody_is_called(arguments: list[str], told: str) -> None:
    async with ScriptedServer(answer_all) as server:
        code, _, err = await run("say", *arguments, "--ota", server.ota_url)
        assert not server.sessions
    assert code == 1
    assert told in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("fault", ["mode=sulk", "status=99", "delay_s=-1", "patience=3", "times=few"])
def test_a_fault_that_there_is_not_is_refused(fault: str) -> None:
    name = fault.partition("=")[0]
    with pytest.raises(ArgumentTypeError, match=name):
        parse_fault(fault)


async def test_cloud_starts_and_ends_by_signal() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "firmware_sim", "cloud", "--port", "0", "--speech", "status=500,times=2",
        "--extraction", "delay_s=1",
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), 20)
    assert b"http://127.0.0.1:" in line
    process.terminate()
    assert await asyncio.wait_for(process.wait(), 10) == 0
    assert b"Mem0 platform: http://127.0.0.1:" in await process.stdout.read()
