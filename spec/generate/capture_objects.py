"""Golden vectors of losses, metrics and optimizers from Keras's own tests: spec/vectors/{losses,metrics,optimizers}/keras_tests.

The tests run as they are, but that assertions accept anything; what they call is recorded, and the cases are computed from it
afterwards. What is defined in a test, and what a config does not hold, is no case.

`capture_objects.py` makes all files, `capture_objects.py metrics` one.
"""

import copy
import hashlib
import inspect
import json
import sys

import jax
import keras
import numpy as np
from keras import tree

import keras_tests
import losses
import metrics
import optimizers
from vectors import Rejected, is_array, serialize, to_numpy

LARGEST = 3000
"""Calls with more numbers than this are left out."""


class Recorder:
    """Collects the calls that tests make, each once, as a dict with its test, its object and its arguments."""

    def __init__(self, namespace):
        self.namespace = namespace
        exported = vars(getattr(keras, namespace)).values()
        self.classes = {cls for cls in exported if inspect.isclass(cls)}
        self.test = None
        self.depth = 0
        self.calls = []
        self.states = {}

    def started(self, test):
        self.test = test

    def described(self, obj):
        """The object as Keras writes it, or None where that cannot be a case."""
        if type(obj) not in self.classes:
            return None
        try:
            object_ = serialize(obj)
        except (Rejected, NotImplementedError, TypeError, ValueError):
            return None
        object_["config"].pop("name", None)
        # A function or a class of the test's own.
        text = json.dumps(object_)
        return None if any(mark in text for mark in ["keras.src", '"<', "test>"]) else object_

    def outermost(self, original, note):
        """`original`, but that `note` gets the arguments of calls that no other recorded call makes."""

        def call(obj, *args, **kwargs):
            if self.depth == 0:
                note(obj, *args, **kwargs)
            self.depth += 1
            try:
                return original(obj, *args, **kwargs)
            finally:
                self.depth -= 1

        return call

    def run(self, patches):
        keras_tests.run(self.namespace, self.started, patches)
        seen, counts, kept = set(), {}, []
        for call in self.calls:
            plain = [(str(v.dtype), v.shape, v.tobytes()) if is_array(v) else v for v in tree.flatten(call["arguments"])]
            identity = hashlib.sha256(repr((call["object"], tree.map_structure(lambda _: 0, call["arguments"]), plain)).encode()).digest()
            size = sum(v.size for v in tree.flatten(call["arguments"]) if is_array(v))
            if identity in seen or size > LARGEST:
                continue
            seen.add(identity)
            counts[call["test"]] = counts.get(call["test"], -1) + 1
            kept.append(call | {"label": f"{call['test']}/{counts[call['test']]}"})
        return kept


def arrays(values):
    """The values as numpy arrays, or None where one of them is no array of numbers. 64-bit floats are those of Python."""
    taken = []
    for value in values:
        if isinstance(value, (jax.core.Tracer, keras.KerasTensor)) or "sparse" in type(value).__module__:
            return None
        array = np.asarray(value) if not is_array(value) else to_numpy(value)
        if array.dtype.kind not in "fiub" and array.dtype.name != "bfloat16":
            return None
        taken.append(array.astype({"float64": "float32", "int64": "int32"}.get(array.dtype.name, array.dtype)))
    return taken


def attempt(add, label, *args, **kwargs):
    """Adds a case, unless Keras itself refuses the call: that is what the test was for."""
    try:
        add(f"keras-tests/{label}", *args, **kwargs)
    except (TypeError, ValueError) as error:
        print(f"refused {label}: {str(error).strip().splitlines()[0][:100]}", flush=True)


def of_losses():
    recorder = Recorder("losses")

    def note(loss, y_true, y_pred, sample_weight=None):
        object_, mask = recorder.described(loss), keras.src.backend.get_keras_mask(y_pred) if is_array(y_pred) else None
        given = arrays([y_true, y_pred] + [v for v in (sample_weight, mask) if v is not None])
        if object_ is not None and given is not None:
            weight = given[2] if sample_weight is not None else None
            call = {"y_true": given[0], "y_pred": given[1], "sample_weight": weight, "mask": None if mask is None else given[-1]}
            recorder.calls.append({"test": recorder.test, "object": object_, "arguments": call})

    call = recorder.outermost(keras.Loss.__call__, note)
    cases = losses.Cases(keras.losses.Loss, "keras_tests")
    for made in recorder.run([(keras.Loss, "__call__", call)]):
        attempt(cases.add_object, made["label"], made["object"], **made["arguments"])
    return cases


def of_metrics():
    recorder = Recorder("metrics")

    def updated(metric, *args, **kwargs):
        bound = inspect.signature(type(metric).update_state).bind(metric, *args, **kwargs).args[1:]
        if id(metric) not in recorder.states:
            recorder.states[id(metric)] = (metric, recorder.described(metric), [])
        given = arrays([v for v in bound if v is not None])
        updates = recorder.states[id(metric)][2]
        updates.append(given)

    def reset(metric):
        recorder.states.pop(id(metric), None)

    def asked(metric):
        _, object_, updates = recorder.states.get(id(metric), (None, None, ()))
        if object_ is not None and updates and all(u is not None for u in updates):
            recorder.calls.append({"test": recorder.test, "object": object_, "arguments": [list(u) for u in updates]})

    patches = []
    for cls in sorted(recorder.classes, key=lambda cls: cls.__name__):
        for name, note in [("update_state", updated), ("reset_state", reset), ("result", asked)]:
            if name in vars(cls):
                patches.append((cls, name, recorder.outermost(vars(cls)[name], note)))
    cases = metrics.Cases(keras.metrics.Metric, "keras_tests")
    for made in recorder.run(patches):
        attempt(cases.add_object, made["label"], made["object"], made["arguments"])
    return cases


def of_optimizers():
    recorder = Recorder("optimizers")

    def note(optimizer, grads, trainable_variables=None):
        variables = trainable_variables if trainable_variables is not None else getattr(optimizer, "_trainable_variables", [])
        given = arrays(grads) if all(g is not None for g in grads) else None
        if id(optimizer) not in recorder.states:
            object_ = recorder.described(optimizer)
            # The states of the others are not written, nor are the names of variables that have no decay.
            fresh = not optimizer.built or int(optimizer.iterations) == 0
            plain = fresh and object_ is not None and not hasattr(optimizer, "_exclude_from_weight_decay")
            plain = plain and not isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
            values = [to_numpy(v) for v in variables]
            recorder.states[id(optimizer)] = (optimizer, [v.constraint for v in variables])
            if plain:
                call = {"values": values, "history": []}
                recorder.calls.append({"test": recorder.test, "object": object_, "arguments": call, "of": id(optimizer)})
        call = next((c for c in reversed(recorder.calls) if c["of"] == id(optimizer)), None)
        if call is not None:
            call["arguments"]["history"].append(given)

    apply = recorder.outermost(keras.Optimizer.apply, note)
    cases = optimizers.Cases(keras.optimizers.Optimizer, "keras_tests")
    for made in recorder.run([(keras.Optimizer, "apply", apply)]):
        history, values = made["arguments"]["history"], made["arguments"]["values"]
        if all(grads is not None and [g.shape for g in grads] == [v.shape for v in values] for grads in history):
            attempt(cases.add_object, made["label"], made["object"], values, history)
    return cases


NAMESPACES = {"losses": of_losses, "metrics": of_metrics, "optimizers": of_optimizers}

if __name__ == "__main__":
    for name in sys.argv[1:] or NAMESPACES:
        made = NAMESPACES[name]()
        print(f"{name}: {len(made.file.cases)} cases, {made.file.write()} bytes", flush=True)
