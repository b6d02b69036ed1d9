"""Measures how far Keras's own results in spec/vectors/ops lie from the exact ones and writes the bounds that follow, in
units in the last place, into spec/spec.json.

A unit is the distance from 1 to the next number of the dtype, times the expected number. The bound is what XLA needs,
rounded up, and four more (one more in half precision): an implementation that is so close to the exact result passes."""

import json
import math

import ml_dtypes
import numpy as np
from safetensors.numpy import load_file
from scipy import special

from vectors import VECTORS, dtype

NUMPY = {"arcsin", "arccos", "arctan", "arcsinh", "arccosh", "arctanh", "exp", "expm1", "log", "log1p", "sin", "cos", "tan", "sinh", "cosh", "tanh"}
EXACT = {name: getattr(np, name) for name in NUMPY} | {
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "softplus": lambda x: np.logaddexp(x, 0),
    "erf": special.erf,
    "erfinv": special.erfinv,
    "divide": np.divide,
    "power": np.power,
    "arctan2": np.arctan2,
    "mod": np.mod,
    "floor_divide": np.floor_divide,
}
"""The functions in a precision above that of the result."""
DOUBLE_ONLY = ["erf", "erfinv"]
FLOATS = ["float32", "float64", "float16", "bfloat16"]


def error(expected, exact):
    """The largest error of the numbers that are not subnormal, in units."""
    info = ml_dtypes.finfo(expected.dtype)
    expected, exact = expected.astype(np.longdouble), exact.astype(np.longdouble)
    usual = np.isfinite(expected) & np.isfinite(exact) & (np.abs(expected) >= float(info.tiny)) & (np.abs(exact) <= float(info.max))
    off = np.abs(expected - exact)[usual] / (float(info.eps) * np.abs(expected[usual]))
    return float(np.max(off, initial=0))


def main():
    worst = {}
    for name in ["unary", "binary"]:
        path = VECTORS / "ops" / f"{name}.json"
        tensors = load_file(path.with_suffix(".safetensors"))
        for case in json.loads(path.read_text())["cases"]:
            op = case["op"]
            arrays = [tensors[a["tensor"]] for a in case["args"]]
            expected = tensors[case["outputs"][0]["tensor"]]
            kind = expected.dtype.name
            if op not in EXACT or kind not in FLOATS or any(a.dtype != expected.dtype for a in arrays) or "tolerance" in case:
                continue
            if kind == "float64" and op in DOUBLE_ONLY:
                continue
            with np.errstate(all="ignore"):
                exact = EXACT[op](*(a.astype(np.float64 if op in DOUBLE_ONLY else np.longdouble) for a in arrays))
            worst.setdefault(op, {}).setdefault(kind, 0)
            worst[op][kind] = max(worst[op][kind], error(expected, exact))
    bounds = {op: {kind: math.ceil(w) + (1 if dtype(kind).itemsize == 2 else 4) for kind, w in kinds.items()} for op, kinds in worst.items()}
    path = VECTORS.parent / "spec.json"
    text = path.read_text()
    rows = ",\n".join(f"    {json.dumps(op)}: {json.dumps(bounds[op])}" for op in sorted(bounds))
    path.write_text(text[: text.index('"ulp": {')] + '"ulp": {\n' + rows + "\n  }\n}\n")
    for op in sorted(worst):
        print(op, {kind: round(w, 2) for kind, w in worst[op].items()})


if __name__ == "__main__":
    main()
