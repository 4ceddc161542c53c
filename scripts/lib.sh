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

apt_install() {
  local sudo=""
  [ "$(id -u)" -eq 0 ] || sudo="sudo"
  command -v apt-get >/dev/null || die "please install: $*"
  $sudo apt-get install -y -q "$@" >/dev/null 2>&1 ||
    { $sudo apt-get update -q >/dev/null && $sudo apt-get install -y -q "$@" >/dev/null; }
}

requirements_hash() { sha256sum models/tools/requirements.txt | cut -d' ' -f1; }
venv_is_current() {
  "$VENV/bin/python" -c '' 2>/dev/null &&
    [ "$(cat "$VENV/.requirements" 2>/dev/null)" = "$(requirements_hash)" ]
}
mark_venv_current() { requirements_hash >"$VENV/.requirements"; }

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

# Always the whole workspace: with `--package` cargo picks other features for shared dependencies, and
# then compiles tract, which takes minutes, once more for each choice.
build() { cargo build --release --workspace --locked --quiet; }
