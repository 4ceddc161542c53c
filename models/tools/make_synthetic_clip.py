"""Makes a model of the exact shape of CLIP ViT-B/32, with random weights.

The real weights come from the model hub alone. Where it cannot be reached,
this stands in for them wherever the numbers do not matter: loading, memory,
speed, agreement with ONNX Runtime. The tokenizer is the real one.

A freshly initialised model has zero biases and unit LayerNorm scales, which
hide whole classes of errors: a bias that is never added changes nothing. Here
every parameter is drawn at random, so each one matters to the result. Only
integer arithmetic and exact products are used on the way, so that every
machine gets the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from bert_onnx import Weights, serialize
from clip_onnx import (
    EncoderConfig,
    TextConfig,
    VisionConfig,
    build_text,
    build_vision,
)

NOTE = "seeded random weights: the vectors mean nothing"
PRODUCER = f"isovec ({NOTE})"
VISION_SEED, TEXT_SEED = 32, 77
VISION = VisionConfig(
    hidden_size=768,
    intermediate_size=3072,
    num_hidden_layers=12,
    num_attention_heads=12,
    projection_dim=512,
    image_size=224,
    patch_size=32,
)
TEXT = TextConfig(
    hidden_size=512,
    intermediate_size=2048,
    num_hidden_layers=12,
    num_attention_heads=8,
    projection_dim=512,
    vocab_size=49408,
    max_position_embeddings=77,
)
CLIP_MEAN = [0.48145466, 0.4578275, 0.40821073]
CLIP_STD = [0.26862954, 0.26130258, 0.27577711]
BICUBIC = 3


class _Draws:
    """Parameters by name, each drawn from a uniform distribution."""

    def __init__(self, seed: int) -> None:
        self.weights: Weights = {}
        self._rng = np.random.Generator(np.random.PCG64(seed))

    def add(self, name: str, *shape: int, deviation: float, mean: float = 0.0) -> None:
        # Uniform, not normal: a normal draw goes through the machine's libm.
        values = self._rng.random(shape, dtype=np.float32)
        values -= np.float32(0.5)
        values *= np.float32(12**0.5 * deviation)
        values += np.float32(mean)
        self.weights[name] = values

    def linear(self, prefix: str, inputs: int, outputs: int, gain: float = 1.0) -> None:
        self.add(f"{prefix}.weight", outputs, inputs, deviation=gain * inputs**-0.5)
        self.add(f"{prefix}.bias", outputs, deviation=0.1)

    def layer_norm(self, prefix: str, width: int) -> None:
        self.add(f"{prefix}.weight", width, mean=1.0, deviation=0.2)
        self.add(f"{prefix}.bias", width, deviation=0.1)

    def layers(self, root: str, config: EncoderConfig) -> None:
        hidden, inner = config.hidden_size, config.intermediate_size
        for index in range(config.num_hidden_layers):
            prefix = f"{root}.encoder.layers.{index}"
            self.layer_norm(f"{prefix}.layer_norm1", hidden)
            for projection in ("q_proj", "k_proj", "v_proj", "out_proj"):
                # Above one, so that attention tells its keys apart and what
                # it gathers outweighs the token that every input shares.
                self.linear(f"{prefix}.self_attn.{projection}", hidden, hidden, 1.5)
            self.layer_norm(f"{prefix}.layer_norm2", hidden)
            self.linear(f"{prefix}.mlp.fc1", hidden, inner)
            self.linear(f"{prefix}.mlp.fc2", inner, hidden)

    def projection(self, name: str, config: EncoderConfig) -> None:
        hidden = config.hidden_size
        self.add(name, config.projection_dim, hidden, deviation=hidden**-0.5)


def random_vision_weights(config: VisionConfig, seed: int) -> Weights:
    draws = _Draws(seed)
    root, hidden = "vision_model", config.hidden_size
    patch = (config.num_channels, config.patch_size, config.patch_size)
    draws.add(f"{root}.embeddings.class_embedding", hidden, deviation=0.2)
    kernels = f"{root}.embeddings.patch_embedding"
    # Neighbouring pixels are alike: less than one by the number of inputs.
    draws.add(
        f"{kernels}.weight", hidden, *patch, deviation=2.0 * np.prod(patch) ** -0.5
    )
    draws.add(f"{kernels}.bias", hidden, deviation=0.1)
    positions = f"{root}.embeddings.position_embedding.weight"
    draws.add(positions, config.positions, hidden, deviation=0.2)
    draws.layer_norm(f"{root}.pre_layrnorm", hidden)
    draws.layers(root, config)
    draws.layer_norm(f"{root}.post_layernorm", hidden)
    draws.projection("visual_projection.weight", config)
    return draws.weights


def random_text_weights(config: TextConfig, seed: int) -> Weights:
    draws = _Draws(seed)
    root, hidden = "text_model", config.hidden_size
    tokens = f"{root}.embeddings.token_embedding.weight"
    draws.add(tokens, config.vocab_size, hidden, deviation=0.5)
    positions = f"{root}.embeddings.position_embedding.weight"
    draws.add(positions, config.max_position_embeddings, hidden, deviation=0.2)
    draws.layers(root, config)
    draws.layer_norm(f"{root}.final_layer_norm", hidden)
    draws.projection("text_projection.weight", config)
    return draws.weights


def main() -> None:
    """Laid out as the hub lays out both towers of a CLIP."""
    args = parse_arguments()
    output: Path = args.output
    vision = build_vision(VISION, random_vision_weights(VISION, VISION_SEED))
    print("vision ", save(vision, output / "onnx" / "vision_model.onnx"))
    # One tower at a time: each takes several times its size in memory.
    del vision
    text = build_text(TEXT, random_text_weights(TEXT, TEXT_SEED))
    print("text   ", save(text, output / "onnx" / "text_model.onnx"))
    config = {**clip_config(VISION, TEXT), "isovec_synthetic": NOTE}
    write_json(output / "config.json", config)
    write_json(output / "preprocessor_config.json", clip_preprocessor(VISION))
    if args.tokenizer:
        shutil.copyfile(args.tokenizer, output / "tokenizer.json")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True, help="folder to fill")
    parser.add_argument(
        "--tokenizer", type=Path, help="tokenizer.json, as clip_tokenizer.py writes it"
    )
    return parser.parse_args()


def save(model: onnx.ModelProto, path: Path) -> str:
    """Says in the file itself what it is: folders get copied and renamed.

    Returns the hash and the size of what it wrote.
    """
    model.producer_name = PRODUCER
    model.doc_string = NOTE
    model.graph.doc_string = NOTE
    onnx.helper.set_model_props(model, {"isovec_synthetic": NOTE})
    path.parent.mkdir(parents=True, exist_ok=True)
    data = serialize(model)
    path.write_bytes(data)
    return f"sha256 {hashlib.sha256(data).hexdigest()}  {len(data)} bytes"


def clip_config(vision: VisionConfig, text: TextConfig) -> dict[str, Any]:
    """As transformers writes it for both sides in one."""
    return {
        "architectures": ["CLIPModel"],
        "logit_scale_init_value": 2.6592,
        "model_type": "clip",
        "projection_dim": vision.projection_dim,
        "text_config": text_config(text),
        "vision_config": vision_config(vision),
    }


def vision_config(config: VisionConfig) -> dict[str, Any]:
    """As transformers writes it for CLIP's image side alone."""
    return {
        "architectures": ["CLIPVisionModelWithProjection"],
        "attention_dropout": 0.0,
        "hidden_act": "quick_gelu",
        "hidden_size": config.hidden_size,
        "image_size": config.image_size,
        "initializer_factor": 1.0,
        "initializer_range": 0.02,
        "intermediate_size": config.intermediate_size,
        "layer_norm_eps": config.layer_norm_eps,
        "model_type": "clip_vision_model",
        "num_attention_heads": config.num_attention_heads,
        "num_channels": config.num_channels,
        "num_hidden_layers": config.num_hidden_layers,
        "patch_size": config.patch_size,
        "projection_dim": config.projection_dim,
    }


def text_config(config: TextConfig) -> dict[str, Any]:
    """As transformers writes it for CLIP's text side alone."""
    return {
        "architectures": ["CLIPTextModelWithProjection"],
        "attention_dropout": 0.0,
        "bos_token_id": 0,
        "eos_token_id": config.eos_token_id,
        "hidden_act": "quick_gelu",
        "hidden_size": config.hidden_size,
        "initializer_factor": 1.0,
        "initializer_range": 0.02,
        "intermediate_size": config.intermediate_size,
        "layer_norm_eps": config.layer_norm_eps,
        "max_position_embeddings": config.max_position_embeddings,
        "model_type": "clip_text_model",
        "num_attention_heads": config.num_attention_heads,
        "num_hidden_layers": config.num_hidden_layers,
        "pad_token_id": 1,
        "projection_dim": config.projection_dim,
        "vocab_size": config.vocab_size,
    }


def clip_preprocessor(config: VisionConfig) -> dict[str, Any]:
    """The keys of the hub's preprocessor_config.json, in the same forms."""
    return {
        "crop_size": {"height": config.image_size, "width": config.image_size},
        "do_center_crop": True,
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "feature_extractor_type": "CLIPFeatureExtractor",
        "image_mean": CLIP_MEAN,
        "image_processor_type": "CLIPFeatureExtractor",
        "image_std": CLIP_STD,
        "resample": BICUBIC,
        "rescale_factor": 1 / 255,
        "size": {"shortest_edge": config.image_size},
    }


def write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        json.dumps(value, ensure_ascii=False, indent=2) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    main()
