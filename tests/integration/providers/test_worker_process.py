"""The child process behind a recogniser: real processes that answer, die and hang."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from xiaozhi_server.core.providers.asr.worker_process import MAX_WAITING, WorkerError, WorkerProcess

# Answers with its own id and the request; "die" and "hang" are obeyed.
CHILD = """
import os, struct, sys, time
read, write = sys.stdin.buffer.read, sys.stdout.buffer.write
while head := read(4):
    request = read(*struct.unpack(">I", head))
    if request == b"die":
        os._exit(1)
    if request == b"hang":
        time.sleep(60)
    answer = b"%d " % os.getpid() + request
    write(struct.pack(">I", 2**31 if request == b"endless" else len(answer)) + answer)
    sys.stdout.buffer.flush()
"""


@asynccontextmanager
async def worker(timeout_s: float = 10) -> AsyncIterator[WorkerProcess]:
    process = WorkerProcess([sys.executable, "-c", CHILD], timeout_s)
    try:
        yield process
    finally:
        await process.close()


async def ask(process: WorkerProcess, text: str) -> tuple[int, str]:
    number, _, answer = (await process.ask(text.encode())).decode().partition(" ")
    return int(number), answer


async def test_one_process_answers_everybody_in_turn() -> None:
    async with worker() as process:
        answers = await asyncio.gather(*(ask(process, str(number)) for number in range(MAX_WAITING)))
        assert [answer for _, answer in answers] == [str(number) for number in range(MAX_WAITING)]
        assert len({number for number, _ in answers}) == 1


async def test_more_than_can_wait_are_refused() -> None:
    async with worker() as process:
        results = await asyncio.gather(*(ask(process, "x") for _ in range(MAX_WAITING + 2)), return_exceptions=True)
        assert sum(isinstance(result, WorkerError) for result in results) == 2


@pytest.mark.parametrize("deadly", ["die", "endless"])
async def test_a_dead_process_is_replaced(deadly: str) -> None:
    async with worker() as process:
        first, _ = await ask(process, "x")
        with pytest.raises(WorkerError):
            await ask(process, deadly)
        second, answer = await ask(process, "y")
        assert (second != first, answer) == (True, "y")


async def test_a_hanging_process_is_replaced() -> None:
    async with worker(timeout_s=1) as process:
        with pytest.raises(WorkerError, match="within 1 s"):
            await ask(process, "hang")
        assert (await ask(process, "y"))[1] == "y"


async def test_a_cancelled_request_leaves_no_answer_for_the_next() -> None:
    async with worker() as process:
        await ask(process, "x")
        task = asyncio.create_task(ask(process, "hang"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await ask(process, "y"))[1] == "y"


async def test_a_command_that_does_not_exist() -> None:
    process = WorkerProcess(["/nowhere/at/all"], 1)
    with pytest.raises(WorkerError):
        await process.ask(b"x")
    await process.close()
