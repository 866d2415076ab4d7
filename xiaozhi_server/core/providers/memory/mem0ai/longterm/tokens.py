"""How long a text is for a model: counted by tiktoken where its encoding lies on this machine, else by estimate.

tiktoken fetches what it does not find, or finds damaged. Nothing is fetched here: the estimate holds a limit as well.
"""

import asyncio
import hashlib
import logging
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from ..budget import tokens_in

logger = logging.getLogger(__name__)

CountTokens = Callable[[str], int]

_ENCODING = "cl100k_base"
_CACHED_AS = "9b5ad71b2ce5302211f9c61530b329a4922fc6a4"  # tiktoken's name for it: the SHA-1 of its address
_SHA256 = "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7"
_LONGEST_EXACT = 4000  # counting takes long where a text repeats itself; in a long one the estimate is good enough


async def token_counter() -> CountTokens:
    return await asyncio.to_thread(_counter)


def _counter() -> CountTokens:
    if not _is_cached():
        return tokens_in
    try:
        import tiktoken

        encoding = tiktoken.get_encoding(_ENCODING)
    except Exception as error:  # noqa: BLE001 - whatever is wrong with it, the estimate serves
        logger.debug("%s could not be loaded: %s", _ENCODING, type(error).__name__)
        return tokens_in

    def count(text: str) -> int:
        return tokens_in(text) if len(text) > _LONGEST_EXACT else len(encoding.encode_ordinary(text))

    return count


def _is_cached() -> bool:
    """Whether tiktoken will find it, undamaged."""
    folder = _cache_folder()
    try:
        data = (folder / _CACHED_AS).read_bytes() if folder is not None else b""
    except OSError:
        return False
    return hashlib.sha256(data).hexdigest() == _SHA256


def _cache_folder() -> Path | None:
    """Where tiktoken looks; an empty setting switches its cache off."""
    for variable in ("TIKTOKEN_CACHE_DIR", "DATA_GYM_CACHE_DIR"):
        if variable in os.environ:
            return Path(os.environ[variable]) if os.environ[variable] else None
    return Path(tempfile.gettempdir()) / "data-gym-cache"
