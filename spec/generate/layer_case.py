"""Runs one layer in the real Keras and writes down what it did: a case of kind `layer`."""

import copy
import itertools
import json
import os
import re
import traceback

import jax
import keras
import numpy as np
from keras import tree
from keras.src.backend import StatelessScope, get_keras_mask, set_keras_mask
from keras.src.backend.common.global_state import clear_session

from precision import EXACT, exact_arithmetic, is_float, rounding_tolerance
from vectors import Record, Rejected, VectorFile, data, dtype, is_array, rng, serialize, to_numpy


def revive(make):
    """The layer as its own serialization describes it: what does not survive there cannot be in a case."""
    clear_session(free_memory=False)
    keras.utils.set_random_seed(1)
    return keras.saving.deserialize_keras_object(serialize(make()))


def seed_states(layer):
    weights = {id(w) for w in layer.weights}
    return [v for v in layer.variables if id(v) not in weights]


def random_weight(variable):
    """Values that no initializer would give, positive where they are a spread."""
    name = variable.path.split("/")[-1]
    low, high = (0.5, 2.0) if re.search("variance|stddev|gamma", name) else (-0.7, 0.7)
    return data(f"weight/{name}", variable.shape, variable.dtype, low, high)


class Run:
    """A built layer with its state set, and the arguments of the call."""

    def __init__(self, layer, args, kwargs, input_masks=None):
        self.layer, self.args, self.kwargs, self.python_seed = layer, args, kwargs, None
        self.leaves = tree.flatten(args)
        self.input_masks = input_masks

    def call(self, leaves=None):
        leaves = [jax.numpy.asarray(v) if is_array(v) else v for v in (leaves or self.leaves)]
        for leaf, mask in zip(leaves, self.input_masks or ()):
            if mask is not None:
                set_keras_mask(leaf, jax.numpy.asarray(mask))
        kwargs = tree.map_structure(lambda v: jax.numpy.asarray(v) if is_array(v) else v, self.kwargs)
        return self.layer(*tree.pack_sequence_as(self.args, leaves), **kwargs)

    def build(self):
        """Builds the layer for the shapes and dtypes of the arguments, without computing anything."""
        symbolic = [keras.KerasTensor(v.shape, np.dtype(v.dtype).name) if is_array(v) else v for v in self.leaves]
        self.layer(*tree.pack_sequence_as(self.args, symbolic), **self.kwargs)

    def forward(self):
        """Outputs, their masks, the losses and the weights after an ordinary call, whose effects on the
        layer's state are then undone."""
        variables = self.layer.variables + self.rnn_states()
        before = [to_numpy(v) for v in variables]
        self.layer._clear_losses()
        if self.python_seed is not None:
            keras.utils.set_random_seed(self.python_seed)
        outputs = tree.flatten(self.call())
        masks = [get_keras_mask(o) for o in outputs]
        losses = [to_numpy(v) for v in self.layer.losses]
        after = [to_numpy(w) for w in self.layer.weights]
        for variable, value in zip(variables, before):
            variable.assign(value)
        return [to_numpy(o) for o in outputs], [None if m is None else to_numpy(m) for m in masks], losses, after

    def rnn_states(self):
        """The states of stateful RNNs, which Keras does not list among the variables."""
        layers = [layer for layer in self.layer._flatten_layers() if getattr(layer, "states", None)]
        return [v for layer in layers for v in tree.flatten(layer.states)]

    def gradients(self, cotangents):
        """The floating outputs, and the vector-Jacobian products for the leaves of args and for the
        trainable weights."""
        places = [i for i, leaf in enumerate(self.leaves) if is_float(leaf)]
        trainable = self.layer.trainable_weights

        def floats(weights, inputs):
            leaves = list(self.leaves)
            for place, value in zip(places, inputs):
                leaves[place] = value
            with StatelessScope(state_mapping=list(zip(trainable, weights))):
                outputs = tree.flatten(self.call(leaves))
            return [o for o in outputs if is_float(o)]

        inputs = [jax.numpy.asarray(self.leaves[i]) for i in places]
        outputs, pullback = jax.vjp(floats, [w.value for w in trainable], inputs)
        weight_grads, grads = pullback([jax.numpy.asarray(c, o.dtype) for c, o in zip((c for c in cotangents if c is not None), outputs)])
        input_grads = [None] * len(self.leaves)
        for place, grad in zip(places, grads):
            input_grads[place] = to_numpy(grad)
        return [to_numpy(o) for o in outputs], input_grads, [to_numpy(g) for g in weight_grads]


def prepare(make, args, kwargs, input_masks, weights, seeds, calls_before):
    """A `Run` ready for the call, with what is to be written about its state before it."""
    layer = revive(make) if callable(make) else keras.saving.deserialize_keras_object(make)
    run = Run(layer, args, kwargs, input_masks)
    run.build()
    for i, variable in enumerate(layer.weights):
        value = weights[i] if weights and weights[i] is not None else random_weight(variable)
        variable.assign(np.asarray(value).astype(dtype(variable.dtype)))
    if isinstance(layer, keras.layers.Normalization):
        layer.finalize_state()
    for i, variable in enumerate(seed_states(layer)):
        value = seeds[i] if seeds else [rng("seed", i).integers(0, 2**32), i + 3]
        variable.assign(np.array(value, "uint32"))
    state = {
        "weights": [to_numpy(w) for w in layer.weights],
        "weight_paths": [w.path for w in layer.weights],
        "seeds": [to_numpy(v) for v in seed_states(layer)],
    }
    for before in calls_before:
        Run(layer, before["args"], before.get("kwargs", {})).call()
    return run, state


def needs_64_bits(object_, *values):
    leaves = [v for v in tree.flatten(values) if is_array(v)]
    return '"float64"' in json.dumps(object_) or any(np.dtype(v.dtype).name in ("float64", "int64", "uint64") for v in leaves)


def measured_tolerance(run, object_, state, args, kwargs, calls_before, results, cotangents):
    """The tolerance that Keras's own rounding asks for, or None where the default is enough.

    The case is computed again in float64. Half of the default is left to Keras; where its results are
    further away than that, the case gets four times their distance.
    """

    def wide(value):
        return value.astype("float64") if is_float(value) else value

    text = re.sub(r'("class_name": "DTypePolicy", "config": \{"name": )"\w+"', r'\1"float64"', json.dumps(object_))
    with exact_arithmetic():
        clear_session(free_memory=False)
        exact, _ = prepare(
            json.loads(text),
            tree.map_structure(wide, args),
            tree.map_structure(wide, kwargs),
            run.input_masks,
            [wide(w) for w in state["weights"]],
            state["seeds"],
            tree.map_structure(wide, list(calls_before)),
        )
        if cotangents is None:
            expected, _, _, _ = exact.forward()
        else:
            outputs, input_grads, weight_grads = exact.gradients([None if c is None else wide(c) for c in cotangents])
            expected = outputs + input_grads + weight_grads
    return rounding_tolerance(results, expected)


def add_layer_case(
    file, id, make, args, kwargs=None, *, weights=None, seeds=None, input_masks=None, calls_before=(), grads=True, exact=False, measure=True,
    python_seed=None,
):
    """Runs the layer that `make()` gives on `args` and adds the case to `file`.

    `weights` and `seeds` replace the random ones (an entry of None is random), `exact` demands bit for bit
    agreement, for whole numbers. `measure=False` saves the second computation in float64 where the layer's
    rounding is known to be far below the default tolerance. `python_seed` is what `set_random_seed` is called with before, for
    layers that draw from Python's own generator.
    """
    kwargs = kwargs or {}
    clear_session(free_memory=False)
    with jax.enable_x64(needs_64_bits(serialize(make()), args, kwargs)):
        run, state = prepare(make, args, kwargs, input_masks, weights, seeds, calls_before)
        run.python_seed = python_seed
        object_ = serialize(run.layer)
        outputs, masks, losses, after = run.forward()
        changed = any(a.tobytes() != b.tobytes() for a, b in zip(state["weights"], after)) or bool(calls_before)
        results = outputs
        cotangents = input_grads = weight_grads = None
        if grads and any(is_float(o) for o in outputs):
            cotangents = [data("cotangent", o.shape, o.dtype.name) if is_float(o) else None for o in outputs]
            if exact:
                cotangents = [None if c is None else np.round(c) for c in cotangents]
            _, input_grads, weight_grads = run.gradients(cotangents)
            results = [o for o in outputs if is_float(o)] + input_grads + weight_grads
    tolerance = None
    random = bool(state["seeds"]) and any(v.get("training") for v in [kwargs, *(c.get("kwargs", {}) for c in calls_before)])
    if measure and not random and any(is_float(r) for r in results):
        tolerance = measured_tolerance(run, object_, state, args, kwargs, calls_before, results, cotangents)
    kinds = {o.dtype.name for o in tree.flatten((outputs, args)) if is_float(o)}
    if "float64" in kinds and (tolerance is not None or kinds != {"float64"}):
        raise Rejected("Keras computes it in float32")
    if exact:
        if tolerance is not None:
            raise ValueError(f"{id} is not exact: {tolerance}")
        tolerance = EXACT
    file.add(
        id,
        "layer",
        object_["class_name"],
        object_,
        args=args,
        kwargs=kwargs,
        **state,
        input_masks=input_masks,
        calls_before=[Record(args=c["args"], kwargs=c.get("kwargs", {})) for c in calls_before] or None,
        outputs=outputs,
        output_masks=masks if any(m is not None for m in masks) else None,
        losses=losses or None,
        weights_after=after if changed else None,
        cotangents=cotangents,
        input_grads=input_grads,
        weight_grads=weight_grads,
        python_seed=python_seed,
        raw={"tolerance": tolerance} if tolerance else None,
    )


def add_error_case(file, id, make, changes, args, text, kwargs=None, built=None):
    """Adds a case that must fail with a message that holds `text`: the layer that `make()` gives, with
    some entries of its config changed and built for the shape `built`. Fails where the real Keras does
    not fail so."""
    clear_session(free_memory=False)
    layer = make()
    object_ = serialize(layer)
    object_["config"] |= changes
    if built is not None:
        object_["build_config"] = {"input_shape": list(built)}
    try:
        Run(keras.saving.deserialize_keras_object(copy.deepcopy(object_)), args, kwargs or {}).call()
    except Exception as error:
        if text not in str(error):
            raise ValueError(f"{id}: the message lacks {text!r}: {error}") from error
    else:
        raise ValueError(f"{id}: no error")
    raw = {"expect_error": text}
    file.add(id, "layer", type(layer).__name__, object_, args=args, kwargs=kwargs or {}, raw=raw)


class Grid:
    """Collects the cases of one class; prints what is rejected, and remembers what fails."""

    failures = []

    def __init__(self, cls):
        self.cls = cls
        self.name = cls.__name__
        snake = re.sub("(?<=[a-z])(?=[A-Z])|(?<=[A-Z0-9])(?=[A-Z][a-z])", "_", self.name).lower()
        self.file = VectorFile(f"layers/{snake}")

    def add(self, config, *args, call=None, tag=None, **options):
        """One case: the class with `config` called on `args` and the keyword arguments `call`. Its id tells
        the configuration, the plain values in `call`, and `tag`."""
        plain = {k: v for k, v in (call or {}).items() if not is_array(v) and not isinstance(v, list)}
        id = "/".join(filter(None, [self.name, label(config), label(plain) if plain else None, tag]))
        self.guarded(id, add_layer_case, lambda: self.cls(**config), list(args), call, **options)

    def add_made(self, make, *args, tag, call=None, **options):
        """One case with the layer that `make()` gives, named by `tag`: for layers that wrap others."""
        self.guarded(f"{self.name}/{tag}", add_layer_case, make, list(args), call, **options)

    def error(self, name, text, config, changes, *args, built=None):
        """One case that must fail: the valid `config` with `changes` made to the serialized one."""
        id = f"{self.name}/error/{name}"
        self.guarded(id, add_error_case, lambda: self.cls(**config), changes, list(args), text, built=built)

    def guarded(self, id, function, *args, **options):
        """Calls `function(file, id, …)`; a failure leaves the case out and is counted."""
        try:
            function(self.file, id, *args, **options)
        except Rejected as why:
            print(f"rejected {id}: {why}", flush=True)
        except Exception as error:
            Grid.failures.append(id)
            print(f"FAILED {id}: {type(error).__name__}: {str(error)[:600]}", flush=True)
            if "TRACE" in os.environ:
                traceback.print_exc()


def combinations(**options):
    """Every configuration that takes one of the values of each option."""
    return [dict(zip(options, values)) for values in itertools.product(*options.values())]


def label(config):
    """`units=3,use_bias=False` for the arguments that a case varies."""

    def text(value):
        if isinstance(value, dict):
            return "{" + ",".join(f"{k}:{text(v)}" for k, v in value.items()) + "}"
        if isinstance(value, (list, tuple)):
            return "(" + ",".join(map(text, value)) + ")"
        if isinstance(value, (str, int, float, type(None))):
            return str(value)
        if hasattr(value, "get_config"):
            own = {k: v for k, v in value.get_config().items() if k not in ("seed", "name")}
            return type(value).__name__ + ("" if isinstance(value, keras.Layer) else text(own))
        return type(value).__name__

    return ",".join(f"{k}={text(v)}" for k, v in config.items()) or "default"
