"""Dify's Service API over HTTP, as far as it is needed here: the conversations of a user, and their messages.

A page of messages is ascending, and the page before it is asked for by its first message. Of conversations the one
that was last used comes first, and the next page is asked for by the last one of this page.
"""

import asyncio
import contextlib
import json
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from ..errors import MemoryInputError
from .dify_errors import (
    DifyAnswerError,
    DifyAwayError,
    DifyError,
    DifyRefusedError,
    DifyRejectedError,
    DifyUnknownError,
)
from .dify_messages import DifyConversation, DifyMessage, conversation_from, message_from

T = TypeVar("T")
Json = Mapping[str, Any]

PAGE_SIZE = 100  # Dify gives no more
_LONGEST_ANSWER_BYTES = 64 << 20
_CODE = re.compile(r"[a-z_]{1,40}\Z")
_CONNECTIONS = 8


class InvalidDifyError(MemoryInputError):
    """An address or a key that cannot be Dify's. It quotes neither."""


@dataclass(frozen=True, slots=True)
class DifyOptions:
    """Of one app. What fails in passing is asked for again after `first_pause_s`, twice that, and so on."""

    base_url: str
    api_key: str = field(repr=False)
    timeout_s: float = 30.0
    retries: int = 3
    first_pause_s: float = 1.0
    longest_pause_s: float = 60.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "base_url", checked_base_url(self.base_url))
        object.__setattr__(self, "api_key", _checked_key(self.api_key))


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """`has_more`: of what is older."""

    items: tuple[T, ...]
    has_more: bool


class DifyApi:
    """Every call may raise a DifyError, and ends at once where it is cancelled. Close it in the end."""

    def __init__(self, options: DifyOptions) -> None:
        self._options = options
        self._session: Any = None

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def conversations(self, user_id: str, last_id: str = "") -> Page[DifyConversation]:
        """Those behind `last_id`, the newest first."""
        wanted = {"user": user_id, "limit": str(PAGE_SIZE), "sort_by": "-updated_at"}
        return await self._page("/conversations", wanted | ({"last_id": last_id} if last_id else {}), conversation_from)

    async def messages(self, user_id: str, conversation_id: str, first_id: str = "") -> Page[DifyMessage]:
        """Those before `first_id`, or the last ones; ascending."""
        wanted = {"user": user_id, "conversation_id": conversation_id, "limit": str(PAGE_SIZE)}
        return await self._page("/messages", wanted | ({"first_id": first_id} if first_id else {}), message_from)

    async def _page(self, path: str, wanted: dict[str, str], read: Callable[[Json], T]) -> Page[T]:
        answer = await self._ask(path, wanted)
        data = answer.get("data") if isinstance(answer, dict) else None
        if not isinstance(data, list) or not all(isinstance(item, dict) for item in data):
            raise DifyAnswerError("Dify answered without a list of data")
        has_more = answer.get("has_more") is True
        if has_more and not data:
            raise DifyAnswerError("Dify answered with nothing and says that there is more")
        return Page(tuple(map(read, data)), has_more)

    # --- HTTP ---

    async def _ask(self, path: str, wanted: Mapping[str, str]) -> Any:
        for attempt in range(self._options.retries + 1):
            try:
                return await self._try(path, wanted)
            except _PassingError as error:
                if attempt == self._options.retries:
                    raise DifyAwayError(f"Dify cannot be read: {error} ({attempt + 1} attempts)") from None
                await asyncio.sleep(self._pause_s(attempt, error.wished_s))
        raise AssertionError("unreachable")

    def _pause_s(self, attempt: int, wished_s: float) -> float:
        options = self._options
        grown_s = options.first_pause_s * 2.0**attempt * random.uniform(0.5, 1.5)
        return min(max(grown_s, wished_s), options.longest_pause_s)

    async def _try(self, path: str, wanted: Mapping[str, str]) -> Any:
        import aiohttp

        try:
            async with self._opened().get(
                self._options.base_url + path, params=wanted, allow_redirects=False
            ) as response:
                data = await _read(response)
                _check(response.status, response.headers.get("Retry-After"), data)
                return _parsed(data)
        except TimeoutError:
            raise _PassingError(f"no answer within {self._options.timeout_s:g} s") from None
        except aiohttp.InvalidURL:
            raise DifyError("dify_base_url is no address that can be asked") from None
        except aiohttp.ClientSSLError:
            raise DifyError("Dify's certificate is not trusted here: check dify_base_url") from None
        except (aiohttp.ClientError, OSError) as error:
            raise _PassingError(type(error).__name__) from None

    def _opened(self) -> Any:
        """Made when it is first needed, on the loop that needs it."""
        import aiohttp

        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=_CONNECTIONS),
                timeout=aiohttp.ClientTimeout(total=self._options.timeout_s),
                headers={"Authorization": f"Bearer {self._options.api_key}", "Accept": "application/json"},
                cookie_jar=aiohttp.DummyCookieJar(),
                proxy=_proxy_for(self._options.base_url),
            )
        return self._session


class _PassingError(Exception):
    """It may be over soon. `wished_s` is the pause that was asked for."""

    def __init__(self, what: str, wished_s: float = 0.0) -> None:
        super().__init__(what)
        self.wished_s = wished_s


def checked_base_url(value: object) -> str:
    """With /v1 at its end and nothing behind it; that is put there where it is missing."""
    text = value.strip().rstrip("/") if isinstance(value, str) else ""
    try:
        address = urlsplit(text)
        is_address = address.scheme in ("http", "https") and bool(address.hostname) and address.port != 0
    except ValueError:
        is_address = False
    if not is_address or any(character.isspace() or not character.isprintable() for character in text):
        raise InvalidDifyError("dify_base_url must be an address such as https://api.dify.ai/v1")
    if address.query or address.fragment or "@" in address.netloc:
        raise InvalidDifyError("dify_base_url must be a plain address: no name, no password, nothing behind ? or #")
    steps = address.path.split("/")
    if "v1" in steps[:-1]:
        raise InvalidDifyError("dify_base_url must end in /v1")
    return text if steps[-1] == "v1" else f"{text}/v1"


def _checked_key(value: object) -> str:
    key = value.strip() if isinstance(value, str) else ""
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise InvalidDifyError("dify_api_key must be the key of an app of Dify's, such as app-…")
    return key


def _check(status: int, retry_after: str | None, data: bytes) -> None:
    if status == 200:
        return
    if status == 429 or status >= 500:
        raise _PassingError(f"HTTP {status}", _seconds(retry_after))
    if status in (401, 403):
        raise DifyRefusedError(status)
    if status == 404:
        raise DifyUnknownError
    if 300 <= status < 400:
        raise DifyAnswerError(f"Dify's address leads elsewhere (HTTP {status}): write the final one in dify_base_url")
    raise DifyRejectedError(status, _code(data))


def _seconds(retry_after: str | None) -> float:
    """Seconds, or a date."""
    if not retry_after:
        return 0.0
    with contextlib.suppress(ValueError):
        return max(0.0, float(retry_after))
    with contextlib.suppress(ValueError, TypeError):
        return max(0.0, (parsedate_to_datetime(retry_after) - datetime.now(UTC)).total_seconds())
    return 0.0


def _code(data: bytes) -> str:
    """Such as not_chat_app. Anything else might quote what was sent."""
    try:
        code = json.loads(data).get("code")
    except (ValueError, RecursionError, AttributeError):
        return ""
    return code if isinstance(code, str) and _CODE.match(code) else ""


async def _read(response: Any) -> bytes:
    data = bytearray()
    async for piece in response.content.iter_any():
        data += piece
        if len(data) > _LONGEST_ANSWER_BYTES:
            raise DifyAnswerError("Dify's answer has no end")
    return bytes(data)


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        if data.lstrip()[:1] == b"<":
            raise DifyAnswerError("a web page answers in place of Dify's API: check dify_base_url") from None
        raise DifyAnswerError("Dify answered with broken JSON") from None


def _proxy_for(base_url: str) -> str | None:
    """The proxy that the environment names, asked once."""
    address = urlsplit(base_url)
    proxies = getproxies()
    proxy = proxies.get(address.scheme) or proxies.get("all")
    if not proxy or proxy_bypass(address.netloc):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"
