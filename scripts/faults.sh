#!/usr/bin/env bash
# The fault matrix: each fault, at each kind of source, at the first, a middle and the last page; prints the table of
# docs/faults.md (pgrx-tests/tests/fault_matrix.rs).
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh
export PG_CONFIG
export OBSERVE_BRIDGE_FAULTS=all

scripts/install.sh
# Each kind has a cluster of its own, which mostly waits.
step "faults, kinds of sources, places"
cargo test --quiet --package observe-bridge-blackbox --test fault_matrix -- --nocapture --test-threads 5
