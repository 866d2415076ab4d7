"""What the bench says a process used: its own time and that of everything below it, ended or not."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bench.processes import Watch

BURNT_S = 0.3
BURN = f"import time\nwhile time.process_time() < {BURNT_S}: pass\n"
# A parent with one child that burns and is gone, or burns and stays; each step waits to be told to go on.
PARENT = """
import subprocess, sys
sys.stdin.readline()
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
child.stdout.readline()
if sys.argv[2] == "ends":
    child.communicate()
print("burnt", flush=True)
sys.stdin.readline()
child.communicate()
"""


@contextmanager
def parent(child: str) -> Iterator[subprocess.Popen[str]]:
    code = BURN + "print('done', flush=True)\nimport sys\nsys.stdin.read()\n"
    command = [sys.executable, "-c", PARENT, code, child]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.communicate("\n\n")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the time of ended processes is not kept")
@pytest.mark.parametrize("child", ["ends", "stays"])
def test_the_time_of_children_is_counted_whether_they_ended_or_not(child: str) -> None:
    with parent(child) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        with Watch(process.pid) as usage:
            process.stdin.write("\n")
            process.stdin.flush()
            assert process.stdout.readline() == "burnt\n"
    # The system counts in hundredths of a second.
    assert usage.children_cpu_s >= BURNT_S - 0.05
    assert usage.cpu_s < usage.children_cpu_s
