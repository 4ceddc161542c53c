# shellcheck shell=bash disable=SC2154  # variables of scripts/check_deploy
# The image: built by the real Dockerfile, and run as compose.yaml and deployment.yaml run it. For
# scripts/check_deploy.

# Images and containers of these checks lie in a store of their own.
store="$WORK/containers"
export CONTAINERS_CONF="$PWD/deploy/checks/containers.conf" CONTAINERS_STORAGE_CONF="$store/storage.conf"

# And the images that newer ones took the names of.
remove_containers() {
  [ -e "$CONTAINERS_STORAGE_CONF" ] || return 0
  podman rm --all --force --time 0 >/dev/null
  podman image prune --force >/dev/null
}

# Whether containers run here at all, which is tried with another program than ours.
can_run_containers() {
  [ "$(id -u)" -eq 0 ] || { note "the image, which only root can build and run here"; return 1; }
  command -v podman >/dev/null && command -v buildah >/dev/null && command -v runc >/dev/null ||
    { say "installing podman, buildah and runc"; apt_install --no-install-recommends podman buildah runc; } ||
    { note "the image, since there is no podman"; return 1; }
  mkdir -p "$store"
  printf '[storage]\ndriver = "overlay"\ngraphroot = "%s/images"\nrunroot = "%s/run"\n' "$store" "$store" \
    >"$CONTAINERS_STORAGE_CONF"
  deploy/docker/rootfs.sh "$(type -P true)" "$scratch/true"
  (cd "$scratch" && podman run --rm --network none --rootfs "$scratch/true" /usr/bin/isovec) >"$scratch/check.log" 2>&1 ||
    { note "the image, since no container runs here: $(tail -1 "$scratch/check.log")"; return 1; }
}

# The image's own stages, by the real Dockerfile. What the stage before them compiles is the program that the
# tests run; Debian's C library in it is this machine's.
image() { # target, tag, further arguments
  local target="$1" tag="$2"
  shift 2
  buildah build --pull-never --network none --format docker --target "$target" --tag "$tag" \
    --build-context rootfs="$scratch/stage" "$@" --file deploy/docker/Dockerfile .
}

stage() {
  mkdir -p "$scratch/stage/empty"
  objcopy --strip-debug "$isovec" "$scratch/isovec"
  deploy/docker/rootfs.sh "$scratch/isovec" "$scratch/stage/rootfs"
}

# What is sent to be compiled has the manifest of each member, and all that they name.
context() {
  printf 'FROM scratch\nCOPY . /\n' >"$scratch/Dockerfile"
  buildah build --pull-never --tag isovec-context --ignorefile .dockerignore --file "$scratch/Dockerfile" .
  local container folder
  container="$(buildah from --pull-never isovec-context)"
  folder="$(buildah mount "$container")"
  du -sh "$folder"
  cargo metadata --locked --offline --filter-platform "$(rustc -vV | sed -n 's/^host: //p')" --format-version 1 \
    --manifest-path "$folder/Cargo.toml" >/dev/null
  cmp "$folder/crates/core/src/models.toml" models/manifest.toml
  cmp "$folder/deploy/docker/rootfs.sh" deploy/docker/rootfs.sh
  buildah rm "$container"
}

# As compose.yaml and deployment.yaml have it.
locked=(--read-only --cap-drop ALL --security-opt no-new-privileges --memory 768m --cpus 2 --pids-limit 256)
contained() { (cd "$scratch" && podman run --no-healthcheck "${locked[@]}" "$@"); }

texts=("The kitten is napping in the sun." "Интерес к векторам" "")
same_vectors() { # arguments of podman run
  contained --rm --network none "$@" embed "${texts[@]}" >"$scratch/inside.jsonl"
  cmp "$scratch/outside.jsonl" "$scratch/inside.jsonl"
}

fetches_into_a_new_volume() {
  local port
  port="$(free_port)"
  start python3 -m http.server --bind 127.0.0.1 --directory "$ISOVEC_HOME/models" "$port" >/dev/null 2>&1
  wait_for 10 curl -fsS -o /dev/null "http://127.0.0.1:$port/"
  podman volume rm --force isovec-check >/dev/null
  contained --rm --network host --env ISOVEC_MIRROR="http://localhost:$port" --volume isovec-check:/models \
    isovec models fetch all-MiniLM-L6-v2
  same_vectors --volume isovec-check:/models:ro isovec
  podman volume rm isovec-check >/dev/null
}


check_image() {
  say "building the image"
  stage
  "$isovec" embed "${texts[@]}" >"$scratch/outside.jsonl"
  check "what is sent to be compiled is complete" context
  check "the image, without models" image isovec isovec
  check "the image with a model baked in" image with-models isovec:models --build-context models="$ISOVEC_HOME/models"
  check "it embeds, models mounted read-only" same_vectors --volume "$ISOVEC_HOME/models:/models:ro" isovec
  check "it embeds, the model baked in" same_vectors isovec:models
  check "it fetches a model by name into a new volume" fetches_into_a_new_volume
}
