"""A conversation at the terminal or through a pipe: lines in, replies out, whatever the connection does meanwhile."""

import asyncio
import io
import json
import sys
import threading
from collections.abc import AsyncIterator

from firmware_sim.device import Reply, SimulatedDevice, State
from firmware_sim.errors import BootError, ConnectError, FirmwareError, HelloTimeoutError, UnansweredError
from firmware_sim.report import reply_line
from firmware_sim.wav import find_player, play

_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 3.0


class ServerGoneError(FirmwareError):
    """The server did not come back in time."""


class Chat:
    """One conversation; `replies` is what was answered, `failures` counts the lines that were not."""

    def __init__(self, device: SimulatedDevice, *, timeout_s: float, as_json: bool, with_sound: bool) -> None:
        self.replies: list[Reply] = []
        self.failures = 0
        self._device = device
        self._timeout_s = timeout_s
        self._as_json = as_json
        self._player = find_player() if with_sound else None
        if with_sound and self._player is None:
            _tell("There is no player (pw-play, paplay, aplay, afplay): the replies are reported only.")

    async def run(self) -> None:
        if sys.stdin.isatty():
            print("Type what you want to say; an empty line or Ctrl-D ends it.")
        try:
            async for line in _lines():
                await self._turn(line)
        except ServerGoneError as error:
            _tell(f"! {error}")

    async def _turn(self, line: str) -> None:
        """One line and its reply; a failure is told and does not end the conversation."""
        try:
            reply = await self._say(line)
        except FirmwareError as error:
            self.failures += 1
            if isinstance(error, ServerGoneError):
                raise
            _tell(f"! {error}")
            return
        self.replies.append(reply)
        if self._as_json:
            print(json.dumps(reply.report(), ensure_ascii=False), flush=True)
        else:
            print(f"< {reply.text or '(nothing was said)'}\n  [{reply_line(reply)}]", flush=True)
        if self._player:
            await play(self._player, reply.pcm, reply.sample_rate)

    async def _say(self, line: str) -> Reply:
        """Say it until an answer begins: no line is lost to a channel that closes or a server that restarts."""
        loop = asyncio.get_running_loop()
        give_up_at_s = loop.time() + self._timeout_s
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                if self._device.state is State.STARTING:
                    await self._device.boot()
                return await self._device.say_text(line, timeout_s=self._timeout_s)
            except (UnansweredError, ConnectError, HelloTimeoutError, BootError) as error:
                if not self._device.session_id:
                    raise  # it never was there: waiting would not help
                if loop.time() + pause_s > give_up_at_s:
                    raise ServerGoneError(f"the server did not come back: {error}") from error
                if pause_s == _FIRST_PAUSE_S:
                    _tell(f"({error}; trying again)")
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


async def _lines() -> AsyncIterator[str]:
    """Lines up to the end; at a terminal up to an empty one. In a pipe empty lines mean nothing."""
    loop = asyncio.get_running_loop()
    interactive = sys.stdin.isatty()
    lines: asyncio.Queue[str] = asyncio.Queue(maxsize=1)
    wanted = threading.Semaphore(0)
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")  # a byte that is no text must not end the conversation

    def read() -> None:
        # A daemon thread: a blocked read of the terminal must not keep the program from ending.
        while wanted.acquire():
            line = sys.stdin.readline()
            loop.call_soon_threadsafe(lines.put_nowait, line)
            if not line:
                return

    threading.Thread(target=read, daemon=True, name="stdin").start()
    while True:
        if interactive:
            print("> ", end="", flush=True)
        wanted.release()
        line = await lines.get()
        if not line or (interactive and not line.strip()):
            return
        if line.strip():
            yield line.strip()
