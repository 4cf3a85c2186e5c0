#!/usr/bin/env bash
# Builds the release and installs it into the PostgreSQL of PG_CONFIG (default: PostgreSQL 17 of Debian).
#   scripts/install.sh [FEATURE...]
# With the feature fault-points it is a test build (src/backend/fault.rs): not for production.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh

[ -x "$PG_CONFIG" ] || die "$PG_CONFIG is not there: name another with PG_CONFIG=..."
flags=()
[ -w "$("$PG_CONFIG" --pkglibdir)" ] || flags+=(--sudo)
features="pg$("$PG_CONFIG" --version | sed -E 's/^PostgreSQL ([0-9]+).*/\1/') $*"
step "building and installing into $("$PG_CONFIG" --pkglibdir)${*:+, with $*}"
cargo pgrx install --release --no-default-features --features "$features" --pg-config "$PG_CONFIG" "${flags[@]}" \
  >"$LOGS/install.log" 2>&1 || { tail -n 30 "$LOGS/install.log" >&2; die "cargo pgrx install failed, see $LOGS/install.log"; }
ok "observe_bridge installed"
