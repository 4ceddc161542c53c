"""Builds a BERT encoder as an ONNX graph, straight from its weights.

Why not torch.onnx: the exporter would need PyTorch (gigabytes) and its output
changes from release to release, so the result could not be pinned by a hash.
Here every byte follows from the weights and the options: names are fixed,
tensors are stored raw, and nothing of the installed onnx or numpy leaks into
the file.

The graph deliberately has the shape PyTorch's exporter gives it (separate
query, key and value products, GELU spelt with Erf), so that an engine's
rewrites for the usual exports find their patterns here as well.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

Weights = dict[str, NDArray[Any]]
Pooling = Literal["mean", "cls"]

# The axes of the reducing and reshaping operators moved from attributes to
# inputs one by one. Below 11 and above 17 further operators change.
MIN_OPSET, MAX_OPSET = 11, 17
IR_VERSION = 8


@dataclass(frozen=True)
class BertConfig:
    """The keys of a Hugging Face BERT config.json that shape the graph."""

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    max_position_embeddings: int
    type_vocab_size: int = 2
    layer_norm_eps: float = 1e-12

    def __post_init__(self) -> None:
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} is not a multiple of "
                f"num_attention_heads {self.num_attention_heads}"
            )

    @property
    def head_size(self) -> int:
        return self.hidden_size // self.num_attention_heads

    @classmethod
    def load(cls, path: Path) -> BertConfig:
        """Reads config.json, refusing variants of BERT this graph is not."""
        raw = json.loads(path.read_text(encoding="utf-8"))
        expected = {
            "model_type": "bert",
            "hidden_act": "gelu",
            "position_embedding_type": "absolute",
        }
        for key, value in expected.items():
            if raw.get(key, value) != value:
                raise ValueError(f"{path}: {key} is {raw[key]!r}, expected {value!r}")
        return cls(**{key: raw[key] for key in cls.__dataclass_fields__ if key in raw})


@dataclass(frozen=True)
class ExportOptions:
    """How the graph presents itself to whoever runs it.

    `pooling_inside` adds an output `pooled_name`, [batch, hidden], computed in
    the graph and L2-normalised if `normalize` says so. `hidden_states=False`
    leaves it as the only output.
    """

    opset: int = MAX_OPSET
    token_type_ids: bool = True
    output_name: str = "last_hidden_state"
    hidden_states: bool = True
    pooling_inside: Pooling | None = None
    pooled_name: str = "sentence_embedding"
    normalize: bool = True
    dtype: Literal["float32", "float16"] = "float32"
    cast_outputs_to_float32: bool = False

    def __post_init__(self) -> None:
        if not MIN_OPSET <= self.opset <= MAX_OPSET:
            raise ValueError(
                f"opset {self.opset} is outside {MIN_OPSET} to {MAX_OPSET}"
            )
        if self.dtype == "float16" and self.opset < 17:
            raise ValueError(
                "float16 needs opset 17: only the LayerNormalization operator "
                "keeps its variance in float32, where epsilon is not zero"
            )
        if not self.hidden_states and self.pooling_inside is None:
            raise ValueError("the graph would have no output")


def build_bert(
    config: BertConfig, weights: Weights, options: ExportOptions = ExportOptions()
) -> onnx.ModelProto:
    """The encoder as a model; `weights` carry their Hugging Face names."""
    return _Bert(config, weights, options).build()


def serialize(model: onnx.ModelProto) -> bytes:
    """The model's bytes, the same on every run."""
    return model.SerializeToString(deterministic=True)


class Graph:
    """Collects nodes and initializers under names that never depend on order
    of construction elsewhere in the graph."""

    def __init__(self, opset: int, dtype: str) -> None:
        self.opset = opset
        self.dtype = np.dtype(dtype)
        self.onnx_dtype = helper.np_dtype_to_tensor_dtype(self.dtype)
        self._nodes: list[onnx.NodeProto] = []
        self._names: set[str] = set()
        self._initializers: dict[str, onnx.TensorProto] = {}

    def op(
        self,
        op_type: str,
        scope: str,
        *inputs: str,
        output: str | None = None,
        **attributes: Any,
    ) -> str:
        """Adds one node and returns the name of its output."""
        base = f"{scope}/{op_type}"
        name, n = base, 0
        while name in self._names:
            n += 1
            name = f"{base}_{n}"
        self._names.add(name)
        output = output or f"{name}_output_0"
        self._nodes.append(
            helper.make_node(op_type, list(inputs), [output], name=name, **attributes)
        )
        return output

    def op_with_axes(
        self, op_type: str, scope: str, x: str, axes: list[int], **attributes: Any
    ) -> str:
        """Unsqueeze and ReduceSum take their axes as an input from opset 13."""
        if self.opset < 13:
            return self.op(op_type, scope, x, axes=axes, **attributes)
        return self.op(op_type, scope, x, self.int64(axes), **attributes)

    def tensor(self, name: str, value: NDArray[Any]) -> str:
        """Adds an initializer; adding the same name again is harmless."""
        if name not in self._initializers:
            little_endian = np.ascontiguousarray(
                value, dtype=value.dtype.newbyteorder("<")
            )
            self._initializers[name] = helper.make_tensor(
                name,
                helper.np_dtype_to_tensor_dtype(value.dtype),
                value.shape,
                little_endian.tobytes(),
                raw=True,
            )
        return name

    def scalar(self, name: str, value: float) -> str:
        return self.tensor(name, np.array(value, dtype=self.dtype))

    def int64(self, values: list[int]) -> str:
        name = "int64." + "x".join(str(v) for v in values)
        return self.tensor(name, np.array(values, dtype=np.int64))

    def model(
        self,
        inputs: list[onnx.ValueInfoProto],
        outputs: list[onnx.ValueInfoProto],
    ) -> onnx.ModelProto:
        graph = helper.make_graph(
            self._nodes,
            "bert",
            inputs,
            outputs,
            initializer=list(self._initializers.values()),
        )
        model = helper.make_model(
            graph,
            producer_name="isovec",
            producer_version="1",
            opset_imports=[helper.make_opsetid("", self.opset)],
        )
        model.ir_version = IR_VERSION
        return model


class _Bert:
    """Writes the encoder top to bottom; one method per module of BERT."""

    def __init__(
        self, config: BertConfig, weights: Weights, options: ExportOptions
    ) -> None:
        self.config = config
        self.weights = weights
        self.options = options
        self.graph = Graph(options.opset, options.dtype)

    def build(self) -> onnx.ModelProto:
        mask = self.graph.op(
            "Cast", "/mask", "attention_mask", to=self.graph.onnx_dtype
        )
        bias = self._attention_bias(mask)
        hidden = self._embeddings()
        for index in range(self.config.num_hidden_layers):
            hidden = self._layer(f"encoder.layer.{index}", hidden, bias)

        outputs = []
        if self.options.hidden_states:
            shape = ["batch", "sequence", self.config.hidden_size]
            outputs.append(self._output(self.options.output_name, hidden, shape))
        if self.options.pooling_inside is not None:
            shape = ["batch", self.config.hidden_size]
            pooled = self._pooled(hidden, mask)
            outputs.append(self._output(self.options.pooled_name, pooled, shape))

        names = ["input_ids", "attention_mask"]
        if self.options.token_type_ids:
            names.append("token_type_ids")
        inputs = [
            helper.make_tensor_value_info(
                name, TensorProto.INT64, ["batch", "sequence"]
            )
            for name in names
        ]
        return self.graph.model(inputs, outputs)

    def _weight(self, name: str, *shape: int) -> NDArray[Any]:
        try:
            value = self.weights[name]
        except KeyError:
            raise ValueError(f"the weights have no tensor {name!r}") from None
        if value.shape != shape:
            raise ValueError(f"{name} has shape {value.shape}, expected {shape}")
        return value.astype(self.graph.dtype)

    def _parameter(self, name: str, *shape: int) -> str:
        return self.graph.tensor(name, self._weight(name, *shape))

    def _embeddings(self) -> str:
        g, c = self.graph, self.config
        words = g.op(
            "Gather",
            "/embeddings/word_embeddings",
            self._parameter(
                "embeddings.word_embeddings.weight", c.vocab_size, c.hidden_size
            ),
            "input_ids",
            axis=0,
        )

        types_name = "embeddings.token_type_embeddings.weight"
        if self.options.token_type_ids:
            types = g.op(
                "Gather",
                "/embeddings/token_type_embeddings",
                self._parameter(types_name, c.type_vocab_size, c.hidden_size),
                "token_type_ids",
                axis=0,
            )
        else:
            # BERT reads a missing token_type_ids as all zeros.
            table = self._weight(types_name, c.type_vocab_size, c.hidden_size)
            types = g.tensor(f"{types_name}.0", table[0])

        scope = "/embeddings/position_embeddings"
        shape = g.op("Shape", scope, "input_ids")
        length = g.op("Gather", scope, shape, g.int64([1]), axis=0)
        positions = g.op(
            "Slice",
            scope,
            self._parameter(
                "embeddings.position_embeddings.weight",
                c.max_position_embeddings,
                c.hidden_size,
            ),
            g.int64([0]),
            length,
            g.int64([0]),
        )

        total = g.op("Add", "/embeddings", words, types)
        total = g.op("Add", "/embeddings", total, positions)
        return self._layer_norm("embeddings.LayerNorm", total)

    def _attention_bias(self, mask: str) -> str:
        """0 where a key may be attended to, the lowest finite value elsewhere."""
        g = self.graph
        mask = g.op_with_axes("Unsqueeze", "/mask", mask, [1, 2])
        hidden_keys = g.op("Sub", "/mask", g.scalar("one", 1.0), mask)
        # Not infinity: 0 * inf would put NaN at the keys that do count.
        lowest = g.scalar("lowest", float(np.finfo(g.dtype).min))
        return g.op("Mul", "/mask", hidden_keys, lowest)

    def _layer(self, prefix: str, hidden: str, bias: str) -> str:
        c = self.config
        context = self._self_attention(f"{prefix}.attention.self", hidden, bias)
        attended = self._residual(
            f"{prefix}.attention.output", context, hidden, c.hidden_size
        )
        expanded = self._linear(
            f"{prefix}.intermediate.dense",
            attended,
            c.hidden_size,
            c.intermediate_size,
        )
        activated = self._gelu(f"{prefix}.intermediate.intermediate_act_fn", expanded)
        return self._residual(
            f"{prefix}.output", activated, attended, c.intermediate_size
        )

    def _self_attention(self, prefix: str, hidden: str, bias: str) -> str:
        g, c = self.graph, self.config
        scope = _scope(prefix)

        def heads(projection: str, perm: list[int]) -> str:
            x = self._linear(
                f"{prefix}.{projection}", hidden, c.hidden_size, c.hidden_size
            )
            # 0 keeps batch and sequence as they are.
            split = g.int64([0, 0, c.num_attention_heads, c.head_size])
            return g.op("Transpose", scope, g.op("Reshape", scope, x, split), perm=perm)

        query = heads("query", [0, 2, 1, 3])
        key_transposed = heads("key", [0, 2, 3, 1])
        value = heads("value", [0, 2, 1, 3])

        scores = g.op("MatMul", scope, query, key_transposed)
        scale = g.scalar("sqrt_head_size", float(np.sqrt(c.head_size)))
        scores = g.op("Div", scope, scores, scale)
        scores = g.op("Add", scope, scores, bias)
        probabilities = g.op("Softmax", scope, scores, axis=-1)
        context = g.op("MatMul", scope, probabilities, value)
        context = g.op("Transpose", scope, context, perm=[0, 2, 1, 3])
        return g.op("Reshape", scope, context, g.int64([0, 0, c.hidden_size]))

    def _residual(self, prefix: str, x: str, skipped: str, width: int) -> str:
        projected = self._linear(f"{prefix}.dense", x, width, self.config.hidden_size)
        total = self.graph.op("Add", _scope(prefix), projected, skipped)
        return self._layer_norm(f"{prefix}.LayerNorm", total)

    def _linear(self, prefix: str, x: str, inputs: int, outputs: int) -> str:
        g, scope = self.graph, _scope(prefix)
        # PyTorch keeps [out, in]; MatMul wants [in, out].
        weight = self._weight(f"{prefix}.weight", outputs, inputs).T
        product = g.op(
            "MatMul", scope, x, g.tensor(f"{prefix}.weight_transposed", weight)
        )
        bias = self._parameter(f"{prefix}.bias", outputs)
        return g.op("Add", scope, product, bias)

    def _layer_norm(self, prefix: str, x: str) -> str:
        g, scope, c = self.graph, _scope(prefix), self.config
        weight = self._parameter(f"{prefix}.weight", c.hidden_size)
        bias = self._parameter(f"{prefix}.bias", c.hidden_size)
        if g.opset >= 17:
            return g.op(
                "LayerNormalization",
                scope,
                x,
                weight,
                bias,
                axis=-1,
                epsilon=c.layer_norm_eps,
            )
        centred = g.op("Sub", scope, x, self._mean(scope, x))
        squared = g.op("Pow", scope, centred, g.scalar("two", 2.0))
        epsilon = g.scalar("layer_norm_eps", c.layer_norm_eps)
        variance = g.op("Add", scope, self._mean(scope, squared), epsilon)
        deviation = g.op("Sqrt", scope, variance)
        normalized = g.op("Div", scope, centred, deviation)
        return g.op("Add", scope, g.op("Mul", scope, normalized, weight), bias)

    def _mean(self, scope: str, x: str) -> str:
        return self.graph.op("ReduceMean", scope, x, axes=[-1], keepdims=1)

    def _gelu(self, prefix: str, x: str) -> str:
        """The exact GELU, x / 2 * (1 + erf(x / sqrt 2))."""
        g, scope = self.graph, _scope(prefix)
        scaled = g.op("Div", scope, x, g.scalar("sqrt_two", float(np.sqrt(2.0))))
        shifted = g.op("Add", scope, g.op("Erf", scope, scaled), g.scalar("one", 1.0))
        doubled = g.op("Mul", scope, x, shifted)
        return g.op("Mul", scope, doubled, g.scalar("half", 0.5))

    def _pooled(self, hidden: str, mask: str) -> str:
        g, scope = self.graph, "/pooling"
        if self.options.pooling_inside == "cls":
            # A scalar index, so that Gather drops the sequence axis.
            first = g.tensor("cls_index", np.array(0, dtype=np.int64))
            pooled = g.op("Gather", scope, hidden, first, axis=1)
        else:
            mask = g.op_with_axes("Unsqueeze", scope, mask, [-1])
            kept = g.op("Mul", scope, hidden, mask)
            total = g.op_with_axes("ReduceSum", scope, kept, [1], keepdims=0)
            count = g.op_with_axes("ReduceSum", scope, mask, [1], keepdims=0)
            # A row whose mask is empty pools to zero, not to 0 / 0.
            count = g.op("Max", scope, count, g.scalar("one", 1.0))
            pooled = g.op("Div", scope, total, count)
        if not self.options.normalize:
            return pooled
        norm = g.op("ReduceL2", scope, pooled, axes=[-1], keepdims=1)
        smallest = g.scalar("smallest", float(np.finfo(g.dtype).tiny))
        return g.op("Div", scope, pooled, g.op("Max", scope, norm, smallest))

    def _output(
        self, name: str, value: str, shape: list[str | int]
    ) -> onnx.ValueInfoProto:
        g = self.graph
        dtype = TensorProto.FLOAT if self._casts_outputs else g.onnx_dtype
        if self._casts_outputs:
            g.op("Cast", "/outputs", value, output=name, to=dtype)
        else:
            g.op("Identity", "/outputs", value, output=name)
        return helper.make_tensor_value_info(name, dtype, shape)

    @property
    def _casts_outputs(self) -> bool:
        return self.options.cast_outputs_to_float32 and self.options.dtype != "float32"


def _scope(prefix: str) -> str:
    """`encoder.layer.0.output.dense` as `/encoder/layer.0/output/dense`."""
    return "/" + prefix.replace(".", "/").replace("layer/", "layer.")
