"""The embedded embedder: MiniLM-L6-v2 through onnxruntime, in the executor it is given. English only, no network."""

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .embed import Vectors
from .minilm_graph import graph_file, model_folder
from .together import Together

_MAX_TOKENS = 256  # what the model was made for
_MAX_CHARS = 4000  # more cannot matter within 256 tokens, and cutting a megabyte into words costs time
_BATCH = 32


@dataclass(frozen=True, slots=True)
class _Model:
    tokenizer: Any
    session: Any


class MiniLmEmbedder:
    """Loads its model at the first use; the graph is built into `cache_dir` when it is not there yet."""

    name = "all-MiniLM-L6-v2"
    dimensions = 384
    multilingual = False

    def __init__(self, cache_dir: Path, executor: Executor) -> None:
        self._cache_dir = cache_dir
        self._executor = executor
        self._model: _Model | None = None
        self._loading = threading.Lock()
        self._together = Together(self._embed_beside)

    async def embed(self, texts: Sequence[str]) -> Vectors:
        if len(texts) == 1:
            return await self._together.embed_one(texts[0])
        return await self._embed_beside(texts)

    async def close(self) -> None:
        await self._together.close()
        self._model = None

    def embed_now(self, texts: Sequence[str]) -> Vectors:
        """The same in the calling thread."""
        if not texts:
            return np.zeros((0, self.dimensions), np.float32)
        model = self._loaded()
        encodings = model.tokenizer.encode_batch([text[:_MAX_CHARS] for text in texts])
        vectors = np.empty((len(texts), self.dimensions), np.float32)
        # Texts of like length share a batch, so that little is computed for padding.
        order = sorted(range(len(texts)), key=lambda index: len(encodings[index].ids))
        for start in range(0, len(order), _BATCH):
            rows = order[start : start + _BATCH]
            vectors[rows] = _run(model.session, [encodings[row].ids for row in rows])
        return vectors

    async def _embed_beside(self, texts: Sequence[str]) -> Vectors:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, self.embed_now, tuple(texts))

    def _loaded(self) -> _Model:
        with self._loading:
            if self._model is None:
                self._model = _load(self._cache_dir)
            return self._model


def _run(session: Any, token_ids: list[list[int]]) -> Vectors:
    width = max(map(len, token_ids))
    ids = np.zeros((len(token_ids), width), np.int64)
    mask = np.zeros_like(ids)
    for row, tokens in enumerate(token_ids):
        ids[row, : len(tokens)] = tokens
        mask[row, : len(tokens)] = 1
    (vectors,) = session.run(None, {"input_ids": ids, "attention_mask": mask})
    result: Vectors = vectors
    return result


def _load(cache_dir: Path) -> _Model:
    import onnxruntime  # heavy: only a process that embeds pays for it
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(model_folder() / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(_MAX_TOKENS)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # the executor's threads share the cores already
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(
        str(graph_file(cache_dir)), sess_options=options, providers=["CPUExecutionProvider"]
    )
    return _Model(tokenizer, session)
