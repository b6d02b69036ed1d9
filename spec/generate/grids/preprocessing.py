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


GRIDS = {layers.Rescaling: rescaling, layers.Normalization: normalization}
