"""How far Keras's own rounding lies from the exact result, and the tolerance that follows."""

import contextlib
import json
import math

import jax
import numpy as np
from keras.src.backend.common import dtypes

from vectors import VECTORS, is_array

TOLERANCE = json.loads((VECTORS.parent / "spec.json").read_text())["tolerance"]
EXACT = {"rtol": 0, "atol": 0, "why": "integer data: exact sums"}


def is_float(value):
    return is_array(value) and np.dtype(value.dtype).name in TOLERANCE


@contextlib.contextmanager
def exact_arithmetic(on=True):
    """64-bit types everywhere. Left alone, Keras on JAX turns them into 32-bit ones at every promotion."""
    if not on:
        yield
        return
    narrow = dict(dtypes.BIT64_TO_BIT32_DTYPE)
    with jax.enable_x64(True):
        dtypes.BIT64_TO_BIT32_DTYPE.clear()
        try:
            yield
        finally:
            dtypes.BIT64_TO_BIT32_DTYPE.update(narrow)


def rounding_tolerance(results, references):
    """The `tolerance` of a case whose floating `results` have the more exact `references`, or None for the default.

    Half of the default is left to Keras; where its results are further away, the case gets four times
    their distance.
    """
    units, atol = 0.0, 0.0
    for result, reference in zip(results, references, strict=True):
        if not is_float(result) or result.size == 0:
            continue
        base = TOLERANCE[result.dtype.name]
        result, reference = result.astype("float64"), reference.astype("float64")
        finite = np.isfinite(result) & np.isfinite(reference)
        error = np.abs(result - reference)[finite] / (1 + np.abs(reference[finite]))
        worst = float(np.max(error, initial=0.0))
        units, atol = max(units, worst / base), max(atol, base, 4 * worst)
    if units <= 0.5:
        return None
    digits = 10.0 ** math.floor(math.log10(atol))
    nice = next(m for m in (1, 2, 5, 10) if m * digits >= atol * 0.999) * digits
    nice = float(f"{nice:.0e}")
    return {"rtol": nice, "atol": nice, "why": f"rounding: Keras itself is {units:.2g} default tolerances away"}
