"""Golden vectors of kind `activation`: every function of `keras.activations`, gradients included."""

import jax
import jax.numpy as jnp
import keras
import numpy as np
import vectors
from precision import exact_arithmetic

A = keras.activations
FILE = vectors.VectorFile("activations/activations")
NAMES = [
    "celu", "elu", "exponential", "gelu", "glu", "hard_shrink", "hard_sigmoid", "hard_silu", "hard_tanh", "leaky_relu",
    "linear", "log_sigmoid", "log_softmax", "mish", "relu", "relu6", "selu", "sigmoid", "silu", "soft_shrink", "softmax",
    "softplus", "softsign", "sparse_plus", "sparse_sigmoid", "sparsemax", "squareplus", "tanh", "tanh_shrink", "threshold",
]  # fmt: skip
ACROSS = ["softmax", "log_softmax", "sparsemax", "glu"]
KWARGS = {
    "celu": [{"alpha": 0.5}],
    "elu": [{"alpha": 0.5}, {"alpha": 2.0}],
    "gelu": [{"approximate": True}],
    "glu": [{"axis": 1}],
    "hard_shrink": [{"threshold": 1.25}],
    "leaky_relu": [{"negative_slope": 0.0625}],
    "log_softmax": [{"axis": 0}, {"axis": 1}],
    "relu": [
        {"negative_slope": 0.25}, {"max_value": 1.5}, {"threshold": 0.5}, {"threshold": -0.5},
        {"negative_slope": 0.25, "max_value": 1.5, "threshold": 0.5},
    ],
    "soft_shrink": [{"threshold": 1.25}],
    "softmax": [{"axis": 0}, {"axis": 1}, {"axis": [0, 2]}],
    "sparsemax": [{"axis": 1}],
    "squareplus": [{"b": 1}, {"b": 0.5}],
}  # fmt: skip
SPECIAL = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e38, -1e38, 1e-40, -1e-40, 1e-8, -1e-8, 1e4, -1e4, 88.0, -88.0, 1.0]
KINKS = [0.0, -0.0, 0.5, -0.5, 1.0, -1.0, 3.0, -3.0, 6.0, 1.25, -1.25, 2.5, -2.5, 20.0, -20.0, 100.0, -100.0, 1e-8, -1e-8]


def add(label, name, x, grads=True, **kwargs):
    keyed = {"threshold": 0.25, "default_value": -1.5} | kwargs if name == "threshold" else kwargs
    function = lambda x: getattr(A, name)(x, **keyed)  # noqa: E731
    with exact_arithmetic(x.dtype == "float64"):
        y, vjp = jax.vjp(function, jnp.asarray(x))
        fields = {"args": [x], "kwargs": keyed, "outputs": np.asarray(y)}
        if grads:
            cotangents = vectors.data("activations", y.shape, y.dtype.name)
            (dx,) = vjp(jnp.asarray(cotangents))
            assert np.isfinite(np.asarray(dx).astype("float32")).all(), (label, name)
            fields |= {"cotangents": cotangents, "input_grads": [np.asarray(dx)]}
    try:
        FILE.add(f"activations/{name}/{label}", "activation", name, name, **fields)
    except vectors.Rejected as reason:
        print(f"rejected activations/{name}/{label}: {reason}")


def finite_gradients(name, x):
    """The elements of `x` where the gradient is a number."""
    grad = np.asarray(jax.grad(lambda x: jnp.sum(getattr(A, name)(x)))(jnp.asarray(x)))
    return x[np.isfinite(grad)]


def main():
    for name in NAMES:
        for shape in [(4, 6), (2, 4, 6)] + ([] if name in ACROSS else [(9,), ()]):
            add(f"shape={shape}", name, vectors.data("activations", shape, low=-4, high=4))
        for kwargs in KWARGS.get(name, []) + ([{"threshold": -1.0, "default_value": 2.0}] if name == "threshold" else []):
            label = ",".join(f"{k}={v}" for k, v in kwargs.items())
            add(label, name, vectors.data("activations", (2, 4, 6), low=-4, high=4), **kwargs)
        for dtype in ["float16", "bfloat16", "float64"]:
            add(f"dtype={dtype}", name, vectors.data("activations", (4, 6), dtype, low=-4, high=4))
        if name in ACROSS:
            huge = np.array([[1e4, 0.0, -1e4, 1e4], [80.0, 90.0, 100.0, -1e38], [1e-40, 0.0, -0.0, 1e-8]], "float32")
            add("huge", name, huge)
            infinite = np.array([[np.inf, 0, 1, 2], [-np.inf, 0, 1, 2], [-np.inf] * 4, [np.nan, 0, 1, 2]], "float32")
            if name != "sparsemax":
                add("special", name, infinite, grads=False)
            continue
        special = np.array(SPECIAL, "float32")
        add("special", name, special, grads=False)
        for dtype in ["float16", "bfloat16"]:
            add(f"special,dtype={dtype}", name, special.astype(vectors.dtype(dtype)), grads=False)
        if name != "threshold":
            add("kinks", name, finite_gradients(name, np.array(KINKS, "float32")))
    print(FILE.path, len(FILE.cases), FILE.write())


if __name__ == "__main__":
    main()
