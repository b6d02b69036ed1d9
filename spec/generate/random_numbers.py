"""Writes crates/keras-spec/tests/data/random.json: what the real Keras draws on JAX.

Numbers are written as the integers their bits spell. Draws that JAX makes only with `jax_enable_x64` (float64,
int64, uint64) come from a second process.

Run: KERAS_BACKEND=jax python spec/generate/random_numbers.py
"""

import json
import os
import subprocess
import sys
from pathlib import Path

X64 = sys.argv[1:] == ["--x64"]
if X64:
    os.environ["JAX_ENABLE_X64"] = "1"

import jax
import jax.numpy as jnp
import keras
import numpy as np

OUT = Path(__file__).resolve().parents[2] / "crates/keras-spec/tests/data/random.json"
SEEDS = [0, 1, 2, 7, 42, 1337, 123456789, 999999999, 2**31 - 1, 2**31, 3735928559, 2**32 - 1]
SHAPES = [(), (0,), (1,), (3,), (5, 7), (2, 3, 5), (31,), (32,), (33,), (4, 0, 3), (65,), (2, 1, 1, 9)]
LONG = (65539,)
UINT = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}


def bits(array):
    """The elements as unsigned integers, in row-major order."""
    array = np.asarray(array)
    if array.dtype == bool:
        return array.ravel().astype(int).tolist()
    return array.reshape(-1).view(UINT[array.dtype.itemsize]).tolist()


def digest(array):
    """A polynomial in the bits of the elements, modulo 2**64."""
    value = 0
    for element in bits(array):
        value = (value * 6364136223846793005 + element) % 2**64
    return value


def case(function, array, seed, **args):
    """A draw; of a long one every 997th element, and a digest of them all."""
    array = np.asarray(array)
    entry = {"function": function, "seed": seed, "shape": list(array.shape), "dtype": str(array.dtype), **args}
    if array.size > 2**16:
        return entry | {"step": 997, "values": bits(array)[::997], "digest": digest(array)}
    return entry | {"values": bits(array)}


def float_cases(dtypes):
    for dtype in dtypes:
        for seed, shape in [*zip(SEEDS, SHAPES), (5, LONG)]:
            for low, high in [(0.0, 1.0), (-0.05, 0.05), (-3.0, 11.0)]:
                array = keras.random.uniform(shape, low, high, dtype=dtype, seed=seed)
                yield case("uniform", array, seed, minval=low, maxval=high)
            for mean, stddev in [(0.0, 1.0), (0.3, 0.05)]:
                for name in ["normal", "truncated_normal"]:
                    array = getattr(keras.random, name)(shape, mean, stddev, dtype=dtype, seed=seed)
                    yield case(name, array, seed, mean=mean, stddev=stddev)


def int_cases(dtypes):
    for dtype in dtypes:
        info = np.iinfo(dtype)
        top = min(info.max, np.iinfo(np.int64 if X64 else np.int32).max)
        ranges = [(0, 10), (max(info.min, -7), 100), (5, 5), (9, 3), (max(info.min, -top), top)]
        if info.max < top or np.iinfo(dtype).bits < 32 or X64:
            ranges.append((info.min, min(info.max + 1, 2**63 - 1)))
        for (low, high), seed, shape in zip(ranges * 3, SEEDS, SHAPES):
            array = keras.random.randint(shape, low, high, dtype=dtype, seed=seed)
            yield case("randint", array, seed, minval=low, maxval=high)
        yield case("randint", keras.random.randint(LONG, 0, 100, dtype=dtype, seed=3), 3, minval=0, maxval=100)


def bits_cases(widths):
    for width in widths:
        for seed, shape in [*zip(SEEDS, SHAPES), (5, LONG)]:
            key = jnp.array([seed, 0], dtype="uint32")
            yield case("bits", jax.random.bits(key, shape, f"uint{width}"), seed)


def categorical_cases(dtypes):
    rng = np.random.default_rng(0)
    for dtype in dtypes:
        for seed, (batch, classes, samples) in zip(SEEDS, [(1, 1, 1), (2, 3, 5), (7, 10, 33), (3, 2, 0), (4, 1000, 6)]):
            logits = jnp.asarray(rng.normal(size=(batch, classes)) * 2, dtype)
            array = keras.random.categorical(logits, samples, seed=seed)
            yield case("categorical", array, seed, logits=bits(logits), classes=classes, logits_dtype=dtype)


def other_cases():
    for seed, shape in [*zip(SEEDS, SHAPES), (5, LONG)]:
        for rate in [0.1, 0.5, 0.9]:
            kept = keras.random.dropout(jnp.ones(shape), rate, seed=seed) != 0
            yield case("dropout_mask", kept, seed, rate=rate)
        for axis in range(len(shape)):
            x = jnp.arange(np.prod(shape, dtype=int), dtype="int32").reshape(shape)
            yield case("shuffle", keras.random.shuffle(x, axis=axis, seed=seed), seed, axis=axis)
    for seed in SEEDS:
        key = jnp.array([seed, 3], dtype="uint32")
        yield {"function": "split", "key": [seed, 3], "values": bits(jax.random.split(key, 5))}
        yield {"function": "fold_in", "key": [seed, 3], "data": 77, "values": bits(jax.random.fold_in(key, 77))}


def seed_cases():
    """What is drawn, in this order, after `set_random_seed`."""
    for seed in SEEDS:
        keras.utils.set_random_seed(seed)
        generator = keras.random.SeedGenerator(seed)
        yield {
            "function": "seeds",
            "seed": seed,
            "default_seeds": [keras.src.random.seed_generator.make_default_seed() for _ in range(50)],
            "global_keys": [bits(keras.src.random.seed_generator.draw_seed(None)) for _ in range(5)],
            "default_seed_after": keras.src.random.seed_generator.make_default_seed(),
            "generator_keys": [bits(generator.next()) for _ in range(3)],
            "generator_unordered_keys": [bits(generator.next(ordered=False)) for _ in range(3)],
            "generator_state": bits(generator.state.value),
            "permutations": [np.random.permutation(n).tolist() for n in [0, 1, 2, 3, 17, 64, 100]],
        }


if X64:
    cases = [*float_cases(["float64"]), *int_cases(["int64", "uint64"]), *bits_cases([64]), *categorical_cases(["float64"])]
    json.dump(cases, sys.stdout)
else:
    cases = [
        *bits_cases([8, 16, 32]),
        *float_cases(["float32", "float16", "bfloat16"]),
        *int_cases(["int8", "int16", "int32", "uint8", "uint16", "uint32"]),
        *categorical_cases(["float32", "float16", "bfloat16"]),
        *other_cases(),
        *seed_cases(),
    ]
    x64 = subprocess.run([sys.executable, __file__, "--x64"], check=True, capture_output=True, text=True)
    cases += json.loads(x64.stdout)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(json.dumps(entry, separators=(",", ":")) for entry in cases)
    versions = f"keras {keras.__version__}, jax {jax.__version__}, numpy {np.__version__}"
    OUT.write_text(f'{{"source": "{versions}", "cases": [\n{lines}\n]}}\n')
