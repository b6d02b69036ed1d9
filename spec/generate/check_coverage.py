"""Fails where a constructor argument of a layer takes the same value in every case of its class.

Arguments that cannot be varied, or leave no trace in a case, are listed here with the reason.
"""

import inspect
import json
import sys

from keras.src.api_export import get_name_from_symbol

import capture
from vectors import VECTORS

REASONS = {
    ("BatchNormalization", "synchronized"): "the JAX backend refuses it",
    ("Bidirectional", "weights"): "initial weights leave no trace in a config",
    ("Embedding", "weights"): "initial weights leave no trace in a config",
    ("GRU", "use_cudnn"): "is not in the config",
    ("LSTM", "use_cudnn"): "is not in the config",
    ("SimpleRNN", "activity_regularizer"): "Keras ignores it there",
    ("SimpleRNN", "seed"): "is not in the config",
    ("Dense", "quantization_config"): "quantization has vectors of its own",
    ("EinsumDense", "gptq_unpacked_column_size"): "quantization has vectors of its own",
    ("EinsumDense", "quantization_config"): "quantization has vectors of its own",
    ("Embedding", "quantization_config"): "quantization has vectors of its own",
    ("GroupQueryAttention", "flash_attention"): "is not in the config",
    ("MultiHeadAttention", "flash_attention"): "is not in the config",
    ("Resizing", "fill_mode"): "has one value",
    ("CategoryEncoding", "sparse"): "is not in the config",
    ("Discretization", "sparse"): "gives a sparse tensor",
    ("HashedCrossing", "sparse"): "the JAX backend refuses it",
    ("Hashing", "sparse"): "gives a sparse tensor",
    ("IntegerLookup", "dtype"): "Keras ignores it there",
    ("IntegerLookup", "sparse"): "the JAX backend refuses it",
    ("IntegerLookup", "vocabulary_dtype"): "has one value",
    ("MaxNumBoundingBoxes", "fill_value"): "is not in the config",
    ("Pipeline", "dtype"): "is not in the config",
    ("RandomGrayscale", "seed"): "is not in the config",
}
COMMON = ["name", "dtype"]


def main():
    configs, counts = {}, {}
    for path in sorted((VECTORS / "layers").glob("*.json")):
        for case in json.loads(path.read_text(encoding="utf-8"))["cases"]:
            counts[case["class_name"]] = counts.get(case["class_name"], 0) + 1
            if "expect_error" not in case:
                configs.setdefault(case["class_name"], []).append(case["object"]["config"])
    missing = []
    for cls in sorted(capture.CLASSES, key=lambda c: c.__name__):
        name = get_name_from_symbol(cls).split(".")[-1]
        arguments = [p.name for p in inspect.signature(cls.__init__).parameters.values() if p.kind == p.POSITIONAL_OR_KEYWORD]
        for argument in {*arguments[1:], *COMMON}:
            values = {json.dumps(config.get(argument), sort_keys=True) for config in configs.get(name, [])}
            if len(values) < 2 and (name, argument) not in REASONS:
                missing.append(f"{name}.{argument}")
        print(f"{name}: {counts.get(name, 0)} cases")
    print(f"{sum(counts.values())} cases")
    if missing:
        sys.exit(f"never varied: {' '.join(sorted(missing))}")


if __name__ == "__main__":
    main()
