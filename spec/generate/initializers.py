"""Golden vectors of kind `initializer`: every initializer with explicit seeds, on many shapes and dtypes."""

import keras
import numpy as np
import vectors
from precision import exact_arithmetic

I = keras.initializers
SHAPES = [(7,), (3, 4), (5, 3), (3, 2, 4), (3, 3, 2, 4), (2, 2, 3, 2, 2)]
FILE = vectors.VectorFile("initializers/initializers")


def add(label, initializer, shape, dtype="float32", why=None):
    name = type(initializer).__name__
    raw = {"shape": list(shape), "dtype": dtype}
    if why:
        raw["why"] = why
    fields = {}
    obj = vectors.serialize(initializer)
    with exact_arithmetic(dtype in ("float64", "int64")):
        try:
            fields["outputs"] = np.asarray(keras.saving.deserialize_keras_object(obj)(shape, dtype=dtype))
        except ValueError as error:
            raw["expect_error"] = "shape"
            assert raw["expect_error"] in str(error), error
    assert "expect_error" in raw or fields["outputs"].dtype == dtype
    FILE.add(f"initializers/{name}/{label},shape={shape},dtype={dtype}", "initializer", name, obj, raw=raw, **fields)


def grid(make, label="default", shapes=SHAPES, halves=("float16", "bfloat16")):
    """All shapes with one seed, all seeds with one shape, and the other dtypes."""
    for shape in shapes:
        add(f"{label},seed=7", make(seed=7), shape)
    for seed in [0, 1, 1234, 2**31 - 1]:
        add(f"{label},seed={seed}", make(seed=seed), shapes[1])
    for dtype in [*halves, "float64"]:
        add(f"{label},seed=7", make(seed=7), shapes[1], dtype)


def main():
    constant = "constant by nature"
    for shape in [(), (3,), (2, 3)]:
        add("default", I.Zeros(), shape, why=constant)
        add("default", I.Ones(), shape, why=constant)
        for value in [0.0, -1.5, 3]:
            add(f"value={value}", I.Constant(value), shape, why=constant)
    for dtype in ["float16", "bfloat16", "float64", "int32", "uint8", "int64", "bool"]:
        for initializer in [I.Zeros(), I.Ones(), I.Constant(3)]:
            add("default", initializer, (2, 2), dtype, why=constant)
    grid(I.RandomNormal)
    grid(lambda seed: I.RandomNormal(mean=1.0, stddev=2.0, seed=seed), "mean=1,stddev=2")
    grid(I.RandomUniform)
    grid(lambda seed: I.RandomUniform(minval=-1.0, maxval=3.0, seed=seed), "minval=-1,maxval=3")
    grid(I.TruncatedNormal)
    grid(lambda seed: I.TruncatedNormal(mean=1.0, stddev=2.0, seed=seed), "mean=1,stddev=2")
    for cls in [I.RandomNormal, I.RandomUniform, I.TruncatedNormal, I.GlorotUniform]:
        add("large", cls(seed=3), (64, 33))
        add("rank_0", cls(seed=3), ())
    for mode in ["fan_in", "fan_out", "fan_avg"]:
        for distribution in ["truncated_normal", "untruncated_normal", "uniform"]:
            for shape in SHAPES:
                add(f"{mode},{distribution}", I.VarianceScaling(mode=mode, distribution=distribution, seed=7), shape)
            add(f"{mode},{distribution},scale", I.VarianceScaling(2.5, mode, distribution, seed=1), (3, 4))
    axes = {"input_axes": [0], "output_axes": [1, 2]}
    add("axes", I.VarianceScaling(seed=7, **axes), (4, 2, 3))
    add("axes,fan_out", I.VarianceScaling(mode="fan_out", seed=7, **axes), (4, 2, 3))
    for cls in [I.GlorotNormal, I.GlorotUniform, I.HeNormal, I.HeUniform, I.LecunNormal, I.LecunUniform]:
        grid(cls)
        add("axes", cls(seed=7, **axes), (4, 2, 3))
    grid(I.Orthogonal, shapes=[(4, 4), (3, 5), (5, 3), (2, 3, 4), (3, 1)], halves=())
    add("gain=2", I.Orthogonal(gain=2.0, seed=7), (3, 5))
    for shape in [(3, 3), (2, 4), (4, 2)]:
        add("default", I.Identity(), shape)
        add("gain=2.5", I.Identity(gain=2.5), shape)
    for dtype in ["float16", "bfloat16", "float64"]:
        add("default", I.Identity(), (3, 3), dtype)
    add("rank_1", I.Orthogonal(seed=7), (3,))
    add("rank_1", I.Identity(), (3,))
    add("rank_3", I.Identity(), (3, 3, 3))
    print(FILE.path, len(FILE.cases), FILE.write())


if __name__ == "__main__":
    main()
