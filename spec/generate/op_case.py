"""Runs one operation in the real Keras and writes down what it did: a case of kind `op`."""

import jax
import jax.numpy as jnp
import numpy as np
from keras import ops, tree

import backend_ops
from precision import EXACT, exact_arithmetic, is_float, rounding_tolerance
from vectors import Rejected, VectorFile, data, dtype, to_numpy

FLOATS = ["float32", "float64", "float16", "bfloat16"]
INTS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
ALL = [*FLOATS, *INTS, "bool"]


def function(op):
    """The function that an `op` names."""
    if op.startswith("backend."):
        return getattr(backend_ops, op.removeprefix("backend."))
    if op == "slice_update":
        return lambda x, updates, start_indices: ops.slice_update(x, start_indices, updates)
    if op == "einsum":
        return lambda *operands, subscripts: ops.einsum(subscripts, *operands)
    return getattr(ops, op)


class Cases:
    """The cases of one vector file."""

    def __init__(self, name):
        self.file = VectorFile(f"ops/{name}")
        self.failed = []

    def add(self, op, label, /, *args, grads=True, exact=False, layout=None, why=None, **kwargs):
        """One case: `op` called with arrays (or lists of them) `args` and plain values `kwargs`. With `exact`, for
        whole numbers, agreement is bit for bit; `layout` says how the operands lie in memory."""
        id = f"ops/{op}/{label}"
        try:
            self.file.add(id, "op", None, None, **self.run(op, args, kwargs, grads, exact, layout, why))
        except Rejected as reason:
            print(f"rejected {id}: {reason}")
        except Exception as error:
            self.failed.append(f"{id}: {type(error).__name__}: {str(error)[:200]}")

    def run(self, op, args, kwargs, grads, exact, layout, why):
        leaves = tree.flatten(list(args))
        wide = any(v.dtype in ("float64", "int64", "uint64") for v in leaves) or "64" in str(kwargs.get("dtype"))

        def call(leaves):
            return function(op)(*tree.pack_sequence_as(list(args), leaves), **kwargs)

        outputs, input_grads, cotangents = differentiate(call, leaves, grads, exact, wide)
        raw = {"op": op} | ({"layout": layout} if layout else {}) | ({"why": why} if why else {})
        tolerance = None
        if exact and any(map(is_float, [*outputs, *leaves])):
            tolerance = EXACT
        elif input_grads is not None:
            exactly = [v.astype("float64") if is_float(v) else v for v in leaves]
            references = differentiate(call, exactly, grads, exact, True, cotangents)
            tolerance = rounding_tolerance([*outputs, *input_grads], [*references[0], *references[1]])
        if tolerance:
            raw["tolerance"] = tolerance
        fields = {"args": list(args), "kwargs": kwargs, "outputs": outputs}
        if input_grads is not None:
            fields |= {"cotangents": cotangents, "input_grads": input_grads}
        return fields | {"raw": raw}

    def write(self):
        print(f"{self.file.path.name}: {len(self.file.cases)} cases, {self.file.write()} bytes", flush=True)
        return self.failed


def differentiate(call, leaves, grads, exact, wide, cotangents=None):
    """The outputs of `call`, and with `grads` the vector-Jacobian products with `cotangents`."""
    places = [i for i, leaf in enumerate(leaves) if is_float(leaf)]
    with exact_arithmetic(wide):

        def floats(values):
            inputs = [jnp.asarray(v) for v in leaves]
            for place, value in zip(places, values):
                inputs[place] = value
            return tree.flatten(call(inputs))

        inputs = [jnp.asarray(leaves[i]) for i in places]
        if not grads or not places:
            return [to_numpy(o) for o in floats(inputs)], None, None
        outputs, pullback = jax.vjp(floats, inputs)
        if not all(map(is_float, outputs)):
            return [to_numpy(o) for o in outputs], None, None
        cotangents = cotangents or [data("cotangent", o.shape, o.dtype.name) for o in outputs]
        if exact:
            cotangents = [np.round(c) for c in cotangents]
        products = pullback([jnp.asarray(c, o.dtype) for c, o in zip(cotangents, outputs)])[0]
        input_grads = [None] * len(leaves)
        for place, product in zip(places, products):
            input_grads[place] = to_numpy(product)
        if not all(np.isfinite(g.astype("float64")).all() for g in input_grads if g is not None):
            raise Rejected("a gradient that is not finite")
        return [to_numpy(o) for o in outputs], input_grads, cotangents


def special(name):
    """Numbers at which functions do something of their own. None is subnormal: XLA on CPUs takes those for zeros."""
    huge, tiny = {"float16": (6e4, 1e-4), "float64": (1e300, 1e-300)}.get(name, (1e38, 1e-30))
    values = [np.nan, np.inf, -np.inf, 0.0, -0.0, huge, -huge, tiny, -tiny]
    values += [0.5, -0.5, 1, -1, 1.5, -1.5, 2, 2.5, -2.5, 3, -3, 20, -20, 88, -88, 100, -100, 1000, -1000]
    return np.array(values, dtype(name))


def extremes(name):
    """The ends and the middle of an integer type."""
    info = np.iinfo(name)
    return np.array([info.min, info.min + 1, 0, 1, 2, 7, info.max // 2, info.max - 1, info.max], name)

