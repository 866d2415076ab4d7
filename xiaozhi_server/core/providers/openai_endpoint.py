"""A server with OpenAI's HTTP interface: its address and key, how it is asked, and how its failures are told.

It knows nothing of chats, sounds or turns. Its errors say where and what failed, never a word of request or answer.
"""

import asyncio
import errno
import io
import json
import ssl
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

import aiohttp
from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, field_validator
from pydantic_core.core_schema import ValidationInfo

from .http_pool import PoolKey, PoolMember
from .sse import SseReader

OPENAI_HOST = "api.openai.com"
JSON_TYPE = "application/json"
EVENTS_TYPE = "text/event-stream"
END_OF_EVENTS = b"[DONE]"
# Nothing that makes sense is longer.
MAX_ANSWER_BYTES = 4 * 1024 * 1024
MAX_EVENT_BYTES = 1024 * 1024
MAX_ERROR_BYTES = 64 * 1024
# The status has said the most: nobody waits long for the rest of an error, or for the end of an answer that is told.
ERROR_BODY_WITHIN_S = 1.0
END_WITHIN_S = 0.1
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
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
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


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked, put into bytes once, however often it is sent."""

    body: bytes
    content_type: str
    accept: str


def json_request(body: dict[str, Any], accept: str) -> Request:
    # Half a character, as some models leave it in a talk, has no UTF-8: so only ASCII is written.
    return Request(json.dumps(body).encode("ascii"), JSON_TYPE, accept)


class Endpoint:
    """One provider's hold on one service of a server."""

    def __init__(self, config: EndpointConfig, path: str) -> None:
        self._timeout_s = config.timeout_s
        self._url = config.base_url + path
        self._pool = PoolMember(PoolKey(config.base_url, config.api_key.get_secret_value(), config.timeout_s))
        self.where = urlsplit(config.base_url).netloc

    async def close(self) -> None:
        await self._pool.close()

    async def open(self, request: Request) -> aiohttp.ClientResponse:
        """Ask, and wait for the head of the answer. Whoever gets it hands it to `pieces`, which closes it."""
        answer = await self._head(request)
        if 200 <= answer.status < 300:
            return answer
        try:
            code = await _error_code(answer)
        finally:
            answer.close()
        raise self._status_failure(answer.status, code)

    async def fetch_json(self, request: Request) -> object:
        """Ask for an answer that is told as a whole, which must be there within the time of the longest silence."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._json_of(await self.open(request))
        except TimeoutError:
            pass
        raise EndpointTimeoutError(self.where, f"no answer within {self._timeout_s:g} s")

    async def pieces(self, answer: aiohttp.ClientResponse, pieces: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
        """The pieces of a running answer. However this ends, the request ends with it."""
        failure: EndpointError | None = None
        try:
            async with aclosing(pieces):
                async for piece in pieces:
                    yield piece
        except Exception as error:  # noqa: BLE001 a provider call: whatever it raises may quote the request
            failure = self.failure(error)
        finally:
            answer.close()
        if failure is not None:
            raise failure

    async def chunks(self, answer: aiohttp.ClientResponse) -> AsyncGenerator[Any, None]:
        """What a stream of events says, up to its last word. To be read through `pieces`."""
        reader = SseReader(MAX_EVENT_BYTES)
        async for piece in answer.content.iter_any():
            for data in reader.feed(piece):
                if data.startswith(END_OF_EVENTS):
                    await _read_to_the_end(answer)
                    return
                chunk = json.loads(data.decode())
                if isinstance(chunk, dict) and chunk.get("error"):
                    raise EndpointFaultError(self.where, f"failed while it answered{_known_code(chunk)}")
                yield chunk

    def nonsense(self, what: str) -> EndpointNonsenseError:
        return EndpointNonsenseError(self.where, what)

    def failure(self, error: BaseException) -> EndpointError:
        """The error as it may be told: raise it outside of the handler, so that it does not carry the first one."""
        if isinstance(error, EndpointError):
            return error
        if isinstance(error, TimeoutError):
            return EndpointTimeoutError(self.where, "no answer in time")
        if isinstance(error, aiohttp.ClientConnectorError):
            return EndpointUnreachableError(self.where, f"cannot connect ({_system_reason(error)})")
        if isinstance(error, aiohttp.ClientError | OSError):
            return EndpointUnreachableError(self.where, f"the connection broke ({type(error).__name__})")
        if isinstance(error, ValueError | TypeError | AttributeError | KeyError | IndexError | RecursionError):
            return self.nonsense(f"not a usable answer ({type(error).__name__})")
        return EndpointFaultError(self.where, f"failed ({type(error).__name__})")

    async def _json_of(self, answer: aiohttp.ClientResponse) -> object:
        try:
            return json.loads(await _read_whole(answer, MAX_ANSWER_BYTES))
        except Exception as error:  # noqa: BLE001 a provider call: whatever it raises may quote the request
            failure = self.failure(error)
        finally:
            answer.close()
        raise failure

    async def _head(self, request: Request) -> aiohttp.ClientResponse:
        """A kept connection may have been closed by the server meanwhile: that alone is tried again, at once."""
        may_retry = True
        while True:
            try:
                return await self._send(request)
            except Exception as error:  # noqa: BLE001 a provider call: whatever it raises may quote the request
                failure = self.failure(error)
                was_stale = _connection_was_stale(error)
            if not (may_retry and was_stale):
                raise failure
            may_retry = False

    async def _send(self, request: Request) -> aiohttp.ClientResponse:
        return await self._pool.session().post(
            self._url,
            data=io.BytesIO(request.body),
            headers={"Content-Type": request.content_type, "Accept": request.accept},
            # What was said goes to the server that was chosen, and to no other.
            allow_redirects=False,
        )

    def _status_failure(self, status: int, code: str) -> EndpointError:
        what = f"HTTP {status}{code}"
        if status in (401, 403):
            return EndpointRefusedError(self.where, f"{what}: the key (api_key) is not accepted")
        if status == 429:
            return EndpointBusyError(self.where, f"{what}: too many requests, or the account is used up")
        if status in (404, 405, 501) and not code:
            return EndpointAbsentError(self.where, f"{what}, no such service or model")
        if status >= 500:
            return EndpointFaultError(self.where, what)
        if 300 <= status < 400:
            return EndpointRejectedError(self.where, f"{what}: it points elsewhere, set base_url to that address")
        return EndpointRejectedError(self.where, what)


async def _read_whole(answer: aiohttp.ClientResponse, most_bytes: int) -> bytes:
    whole = bytearray()
    async for piece in answer.content.iter_any():
        whole += piece
        if len(whole) > most_bytes:
            raise ValueError("the answer is too long")
    return bytes(whole)


async def _error_code(answer: aiohttp.ClientResponse) -> str:
    try:
        async with asyncio.timeout(ERROR_BODY_WITHIN_S):
            return _known_code(json.loads(await _read_whole(answer, MAX_ERROR_BYTES)))
    except Exception:  # noqa: BLE001 whatever is wrong with it, the status is known
        return ""


async def _read_to_the_end(answer: aiohttp.ClientResponse) -> None:
    """Only a connection whose answer was read to its end can serve the next turn."""
    try:
        async with asyncio.timeout(END_WITHIN_S):
            async for _ in answer.content.iter_any():
                pass
    except (TimeoutError, aiohttp.ClientError):
        pass  # then it is closed


def _connection_was_stale(error: BaseException) -> bool:
    if isinstance(error, aiohttp.ClientConnectorError | TimeoutError):
        return False
    return isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError | ConnectionResetError)


def _system_reason(error: aiohttp.ClientConnectorError) -> str:
    reason = error.os_error
    if isinstance(reason, ssl.SSLError):  # its number is TLS's own
        return type(reason).__name__
    return errno.errorcode.get(reason.errno or 0, type(reason).__name__)


def _known_code(body: object) -> str:
    """The code of an error, as OpenAI words it: {"error": {"code": ...}}, or without the wrapping."""
    error = body.get("error", body) if isinstance(body, dict) else None
    code = error.get("code") if isinstance(error, dict) else None
    return f" {code}" if isinstance(code, str) and code in KNOWN_CODES else ""
