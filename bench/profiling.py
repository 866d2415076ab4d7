"""What a process is at, sampled from outside by py-spy while something else goes on.

py-spy leaves out threads that sleep, as far as it can tell; those of an executor that wait for work it takes for busy.
"""

import signal
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

SAMPLES_A_SECOND = 200
MOST = 10
_WAITING = "_worker (concurrent/futures/thread.py"


@dataclass
class Profiler:
    """`with Profiler(pid, file): …`; then the file holds each stack, outermost first, and how often it was met."""

    pid: int
    file: Path

    def __enter__(self) -> None:
        self.file.unlink(missing_ok=True)
        options = ["--pid", str(self.pid), "--output", str(self.file), "--format", "raw"]
        program = Path(sys.executable).with_name("py-spy")
        self._process = subprocess.Popen(
            [str(program), "record", *options, "--rate", str(SAMPLES_A_SECOND)], stdout=subprocess.DEVNULL
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.send_signal(signal.SIGINT)  # it writes its file when interrupted
        self._process.wait(timeout=60)


@dataclass(frozen=True, slots=True)
class Own:
    """What a function itself did, without what it called: its share, and the line that it was most often met at."""

    share: float
    where: str


def awake(stacks: str) -> str:
    """Without those that wait for work."""
    kept = (stack for stack in stacks.splitlines() if not stack.rpartition(";")[2].startswith(_WAITING))
    return "".join(f"{stack}\n" for stack in kept)


def most_own_time(stacks: str, count: int = MOST) -> list[Own]:
    """Of stacks as py-spy writes them: `function (file:line);…;function (file:line) samples`."""
    lines: Counter[str] = Counter()
    for stack in stacks.splitlines():
        frames, _, samples = stack.rpartition(" ")
        lines[frames.rpartition(";")[2]] += int(samples)
    functions: dict[str, Counter[str]] = {}
    for line, met in lines.items():
        functions.setdefault(line.rpartition(":")[0], Counter())[line] = met
    first = sorted(functions.values(), key=Counter.total, reverse=True)[:count]
    return [Own(found.total() / lines.total(), found.most_common(1)[0][0]) for found in first]


def shown(title: str, functions: list[Own]) -> list[str]:
    return [title, *(f"{own.share:6.1%}  {own.where}" for own in functions)]
