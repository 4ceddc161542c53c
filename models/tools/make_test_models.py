"""Writes folders of tiny seeded models for the tests of model loading.

Real weights come in one shape; what users bring does not. Each folder is a
model as a user would hand it over, good or bad, with the vectors that ONNX
Runtime gives for it. The models mean nothing: their weights are random.
make_clip_models.py adds those that have to do with images.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.quantization import QuantType, quantize_dynamic
from tokenizers import Tokenizer

import make_clip_models
import tiny_bert
from bert_onnx import BertConfig, ExportOptions, Pooling, Weights, build_bert, serialize
from graph_edits import (
    add_fourier_transform,
    add_output_axis,
    attend_locally,
    guard_and_attend_locally,
    guard_probabilities,
    list_weights_as_inputs,
    quantize_weights,
    require_pixel_values,
    take_float_ids,
)

# Longer than every model's max_position_embeddings, and than the truncation
# that some of the tokenizer.json files ask for.
LONG_TEXT = " ".join(
    f"{n} words about the river and the green house" for n in range(20)
)
TEXTS = [
    "",
    "hello world",
    "The cat is in the house.",
    "Many people find the first light of morning after a long night",
    "what is a vector model?",
    "walking, talked; greenest kindness",
    "x",
    "42 + 7 = 49",
    "\u00c9t\u00e9 \u00e0 la rivi\u00e8re",
    "\u65e5\u672c\u8a9e and emoji \U0001f642",
    LONG_TEXT,
]
PROMPTS = {"query": "query: ", "passage": "passage: "}


def save(model: onnx.ModelProto, path: Path) -> None:
    path.write_bytes(serialize(model))


def save_dynamic_int8(model: onnx.ModelProto, path: Path) -> None:
    """DynamicQuantizeLinear and MatMulInteger, as ONNX Runtime's tool writes."""
    quantize_dynamic(model, path, per_channel=True, weight_type=QuantType.QInt8)


def save_external_data(model: onnx.ModelProto, path: Path) -> None:
    """The matrices in a second file, which the graph names by its path."""
    location = "weights.bin"
    # onnx appends to a file left by an earlier run.
    path.with_name(location).unlink(missing_ok=True)
    onnx.save_model(
        model,
        path,
        save_as_external_data=True,
        all_tensors_to_one_file=True,
        location=location,
    )


def poison_last_bias(config: BertConfig, weights: Weights) -> None:
    """One NaN in the last LayerNorm: one NaN in every vector."""
    weights[_last_layer_norm(config, "bias")][0] = np.nan


def zero_last_layer_norm(config: BertConfig, weights: Weights) -> None:
    """Every hidden state, and so every pooled vector, is exactly zero."""
    for part in ("weight", "bias"):
        weights[_last_layer_norm(config, part)][:] = 0.0


def _last_layer_norm(config: BertConfig, part: str) -> str:
    return f"encoder.layer.{config.num_hidden_layers - 1}.output.LayerNorm.{part}"


@dataclass(frozen=True)
class Case:
    """One folder. `bad` says why it must be refused; None if it must not.

    `pooling` is what the caller has to do with the hidden states, None if the
    graph does it. `tokenizer_limits` puts a truncation and a padding into
    tokenizer.json that the loader has to override.
    """

    name: str
    hidden_size: int = 64
    layers: int = 2
    heads: int = 4
    max_positions: int = 64
    options: ExportOptions = field(default_factory=ExportOptions)
    pooling: Pooling | None = "mean"
    tokenizer_limits: bool = False
    prompts: bool = False
    edit_weights: Callable[[BertConfig, Weights], None] | None = None
    edit_model: Callable[[onnx.ModelProto], None] | None = None
    save: Callable[[onnx.ModelProto, Path], None] = save
    bad: str | None = None

    @property
    def config(self) -> BertConfig:
        return BertConfig(
            vocab_size=len(tiny_bert.vocabulary()),
            hidden_size=self.hidden_size,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            intermediate_size=4 * self.hidden_size,
            max_position_embeddings=self.max_positions,
        )


CASES = [
    Case(
        "mean-opset11",
        hidden_size=32,
        heads=2,
        max_positions=48,
        options=ExportOptions(opset=11),
    ),
    Case("mean-opset13", hidden_size=48, heads=3, options=ExportOptions(opset=13)),
    Case("mean-opset14", layers=3, options=ExportOptions(opset=14)),
    Case("mean-opset17", hidden_size=128, heads=8, tokenizer_limits=True),
    Case(
        "cls-no-token-type-ids",
        hidden_size=96,
        heads=6,
        options=ExportOptions(token_type_ids=False, output_name="hidden"),
        pooling="cls",
    ),
    Case(
        "pooling-inside",
        options=ExportOptions(output_name="token_embeddings", pooling_inside="mean"),
        pooling=None,
    ),
    Case(
        "pooling-inside-only",
        options=ExportOptions(
            hidden_states=False, pooling_inside="cls", normalize=False
        ),
        pooling=None,
    ),
    Case("fp16", options=ExportOptions(dtype="float16")),
    Case(
        "fp16-float32-output",
        options=ExportOptions(dtype="float16", cast_outputs_to_float32=True),
    ),
    Case("int8-weights", edit_model=quantize_weights),
    Case("int8-dynamic", save=save_dynamic_int8),
    Case("wide", hidden_size=192, layers=3, heads=6),
    Case("prompts", tokenizer_limits=True, prompts=True),
    Case(
        "weights-as-inputs",
        options=ExportOptions(opset=11),
        edit_model=list_weights_as_inputs,
    ),
    Case("guarded", edit_model=guard_probabilities),
    Case("local", edit_model=attend_locally),
    Case("guarded-local", edit_model=guard_and_attend_locally),
    Case("bad-nan", edit_weights=poison_last_bias, bad="vectors hold a NaN"),
    Case("bad-zero", edit_weights=zero_last_layer_norm, bad="vectors are all zero"),
    Case(
        "bad-external-data",
        save=save_external_data,
        bad="weights lie in a second file",
    ),
    Case("bad-rank", edit_model=add_output_axis, bad="the output has rank 4"),
    Case(
        "bad-inputs",
        edit_model=require_pixel_values,
        bad="an input pixel_values is required as well",
    ),
    Case(
        "bad-operator",
        edit_model=add_fourier_transform,
        bad="a Fourier transform",
    ),
    Case("bad-float-ids", edit_model=take_float_ids, bad="input_ids is float32"),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True, help="folder to fill")
    output: Path = parser.parse_args().output
    for seed, case in enumerate(CASES):
        write_case(output / case.name, case, seed)
    write_json(output / "index.json", [describe(case) for case in CASES])
    make_clip_models.write_all(output)


def describe(case: Case) -> dict[str, Any]:
    return {
        "name": case.name,
        "dims": case.hidden_size,
        "max_tokens": case.max_positions,
        "pooling": case.pooling,
        "bad": case.bad,
    }


def write_case(folder: Path, case: Case, seed: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    config = case.config
    weights = tiny_bert.random_weights(config, seed)
    if case.edit_weights:
        case.edit_weights(config, weights)
    model = build_bert(config, weights, case.options)
    if case.edit_model:
        case.edit_model(model)
    case.save(model, folder / "model.onnx")

    write_tokenizer(folder / "tokenizer.json", case)
    write_json(folder / "config.json", hugging_face_config(config))
    if case.pooling:
        (folder / "1_Pooling").mkdir(exist_ok=True)
        write_json(folder / "1_Pooling" / "config.json", pooling_config(case))
    if case.prompts:
        write_json(
            folder / "config_sentence_transformers.json",
            {"prompts": PROMPTS, "default_prompt_name": None},
        )
    if case.bad is None:
        write_json(folder / "reference.json", reference(folder, case))


def write_tokenizer(path: Path, case: Case) -> None:
    tokenizer = tiny_bert.tokenizer()
    if case.tokenizer_limits:
        tokenizer.enable_truncation(max_length=16)
        tokenizer.enable_padding(length=16)
    path.write_text(tokenizer.to_str(pretty=True), encoding="utf-8")


def hugging_face_config(config: BertConfig) -> dict[str, Any]:
    return {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "hidden_act": "gelu",
        "position_embedding_type": "absolute",
        "pad_token_id": 0,
        **asdict(config),
    }


def pooling_config(case: Case) -> dict[str, Any]:
    """The keys sentence-transformers writes, with one mode chosen."""
    return {
        "word_embedding_dimension": case.hidden_size,
        "pooling_mode_cls_token": case.pooling == "cls",
        "pooling_mode_mean_tokens": case.pooling == "mean",
        "pooling_mode_max_tokens": False,
        "pooling_mode_mean_sqrt_len_tokens": False,
    }


def reference(folder: Path, case: Case) -> dict[str, Any]:
    """Computed from the files just written, as a user would read them."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length=case.max_positions)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # no warning for each weight among the inputs
    session = onnxruntime.InferenceSession(
        folder / "model.onnx", options, providers=["CPUExecutionProvider"]
    )

    def embed_all(prefix: str) -> dict[str, Any]:
        ids = [tokenizer.encode(prefix + text).ids for text in TEXTS]
        vectors = [embed(session, case, row).tolist() for row in ids]
        return {"input_ids": ids, "embeddings": vectors}

    result = {"texts": TEXTS, **describe(case), **embed_all("")}
    if case.prompts:
        result["prompted"] = {name: embed_all(text) for name, text in PROMPTS.items()}
    return result


def embed(
    session: onnxruntime.InferenceSession, case: Case, ids: list[int]
) -> NDArray[np.float32]:
    """One text at its own length: no padding, so its mask is all ones."""
    row = np.array([ids], dtype=np.int64)
    inputs = {
        "input_ids": row,
        "attention_mask": np.ones_like(row),
        "token_type_ids": np.zeros_like(row),
    }
    expected = {value.name for value in session.get_inputs()}
    (output,) = session.run(
        [case.options.output_name if case.pooling else case.options.pooled_name],
        {name: value for name, value in inputs.items() if name in expected},
    )
    vector = output[0].astype(np.float64)
    if case.pooling == "mean":
        vector = vector.mean(axis=0)
    elif case.pooling == "cls":
        vector = vector[0]
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def write_json(path: Path, value: Any) -> None:
    path.write_text(
        json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    main()
