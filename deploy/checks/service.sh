# shellcheck shell=bash disable=SC2154  # variables of scripts/check_deploy
# The service in its image, with three tiers of Redis, watched by a Prometheus. For scripts/check_deploy.

redis() { # port, arguments of redis-server
  local port="$1" folder
  shift
  folder="$(mktemp -d "$scratch/redis.XXXXXX")"
  start redis-server "$@" --bind 127.0.0.1 --port "$port" --dir "$folder" >"$folder/log"
  wait_for 10 redis-cli -p "$port" ping
}

tiers() {
  redis "$hot" "$PWD/deploy/kubernetes/redis/hot/redis.conf"
  redis "$warm" "$PWD/deploy/kubernetes/redis/warm/redis.conf"
  redis "$cold" "$PWD/deploy/kubernetes/redis/cold/redis.conf"
}

# The name that the container of these checks has, of which there is one at a time.
run_detached() { # arguments of podman run
  podman rm --force --ignore --time 0 isovec-check
  contained --detach --name isovec-check "$@"
}

# Waits until a command goes well; if it never does, shows what the service had to say.
wait_for_service() { # command...
  wait_for 60 "$@" || { podman logs isovec-check; return 1; }
}

inspect() { podman inspect --format "$1" isovec-check; }

# What the image's HEALTHCHECK runs, in the container.
healthy() {
  local command
  mapfile -t command < <(podman inspect --format '{{range .HealthCheck.Test}}{{println .}}{{end}}' isovec | sed '1d; /^$/d')
  podman exec isovec-check "${command[@]}"
}

# Nothing but the image and its own configuration: no network but its own, nothing to write to.
alone() {
  run_detached --network none isovec:models
  wait_for_service healthy
  local process
  process="/proc/$(inspect '{{.State.Pid}}')"
  grep -E '^(Uid|Cap|NoNewPrivs|Seccomp)' "$process/status"
  grep -qx $'Uid:\t65532\t65532\t65532\t65532' "$process/status"
  grep -qx $'CapEff:\t0000000000000000' "$process/status"
  grep -qx $'CapBnd:\t0000000000000000' "$process/status"
  grep -qx $'NoNewPrivs:\t1' "$process/status"
  grep -qx $'Seccomp:\t2' "$process/status"
  # Of what a process could write to, there is nothing but what the engine mounts (/dev, /proc, /run/secrets).
  awk '$5 == "/" {found = 1; if ($6 !~ /^ro/) exit 1} END {exit !found}' "$process/mountinfo"
  stops
}

# SIGTERM, as every engine sends it, ends it in good order.
stops() {
  podman stop --time 40 isovec-check
  [ "$(inspect '{{.State.ExitCode}}')" -eq 0 ]
  podman logs isovec-check 2>&1 | tail -3
  podman rm isovec-check
}

serves() {
  run_detached --network host \
    --volume "$PWD/deploy/isovec.yaml:/etc/isovec/isovec.yaml:ro" \
    --env "ISOVEC__SERVER__LISTEN=127.0.0.1:$http" --env "ISOVEC__REDIS_HOT__ADDR=127.0.0.1:$hot" \
    --env "ISOVEC__REDIS_WARM__ADDR=127.0.0.1:$warm" --env "ISOVEC__REDIS_COLD__ADDR=127.0.0.1:$cold" \
    isovec:models
  wait_for_service curl -fsS "$url/health/ready"
  python3 deploy/checks/embeddings.py "$url" "$texts_json" "$scratch/outside.jsonl"
  [ "$(redis-cli -p "$cold" dbsize)" -gt 0 ]
}

watched() {
  mkdir "$scratch/prometheus"
  cp deploy/prometheus/alerts.yaml "$scratch/prometheus/"
  sed "s/isovec:8080/127.0.0.1:$http/; s/: 15s/: 1s/" deploy/prometheus/prometheus.yaml >"$scratch/prometheus/config.yaml"
  start "$prometheus" --config.file "$scratch/prometheus/config.yaml" \
    --storage.tsdb.path "$scratch/prometheus/data" --web.listen-address "127.0.0.1:$watch" \
    >"$scratch/prometheus/log" 2>&1
  wait_for 20 curl -fsS -o /dev/null "http://127.0.0.1:$watch/-/ready"
  # Rates need counters that grow between two scrapes.
  for _ in 1 2 3 4 5; do
    sleep 1
    python3 deploy/checks/embeddings.py "$url" "$texts_json" "$scratch/outside.jsonl"
  done
  sleep 2
  "$tools/bin/python" deploy/checks/queries.py ask "http://127.0.0.1:$watch"
}

metrics() {
  curl -fsS "$url/metrics" >"$scratch/metrics"
  "$tools/bin/python" deploy/checks/queries.py names "$scratch/metrics"
}

check_service() {
  say "serving"
  local hot warm cold http watch url texts_json
  hot="$(free_port)" warm="$(free_port)" cold="$(free_port)" http="$(free_port)" watch="$(free_port)"
  url="http://127.0.0.1:$http"
  texts_json="$("$tools/bin/python" -c 'import json, sys; print(json.dumps(sys.argv[1:]))' "${texts[@]}")"
  check "the image serves with nothing but itself, without rights, and stops when told" alone
  check "three tiers of Redis" tiers
  local before="$failed"
  check "the image serves with compose.yaml's configuration" serves
  # Whatever follows asks it.
  [ "$failed" -eq "$before" ] || return 0
  check "dashboard and alerts ask for what the service exports" metrics
  check "a Prometheus that scrapes it answers every query of the dashboard" watched
  check "it stops when told" stops
}
