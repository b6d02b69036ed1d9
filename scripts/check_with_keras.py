"""Reads models written by `exchange_models write`, trains them on, and writes them for `exchange_models read`.

Usage: check_with_keras.py FROM TO

Some models Keras cannot read back from HDF5 even if it wrote the file itself. Where it fails with a file of ours, its own file
of the same model is tried: the same error there is told apart from a failure.
"""

import pathlib
import sys
import tempfile

import keras
import numpy as np
from exchanged import numbered, targets_for
from safetensors.numpy import load_file, save_file


def load(path, extension):
    if extension != "weights.h5":
        return keras.models.load_model(path.with_suffix("." + extension))
    model = keras.models.model_from_json(path.with_suffix(".json").read_text())
    model.load_weights(path.with_suffix(".weights.h5"))
    return model


def flat(value):
    return [np.asarray(x) for x in keras.tree.flatten(value)]


def predict(model, inputs):
    return flat(model.predict(inputs if len(inputs) > 1 else inputs[0], verbose=0))


def own_h5_error(model):
    """What goes wrong when Keras writes a model to HDF5 and reads it; None if nothing does."""
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/own.h5"
        try:
            model.save(path)
            keras.models.load_model(path)
        except Exception as error:
            return f"{type(error).__name__}: {error}"
    return None


def check(path, target):
    """Checks one model; what Keras cannot do with its own files of it either, as text, or None."""
    arrays = load_file(path)
    inputs, expected = numbered(arrays, "x"), numbered(arrays, "y")
    limit = None
    for extension in ["keras", "h5", "weights.h5"]:
        try:
            model = load(path, extension)
        except Exception as error:
            if extension != "h5" or own_h5_error(trained) != f"{type(error).__name__}: {error}":
                raise
            limit = f"reads no .h5 of it: {str(error)[:60]}"
            continue
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
    targets = targets_for(trained._compile_config.config.get("loss"), expected)
    if targets and trained.trainable_variables:
        history = trained.fit(
            inputs if len(inputs) > 1 else inputs[0],
            targets if len(targets) > 1 else targets[0],
            epochs=2,
            verbose=0,
        )
        assert np.isfinite(history.history["loss"]).all(), "training does not go on"
    stem = target / path.stem
    trained.save(f"{stem}.keras")
    try:
        trained.save(f"{stem}.h5")
    except Exception as error:
        # A file that Keras began and could not write; it is not to be read here.
        pathlib.Path(f"{stem}.h5").unlink(missing_ok=True)
        limit = f"writes no .h5 of it: {type(error).__name__}: {str(error)[:60]}"
    trained.save_weights(f"{stem}.weights.h5")
    pathlib.Path(f"{stem}.json").write_text(trained.to_json())
    outputs = predict(trained, inputs)
    named = {f"x{i}": x for i, x in enumerate(inputs)} | {f"y{i}": y for i, y in enumerate(outputs)}
    save_file({k: np.ascontiguousarray(v) for k, v in named.items()}, f"{stem}.safetensors")
    return limit


def main(source, target):
    target.mkdir(parents=True, exist_ok=True)
    paths, failures, limits = sorted(source.glob("*.safetensors")), 0, 0
    for path in paths:
        try:
            limit = check(path, target)
            if limit:
                limits += 1
                print(f"  {path.stem}: as the real Keras, which {limit}", flush=True)
        except Exception as error:
            failures += 1
            print(f"  {path.stem}: FAILED: {type(error).__name__}: {str(error)[:600]}", flush=True)
    print(f"{len(paths)} models read by Keras {keras.__version__}: {limits} not in .h5, as its own files; {failures} fail")
    return 1 if failures or not paths else 0


if __name__ == "__main__":
    sys.exit(main(*map(pathlib.Path, sys.argv[1:])))
