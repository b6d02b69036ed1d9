#!/bin/sh
# Exchanges model files with the real Keras, both ways. It is installed into target/keras-venv unless KERAS_PYTHON names a
# Python that has it.
set -eu
cd "$(dirname "$0")/.."
if [ -z "${KERAS_PYTHON:-}" ]; then
    venv=target/keras-venv
    [ -x "$venv/bin/python" ] || python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet keras==3.15.1 jax tensorflow-cpu tf-keras==2.21.0 h5py safetensors
    KERAS_PYTHON="$venv/bin/python"
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cargo run --quiet --package keras --example exchange_models -- write "$folder/ours"
status=0
KERAS_BACKEND=jax TF_CPP_MIN_LOG_LEVEL=3 "$KERAS_PYTHON" scripts/check_with_keras.py "$folder/ours" "$folder/theirs" || status=1
# What is written for older programs: tf-keras is in the same environment, an older Keras 3 comes into a folder.
older=target/keras-3.0.5
[ -d "$older" ] || "$KERAS_PYTHON" -m pip install --quiet --no-deps --target "$older" keras==3.0.5 dm-tree
export TF_CPP_MIN_LOG_LEVEL=3
"$KERAS_PYTHON" scripts/check_with_older_keras.py tf-keras "$folder/ours" || status=1
PYTHONPATH="$older" KERAS_BACKEND=jax "$KERAS_PYTHON" scripts/check_with_older_keras.py keras-3.0 "$folder/ours" || status=1
cargo run --quiet --package keras --example exchange_models -- read "$folder/theirs" || status=1
exit $status
