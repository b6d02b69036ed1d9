#!/usr/bin/env bash
# What a stranger does: proves the backend, and trains a model on it.
set -euo pipefail
cd "$(dirname "$0")"
cargo test
cargo run --example train
