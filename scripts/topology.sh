#!/usr/bin/env bash
# Precision and recall of the topology extractors over a folder of real files with the expected edges beside them.
#   scripts/topology.sh [FOLDER]      default ../shared/topology
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh
FOLDER=${1:-../shared/topology}

if [ ! -d "$FOLDER" ]; then
  ok "topology: skipped, no folder $FOLDER (name one: make topology TOPOLOGY=<folder>)"
  exit 0
fi
cargo run --quiet --package observe-bridge-engine --example topology_score -- "$FOLDER"
cargo run --quiet --package observe-bridge-engine --example ansible_score -- "$FOLDER"
