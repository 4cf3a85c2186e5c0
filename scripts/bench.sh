#!/usr/bin/env bash
# The figures of docs/benchmarks.md, measured on this machine: builds and installs the release, starts a private
# cluster, runs bench/run.py in a virtual environment of its own, stops the cluster and removes it.
#   scripts/bench.sh [--installed] [ARGUMENT OF bench/run.py...]
# --installed: measure what is installed, build nothing; the engine and fetching alone only where engine_speed and fetch_speed
# are built already.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh
. scripts/cluster.sh
VENV=$PWD/target/venv
export PYTHONDONTWRITEBYTECODE=1
PACKAGES=(numpy orjson polars psycopg[binary] pyarrow)

engine=${CARGO_TARGET_DIR:-target}/release/examples/engine_speed
fetch=${CARGO_TARGET_DIR:-target}/release/fetch_speed
if [ "${1:-}" = --installed ]; then
  shift
else
  scripts/install.sh
  step "engine/examples/engine_speed"
  cargo build --quiet --release --package observe-bridge-engine --example engine_speed
  step "pgrx-tests/benches/fetch_speed"
  program=$(cargo bench --quiet --package observe-bridge-blackbox --bench fetch_speed --no-run --message-format json |
    sed -nE 's/.*"executable":"([^"]*fetch_speed[^"]*)".*/\1/p')
  cp "$program" "$fetch"
fi

if ! "$VENV/bin/python" -c 'import numpy, orjson, polars, psycopg, pyarrow' 2>/dev/null; then
  step "virtual environment in target/venv: ${PACKAGES[*]}"
  { python3 -m venv "$VENV" && "$VENV/bin/pip" install --quiet --disable-pip-version-check "${PACKAGES[@]}"; } \
    >"$LOGS/venv.log" 2>&1 || {
    tail -n 10 "$LOGS/venv.log" >&2
    die "no virtual environment, see $LOGS/venv.log (on Debian it needs the package python3-venv)"
  }
fi

cluster_paths "$PWD/target/bench-cluster"
cleanup() { cluster_stop; rm -rf "$CLUSTER"; }
trap cleanup EXIT
cleanup
# Everything else is PostgreSQL's default, so commits wait for the disk.
cluster_start "shared_preload_libraries = 'observe_bridge'" "max_worker_processes = 32" \
  "observe_bridge.file_roots = '$CLUSTER/telemetry'"
built=()
if [ -x "$engine" ]; then built+=(--engine "$engine"); fi
if [ -x "$fetch" ]; then built+=(--fetch "$fetch"); fi
"$VENV/bin/python" bench/run.py --socket "$SOCKET" --port "$(cluster_port)" --telemetry "$CLUSTER/telemetry" \
  --library "$("$PG_CONFIG" --pkglibdir)/observe_bridge.so" --out target/benchmarks.md \
  "${built[@]}" "$@"
