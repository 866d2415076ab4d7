"""Counts tokens with tiktoken where its encoding is at hand, and by estimate until then or where it never is.

tiktoken fetches its encodings over the network and caches them in `TIKTOKEN_CACHE_DIR`. The server calls nobody
unasked, so a download is only tried where the caller allows it.
"""

import asyncio
import contextlib
import hashlib
import os
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

from loguru import logger

from ..dialogue import estimate_tokens

# Name and address of the encodings that tiktoken knows, the newer one first.
ENCODINGS = {
    "o200k_base": "https://openaipublic.blob.core.windows.net/encodings/o200k_base.tiktoken",
    "cl100k_base": "https://openaipublic.blob.core.windows.net/encodings/cl100k_base.tiktoken",
}
# Counting takes about a microsecond a letter; a text of this length is a matter of bounds, not of exactness.
MAX_EXACT_CHARS = 4_000

Count = Callable[[str], int]


class TokenCounter:
    """Call it with a text. `load` makes it exact; until then, and where that fails, it estimates."""

    def __init__(self) -> None:
        self._exact: Count | None = None

    @property
    def is_exact(self) -> bool:
        return self._exact is not None

    def __call__(self, text: str) -> int:
        if self._exact is None or len(text) > MAX_EXACT_CHARS:
            return estimate_tokens(text)
        return self._exact(text)

    async def load(self, *, allow_download: bool = False, deadline_s: float = 20.0) -> bool:
        """Fetch the encoding in a thread of its own, which a dead network may hold for longer than anybody waits."""
        name = cached_encoding() or (next(iter(ENCODINGS)) if allow_download else None)
        if name is not None:
            self._exact = await _load_in_thread(name, deadline_s)
        if self._exact is None:
            logger.info("No tokenizer is cached here: the length of a dialogue is estimated")
        return self.is_exact


def cached_encoding() -> str | None:
    """The name of an encoding that tiktoken finds on this machine without a download."""
    folder = _cache_folder()
    if folder is None:
        return None
    return next((name for name, address in ENCODINGS.items() if (folder / _cache_name(address)).is_file()), None)


def _cache_folder() -> Path | None:
    """Where tiktoken looks; an empty setting switches its cache off."""
    for variable in ("TIKTOKEN_CACHE_DIR", "DATA_GYM_CACHE_DIR"):
        if variable in os.environ:
            return Path(os.environ[variable]) if os.environ[variable] else None
    return Path(tempfile.gettempdir()) / "data-gym-cache"


def _cache_name(address: str) -> str:
    return hashlib.sha1(address.encode(), usedforsecurity=False).hexdigest()


async def _load_in_thread(name: str, deadline_s: float) -> Count | None:
    loop = asyncio.get_running_loop()
    found: asyncio.Future[Count | None] = loop.create_future()

    def report(count: Count | None) -> None:
        if not found.done():
            found.set_result(count)

    def work() -> None:
        count = _load(name)
        with contextlib.suppress(RuntimeError):  # the loop closed while nobody waited any more
            loop.call_soon_threadsafe(report, count)

    threading.Thread(target=work, name="tokenizer", daemon=True).start()
    try:
        async with asyncio.timeout(deadline_s):
            return await found
    except TimeoutError:
        return None


def _load(name: str) -> Count | None:
    try:
        import tiktoken

        encoding = tiktoken.get_encoding(name)
    except Exception as error:  # noqa: BLE001 - whatever the network or a broken cache did, the estimate serves
        logger.debug("The encoding {} could not be loaded: {}", name, type(error).__name__)
        return None
    return lambda text: len(encoding.encode_ordinary(text))
