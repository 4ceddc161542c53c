"""Computes the golden vectors of texts.json with the reference libraries.

The Rust tests compare with these files and so need neither Python nor ONNX
Runtime. Each text runs alone, unpadded, on one thread: the reference must not
depend on batch mates or on how a sum was split.

texts.json is our own writing; its long texts are sentences put together from
a few varied parts. It is stored as ASCII so that invisible characters show.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import safetensors.numpy
import tokenizers
from numpy.typing import NDArray

HERE = Path(__file__).resolve().parent
VECTORS = HERE / "minilm-fp32.safetensors"
TOKENS = HERE / "minilm-tokens.json"
MAX_TOKENS = (256, 512)
TOLERANCE = 1e-5

Ids = dict[str, list[list[int]]]
Vectors = dict[str, NDArray[np.float32]]


def main() -> int:
    args = parse_arguments()
    entries = json.loads((HERE / "texts.json").read_text(encoding="utf-8"))
    texts = [entry["text"] for entry in entries]
    tokenizer = tokenizers.Tokenizer.from_file(str(args.model / "tokenizer.json"))
    session = open_session(args.model / "model.onnx")

    ids: Ids = {}
    vectors: Vectors = {}
    for limit in MAX_TOKENS:
        rows = encode(tokenizer, texts, limit)
        ids[str(limit)] = rows
        vectors[f"embeddings_{limit}"] = np.stack([embed(session, row) for row in rows])

    if args.check:
        return check([entry["name"] for entry in entries], ids, vectors)
    TOKENS.write_text(json.dumps(ids, separators=(",", ":")) + "\n", encoding="utf-8")
    metadata = describe(args.model / "model.onnx")
    VECTORS.write_bytes(safetensors.numpy.save(vectors, metadata))
    print(f"wrote {len(texts)} texts to {TOKENS.name} and {VECTORS.name}")
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--model",
        type=Path,
        required=True,
        help="folder with MiniLM's model.onnx and tokenizer.json",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="compare with the committed files instead of writing them",
    )
    return parser.parse_args()


def open_session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(
        path, options, providers=["CPUExecutionProvider"]
    )


def encode(
    tokenizer: tokenizers.Tokenizer, texts: list[str], max_tokens: int
) -> list[list[int]]:
    # MiniLM's tokenizer.json asks for 128 ids, cut or padded.
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length=max_tokens)
    return [tokenizer.encode(text).ids for text in texts]


def embed(session: onnxruntime.InferenceSession, ids: list[int]) -> NDArray[np.float32]:
    row = np.array([ids], dtype=np.int64)
    mask = np.ones_like(row)
    (hidden,) = session.run(
        ["last_hidden_state"],
        {
            "input_ids": row,
            "attention_mask": mask,
            "token_type_ids": np.zeros_like(row),
        },
    )
    weights = mask[0, :, None].astype(np.float64)
    mean = (hidden[0] * weights).sum(axis=0) / weights.sum()
    return (mean / np.linalg.norm(mean)).astype(np.float32)


def check(names: list[str], ids: Ids, vectors: Vectors) -> int:
    """Compares with the committed files and reports every fault, not the first."""
    committed_ids: Ids = json.loads(TOKENS.read_text(encoding="utf-8"))
    committed_vectors = safetensors.numpy.load(VECTORS.read_bytes())
    faults = []
    for limit in map(str, MAX_TOKENS):
        actual, expected = ids[limit], committed_ids[limit]
        if len(actual) != len(expected):
            faults.append(f"{limit}: {len(actual)} texts, committed {len(expected)}")
            continue
        vector_key = f"embeddings_{limit}"
        distances = np.abs(vectors[vector_key] - committed_vectors[vector_key]).max(1)
        for name, row, golden_row, distance in zip(
            names, actual, expected, distances, strict=True
        ):
            if row != golden_row:
                faults.append(f"{limit}, {name}: token ids differ")
            # Written so that NaN fails as well.
            if not distance <= TOLERANCE:
                faults.append(f"{limit}, {name}: vectors differ by {distance:.1e}")
        print(f"{limit}: largest difference {distances.max():.1e}")
    for fault in faults:
        print(f"error: {fault}", file=sys.stderr)
    return 1 if faults else 0


def describe(model: Path) -> dict[str, str]:
    made_with = {
        "model_sha256": hashlib.sha256(model.read_bytes()).hexdigest(),
        "onnxruntime": onnxruntime.__version__,
        "tokenizers": tokenizers.__version__,
    }
    # One key only: safetensors writes several in an order that changes by run.
    return {"made_with": json.dumps(made_with)}


if __name__ == "__main__":
    sys.exit(main())
