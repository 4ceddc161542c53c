"""ONNX Runtime at its best, as the other side of compare.py: length-sorted batches of the size that is
asked for, all graph optimisations, as many threads as allowed. Run as a program it answers JSON lines, like bench-worker."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

MAX_TOKENS = 512
# It has no bf16 for x86-64: beside that runs its best of as many digits.
FILES = {"fp32": "model.onnx", "bf16": "model.onnx", "int8": "model_int8_dynamic.onnx"}


def open_session(model: Path, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


class OnnxRuntime:
    """A sentence-embedding pipeline on ONNX Runtime: tokenise, run, masked mean, L2."""

    @staticmethod
    def version() -> str:
        return onnxruntime.__version__

    def __init__(self, model: Path, threads: int, precision: str = "fp32") -> None:
        self.session = open_session(model / FILES[precision], threads)
        self.tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
        self.tokenizer.enable_truncation(MAX_TOKENS)
        self.tokenizer.enable_padding()

    def embed(self, texts: list[str], batch: int = 1) -> np.ndarray:
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        vectors = [None] * len(texts)
        for start in range(0, len(order), batch):
            part = order[start : start + batch]
            for index, vector in zip(part, self._run([texts[i] for i in part])):
                vectors[index] = vector
        return np.stack(vectors)

    def vectors(self, texts: list[str], file: str) -> None:
        """Each by itself: the ranges of dynamic quantisation are those of a whole batch."""
        self.embed(texts).astype("<f4").tofile(file)

    def _run(self, texts: list[str]) -> np.ndarray:
        encodings = self.tokenizer.encode_batch(texts)
        mask = np.array([e.attention_mask for e in encodings], dtype=np.int64)
        feeds = {
            "input_ids": np.array([e.ids for e in encodings], dtype=np.int64),
            "attention_mask": mask,
            "token_type_ids": np.zeros_like(mask),
        }
        (states,) = self.session.run(None, feeds)
        weights = mask[:, :, None].astype(np.float32)
        pooled = (states * weights).sum(axis=1) / weights.sum(axis=1)
        return pooled / np.linalg.norm(pooled, axis=1, keepdims=True)


def serve(kinds: dict[str, Callable[..., object]]) -> None:
    """Answers the requests of compare.py: `open` makes one of `kinds`, the others call its methods."""
    model: object = None
    for line in sys.stdin:
        request = json.loads(line)
        op = request.pop("op")
        start = time.perf_counter()
        if op == "peak-rss":
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
            print(json.dumps({"bytes": peak}), flush=True)
            continue
        if op == "open":
            kind, folder = request.pop("kind"), Path(request.pop("model"))
            model = kinds[kind](folder, **request)
        else:
            assert model, f"{op} before open"
            work = getattr(model, op.replace("-", "_"))
            for _ in range(request.pop("repeat", 1)):
                work(**request)
        print(json.dumps({"seconds": time.perf_counter() - start}), flush=True)


if __name__ == "__main__":
    serve({"text": OnnxRuntime})
