"""Writes crates/backend-ndarray/tests/data/kinks.json: gradients of Keras on JAX where a derivative does not exist, is
infinite, or has to be shared between equals.

A case is an operation of `keras.ops`, its operands, the gradient of its result and what `jax.vjp` makes of it. JSON has
no NaN and no infinities; here they are texts.

Run: KERAS_BACKEND=jax python spec/generate/kinks.py
"""

import json
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import keras
from keras import ops

OUT = Path(__file__).resolve().parents[2] / "crates/backend-ndarray/tests/data/kinks.json"
INF, NAN = math.inf, math.nan

UNARY = {
    "relu": [0.0, -0.0, 1.0, -1.0, NAN],
    "absolute": [0.0, -0.0, 1.0, -1.0],
    "sign": [0.0, 2.0],
    "floor": [1.0, 1.5],
    "ceil": [1.0, 1.5],
    "round": [0.5, 1.5],
    "sqrt": [0.0, 4.0, -1.0],
    "rsqrt": [0.0, 4.0],
    "log": [0.0, -1.0, 2.0],
    "log1p": [-1.0, 0.0],
    "hard_sigmoid": [-3.0, 3.0, 0.0],
    "arcsin": [1.0, -1.0],
    "arccos": [1.0, -1.0],
    "arccosh": [1.0, 2.0],
    "arctanh": [1.0, -1.0],
    "erfinv": [1.0, 0.0],
    "softplus": [0.0, 100.0, -100.0],
    "sigmoid": [0.0, 200.0, -200.0],
    "tanh": [0.0, 20.0, -20.0],
}
BINARY = {
    "maximum": [(1, 1), (2, 1), (1, 2), (NAN, 1)],
    "minimum": [(1, 1), (2, 1), (1, 2), (NAN, 1)],
    "power": [(0, 0), (0, 1), (0, 2), (0, 0.5), (0, -1), (-2, 2), (-2, 3), (-2, 0.5), (2, 0), (1, 5), (2, 3)],
    "mod": [(5, 3), (-5, 3), (5, -3), (-5, -3), (6, 3), (5, 0), (0, 3)],
    "floor_divide": [(5, 3), (-5, 3), (6, 3), (5, 0), (0, 0)],
    "divide": [(1, 0), (0, 0), (3, 2)],
    "arctan2": [(0, 0), (1, 0), (0, -1), (1, 2)],
}
VECTOR = [
    ("max", ops.max, [1, 3, 3, 2]),
    ("min", ops.min, [1, 1, 1, 2]),
    ("prod", ops.prod, [0, 2, 3]),
    ("prod", ops.prod, [0, 0, 3]),
    ("cumprod", ops.cumprod, [2, 0, 3, 4]),
    ("cumprod", ops.cumprod, [0, 0, 3, 0]),
    ("cumsum", ops.cumsum, [1, 2, 3]),
    ("sort", ops.sort, [2, 1, 2, 1]),
    ("clip", lambda x: ops.clip(x, -1, 1), [-1, 1, 0, 2, -2]),
    ("max_pool", lambda x: ops.max_pool(x[None, :, None], 2, 2), [1, 1, 3, 2]),
    ("softmax", ops.softmax, [1, 1, -INF]),
    ("take", lambda x: ops.take(x, jnp.array([2, 2, 0])), [1, 2, 3]),
]


def case(name, function, *operands):
    operands = [jnp.array(x, jnp.float32) for x in operands]
    result, backward = jax.vjp(function, *operands)
    cotangent = 1 + jnp.arange(result.size, dtype=jnp.float32).reshape(result.shape)
    gradients = backward(cotangent)
    arrays = {"operands": operands, "cotangent": [cotangent], "gradients": gradients}
    return {"op": name} | {key: [plain(x) for x in values] for key, values in arrays.items()}


def plain(x):
    return [v if math.isfinite(v) else str(v) for v in x.ravel().tolist()]


cases = [case(name, getattr(ops, name), x) for name, x in UNARY.items()]
cases += [case(name, getattr(ops, name), *zip(*pairs)) for name, pairs in BINARY.items()]
cases += [case(*entry) for entry in VECTOR]
rows = ",\n".join(json.dumps(c) for c in cases)
OUT.parent.mkdir(parents=True, exist_ok=True)
OUT.write_text(f'{{"source": "keras {keras.__version__}, jax {jax.__version__}", "cases": [\n{rows}\n]}}\n')
