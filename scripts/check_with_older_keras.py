"""Reads models that `exchange_models write` wrote for older programs, compares predictions, and trains them on.

Usage: check_with_older_keras.py PROGRAM FROM, where PROGRAM is tf-keras, or a version of Keras 3 that is installed.

Models that the writer refused, since the program cannot have them, are listed with the reason.
"""

import pathlib
import sys

import numpy as np
from exchanged import numbered, targets_for
from safetensors.numpy import load_file

program, source = sys.argv[1], pathlib.Path(sys.argv[2])
if program == "tf-keras":
    import tf_keras as keras

    extension = "tf-keras.h5"
else:
    import keras

    extension = f"{program}.keras"


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
    targets = targets_for(model.loss, expected)
    if targets and model.trainable_weights:
        history = model.fit(given, targets if len(targets) > 1 else targets[0], epochs=2, verbose=0)
        assert np.isfinite(history.history["loss"]).all(), "training does not go on"


read, failures, refused, missing = 0, 0, [], []
for path in sorted(source.glob("*.safetensors")):
    file = path.with_name(f"{path.stem}.{extension}")
    why = file.with_name(f"{file.name}.refused")
    if why.exists():
        refused.append(f"{path.stem}: {why.read_text()}")
        continue
    if not file.exists():
        missing.append(path.stem)
        continue
    read += 1
    try:
        check(path, file)
    except Exception as error:
        failures += 1
        print(f"  {path.stem}: FAILED: {type(error).__name__}: {str(error)[:600]}", flush=True)
for line in refused:
    print(f"  not written for {program}: {line}")
for name in missing:
    print(f"  {name}: FAILED: neither written nor refused")
print(f"{read} models read by {program} ({keras.__version__}), {failures} fail; {len(refused)} are refused")
sys.exit(1 if failures or missing or not read else 0)
