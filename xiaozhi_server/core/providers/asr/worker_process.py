"""A child process that answers one request at a time, for work that would hold up this one. Knows no speech.

Both ways a message is four bytes of length (big endian) and that many bytes. The child ends when its input ends, so it
does not outlive a parent that was killed.
"""

import asyncio
import struct
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Sequence

LENGTH = struct.Struct(">I")
# Requests that may wait for the one under way.
MAX_WAITING = 8
LONGEST_ANSWER = 65_536


class WorkerError(Exception):
    """The child could not be asked, died, or took too long. The next request gets a new one."""


class WorkerProcess:
    def __init__(self, command: Sequence[str], timeout_s: float) -> None:
        self._command = command
        self._timeout_s = timeout_s
        self._process: Process | None = None
        self._turn = asyncio.Lock()
        self._waiting = 0

    async def ask(self, request: bytes) -> bytes:
        """The deadline covers the waiting for earlier requests too."""
        if self._waiting >= MAX_WAITING:
            raise WorkerError("too many requests are waiting")
        self._waiting += 1
        try:
            async with asyncio.timeout(self._timeout_s), self._turn:
                return await self._exchange(request)
        except TimeoutError:
            raise WorkerError(f"no answer within {self._timeout_s:g} s") from None
        finally:
            self._waiting -= 1

    async def close(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        if process.returncode is None:
            process.kill()
        await process.wait()

    async def _exchange(self, request: bytes) -> bytes:
        """Whoever leaves in the middle leaves a child that would answer the wrong request: it is ended."""
        done = False
        try:
            answer = await self._send_and_read(await self._running(), request)
            done = True
            return answer
        except (OSError, EOFError):
            raise WorkerError("the process died") from None
        finally:
            if not done:
                await self.close()

    async def _running(self) -> Process:
        if self._process is None or self._process.returncode is not None:
            await self.close()
            self._process = await asyncio.create_subprocess_exec(
                *self._command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL
            )
        return self._process

    async def _send_and_read(self, process: Process, request: bytes) -> bytes:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(LENGTH.pack(len(request)) + request)
        await process.stdin.drain()
        (length,) = LENGTH.unpack(await process.stdout.readexactly(LENGTH.size))
        if length > LONGEST_ANSWER:
            raise WorkerError("an answer without end")
        return await process.stdout.readexactly(length)
