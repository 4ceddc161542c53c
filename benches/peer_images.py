"""Pillow and ONNX Runtime at their best, as the other side of the image rows of compare.py. Images go
through models/tools/clip_reference.py, which is what isovec's pixels are held to."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from peer import open_session, serve

sys.path.insert(0, str(Path(__file__).parent.parent / "models" / "tools"))
from clip_reference import Preprocessor  # noqa: E402


class Images:
    """CLIP's vision tower: pixel_values, run, L2."""

    def __init__(self, model: Path, threads: int, precision: str = "fp32") -> None:
        assert precision == "fp32"
        self.session = open_session(model / "onnx" / "vision_model.onnx", threads)
        self.preprocessor = Preprocessor.load(model / "preprocessor_config.json")
        self.prepared = np.empty(0)

    def preprocess(self, file: str) -> np.ndarray:
        return self.preprocessor(Path(file))

    def prepare(self, files: list[str]) -> None:
        self.prepared = np.stack([self.preprocess(file) for file in files])

    def embed_pixels(self, batch: int) -> np.ndarray:
        starts = range(0, len(self.prepared), batch)
        return np.concatenate([self._run(self.prepared[at : at + batch]) for at in starts])

    def _run(self, pixels: np.ndarray) -> np.ndarray:
        return unit(*self.session.run(["image_embeds"], {"pixel_values": pixels}))


class Captions:
    """CLIP's text tower: tokenise, run, L2. One by one: ids of different lengths make no batch."""

    def __init__(self, model: Path, threads: int, precision: str = "fp32") -> None:
        assert precision == "fp32"
        self.session = open_session(model / "onnx" / "text_model.onnx", threads)
        self.tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(77)

    def embed(self, texts: list[str]) -> np.ndarray:
        return np.concatenate([self._run(self.tokenizer.encode(text).ids) for text in texts])

    def _run(self, ids: list[int]) -> np.ndarray:
        feeds = {"input_ids": np.array([ids], dtype=np.int64)}
        return unit(*self.session.run(["text_embeds"], feeds))


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


if __name__ == "__main__":
    serve({"image": Images, "clip-text": Captions})
