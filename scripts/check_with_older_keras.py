"""Reads models that `exchange_models write` wrote for older programs, compares predictions, and trains them on.

Usage: check_with_older_keras.py tf-keras|keras-3.0 FROM
"""

import pathlib
import sys

import numpy as np
from safetensors.numpy import load_file

program, source = sys.argv[1], pathlib.Path(sys.argv[2])
if program == "tf-keras":
    import tf_keras as keras

    extension = "tf-keras.h5"
else:
    import keras

    extension = "keras-3.0.keras"


def numbered(arrays, letter):
    return [arrays[f"{letter}{i}"] for i in range(sum(k[0] == letter and k[1:].isdigit() for k in arrays))]


def flat(value):
    return list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else [value]


def check(path, file):
    arrays = load_file(path)
    inputs, expected = numbered(arrays, "x"), numbered(arrays, "y")
    given = inputs if len(inputs) > 1 else inputs[0]
    model = keras.models.load_model(file)
    got = flat(model.predict(given, verbose=0))
    assert len(got) == len(expected), f"{len(got)} outputs, expected {len(expected)}"
    for g, e in zip(got, expected):
        np.testing.assert_allclose(g, e, rtol=1e-5, atol=1e-5)
    if getattr(model, "optimizer", None) is None:
        return
    steps = int(np.array(model.optimizer.iterations))
    assert steps == arrays["steps"], f"{steps} steps, expected {arrays['steps']}"
    if model.trainable_weights and all(np.issubdtype(e.dtype, np.floating) for e in expected):
        targets = [e + 0.5 for e in expected]
        history = model.fit(given, targets if len(targets) > 1 else targets[0], epochs=2, verbose=0)
        assert np.isfinite(history.history["loss"]).all(), "training does not go on"


paths = [(p, p.with_name(f"{p.stem}.{extension}")) for p in sorted(source.glob("*.safetensors"))]
paths = [(path, file) for path, file in paths if file.exists()]
failures = 0
for path, file in paths:
    try:
        check(path, file)
    except Exception as error:
        failures += 1
        print(f"  {path.stem}: {type(error).__name__}: {str(error)[:600]}")
print(f"{len(paths)} models read by {program} ({keras.__version__}), {failures} fail")
sys.exit(1 if failures or not paths else 0)
