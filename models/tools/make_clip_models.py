"""Writes small CLIP towers and a small ViT into a folder, for tests.

make_test_models.py calls this. Each subfolder holds a model as a user would
hand it over, good or bad. What ONNX Runtime gives for the good ones lies
beside them: expected.safetensors for images, whose pixels are kept with the
vectors, and reference.json for texts. clip-index.json lists the folders. The
models mean nothing: their weights are random.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import safetensors.numpy
from numpy.typing import NDArray
from tokenizers import Tokenizer

import tiny_bert
from clip_onnx import TextConfig, VisionConfig, build_text, build_vision
from clip_tokenizer import SUFFIX, serialize, tokenizer_json, vocabulary
from make_synthetic_clip import (
    clip_config,
    clip_preprocessor,
    random_text_weights,
    random_vision_weights,
    save,
    text_config,
    vision_config,
    write_json,
)

VISION_SEED, TEXT_SEED, VIT_SEED, PIXEL_SEED = 1001, 1002, 1003, 1004
BILINEAR = 2
IMAGES = 5
TEXTS = [
    "",
    "hello world",
    "A photo of a small Green cat.",
    "the house by the river, at night",
    "it's 42 + 7 = 49!",
    "x",
    "\u00c9t\u00e9 \u00e0 la rivi\u00e8re",
    "\u65e5\u672c\u8a9e and emoji \U0001f642",
    "a\u00a0\t\n b",
    "<|endoftext|>",
    # Longer than the position table.
    " ".join(f"{n} words about the river and the green house" for n in range(20)),
]
VISION = VisionConfig(
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=2,
    num_attention_heads=2,
    projection_dim=24,
    image_size=48,
    patch_size=16,
)
VIT = replace(VISION, hidden_size=48, num_attention_heads=3, plain=True)


def merges() -> list[str]:
    """Each word of the small vocabulary grows from its left, letter by letter."""
    found: dict[str, None] = {}
    for word in tiny_bert.WORDS:
        letters = [*word[:-1], word[-1] + SUFFIX]
        whole = letters[0]
        for letter in letters[1:]:
            found[f"{whole} {letter}"] = None
            whole += letter
    return list(found)


TEXT = TextConfig(
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=2,
    num_attention_heads=4,
    projection_dim=24,
    vocab_size=len(vocabulary(merges())),
    max_position_embeddings=77,
)


def write_all(output: Path) -> None:
    """The bad folders are good ones with one thing changed."""
    write_vision(output / "clip-vision")
    write_text(output / "clip-text")
    write_both(output)
    write_vit(output / "vit-cls")

    wrong_size = output / "vision-wrong-size"
    copy(output / "clip-vision", wrong_size)
    claimed = replace(VISION, image_size=64)
    write_json(wrong_size / "config.json", vision_config(claimed))
    write_json(wrong_size / "preprocessor_config.json", clip_preprocessor(claimed))

    as_text = output / "vision-as-text"
    copy(output / "clip-text", as_text)
    shutil.copyfile(output / "clip-vision" / "model.onnx", as_text / "model.onnx")

    write_json(output / "clip-index.json", list(index()))


def index() -> Iterator[dict[str, Any]]:
    """`space` names what two towers share; `bad` says why one is refused."""
    vision = {"kind": "image", "dims": VISION.projection_dim, "pooling": None}
    text = {
        "kind": "clip-text",
        "dims": TEXT.projection_dim,
        "pooling": None,
        "max_tokens": TEXT.max_position_embeddings,
    }
    vit = {"kind": "image", "dims": VIT.hidden_size, "pooling": "cls"}
    no_pixels = "the model takes pixel_values and no input_ids"
    wrong_size = "preprocessing gives 64 pixels, the model takes 48"
    yield {"name": "clip-vision", **vision, "image_size": 48, "bad": None}
    yield {"name": "clip-text", **text, "bad": None}
    yield {"name": "clip-both", **vision, "image_size": 48, "bad": None}
    yield {"name": "clip-both", **text, "bad": None}
    yield {"name": "vit-cls", **vit, "image_size": 48, "bad": None}
    yield {"name": "vision-wrong-size", **vision, "image_size": 64, "bad": wrong_size}
    yield {"name": "vision-as-text", **text, "bad": no_pixels}


def write_vision(folder: Path) -> None:
    model = build_vision(VISION, random_vision_weights(VISION, VISION_SEED))
    save(model, folder / "model.onnx")
    write_json(folder / "config.json", vision_config(VISION))
    write_json(folder / "preprocessor_config.json", clip_preprocessor(VISION))
    write_expected(folder, VISION, "image_embeds")


def write_text(folder: Path) -> None:
    model = build_text(TEXT, random_text_weights(TEXT, TEXT_SEED))
    save(model, folder / "model.onnx")
    write_json(folder / "config.json", text_config(TEXT))
    (folder / "tokenizer.json").write_bytes(serialize(tokenizer_json(merges())))
    write_json(folder / "reference.json", text_reference(folder))


def write_both(output: Path) -> None:
    """The same two towers in one folder, as the hub lays them out."""
    vision, text, folder = (
        output / f"clip-{name}" for name in ("vision", "text", "both")
    )
    (folder / "onnx").mkdir(parents=True, exist_ok=True)
    shutil.copyfile(vision / "model.onnx", folder / "onnx" / "vision_model.onnx")
    shutil.copyfile(text / "model.onnx", folder / "onnx" / "text_model.onnx")
    for file in ("preprocessor_config.json", "expected.safetensors"):
        shutil.copyfile(vision / file, folder / file)
    for file in ("tokenizer.json", "reference.json"):
        shutil.copyfile(text / file, folder / file)
    write_json(folder / "config.json", clip_config(VISION, TEXT))


def write_vit(folder: Path) -> None:
    """Hidden states only, so pooling is the caller's, and other preprocessing."""
    model = build_vision(VIT, random_vision_weights(VIT, VIT_SEED))
    save(model, folder / "model.onnx")
    config = {
        "architectures": ["ViTModel"],
        "model_type": "vit",
        "hidden_act": "gelu",
        "hidden_size": VIT.hidden_size,
        "image_size": VIT.image_size,
        "intermediate_size": VIT.intermediate_size,
        "layer_norm_eps": VIT.layer_norm_eps,
        "num_attention_heads": VIT.num_attention_heads,
        "num_channels": VIT.num_channels,
        "num_hidden_layers": VIT.num_hidden_layers,
        "patch_size": VIT.patch_size,
        "qkv_bias": True,
    }
    write_json(folder / "config.json", config)
    preprocessor = {
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_processor_type": "ViTImageProcessor",
        "image_std": [0.5, 0.5, 0.5],
        "resample": BILINEAR,
        "rescale_factor": 1 / 255,
        "size": {"height": VIT.image_size, "width": VIT.image_size},
    }
    write_json(folder / "preprocessor_config.json", preprocessor)
    pooling = {
        "word_embedding_dimension": VIT.hidden_size,
        "pooling_mode_cls_token": True,
        "pooling_mode_mean_tokens": False,
    }
    write_json(folder / "1_Pooling" / "config.json", pooling)
    write_expected(folder, VIT, "last_hidden_state")


def copy(source: Path, target: Path) -> None:
    """All but what ONNX Runtime gave: it would be wrong for the changed copy."""
    shutil.copytree(
        source,
        target,
        dirs_exist_ok=True,
        ignore=shutil.ignore_patterns("expected.*", "reference.*"),
    )


def write_expected(folder: Path, config: VisionConfig, output: str) -> None:
    """Each image alone: a vector must not depend on its batch mates.

    `raw` is what the graph gives, its class token if there are many;
    `embeddings` is that at length 1.
    """
    rng = np.random.Generator(np.random.PCG64(PIXEL_SEED))
    shape = (IMAGES, config.num_channels, config.image_size, config.image_size)
    # About the range of real pixels after CLIP's normalisation.
    pixels = (rng.random(shape, dtype=np.float32) - np.float32(0.5)) * np.float32(4)
    session = open_session(folder / "model.onnx")
    raw = np.concatenate(
        [
            session.run([output], {"pixel_values": pixels[i : i + 1]})[0]
            for i in range(IMAGES)
        ]
    )
    raw = raw[:, 0] if raw.ndim == 3 else raw
    tensors = {"pixel_values": pixels, "raw": raw, "embeddings": unit_rows(raw)}
    data = safetensors.numpy.save(
        {k: np.ascontiguousarray(v) for k, v in tensors.items()}
    )
    (folder / "expected.safetensors").write_bytes(data)


def text_reference(folder: Path) -> dict[str, Any]:
    """Computed from the files just written, as a user would read them."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(max_length=TEXT.max_position_embeddings)
    session = open_session(folder / "model.onnx")
    ids = [tokenizer.encode(text).ids for text in TEXTS]
    raw = np.concatenate(
        [
            session.run(
                ["text_embeds"], {"input_ids": np.array([row], dtype=np.int64)}
            )[0]
            for row in ids
        ]
    )
    return {
        "texts": TEXTS,
        "input_ids": ids,
        "raw": raw.tolist(),
        "embeddings": unit_rows(raw).tolist(),
    }


def open_session(path: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def unit_rows(rows: NDArray[Any]) -> NDArray[np.float32]:
    wide = rows.astype(np.float64)
    return (wide / np.linalg.norm(wide, axis=1, keepdims=True)).astype(np.float32)
