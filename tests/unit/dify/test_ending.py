"""A signal ends the process well: in a process of its own, since it ends with it."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

_PROGRAM = """
import sys, threading
sys.path.insert(0, sys.argv[1])
from mem0_tools import process
from mem0_tools.ending import end_well

class Caller:
    def stop(self):
        print("stopped", flush=True)

process._made.append(Caller())
with end_well():
    print("ready", flush=True)
    if sys.argv[2] == "wait":
        threading.Event().wait()
"""


def started(how: str) -> subprocess.Popen[str]:
    folder = Path(__file__).parents[3] / "dify_plugin"
    command = [sys.executable, "-c", _PROGRAM, str(folder), how]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_well_and_once(number: signal.Signals) -> None:
    with started("wait") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        assert process.stdout.read() == "stopped\n"
        assert process.wait(20.0) == 0


def test_so_does_coming_to_the_end() -> None:
    with started("go on") as process:
        assert process.stdout is not None
        assert process.stdout.read() == "ready\nstopped\n"
        assert process.wait(20.0) == 0
