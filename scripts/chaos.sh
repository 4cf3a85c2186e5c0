#!/usr/bin/env bash
# Random crashes: kill -9 of runners, of the scheduler, of the launcher, and immediate shutdowns, each while a process
# stands at a random step of its way; after each, every window must be there exactly once (pgrx-tests/tests/cluster/chaos.rs).
#   OBSERVE_BRIDGE_CHAOS_ROUNDS  rounds, 200 if unset; below 1 s each
#   OBSERVE_BRIDGE_CHAOS_SEED    the seed of an earlier run, to repeat it
# The test build it needs is installed for as long as it runs; afterwards the ordinary build is installed again.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh
export PG_CONFIG
export OBSERVE_BRIDGE_CHAOS_ROUNDS=${OBSERVE_BRIDGE_CHAOS_ROUNDS:-200}

restore() {
  local status=$?
  scripts/install.sh || printf 'error: a test build of observe_bridge is still installed: run make install\n' >&2
  exit "$status"
}
trap restore EXIT
scripts/install.sh fault-points
step "$OBSERVE_BRIDGE_CHAOS_ROUNDS rounds of crashes"
cargo test --quiet --package observe-bridge-blackbox --test cluster -- --nocapture chaos::random_crashes
