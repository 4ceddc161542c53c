"""Builds CLIP's two towers as ONNX graphs, straight from their weights.

The graphs copy, operator for operator where that matters, what PyTorch's
exporter makes of transformers' CLIPVisionModelWithProjection and
CLIPTextModelWithProjection (opset 14, the eager attention of transformers
4.33, which the hub's ONNX files were exported from): LayerNorm spelt out,
shapes read off the tensors, heads folded into the batch, a causal mask built
out of the length. An engine that loads these finds nothing new in those.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from bert_onnx import Weights
from bert_onnx import Graph as Graph

OPSET = 14
# What CLIP's config.json states wrongly; transformers (pull request 24773) keeps
# reading it as "the largest id in a text is its end".
LEGACY_EOS = 2


@dataclass(frozen=True)
class EncoderConfig:
    """The keys of a config.json that both towers have."""

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    projection_dim: int
    layer_norm_eps: float = 1e-5

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
    def load(cls, path: Path) -> Any:
        """Reads the config.json of one tower; other keys are not looked at."""
        raw = json.loads(path.read_text(encoding="utf-8"))
        return cls(**{key: raw[key] for key in cls.__dataclass_fields__ if key in raw})


@dataclass(frozen=True)
class VisionConfig(EncoderConfig):
    """`plain` is a ViT that is not CLIP's: a bias on the patches, the exact
    GELU, no LayerNorm before the layers, one over every token after them, and
    no projection. Its only output is last_hidden_state."""

    image_size: int = 224
    patch_size: int = 32
    num_channels: int = 3
    plain: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.image_size % self.patch_size:
            raise ValueError(
                f"image_size {self.image_size} is not a multiple of "
                f"patch_size {self.patch_size}"
            )

    @property
    def positions(self) -> int:
        """One for the class token, one for each patch."""
        return (self.image_size // self.patch_size) ** 2 + 1


@dataclass(frozen=True)
class TextConfig(EncoderConfig):
    vocab_size: int = 49408
    max_position_embeddings: int = 77
    eos_token_id: int = LEGACY_EOS


def build_vision(config: VisionConfig, weights: Weights) -> onnx.ModelProto:
    """pixel_values to image_embeds and last_hidden_state."""
    return _Vision(config, weights).build()


def build_text(config: TextConfig, weights: Weights) -> onnx.ModelProto:
    """input_ids to text_embeds and last_hidden_state."""
    return _Text(config, weights).build()


class _Tower:
    """What both towers are made of; one method per module of CLIP."""

    root: str
    name: str

    def __init__(self, config: EncoderConfig, weights: Weights) -> None:
        self.encoder = config
        self.weights = weights
        self.graph = Graph(OPSET, "float32")

    def _model(
        self,
        inputs: list[onnx.ValueInfoProto],
        outputs: list[onnx.ValueInfoProto],
    ) -> onnx.ModelProto:
        model = self.graph.model(inputs, outputs)
        model.graph.name = self.name
        return model

    def _weight(self, name: str, *shape: int) -> NDArray[Any]:
        try:
            value = self.weights[name]
        except KeyError:
            raise ValueError(f"the weights have no tensor {name!r}") from None
        if value.shape != shape:
            raise ValueError(f"{name} has shape {value.shape}, expected {shape}")
        return value.astype(np.float32, copy=False)

    def _parameter(self, name: str, *shape: int) -> str:
        return self.graph.tensor(name, self._weight(name, *shape))

    def _index(self, value: int) -> str:
        """A scalar, so that Gather drops the axis it picks from."""
        return self.graph.tensor(f"index.{value}", np.array(value, dtype=np.int64))

    def _dim(self, scope: str, x: str, axis: int) -> str:
        """One dimension of a tensor, as a scalar."""
        shape = self.graph.op("Shape", scope, x)
        return self.graph.op("Gather", scope, shape, self._index(axis), axis=0)

    def _shape(self, scope: str, *dims: str | int) -> str:
        """A shape put together of scalars of the graph and of constants."""
        g = self.graph
        parts = [
            g.int64([dim]) if isinstance(dim, int) else self._unsqueeze(scope, dim, 0)
            for dim in dims
        ]
        return g.op("Concat", scope, *parts, axis=0)

    def _unsqueeze(self, scope: str, x: str, axis: int) -> str:
        return self.graph.op_with_axes("Unsqueeze", scope, x, [axis])

    def _filled(self, scope: str, shape: str, value: NDArray[Any]) -> str:
        tensor = helper.make_tensor(
            "value",
            helper.np_dtype_to_tensor_dtype(value.dtype),
            [1],
            value.astype(value.dtype.newbyteorder("<")).tobytes(),
            raw=True,
        )
        return self.graph.op("ConstantOfShape", scope, shape, value=tensor)

    def _expand(self, scope: str, x: str, *dims: str | int) -> str:
        """`expand` of PyTorch, where -1 keeps a dimension; Expand wants a 1."""
        g = self.graph
        target = self._shape(scope, *dims)
        target = g.op("Reshape", scope, target, g.int64([-1]))
        ones = self._filled(scope, g.op("Shape", scope, target), np.array([1]))
        kept = g.op("Mul", scope, ones, self._index(-1))
        kept = g.op("Equal", scope, target, kept)
        return g.op("Expand", scope, x, g.op("Where", scope, kept, ones, target))

    def _range(self, scope: str, end: str) -> str:
        return self.graph.op("Range", scope, self._index(0), end, self._index(1))

    def _layers(self, hidden: str, bias: str | None) -> str:
        for index in range(self.encoder.num_hidden_layers):
            prefix = f"{self.root}.encoder.layers.{index}"
            hidden = self._layer(prefix, hidden, bias)
        return hidden

    def _layer(self, prefix: str, hidden: str, bias: str | None) -> str:
        g, scope, c = self.graph, _scope(prefix), self.encoder
        normed = self._layer_norm(f"{prefix}.layer_norm1", hidden)
        attended = self._self_attention(f"{prefix}.self_attn", normed, bias)
        hidden = g.op("Add", scope, hidden, attended)
        normed = self._layer_norm(f"{prefix}.layer_norm2", hidden)
        wide = self._linear(
            f"{prefix}.mlp.fc1", normed, c.hidden_size, c.intermediate_size
        )
        wide = self._activation(f"{prefix}.mlp.activation_fn", wide)
        narrow = self._linear(
            f"{prefix}.mlp.fc2", wide, c.intermediate_size, c.hidden_size
        )
        return g.op("Add", scope, hidden, narrow)

    def _self_attention(self, prefix: str, x: str, bias: str | None) -> str:
        """Heads are folded into the batch: [batch * heads, length, head]."""
        g, scope, c = self.graph, _scope(prefix), self.encoder
        heads, width = c.num_attention_heads, c.head_size
        batch, length = self._dim(scope, x, 0), self._dim(scope, x, 1)

        def project(name: str) -> str:
            return self._linear(f"{prefix}.{name}", x, c.hidden_size, c.hidden_size)

        def fold(projected: str) -> str:
            split = self._shape(scope, batch, -1, heads, width)
            split = g.op("Reshape", scope, projected, split)
            split = g.op("Transpose", scope, split, perm=[0, 2, 1, 3])
            batched = g.op("Mul", scope, batch, self._index(heads))
            folded = self._shape(scope, batched, -1, width)
            return g.op("Reshape", scope, split, folded)

        scale = g.scalar("head_scale", width**-0.5)
        query = fold(g.op("Mul", scope, project("q_proj"), scale))
        key, value = fold(project("k_proj")), fold(project("v_proj"))

        key = g.op("Transpose", scope, key, perm=[0, 2, 1])
        scores = g.op("MatMul", scope, query, key)
        if bias is not None:
            apart = self._shape(scope, batch, heads, length, length)
            scores = g.op("Reshape", scope, scores, apart)
            scores = g.op("Add", scope, scores, bias)
            batched = g.op("Mul", scope, batch, self._index(heads))
            together = self._shape(scope, batched, length, length)
            scores = g.op("Reshape", scope, scores, together)
        probabilities = g.op("Softmax", scope, scores, axis=-1)
        context = g.op("MatMul", scope, probabilities, value)

        apart = self._shape(scope, batch, heads, length, width)
        context = g.op("Reshape", scope, context, apart)
        context = g.op("Transpose", scope, context, perm=[0, 2, 1, 3])
        joined = self._shape(scope, batch, length, c.hidden_size)
        context = g.op("Reshape", scope, context, joined)
        return self._linear(f"{prefix}.out_proj", context, c.hidden_size, c.hidden_size)

    def _activation(self, prefix: str, x: str) -> str:
        """Quick GELU, which CLIP was trained with."""
        g, scope = self.graph, _scope(prefix)
        steep = g.op("Mul", scope, x, g.scalar("quick_gelu", 1.702))
        return g.op("Mul", scope, x, g.op("Sigmoid", scope, steep))

    def _linear(self, prefix: str, x: str, inputs: int, outputs: int) -> str:
        product = self._project(prefix, x, inputs, outputs)
        bias = self._parameter(f"{prefix}.bias", outputs)
        return self.graph.op("Add", _scope(prefix), bias, product)

    def _project(self, prefix: str, x: str, inputs: int, outputs: int) -> str:
        # PyTorch keeps [out, in]; MatMul wants [in, out].
        weight = self._weight(f"{prefix}.weight", outputs, inputs).T
        weight = self.graph.tensor(f"{prefix}.weight_transposed", weight)
        return self.graph.op("MatMul", _scope(prefix), x, weight)

    def _layer_norm(self, prefix: str, x: str) -> str:
        g, scope, c = self.graph, _scope(prefix), self.encoder
        weight = self._parameter(f"{prefix}.weight", c.hidden_size)
        bias = self._parameter(f"{prefix}.bias", c.hidden_size)
        centred = g.op("Sub", scope, x, self._mean(scope, x))
        squared = g.op("Pow", scope, centred, g.scalar("two", 2.0))
        epsilon = g.scalar("layer_norm_eps", c.layer_norm_eps)
        variance = g.op("Add", scope, self._mean(scope, squared), epsilon)
        normed = g.op("Div", scope, centred, g.op("Sqrt", scope, variance))
        return g.op("Add", scope, g.op("Mul", scope, normed, weight), bias)

    def _mean(self, scope: str, x: str) -> str:
        return self.graph.op("ReduceMean", scope, x, axes=[-1], keepdims=1)

    def _output(self, name: str, value: str) -> None:
        """Gives a tensor of the graph the name it is asked for by."""
        self.graph.op("Identity", "/outputs", value, output=name)


class _Vision(_Tower):
    root = "vision_model"
    name = "clip_vision"

    def __init__(self, config: VisionConfig, weights: Weights) -> None:
        super().__init__(config, weights)
        self.config = config

    def build(self) -> onnx.ModelProto:
        c = self.config
        hidden = self._embeddings()
        if not c.plain:
            # Misspelt so in every checkpoint.
            hidden = self._layer_norm(f"{self.root}.pre_layrnorm", hidden)
        hidden = self._layers(hidden, None)
        hidden_shape = ["batch", c.positions, c.hidden_size]
        outputs = [_float("last_hidden_state", hidden_shape)]
        if c.plain:
            hidden = self._layer_norm(f"{self.root}.post_layernorm", hidden)
        else:
            self._output("image_embeds", self._image_embeds(hidden))
            outputs.insert(0, _float("image_embeds", ["batch", c.projection_dim]))
        self._output("last_hidden_state", hidden)
        pixels = ["batch", c.num_channels, c.image_size, c.image_size]
        return self._model([_float("pixel_values", pixels)], outputs)

    def _embeddings(self) -> str:
        g, c = self.graph, self.config
        prefix = f"{self.root}.embeddings"
        scope = _scope(prefix)
        size, width = c.patch_size, c.hidden_size
        kernels = f"{prefix}.patch_embedding.weight"
        inputs = [
            "pixel_values",
            self._parameter(kernels, width, c.num_channels, size, size),
        ]
        if c.plain:
            inputs.append(self._parameter(f"{prefix}.patch_embedding.bias", width))
        patches = g.op(
            "Conv",
            f"{scope}/patch_embedding",
            *inputs,
            dilations=[1, 1],
            group=1,
            kernel_shape=[size, size],
            pads=[0, 0, 0, 0],
            strides=[size, size],
        )
        # [batch, width, rows, columns] to [batch, patches, width]
        shape = g.op("Shape", scope, patches)
        kept = g.op("Slice", scope, shape, g.int64([0]), g.int64([2]), g.int64([0]))
        flat = g.op("Concat", scope, kept, g.int64([-1]), axis=0)
        patches = g.op("Reshape", scope, patches, flat)
        patches = g.op("Transpose", scope, patches, perm=[0, 2, 1])

        token = self._parameter(f"{prefix}.class_embedding", width)
        batch = self._dim(scope, "pixel_values", 0)
        token = self._expand(scope, token, batch, 1, -1)
        tokens = g.op("Concat", scope, token, patches, axis=1)

        table = self._parameter(
            f"{prefix}.position_embedding.weight", c.positions, width
        )
        ids = g.tensor(f"{prefix}.position_ids", np.arange(c.positions)[None])
        places = g.op("Gather", f"{scope}/position_embedding", table, ids, axis=0)
        return g.op("Add", scope, tokens, places)

    def _image_embeds(self, hidden: str) -> str:
        c, scope = self.config, f"/{self.root}"
        first = self.graph.op("Gather", scope, hidden, self._index(0), axis=1)
        first = self._layer_norm(f"{self.root}.post_layernorm", first)
        return self._project(
            "visual_projection", first, c.hidden_size, c.projection_dim
        )

    def _activation(self, prefix: str, x: str) -> str:
        if not self.config.plain:
            return super()._activation(prefix, x)
        g, scope = self.graph, _scope(prefix)
        scaled = g.op("Div", scope, x, g.scalar("sqrt_two", float(np.sqrt(2.0))))
        shifted = g.op("Add", scope, g.op("Erf", scope, scaled), g.scalar("one", 1.0))
        doubled = g.op("Mul", scope, x, shifted)
        return g.op("Mul", scope, doubled, g.scalar("half", 0.5))


class _Text(_Tower):
    root = "text_model"
    name = "clip_text"

    def __init__(self, config: TextConfig, weights: Weights) -> None:
        super().__init__(config, weights)
        self.config = config

    def build(self) -> onnx.ModelProto:
        g, c, scope = self.graph, self.config, f"/{self.root}"
        batch = self._dim(scope, "input_ids", 0)
        length = self._dim(scope, "input_ids", 1)
        ids = g.op("Reshape", scope, "input_ids", self._shape(scope, -1, length))
        hidden = self._embeddings(ids)
        hidden = self._layers(hidden, self._causal_bias(batch, length))
        hidden = self._layer_norm(f"{self.root}.final_layer_norm", hidden)
        self._output("text_embeds", self._text_embeds(ids, hidden))
        self._output("last_hidden_state", hidden)

        sequence = ["batch", "sequence"]
        return self._model(
            [helper.make_tensor_value_info("input_ids", TensorProto.INT64, sequence)],
            [
                _float("text_embeds", ["batch", c.projection_dim]),
                _float("last_hidden_state", [*sequence, c.hidden_size]),
            ],
        )

    def _embeddings(self, ids: str) -> str:
        g, c = self.graph, self.config
        prefix = f"{self.root}.embeddings"
        scope = _scope(prefix)
        length = self._unsqueeze(scope, self._dim(scope, ids, 1), 0)
        places = g.op(
            "Slice",
            scope,
            g.tensor(
                f"{prefix}.position_ids", np.arange(c.max_position_embeddings)[None]
            ),
            g.int64([0]),
            length,
            g.int64([1]),
            g.int64([1]),
        )
        words = g.op(
            "Gather",
            f"{scope}/token_embedding",
            self._parameter(
                f"{prefix}.token_embedding.weight", c.vocab_size, c.hidden_size
            ),
            ids,
            axis=0,
        )
        places = g.op(
            "Gather",
            f"{scope}/position_embedding",
            self._parameter(
                f"{prefix}.position_embedding.weight",
                c.max_position_embeddings,
                c.hidden_size,
            ),
            places,
            axis=0,
        )
        return g.op("Add", scope, words, places)

    def _causal_bias(self, batch: str, length: str) -> str:
        """0 for what a token may look back at, the lowest value elsewhere."""
        g, scope = self.graph, f"/{self.root}"
        lowest = np.array([np.finfo(np.float32).min], dtype=np.float32)
        square = self._filled(scope, self._shape(scope, length, length), lowest)
        columns = self._range(scope, length)
        rows = g.op("Add", scope, columns, self._index(1))
        rows = g.op("Reshape", scope, rows, self._shape(scope, length, 1))
        seen = g.op("Less", scope, columns, rows)
        bias = g.op("Where", scope, seen, g.scalar("zero", 0.0), square)
        bias = self._unsqueeze(scope, self._unsqueeze(scope, bias, 0), 1)
        return self._expand(scope, bias, batch, 1, length, length)

    def _text_embeds(self, ids: str, hidden: str) -> str:
        """The state of the end-of-text token, found among the flattened rows."""
        g, c, scope = self.graph, self.config, f"/{self.root}"
        rows = self._range(scope, self._dim(scope, hidden, 0))
        offsets = g.op("Mul", scope, rows, self._dim(scope, hidden, 1))
        chosen = g.op("Add", scope, self._end_of_text(ids), offsets)
        flat = g.op("Flatten", scope, hidden, axis=2)
        ends = g.op("Gather", scope, flat, chosen, axis=0)
        width = g.int64([c.hidden_size])
        shape = g.op("Concat", scope, g.op("Shape", scope, chosen), width, axis=0)
        ends = g.op("Reshape", scope, ends, shape)
        return self._project("text_projection", ends, c.hidden_size, c.projection_dim)

    def _end_of_text(self, ids: str) -> str:
        g, scope = self.graph, f"/{self.root}"
        if self.config.eos_token_id != LEGACY_EOS:
            ids = g.op("Equal", scope, ids, self._index(self.config.eos_token_id))
        ids = g.op("Cast", scope, ids, to=TensorProto.INT32)
        return g.op("ArgMax", scope, ids, axis=-1, keepdims=0, select_last_index=0)


def _float(name: str, shape: list[Any]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def _scope(prefix: str) -> str:
    """`text_model.encoder.layers.0.mlp` as `/text_model/encoder/layers.0/mlp`."""
    return "/" + prefix.replace(".", "/").replace("layers/", "layers.")
