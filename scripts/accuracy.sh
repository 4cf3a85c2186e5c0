#!/usr/bin/env bash
# How well log lines are grouped: GA, PA, FGA and FTA for each set of LogHub, by fingerprint and by class, for messages
# and for raw lines; then for workloads of the benchmark's generator, where it and its Python are found.
#   LOGHUB=FOLDER scripts/accuracy.sh [--explain]
# LOGHUB: default $OBSERVE_BRIDGE_SHARED/loghub, else ../shared/loghub. What is not there is skipped.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh

shared=${OBSERVE_BRIDGE_SHARED:-$PWD/../shared}
loghub=${LOGHUB:-$shared/loghub}
generator=$shared/bench/gen_window.py

# A debug build will do: the sets are small.
step "engine/examples/accuracy"
cargo build --quiet --package observe-bridge-engine --example accuracy
accuracy=${CARGO_TARGET_DIR:-target}/debug/examples/accuracy

if [ -d "$loghub" ]; then
  step "LogHub: messages"
  "$accuracy" "$@" "$loghub"
  step "LogHub: raw lines"
  "$accuracy" --raw "$@" "$loghub"
else
  ok "LogHub skipped: no folder $loghub (set LOGHUB)"
fi

if [ ! -f "$generator" ]; then
  ok "workloads skipped: no $generator (set OBSERVE_BRIDGE_SHARED)"
  exit 0
fi
python=target/venv/bin/python
if ! "$python" -c 'import orjson, numpy' 2>/dev/null; then
  ok "workloads skipped: no target/venv (make test and make bench make it)"
  exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for preset in S M L; do
  "$python" "$generator" --out "$work/$preset" --preset "$preset" --no-parquet >/dev/null
done
step "workloads"
"$accuracy" "$@" "$work/S" "$work/M" "$work/L"
