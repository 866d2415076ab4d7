"""The graph that we build against a plain numpy reading of the same weights, and against reference vectors if any."""

import json
import math
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from tokenizers import Tokenizer

from xiaozhi_server.core.providers.memory.mem0ai.embedding import minilm_graph
from xiaozhi_server.core.providers.memory.mem0ai.embedding.minilm import MiniLmEmbedder
from xiaozhi_server.core.providers.memory.mem0ai.embedding.minilm_graph import (
    ModelMissingError,
    Weights,
    graph_file,
    model_folder,
    read_safetensors,
)

GOLDEN = Path(__file__).parents[4] / "shared" / "data" / "minilm-golden.json"
Array = npt.NDArray[np.float64]


@pytest.fixture(scope="module")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("model")


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as executor:
        yield executor


@pytest.fixture
def embedder(cache_dir: Path, executor: ThreadPoolExecutor) -> MiniLmEmbedder:
    return MiniLmEmbedder(cache_dir, executor)


def reference_vector(text: str, weights: Weights) -> Array:
    """The network as its paper has it, one text at a time, in double precision."""
    tokenizer = Tokenizer.from_file(str(model_folder() / "tokenizer.json"))
    tokenizer.no_padding()
    ids = tokenizer.encode(text).ids

    def linear(name: str, state: Array) -> Array:
        product: Array = state @ weights[f"{name}.weight"].T.astype(np.float64) + weights[f"{name}.bias"]
        return product

    def norm(name: str, state: Array) -> Array:
        centred = state - state.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-12)
        result: Array = scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]
        return result

    def heads(state: Array) -> Array:
        return state.reshape(len(ids), 12, 32).transpose(1, 0, 2)

    embedded: Array = (
        weights["embeddings.word_embeddings.weight"][ids].astype(np.float64)
        + weights["embeddings.position_embeddings.weight"][: len(ids)]
        + weights["embeddings.token_type_embeddings.weight"][0]
    )
    state = norm("embeddings.LayerNorm", embedded)
    for index in range(6):
        layer = f"encoder.layer.{index}"
        query, key, value = (
            heads(linear(f"{layer}.attention.self.{part}", state)) for part in ("query", "key", "value")
        )
        scores = np.exp(query @ key.transpose(0, 2, 1) / math.sqrt(32))
        mixed = (scores / scores.sum(-1, keepdims=True)) @ value
        attended = linear(f"{layer}.attention.output.dense", mixed.transpose(1, 0, 2).reshape(len(ids), 384))
        state = norm(f"{layer}.attention.output.LayerNorm", attended + state)
        wide = linear(f"{layer}.intermediate.dense", state)
        bent = wide * (1 + np.vectorize(math.erf)(wide / math.sqrt(2))) / 2
        state = norm(f"{layer}.output.LayerNorm", linear(f"{layer}.output.dense", bent) + state)
    mean: Array = state.mean(0)
    return mean / np.linalg.norm(mean)


async def test_equals_a_plain_reading_of_the_weights(embedder: MiniLmEmbedder) -> None:
    weights = read_safetensors(model_folder() / "model.safetensors")
    texts = ["My favourite colour is teal.", "你好，Élan!"]
    vectors = await embedder.embed([*texts, "a much longer text, so that the others are padded " * 3])
    for text, vector in zip(texts, vectors, strict=False):
        assert np.abs(vector - reference_vector(text, weights)).max() < 1e-4


@pytest.mark.skipif(not GOLDEN.exists(), reason="the reference vectors are not part of the project")
async def test_equals_the_reference_vectors(embedder: MiniLmEmbedder) -> None:
    items: list[dict[str, Any]] = json.loads(GOLDEN.read_text(encoding="utf-8"))["items"]
    vectors = await embedder.embed([item["text"] for item in items])
    assert np.abs(vectors - np.array([item["vector"] for item in items])).max() < 1e-4


async def test_meaning_without_shared_words(embedder: MiniLmEmbedder) -> None:
    question, near, far = await embedder.embed(
        ["What do I do for a living?", "I work as a nurse in a hospital.", "The train leaves at noon."]
    )
    assert question @ near > question @ far + 0.1


async def test_any_text_gets_a_unit_vector_and_keeps_its_place(embedder: MiniLmEmbedder) -> None:
    texts = ["", " ", "a", "\U0001f600", "word " * 100_000, "שלום", "short"] + [f"line {n}" for n in range(40)]
    vectors = await embedder.embed(texts)
    assert vectors.shape == (len(texts), embedder.dimensions)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)
    assert np.abs(vectors[6] - (await embedder.embed(["short"]))[0]).max() < 1e-4
    assert (await embedder.embed([])).shape == (0, embedder.dimensions)


def test_two_builders_at_once_leave_one_whole_file(tmp_path: Path) -> None:
    results: list[Path] = []
    builders = [threading.Thread(target=lambda: results.append(graph_file(tmp_path))) for _ in range(2)]
    for builder in builders:
        builder.start()
    for builder in builders:
        builder.join()
    assert results[0] == results[1]
    assert [entry.name for entry in tmp_path.iterdir()] == [results[0].name]


def test_a_missing_wheel_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minilm_graph, "WHEEL", "gt_no_such_wheel")
    with pytest.raises(ModelMissingError, match="gt-no-such-wheel"):
        model_folder()
