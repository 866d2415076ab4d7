"""An embedder behind any server with OpenAI's /v1/embeddings: texts go there in batches, each text once."""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import PartFailedError
from .embed import Vectors

_BATCH_TEXTS = 128
_BATCH_CHARS = 100_000
_LONGEST_TEXT = 8000  # servers refuse longer ones; the beginning says what a text is about
_CONNECT_TIMEOUT_S = 3.0
# Their sizes need not be asked for.
_KNOWN_DIMENSIONS = {
    "text-embedding-3-small": 1536,
    "text-embedding-3-large": 3072,
    "text-embedding-ada-002": 1536,
    "text-embedding-v3": 1024,
    "text-embedding-v4": 1024,
    "bge-m3": 1024,
    "baai/bge-m3": 1024,
    "nomic-embed-text": 768,
    "embedding-3": 2048,
}


class EmbedderError(PartFailedError):
    """The embedder cannot be used as it is set up, or did not answer sensibly. Never quotes a text or a key."""


@dataclass(frozen=True, slots=True)
class OpenAiEmbedderConfig:
    """`dimensions` is sent only where it is set: not every server knows it."""

    base_url: str
    model: str
    api_key: str = ""
    dimensions: int | None = None
    timeout_s: float = 10.0


class OpenAiEmbedder:
    """Made by `open_openai_embedder`, which finds out how long the vectors are."""

    multilingual = True

    def __init__(self, config: OpenAiEmbedderConfig, dimensions: int) -> None:
        self.name = config.model
        self.dimensions = dimensions
        self._config = config
        self._session: Any = None

    async def embed(self, texts: Sequence[str]) -> Vectors:
        cut = [text[:_LONGEST_TEXT] for text in texts]
        known: dict[str, Vectors] = {}
        for batch in _batches(list(dict.fromkeys(cut))):
            known.update(zip(batch, await self._ask(batch), strict=True))
        return np.stack([known[text] for text in cut]) if cut else np.zeros((0, self.dimensions), np.float32)

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _ask(self, texts: Sequence[str]) -> Vectors:
        config = self._config
        # A blank text has no meaning, and servers refuse it.
        body: dict[str, Any] = {"model": config.model, "input": [text.strip() or "-" for text in texts]}
        if config.dimensions is not None:
            body["dimensions"] = config.dimensions
        body["encoding_format"] = "float"
        vectors = _vectors(await self._post(body), len(texts))
        if vectors.shape[1] != self.dimensions:
            raise EmbedderError(
                f"the embedder {self.name} answered with {vectors.shape[1]} dimensions instead of {self.dimensions}: "
                "set its dimensions, then run the command memory reembed"
            )
        return vectors

    async def _post(self, body: dict[str, Any]) -> object:
        import aiohttp

        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=self._config.timeout_s, sock_connect=_CONNECT_TIMEOUT_S)
            headers = {"Authorization": f"Bearer {self._config.api_key}"} if self._config.api_key else {}
            self._session = aiohttp.ClientSession(timeout=timeout, headers=headers)
        url = self._config.base_url.rstrip("/") + "/embeddings"
        try:
            async with self._session.post(url, json=body, allow_redirects=False) as response:
                if response.status != 200:
                    raise EmbedderError(f"the embedder {self.name} answered HTTP {response.status}")
                return await response.json(content_type=None)
        except TimeoutError:
            raise EmbedderError(f"the embedder {self.name} did not answer in {self._config.timeout_s:g} s") from None
        except (aiohttp.ClientError, ValueError) as error:
            raise EmbedderError(f"the embedder {self.name} cannot be used: {type(error).__name__}") from None


async def open_openai_embedder(config: OpenAiEmbedderConfig) -> OpenAiEmbedder:
    """EmbedderError where the length of its vectors is neither set nor known nor to be had."""
    dimensions = config.dimensions or _KNOWN_DIMENSIONS.get(config.model.casefold())
    if dimensions is None:
        dimensions = await _measured(config)
    return OpenAiEmbedder(config, dimensions)


async def _measured(config: OpenAiEmbedderConfig) -> int:
    probe = OpenAiEmbedder(config, 0)
    try:
        answer = await probe._post({"model": config.model, "input": ["hello"], "encoding_format": "float"})
        return int(_vectors(answer, 1).shape[1])
    except EmbedderError as error:
        raise EmbedderError(f"{error}. Set the dimensions of its vectors, then it need not be there at start") from None
    finally:
        await probe.close()


def _batches(texts: Sequence[str]) -> list[list[str]]:
    batches: list[list[str]] = []
    chars = 0
    for text in texts:
        if not batches or len(batches[-1]) >= _BATCH_TEXTS or chars + len(text) > _BATCH_CHARS:
            batches.append([])
            chars = 0
        batches[-1].append(text)
        chars += len(text)
    return batches


def _vectors(answer: Any, count: int) -> Vectors:
    """The vectors of an answer in the order of the texts, each of length one."""
    try:
        data = sorted(answer["data"], key=lambda item: int(item["index"]))
        vectors = np.array([_vector(item["embedding"]) for item in data], np.float32)
    except (KeyError, TypeError, ValueError, binascii.Error):
        raise EmbedderError("the embedder's answer holds no vectors") from None
    if vectors.ndim != 2 or len(vectors) != count or not np.isfinite(vectors).all():
        raise EmbedderError("the embedder's answer does not hold one vector for each text")
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    normal: Vectors = vectors / np.maximum(lengths, np.float32(1e-9))
    return normal


def _vector(given: Any) -> Any:
    """Some servers answer in base64 whatever they are asked for."""
    return np.frombuffer(base64.b64decode(given, validate=True), np.float32) if isinstance(given, str) else given
