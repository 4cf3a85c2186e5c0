# Shared by the scripts of this folder. Sourced, from the top of the checkout.
PG_MAJOR=17
PGRX_VERSION=0.18.1
PG_CONFIG=${PG_CONFIG:-/usr/lib/postgresql/$PG_MAJOR/bin/pg_config}
LOGS=$PWD/target/logs
mkdir -p "$LOGS"

step() { printf '==> %s\n' "$*"; }
ok()   { printf ' ok %s\n' "$*"; }
die()  { printf 'error: %s\n' "$*" >&2; exit 1; }

# The Python of the workloads with exact truth.
make_venv() {
  [ -n "${OBSERVE_BRIDGE_SHARED:-}" ] || { ok "no shared test data: the tests that need it will be skipped"; return 0; }
  [ -e target/venv/ready ] && return 0
  step "target/venv for the workloads"
  { python3 -m venv target/venv &&
    target/venv/bin/pip install --quiet orjson numpy pyarrow 'psycopg[binary]' &&
    touch target/venv/ready; } >"$LOGS/venv.log" 2>&1 ||
    { rm -rf target/venv; ok "no Python for the workloads (see $LOGS/venv.log): the tests that need it will be skipped"; }
}
