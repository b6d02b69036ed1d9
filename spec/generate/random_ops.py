"""Golden vectors of `keras.random` (kind `op`), promotion of dtypes, and the seeds that Keras draws itself.

A `seed` in `kwargs` is an integer, or the state of a seed generator (uint32[2])."""

import itertools
import json

import jax
import jax.numpy as jnp
import keras
import numpy as np
import vectors
from precision import exact_arithmetic
from keras.src.random import seed_generator

R = keras.random
SEEDS = [0, 1, 1234, 2**31 - 1]
STATES = [np.array(s, "uint32") for s in ([5, 0], [5, 1], [1234, 77], [2**32 - 1, 2**32 - 1], [0, 2**31])]
DTYPES = [
    "float16", "bfloat16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
    "bool",
]  # fmt: skip


def add(file, name, label, *args, why=None, **kwargs):
    x64 = kwargs.get("dtype") in ("float64", "int64") or any(getattr(a, "dtype", None) in ("float64", "int64") for a in args)
    with exact_arithmetic(x64):
        call = lambda v: jnp.asarray(v) if isinstance(v, np.ndarray) else v  # noqa: E731
        outputs = np.asarray(getattr(R, name)(*map(call, args), **{k: call(v) for k, v in kwargs.items()}))
    fields = {"args": list(args), "kwargs": kwargs, "outputs": outputs}
    raw = {"op": f"random.{name}"} | ({"why": why} if why else {}) | ({"x64": True} if x64 else {})
    file.add(f"random/{name}/{label}", "op", None, None, raw=raw, **fields)


def floats():
    file = vectors.VectorFile("random/floats")
    for name in ["uniform", "normal", "truncated_normal"]:
        for shape in [(), (1,), (2,), (3,), (4, 5), (2, 3, 4), (0, 3), (129,)]:
            add(file, name, f"shape={shape}", shape, seed=11)
        for seed in SEEDS:
            add(file, name, f"seed={seed}", (3, 3), seed=seed)
        for state in STATES:
            add(file, name, f"state={state.tolist()}", (3, 3), seed=state)
        for dtype in ["float16", "bfloat16", "float32", "float64"]:
            for shape in [(5,), (2, 3)]:
                add(file, name, f"dtype={dtype},shape={shape}", shape, dtype=dtype, seed=11)
        add(file, name, "large", (4096,), seed=3)
    for low, high in [(-1.0, 1.0), (2.0, 5.0), (0.0, 1e-3)]:
        add(file, "uniform", f"minval={low},maxval={high}", (3, 4), minval=low, maxval=high, seed=11)
    for name in ["normal", "truncated_normal"]:
        for mean, stddev in [(1.0, 1.0), (0.0, 3.0), (-2.0, 0.5)]:
            add(file, name, f"mean={mean},stddev={stddev}", (3, 4), mean=mean, stddev=stddev, seed=11)
    print(file.path, len(file.cases), file.write())


def integers():
    file = vectors.VectorFile("random/integers")
    for low, high in [(0, 10), (-5, 5), (0, 2), (3, 1000), (0, 2**31 - 1), (-(2**31), 2**31 - 1), (0, 256)]:
        for seed in [11, STATES[1]]:
            add(file, "randint", f"{low},{high},seed={np.asarray(seed).tolist()}", (4, 5), low, high, seed=seed)
    for shape in [(), (1,), (7,), (2, 3, 4)]:
        add(file, "randint", f"shape={shape}", shape, 1, 100, seed=11)
    for dtype in ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32"]:
        add(file, "randint", f"dtype={dtype}", (12,), 0, 100, dtype=dtype, seed=11)
    for seed in [*SEEDS, *STATES]:
        add(file, "randint", f"seed={np.asarray(seed).tolist()}", (6,), 0, 1000000, seed=seed)
    logits = vectors.data("random", (3, 5))
    for n in [1, 7, 20]:
        for seed in [11, STATES[1]]:
            add(file, "categorical", f"n={n},seed={np.asarray(seed).tolist()}", logits, n, seed=seed)
    add(file, "categorical", "impossible", np.array([[0, -np.inf, 0, -np.inf]] * 2, "float32"), 20, seed=11)
    add(file, "categorical", "peaked", np.array([[0, 3, 0], [3, 0, 0]], "float32"), 20, dtype="int64", seed=11)
    for shape in [(9,), (2,), (5, 3), (2, 3, 4)]:
        x = np.arange(np.prod(shape), dtype="float32").reshape(shape)
        for axis in range(len(shape)):
            for seed in [11, STATES[1]]:
                add(file, "shuffle", f"shape={shape},axis={axis},seed={np.asarray(seed).tolist()}", x, axis=axis, seed=seed)
    add(file, "shuffle", "large", np.arange(300, dtype="int32"), seed=11)
    print(file.path, len(file.cases), file.write())


def gamma():
    file = vectors.VectorFile("random/gamma")
    for alpha in [0.05, 0.5, 1.0, 2.5, 40.0]:
        for seed in [11, STATES[1]]:
            label = f"alpha={alpha},seed={np.asarray(seed).tolist()}"
            add(file, "gamma", label, (4, 5), alpha, seed=seed)
            add(file, "beta", label, (4, 5), alpha, 0.7, seed=seed)
    for dtype in ["float32", "float64"]:
        add(file, "gamma", f"dtype={dtype}", (7,), 1.5, dtype=dtype, seed=11)
        add(file, "beta", f"dtype={dtype}", (7,), 1.5, 0.25, dtype=dtype, seed=11)
    print(file.path, len(file.cases), file.write())


def dropout():
    file = vectors.VectorFile("random/dropout")
    for rate in [0.1, 0.25, 0.5, 0.9]:
        for seed in [11, STATES[1]]:
            add(file, "dropout", f"rate={rate},seed={np.asarray(seed).tolist()}", vectors.data("random", (6, 7)), rate, seed=seed)
    x = vectors.data("random", (2, 3, 4))
    add(file, "dropout", "rate=0", x, 0.0, seed=11)
    add(file, "dropout", "rate=1", x, 1.0, seed=11, why="everything is dropped")
    for noise in [(2, 1, 4), (None, 1, None), (2, 3, 1), (1, 1, 4)]:
        add(file, "dropout", f"noise_shape={noise}", x, 0.5, noise_shape=noise, seed=12)
    for dtype in ["float16", "bfloat16", "float64"]:
        add(file, "dropout", f"dtype={dtype}", vectors.data("random", (5, 6), dtype), 0.25, seed=11)
    print(file.path, len(file.cases), file.write())


def promotion():
    """`keras.backend.result_type` for pairs and triples, as called (x64 off) and before 64 bits are cut."""
    weak = {"int": int, "float": float}
    names = DTYPES + list(weak)
    spelled = lambda combination: [weak.get(n, n) for n in combination]  # noqa: E731
    combinations = [*itertools.product(names, names), *((n,) for n in names)]
    generator = vectors.rng("promotion")
    combinations += [tuple(generator.choice(names, 3).tolist()) for _ in range(150)]
    rows = []
    for combination in dict.fromkeys(combinations):
        row = {"dtypes": list(combination), "default": keras.backend.result_type(*spelled(combination))}
        with exact_arithmetic():
            row["lattice"] = keras.backend.result_type(*spelled(combination))
        rows.append(row)
    text = {
        "format": 1,
        "source": vectors.SOURCE,
        "jax_enable_x64": bool(jax.config.jax_enable_x64),
        "about": "`default`: keras.backend.result_type; `lattice`: the same before 64-bit results are cut for want of x64;"
        " `int` and `float` are Python's weak types",
        "rows": rows,
    }
    write_json("dtypes/promotion", text, "rows")


def python_random():
    """What Keras draws from Python's `random` after `set_random_seed`."""
    rows = []
    for seed in [0, 1, 42, 1234, 2**31, 2**32 - 1]:
        row = {"seed": seed}
        keras.utils.set_random_seed(seed)
        row["default_seeds"] = [seed_generator.make_default_seed() for _ in range(20)]
        keras.utils.set_random_seed(seed)
        row["generator_states"] = [state(R.SeedGenerator()) for _ in range(3)]
        keras.utils.set_random_seed(seed)
        generator = R.SeedGenerator()
        row["generator_next"] = [np.asarray(generator.next()).tolist() for _ in range(4)]
        keras.utils.set_random_seed(seed)
        row["global_state"] = state(seed_generator.global_seed_generator())
        row["global_next"] = [np.asarray(seed_generator.draw_seed(None)).tolist() for _ in range(4)]
        row["after_global"] = seed_generator.make_default_seed()
        keras.utils.set_random_seed(seed)
        row["uniform"] = np.asarray(R.uniform((3,))).astype("float64").tolist()
        row["normal_next"] = np.asarray(R.normal((3,))).astype("float64").tolist()
        keras.utils.set_random_seed(seed)
        row["dense_kernel"] = dense_kernel()
        rows.append(row)
    about = {
        "default_seeds": "the first 20 values of make_default_seed() after set_random_seed(seed)",
        "generator_states": "the states of the first three SeedGenerator(), each as (seed, 0)",
        "generator_next": "what next() of the first SeedGenerator() hands out",
        "global_state": "the state of the global seed generator, made on first use",
        "global_next": "what random functions with seed=None draw from it: next(ordered=False)",
        "after_global": "the make_default_seed() that follows",
        "uniform": "keras.random.uniform((3,)) as first call, normal_next: keras.random.normal((3,)) after it",
        "dense_kernel": "the first row of the kernel of Dense(3) built on two features as first object",
    }
    write_json("random/python_random", {"format": 1, "source": vectors.SOURCE, "about": about, "rows": rows}, "rows")


def state(generator):
    return np.asarray(generator.state.value).tolist()


def dense_kernel():
    layer = keras.layers.Dense(3)
    layer.build((None, 2))
    return np.asarray(layer.kernel.value)[0].astype("float64").tolist()


def write_json(name, value, rows):
    path = (vectors.VECTORS / name).with_suffix(".json")
    path.parent.mkdir(parents=True, exist_ok=True)
    head = {k: v for k, v in value.items() if k != rows}
    lines = ",\n".join(json.dumps(row, separators=(",", ":")) for row in value[rows])
    path.write_text(json.dumps(head)[:-1] + f', "{rows}": [\n{lines}\n]}}\n', encoding="utf-8")
    print(path, len(value[rows]))


if __name__ == "__main__":
    floats()
    integers()
    gamma()
    dropout()
    promotion()
    python_random()
