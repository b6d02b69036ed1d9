"""Golden vectors of layers from Keras's own tests: spec/vectors/layers/keras_tests_*.json.

The test files inside the wheel are run; what they call the layers with is recorded, and the real Keras
computes the cases from it afterwards. While recording, layers answer with zeros and assertions accept
anything, so that a test runs through without computing: it is the configurations, inputs and weights of
the tests that count here.

`capture.py` makes all files, `capture.py rnn core` those of some folders of keras/src/layers, `capture.py dimensions` that of
layers over one and three axes and around cells.
"""

import copy
import hashlib
import importlib
import inspect
import itertools
import json
import math
import sys

import jax
import keras
import numpy as np
from keras import tree
from keras.src.backend import get_keras_mask
from keras.src.testing import TestCase

import keras_tests
import layers as grid_layers
from grids import dimensions
from layer_case import Grid, add_layer_case
from vectors import Rejected, VectorFile, data, is_array, serialize, to_numpy

FOLDERS = [
    "activations", "attention", "convolutional", "core", "merging", "normalization", "pooling", "preprocessing",
    "preprocessing.image_preprocessing", "regularization", "reshaping", "rnn",
]  # fmt: skip
SPATIAL = ["convolutional", "pooling", "regularization", "reshaping"]
CLASSES = {cls for module in grid_layers.MODULES for cls in importlib.import_module(f"grids.{module}").GRIDS}
DIMENSIONS = {*dimensions.GRIDS, keras.layers.RNN, keras.layers.ConvLSTM1D, keras.layers.ConvLSTM2D, keras.layers.ConvLSTM3D}
"""Layers whose calls have a file of their own: `capture.py dimensions` makes that."""
CANCELLING = {"RandomSaturation"}
"""Layers whose gradients, of the tests' colours, are small sums of large numbers: rounding decides on their digits."""
UNRECORDED = {keras.layers.AugMix}
"""What they compute depends on Python's own generator, which the tests do not seed."""
WIDE = {keras.layers.HashedCrossing, keras.layers.Hashing, keras.layers.IntegerLookup}
"""Layers that answer in int64 where there is such a type."""
LARGEST = {True: 1000, False: 3000}
"""Calls with more numbers than this, in inputs, weights and outputs together, are left out; fewer for `DIMENSIONS`."""


class Recorder:
    """Stands in for `Layer.__call__` while the tests run."""

    def __init__(self, classes):
        self.classes = classes
        self.calls = []
        self.test = None
        self.busy = False
        self.original = keras.Layer.__call__

    def call(self, layer, *args, **kwargs):
        leaves = tree.flatten((args, kwargs))
        concrete = all(
            v is None
            or isinstance(v, (bool, int, float, str))
            or (is_array(v) and not isinstance(v, (jax.core.Tracer, keras.KerasTensor)) and type(v).__module__ != "jax.experimental.sparse")
            for v in leaves
        )
        quantized = layer.dtype_policy.quantization_mode or getattr(layer, "quantization_config", None)
        if type(layer) not in self.classes or self.busy or not concrete or quantized:
            return self.original(layer, *args, **kwargs)
        if not any(is_array(v) for v in leaves):
            args = tree.map_structure(np.asarray, args)
            leaves = tree.flatten((args, kwargs))
        self.busy = True
        try:
            built = layer.built
            object_ = serialize(layer)
            object_.pop("build_config", None)
            if "_test" in json.dumps(object_):
                raise Rejected("a class of the test's own")
            weights = [to_numpy(w) for w in layer.weights] if built else None
            masks = [get_keras_mask(v) if is_array(v) else None for v in tree.flatten(args[0])]
            symbolic = tree.map_structure(lambda v: keras.KerasTensor(v.shape, keras.backend.standardize_dtype(v.dtype)) if is_array(v) else v, args)
            outputs = self.original(layer, *symbolic, **kwargs)
            weights = weights or [to_numpy(w) for w in layer.weights]
        except Rejected:
            return self.original(layer, *args, **kwargs)
        finally:
            self.busy = False
        taken = widen if type(layer) in WIDE else narrow
        arrays = tree.map_structure(lambda v: taken(v) if is_array(v) else v, (list(args), kwargs))
        stateful = built and any(getattr(sub, "stateful", False) for sub in layer._flatten_layers())
        if not stateful:
            self.calls.append({
                "size": sum(math.prod(v.shape) for v in tree.flatten((symbolic, outputs, layer.weights)) if hasattr(v, "shape")),
                "test": self.test, "class": type(layer).__name__, "type": type(layer), "object": object_, "args": arrays[0], "kwargs": arrays[1], "weights": weights,
                "masks": [None if m is None else to_numpy(m) for m in masks] if any(m is not None for m in masks) else None,
            })
        return tree.map_structure(lambda s: jax.numpy.zeros(s.shape, s.dtype), outputs)

    def run_layer_test(self, test, layer_cls, init_kwargs, input_shape=None, input_dtype=None, input_data=None, call_kwargs=None, input_sparse=False, **_):
        """In place of `TestCase.run_layer_test`: one call on data of the shape that the test asks for."""
        if layer_cls not in self.classes or input_sparse or (input_shape is None and input_data is None):
            return
        if input_data is None:
            dtypes = input_dtype or tree.map_shape_structure(lambda _: "float32", input_shape)
            kinds = iter(tree.flatten(dtypes))
            input_data = tree.map_shape_structure(lambda shape: data("keras tests", shape, next(kinds), 0 if "int" in str(dtypes) else -2), input_shape)
        layer_cls(**init_kwargs)(input_data, **(call_kwargs or {}))


def narrow(value):
    """An array as JAX takes it in while 64-bit types are off."""
    array = to_numpy(value)
    return array.astype({"float64": "float32", "int64": "int32", "uint64": "uint32"}.get(array.dtype.name, array.dtype))


def widen(value):
    """An array as 64-bit types are on."""
    array = to_numpy(value)
    return array.astype("int64") if array.dtype.kind == "i" else array


def record(folder, classes):
    """The calls of these classes that the tests of a folder make."""
    recorder = Recorder(classes)

    def started(test):
        recorder.test = test

    keras_tests.run(f"layers.{folder}", started, [
        (keras.Layer, "__call__", lambda *a, **k: recorder.call(*a, **k)),
        (TestCase, "run_layer_test", lambda *a, **k: recorder.run_layer_test(*a, **k)),
    ])  # fmt: skip
    return recorder.calls


def explicit(call):
    """The keyword arguments of a call, with `training` where the layer takes it for true unless told otherwise."""
    training = inspect.signature(call["type"].call).parameters.get("training")
    return {"training": True} | call["kwargs"] if training is not None and training.default is True else call["kwargs"]


def own_weights(weights):
    """The weights of the test, but None for those that are constant, which are better random."""
    return [w if w.size == 1 and w.any() or np.any(w != w.reshape(-1)[:1]) else None for w in weights]


def capture(name):
    """Records the tests of a folder, or those of `DIMENSIONS`, and writes the vectors."""
    file = VectorFile(f"layers/keras_tests_{name.split('.')[-1]}")
    seen, counts, left_out = set(), {}, 0
    apart = name == "dimensions"
    calls = itertools.chain.from_iterable(record(f, DIMENSIONS) for f in SPATIAL) if apart else record(name, CLASSES - DIMENSIONS - UNRECORDED)
    for call in calls:
        plain = [v if not is_array(v) else (str(v.dtype), v.shape, v.tobytes()) for v in tree.flatten((call["args"], call["kwargs"], call["masks"]))]
        config = {k: v for k, v in call["object"]["config"].items() if k != "name"}
        identity = hashlib.sha256(repr((call["class"], json.dumps(config), plain)).encode()).digest()
        if identity in seen or call["size"] > LARGEST[apart]:
            left_out += 1
            continue
        seen.add(identity)
        counts[call["test"]] = counts.get(call["test"], -1) + 1
        id = f"{call['class']}/keras-tests/{call['test']}/{counts[call['test']]}"
        try:
            if call["object"]["config"].get("sparse"):
                raise Rejected("sparse outputs")
            if any(isinstance(v, dict) for v in call["args"]):
                raise Rejected("images together with labels or boxes, as data sets have them and models do not")
            if call["object"]["config"].get("num_ops", 0) > 2:
                raise Rejected("operations one after the other, each of which may be off by the tolerance")
            add_layer_case(
                file, id, lambda: keras.saving.deserialize_keras_object(copy.deepcopy(call["object"])), call["args"], explicit(call),
                weights=own_weights(call["weights"]), input_masks=call["masks"], grads=call["class"] not in CANCELLING,
            )
        except Rejected as why:
            print(f"rejected {id}: {why}", flush=True)
        except Exception as error:
            if "Exception encountered when calling" in str(error):
                print(f"rejected {id}: Keras refuses the call", flush=True)
                continue
            Grid.failures.append(id)
            print(f"FAILED {id}: {type(error).__name__}: {str(error)[:300]}", flush=True)
    print(f"{name}: {len(file.cases)} cases, {file.write()} bytes, {left_out} repeated or too large", flush=True)


if __name__ == "__main__":
    for name in sys.argv[1:] or [*FOLDERS, "dimensions"]:
        capture(name)
    if Grid.failures:
        sys.exit(f"{len(Grid.failures)} calls of the tests are no cases: {Grid.failures}")
