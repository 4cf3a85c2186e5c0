#!/usr/bin/env bash
# Formatting, clippy without warnings, shell scripts that parse.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh

step "cargo fmt --check"
cargo fmt --all --check
step "cargo clippy"
cargo clippy --workspace --all-targets --quiet -- -D warnings
cargo clippy --package observe_bridge --features fault-points --all-targets --quiet -- -D warnings
step "engine/fuzz"
cargo fmt --check --manifest-path engine/fuzz/Cargo.toml
CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target} cargo clippy --manifest-path engine/fuzz/Cargo.toml --locked --quiet -- -D warnings
step "shell scripts"
for script in scripts/*.sh .ci/run; do bash -n "$script"; done
ok "lint"
