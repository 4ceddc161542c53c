"""isovec beside ONNX Runtime and Pillow: same files, same run; text or image in, vector or pixels out.

The two take turns, round by round, so that a slow phase of the machine hits both; the figures are
medians. Of texts it writes results/compare.json and results/compare.svg, in the other precisions results/bf16.* and
results/int8.*, of images results/images.*, and it prints tables in Markdown.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import PIL

from peer import OnnxRuntime
from plot import plot

HERE = Path(__file__).parent
TOKENS = [8, 16, 64, 128, 256]
CAPTION = "a photo of a cat"  # 7 tokens in CLIP's vocabulary, two of them special
# Their pixel_values are made before the clock starts, and are all of one shape: any eight would do.
IMAGES = [
    "rgb-1024x768.jpg", "rgb-1999x1333.jpg", "rgb-640x480.jpg", "rgb-333x1000.jpg",
    "rgb-500x224.jpg", "rgb-224x300.jpg", "rgb-640x480.png", "webp-lossy-640x480.webp",
]  # fmt: skip


class Worker:
    """A side in a process of its own, told what to do by JSON lines."""

    def __init__(self, command: list[str], **environment: str) -> None:
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | environment
        )

    def ask(self, **request: object) -> dict[str, float]:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{self.process.args} ended; its error is above")
        return json.loads(line)

    def seconds(self, op: str, repeat: int = 1, **request: object) -> float:
        """How long it takes to do it once, of `repeat` times on end."""
        return self.ask(op=op, repeat=repeat, **request)["seconds"] / repeat

    def open(self, kind: str, model: Path, threads: int, precision: str) -> float:
        request = {"kind": kind, "model": str(model), "threads": threads, "precision": precision}
        return self.ask(op="open", **request)["seconds"]

    def peak_rss(self) -> int:
        return int(self.ask(op="peak-rss")["bytes"])

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


class Sides:
    """Both that are compared, with the same model open."""

    def __init__(self, worker: str, kind: str, model: Path, threads: int, precision: str = "fp32") -> None:
        peer = "peer.py" if kind == "text" else "peer_images.py"
        self.started = time.perf_counter()
        self.ours = Worker([worker])
        ours = self.ours.open(kind, model, threads, precision)
        self.opened = time.perf_counter()
        self.theirs = Worker([sys.executable, str(HERE / peer)])
        theirs = self.theirs.open(kind, model, threads, precision)
        self.loads = [ours * 1e3, theirs * 1e3]

    def __enter__(self) -> Sides:
        return self

    def __exit__(self, *_: object) -> None:
        self.ours.close()
        self.theirs.close()

    def alternate(self, rounds: int, op: str, repeat: int = 1, **request: object) -> list[list[float]]:
        """The milliseconds that each needs in each round."""
        return alternate(
            rounds,
            lambda: self.ours.seconds(op, repeat, **request),
            lambda: self.theirs.seconds(op, repeat, **request),
        )


@dataclass
class Row:
    """A line of the table: medians of both sides, and the spread of each (its quartiles)."""

    name: str
    unit: str
    isovec: float
    peer: float
    isovec_spread: tuple[float, float]
    peer_spread: tuple[float, float]

    @property
    def speed(self) -> float:
        """How many times as fast (or small) as the other side."""
        return self.peer / self.isovec


def row(name: str, unit: str, ours: list[float], theirs: list[float]) -> Row:
    def spread(values: list[float]) -> tuple[float, float]:
        quartiles = statistics.quantiles(values, n=4) if len(values) > 1 else [values[0]] * 3
        return quartiles[0], quartiles[2]

    measured = Row(
        name, unit, statistics.median(ours), statistics.median(theirs), spread(ours), spread(theirs)
    )
    print(measured, file=sys.stderr)
    return measured


def alternate(rounds: int, *sides: Callable[[], float]) -> list[list[float]]:
    times: list[list[float]] = [[] for _ in sides]
    for turn in range(rounds + 1):
        # Who goes first changes, so that neither always inherits the other's warm caches.
        order = list(zip(sides, times))
        for side, values in order if turn % 2 else reversed(order):
            seconds = side()
            if turn > 0:  # the first round warms up
                values.append(seconds * 1e3)
    return times


def loads(worker: str, kind: str, model: Path, precision: str = "fp32") -> list[list[float]]:
    times: list[list[float]] = [[], []]
    for _ in range(5):
        with Sides(worker, kind, model, 1, precision) as sides:
            for values, load in zip(times, sides.loads):
                values.append(load)
    return times


def cold_starts(worker: str, model: Path, precision: str) -> list[list[float]]:
    """To the first vector: of ours from the start of its process on, of theirs from the creation of its session on,
    since a program without Python could have that."""
    times: list[list[float]] = [[], []]
    for _ in range(7):
        with Sides(worker, "text", model, 1, precision) as sides:
            first = [side.seconds("embed", texts=["a first text"]) for side in (sides.ours, sides.theirs)]
            times[0].append((sides.opened - sides.started + first[0]) * 1e3)
            times[1].append(sides.loads[1] + first[1] * 1e3)
    return times


@dataclass
class Panel:
    """Rows against the same other side."""

    title: str
    peer: str
    rows: list[Row]


def text_panel(worker: str, model: Path, rounds: int, precision: str, dynamic: Path | None) -> Panel:
    cores = os.cpu_count() or 1
    texts = corpus()
    rows: list[Row] = []
    load = loads(worker, "text", model, precision)
    cold = cold_starts(worker, model, precision)
    with Sides(worker, "text", model, 1, precision) as sides:
        rows += [one_text(sides, rounds, tokens, "") for tokens in TOKENS]
        *one, batch = mixed(sides, rounds, texts)
        rows.append(row(f"1,000 mixed texts, 1 thread (its batches: {batch})", "ms", *one))
    with Sides(worker, "text", model, 1, precision) as sides:
        # By themselves: a peak remembers every batch that a process has seen.
        sides.ours.seconds("embed", texts=texts)
        sides.theirs.seconds("embed", texts=texts, batch=batch)
        peak = (sides.ours.peak_rss() / 2**20, sides.theirs.peak_rss() / 2**20)
    if cores > 1:
        with Sides(worker, "text", model, cores, precision) as sides:
            rows += [one_text(sides, rounds, tokens, f", {cores} threads") for tokens in TOKENS]
            *many, batch = mixed(sides, rounds, texts)
            rows.append(row(f"1,000 mixed texts, {cores} threads (its batches: {batch})", "ms", *many))
    rows.append(row("load", "ms", *load))
    rows.append(row("cold start, to the first vector", "ms", *cold))
    if precision == "int8" and dynamic:
        # Above ours rounds the fp32 file.
        rows.append(row("load, both from its 8-bit file", "ms", *loads(worker, "text", dynamic, precision)))
        starts = cold_starts(worker, dynamic, precision)
        rows.append(row("cold start, both from its 8-bit file", "ms", *starts))
    rows.append(row("peak memory, 1 thread", "MiB", [peak[0]], [peak[1]]))
    peer = f"ONNX Runtime {OnnxRuntime.version()}"
    match precision:
        case "int8":
            return Panel("int8 beside ONNX Runtime's dynamic int8", f"{peer}, dynamic int8", rows)
        case "bf16":
            return Panel("bf16 beside ONNX Runtime's fp32", f"{peer}, fp32", rows)
        case _:
            return Panel("isovec beside ONNX Runtime", peer, rows)


def one_text(sides: Sides, rounds: int, tokens: int, threads: str) -> Row:
    text = "the " * (tokens - 2)  # one token each; two are special
    # Long enough that neither inherits much: the last of the other's threads are awake for a while.
    times = sides.alternate(rounds, "embed", max(8, 640 // tokens), texts=[text])
    return row(f"1 text of {tokens} tokens{threads}", "ms", *times)


def corpus() -> list[str]:
    return (HERE / "corpus" / "mixed-1000.txt").read_text(encoding="utf-8").splitlines()


@dataclass
class Quality:
    """How close rounded vectors are to ONNX Runtime's of fp32, over the corpus."""

    cosine_median: float
    cosine_min: float
    top_10_agreement: float


def qualities(worker: str, model: Path, precision: str) -> dict[str, Quality]:
    texts = corpus()
    with tempfile.TemporaryDirectory() as folder:
        with Sides(worker, "text", model, 1, precision) as sides, Sides(worker, "text", model, 1) as full:
            asked = {"isovec": sides.ours, "reference": full.theirs}
            if precision == "int8":
                asked["peer"] = sides.theirs
            vectors = {}
            for name, side in asked.items():
                file = Path(folder) / name
                side.ask(op="vectors", texts=texts, file=str(file))
                vectors[name] = np.fromfile(file, "<f4").reshape(len(texts), -1)
    reference = vectors.pop("reference")
    return {name: quality(own, reference) for name, own in vectors.items()}


def quality(vectors: np.ndarray, reference: np.ndarray) -> Quality:
    def top_10(of: np.ndarray) -> list[set[int]]:
        scores = of @ of.T
        np.fill_diagonal(scores, -1)
        return [set(ranked[:10]) for ranked in np.argsort(-scores, axis=1)]

    cosines = (vectors * reference).sum(axis=1)
    agreement = [len(a & b) / 10 for a, b in zip(top_10(vectors), top_10(reference))]
    median, lowest = float(np.median(cosines)), float(cosines.min())
    return Quality(median, lowest, statistics.mean(agreement))


def print_qualities(of: dict[str, Quality], precision: str, peer: str) -> None:
    titles = {"isovec": f"isovec {precision}", "peer": peer}
    print(f"| 1,000 mixed texts, beside fp32 | {' | '.join(titles[side] for side in of)} |")
    print("|---|" + "---:|" * len(of))
    for field, name in (
        ("cosine_median", "cosine, median"),
        ("cosine_min", "cosine, lowest"),
        ("top_10_agreement", "the same among the ten nearest"),
    ):
        print(f"| {name} | {' | '.join(f'{getattr(own, field):.5f}' for own in of.values())} |")
    print()


def mixed(sides: Sides, rounds: int, corpus: list[str]) -> tuple[list[float], list[float], int]:
    """Their batches, sorted by length, are of whichever size is the fastest."""
    sizes = (1, 8, 32)
    ours, *theirs = alternate(
        rounds,
        lambda: sides.ours.seconds("embed", texts=corpus),
        *(lambda size=size: sides.theirs.seconds("embed", texts=corpus, batch=size) for size in sizes),
    )
    best, times = min(zip(sizes, theirs), key=lambda pair: statistics.median(pair[1]))
    return ours, times, best


def image_panels(worker: str, clip: Path, images: Path, rounds: int) -> list[Panel]:
    """Of a model of CLIP's exact shape whose weights are random, which every row of it says."""
    files = [str(images / name) for name in IMAGES]
    jpeg, png, webp = (
        str(images / name)
        for name in ("rgb-1024x768.jpg", "rgb-1024x768.png", "webp-lossy-640x480.webp")
    )
    load = loads(worker, "image", clip)
    with Sides(worker, "image", clip, 1) as sides:
        pixels = [
            row(name, "ms", *sides.alternate(rounds, op, 10, file=file))
            for name, op, file in (
                ("JPEG 1,024 x 768, to pixel_values", "preprocess", jpeg),
                ("PNG 1,024 x 768, to pixel_values", "preprocess", png),
                ("lossy WebP 640 x 480, to pixel_values", "preprocess", webp),
            )
        ]
        vision = [row("CLIP, 1 image, random weights", "ms", *embed_pixels(sides, rounds, files[:1], 3))]
    with Sides(worker, "image", clip, 2) as sides:
        times = embed_pixels(sides, rounds, files[:1], 3)
        vision.append(row("CLIP, 1 image, 2 threads, random weights", "ms", *times))
        times = embed_pixels(sides, rounds, files, 1)
        vision.append(row(f"CLIP, {len(files)} images, 2 threads, random weights", "ms", *times))
    with Sides(worker, "clip-text", clip, 1) as sides:
        times = sides.alternate(rounds, "embed", 20, texts=[CAPTION])
        vision.append(row("CLIP, 1 text of 7 tokens, random weights", "ms", *times))
    vision.append(row("CLIP, load image model, random weights", "ms", *load))
    return [
        Panel("Image file to pixels", f"Pillow {PIL.__version__} and numpy", pixels),
        Panel("CLIP ViT-B/32, random weights", f"ONNX Runtime {OnnxRuntime.version()}", vision),
    ]


def embed_pixels(sides: Sides, rounds: int, files: list[str], repeat: int) -> list[list[float]]:
    """Their batches are of one or of all, whichever is the faster."""
    for side in (sides.ours, sides.theirs):
        side.seconds("prepare", files=files)
    ours, *theirs = alternate(
        rounds,
        lambda: sides.ours.seconds("embed-pixels", repeat),
        *(
            lambda batch=batch: sides.theirs.seconds("embed-pixels", repeat, batch=batch)
            for batch in sorted({1, len(files)})
        ),
    )
    return [ours, min(theirs, key=statistics.median)]


def of_cpu(field: str) -> str | None:
    lines = open("/proc/cpuinfo")
    return next((line.split(":")[1].strip() for line in lines if line.startswith(field)), None)


def cpu_flags() -> list[str]:
    return (of_cpu("flags") or "").split()


def machine() -> dict[str, str]:
    cpu = of_cpu("model name") or platform.processor()
    return {"cpu": cpu, "cores": str(os.cpu_count()), "system": platform.platform()}


def save(name: str, panels: list[Panel], rounds: int, output: Path, **more: object) -> None:
    facts = machine() | {"date": time.strftime("%Y-%m-%d")}
    result = more | {
        "machine": facts,
        "rounds": rounds,
        "panels": [
            asdict(panel) | {"rows": [asdict(r) | {"speed": r.speed} for r in panel.rows]}
            for panel in panels
        ],
    }
    output.mkdir(parents=True, exist_ok=True)
    (output / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
    (output / f"{name}.svg").write_text(plot(result))

    print(f"{facts['cpu']}, {facts['cores']} cores; {facts['date']}")
    for panel in panels:
        print(f"\n| | isovec | {panel.peer} | isovec's speed |")
        print("|---|---:|---:|---:|")
        for r in panel.rows:
            print(f"| {r.name} | {r.isovec:,.1f} {r.unit} | {r.peer:,.1f} {r.unit} | {r.speed:.2f} x |")
    print()


def print_scaling(rows: list[Row]) -> None:
    cores = os.cpu_count()
    one, many = (
        next((r for r in rows if r.name.startswith(f"1,000 mixed texts, {count}")), None)
        for count in ("1 thread", f"{cores} threads")
    )
    if one and many:
        scale = one.isovec / many.isovec
        print(f"isovec on {cores} threads: {scale:.2f} times its speed on 1.\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worker", required=True, help="the bench-worker program")
    parser.add_argument("--model", type=Path, help="folder with model.onnx, tokenizer.json: measure texts")
    parser.add_argument("--dynamic", type=Path, help="such a folder whose model.onnx is the dynamic int8 file")
    parser.add_argument("--clip", type=Path, help="folder of a CLIP of random weights: measure images")
    parser.add_argument("--images", type=Path, help="folder of the test images, for --clip")
    parser.add_argument("--only", choices=["texts", "bf16", "int8", "images"])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--output", type=Path, default=HERE / "results")
    args = parser.parse_args()
    if args.clip and not args.images:
        parser.error("--clip needs --images")
    if args.model and args.only in (None, "texts"):
        panel = text_panel(args.worker, args.model, args.rounds, "fp32", None)
        save("compare", [panel], args.rounds, args.output)
        print_scaling(panel.rows)
    for precision in ("bf16", "int8"):
        # Without its instructions bf16 takes the time of fp32: then only if asked for.
        worthwhile = precision == "int8" or "avx512_bf16" in cpu_flags()
        if args.model and (args.only == precision or args.only is None and worthwhile):
            panel = text_panel(args.worker, args.model, args.rounds, precision, args.dynamic)
            of = qualities(args.worker, args.model, precision)
            quality = {side: asdict(measured) for side, measured in of.items()}
            save(precision, [panel], args.rounds, args.output, quality=quality)
            print_qualities(of, precision, panel.peer)
    if args.clip:
        panels = image_panels(args.worker, args.clip, args.images, args.rounds)
        save("images", panels, args.rounds, args.output)


if __name__ == "__main__":
    main()
