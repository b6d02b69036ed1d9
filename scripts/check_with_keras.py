"""Reads models written by `exchange_models write`, trains them on, and writes them for `exchange_models read`.

Usage: check_with_keras.py FROM TO
"""

import pathlib
import sys

import keras
import numpy as np
from safetensors.numpy import load_file, save_file


def load(path, extension):
    if extension != "weights.h5":
        return keras.models.load_model(path.with_suffix("." + extension))
    model = keras.models.model_from_json(path.with_suffix(".json").read_text())
    model.load_weights(path.with_suffix(".weights.h5"))
    return model


def flat(value):
    return [np.asarray(x) for x in keras.tree.flatten(value)]


def numbered(arrays, letter):
    return [arrays[f"{letter}{i}"] for i in range(sum(k[0] == letter and k[1:].isdigit() for k in arrays))]


def predict(model, inputs):
    return flat(model.predict(inputs if len(inputs) > 1 else inputs[0], verbose=0))


def check(path, target):
    arrays = load_file(path)
    inputs, expected = numbered(arrays, "x"), numbered(arrays, "y")
    for extension in ["keras", "h5", "weights.h5"]:
        model = load(path, extension)
        got = predict(model, inputs)
        assert len(got) == len(expected), f"{extension}: {len(got)} outputs, expected {len(expected)}"
        for g, e in zip(got, expected):
            np.testing.assert_allclose(g, e, rtol=1e-5, atol=1e-5, err_msg=extension)
        if extension == "keras":
            trained = model
    was_compiled = trained.compiled
    if was_compiled:
        steps = int(trained.optimizer.iterations)
        assert steps == arrays["steps"], f"{steps} steps, expected {arrays['steps']}"
    else:
        trained.compile("sgd", "mse")
    # What it predicts is what it must learn, but for a shift: enough for gradients.
    if any(np.issubdtype(e.dtype, np.floating) for e in expected) and trained.trainable_variables:
        loss = trained._compile_config.config.get("loss") if was_compiled else "mse"
        if loss == "mse" or not was_compiled:
            targets = [e + 0.5 for e in expected]
            history = trained.fit(
                inputs if len(inputs) > 1 else inputs[0],
                targets if len(targets) > 1 else targets[0],
                epochs=2,
                verbose=0,
            )
            assert np.isfinite(history.history["loss"]).all(), "training does not go on"
    stem = target / path.stem
    trained.save(f"{stem}.keras")
    trained.save(f"{stem}.h5")
    trained.save_weights(f"{stem}.weights.h5")
    pathlib.Path(f"{stem}.json").write_text(trained.to_json())
    outputs = predict(trained, inputs)
    named = {f"x{i}": x for i, x in enumerate(inputs)} | {f"y{i}": y for i, y in enumerate(outputs)}
    save_file({k: np.ascontiguousarray(v) for k, v in named.items()}, f"{stem}.safetensors")


def main(source, target):
    target.mkdir(parents=True, exist_ok=True)
    paths, failures = sorted(source.glob("*.safetensors")), 0
    for path in paths:
        try:
            check(path, target)
        except Exception as error:
            failures += 1
            print(f"  {path.stem}: {type(error).__name__}: {str(error)[:600]}")
    print(f"{len(paths)} models read by Keras {keras.__version__}, {failures} fail")
    return 1 if failures or not paths else 0


if __name__ == "__main__":
    sys.exit(main(*map(pathlib.Path, sys.argv[1:])))
