"""What is filled in where the plugin is authorised, checked as far as that goes without asking anybody.

Two ways: self-hosted (a language model, an embedder and a vector store, each as one of mem0's JSON objects) or Mem0's
platform (a key). No error quotes a value, for most of them are secrets.
"""

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

from . import constants
from .errors import CredentialsError, ToolInputError
from .parameters import flag_of, number_of, parsed

logger = logging.getLogger(__name__)

Credentials = Mapping[str, Any]
Mode = Literal["self-hosted", "platform"]

# The names of the fields, and those that early versions of the public plugin gave them.
LLM = "local_llm_json_secret"
EMBEDDER = "local_embedder_json_secret"
VECTOR_STORE = "local_vector_db_json_secret"
GRAPH = "local_graph_db_json_secret"
RERANKER = "local_reranker_json_secret"
PLATFORM_KEY = "mem0_api_key"
PLATFORM_HOST = "mem0_host"
_LEGACY = {name: name.removesuffix("_secret") for name in (LLM, EMBEDDER, VECTOR_STORE, GRAPH, RERANKER)}
_REQUIRED = (LLM, EMBEDDER, VECTOR_STORE)

PGVECTOR = "pgvector"
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")

# Which names are surely in the wrong field.
_MODELS = frozenset({"openai", "openai_structured", "azure_openai", "azure_openai_structured", "anthropic", "deepseek"})
_MODELS |= frozenset({"ollama", "groq", "together", "litellm", "gemini", "xai", "lmstudio", "vllm", "aws_bedrock"})
_STORES = frozenset({"pgvector", "qdrant", "chroma", "milvus", "faiss", "redis", "pinecone", "weaviate", "mongodb"})
_STORES |= frozenset(
    {"elasticsearch", "opensearch", "supabase", "azure_ai_search", "azure_mysql", "valkey", "upstash_vector"}
)


@dataclass(frozen=True, slots=True)
class Part:
    """One of mem0's objects."""

    provider: str
    config: Mapping[str, Any] = field(repr=False)

    def as_mem0(self) -> dict[str, Any]:
        return {"provider": self.provider, "config": dict(self.config)}


@dataclass(frozen=True, slots=True)
class SelfHosted:
    llm: Part
    embedder: Part
    vector_store: Part
    reranker: Part | None = None
    wants_relations: bool = False

    @property
    def has_postgres(self) -> bool:
        """pgvector is kept by our own engine."""
        return self.vector_store.provider == PGVECTOR


@dataclass(frozen=True, slots=True)
class Platform:
    api_key: str = field(repr=False)
    host: str = ""


@dataclass(frozen=True, slots=True)
class Settings:
    """`home` says where memories are kept; `fingerprint` is the same for the same credentials and tells none of them.

    `warnings` are for whoever set it up.
    """

    home: SelfHosted | Platform
    fingerprint: str
    async_mode: bool = True
    heartbeat_s: int = constants.HEARTBEAT_INTERVAL
    max_operations: int = constants.MAX_CONCURRENT_MEMORY_OPERATIONS
    log_level: str = "INFO"
    memory_ttl_days: int | None = None
    checkpoint_ttl_days: int = constants.CHECKPOINT_TTL_DAYS
    warnings: tuple[str, ...] = ()

    @property
    def mode(self) -> Mode:
        return "platform" if isinstance(self.home, Platform) else "self-hosted"

    @property
    def wants_relations(self) -> bool:
        return isinstance(self.home, SelfHosted) and self.home.wants_relations

    @property
    def most_pending(self) -> int:
        return self.max_operations * constants.PENDING_TASKS_MULTIPLIER


def settings_of(credentials: Credentials | None) -> Settings:
    """All of it, or a CredentialsError that names the field."""
    given = credentials or {}
    warnings: list[str] = []
    home = _home(given, warnings)
    return Settings(
        home=home,
        fingerprint=_fingerprint(given),
        async_mode=flag_of(given.get("async_mode"), default=True),
        heartbeat_s=_number(given, "heartbeat_interval", constants.HEARTBEAT_INTERVAL, warnings, least=30),
        max_operations=_number(
            given, "max_concurrent_memory_operations", constants.MAX_CONCURRENT_MEMORY_OPERATIONS, warnings, least=1
        ),
        log_level=_log_level(given, warnings),
        memory_ttl_days=_ttl(given, warnings),
        checkpoint_ttl_days=_number(given, "checkpoint_ttl_days", constants.CHECKPOINT_TTL_DAYS, warnings, least=1),
        warnings=tuple(warnings),
    )


def _home(given: Credentials, warnings: list[str]) -> SelfHosted | Platform:
    filled = [name for name in _REQUIRED if _value(given, name)]
    key = str(given.get(PLATFORM_KEY) or "").strip()
    if key and filled:
        warnings.append(f"{PLATFORM_KEY} is not used: the self-hosted fields are filled in, and they go first")
    if filled:
        return _self_hosted(given, warnings)
    if key:
        return Platform(_key(key), _host(given))
    raise CredentialsError(
        f"fill in either {', '.join(_REQUIRED)} (self-hosted), or {PLATFORM_KEY} (Mem0's platform): none of them is set"
    )


def _self_hosted(given: Credentials, warnings: list[str]) -> SelfHosted:
    missing = [name for name in _REQUIRED if not _value(given, name)]
    if missing:
        raise CredentialsError(f"self-hosted mode needs {' and '.join(missing)} as well")
    llm, embedder, store = (_part(given, name) for name in _REQUIRED)
    for name, part in ((LLM, llm), (EMBEDDER, embedder)):
        if part.provider in _STORES - _MODELS:
            raise CredentialsError(f"{name}: {part.provider} is a vector store and belongs into {VECTOR_STORE}")
    if store.provider in _MODELS - _STORES:
        raise CredentialsError(f"{VECTOR_STORE}: {store.provider} is a model and no vector store")
    graph = _value(given, GRAPH) is not None
    if graph:
        _part(given, GRAPH)
        warnings.append(
            f"{GRAPH}: mem0 2.x has no graph store any more, so nobody connects to it; people, things and how they"
            " stand to each other are kept with the memories and come back as relations"
        )
    reranker = _part(given, RERANKER) if _value(given, RERANKER) else None
    return SelfHosted(llm, embedder, store, reranker, wants_relations=graph)


def _value(given: Credentials, name: str) -> Any:
    """Under its own name, else under the old one; None where it is empty."""
    for key in (name, _LEGACY[name]):
        value = given.get(key)
        if isinstance(value, str) and value.strip() in ("", "{}", "null", "None"):
            continue
        if value:
            return value
    return None


def _part(given: Credentials, name: str) -> Part:
    value = _value(given, name)
    if isinstance(value, str):
        try:
            value = parsed(value, name)
        except ToolInputError as error:
            raise CredentialsError(str(error)) from None
    if not isinstance(value, Mapping):
        raise CredentialsError(f'{name} must be a JSON object like {{"provider": "...", "config": {{...}}}}')
    provider, config = value.get("provider"), value.get("config")
    if not isinstance(provider, str) or not provider.strip():
        raise CredentialsError(f"{name}: provider is missing")
    if not isinstance(config, Mapping):
        raise CredentialsError(f"{name}: config is missing or no object")
    return Part(provider.strip().lower(), dict(config))


def _key(key: str) -> str:
    if not key.isascii() or not key.isprintable() or " " in key:
        raise CredentialsError(f"{PLATFORM_KEY} holds characters that no key has")
    return key


def _host(given: Credentials) -> str:
    host = str(given.get(PLATFORM_HOST) or "").strip().rstrip("/")
    if not host:
        return ""
    try:
        address = urlsplit(host)
        fits = address.scheme in ("http", "https") and bool(address.hostname) and not address.query
    except ValueError:
        fits = False
    if not fits:
        raise CredentialsError(f"{PLATFORM_HOST} must be an address such as https://api.mem0.ai")
    return host


def _number(given: Credentials, name: str, default: int, warnings: list[str], *, least: int) -> int:
    value = given.get(name)
    if value is None or (isinstance(value, str) and not value.strip()):
        return default
    number = number_of(value)
    if number is None or not number.is_integer() or not least <= number <= 1_000_000:
        warnings.append(f"{name} must be a whole number from {least} on: {default} is used")
        return default
    return int(number)


def _ttl(given: Credentials, warnings: list[str]) -> int | None:
    """Nothing fades by a date unless one is set."""
    found = _number(given, "memory_ttl_days", 0, warnings, least=1)
    return min(found, 36_500) or None


def _log_level(given: Credentials, warnings: list[str]) -> str:
    level = str(given.get("log_level") or "INFO").strip().upper()
    if level not in LOG_LEVELS:
        warnings.append(f"log_level must be one of {', '.join(LOG_LEVELS)}: INFO is used")
        return "INFO"
    return level


def _fingerprint(given: Credentials) -> str:
    """Everything counts but the log level, which changes while the rest goes on."""
    counted = {name: value for name, value in given.items() if name not in ("log_level", "async_mode")}
    return hashlib.sha256(json.dumps(counted, sort_keys=True, default=str).encode()).hexdigest()
