"""Computes what fusions must give, with numpy alone.

The Rust tests compare with the files written here. The canonical correlation
analysis is written by the textbook (inverse square roots of the covariances,
then a singular value decomposition), not by the route that isovec takes.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

HERE = Path(__file__).resolve().parent
EXPECTED = HERE / "fusion.safetensors"
LEARNED = HERE / "fusion-learned.safetensors"
TOLERANCE = 1e-6

TEXT_DIMS, IMAGE_DIMS, DIMS = 6, 8, 10
WEIGHTS = (0.6, 0.4)
PAIRS, CCA_TEXT, CCA_IMAGE, CCA_SHARE = 300, 12, 16, 0.05

Matrix = NDArray[np.float64]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--check",
        action="store_true",
        help="compare with the committed files instead of writing them",
    )
    check_only = parser.parse_args().check

    random = np.random.Generator(np.random.PCG64(20_240_607))
    expected, learned = linear_cases(random)
    expected |= cca_case(random)
    tensors = {name: array.astype(np.float32) for name, array in expected.items()}
    if check_only:
        return check(tensors)
    EXPECTED.write_bytes(safetensors.numpy.save(tensors))
    LEARNED.write_bytes(learned)
    print(f"wrote {EXPECTED.name} and {LEARNED.name}")
    return 0


def linear_cases(random: np.random.Generator) -> tuple[dict[str, Matrix], bytes]:
    """Concat and a linear map, of both inputs and of one alone."""
    text = rounded(random.normal(size=(20, TEXT_DIMS)) * 3)
    image = rounded(random.normal(size=(20, IMAGE_DIMS)) / 7)
    w_text = rounded(random.normal(size=(DIMS, TEXT_DIMS)))
    w_image = rounded(random.normal(size=(DIMS, IMAGE_DIMS)))
    b_text = rounded(random.normal(size=DIMS) / 4)
    b_image = rounded(random.normal(size=DIMS) / 4)

    root_text, root_image = np.sqrt(WEIGHTS)
    t, i = unit(text), unit(image)
    side_text = root_text * (t @ w_text.T + b_text)
    side_image = root_image * (i @ w_image.T + b_image)
    expected = {
        "text": text,
        "image": image,
        "concat": unit(np.hstack([root_text * t, root_image * i])),
        "concat_text": np.hstack([t, np.zeros_like(i)]),
        "concat_image": np.hstack([np.zeros_like(t), i]),
        "learned": unit(side_text + side_image),
        "learned_text": unit(side_text),
        "learned_image": unit(side_image),
    }
    metadata = {
        "format": "isovec fusion",
        "version": "1",
        "kind": "learned",
        "text_weight": str(WEIGHTS[0]),
        "image_weight": str(WEIGHTS[1]),
        "text_model": "of numpy",
        "image_model": "of numpy",
    }
    tensors = {
        "text.weight": w_text.astype(np.float32),
        "text.bias": b_text.astype(np.float32),
        "image.weight": w_image.astype(np.float32),
        "image.bias": b_image.astype(np.float32),
    }
    return expected, safetensors.numpy.save(tensors, metadata)


def cca_case(random: np.random.Generator) -> dict[str, Matrix]:
    """Pairs with some structure in common, and what a fit on all of them gives.

    A whole fit holds pairs out; the Rust test hands all of these to its part
    that comes after that.
    """
    common = random.normal(size=(PAIRS, 5)) * [3, 2, 1.5, 1, 0.5]
    text = common @ random.normal(size=(5, CCA_TEXT))
    image = common @ random.normal(size=(5, CCA_IMAGE))
    text = rounded(text + random.normal(size=text.shape) + 0.5)
    image = rounded(image + random.normal(size=image.shape) - 0.3)
    x, y, rho = cca(unit(text), unit(image), CCA_SHARE)

    # The first pairs fused: both, text alone, image alone.
    root_text, root_image = np.sqrt(WEIGHTS)
    plus, minus = np.sqrt((1 + rho) / 2), np.sqrt((1 - rho) / 2)
    of_text = root_text * np.hstack([plus * x, minus * x])
    of_image = root_image * np.hstack([plus * y, -minus * y])
    some = slice(0, 40)
    fused = np.vstack(
        [unit(of_text[some] + of_image[some]), unit(of_text[some]), unit(of_image[some])]
    )
    return {
        "cca_text": text,
        "cca_image": image,
        "cca_correlations": rho,
        "cca_dots": fused @ fused.T,
    }


def cca(t: Matrix, i: Matrix, share: float) -> tuple[Matrix, Matrix, Matrix]:
    """Variates, of mean squared length one, and their correlations."""
    t, i = t - t.mean(axis=0), i - i.mean(axis=0)
    root_t, root_i = inverse_root(t, share), inverse_root(i, share)
    cross = t.T @ i / len(t)
    u, rho, vt = np.linalg.svd(root_t @ cross @ root_i, full_matrices=False)
    x, y = t @ root_t @ u, i @ root_i @ vt.T
    x /= np.sqrt((x**2).sum(axis=1).mean())
    y /= np.sqrt((y**2).sum(axis=1).mean())
    return x, y, rho


def inverse_root(centred: Matrix, share: float) -> Matrix:
    covariance = centred.T @ centred / len(centred)
    covariance += share * np.diag(covariance).mean() * np.eye(len(covariance))
    values, vectors = np.linalg.eigh(covariance)
    return vectors @ np.diag(values**-0.5) @ vectors.T


def unit(rows: Matrix) -> Matrix:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def rounded(values: Matrix) -> Matrix:
    """What the file holds, so that both sides start from the same numbers."""
    return values.astype(np.float32).astype(np.float64)


def check(tensors: dict[str, NDArray[np.float32]]) -> int:
    committed = safetensors.numpy.load(EXPECTED.read_bytes())
    if committed.keys() != tensors.keys():
        print(f"{EXPECTED.name}: other tensors than expected", file=sys.stderr)
        return 1
    for name, found in tensors.items():
        difference = float(np.abs(found - committed[name]).max())
        if difference > TOLERANCE:
            print(f"{name}: differs by {difference}", file=sys.stderr)
            return 1
    print("the committed files agree")
    return 0


if __name__ == "__main__":
    sys.exit(main())
