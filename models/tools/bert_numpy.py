"""BERT's forward pass in plain numpy: the judge of the exported graph.

Written from the definition, sharing nothing with the exporter but the
configuration, so that one mistake cannot hide in both. It runs in float64,
where its own rounding is far below the tolerance it is used to enforce.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from bert_onnx import BertConfig

Array = NDArray[Any]

_erf = np.vectorize(math.erf, otypes=[np.float64])


def forward(
    config: BertConfig,
    weights: dict[str, Array],
    input_ids: Array,
    attention_mask: Array,
    token_type_ids: Array,
    dtype: DTypeLike = np.float64,
) -> Array:
    """last_hidden_state, [batch, sequence, hidden]."""
    w = {
        name: value.astype(dtype)
        for name, value in weights.items()
        if np.issubdtype(value.dtype, np.floating)
    }
    length = input_ids.shape[1]
    x = (
        w["embeddings.word_embeddings.weight"][input_ids]
        + w["embeddings.position_embeddings.weight"][:length]
        + w["embeddings.token_type_embeddings.weight"][token_type_ids]
    )
    x = _layer_norm(w, "embeddings.LayerNorm", x, config.layer_norm_eps)
    for index in range(config.num_hidden_layers):
        x = _layer(config, w, f"encoder.layer.{index}", x, attention_mask)
    return x


def _layer(
    config: BertConfig, w: dict[str, Array], prefix: str, x: Array, mask: Array
) -> Array:
    eps = config.layer_norm_eps
    context = _attention(config, w, f"{prefix}.attention.self", x, mask)
    projected = _linear(w, f"{prefix}.attention.output.dense", context)
    x = _layer_norm(w, f"{prefix}.attention.output.LayerNorm", x + projected, eps)
    expanded = _gelu(_linear(w, f"{prefix}.intermediate.dense", x))
    projected = _linear(w, f"{prefix}.output.dense", expanded)
    return _layer_norm(w, f"{prefix}.output.LayerNorm", x + projected, eps)


def _attention(
    config: BertConfig, w: dict[str, Array], prefix: str, x: Array, mask: Array
) -> Array:
    batch, length, _ = x.shape
    split = (batch, length, config.num_attention_heads, config.head_size)
    query, key, value = (
        _linear(w, f"{prefix}.{name}", x).reshape(split)
        for name in ("query", "key", "value")
    )
    scores = np.einsum("bqhd,bkhd->bhqk", query, key) / math.sqrt(config.head_size)
    scores = np.where(mask[:, None, None, :] == 1, scores, -np.inf)
    context = np.einsum("bhqk,bkhd->bqhd", _softmax(scores), value)
    return context.reshape(batch, length, config.hidden_size)


def _linear(w: dict[str, Array], prefix: str, x: Array) -> Array:
    return x @ w[f"{prefix}.weight"].T + w[f"{prefix}.bias"]


def _layer_norm(w: dict[str, Array], prefix: str, x: Array, eps: float) -> Array:
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = np.square(centred).mean(axis=-1, keepdims=True)
    return (
        centred / np.sqrt(variance + eps) * w[f"{prefix}.weight"] + w[f"{prefix}.bias"]
    )


def _softmax(x: Array) -> Array:
    exponentials = np.exp(x - x.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def _gelu(x: Array) -> Array:
    return (0.5 * x * (1.0 + _erf(x / math.sqrt(2.0)))).astype(x.dtype)
