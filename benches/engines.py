"""Embedding engines side by side: isovec, ONNX Runtime, rten and candle on the same weights, the same texts, in one run.

They take turns, round by round. Writes results/engines.json and results/engines.svg, and prints a table.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path

import numpy as np

from compare import HERE, Worker, alternate, corpus, machine, quality
from peer import OnnxRuntime
from plot import LEFT, OURS, THEIRS, WIDTH

# The peers sort texts by length, and take the size that is the fastest. isovec batches by itself.
BATCHES = (1, 8, 32)
TOKENS = (16, 128)


@dataclass
class Measured:
    """What one engine does in one precision, in medians; `spread` is the quartiles of `texts_per_second`."""

    engine: str
    precision: str
    texts_per_second: float
    spread: tuple[float, float]
    batch: int | None
    ms_of_tokens: dict[int, float]
    cosine_median: float
    cosine_min: float
    top_10_agreement: float


class Side:
    """An engine with the model open, on all cores."""

    def __init__(self, engine: str, precision: str, command: list[str], model: Path) -> None:
        self.engine, self.precision = engine, precision
        threads = os.cpu_count() or 1
        # candle takes the number of its threads from there.
        self.worker = Worker(command, RAYON_NUM_THREADS=str(threads))
        self.worker.open("text", model, threads, precision)
        self.batch: int | None = None

    def mixed(self, batch: int | None) -> float:
        more = {} if batch is None else {"batch": batch}
        return self.worker.seconds("embed", texts=corpus(), **more)

    def choose_batch(self) -> None:
        if self.engine != "isovec":
            # Of each shape the first run, which warms up, does not count.
            times = alternate(2, *(lambda size=size: self.mixed(size) for size in BATCHES))
            self.batch = min(zip(BATCHES, times), key=lambda pair: statistics.median(pair[1]))[0]

    def one(self, tokens: int) -> float:
        text = "the " * (tokens - 2)  # one token each; two are special
        return self.worker.seconds("embed", max(8, 640 // tokens), texts=[text])

    def vectors(self, folder: Path) -> np.ndarray:
        texts, file = corpus(), folder / f"{self.engine}-{self.precision}"
        self.worker.ask(op="vectors", texts=texts, file=str(file))
        return np.fromfile(file, "<f4").reshape(len(texts), -1)


def measure(sides: list[Side], rounds: int) -> list[Measured]:
    with tempfile.TemporaryDirectory() as folder:
        vectors = [side.vectors(Path(folder)) for side in sides]
    reference = next(v for v, side in zip(vectors, sides) if (side.engine, side.precision) == REFERENCE)
    for side in sides:
        side.choose_batch()
        print(f"{side.engine} {side.precision}: batches of {side.batch}", file=sys.stderr)

    def times(of: Callable[[Side], float]) -> list[list[float]]:
        return alternate(rounds, *(lambda side=side: of(side) for side in sides))

    single = {tokens: times(lambda side: side.one(tokens)) for tokens in TOKENS}
    mixed = times(lambda side: side.mixed(side.batch))
    measured = []
    for index, side in enumerate(sides):
        rates = [len(corpus()) / ms * 1e3 for ms in mixed[index]]
        quartiles = statistics.quantiles(rates, n=4)
        ms_of_tokens = {tokens: statistics.median(ms[index]) for tokens, ms in single.items()}
        close = asdict(quality(vectors[index], reference))
        measured.append(
            Measured(
                side.engine, side.precision, statistics.median(rates), (quartiles[0], quartiles[2]),
                side.batch, ms_of_tokens, **close,
            )  # fmt: skip
        )
    return sorted(measured, key=lambda m: -m.texts_per_second)


REFERENCE = ("ONNX Runtime", "fp32")


def table(measured: list[Measured]) -> str:
    singles = [f"1 text of {tokens} tokens" for tokens in TOKENS]
    lines = [
        f"| | texts/s | {' | '.join(singles)} | cosine, median | cosine, lowest | of the ten nearest |",
        "|---|---:|" + "---:|" * len(TOKENS) + "---:|---:|---:|",
    ]
    for m in measured:
        times = " | ".join(f"{m.ms_of_tokens[tokens]:,.1f} ms" for tokens in TOKENS)
        lines.append(
            f"| {m.engine}, {m.precision} | {m.texts_per_second:,.0f} | {times} "
            f"| {m.cosine_median:.5f} | {m.cosine_min:.5f} | {100 * m.top_10_agreement:.1f}% |"
        )
    return "\n".join(lines)


def plot(measured: list[Measured], facts: dict[str, str]) -> str:
    row, top = 27, 56
    height = top + row * len(measured) + 34
    longest = max(m.texts_per_second for m in measured)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        'font-family="system-ui, sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        '<text x="16" y="26" font-size="16" font-weight="600" fill="#1d1d1f">'
        "MiniLM: texts a second, longer is better</text>",
    ]
    for index, m in enumerate(measured):
        y = top + index * row
        width = (WIDTH - LEFT - 90) * m.texts_per_second / longest
        colour = OURS if m.engine == "isovec" else THEIRS
        weight = 600 if m.engine == "isovec" else 400
        out.append(
            f'<text x="{LEFT - 10}" y="{y + 14}" text-anchor="end" font-weight="{weight}" fill="#1d1d1f">'
            f"{escape(m.engine)}, {m.precision}</text>"
            f'<rect x="{LEFT}" y="{y + 1}" width="{width:.1f}" height="17" rx="2" fill="{colour}"/>'
            f'<text x="{LEFT + width + 6:.1f}" y="{y + 14}" fill="#444">{m.texts_per_second:,.0f}</text>'
        )
    note = f'1,000 mixed texts; {facts["cpu"]}, {facts["cores"]} cores, {facts["date"]}; medians of alternating rounds'
    out.append(f'<text x="16" y="{height - 12}" font-size="11" fill="#666">{escape(note)}</text>')
    return "\n".join([*out, "</svg>\n"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worker", required=True, help="the bench-worker program")
    parser.add_argument("--peers", type=Path, required=True, help="folder of the programs rten and candle")
    parser.add_argument("--model", type=Path, required=True, help="folder of the model")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, default=HERE / "results")
    args = parser.parse_args()
    if args.rounds < 2:
        parser.error("--rounds: at least 2")
    commands = {
        "isovec": [args.worker],
        "ONNX Runtime": [sys.executable, str(HERE / "peer.py")],
        "rten": [str(args.peers / "rten")],
        "candle": [str(args.peers / "candle")],
    }
    kinds = [
        ("isovec", "fp32"), ("isovec", "bf16"), ("isovec", "int8"),
        ("ONNX Runtime", "fp32"), ("ONNX Runtime", "int8"),
        ("rten", "fp32"), ("rten", "int8"), ("candle", "fp32"),
    ]  # fmt: skip
    sides = [Side(engine, precision, commands[engine], args.model) for engine, precision in kinds]
    measured = measure(sides, args.rounds)
    for side in sides:
        side.worker.close()
    facts = machine() | {"date": time.strftime("%Y-%m-%d")}
    versions = {"ONNX Runtime": OnnxRuntime.version()} | json.loads((args.peers / "versions.json").read_text())
    result = {"machine": facts, "versions": versions, "rounds": args.rounds, "engines": [asdict(m) for m in measured]}
    args.output.mkdir(parents=True, exist_ok=True)
    (args.output / "engines.json").write_text(json.dumps(result, indent=1) + "\n")
    (args.output / "engines.svg").write_text(plot(measured, facts))
    print(f"{facts['cpu']}, {facts['cores']} cores; {facts['date']}; {versions}\n\n{table(measured)}")


if __name__ == "__main__":
    main()
