#!/usr/bin/env bash
# Runs the fuzz targets of engine/fuzz, each for FUZZ_SECONDS (60), with stable Rust: libFuzzer, guided by coverage.
#   FUZZ_SECONDS=N scripts/fuzz.sh [TARGET...]
# What was learned is kept in target/fuzz/corpus, and a run starts from it. An input that breaks a target is written to
# target/fuzz/findings; `target/debug/fuzz_TARGET FILE` repeats it. Its cause is mended in the engine and kept there as a
# test that spells the input.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh

SECONDS_EACH=${FUZZ_SECONDS:-60}
folder=${CARGO_TARGET_DIR:-$PWD/target}/fuzz
programs=${CARGO_TARGET_DIR:-$PWD/target}/debug
targets=("$@")
[ $# -gt 0 ] || targets=($(basename -s .rs engine/fuzz/targets/*.rs | grep -v '^seeds$'))

command -v c++ >/dev/null || die "no C++ compiler for libFuzzer: run make setup first"
step "building the fuzz targets"
export RUSTC_WRAPPER=$PWD/scripts/fuzz-rustc.sh CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}
cargo build --quiet --locked --manifest-path engine/fuzz/Cargo.toml --lib --bins
"$programs/fuzz_seeds" "$folder/seeds"

mkdir -p "$folder/findings"
failed=0
for target in "${targets[@]}"; do
  [ -x "$programs/fuzz_$target" ] || die "no fuzz target '$target' in engine/fuzz/targets"
  mkdir -p "$folder/corpus/$target" "$folder/seeds/$target"
  step "$target, $SECONDS_EACH s"
  status=0
  RUST_BACKTRACE=0 "$programs/fuzz_$target" "$folder/corpus/$target" "$folder/seeds/$target" -max_total_time="$SECONDS_EACH" -max_len=8192 \
    -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix="$folder/findings/$target-" \
    >"$LOGS/fuzz-$target.log" 2>&1 || status=$?
  runs=$(awk '/number_of_executed_units/ {print $2}' "$LOGS/fuzz-$target.log")
  if [ "$status" = 0 ]; then
    ok "$target: $runs runs, nothing found"
  else
    failed=1
    grep -aE -A1 'panicked at|ERROR: libFuzzer|Test unit written' "$LOGS/fuzz-$target.log" | grep -av '^--' >&2 || true
    printf 'error: %s found something, see %s\n' "$target" "$LOGS/fuzz-$target.log" >&2
  fi
done
exit "$failed"
