"""isovec beside ONNX Runtime: same model file, same texts, same run, text in and vector out.

The two take turns, round by round, so that a slow phase of the machine hits both; the figures are
medians. Writes results/compare.json and results/compare.svg and prints a table in Markdown.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from peer import OnnxRuntime
from plot import plot

HERE = Path(__file__).parent
TOKENS = [8, 16, 64, 128, 256]


class Side(Protocol):
    """One of the two that are compared. Each call returns seconds, but the last, bytes."""

    def open(self, model: str, threads: int) -> float: ...
    def embed(self, texts: list[str], repeat: int) -> float: ...
    def peak_rss(self) -> int: ...
    def close(self) -> None: ...


class Worker:
    """A side in a process of its own, told what to do by JSON lines."""

    def __init__(self, command: list[str]) -> None:
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, **request: object) -> dict[str, float]:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{self.process.args} ended; its error is above")
        return json.loads(line)

    def open(self, model: str, threads: int) -> float:
        return self.ask(op="open", model=model, threads=threads)["seconds"]

    def embed(self, texts: list[str], repeat: int) -> float:
        return self.ask(op="embed", texts=texts, repeat=repeat)["seconds"] / repeat

    def peak_rss(self) -> int:
        return int(self.ask(op="peak-rss")["bytes"])

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


@dataclass
class Row:
    """A line of the table: medians of both sides, and the spread of each (its quartiles)."""

    name: str
    unit: str
    isovec: float
    onnxruntime: float
    isovec_spread: tuple[float, float]
    onnxruntime_spread: tuple[float, float]

    @property
    def speed(self) -> float:
        """How many times as fast (or small) as ONNX Runtime."""
        return self.onnxruntime / self.isovec


def row(name: str, unit: str, ours: list[float], theirs: list[float]) -> Row:
    def spread(values: list[float]) -> tuple[float, float]:
        quartiles = statistics.quantiles(values, n=4) if len(values) > 1 else [values[0]] * 3
        return quartiles[0], quartiles[2]

    return Row(
        name, unit, statistics.median(ours), statistics.median(theirs), spread(ours), spread(theirs)
    )


def alternate(rounds: int, ours: Side, theirs: Side, texts: list[str], repeat: int) -> tuple[list[float], list[float]]:
    a, b = [], []
    for turn in range(rounds + 1):
        # Who goes first changes, so that neither always inherits the other's warm caches.
        pair = [(ours, a), (theirs, b)]
        for side, times in pair if turn % 2 else reversed(pair):
            seconds = side.embed(texts, repeat)
            if turn > 0:  # the first round warms up
                times.append(seconds * 1e3)
    return a, b


def machine() -> dict[str, str]:
    cpu = next(
        (line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")),
        platform.processor(),
    )
    return {"cpu": cpu, "cores": str(os.cpu_count()), "system": platform.platform()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="folder with model.onnx, tokenizer.json")
    parser.add_argument("--worker", required=True, help="the bench-worker program")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--output", type=Path, default=HERE / "results")
    args = parser.parse_args()
    model, cores = str(args.model), os.cpu_count() or 1
    corpus = (HERE / "corpus" / "mixed-1000.txt").read_text(encoding="utf-8").splitlines()

    def pair(threads: int) -> tuple[Worker, Worker, float, float]:
        ours = Worker([args.worker])
        theirs = Worker([sys.executable, str(HERE / "peer.py")])
        return ours, theirs, ours.open(model, threads), theirs.open(model, threads)

    rows: list[Row] = []
    loads: tuple[list[float], list[float]] = ([], [])
    for _ in range(5):
        ours, theirs, a, b = pair(1)
        loads[0].append(a * 1e3)
        loads[1].append(b * 1e3)
        ours.close()
        theirs.close()

    ours, theirs, *_ = pair(1)
    for tokens in TOKENS:
        text = "the " * (tokens - 2)  # one token each; two are special
        repeat = max(1, 160 // tokens)
        rows.append(row(f"1 text of {tokens} tokens", "ms", *alternate(args.rounds, ours, theirs, [text], repeat)))
        print(rows[-1], file=sys.stderr)
    one = alternate(max(3, args.rounds // 3), ours, theirs, corpus, 1)
    rows.append(row("1,000 mixed texts, 1 thread", "ms", *one))
    peak = (ours.peak_rss() / 2**20, theirs.peak_rss() / 2**20)
    ours.close()
    theirs.close()
    if cores > 1:
        ours, theirs, *_ = pair(cores)
        many = alternate(max(3, args.rounds // 3), ours, theirs, corpus, 1)
        rows.append(row(f"1,000 mixed texts, {cores} threads", "ms", *many))
        ours.close()
        theirs.close()
    rows.append(row("load", "ms", *loads))
    rows.append(row("peak memory, 1 thread", "MiB", [peak[0]], [peak[1]]))

    facts = machine() | {"date": time.strftime("%Y-%m-%d"), "onnxruntime": OnnxRuntime.version()}
    args.output.mkdir(parents=True, exist_ok=True)
    result = {"machine": facts, "rounds": args.rounds, "rows": [asdict(r) | {"speed": r.speed} for r in rows]}
    (args.output / "compare.json").write_text(json.dumps(result, indent=1) + "\n")
    (args.output / "compare.svg").write_text(plot(result))

    print(f"{facts['cpu']}, {facts['cores']} cores; ONNX Runtime {facts['onnxruntime']}; {facts['date']}\n")
    print("| | isovec | ONNX Runtime | isovec's speed |")
    print("|---|---:|---:|---:|")
    for r in rows:
        print(f"| {r.name} | {r.isovec:,.1f} {r.unit} | {r.onnxruntime:,.1f} {r.unit} | {r.speed:.2f} x |")
    by_name = {r.name: r for r in rows}
    two = by_name.get(f"1,000 mixed texts, {cores} threads")
    if two:
        scale = by_name["1,000 mixed texts, 1 thread"].isovec / two.isovec
        print(f"\nisovec on {cores} threads: {scale:.2f} times its speed on 1.")


if __name__ == "__main__":
    main()
