"""The same cache shared by several processes through Redis. It may be away, slow or emptied at any time.

Each owner has a number that grows with every change, and a hash with the answers. An answer is kept only if the number
is still the one that was there before the search. Where a change cannot be told because Redis is away, this process
tells it as soon as Redis is back; until then others may read an old answer for as long as it lives.
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import fields
from datetime import datetime
from hashlib import blake2b
from typing import Any, TypeVar
from uuid import UUID

from ..records import FoundMemory, StoredMemory
from .recall_cache import Slot

logger = logging.getLogger(__name__)

T = TypeVar("T")

_TIMEOUT_S = 0.02  # a cache that takes longer is no gain
_PAUSE_S = 2.0  # after a failure nobody asks it for so long
_TRIES = 3
_UNTOLD_MAX = 10_000
_NUMBER_LIVES_S = 86_400
_PUT = """
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
redis.call('PEXPIRE', KEYS[2], ARGV[4])
return 1
"""
_TIMES = ("created_at", "updated_at", "valid_from", "valid_to", "expires_at", "accessed_at")


class RedisCache:
    def __init__(self, url: str, *, ttl_s: float = 60.0, prefix: str = "memory") -> None:
        import redis.asyncio as redis  # only who configures it pays for it

        self._client = redis.Redis.from_url(
            url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S, max_connections=64
        )
        self._ttl_ms = int(ttl_s * 1000)
        self._prefix = prefix
        self._away_until = 0.0
        self._untold: set[str] = set()
        self._being_told: set[str] = set()
        self._telling: asyncio.Task[None] | None = None

    def slot(self, user_id: str) -> Slot:
        return _RedisSlot(self, user_id)

    def forget(self, user_id: str) -> None:
        self._untold.add(user_id)
        if len(self._untold) > _UNTOLD_MAX:
            self._untold.pop()  # its answers die of age
        if self._telling is None or self._telling.done():
            self._telling = asyncio.get_running_loop().create_task(self._tell_all(), name="memory-cache")

    async def forget_now(self, user_id: str) -> bool:
        """Whether nothing older of this owner is there any more: for who cannot wait until Redis is back."""
        for _ in range(_TRIES):
            if await self._tell(user_id):
                return True
            await asyncio.sleep(_PAUSE_S)
        return False

    async def close(self) -> None:
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.wait({self._telling})
        await self._client.aclose()

    async def read(self, user_id: str, key: str) -> tuple[str, Sequence[FoundMemory] | None] | None:
        """The owner's number and the answer; None where Redis is away."""
        if user_id in self._untold or user_id in self._being_told:
            return None
        number_key, answers_key = self._keys(user_id)

        async def ask() -> Any:
            async with self._client.pipeline(transaction=True) as pipeline:
                pipeline.get(number_key)
                pipeline.hget(answers_key, key)
                return await pipeline.execute()

        reply = await self._ask(ask)
        if reply is None:
            return None
        number, kept = reply
        return (number or b"").decode(), _read(kept)

    async def write(self, user_id: str, key: str, number: str, found: Sequence[FoundMemory]) -> None:
        arguments = (*self._keys(user_id), number, key, _written(found), self._ttl_ms)
        await self._ask(lambda: self._client.eval(_PUT, 2, *arguments))

    async def _tell(self, user_id: str) -> bool:
        number_key, answers_key = self._keys(user_id)

        async def ask() -> Any:
            async with self._client.pipeline(transaction=True) as pipeline:
                pipeline.incr(number_key)
                pipeline.expire(number_key, _NUMBER_LIVES_S)
                pipeline.unlink(answers_key)
                return await pipeline.execute()

        return await self._ask(ask) is not None

    async def _tell_all(self) -> None:
        while self._untold:
            for user_id in tuple(self._untold):
                self._untold.discard(user_id)  # first: a change from now on is told again
                self._being_told.add(user_id)
                told = await self._tell(user_id)
                self._being_told.discard(user_id)
                if not told:
                    self._untold.add(user_id)
                    await asyncio.sleep(_PAUSE_S)
                    break

    async def _ask(self, ask: Callable[[], Awaitable[T]]) -> T | None:
        loop = asyncio.get_running_loop()
        if loop.time() < self._away_until:
            return None
        try:
            async with asyncio.timeout(5 * _TIMEOUT_S):
                return await ask()
        except Exception as error:  # noqa: BLE001 - a cache: without it everything works, only slower
            self._away_until = loop.time() + _PAUSE_S
            logger.warning("memory: the shared cache is away (%s)", type(error).__name__)
            return None

    def _keys(self, user_id: str) -> tuple[str, str]:
        owner = blake2b(user_id.encode(), digest_size=16).hexdigest()
        # The braces keep both on one node of a Redis cluster.
        return f"{self._prefix}:{{{owner}}}:number", f"{self._prefix}:{{{owner}}}:answers"


class _RedisSlot:
    def __init__(self, cache: RedisCache, user_id: str) -> None:
        self._cache = cache
        self._user_id = user_id
        self._number: str | None = None

    async def get(self, key: str) -> Sequence[FoundMemory] | None:
        reply = await self._cache.read(self._user_id, key)
        if reply is None:
            return None
        self._number, found = reply
        return found

    async def put(self, key: str, found: Sequence[FoundMemory]) -> None:
        if self._number is not None:
            await self._cache.write(self._user_id, key, self._number, found)


def _written(found: Sequence[FoundMemory]) -> str:
    return json.dumps([[_plain(one.memory), one.score, one.semantic_score] for one in found], ensure_ascii=False)


def _plain(memory: StoredMemory) -> dict[str, Any]:
    plain = {field.name: getattr(memory, field.name) for field in fields(memory)}
    for name, value in plain.items():
        if isinstance(value, datetime):
            plain[name] = value.isoformat()
        elif isinstance(value, UUID):
            plain[name] = str(value)
    return plain


def _read(kept: bytes | None) -> list[FoundMemory] | None:
    """None for what cannot be read: another version of this program may have written it."""
    if kept is None:
        return None
    try:
        return [FoundMemory(_memory(plain), score, semantic) for plain, score, semantic in json.loads(kept)]
    except (ValueError, TypeError, KeyError):
        return None


def _memory(plain: dict[str, Any]) -> StoredMemory:
    for name in _TIMES:
        if plain[name] is not None:
            plain[name] = datetime.fromisoformat(plain[name])
    for name in ("id", "superseded_by", "compressed_into"):
        if plain[name] is not None:
            plain[name] = UUID(plain[name])
    return StoredMemory(**plain)
