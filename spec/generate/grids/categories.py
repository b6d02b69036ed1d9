"""Layers that find categories: ranges, hashes, vocabularies."""

import numpy as np
from keras import layers

from layer_case import combinations
from vectors import data

from . import POLICIES, input_dtype

PLAIN = {"grads": False, "measure": False}
"""For layers that compute with TensorFlow, through which JAX has no gradients."""


def category_encoding(grid):
    shapes = [(3, 4), (5,), (3, 1), (2, 3, 2)]
    for mode in ["multi_hot", "one_hot", "count"]:
        for shape in shapes:
            grid.add({"num_tokens": 5, "output_mode": mode}, data("categories", shape, "int32", 0, 4), tag=f"shape={shape}".replace(" ", ""))
        # Some are no categories.
        grid.add({"num_tokens": 3, "output_mode": mode}, data("categories", (3, 4), "int32", -1, 4), tag="beyond")
        grid.add({"num_tokens": 4, "output_mode": mode, "name": "bytes"}, data("categories", (3, 4), "uint8", 0, 5), tag="uint8")
        grid.add({"num_tokens": 4, "output_mode": mode}, np.round(data("categories", (3, 4), "float32", 0, 3)), tag="float32", grads=False)
    for policy in POLICIES[:4]:
        grid.add({"num_tokens": 4, "dtype": policy}, data("categories", (3, 4), "int32", 0, 3))
    weights = {"count_weights": data("categories/weights", (3, 4))}
    config = {"num_tokens": 5, "output_mode": "count"}
    grid.add(config, data("categories", (3, 4), "int32", 0, 4), call=weights, tag="weights", grads=False)
    grid.error("num_tokens", "num_tokens", {"num_tokens": 3}, {"num_tokens": 0}, data("categories", (3, 4), "int32", 0, 2))
    grid.error("output_mode", "output_mode", {"num_tokens": 3}, {"output_mode": "int"}, data("categories", (3, 4), "int32", 0, 2))


def adapted(**config):
    layer = layers.Discretization(**config)
    layer.adapt(np.sort(data("categories/adapt", (80,))) ** 3)
    return layer


def discretization(grid):
    boundaries = [-1.0, 0.0, 0.5]
    for mode in ["int", "one_hot", "multi_hot", "count"]:
        for shape in [(3, 4), (5,), (3, 1), (2, 3, 2)]:
            config = {"bin_boundaries": boundaries, "output_mode": mode}
            grid.add(config, data("categories", shape), tag=f"shape={shape}".replace(" ", ""), grads=False)
    at = np.array([[-1.0, -1.0000001, 0.0, 0.5, 0.49999997], [np.inf, -np.inf, np.nan, 0.25, -0.0]], "float32")
    grid.add({"bin_boundaries": boundaries, "name": "borders"}, at, tag="borders", grads=False)
    grid.add({"bin_boundaries": [1.0, 1.0, 2.0]}, data("categories", (3, 4), "int32", 0, 3), tag="int32")
    for policy in POLICIES[:4]:
        config = {"bin_boundaries": boundaries, "output_mode": "one_hot", "dtype": policy}
        grid.add(config, data("categories", (3, 4), input_dtype(policy)), grads=False)
    for bins, epsilon in [(4, 0.01), (3, 0.1), (7, 0.02)]:
        grid.add_made(lambda: adapted(num_bins=bins, epsilon=epsilon), data("categories", (3, 4)), tag=f"adapted,num_bins={bins},epsilon={epsilon}", grads=False)
    grid.error("boundaries", "bin_boundaries", {"bin_boundaries": boundaries}, {"bin_boundaries": None}, data("categories", (3, 4)))


def integers(shape=(3, 4), low=-9, high=9):
    return data("categories", shape, "int64", low, high)


def hashing(grid):
    for mode in ["int", "one_hot", "multi_hot", "count"]:
        for shape in [(3, 4), (5,), (3, 1)]:
            grid.add({"num_bins": 5, "output_mode": mode}, integers(shape), tag=f"shape={shape}".replace(" ", ""), **PLAIN)
    large = data("categories", (4, 6), "int64", -(2**62), 2**62)
    for config in combinations(salt=[None, 7, [133, 137]], mask_value=[None, 3]):
        grid.add({"num_bins": 1000} | config, large, tag="large", **PLAIN)
        grid.add({"num_bins": 4} | config, integers(), **PLAIN)
    grid.add({"num_bins": 4, "name": "bins"}, integers((2, 3)), **PLAIN)
    grid.add({"num_bins": 7, "dtype": "int32"}, data("categories", (3, 4), "int32", -9, 9), **PLAIN)
    grid.add({"num_bins": 7}, data("categories", (3, 4), "float64", -9, 9), tag="floats", **PLAIN)
    grid.add({"num_bins": 7, "output_mode": "one_hot", "dtype": "float16"}, integers(), **PLAIN)
    grid.error("num_bins", "num_bins", {"num_bins": 3}, {"num_bins": 0}, integers())


def hashed_crossing(grid):
    for mode in ["int", "one_hot"]:
        for shape in [(4,), (4, 1)]:
            # Keras takes more, but not symbolically.
            inputs = [integers(shape, -9, 9 + i) for i in range(2)]
            grid.add({"num_bins": 6, "output_mode": mode}, inputs, tag=f"shape={shape}".replace(" ", ""), **PLAIN)
    large = [data("categories", (6,), "int64", -(2**62), 2**62 - i) for i in range(2)]
    grid.add({"num_bins": 1000, "name": "crossing"}, large, tag="large", **PLAIN)
    grid.add({"num_bins": 7, "dtype": "int32"}, [data("categories", (6,), "int32", -9, 9 + i) for i in range(2)], **PLAIN)
    grid.add({"num_bins": 7, "output_mode": "one_hot", "dtype": "float16"}, [integers((5,)), integers((5,), 0, 3)], **PLAIN)
    grid.error("one input", "two", {"num_bins": 3}, {}, [integers((4,))])
    grid.error("shape", "shape", {"num_bins": 3}, {}, [integers((4, 2)), integers((4, 2))])


def integer_lookup(grid):
    vocabulary = [7, -2, 3, 9, 1]
    modes = ["int", "one_hot", "multi_hot", "count"]
    for mode in modes:
        for shape in [(3, 4), (5,), (3, 1)]:
            config = {"vocabulary": vocabulary, "output_mode": mode}
            grid.add(config, integers(shape), tag=f"shape={shape}".replace(" ", ""), **PLAIN)
        for config in combinations(mask_token=[None, 0], num_oov_indices=[1, 3]):
            grid.add({"vocabulary": vocabulary, "output_mode": mode, "name": "found"} | config, integers((4, 5)), **PLAIN)
    for salt in [None, 5, [3, 11]]:
        config = {"num_oov_indices": 4, "oov_method": "farmhash", "salt": salt}
        grid.add({"vocabulary": vocabulary} | config, integers((4, 5)), **PLAIN)
    for mask in [None, 0]:
        for oov in [-1, -7]:
            config = {"vocabulary": vocabulary, "invert": True, "mask_token": mask, "oov_token": oov}
            grid.add(config, integers((3, 4), -1, 9), **PLAIN)
    known = np.array([[7, 3], [9, -2]], "int64")
    grid.add({"vocabulary": vocabulary, "num_oov_indices": 0}, known, **PLAIN)
    grid.add({"vocabulary": [0, -1, *vocabulary], "mask_token": 0}, integers(), tag="special tokens", **PLAIN)
    grid.add({"vocabulary": vocabulary, "max_tokens": 9, "pad_to_max_tokens": True, "output_mode": "count"}, integers(), **PLAIN)
    weights = [0.5, 0.25, 2.0, 1.0, 0.125]
    tf_idf = {"vocabulary": vocabulary, "output_mode": "tf_idf", "idf_weights": weights}
    grid.add(tf_idf, integers(), **PLAIN)
    grid.add(tf_idf | {"max_tokens": 9, "pad_to_max_tokens": True, "num_oov_indices": 2}, integers(), **PLAIN)
    grid.add({"vocabulary": vocabulary}, data("categories", (3, 4), "float64", -9, 9), tag="floats", **PLAIN)
    grid.error("max_tokens", "max_tokens", {"vocabulary": vocabulary}, {"max_tokens": 3}, integers())
    grid.error("repeated", "vocabulary", {"vocabulary": vocabulary}, {"vocabulary": [1, 2, 1]}, integers())


GRIDS = {
    layers.CategoryEncoding: category_encoding,
    layers.Discretization: discretization,
    layers.Hashing: hashing,
    layers.HashedCrossing: hashed_crossing,
    layers.IntegerLookup: integer_lookup,
}
