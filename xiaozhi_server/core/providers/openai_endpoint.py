"""A server with OpenAI's HTTP interface: its address, its key and one pool of connections for all who use it.

It knows nothing of chats, sounds or turns. Its errors say where and what failed, never a word of request or answer.
"""

import asyncio
import errno
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from functools import cache
from typing import Annotated, Any, Protocol, TypeVar
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

import aiohttp
import httpx2
from openai import APIStatusError, AsyncOpenAI, DefaultAioHttpClient, Omit
from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, field_validator
from pydantic_core.core_schema import ValidationInfo

OPENAI_HOST = "api.openai.com"
CONNECT_TIMEOUT_S = 3.0
POOL_TIMEOUT_S = 5.0
# People pause between turns: a connection kept over the pause saves the next turn a TLS handshake.
KEEPALIVE_S = 60.0
MAX_CONNECTIONS = 1000
# What a server that asks for no key is sent in its place: the SDK cannot do without.
NO_KEY = "none"
# Some configurations give the whole path of one service where we want the root of all of them.
SERVICE_PATHS = ("/audio/speech", "/audio/transcriptions", "/chat/completions")
# A server may quote the request in its error text, so only codes that we know are repeated.
KNOWN_CODES = frozenset(
    {
        "context_length_exceeded",
        "insufficient_quota",
        "invalid_api_key",
        "invalid_model",
        "model_not_found",
        "rate_limit_exceeded",
        "unsupported_parameter",
        "unsupported_value",
    }
)

T = TypeVar("T")


def _none_if_blank(value: object) -> object:
    return None if value == "" else value


OptionalNumber = Annotated[float | None, BeforeValidator(_none_if_blank)]
OptionalCount = Annotated[int | None, BeforeValidator(_none_if_blank)]


class EndpointConfig(BaseModel):
    """What every openai provider is told about its server."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, str_strip_whitespace=True, hide_input_in_errors=True
    )

    base_url: str = Field(
        default=f"https://{OPENAI_HOST}/v1", validation_alias=AliasChoices("base_url", "url", "api_url")
    )
    api_key: SecretStr = Field(default=SecretStr(""), validate_default=True)
    # The longest silence of the server that is borne: between two pieces of a stream, or until a whole answer.
    timeout_s: float = Field(default=30.0, gt=0, le=600, validation_alias=AliasChoices("timeout_s", "timeout"))

    @field_validator("base_url")
    @classmethod
    def _is_a_root(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must be an address such as https://host/v1")
        if parts.username or parts.password:
            raise ValueError("must not carry a name or password: set api_key instead")
        root = value.rstrip("/")
        for path in SERVICE_PATHS:
            root = root.removesuffix(path)
        return root

    @field_validator("api_key")
    @classmethod
    def _is_there_where_needed(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        if not value.get_secret_value() and urlsplit(info.data.get("base_url", "")).hostname == OPENAI_HOST:
            raise ValueError(f"is missing: {OPENAI_HOST} answers nobody without a key (set OPENAI_API_KEY or api_key)")
        return value


class EndpointError(Exception):
    """A request to a server failed."""

    def __init__(self, where: str, what: str) -> None:
        super().__init__(f"{where}: {what}")


class EndpointUnreachableError(EndpointError):
    """Nobody listens there, or the connection broke."""


class EndpointTimeoutError(EndpointError):
    """The server was silent for too long."""


class EndpointRefusedError(EndpointError):
    """The key is not accepted (401, 403)."""


class EndpointBusyError(EndpointError):
    """Too many requests, or the account has nothing left (429)."""


class EndpointRejectedError(EndpointError):
    """The server does not want this request (other 4xx)."""


class EndpointAbsentError(EndpointRejectedError):
    """The server has no such service, or no such model (404, 405, 501)."""


class EndpointFaultError(EndpointError):
    """The server failed by its own account (5xx, or an error inside a stream)."""


class EndpointNonsenseError(EndpointError):
    """The server answered with something that is not an answer."""


class _Pooled:
    """One client and how many providers use it."""

    def __init__(self, client: AsyncOpenAI) -> None:
        self.client = client
        self.users = 0


_PoolKey = tuple[str, str, float]
_pools: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[_PoolKey, _Pooled]] = WeakKeyDictionary()


class Closable(Protocol):
    """A running answer of the SDK."""

    async def close(self) -> None: ...


class Endpoint:
    """One provider's hold on a server. Providers with the same address and key share one pool of connections."""

    def __init__(self, config: EndpointConfig) -> None:
        self._config = config
        self._pooled: _Pooled | None = None
        # Slow, so not left to the first turn.
        _tls_settings()
        parts = urlsplit(config.base_url)
        self.where = parts.netloc

    def client(self) -> AsyncOpenAI:
        """The shared client, made on the running loop when it is first needed."""
        if self._pooled is None:
            pools = _pools.setdefault(asyncio.get_running_loop(), {})
            key = self._pool_key()
            if key not in pools:
                pools[key] = _Pooled(_make_client(self._config))
            self._pooled = pools[key]
            self._pooled.users += 1
        return self._pooled.client

    async def close(self) -> None:
        pooled, self._pooled = self._pooled, None
        if pooled is None:
            return
        pooled.users -= 1
        if pooled.users == 0:
            _pools[asyncio.get_running_loop()].pop(self._pool_key(), None)
            await pooled.client.close()

    async def call(self, request: Callable[[AsyncOpenAI], Awaitable[T]]) -> T:
        """Make one request and wait for its head (or all of it, where it is no stream).

        A kept connection may have been closed by the server meanwhile: that alone is tried again, at once.
        """
        may_retry = True
        while True:
            try:
                return await request(self.client())
            except Exception as error:  # noqa: BLE001 a provider call: whatever it raises may quote the request
                failure = self.failure(error)
                was_stale = _connection_was_stale(error)
            if not (may_retry and was_stale):
                raise failure
            may_retry = False

    async def call_within(self, deadline_s: float, request: Callable[[AsyncOpenAI], Awaitable[T]]) -> T:
        """The same for a whole answer, which must be there by the deadline."""
        try:
            async with asyncio.timeout(deadline_s):
                return await self.call(request)
        except TimeoutError:
            pass
        raise EndpointTimeoutError(self.where, f"no answer within {deadline_s:g} s")

    async def pieces(self, answer: Closable, pieces: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
        """The pieces of a running answer. However this ends, the request ends with it."""
        failure: EndpointError | None = None
        try:
            async with aclosing(pieces):
                async for piece in pieces:
                    yield piece
        except Exception as error:  # noqa: BLE001 a provider call: whatever it raises may quote the request
            failure = self.failure(error)
        finally:
            await answer.close()
        if failure is not None:
            raise failure

    def nonsense(self, what: str) -> EndpointNonsenseError:
        return EndpointNonsenseError(self.where, what)

    def failure(self, error: BaseException) -> EndpointError:
        """The error as it may be told: raise it outside of the handler, so that it does not carry the first one."""
        if isinstance(error, EndpointError):
            return error
        if isinstance(error, APIStatusError):
            return self._status_failure(error)
        cause = _network_cause(error)
        if isinstance(cause, TimeoutError):
            return EndpointTimeoutError(self.where, "no answer in time")
        if isinstance(cause, aiohttp.ClientConnectorError):
            return EndpointUnreachableError(self.where, f"cannot connect ({_system_reason(cause)})")
        if cause is not None:
            return EndpointUnreachableError(self.where, f"the connection broke ({type(cause).__name__})")
        if isinstance(error, ValueError | TypeError | AttributeError | KeyError | IndexError):
            return self.nonsense(f"not a usable answer ({type(error).__name__})")
        return EndpointFaultError(self.where, f"failed ({type(error).__name__}{_known_code(error)})")

    def _status_failure(self, error: APIStatusError) -> EndpointError:
        status = error.status_code
        what = f"HTTP {status}{_known_code(error)}"
        if status in (401, 403):
            return EndpointRefusedError(self.where, f"{what}: the key (api_key) is not accepted")
        if status == 429:
            return EndpointBusyError(self.where, f"{what}: too many requests, or the account is used up")
        if status in (404, 405, 501) and not _known_code(error):
            return EndpointAbsentError(self.where, f"{what}, no such service or model")
        if status >= 500:
            return EndpointFaultError(self.where, what)
        return EndpointRejectedError(self.where, what)

    def _pool_key(self) -> _PoolKey:
        config = self._config
        return config.base_url, config.api_key.get_secret_value(), config.timeout_s


@cache
def _tls_settings() -> ssl.SSLContext:
    return httpx2.create_ssl_context()


def _make_client(config: EndpointConfig) -> AsyncOpenAI:
    timeout = httpx2.Timeout(config.timeout_s, connect=CONNECT_TIMEOUT_S, pool=POOL_TIMEOUT_S)
    limits = httpx2.Limits(
        max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_CONNECTIONS, keepalive_expiry=KEEPALIVE_S
    )
    # Whatever we leave out the SDK takes from OPENAI_* variables, which may belong to another server:
    # so each is given here, and Omit keeps its header away.
    headers: dict[str, Any] = {"OpenAI-Organization": Omit(), "OpenAI-Project": Omit()}
    return AsyncOpenAI(
        api_key=config.api_key.get_secret_value() or NO_KEY,
        admin_api_key="",
        organization="",
        project="",
        base_url=config.base_url,
        timeout=timeout,
        max_retries=0,
        default_headers=headers,
        http_client=DefaultAioHttpClient(timeout=timeout, limits=limits, verify=_tls_settings()),
    )


def _network_cause(error: BaseException) -> BaseException | None:
    """The aiohttp error or timeout below the SDK's wrapping, which confuses a closed connection with a timeout."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, aiohttp.ClientError | TimeoutError):
            return seen
        seen = seen.__cause__ or seen.__context__
    return None


def _connection_was_stale(error: BaseException) -> bool:
    cause = _network_cause(error)
    if isinstance(cause, aiohttp.ClientConnectorError | TimeoutError):
        return False
    return isinstance(cause, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError)


def _system_reason(error: aiohttp.ClientConnectorError) -> str:
    return errno.errorcode.get(error.os_error.errno or 0, type(error.os_error).__name__)


def _known_code(error: BaseException) -> str:
    code = getattr(error, "code", None)
    return f" {code}" if isinstance(code, str) and code in KNOWN_CODES else ""
