"""What one client may take of the server: how often, how much, how many. Knows no socket and no message.

Time is the event loop's. The names of the bounds are those of their settings, or of the constants of those that have
none, and of their labels in the metrics.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from loguru import logger

Bound = Literal[
    "max_connections",
    "max_pending_connections",
    "max_http_connections",
    "replacements_per_minute",
    "max_message_bytes",
    "max_audio_frame_bytes",
    "messages_per_second",
    "turns_per_minute",
    "max_unsent_bytes",
    "send_timeout_s",
    "hello_timeout_s",
    "max_early_messages",
    "max_pending_contacts",
]
# Called each time that somebody reaches a bound; returns at once and never raises.
OnBound = Callable[[Bound], None]

# A line about the same trouble appears in the log this often at most: who is hostile must not fill it.
LOG_PAUSE_S = 30.0


@dataclass(frozen=True, slots=True)
class SocketBounds:
    """`message_burst` may come at once, on top of `messages_per_second`; a large message counts once for each KiB."""

    messages_per_second: float = 200.0
    message_burst: int = 1_000
    max_unsent_bytes: int = 256 * 1024
    send_deadline_s: float = 5.0


class Allowance:
    """So much a second, and `burst` of it at once. `spend` may lead into debt, `take` does not."""

    __slots__ = ("_burst", "_left", "_looked_at", "_per_second")

    def __init__(self, per_second: float, burst: float) -> None:
        self._per_second = per_second
        self._burst = burst
        self._left = burst
        self._looked_at = asyncio.get_running_loop().time()

    def spend(self, amount: float) -> None:
        self._refill()
        self._left -= amount

    def take(self) -> bool:
        """Spend one if there is one."""
        self._refill()
        if self._left < 1:
            return False
        self._left -= 1
        return True

    @property
    def debt_s(self) -> float:
        """How long it takes until all is paid; 0 or less: nothing is owed. As of the last `spend`."""
        return -self._left / self._per_second

    def _refill(self) -> None:
        now = asyncio.get_running_loop().time()
        self._left = min(self._burst, self._left + (now - self._looked_at) * self._per_second)
        self._looked_at = now


class Seldom:
    """True now and then, for the log."""

    __slots__ = ("_next_at", "_pause_s")

    def __init__(self, pause_s: float = LOG_PAUSE_S) -> None:
        self._pause_s = pause_s
        self._next_at = float("-inf")

    def __call__(self) -> bool:
        now = asyncio.get_running_loop().time()
        if now < self._next_at:
            return False
        self._next_at = now + self._pause_s
        return True


class Visitor(Protocol):
    def abort(self) -> None: ...


class Porch:
    """Connections that have asked for nothing yet. Where too many stand here the oldest is sent away: an honest device
    asks at once.
    """

    def __init__(self, limit: int, bound: Bound, on_bound: OnBound) -> None:
        self._limit = limit
        self._bound = bound
        self._on_bound = on_bound
        self._standing: dict[Visitor, None] = {}
        self._say_crowded = Seldom()

    def __len__(self) -> int:
        return len(self._standing)

    def knock(self, visitor: Visitor) -> None:
        self._standing[visitor] = None
        if len(self._standing) > self._limit:
            oldest = next(iter(self._standing))
            del self._standing[oldest]
            self._on_bound(self._bound)
            if self._say_crowded():
                logger.warning("{}: more than {} connections ask for nothing: the oldest go", self._bound, self._limit)
            oldest.abort()

    def gone(self, visitor: Visitor) -> None:
        self._standing.pop(visitor, None)


class Door:
    """Who has knocked and who was let in, each counted from its TCP connection until that is gone."""

    def __init__(self, max_inside: int, porch: Porch, on_bound: OnBound) -> None:
        self._max_inside = max_inside
        self._porch = porch
        self._on_bound = on_bound
        self._inside: set[Visitor] = set()
        self._say_full = Seldom()

    def knock(self, visitor: Visitor) -> None:
        self._porch.knock(visitor)

    def enter(self, visitor: Visitor, *, in_place_of_another: bool) -> bool:
        """The place is taken at once, before anything is waited for. False: there is none."""
        if not in_place_of_another and len(self._inside) >= self._max_inside:
            self._on_bound("max_connections")
            if self._say_full():
                logger.warning("there are {} connections already: more are refused", self._max_inside)
            return False
        self._porch.gone(visitor)
        self._inside.add(visitor)
        return True

    def is_inside(self, visitor: Visitor) -> bool:
        return visitor in self._inside

    def turn_away(self, visitor: Visitor) -> None:
        """It had a place and was refused for another reason."""
        self._inside.discard(visitor)

    def gone(self, visitor: Visitor) -> None:
        self._porch.gone(visitor)
        self._inside.discard(visitor)


class Squabbles:
    """Two clients that take one device id from each other again and again. The new one wins, but not without end."""

    def __init__(self, per_minute: float, on_bound: OnBound) -> None:
        self._per_minute = per_minute
        self._on_bound = on_bound
        self._by_device: dict[str, tuple[Allowance, Seldom]] = {}

    def may_replace(self, device_id: str) -> bool:
        """Asked while the device id is taken by another connection."""
        if device_id not in self._by_device:
            self._by_device[device_id] = (Allowance(self._per_minute / 60, self._per_minute), Seldom())
        allowance, say = self._by_device[device_id]
        if allowance.take():
            return True
        self._on_bound("replacements_per_minute")
        if say():
            logger.warning("two clients call themselves {} and replace each other: the newer is refused", device_id)
        return False

    def forget(self, device_id: str) -> None:
        """Nobody is connected under this name any more."""
        self._by_device.pop(device_id, None)
