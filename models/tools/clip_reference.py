"""What ONNX Runtime makes of images, or of texts, with CLIP or another ViT.

Nothing here is shared with isovec: Pillow reads and scales, numpy does the
arithmetic of transformers' image processor (the slow one, which every CLIP was
published with), ONNX Runtime does the rest. Each input runs alone, on one
thread: the reference must not depend on batch mates or on how a sum was split.

The file it writes holds `raw`, what the graph gives, and `embeddings`, the same
at length 1; with --pixels also `pixel_values`. The names are in its metadata.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import PIL
import safetensors.numpy
import tokenizers
from numpy.typing import NDArray
from PIL import Image, ImageOps

SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
Array = NDArray[Any]
Embed = Callable[[Array], Array]


@dataclass(frozen=True)
class Preprocessor:
    """What a preprocessor_config.json asks for. A step it does not ask for is
    None. Sizes are (height, width); a single number is the shortest edge."""

    size: int | tuple[int, int] | None
    resample: int
    crop: tuple[int, int] | None
    scale: float | None
    mean: list[float] | None
    std: list[float] | None

    @classmethod
    def load(cls, path: Path) -> Preprocessor:
        raw = json.loads(path.read_text(encoding="utf-8"))
        clip = raw.get("image_processor_type", "").startswith("CLIP")
        size, crop = raw.get("size"), raw.get("crop_size")
        normalize = raw.get("do_normalize", True)
        cropped = raw.get("do_center_crop", clip) and crop is not None
        return cls(
            size=_size(size, clip) if raw.get("do_resize", True) else None,
            resample=raw["resample"],
            crop=_pair(crop) if cropped else None,
            scale=raw["rescale_factor"] if raw.get("do_rescale", True) else None,
            mean=raw["image_mean"] if normalize else None,
            std=raw["image_std"] if normalize else None,
        )

    def __call__(self, path: Path) -> Array:
        """pixel_values of one image, [3, height, width]."""
        with Image.open(path) as file:
            # As load_image of transformers does; others feed images untouched.
            image = ImageOps.exif_transpose(file).convert("RGB")
        if self.size is not None:
            height, width = target_size(image, self.size)
            image = image.resize((width, height), resample=self.resample)
        pixels = np.array(image).transpose(2, 0, 1)
        if self.crop is not None:
            pixels = center_crop(pixels, *self.crop)
        if self.scale is not None:
            pixels = (pixels.astype(np.float64) * self.scale).astype(np.float32)
        if self.mean is not None and self.std is not None:
            mean, std = (np.array(v, dtype=np.float32) for v in (self.mean, self.std))
            pixels = (pixels - mean[:, None, None]) / std[:, None, None]
        return np.ascontiguousarray(pixels, dtype=np.float32)


def _size(size: Any, clip: bool) -> int | tuple[int, int]:
    """CLIP's processor reads a bare number as the shortest edge, ViT's as both."""
    if isinstance(size, dict) and "shortest_edge" in size:
        return int(size["shortest_edge"])
    return size if isinstance(size, int) and clip else _pair(size)


def _pair(size: Any) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size["height"], size["width"])


def target_size(image: Image.Image, size: int | tuple[int, int]) -> tuple[int, int]:
    if isinstance(size, tuple):
        return size
    width, height = image.size
    long = int(size * max(width, height) / min(width, height))
    return (long, size) if width <= height else (size, long)


def center_crop(pixels: Array, height: int, width: int) -> Array:
    """An image smaller than the crop is laid on black, as transformers does."""
    _, rows, columns = pixels.shape
    outer = (max(rows, height), max(columns, width))
    canvas = np.zeros((3, *outer), dtype=pixels.dtype)
    top, left = (outer[0] - rows) // 2, (outer[1] - columns) // 2
    canvas[:, top : top + rows, left : left + columns] = pixels
    top, left = top + (rows - height) // 2, left + (columns - width) // 2
    return canvas[:, top : top + height, left : left + width]


def main() -> None:
    args = parse_arguments()
    if args.images:
        path = find_model(args.model, "vision_model.onnx")
        names, tensors = image_vectors(args.model, path, args.images, args.pixels)
    else:
        path = find_model(args.model, "text_model.onnx")
        names, tensors = text_vectors(args.model, path, args.texts)
    made_with = {
        "names": names,
        "model_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "onnxruntime": onnxruntime.__version__,
        "pillow": PIL.__version__,
        "tokenizers": tokenizers.__version__,
    }
    # One key only: safetensors writes several in an order that changes by run.
    data = safetensors.numpy.save(tensors, {"made_with": json.dumps(made_with)})
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_bytes(data)
    print(f"wrote {len(names)} vectors to {args.output}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="model folder")
    inputs = parser.add_mutually_exclusive_group(required=True)
    inputs.add_argument("--images", type=Path, help="folder of images, or one image")
    inputs.add_argument(
        "--texts",
        type=Path,
        help="a text a line, or JSON: a list of texts or of {name, text}",
    )
    parser.add_argument(
        "--pixels", action="store_true", help="keep pixel_values (large) as well"
    )
    parser.add_argument("--output", type=Path, required=True, help="safetensors file")
    return parser.parse_args()


def find_model(folder: Path, tower: str) -> Path:
    """One model in a folder, or a tower of two as the hub lays them out."""
    for path in (folder / "model.onnx", folder / "onnx" / tower):
        if path.exists():
            return path
    raise SystemExit(f"error: {folder} has neither model.onnx nor onnx/{tower}")


def image_vectors(
    folder: Path, model: Path, source: Path, keep_pixels: bool
) -> tuple[list[str], dict[str, Array]]:
    preprocess = Preprocessor.load(folder / "preprocessor_config.json")
    files = [source] if source.is_file() else image_files(source)
    embed = embedder(model, "pixel_values", ("image_embeds", "last_hidden_state"))
    pixels = [preprocess(path) for path in files]
    tensors = vectors([embed(image[None]) for image in pixels])
    if keep_pixels:
        tensors["pixel_values"] = np.stack(pixels)
    return [path.name for path in files], tensors


def image_files(folder: Path) -> list[Path]:
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)
    if not files:
        raise SystemExit(f"error: {folder} has no image")
    return files


def text_vectors(
    folder: Path, model: Path, source: Path
) -> tuple[list[str], dict[str, Array]]:
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length=max_tokens(folder / "config.json"))
    names, texts = load_texts(source)
    embed = embedder(model, "input_ids", ("text_embeds",))
    rows = [np.array([tokenizer.encode(t).ids], dtype=np.int64) for t in texts]
    return names, vectors([embed(row) for row in rows])


def max_tokens(config: Path) -> int:
    raw = json.loads(config.read_text(encoding="utf-8"))
    text = raw.get("text_config", raw)
    # What transformers' CLIPTextConfig has where the file is silent.
    return int(text.get("max_position_embeddings", 77))


def load_texts(path: Path) -> tuple[list[str], list[str]]:
    """Names and texts; a text without a name has its number for one."""
    source = path.read_text(encoding="utf-8")
    if path.suffix != ".json":
        entries: list[Any] = source.splitlines()
    else:
        entries = json.loads(source)
        entries = entries["texts"] if isinstance(entries, dict) else entries
    named = [e if isinstance(e, dict) else {"text": e} for e in entries]
    names = [entry.get("name", str(index)) for index, entry in enumerate(named)]
    return names, [entry["text"] for entry in named]


def embedder(model: Path, input_name: str, outputs: tuple[str, ...]) -> Embed:
    """Runs a graph and returns the first of `outputs` that it has, one vector
    for each input: of hidden states that of the class token."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model, options, providers=["CPUExecutionProvider"]
    )
    present = {output.name for output in session.get_outputs()}
    name = next((output for output in outputs if output in present), None)
    if name is None:
        raise SystemExit(f"error: {model} has none of the outputs {outputs}")

    def embed(value: Array) -> Array:
        (result,) = session.run([name], {input_name: value})
        return result[:, 0] if result.ndim == 3 else result

    return embed


def vectors(rows: list[Array]) -> dict[str, Array]:
    raw = np.concatenate(rows)
    wide = raw.astype(np.float64)
    unit = wide / np.linalg.norm(wide, axis=1, keepdims=True)
    return {"raw": np.ascontiguousarray(raw), "embeddings": unit.astype(np.float32)}


if __name__ == "__main__":
    main()
