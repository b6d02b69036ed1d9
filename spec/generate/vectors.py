"""Writes golden-vector files: NAME.json with the cases and NAME.safetensors with their arrays.

The format is described in spec/vectors/README.md. Two runs give the same bytes: cases keep the
order in which they were added, arrays get their keys in the order of first use, and random data
depend on nothing but a text.
"""

import hashlib
import json
import math
from pathlib import Path

import keras
import ml_dtypes
import numpy as np
from keras import tree
from safetensors.numpy import save as to_safetensors

if keras.backend.backend() != "jax":
    raise SystemExit("set KERAS_BACKEND=jax: golden vectors are those of the JAX backend")
SOURCE = f"keras {keras.__version__}, backend {keras.backend.backend()}"
VECTORS = Path(__file__).resolve().parent.parent / "vectors"


class Rejected(Exception):
    """The case would prove nothing (or cannot be written); it is left out."""


def rng(*key):
    """A numpy generator that depends on nothing but the text of `key`."""
    digest = hashlib.sha256("/".join(map(str, key)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "little"))


def to_numpy(value):
    """A C-contiguous numpy array of a tensor, a Keras variable or a numpy array."""
    array = np.asarray(keras.ops.convert_to_numpy(value) if not isinstance(value, np.ndarray) else value)
    return np.ascontiguousarray(array).reshape(array.shape)


def is_array(value):
    """Whether `value` is written as a tensor (numpy scalars are)."""
    return isinstance(value, (np.ndarray, np.generic, keras.Variable)) or keras.ops.is_tensor(value)


def is_varied(arrays):
    """Whether at least one of the arrays is not constant (all NaN is), or is a single value other than zero, or
    is empty (then the shape is the result)."""
    for array in map(to_numpy, arrays):
        flat = array.reshape(-1)
        if flat.size == 0 or (flat.size == 1 and flat[0] != 0) or (flat.size > 1 and np.any((flat != flat[0]) & ((flat == flat) | (flat[0] == flat[0])))):
            return True
    return False


def serialize(obj):
    """`keras.saving.serialize_keras_object` as plain JSON: tuples are lists, numpy numbers are numbers.

    Memory addresses and the like never appear in it; an object that cannot be written is rejected.
    """

    def plain(value):
        if isinstance(value, dict):
            return {str(k): plain(v) for k, v in value.items()}
        if isinstance(value, (list, tuple)):
            return [plain(v) for v in value]
        if isinstance(value, np.generic):
            return plain(value.item())
        if value is None or isinstance(value, (bool, int, str)):
            return value
        if isinstance(value, float):
            if not math.isfinite(value):
                raise Rejected(f"{value} in a config")
            return value
        raise Rejected(f"{type(value).__name__} in a config")

    return plain(keras.saving.serialize_keras_object(obj))


class Record(dict):
    """A dict of values that is written as a plain JSON object: `{"args": …, "kwargs": …}` of a call."""


class VectorFile:
    """The cases of one pair of files."""

    def __init__(self, name):
        """`name` is the path below spec/vectors, without an extension: "layers/dense"."""
        self.path = VECTORS / name
        self.cases = []
        self._ids = set()
        self._tensors = {}
        self._keys = {}

    def tensor(self, value):
        """`{"tensor": KEY}` for an array; equal arrays (dtype, shape and bits) share one entry."""
        array = to_numpy(value)
        identity = (array.dtype.name, array.shape, hashlib.sha256(array.tobytes()).digest())
        if identity not in self._keys:
            key = f"t{len(self._tensors)}"
            self._keys[identity] = key
            self._tensors[key] = array
        return {"tensor": self._keys[identity]}

    def encode(self, value):
        """A value as the format writes it: arrays as tensors, lists and tuples as JSON arrays, dicts as
        `{"dict": …}`, the rest as it is."""
        if is_array(value):
            return self.tensor(value)
        if isinstance(value, (list, tuple)):
            return [self.encode(v) for v in value]
        if isinstance(value, Record):
            return {k: self.encode(v) for k, v in value.items()}
        if isinstance(value, dict):
            return {"dict": {k: self.encode(v) for k, v in value.items()}}
        if value is None or isinstance(value, (bool, int, str)) or (
            isinstance(value, float) and math.isfinite(value)
        ):
            return value
        raise Rejected(f"{type(value).__name__} as an argument")

    def add(self, id, kind, class_name, object, *, raw=None, **fields):
        """Adds a case. `fields` are values (arrays, lists, dicts, …) and are encoded, except that a field
        that is None is left out; `raw` holds keys that are JSON already (`tolerance`, `expect_error`, …).

        Raises `Rejected` where `outputs` are constant and `raw` has no `why`, and `ValueError` where the id
        is taken.
        """
        if id in self._ids:
            raise ValueError(f"two cases with the id {id}")
        outputs = fields.get("outputs")
        constant = outputs is not None and not is_varied(a for a in tree.flatten(outputs) if is_array(a))
        if constant and "why" not in (raw or {}):
            raise Rejected("constant outputs")
        case = {"id": id, "kind": kind, "class_name": class_name, "object": object}
        case = {k: v for k, v in case.items() if v is not None}
        case |= {k: self.encode(v) for k, v in fields.items() if v is not None}
        case |= raw or {}
        self._ids.add(id)
        self.cases.append(case)

    def write(self):
        """Writes both files and returns their size in bytes."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lines = ",\n".join(json.dumps(c, separators=(",", ":"), ensure_ascii=False) for c in self.cases)
        text = f'{{"format":1,"source":{json.dumps(SOURCE)},"cases":[\n{lines}\n]}}\n'
        data = to_safetensors(self._tensors)
        self.path.with_suffix(".json").write_text(text, encoding="utf-8")
        self.path.with_suffix(".safetensors").write_bytes(data)
        return len(text.encode()) + len(data)


def dtype(name):
    """The numpy dtype of a Keras dtype name, bfloat16 included."""
    return np.dtype(getattr(ml_dtypes, name) if name == "bfloat16" else name)


def data(key, shape, dtype_name="float32", low=-2.0, high=2.0):
    """Random numbers in [low, high), the same for the same key, shape and dtype, so that cases share them.

    Integer dtypes give integers in [low, high], "bool" gives coin tosses.
    """
    generator = rng(key, tuple(shape), dtype_name, low, high)
    if dtype_name == "bool":
        return generator.integers(0, 2, shape).astype(bool)
    if np.issubdtype(dtype(dtype_name), np.integer):
        return generator.integers(int(low), int(high) + 1, shape).astype(dtype(dtype_name))
    return np.asarray(generator.uniform(low, high, shape)).astype(dtype(dtype_name))


def integers(key, shape, low=-3, high=3, dtype_name="float32"):
    """Small whole numbers held in a float dtype: sums of them are exact in any order."""
    return rng(key, tuple(shape), low, high).integers(low, high + 1, shape).astype(dtype(dtype_name))
