"""The leak checks themselves: each kind of leak fails, and what ends by itself does not."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.virtual_time import run_virtual

PROJECT = Path(__file__).parents[3]
LEAKS = """
import asyncio
import os
import socket
import threading

kept = []


async def test_a_task():
    kept.append(asyncio.create_task(asyncio.sleep(60)))


async def test_a_task_that_waits_for_an_event():
    kept.append(asyncio.create_task(asyncio.Event().wait()))


def test_a_thread():
    kept.append(threading.Event())
    threading.Thread(target=kept[-1].wait, daemon=True).start()


def test_a_descriptor():
    kept.append(os.open(__file__, os.O_RDONLY))


async def test_a_connection():
    async with await asyncio.start_server(lambda *_: None, "127.0.0.1", 0) as server:
        kept.append(socket.create_connection(server.sockets[0].getsockname()[:2]))


async def test_what_ends_by_itself():
    kept.append(asyncio.create_task(asyncio.sleep(0.05)))
    kept.append(threading.Timer(0.05, int))
    kept[-1].start()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="descriptors are looked for where Linux lists them")
def test_every_kind_of_leak_fails_its_test(tmp_path: Path) -> None:
    (tmp_path / "test_leaking.py").write_text(LEAKS)
    quickly = "import tests.support.leaks; tests.support.leaks.SETTLE_S = 0.3; import pytest, sys; "
    ended = subprocess.run(
        [
            sys.executable, "-c", quickly + "sys.exit(pytest.main(sys.argv[1:]))", "-q", "-p", "tests.conftest",
            "-c", str(PROJECT / "pyproject.toml"), "--rootdir", str(tmp_path), str(tmp_path),
        ],
        cwd=PROJECT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    summary = [line.split(" - ")[0] for line in ended.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    assert sorted(line.rpartition("::")[2] for line in summary) == [
        "test_a_connection", "test_a_descriptor", "test_a_task", "test_a_task_that_waits_for_an_event", "test_a_thread",
    ], ended.stdout  # fmt: skip


def test_a_task_left_on_the_virtual_clock_fails() -> None:
    async def leak() -> asyncio.Task[None]:
        return asyncio.create_task(asyncio.sleep(60))

    with pytest.raises(AssertionError, match="tasks left behind"):
        run_virtual(leak())


def test_a_task_that_ends_soon_is_no_leak() -> None:
    async def leave_something_behind() -> asyncio.Task[None]:
        return asyncio.create_task(asyncio.sleep(1))

    assert run_virtual(leave_something_behind()).done()
