# Shared by the scripts of this folder. Sourced, from the top of the checkout.
PG_MAJOR=17
PGRX_VERSION=0.18.1
PG_CONFIG=${PG_CONFIG:-/usr/lib/postgresql/$PG_MAJOR/bin/pg_config}
LOGS=$PWD/target/logs
mkdir -p "$LOGS"

step() { printf '==> %s\n' "$*"; }
ok()   { printf ' ok %s\n' "$*"; }
die()  { printf 'error: %s\n' "$*" >&2; exit 1; }
