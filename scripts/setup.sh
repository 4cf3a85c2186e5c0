#!/usr/bin/env bash
# Installs what the build and the tests need and is not there yet: PostgreSQL 17 with AGE, TimescaleDB, pgvector and
# pg_cron from Debian trixie, and cargo-pgrx. Idempotent: on a machine that has everything it only checks (below 1 s).
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh

PACKAGES=(postgresql-17 postgresql-17-age postgresql-17-timescaledb postgresql-17-pgvector postgresql-17-cron
          postgresql-server-dev-17 libclang-dev)
# What the build and the tests themselves call.
TOOLS=(build-essential pkg-config python3-venv sudo)

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null; then sudo "$@"
  else die "not root and sudo is not installed: cannot run '$1'. Install the packages as root: ${PACKAGES[*]} ${TOOLS[*]}"
  fi
}

missing_packages() {
  local p
  for p in "$@"; do
    dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || echo "$p"
  done
}

# On bookworm the packages come from trixie: the machine's own apt source with the suite renamed, at a priority below
# that of the installed release, so that nothing else is upgraded.
add_trixie() {
  local src=/etc/apt/sources.list.d/observe-bridge-trixie.sources base uris key
  [ -e "$src" ] && return
  base=$(grep -lsE '^Suites:.*\bbookworm\b' /etc/apt/sources.list.d/*.sources | head -n1 || true)
  if [ -n "$base" ]; then
    uris=$(awk '/^URIs:/ {u=$2} /^Suites:.*(^| )bookworm( |$)/ {print u; exit}' "$base")
    key=$(awk '/^Signed-By:/ {print $2; exit}' "$base")
  else
    uris=$(awk '$1=="deb" { for (i=2;i<=NF;i++) if ($i=="bookworm") {print $(i-1); exit} }' /etc/apt/sources.list 2>/dev/null || true)
    key=/usr/share/keyrings/debian-archive-keyring.gpg
  fi
  [ -n "$uris" ] || die "no Debian bookworm apt source found to derive the trixie one from. Add a trixie source yourself, then run this again."
  step "adding Debian trixie as a low-priority apt source"
  printf 'Types: deb\nURIs: %s\nSuites: trixie\nComponents: main\nSigned-By: %s\n' "$uris" "${key:-/usr/share/keyrings/debian-archive-keyring.gpg}" |
    as_root tee "$src" >/dev/null
  printf 'Package: *\nPin: release n=trixie\nPin-Priority: 100\n' |
    as_root tee /etc/apt/preferences.d/observe-bridge-trixie >/dev/null
}

apt_install() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends \
    -o Dpkg::Options::=--force-confold "$@" >>"$LOGS/apt.log" 2>&1
}

install_packages() {
  local tools packages codename
  tools=$(missing_packages "${TOOLS[@]}")
  packages=$(missing_packages "${PACKAGES[@]}")
  [ -z "$tools$packages" ] && { ok "PostgreSQL $PG_MAJOR, AGE, TimescaleDB, pgvector, pg_cron are installed"; return; }
  [ -r /etc/os-release ] || die "this is not Debian: install PostgreSQL $PG_MAJOR with its development files, AGE, TimescaleDB, pgvector and pg_cron by hand"
  codename=$(. /etc/os-release; echo "${VERSION_CODENAME:-}")
  case "$codename" in
    bookworm) add_trixie ;;
    trixie) ;;
    *) die "Debian 12 (bookworm) or 13 (trixie) is needed, this is '${codename:-unknown}'. Install PostgreSQL $PG_MAJOR and its extensions by hand, then run this again" ;;
  esac
  step "apt-get update"
  as_root apt-get -qq update || die "apt-get update failed: check the machine's apt sources"
  : >"$LOGS/apt.log"
  # The tools come from the machine's own release where that still fits together, so that no compiler is upgraded.
  if [ -n "$tools" ]; then
    step "apt-get install: $(echo $tools)"
    apt_install $tools || apt_install -t trixie $tools ||
      { tail -n 20 "$LOGS/apt.log" >&2; die "apt-get install failed, see $LOGS/apt.log"; }
  fi
  if [ -n "$packages" ]; then
    # Debian's default is to create and start a cluster on port 5432 at install; we never touch the system cluster.
    if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
      as_root mkdir -p /etc/postgresql-common
      printf 'create_main_cluster = false\n' | as_root tee /etc/postgresql-common/createcluster.conf >/dev/null
    fi
    step "apt-get install: $(echo $packages)   (about 1 minute)"
    apt_install -t trixie "${PACKAGES[@]}" ||
      { tail -n 20 "$LOGS/apt.log" >&2; die "apt-get install failed, see $LOGS/apt.log"; }
  fi
  ok "PostgreSQL $PG_MAJOR and its extensions installed"
}

install_pgrx() {
  command -v cargo >/dev/null || die "no Rust toolchain: install stable Rust (rustup) first"
  if [ "$(cargo pgrx --version 2>/dev/null | awk '{print $2}')" != "$PGRX_VERSION" ]; then
    step "cargo install cargo-pgrx $PGRX_VERSION   (about 4 minutes)"
    cargo install --quiet cargo-pgrx --version "$PGRX_VERSION" --locked || die "cargo install cargo-pgrx failed"
  fi
  ok "cargo-pgrx $PGRX_VERSION"
  if ! grep -qs "$PG_CONFIG" "${PGRX_HOME:-$HOME/.pgrx}/config.toml"; then
    step "cargo pgrx init"
    cargo pgrx init "--pg$PG_MAJOR=$PG_CONFIG" >"$LOGS/pgrx-init.log" 2>&1 ||
      { tail -n 20 "$LOGS/pgrx-init.log" >&2; die "cargo pgrx init failed"; }
  fi
}

install_packages
install_pgrx
