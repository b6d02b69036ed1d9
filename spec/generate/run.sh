#!/usr/bin/env bash
# Regenerates everything below spec/vectors, and the fixtures of crates that come from the real Keras, in a virtual
# environment of pinned versions. A second run writes the same bytes. `run.sh layers` runs one generator only.
set -euo pipefail
cd "$(dirname "$0")"
venv=${KERAS_VENV:-../../.venv}
if [ ! -x "$venv/bin/python" ]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet -r requirements.txt
    # Without its dependencies: it asks for `tensorflow`, and `tensorflow-cpu` is there.
    "$venv/bin/pip" install --quiet --no-deps tf-keras==2.21.0
fi
export KERAS_BACKEND=jax JAX_PLATFORMS=cpu TF_CPP_MIN_LOG_LEVEL=3 PYTHONHASHSEED=0 PYTHONDONTWRITEBYTECODE=1
# How many threads share a sum decides its last bits.
export XLA_FLAGS="--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
# Nearly all the time goes into compiling small programs; a second run takes them from here.
export JAX_COMPILATION_CACHE_DIR=${JAX_COMPILATION_CACHE_DIR:-$(realpath "$venv")/jax-cache}
export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0 JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES=-1
generators=("$@")
if [ ${#generators[@]} -eq 0 ]; then
    generators=(ops measure_ulp layers special_values capture check_coverage losses metrics optimizers capture_objects initializers regularizers
        activations random_ops models graph_operations layer_models dimension_files tf_keras_models seeded_models configs kinks promotion_table
        random_numbers api)
fi
for generator in "${generators[@]}"; do
    "$venv/bin/python" "$generator.py"
done
