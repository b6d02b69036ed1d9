#!/usr/bin/env bash
# Trains, saves, loads in another program, and trains on.
set -euo pipefail
cd "$(dirname "$0")"
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
cargo run --quiet --bin train -- "$folder/model.keras"
cargo run --quiet --bin resume -- "$folder/model.keras"
