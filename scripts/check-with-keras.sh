#!/bin/sh
# Exchanges model files with the real Keras, both ways. It is installed into target/keras-venv unless KERAS_PYTHON names a
# Python that has it.
set -eu
cd "$(dirname "$0")/.."
if [ -z "${KERAS_PYTHON:-}" ]; then
    venv=target/keras-venv
    [ -x "$venv/bin/python" ] || python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet keras==3.15.1 jax tensorflow-cpu h5py safetensors
    KERAS_PYTHON="$venv/bin/python"
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cargo run --quiet --package keras --example exchange_models -- write "$folder/ours"
status=0
KERAS_BACKEND=jax TF_CPP_MIN_LOG_LEVEL=3 "$KERAS_PYTHON" scripts/check_with_keras.py "$folder/ours" "$folder/theirs" || status=1
# What is written for older programs, each of which comes into a folder of its own. They run on TensorFlow: today's JAX lacks
# functions that old Keras calls.
export TF_CPP_MIN_LOG_LEVEL=3
for older in tf-keras==2.21.0 keras==3.0.5 keras==3.3.3 keras==3.6.0; do
    installed=target/$(echo "$older" | tr = -)
    [ -d "$installed" ] || "$KERAS_PYTHON" -m pip install --quiet --no-deps --target "$installed" "$older" dm-tree
    version=${older##*=}
    program=keras-${version%.*}
    [ "$version" != 2.21.0 ] || program=tf-keras
    PYTHONPATH="$installed" KERAS_BACKEND=tensorflow "$KERAS_PYTHON" scripts/check_with_older_keras.py "$program" "$folder/ours" ||
        status=1
done
cargo run --quiet --package keras --example exchange_models -- read "$folder/theirs" || status=1
exit $status
