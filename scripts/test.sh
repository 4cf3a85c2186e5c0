#!/usr/bin/env bash
# Engine tests (no PostgreSQL), then black-box tests against the release extension in private clusters.
# What is installed for them, and stays, is a test build: the release with fault points. Ends with the test runner's own
# summary.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh
export PG_CONFIG

# Test data that is not part of the repository: $OBSERVE_BRIDGE_SHARED, else ../shared. Without it those tests say
# that they are skipped, and pass.
shared=${OBSERVE_BRIDGE_SHARED:-$PWD/../shared}
[ -d "$shared" ] && OBSERVE_BRIDGE_SHARED=$(cd "$shared" && pwd) && export OBSERVE_BRIDGE_SHARED

# The full size of the large object (pgrx-tests/tests/cluster/large_objects.rs).
export OBSERVE_BRIDGE_LARGE_ROWS=2000000

make_venv
scripts/install.sh fault-points
ok "a test build is installed now: make install puts the ordinary one in its place"
step "engine tests and black-box tests"
# Two at a time: each black-box test runs a cluster of its own, and several are about who waits for whom.
if cargo nextest --version >/dev/null 2>&1; then
  # It runs no examples in comments.
  cargo test --package observe-bridge-engine --doc --quiet
  cargo nextest run --package observe-bridge-engine --package observe-bridge-blackbox --no-fail-fast --test-threads 2
else
  status=0
  cargo test --package observe-bridge-engine --package observe-bridge-blackbox --no-fail-fast -- --test-threads 2 2>&1 |
    tee "$LOGS/test.log" || status=$?
  # One line for all, as each test binary has its own.
  awk '/^test result:/ { passed += $4; failed += $6 } END { printf "Summary: %d passed, %d failed\n", passed, failed }' "$LOGS/test.log"
  exit "$status"
fi
