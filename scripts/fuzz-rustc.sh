#!/usr/bin/env bash
# RUSTC_WRAPPER of scripts/fuzz.sh: the engine and its fuzz targets get the counters of edges and comparisons that guide
# libFuzzer, as cargo-fuzz sets them but for the sanitizers that need nightly Rust. Dependencies go without, so they are
# those of the tests and are not built once more.
case "${CARGO_MANIFEST_DIR:-}" in
  */engine | */engine/fuzz)
    set -- "$@" -Cpasses=sancov-module
    for flag in level=4 inline-8bit-counters pc-table trace-compares; do
      set -- "$@" "-Cllvm-args=-sanitizer-coverage-$flag"
    done
    ;;
esac
exec "$@"
