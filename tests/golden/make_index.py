"""Writes an index of texts with numpy and the package safetensors alone.

The Rust tests read it, and compare their search of it with numpy's.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import safetensors.numpy

HERE = Path(__file__).resolve().parent
INDEX = HERE / "index.safetensors"
HITS = HERE / "index-hits.json"
TEXTS = ["one", "zwei", "três", "", "πέντε \U0001f642 \\ \"six\" ]}"]


def prompts_sha256(query: str, passage: str) -> str:
    texts = [text.encode() for text in (query, passage)]
    framed = [len(text).to_bytes(8, "little") + text for text in texts]
    return hashlib.sha256(b"".join(framed)).hexdigest()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--check",
        action="store_true",
        help="compare with the committed files instead of writing them",
    )
    check_only = parser.parse_args().check

    random = np.random.Generator(np.random.PCG64(20_240_611))
    vectors = random.standard_normal((len(TEXTS), 6)).astype(np.float32)
    query = random.standard_normal(6).astype(np.float32)
    items = [
        {"id": i, "text": text, "more": [None, {"text": 1.5}]}
        for i, text in enumerate(TEXTS)
    ]
    array = np.frombuffer(json.dumps(items, indent=1).encode(), np.uint8)
    metadata = {
        "format": "isovec index",
        "version": "1",
        "model": "numpy",
        "kind": "text",
        "fingerprint": "0123456789abcdef" * 4,
        "max_tokens": "64",
        "query_prompt": "query",
        "prompts_sha256": prompts_sha256("query: ", ""),
    }
    scores = vectors.astype(np.float64) @ query.astype(np.float64)
    order = np.argsort(-scores, kind="stable")
    hits = {
        "query": query.tolist(),
        "indices": order.tolist(),
        "scores": scores[order].tolist(),
        "items": items,
    }
    tensors = {"vectors": vectors, "items": array}
    if not check_only:
        INDEX.write_bytes(safetensors.numpy.save(tensors, metadata))
        HITS.write_text(json.dumps(hits, indent=1) + "\n")
        return 0
    with safetensors.safe_open(INDEX, "numpy") as file:
        same = file.metadata() == metadata and all(
            np.array_equal(file.get_tensor(name), tensor)
            for name, tensor in tensors.items()
        )
    # Sums may differ in the last bit from one machine to the next.
    committed = json.loads(HITS.read_text())
    same = same and np.allclose(committed.pop("scores"), hits.pop("scores"))
    if not same or committed != hits:
        print("the committed index is not what this script makes", file=sys.stderr)
        return 1
    print("the index of numpy is the same")
    return 0


if __name__ == "__main__":
    sys.exit(main())
