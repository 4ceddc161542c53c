"""Exports all-MiniLM-L6-v2 from its safetensors to ONNX, byte for byte.

The model hub serves a ready ONNX file; the package registries carry only the
weights. This makes one from the other where only registries can be reached.
The manifest pins the hash of what comes out, so the same input must always
give the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from bert_numpy import forward
from bert_onnx import BertConfig, ExportOptions, Weights, build_bert, serialize

WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
TOLERANCE = 1e-4


def main() -> int:
    args = parse_arguments()
    config = BertConfig.load(args.source / "config.json")
    weights = load_weights(args.source / "model.safetensors")
    data = serialize(build_bert(config, weights, ExportOptions()))
    if args.check:
        worst = largest_difference(data, config, weights)
        print(f"check   {worst:.2e} from numpy (at most {TOLERANCE:.0e} allowed)")
        # Written so that NaN fails as well.
        if not worst <= TOLERANCE:
            print(
                "error: the exported graph is wrong; nothing written", file=sys.stderr
            )
            return 1
    write_atomically(args.output, data)
    print(f"sha256  {hashlib.sha256(data).hexdigest()}")
    print(f"size    {len(data)}")
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--source",
        type=Path,
        required=True,
        help="folder with config.json and model.safetensors",
    )
    parser.add_argument("--output", type=Path, required=True, help="ONNX file to write")
    parser.add_argument(
        "--check",
        action="store_true",
        help="compare ONNX Runtime on the result with a numpy forward pass first",
    )
    return parser.parse_args()


def load_weights(path: Path) -> Weights:
    """Parses the very bytes that were hashed, never a file reread later."""
    data = path.read_bytes()
    actual = hashlib.sha256(data).hexdigest()
    if actual != WEIGHTS_SHA256:
        sys.exit(f"error: {path} has sha256 {actual}, expected {WEIGHTS_SHA256}")
    return safetensors.numpy.load(data)


def largest_difference(data: bytes, config: BertConfig, weights: Weights) -> float:
    """Over sequences short and long, padded and not, with both token types."""
    # Imported here because exporting alone must not need a runtime.
    import onnxruntime

    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    rng = np.random.Generator(np.random.PCG64(20261122))
    worst = 0.0
    for lengths in ([1], [2], [16], [40, 17, 3], [config.max_position_embeddings]):
        batch = random_batch(rng, config, lengths)
        (actual,) = session.run(["last_hidden_state"], batch)
        expected = forward(config, weights, **batch)
        # np.maximum keeps NaN, where max() may drop it.
        worst = np.maximum(worst, np.abs(actual - expected).max())
    return float(worst)


def random_batch(
    rng: np.random.Generator, config: BertConfig, lengths: list[int]
) -> dict[str, NDArray[Any]]:
    shape = (len(lengths), max(lengths))
    mask = (np.arange(max(lengths)) < np.array(lengths)[:, None]).astype(np.int64)
    return {
        "input_ids": rng.integers(config.vocab_size, size=shape) * mask,
        "attention_mask": mask,
        "token_type_ids": rng.integers(config.type_vocab_size, size=shape) * mask,
    }


def write_atomically(path: Path, data: bytes) -> None:
    """Leaves the whole file or none, even if the power goes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp made it private to this user; a model file is not a secret.
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


if __name__ == "__main__":
    sys.exit(main())
