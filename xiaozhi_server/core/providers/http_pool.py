"""Kept HTTP connections, one pool for all who ask the same server in the same way. It knows no service."""

import asyncio
import ssl
import sys
from dataclasses import dataclass, field
from functools import cache
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass
from weakref import WeakKeyDictionary

import aiohttp
import truststore

CONNECT_TIMEOUT_S = 3.0
POOL_TIMEOUT_S = 5.0
# People pause between turns: a connection kept over the pause saves the next turn a TLS handshake.
KEEPALIVE_S = 60.0
MAX_CONNECTIONS = 1000
USER_AGENT = "xiaozhi-server"


@dataclass(frozen=True, slots=True)
class PoolKey:
    """What is the same for all who share a pool."""

    base_url: str
    api_key: str = field(repr=False)
    # The longest silence of the server that is borne.
    timeout_s: float


class _Pool:
    """One session and how many use it."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session
        self.users = 0


_pools: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[PoolKey, _Pool]] = WeakKeyDictionary()


class PoolMember:
    """One user's hold on a pool, which ends with its last member."""

    def __init__(self, key: PoolKey) -> None:
        self._key = key
        self._pool: _Pool | None = None
        # Slow, so not left to the first turn.
        tls_settings()

    def session(self) -> aiohttp.ClientSession:
        """The shared session, made on the running loop when it is first needed."""
        if self._pool is None:
            pools = _pools.setdefault(asyncio.get_running_loop(), {})
            if self._key not in pools:
                pools[self._key] = _Pool(_open_session(self._key))
            self._pool = pools[self._key]
            self._pool.users += 1
        return self._pool.session

    async def close(self) -> None:
        pool, self._pool = self._pool, None
        if pool is None:
            return
        pool.users -= 1
        if pool.users == 0:
            _pools[asyncio.get_running_loop()].pop(self._key, None)
            await pool.session.close()


def _open_session(key: PoolKey) -> aiohttp.ClientSession:
    headers = {"User-Agent": USER_AGENT}
    if key.api_key:
        headers["Authorization"] = f"Bearer {key.api_key}"
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=MAX_CONNECTIONS, keepalive_timeout=KEEPALIVE_S, ssl=tls_settings()),
        timeout=aiohttp.ClientTimeout(connect=POOL_TIMEOUT_S, sock_connect=CONNECT_TIMEOUT_S, sock_read=key.timeout_s),
        headers=headers,
        # The devices of many people share it: nothing of one request may come along with another.
        cookie_jar=aiohttp.DummyCookieJar(),
        proxy=_proxy_for(key.base_url),
    )


def _proxy_for(base_url: str) -> str | None:
    """The proxy that the environment names (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, but not for those in NO_PROXY).

    Asked once: aiohttp's own way would start a thread with each request, and put a key from ~/.netrc in place of ours.
    """
    address = urlsplit(base_url)
    proxies = getproxies()
    proxy = proxies.get(address.scheme) or proxies.get("all")
    if not proxy or proxy_bypass(address.netloc):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


@cache
def tls_settings() -> ssl.SSLContext:
    if sys.platform in ("win32", "darwin"):
        # Whom to trust is known to the system there, and to no file that Python would find.
        return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return ssl.create_default_context()
