"""ONNX Runtime at its best, as the other side of compare.py: length-sorted batches of 32, all graph
optimisations, as many threads as allowed. Run as a program it answers JSON lines, like bench-worker."""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

BATCH = 32
MAX_TOKENS = 512


class OnnxRuntime:
    """A sentence-embedding pipeline on ONNX Runtime: tokenise, run, masked mean, L2."""

    @staticmethod
    def version() -> str:
        return onnxruntime.__version__

    def __init__(self, model: Path, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        self.session = onnxruntime.InferenceSession(
            str(model / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
        self.tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
        self.tokenizer.enable_truncation(MAX_TOKENS)
        self.tokenizer.enable_padding()

    def embed(self, texts: list[str]) -> np.ndarray:
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        vectors = [None] * len(texts)
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            for index, vector in zip(batch, self._run([texts[i] for i in batch])):
                vectors[index] = vector
        return np.stack(vectors)

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


def main() -> None:
    model: OnnxRuntime | None = None
    for line in sys.stdin:
        request = json.loads(line)
        start = time.perf_counter()
        match request["op"]:
            case "open":
                model = OnnxRuntime(Path(request["model"]), request["threads"])
            case "embed":
                assert model, "embed before open"
                for _ in range(request["repeat"]):
                    model.embed(request["texts"])
            case "peak-rss":
                peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
                print(json.dumps({"bytes": peak}), flush=True)
                continue
        print(json.dumps({"seconds": time.perf_counter() - start}), flush=True)


if __name__ == "__main__":
    main()
