"""Reads models written by `exchange_models write`, trains them on and compares where that leads, and writes them for
`exchange_models read`.

Usage: check_with_keras.py FROM TO

Some models Keras cannot read back from HDF5 even if it wrote the file itself. Where it fails with a file of ours, its own file
of the same model is tried: the same error there is told apart from a failure.
"""

import pathlib
import re
import sys
import tempfile

import keras
import numpy as np
from exchanged import check_training, compare, models, numbered, one_or_list, predict
from safetensors.numpy import load_file, save_file

# What the real Keras does not run on TensorFlow, by the message that it fails with.
NOT_ON_TENSORFLOW = {"operations-reductions": "'<=' not supported between instances of 'int' and 'list'"}


def load(path, extension):
    if extension != "weights.h5":
        return keras.models.load_model(path.with_suffix("." + extension))
    model = keras.models.model_from_json(path.with_suffix(".json").read_text())
    model.load_weights(path.with_suffix(".weights.h5"))
    return model


def own_h5_error(model):
    """What goes wrong when Keras writes a model to HDF5 and reads it; None if nothing does."""
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/own.h5"
        try:
            model.save(path)
            keras.models.load_model(path)
        except Exception as error:
            return said(error)
    return None


def said(error):
    """An error as text, but for which of the operations in a graph is the first that Keras knows no layer for."""
    return re.sub(r"Unknown layer: '\w+'", "Unknown layer", f"{type(error).__name__}: {error}")


def check(path, target):
    """Checks one model: whether it was trained on from where it stopped, and what Keras cannot do with its own files of it
    either, as text, or None."""
    arrays = load_file(path)
    inputs, expected = numbered(arrays, "x"), numbered(arrays, "y")
    limit = None
    for extension in ["keras", "h5", "weights.h5"]:
        try:
            model = load(path, extension)
        except Exception as error:
            if extension != "h5" or own_h5_error(trained) != said(error):
                raise
            limit = f"reads no .h5 of it: {str(error)[:60]}"
            continue
        compare(predict(model, inputs), expected, extension)
        if extension == "keras":
            trained = model
    # Not from .h5: Keras 3.15.1 builds the optimizer of such a file for no weights, whoever wrote it.
    goes_on = check_training(trained, arrays, path.stem, keras.__version__)
    if not trained.compiled and trained.trainable_variables and all(y.dtype.kind == "f" for y in expected):
        trained.compile("sgd", "mse")
        targets = one_or_list([y + 0.5 for y in expected])
        history = trained.fit(one_or_list(inputs), targets, epochs=2, verbose=0)
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
    return goes_on, limit


def main(source, target):
    target.mkdir(parents=True, exist_ok=True)
    paths, trained, failures, limits = models(source), 0, 0, 0
    for path in paths:
        try:
            goes_on, limit = check(path, target)
            trained += goes_on
            if limit:
                limits += 1
                print(f"  {path.stem}: as the real Keras, which {limit}", flush=True)
        except Exception as error:
            if NOT_ON_TENSORFLOW.get(path.stem, "\0") in str(error):
                limits += 1
                print(f"  {path.stem}: as the real Keras, which has no softmax over several axes on TensorFlow", flush=True)
                continue
            failures += 1
            print(f"  {path.stem}: FAILED: {type(error).__name__}: {str(error)[:600]}", flush=True)
    print(
        f"{len(paths)} models read by Keras {keras.__version__}, {trained} trained on: {limits} not all, as its own files; "
        f"{failures} fail"
    )
    return 1 if failures or not trained else 0


if __name__ == "__main__":
    sys.exit(main(*map(pathlib.Path, sys.argv[1:])))
