"""Starting, failing to start, and ending, as somebody at a terminal sees it."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from firmware_sim.device import SimulatedDevice
from tests.support.server_process import PROJECT, ServerProcess


def run_server(folder: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A start that is expected to end by itself."""
    return subprocess.run(
        [sys.executable, "-m", "xiaozhi_server", *options],
        cwd=PROJECT,
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith("XIAOZHI")},
            "XIAOZHI__SERVER__IP": "127.0.0.1",
            "XIAOZHI__LOG__LOG_DIR": str(folder / "log"),
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def test_it_says_where_it_is_reached_and_what_it_uses(tmp_path: Path) -> None:
    async with ServerProcess(tmp_path) as server:
        await server.wait_for_line("Stop")
        for expected in (
            "OTA address",
            "WebSocket",
            "Talk to it",
            "companion",
            "mem0ai",
            str(tmp_path),
            "PRESET=openai",
        ):
            assert expected in server.text


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_lets_the_current_turn_end_and_exits_0(tmp_path: Path, number: signal.Signals) -> None:
    server = await ServerProcess(tmp_path).start()
    async with SimulatedDevice(server.ota_url) as device:
        await device.boot()
        await device.connect()
        asked = asyncio.create_task(device.say_text("Please tell me who you are."))
        await device.wait_message("tts", state="start")
        server.process.send_signal(number)
        reply = await asked
        assert reply.finished
        assert reply.frames > 0
    assert await server.ended() == 0


async def test_a_second_start_is_as_good_as_the_first(tmp_path: Path) -> None:
    for _ in range(2):
        async with ServerProcess(tmp_path) as server, SimulatedDevice(server.ota_url) as device:
            await device.boot()
            assert (await device.say_text("My dog is called Rex.")).finished


@pytest.mark.parametrize("option", ["--port", "--http-port"])
def test_a_taken_port_is_one_clear_line(tmp_path: Path, option: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        other = "--http-port" if option == "--port" else "--port"
        ended = run_server(tmp_path, "serve", "--data-dir", str(tmp_path / "data"), option, port, other, "0")
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    assert port in ended.stderr
    assert option in ended.stderr


def test_a_data_directory_that_is_a_file_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("not a folder")
    ended = run_server(tmp_path, "serve", "--data-dir", str(tmp_path / "data"), "--port", "0", "--http-port", "0")
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    assert "--data-dir" in ended.stderr


def test_a_wrong_setting_is_one_line_with_its_remedy(tmp_path: Path) -> None:
    ended = run_server(tmp_path, "serve", "--data-dir", str(tmp_path / "data"), XIAOZHI__SERVER__PROT="1")
    assert ended.returncode == 1
    assert len(ended.stderr.strip().splitlines()) == 1
    assert "port" in ended.stderr


def test_check_asks_every_part(tmp_path: Path) -> None:
    ended = run_server(tmp_path, "check", "--data-dir", str(tmp_path / "data"))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    for part in ("VAD SileroVAD", "LLM companion", "TTS espeak", "database: the embedded PostgreSQL"):
        assert f"ok      {part}" in ended.stdout
