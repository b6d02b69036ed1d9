"""Writes cases of kind `model`: files as the real Keras saves them, with predictions and training runs."""

import contextlib
import datetime
import time
import types
import zipfile
from unittest import mock

import keras
import numpy as np
import vectors
from keras.src.saving import saving_lib, serialization_lib
from precision import exact_arithmetic, rounding_tolerance

SAVED_AT = datetime.datetime(2026, 1, 1)


@contextlib.contextmanager
def same_bytes():
    """Pins what would differ from run to run: dates in archives and memory addresses as object ids."""
    seen = []

    def number(obj):
        if not any(obj is other for other in seen):
            seen.append(obj)
        return 1 + next(i for i, other in enumerate(seen) if obj is other)

    clock = types.SimpleNamespace(localtime=lambda *_: SAVED_AT.timetuple(), time=time.time)
    dates = types.SimpleNamespace(datetime=types.SimpleNamespace(now=lambda: SAVED_AT))
    with (
        mock.patch.object(zipfile, "time", clock),
        mock.patch.object(saving_lib, "datetime", dates),
        mock.patch.object(serialization_lib, "id", number, create=True),
    ):
        yield


def randomize(model, key):
    """Weights that no initializer would give, positive where they are a spread."""
    for i, weight in enumerate(model.weights):
        spread = any(word in weight.path.split("/")[-1] for word in ("variance", "gamma"))
        low, high = (0.5, 1.5) if spread else (-0.5, 0.5)
        weight.assign(vectors.data(f"model/{key}/{i}", weight.shape, low=low, high=high))


class ModelFile:
    """A vector file of kind `model`; model files stand beside it."""

    def __init__(self, name):
        self.file = vectors.VectorFile(name)
        self.folder = self.file.path.parent
        self.folder.mkdir(parents=True, exist_ok=True)

    def add(self, model, name, inputs, formats=(".keras", ".h5", ".weights.h5"), training=None, tolerance=None):
        """Saves `model` in each of the formats, a case each."""
        inputs = inputs if isinstance(inputs, list) else [inputs]
        outputs = model.predict(inputs if len(inputs) > 1 else inputs[0], verbose=0)
        outputs = outputs if isinstance(outputs, list) else [outputs]
        for suffix in formats:
            path = self.folder / f"{name}{suffix}"
            raw = {"file": path.name}
            with same_bytes():
                if suffix == ".weights.h5":
                    model.save_weights(path)
                    raw["config_file"] = f"{name}.json"
                    path.with_name(raw["config_file"]).write_text(model.to_json())
                else:
                    model.save(path)
            if training:
                raw["training"] = training
            if tolerance:
                raw["tolerance"] = tolerance
            id = f"models/{self.folder.name}/{path.name}"
            self.file.add(id, "model", type(model).__name__, None, inputs=inputs, outputs=outputs, raw=raw)

    def train(self, model, batches):
        """Trains `model`, which is compiled, on the batches, from weights and optimizer state as they are.

        Gives the `training` of a case and the tolerance that Keras's rounding asks for; the model is as
        before afterwards.
        """
        before = [vectors.to_numpy(w) for w in model.weights]
        state = [vectors.to_numpy(v) for v in model.optimizer.variables]
        resumed = bool(int(model.optimizer.iterations))
        exact = exact_run(model, before, state if resumed else None, batches)
        losses = [model.train_on_batch(b["x"], b["y"]) for b in batches]
        losses = [float(v[0] if isinstance(v, (list, tuple)) else v) for v in losses]
        after = [vectors.to_numpy(w) for w in model.weights]
        with same_bytes():
            training = {
                "resumed": resumed,
                "optimizer": vectors.serialize(model.optimizer),
                "loss": plain(model.loss),
                "batches": [{k: self.file.encode(v) for k, v in batch.items()} for batch in batches],
                "losses": losses,
                "weights_after": self.file.encode(after),
                "weight_paths": [w.path for w in model.weights],
                "optimizer_after": self.file.encode([vectors.to_numpy(v) for v in model.optimizer.variables]),
            }
        tolerance = rounding_tolerance([np.array(losses, "float32"), *after], exact)
        for weight, value in zip(model.weights, before):
            weight.assign(value)
        for variable, value in zip(model.optimizer.variables, state if resumed else map(np.zeros_like, state)):
            if variable is not model.optimizer._learning_rate:
                variable.assign(value)
        return training, tolerance


def plain(loss):
    """A loss as `compile` got it: a name, an object, or lists and dicts of these."""
    if isinstance(loss, dict):
        return {k: plain(v) for k, v in loss.items()}
    if isinstance(loss, (list, tuple)):
        return [plain(v) for v in loss]
    return loss if isinstance(loss, str) else vectors.serialize(loss)


def exact_run(model, weights, state, batches):
    """Losses and weights of the same run in float64."""
    with exact_arithmetic():
        keras.config.set_floatx("float64")
        try:
            twin = keras.models.model_from_json(model.to_json().replace('"float32"', '"float64"'))
            twin.set_weights([w.astype("float64") for w in weights])
            twin.compile(
                keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(model.optimizer)),
                keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(model.loss)),
            )
            if state is not None:
                twin.optimizer.build(twin.trainable_variables)
                for variable, value in zip(twin.optimizer.variables, state, strict=True):
                    variable.assign(value)
            losses = [float(twin.train_on_batch(b["x"], b["y"])) for b in batches]
            return [np.array(losses), *(vectors.to_numpy(w) for w in twin.weights)]
        finally:
            keras.config.set_floatx("float32")
