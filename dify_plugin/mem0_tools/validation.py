"""Whether the credentials work: checked as far as that goes, then each part is asked for a sign of life.

What fails is named by its field. Nothing of what a part says is repeated, for it may hold a secret.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

from psycopg import AsyncConnection
from psycopg import Error as DatabaseError

from xiaozhi_memory.mem0ai.by_mem0.bridge import Mem0Bridge
from xiaozhi_memory.mem0ai.by_mem0.mem0_parts import Part as Mem0Part
from xiaozhi_memory.mem0ai.by_mem0.mem0_parts import (
    ProviderConfigError,
    open_embedder,
    open_llm,
    open_reranker,
)
from xiaozhi_memory.mem0ai.platform.api import PlatformApi
from xiaozhi_memory.mem0ai.platform.errors import PlatformError, PlatformRefusedError
from xiaozhi_memory.mem0ai.platform.options import PlatformOptions

from . import constants
from .connecting import address_of
from .credentials import (
    EMBEDDER,
    LLM,
    PLATFORM_HOST,
    PLATFORM_KEY,
    RERANKER,
    VECTOR_STORE,
    Part,
    Platform,
    SelfHosted,
    Settings,
)
from .errors import CredentialsError
from .parameters import number_of
from .places import folder_for

logger = logging.getLogger(__name__)

Probe = Callable[[], Awaitable[None]]

_THREADS = 4
_DIMENSIONS = """
SELECT format_type(atttypid, atttypmod) FROM pg_attribute
WHERE attrelid = to_regclass(%s) AND attname = 'vector' AND NOT attisdropped
"""
_HAS_VECTOR = "SELECT count(*) FROM pg_available_extensions WHERE name = 'vector'"


async def check(settings: Settings, reach_store: Probe, *, limit_s: float = constants.VALIDATION_TIMEOUT) -> None:
    """A CredentialsError that says which part fails. `reach_store` opens the memory itself."""
    home = settings.home
    if isinstance(home, Platform):
        await _told(PLATFORM_KEY, partial(_ask_platform, home), limit_s)
        return
    bridge = Mem0Bridge(folder_for(settings) / "mem0", threads=_THREADS)
    probing = _SelfHostedProbes(home, bridge, limit_s)
    probes: dict[str, Probe] = {LLM: probing.llm, EMBEDDER: probing.embedder}
    if home.reranker is not None:
        probes[RERANKER] = probing.reranker
    if home.has_postgres:
        probes[VECTOR_STORE] = probing.postgres
    await probing.load()
    problems = await asyncio.gather(*(_problem(name, probe, limit_s) for name, probe in probes.items()))
    if found := [problem for problem in problems if problem]:
        raise CredentialsError("; ".join(found))
    probing.check_dimensions()
    if not home.has_postgres:
        await _told(VECTOR_STORE, reach_store, limit_s)


class _SelfHostedProbes:
    def __init__(self, home: SelfHosted, bridge: Mem0Bridge, limit_s: float) -> None:
        self._home = home
        self._bridge = bridge
        self._limit_s = limit_s
        self._made = 0
        self._kept = 0

    async def load(self) -> None:
        """mem0 and its providers' libraries, which takes long the first time and is nobody's fault."""

        def make() -> None:
            with suppress(Exception):  # what is wrong with it is told by its own probe
                model = open_llm(_mem0(self._home.llm), timeout_s=self._limit_s)
                _closing(getattr(model, "client", None)).__exit__()

        with suppress(TimeoutError):
            await self._bridge.run(make, timeout_s=constants.LOADING_TIMEOUT)

    async def llm(self) -> None:
        """Asked which models it has: that costs nothing. Whoever has no such list is only made."""

        def ask() -> None:
            client = getattr(open_llm(_mem0(self._home.llm), timeout_s=self._limit_s), "client", None)
            with _closing(client):
                listed = getattr(getattr(client, "models", None), "list", None)
                if callable(listed):
                    _unless_unknown(listed)

        await self._bridge.run(ask, timeout_s=self._limit_s)

    async def embedder(self) -> None:
        """One word is embedded."""

        def ask() -> int:
            model = open_embedder(_mem0(self._home.embedder))
            client: Any = getattr(model, "client", None)
            if hasattr(client, "with_options"):
                model.client = client.with_options(timeout=self._limit_s, max_retries=0)
            with _closing(client):
                return len(model.embed("hello", "search"))

        self._made = await self._bridge.run(ask, timeout_s=self._limit_s)

    async def reranker(self) -> None:
        assert self._home.reranker is not None
        part = _mem0(self._home.reranker)
        await self._bridge.run(lambda: open_reranker(part, timeout_s=self._limit_s), timeout_s=self._limit_s)

    async def postgres(self) -> None:
        config = self._home.vector_store.config
        async with await AsyncConnection.connect(address_of(config), autocommit=True) as connection:
            cursor = await connection.execute(_HAS_VECTOR)
            row = await cursor.fetchone()
            if not row or not row[0]:
                raise CredentialsError("this PostgreSQL has no pgvector: install the extension vector")
            name = str(config.get("collection_name") or "mem0")
            cursor = await connection.execute(_DIMENSIONS, (_quoted(name),))
            row = await cursor.fetchone()
            self._kept = _length_of(row[0]) if row else 0

    def check_dimensions(self) -> None:
        """What was kept with one length is not found with another."""
        told = number_of(self._home.vector_store.config.get("embedding_model_dims"))
        for length, where in ((self._kept, "the collection holds"), (int(told or 0), "embedding_model_dims says")):
            if length and self._made and length != self._made:
                raise CredentialsError(
                    f"{VECTOR_STORE}: {where} vectors of length {length} and the embedder makes them of length "
                    f"{self._made}: use the embedder that it was filled with, or another collection_name"
                )


async def _ask_platform(home: Platform) -> None:
    api = PlatformApi(PlatformOptions(api_key=home.api_key, host=home.host))
    try:
        await api.ping()
    finally:
        await api.close()


async def _told(name: str, probe: Probe, limit_s: float) -> None:
    problem = await _problem(name, probe, limit_s)
    if problem is not None:
        raise CredentialsError(problem)


async def _problem(name: str, probe: Probe, limit_s: float) -> str | None:
    try:
        async with asyncio.timeout(limit_s):
            await probe()
    except TimeoutError:
        return f"{name}: no answer within {limit_s:g} s"
    except (CredentialsError, ProviderConfigError) as error:
        return str(error) if str(error).startswith(name) else f"{name}: {error}"
    except PlatformRefusedError:
        return f"{name}: the platform refuses this key"
    except PlatformError as error:
        return f"{name}: {error} (see also {PLATFORM_HOST})"
    except DatabaseError as error:
        return f"{name}: the database cannot be reached or refuses us ({type(error).__name__})"
    except Exception as error:  # noqa: BLE001 - libraries of all kinds
        return f"{name}: {_kind(error)}"
    return None


def _kind(error: Exception) -> str:
    """In words where it is a refusal, else by the name that its library gives it."""
    status = getattr(error, "status_code", None)
    if status in (401, 403):
        return "it refuses this key"
    if isinstance(status, int):
        return f"it answers with HTTP {status}"
    return f"it cannot be reached or does not work ({type(error).__name__})"


def _unless_unknown(ask: Callable[[], Any]) -> None:
    """Many servers that speak OpenAI's language have no list of their models."""
    try:
        ask()
    except Exception as error:
        if getattr(error, "status_code", None) not in (404, 405, 501):
            raise


class _closing:  # noqa: N801 - used like contextlib's
    def __init__(self, client: Any) -> None:
        self._close = getattr(client, "close", None)

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        if callable(self._close):
            with suppress(Exception):
                self._close()


def _mem0(part: Part) -> Mem0Part:
    return Mem0Part(part.provider, dict(part.config))


def _quoted(name: str) -> str:
    """As mem0 makes it: the name with its capitals, a schema before a dot."""
    return ".".join('"' + one.replace('"', '""') + '"' for one in name.split("."))


def _length_of(vector_type: str) -> int:
    inside = vector_type.partition("(")[2].rstrip(")")
    return int(inside) if inside.isdigit() else 0
