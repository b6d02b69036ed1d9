"""Golden vectors of the kinds `regularizer` and `constraint`."""

import jax
import jax.numpy as jnp
import keras
import numpy as np
import vectors
from precision import exact_arithmetic, rounding_tolerance

R = keras.regularizers
C = keras.constraints
SHAPES = [(5,), (3, 4), (4, 3), (2, 3, 4), (3, 3, 2, 4)]


def arrays():
    """Name and value of the arguments that every regularizer and constraint is called with."""
    for shape in SHAPES:
        yield f"shape={shape}", vectors.data("regularizers", shape)
    yield "large", 100 * vectors.data("regularizers", (3, 4))
    yield "small", vectors.data("regularizers", (3, 4)) / 100
    zero_column = vectors.data("regularizers", (3, 4)).copy()
    zero_column[:, 1] = zero_column[1] = 0
    yield "zero_row_and_column", zero_column
    for dtype in ["float16", "bfloat16", "float64"]:
        yield f"dtype={dtype}", vectors.data("regularizers", (3, 4), dtype)


def computed(kind, obj, x):
    """The value of a regularizer or constraint, and of a regularizer the gradient."""
    with exact_arithmetic(x.dtype == "float64"):
        made, x = keras.saving.deserialize_keras_object(obj), jnp.asarray(x)
        fields = {"outputs": np.asarray(made(x))}
        if kind == "regularizer":
            fields["input_grads"] = [np.asarray(jax.grad(lambda x: jnp.sum(made(x)))(x))]
    return fields


def leaves(fields):
    return [fields["outputs"], *fields.get("input_grads", [])]


def add(file, kind, function, label, name, x, fits):
    obj = vectors.serialize(function)
    cls = type(function).__name__
    fields, raw = {"args": [x]}, {}
    if fits:
        fields |= computed(kind, obj, x)
        if x.dtype == "float32":
            exact = computed(kind, obj, x.astype("float64"))
            if tolerance := rounding_tolerance(leaves(fields), leaves(exact)):
                raw["tolerance"] = tolerance
    else:
        try:
            keras.saving.deserialize_keras_object(obj)(jnp.asarray(x))
            raise AssertionError(f"{obj} takes {x.shape}")
        except ValueError as error:
            raw["expect_error"] = "rank 2"
            assert raw["expect_error"] in str(error), error
    file.add(f"{kind}s/{cls}/{label},{name}", kind, cls, obj, raw=raw, **fields)


def regularizers():
    file = vectors.VectorFile("regularizers/regularizers")
    made = {
        "default": [R.L1(), R.L2(), R.L1L2(l1=0.01), R.OrthogonalRegularizer()],
        "factor": [R.L1(0.5), R.L2(0.25), R.L1L2(l1=0.5, l2=0.25), R.OrthogonalRegularizer(0.5, "columns")],
        "l2": [R.L1L2(l2=0.125)],
    }
    for label, functions in made.items():
        for function in functions:
            for name, x in arrays():
                orthogonal = isinstance(function, R.OrthogonalRegularizer)
                if orthogonal and "zero" in name:
                    continue
                add(file, "regularizer", function, label, name, x, x.ndim == 2 or not orthogonal)
    print(file.path, len(file.cases), file.write())


def constraints():
    file = vectors.VectorFile("constraints/constraints")
    made = [
        ("default", C.MaxNorm()), ("default", C.MinMaxNorm()), ("default", C.NonNeg()), ("default", C.UnitNorm()),
        ("max=0.5", C.MaxNorm(0.5)), ("axis=-1", C.MaxNorm(1.0, axis=-1)), ("axis=-1", C.UnitNorm(axis=-1)),
        ("range", C.MinMaxNorm(0.5, 1.5)), ("rate", C.MinMaxNorm(0.5, 1.5, rate=0.25)),
        ("axis=-1", C.MinMaxNorm(0.5, 1.5, rate=0.5, axis=-1)), ("axes", C.MaxNorm(0.75, axis=[0, 1, 2])),
        ("axes", C.UnitNorm(axis=[0, 1])), ("axes", C.MinMaxNorm(0.25, 0.75, axis=[0, 1])),
    ]  # fmt: skip
    for label, function in made:
        for name, x in arrays():
            axes = getattr(function, "axis", 0)
            if not isinstance(axes, list) or len(axes) <= x.ndim:
                add(file, "constraint", function, label, name, x, True)
    print(file.path, len(file.cases), file.write())


if __name__ == "__main__":
    regularizers()
    constraints()
