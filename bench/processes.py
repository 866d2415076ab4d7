"""The server and the stand-in cloud as processes of their own, and what they use up meanwhile."""

import contextlib
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import psutil

PROJECT = Path(__file__).resolve().parents[1]
START_LIMIT_S = 90.0
SAMPLE_EVERY_S = 0.5


class Process:
    """Started with `python -m`, ready once a line of its output matches."""

    def __init__(self, arguments: list[str], ready: str, environment: Mapping[str, str] | None = None) -> None:
        self._arguments = arguments
        self._ready = re.compile(ready)
        self._environment = {**os.environ, **(environment or {})}
        self.found = ""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", *self._arguments],
            cwd=PROJECT,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        deadline = time.monotonic() + START_LIMIT_S
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if matched := self._ready.search(line):
                self.found = matched[1]
                threading.Thread(target=_read_to_the_end, args=(self._process.stdout,), daemon=True).start()
                return self
            if time.monotonic() > deadline:
                break
        self._process.kill()
        raise RuntimeError(f"{self._arguments[0]} did not come up")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(timeout=30)

    @property
    def pid(self) -> int:
        return self._process.pid


def _read_to_the_end(pipe: IO[str]) -> None:
    """A process whose output nobody reads comes to a halt."""
    with pipe:
        pipe.read()


@dataclass(slots=True)
class Usage:
    """What a process used while it was watched. Memory in KiB, time in seconds of a processor.

    Its children are all processes below it, those that ended meanwhile included where the system keeps their time
    (Linux does); memory and threads are its own.
    """

    cpu_s: float = 0.0
    children_cpu_s: float = 0.0
    rss_before_kib: int = 0
    rss_most_kib: int = 0
    threads_most: int = 0


@dataclass
class Watch:
    """`with Watch(pid) as usage: …`; the figures are complete at the end."""

    pid: int
    usage: Usage = field(default_factory=Usage)

    def __enter__(self) -> Usage:
        self._process = psutil.Process(self.pid)
        self._cpu_before, self._children_before = _cpu_s(self._process), _children_cpu_s(self._process)
        self.usage.rss_before_kib = self._process.memory_info().rss // 1024
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()
        return self.usage

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self.usage.cpu_s = _cpu_s(self._process) - self._cpu_before
        self.usage.children_cpu_s = _children_cpu_s(self._process) - self._children_before

    def _sample(self) -> None:
        while not self._stop.wait(SAMPLE_EVERY_S):
            self.usage.rss_most_kib = max(self.usage.rss_most_kib, self._process.memory_info().rss // 1024)
            self.usage.threads_most = max(self.usage.threads_most, self._process.num_threads())


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _children_cpu_s(process: psutil.Process) -> float:
    """Of everything below it. The time of one that has ended is kept by the process that waited for it."""
    total = _ended_cpu_s(process)
    for child in process.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            total += _cpu_s(child) + _ended_cpu_s(child)
    return total


def _ended_cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.children_user + times.children_system)
