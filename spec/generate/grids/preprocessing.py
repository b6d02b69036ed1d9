"""Layers that prepare data."""

from keras import layers

from layer_case import combinations
from vectors import data

from . import POLICIES, input_dtype


def rescaling(grid):
    x = data("preprocessing", (2, 3, 4))
    for config in combinations(scale=[0.25, 2, [1.0, 2.0, 3.0, 4.0]], offset=[0.0, -1.5, [0.5, 0.25, -0.5, 1.0]]):
        grid.add(config, x)
    grid.add({"scale": 1 / 255, "name": "pixels"}, data("preprocessing", (2, 3), "uint8", 0, 255), tag="uint8")
    grid.add({"scale": 0.5}, x, input_masks=[data("preprocessing/mask", (2, 3), "bool")], tag="masked input")
    for policy in POLICIES[:4]:
        grid.add({"scale": 0.5, "offset": 0.25, "dtype": policy}, data("preprocessing", (2, 3, 4), input_dtype(policy)))


def normalization(grid):
    x = data("preprocessing", (2, 3, 4))
    variance = [0.5, 2.0, 1.0, 4.0]
    for axis in [-1, 1, [1, 2], [2, 1], None]:
        for invert in [False, True]:
            grid.add({"axis": axis, "invert": invert}, x)
    for mean, var in [(0.5, 2.0), ([0.5, 0.25, -0.5, 1.0], variance)]:
        for invert in [False, True]:
            grid.add({"mean": mean, "variance": var, "invert": invert}, x)
    grid.add({"axis": [1, 2], "mean": [0.5, 0.25, -0.5, 1.0], "variance": variance}, x)
    grid.add({"mean": 0.5, "variance": 0.0, "name": "constant"}, x)
    grid.add({"mean": 3.0, "variance": 2.0}, data("preprocessing", (2, 3), "int32"), tag="int32")
    for policy in POLICIES[:4]:
        grid.add({"mean": 0.5, "variance": 2.0, "dtype": policy}, data("preprocessing", (2, 3, 4), input_dtype(policy)))
    grid.error("mean alone", "mean", {"mean": 0.5, "variance": 2.0}, {"variance": None}, x)


INTERPOLATIONS = ["bilinear", "nearest", "bicubic", "lanczos3", "lanczos5"]


def resizing(grid):
    x = data("preprocessing/images", (2, 5, 7, 2))
    first = data("preprocessing/images", (2, 2, 5, 7))
    for size in [(3, 4), (9, 11), (5, 3), (5, 7)]:
        for interpolation in INTERPOLATIONS:
            for antialias in [{}, {"antialias": True}]:
                grid.add({"height": size[0], "width": size[1], "interpolation": interpolation} | antialias, x)
    for ratio in ["crop_to_aspect_ratio", "pad_to_aspect_ratio"]:
        for size in [(4, 4), (3, 9), (8, 3)]:
            base = {"height": size[0], "width": size[1], ratio: True}
            grid.add(base | {"fill_value": 0.5}, x)
            grid.add(base | {"interpolation": "nearest", "data_format": "channels_first"}, first)
            grid.add(base | {"interpolation": "bicubic", "antialias": True, "fill_value": -1.0}, x)
        grid.add({"height": 4, "width": 4, ratio: True}, data("preprocessing/images", (5, 7, 2)), tag="one image")
        grid.add({"height": 10, "width": 14, ratio: True}, x, tag="same ratio")
    for interpolation in INTERPOLATIONS:
        grid.add({"height": 3, "width": 4, "interpolation": interpolation, "data_format": "channels_first"}, first)
        pixels = data("preprocessing/images", (2, 5, 7, 1), "uint8", 0, 255)
        grid.add({"height": 8, "width": 3, "interpolation": interpolation}, pixels, tag="uint8")
    grid.add({"height": 3, "width": 4, "name": "alone"}, data("preprocessing/images", (5, 7, 2)), tag="one image")
    for policy in POLICIES[:4]:
        grid.add({"height": 3, "width": 9, "dtype": policy}, data("preprocessing/images", (2, 5, 7, 2), input_dtype(policy)))


def center_crop(grid):
    x = data("preprocessing/images", (2, 5, 7, 2))
    first = data("preprocessing/images", (2, 2, 5, 7))
    # Images that are too small are resized, and then cropped.
    for size in [(3, 4), (2, 7), (5, 7), (1, 1), (8, 4), (6, 9), (3, 10)]:
        grid.add({"height": size[0], "width": size[1]}, x)
        grid.add({"height": size[0], "width": size[1], "data_format": "channels_first"}, first)
    for size in [(3, 4), (9, 4)]:
        grid.add({"height": size[0], "width": size[1], "name": "alone"}, data("preprocessing/images", (5, 7, 2)), tag="one image")
        pixels = data("preprocessing/images", (2, 5, 7, 1), "uint8", 0, 255)
        grid.add({"height": size[0], "width": size[1]}, pixels, tag="uint8")
        for policy in POLICIES[:4]:
            options = {"height": size[0], "width": size[1], "dtype": policy}
            grid.add(options, data("preprocessing/images", (2, 5, 7, 2), input_dtype(policy)))


GRIDS = {layers.Resizing: resizing, layers.CenterCrop: center_crop, layers.Rescaling: rescaling, layers.Normalization: normalization}
