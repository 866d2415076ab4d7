"""What a test must give back: tasks, threads and file descriptors. Whatever it leaves behind fails it."""

import asyncio
import functools
import gc
import inspect
import threading
import time
from collections.abc import Awaitable, Callable, Generator
from pathlib import Path
from typing import Any

import pytest

# Things that end by themselves after a close (a socket's last callback, a pool's worker) get this long.
SETTLE_S = 3.0
DESCRIPTORS = Path("/proc/self/fd")


def open_descriptors() -> dict[int, str]:
    """What each open descriptor points to; empty where the system has no /proc."""
    found: dict[int, str] = {}
    if not DESCRIPTORS.is_dir():
        return found
    for link in DESCRIPTORS.iterdir():
        try:
            found[int(link.name)] = str(link.readlink())
        except OSError:
            continue  # the descriptor of this very listing
    return found


def _settled(leftovers: Callable[[], list[str]]) -> list[str]:
    deadline = time.monotonic() + SETTLE_S
    while (found := leftovers()) and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.02)
    return found


@pytest.fixture(autouse=True)
def no_leaked_threads_or_descriptors() -> Generator[None]:
    threads = set(threading.enumerate())
    descriptors = open_descriptors()
    yield
    left = _settled(lambda: [thread.name for thread in threading.enumerate() if thread not in threads])
    assert not left, f"threads left behind: {left}"
    left = _settled(lambda: _new_descriptors(descriptors))
    assert not left, f"file descriptors left behind: {left}"


def _new_descriptors(before: dict[int, str]) -> list[str]:
    now = open_descriptors()
    return [target for number, target in now.items() if before.get(number) != target and _is_ours(target)]


def _is_ours(target: str) -> bool:
    """Devices such as /dev/urandom are opened once by libraries and kept for the process."""
    return not target.startswith(("/dev/", "/proc/", "anon_inode:[eventfd]"))


async def fail_on_leaked_tasks(before: set[asyncio.Task[Any]], *, beside_a_pool: bool = False) -> None:
    """Fail if tasks are running that were not there before; on any loop, a virtual clock's too."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + SETTLE_S
    while loop.time() < deadline:
        left = [task for task in asyncio.all_tasks() - before if not (beside_a_pool and _belongs_to_the_pool(task))]
        if not left:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"tasks left behind: {[repr(task.get_coro()) for task in left]}")


def _belongs_to_the_pool(task: asyncio.Task[Any]) -> bool:
    """On Python 3.11 `wait_for` puts what it waits for into a task; a fixture's pool makes a new one all the time."""
    return getattr(task.get_coro(), "__qualname__", "") == "Event.wait"


def watched(test: Callable[..., Awaitable[None]], *, beside_a_pool: bool) -> Callable[..., Awaitable[None]]:
    """The same coroutine test, failing if it leaves tasks behind that its fixtures did not start."""

    @functools.wraps(test)
    async def checked(*args: Any, **kwargs: Any) -> None:
        before = asyncio.all_tasks()
        await test(*args, **kwargs)
        await fail_on_leaked_tasks(before, beside_a_pool=beside_a_pool)

    return checked


def watch_items(items: list[pytest.Item]) -> None:
    for item in items:
        if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj):
            item.obj = watched(item.obj, beside_a_pool="pool" in item.fixturenames)
