"""Writes crates/keras-spec/tests/data/promotion.json: `keras.backend.result_type` of dtypes, pairs and triples.

A row is [operands, least upper bound in Keras's lattice, result_type]. The last is what Keras answers on JAX, NumPy
and PyTorch, where a 64-bit result becomes a 32-bit one; the second is the same before that step.

Run: KERAS_BACKEND=jax python spec/generate/promotion_table.py
"""

import itertools
import json
from pathlib import Path

import keras
from keras.src.backend.common import dtypes

OUT = Path(__file__).resolve().parents[2] / "crates/keras-spec/tests/data/promotion.json"
NAMES = ["bool", *dtypes.INT_TYPES, "float16", "bfloat16", "float32", "float64", "int", "float"]
PYTHON = {"int": int, "float": float}

groups = [[name] for name in NAMES] + [list(pair) for pair in itertools.product(NAMES, NAMES)]
groups += [list(triple) for triple in itertools.combinations(NAMES, 3)]


def results():
    return [keras.backend.result_type(*(PYTHON.get(name, name) for name in group)) for group in groups]


narrowed = results()
dtypes.BIT64_TO_BIT32_DTYPE.clear()
rows = ",\n".join(json.dumps(row) for row in zip(groups, results(), narrowed))
OUT.parent.mkdir(parents=True, exist_ok=True)
OUT.write_text(f'{{"source": "keras {keras.__version__}", "rows": [\n{rows}\n]}}\n')
