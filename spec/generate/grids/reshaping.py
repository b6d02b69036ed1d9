"""Flatten, Reshape, Permute, RepeatVector, padding, cropping and upsampling."""

from keras import layers

from layer_case import combinations
from vectors import data, integers

from . import ACTIVITY_REGULARIZERS, POLICIES, input_dtype

FORMATS = ["channels_last", "channels_first"]


def common(grid, base, shape):
    """What all of them share: dtypes, regularizers, masks, exact moves of whole numbers."""
    for policy in POLICIES:
        grid.add(base | {"dtype": policy}, data("shape", shape, input_dtype(policy)))
    grid.add(base | {"dtype": "int32"}, data("shape", shape, "int32", -9, 9))
    for option in ACTIVITY_REGULARIZERS[1:] + [{"trainable": False, "name": "moved"}]:
        grid.add(base | option, data("shape", shape))
    if grid.name != "UpSampling2D":
        grid.add(base, integers("shape", shape, -9, 9), exact=True, tag="integers")


def flatten(grid):
    for data_format in [None, *FORMATS]:
        for shape in [(3,), (2, 3), (2, 3, 4), (2, 3, 2, 4), (1, 2, 1, 3), (2, 2, 1, 3, 2), (0, 2, 3)]:
            grid.add({"data_format": data_format}, data("shape", shape), tag=f"shape={shape}".replace(" ", ""))
    common(grid, {}, (2, 3, 4))


def reshape(grid):
    cases = {(2, 12): [[3, 4], [2, 3, 2], [-1, 4], [6, -1], [12], [-1], [1, -1, 1]], (2, 3, 4): [[4, 3], [12], [2, -1, 3], [-1]], (3, 1): [[], [1, 1], [-1]], (2, 2, 3, 4): [[6, 4], [-1, 2], [3, -1]], (0, 6): [[2, 3]]}
    for shape, targets in cases.items():
        for target in targets:
            grid.add({"target_shape": target}, data("shape", shape), tag=f"from {shape}".replace(" ", ""))
    common(grid, {"target_shape": [4, 3]}, (2, 12))
    grid.error("sizes", "size", {"target_shape": [5, 3]}, {}, data("shape", (2, 12)))


def permute(grid):
    for dims in [[1], [1, 2], [2, 1], [1, 3, 2], [2, 1, 3], [2, 3, 1], [3, 1, 2], [3, 2, 1], [4, 2, 1, 3], [2, 4, 3, 1]]:
        grid.add({"dims": dims}, data("shape", (2, 3, 4, 2, 5)[: len(dims) + 1]))
    common(grid, {"dims": [2, 1]}, (2, 3, 4))
    grid.error("not a permutation", "dims", {"dims": [2, 1]}, {"dims": [2, 3]}, data("shape", (2, 3, 4)))
    grid.error("wrong rank", "ndim", {"dims": [2, 1]}, {}, data("shape", (2, 3)))


def repeat(grid):
    for n in [1, 2, 5]:
        for shape in [(2, 3), (1, 2), (3, 1), (0, 2)]:
            if n * shape[-1] * shape[0] != 1:
                grid.add({"n": n}, data("shape", shape), tag=f"shape={shape}".replace(" ", ""))
    common(grid, {"n": 3}, (2, 3))
    grid.error("wrong rank", "ndim", {"n": 3}, {}, data("shape", (2, 3, 4)))


def pad(grid):
    for padding in [0, 1, 2, [1, 2], [2, 0], [[1, 2], [0, 3]], [[0, 1], [1, 0]]]:
        for data_format in FORMATS:
            grid.add({"padding": padding, "data_format": data_format}, data("shape", (2, 3, 2, 4)))
    grid.add({}, data("shape", (1, 1, 1, 2)), tag="one pixel")
    common(grid, {"padding": [1, 2]}, (2, 3, 2, 4))
    grid.error("wrong rank", "ndim", {}, {}, data("shape", (2, 3)))
    grid.error("negative", "padding", {}, {"padding": [[-1, 0], [0, 0]]}, data("shape", (2, 3, 2, 4)))


def crop(grid):
    for cropping in [0, 1, [1, 0], [2, 1], [[1, 2], [0, 1]], [[0, 1], [1, 0]], [[3, 0], [0, 2]]]:
        for data_format in FORMATS:
            shape = (2, 5, 6, 2) if data_format == "channels_last" else (2, 2, 5, 6)
            grid.add({"cropping": cropping, "data_format": data_format}, data("shape", shape))
    grid.add({}, data("shape", (2, 3, 4, 2)))
    common(grid, {"cropping": [1, 2]}, (2, 5, 6, 2))
    grid.error("wrong rank", "ndim", {}, {}, data("shape", (2, 3)))
    grid.error("too much", "cropping", {}, {"cropping": [[3, 3], [0, 0]]}, data("shape", (2, 5, 6, 2)))


def upsample(grid):
    for size in [1, 2, 3, [1, 2], [3, 2]]:
        for data_format in FORMATS:
            for interpolation in ["nearest", "bilinear"]:
                grid.add({"size": size, "interpolation": interpolation, "data_format": data_format}, data("shape", (2, 3, 4, 2)))
    for interpolation in ["bicubic", "lanczos3", "lanczos5"]:
        for size in [2, [1, 3]]:
            for data_format in FORMATS:
                grid.add({"size": size, "interpolation": interpolation, "data_format": data_format}, data("shape", (2, 3, 4, 2)))
    for interpolation in ["nearest", "bilinear", "bicubic"]:
        grid.add({"size": 2, "interpolation": interpolation}, data("shape", (1, 1, 2, 1)), tag="small")
    for policy in POLICIES:
        grid.add({"interpolation": "bilinear", "dtype": policy}, data("shape", (2, 3, 4, 2), input_dtype(policy)))
    grid.add({"size": 2}, integers("shape", (2, 3, 4, 2), -9, 9), exact=True, tag="integers")
    common(grid, {"size": 2}, (2, 3, 4, 2))
    grid.error("unknown interpolation", "interpolation", {}, {"interpolation": "cubical"}, data("shape", (2, 3, 4, 2)))
    grid.error("wrong rank", "ndim", {}, {}, data("shape", (2, 3)))


GRIDS = {
    layers.Flatten: flatten,
    layers.Reshape: reshape,
    layers.Permute: permute,
    layers.RepeatVector: repeat,
    layers.ZeroPadding2D: pad,
    layers.Cropping2D: crop,
    layers.UpSampling2D: upsample,
}
