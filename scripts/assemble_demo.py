"""Puts the demo page together: what scripts/demo calls. Needs nothing but Python's own library."""

import argparse
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WWW = ROOT / "www"
DIST = ROOT / "crates" / "wasm" / "js" / "dist"
MODEL, VARIANT = "all-MiniLM-L6-v2", "int8"
MODEL_FILES = ["onnx/model_int8.onnx", "tokenizer.json"]
# Sources of what is made, not part of the page.
NOT_SERVED = {"test", "README.md", "passages.jsonl", "check.txt", "tsconfig.json"}
MARK = ".made-by-isovec-demo"
CLIP_FILES = {
    "clip-vit-base-patch32": {"model": "onnx/vision_model.onnx"},
    "clip-vit-base-patch32-text": {"model": "onnx/text_model.onnx", "tokenizer": "tokenizer.json"},
}


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def modules(entry: Path, found: set[Path]) -> set[Path]:
    """A module and all that it imports."""
    if entry not in found:
        found.add(entry)
        for name in re.findall(r'\b(?:from|import)\s*\(?\s*"(\.[^"]+)"', entry.read_text(encoding="utf-8")):
            modules((entry.parent / name).resolve(), found)
    return found


def native(arguments: argparse.Namespace, *words: str) -> str:
    return subprocess.run(
        [arguments.native, *words], stdout=subprocess.PIPE, check=True, encoding="utf-8"
    ).stdout


def safetensors_metadata(path: Path) -> dict:
    data = path.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return header["__metadata__"]


def copy_page(site: Path) -> None:
    for source in sorted(WWW.rglob("*")):
        name = source.relative_to(WWW)
        if source.is_file() and name.parts[0] not in NOT_SERVED:
            copy(source, site / name)
    found: set[Path] = set()
    for entry in ("worker.js", "worker-host.js"):
        modules(DIST / entry, found)
    for source in found | {DIST / "wasm" / "isovec_bg.wasm"}:
        copy(source, site / "isovec" / source.relative_to(DIST))


def make_index(arguments: argparse.Namespace, site: Path) -> str:
    """The index of the passages; returns the fingerprint of the model in it."""
    index = site / "passages.safetensors"
    native(
        arguments, "index", "--input", str(WWW / "passages.jsonl"), "--input-format", "jsonl",
        "--model", MODEL, "--variant", VARIANT, "--quiet", "-o", str(index),
    )
    return safetensors_metadata(index)["fingerprint"]


def make_vectors(arguments: argparse.Namespace, site: Path, fingerprint: str) -> None:
    """What the native program makes of some texts, for the page to compare with."""
    texts = (WWW / "check.txt").read_text(encoding="utf-8").rstrip("\n").split("\n")
    lines = native(
        arguments, "embed", "--input", str(WWW / "check.txt"), "--variant", VARIANT, "--model", MODEL,
        "--format", "jsonl", "--quiet",
    ).rstrip("\n").split("\n")
    made = [json.loads(line) for line in lines]
    assert [one["index"] for one in made] == list(range(len(texts)))
    version = native(arguments, "--version").strip()
    rows = [
        {"text": text, **{key: one[key] for key in ("tokens", "truncated", "embedding")}}
        for text, one in zip(texts, made, strict=True)
    ]
    by = f"{version}, {platform.machine()} {platform.system()}"
    document = {"by": by, "model": MODEL, "variant": VARIANT, "fingerprint": fingerprint, "texts": rows}
    (site / "vectors.json").write_text(json.dumps(document, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")


def copy_models(arguments: argparse.Namespace, site: Path) -> None:
    for path in MODEL_FILES:
        copy(arguments.models / MODEL / path, site / "models" / MODEL / path)


def clip_settings(arguments: argparse.Namespace, site: Path) -> dict:
    """Copies a CLIP, and says what the page must know of it."""
    folder = arguments.clip
    if folder is None:
        return {"here": False, "synthetic": False, "builds": {}}
    builds: dict = {}
    for name, files in CLIP_FILES.items():
        builds[name] = {}
        for role, path in files.items():
            copy(folder / path, site / "models" / name / path)
            file = folder / path
            builds[name][role] = {"sha256": sha256(file), "size": file.stat().st_size}
    # Its config.json says so itself.
    synthetic = "isovec_synthetic" in json.loads((folder / "config.json").read_text())
    return {"here": True, "synthetic": synthetic, "builds": builds}


def precache(site: Path) -> str:
    """What the service worker keeps: all but the models and itself."""
    files = [
        {"path": path.relative_to(site).as_posix(), "sha256": sha256(path)}
        for path in sorted(site.rglob("*"))
        if path.is_file() and path.relative_to(site).parts[0] not in {"models", "sw.js", "precache.js", MARK}
    ]
    version = hashlib.sha256(json.dumps(files).encode()).hexdigest()[:12]
    content = json.dumps({"version": version, "files": files}, indent=1)
    (site / "precache.js").write_text(f"self.PRECACHE = {content};\n")
    return version


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--native", required=True)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--clip", type=Path)
    arguments = parser.parse_args()
    output: Path = arguments.output.resolve()
    if output.exists() and any(output.iterdir()) and not (output / MARK).exists():
        sys.exit(f"error: {output} holds files that scripts/demo did not make; give another folder")

    # Beside the old one, so that a failure leaves that as it was.
    output.parent.mkdir(parents=True, exist_ok=True)
    site = Path(tempfile.mkdtemp(prefix=f"{output.name}-", dir=output.parent))
    site.chmod(0o755)
    try:
        assemble(arguments, site, output)
    finally:
        shutil.rmtree(site, ignore_errors=True)


def assemble(arguments: argparse.Namespace, site: Path, output: Path) -> None:
    (site / MARK).touch()
    copy_page(site)
    fingerprint = make_index(arguments, site)
    make_vectors(arguments, site, fingerprint)
    (site / "site.json").write_text(json.dumps({"clip": clip_settings(arguments, site)}))
    copy_models(arguments, site)
    version = precache(site)
    shutil.rmtree(output, ignore_errors=True)
    os.rename(site, output)

    size = sum(path.stat().st_size for path in output.rglob("*") if path.is_file())
    models = sum(path.stat().st_size for path in (output / "models").rglob("*") if path.is_file())
    print(f"{output}: version {version}, {size / 1e6:.1f} MB, of which models {models / 1e6:.1f} MB", file=sys.stderr)


if __name__ == "__main__":
    main()
