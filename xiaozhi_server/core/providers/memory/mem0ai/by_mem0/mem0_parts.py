"""Builds mem0's own parts from its `{"provider": ..., "config": {...}}` objects. Blocks: runs in the bridge's threads.

Everything goes where the configuration says. mem0 also listens to the environment: a key that lies about there for
something else must not send what people say to another company.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .faiss_files import FilesTornError, make_safe
from .loop_http import by_loop, is_set_up

OPENAI = "https://api.openai.com/v1"
_FOLLOWS_THE_ENVIRONMENT = ("openai", "openai_structured")
_OPENROUTER = ("openrouter_base_url", "models")


class ProviderConfigError(ValueError):
    """A provider that is not known, not installed or not set up as it must be. Never quotes a value."""


@dataclass(frozen=True, slots=True)
class Part:
    """One of mem0's objects: which provider, and its settings."""

    provider: str
    config: Mapping[str, Any] = field(default_factory=dict)


def part_of(name: str, given: object) -> Part | None:
    """What stands under `name` in the configuration; None where nothing does."""
    if given is None or given == {}:
        return None
    if not isinstance(given, Mapping) or not given.keys() <= {"provider", "config"}:
        raise ProviderConfigError(f'{name} must be an object {{"provider": ..., "config": {{...}}}}')
    provider, config = given.get("provider"), given.get("config") or {}
    if not isinstance(provider, str) or not provider:
        raise ProviderConfigError(f"{name}.provider must name a provider")
    if not isinstance(config, Mapping):
        raise ProviderConfigError(f"{name}.config must be an object")
    return Part(provider, dict(config))


def open_llm(part: Part, *, timeout_s: float) -> Any:
    """A language model of mem0's. It does not try again by itself: the outbox does."""
    from mem0.utils.factory import LlmFactory

    _known("llm", part.provider, LlmFactory.provider_to_class)
    llm = _made("llm", part, lambda: LlmFactory.create(part.provider, dict(part.config)))
    _pin(part, llm, timeout_s)
    return llm


def open_reranker(part: Part, *, timeout_s: float) -> Any:
    from mem0.utils.factory import RerankerFactory

    _known("reranker", part.provider, RerankerFactory.provider_to_class)
    reranker = _made("reranker", part, lambda: RerankerFactory.create(part.provider, dict(part.config)))
    if hasattr(reranker, "llm"):
        asked = part_of("reranker.config.llm", part.config.get("llm"))
        asked = asked or Part(str(part.config.get("provider", "openai")), {"api_key": part.config.get("api_key")})
        _pin(asked, reranker.llm, timeout_s)
    return reranker


def open_embedder(part: Part) -> Any:
    from mem0.utils.factory import EmbedderFactory

    _known("embedder", part.provider, EmbedderFactory.provider_to_class)
    # It would follow OPENAI_BASE_URL.
    config = {"openai_base_url": OPENAI, **part.config} if part.provider == "openai" else dict(part.config)
    return _made("embedder", part, lambda: EmbedderFactory.create(part.provider, config, None))


def open_vector_store(part: Part, *, dimensions: int, folder: Path) -> Any:
    """A store of mem0's for vectors of this length. One that is a folder lies in ours where it is not told another."""
    from mem0.utils.factory import VectorStoreFactory
    from mem0.vector_stores.configs import VectorStoreConfig

    _known("vector_store", part.provider, VectorStoreFactory.provider_to_class)
    config = {**_SENSIBLE.get(part.provider, {}), "embedding_model_dims": dimensions, **part.config}
    if part.provider in _FOLDERS and not config.keys() & _ADDRESSES:
        config["path"] = str(folder / part.provider)

    def make() -> Any:
        checked = VectorStoreConfig(provider=part.provider, config=config)
        store = VectorStoreFactory.create(part.provider, checked.config)
        if hasattr(store, "_bm25_encoder"):
            store._bm25_encoder = False  # it would download a model while somebody waits
        if part.provider == "faiss":
            make_safe(store)
        return store

    return _made("vector_store", part, make)


_SENSIBLE: Mapping[str, Mapping[str, Any]] = {
    "milvus": {"metric_type": "COSINE"},
    # One index over everybody hands out other people's rows first, and then none are left after the filter.
    "pgvector": {"hnsw": False},
}


# They would write to /tmp.
_FOLDERS = ("qdrant", "faiss", "chroma")
_ADDRESSES = frozenset({"path", "host", "url", "client"})


def _known(name: str, provider: str, providers: Mapping[str, Any]) -> None:
    if provider not in providers:
        known = ", ".join(sorted(providers))
        raise ProviderConfigError(f"{name}.provider {provider!r} is not known: it is one of {known}")


def _made(name: str, part: Part, make: Callable[[], Any]) -> Any:
    try:
        return make()
    except FilesTornError as error:
        raise ProviderConfigError(f"{name}: {error}") from None
    except ImportError as error:
        raise ProviderConfigError(f"{name}.provider {part.provider!r} is not installed: {error}") from None
    except TypeError as error:
        raise ProviderConfigError(f"{name}.config does not fit {part.provider!r}: {error}") from None
    except Exception as error:  # noqa: BLE001 - a provider call: what it says may quote a key
        fields = getattr(error, "errors", None)
        detail = _fields(fields()) if callable(fields) else type(error).__name__
        raise ProviderConfigError(f"{name}: {part.provider!r} cannot be opened with its config ({detail})") from None


def _fields(errors: list[Mapping[str, Any]]) -> str:
    """Which settings are wrong, without the values that pydantic would quote."""
    return "; ".join(f"{'.'.join(map(str, error['loc']))} {error['msg']}".strip() for error in errors)


def _pin(part: Part, llm: Any, timeout_s: float) -> None:
    """The model is asked at its own address, once, for so long, and where it can be broken off."""
    client: Any = getattr(llm, "client", None)
    asking: Any = getattr(client, "_client", None)
    if part.provider == "ollama" and (ours := by_loop(asking)) is not None:
        client._client = ours
        asking.close()
    if not hasattr(client, "with_options"):
        return
    ours = None if is_set_up(asking) else by_loop(asking)
    pinned = client
    if part.provider in _FOLLOWS_THE_ENVIRONMENT and not any(part.config.get(name) for name in _OPENROUTER):
        from openai import OpenAI

        pinned = _made("llm", part, lambda: OpenAI(**_addressed(part.config), http_client=ours))
    llm.client = pinned.with_options(timeout=timeout_s, max_retries=0, http_client=ours)
    if ours is not None:
        client.close()


def _addressed(config: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "api_key": config.get("api_key") or os.environ.get("OPENAI_API_KEY"),
        "base_url": config.get("openai_base_url") or OPENAI,
    }
