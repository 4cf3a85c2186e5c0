#!/usr/bin/env bash
# Workloads with exact truth, over HTTP and from both layouts of Parquet files: sizes x seeds, a table
# (pgrx-tests/tests/cluster/verify.rs). Stops at the first that is not exact.
#   OBSERVE_BRIDGE_SHARED        the folder with bench/gen_window.py; default ../shared. Skipped where it is not there
#   OBSERVE_BRIDGE_VERIFY_SIZES  default "S M L"
#   OBSERVE_BRIDGE_VERIFY_SEEDS  default "1 2 3 4"
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh
export PG_CONFIG
export OBSERVE_BRIDGE_VERIFY_SIZES=${OBSERVE_BRIDGE_VERIFY_SIZES:-S M L}
export OBSERVE_BRIDGE_VERIFY_SEEDS=${OBSERVE_BRIDGE_VERIFY_SEEDS:-1 2 3 4}

shared=${OBSERVE_BRIDGE_SHARED:-$PWD/../shared}
if [ ! -f "$shared/bench/gen_window.py" ]; then
  ok "verify skipped: no $shared/bench/gen_window.py (set OBSERVE_BRIDGE_SHARED)"
  exit 0
fi
OBSERVE_BRIDGE_SHARED=$(cd "$shared" && pwd)
export OBSERVE_BRIDGE_SHARED
make_venv
scripts/install.sh
step "sizes $OBSERVE_BRIDGE_VERIFY_SIZES, seeds $OBSERVE_BRIDGE_VERIFY_SEEDS"
cargo test --quiet --package observe-bridge-blackbox --test cluster -- --nocapture verify::
