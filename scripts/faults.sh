#!/usr/bin/env bash
# The fault matrix: each fault, at each kind of source, at the first, a middle and the last page; prints the tables of
# docs/faults.md (pgrx-tests/tests/cluster/fault_matrix.rs). Fails if a record is lost or doubled, or a window does anything else
# than it should.
#   scripts/faults.sh [--installed]     with --installed the extension in PG_CONFIG's PostgreSQL is taken as it is
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh
export PG_CONFIG
export OBSERVE_BRIDGE_FAULTS=all
export OBSERVE_BRIDGE_FAULT_TABLES=$PWD/target/faults

[ "${1:-}" = --installed ] || scripts/install.sh
rm -rf "$OBSERVE_BRIDGE_FAULT_TABLES"
mkdir -p "$OBSERVE_BRIDGE_FAULT_TABLES"
step "building the test"
test=(cargo test --quiet --package observe-bridge-blackbox --test cluster)
"${test[@]}" --no-run
step "faults, kinds of sources, places (some minutes)"
SECONDS=0 status=0
# Each kind has a cluster of its own, which mostly waits.
"${test[@]}" -- fault_matrix:: --test-threads 5 >"$LOGS/faults.log" 2>&1 || status=$?
for table in "$OBSERVE_BRIDGE_FAULT_TABLES"/*.txt; do
  [ -e "$table" ] && echo && cat "$table"
done
# The line below each table: CELLS cells, WRONG wrong: LOST records lost, DOUBLED doubled
total=$({ cat "$OBSERVE_BRIDGE_FAULT_TABLES"/*.txt 2>/dev/null || true; } | awk '/^  [0-9]+ cells, / { c += $1; w += $3; l += $5; d += $8; kinds++ }
  END { printf "total: %d kinds of sources, %d cells, %d wrong: %d records lost, %d doubled", kinds, c, w, l, d }')
printf '\n%s; %d s\n' "$total" "$SECONDS"
if [ "$status" != 0 ]; then
  # What is wrong with which cell.
  grep -E ' lost, [0-9]+ doubled; |panicked at' "$LOGS/faults.log" >&2 || tail -n 30 "$LOGS/faults.log" >&2
  die "the fault matrix does not hold, see $LOGS/faults.log"
fi
ok "nothing lost, nothing double"
