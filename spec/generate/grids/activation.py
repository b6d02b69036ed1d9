"""Activation and the activations that are layers."""

import keras
import numpy as np
from keras import layers

from layer_case import combinations
from vectors import data, integers

from . import ACTIVITY_REGULARIZERS, POLICIES, input_dtype, weight_options

# `threshold` has no defaults, so its name alone makes no activation.
NAMES = sorted(f.__name__ for f in keras.src.activations.ALL_OBJECTS if f.__name__ != "threshold")
X = data("activation", (3, 6), low=-4.0, high=4.0)
# Where the pieces of the piecewise functions meet.
CORNERS = np.array([[-6, -3, -2.5, -1, -0.5, 0], [0.5, 1, 2, 2.5, 3, 6]], "float32")


def common(grid, base):
    """What all of them share: dtypes, regularizers, masks, shapes."""
    for policy in POLICIES:
        grid.add(base | {"dtype": policy}, data("activation", (3, 6), input_dtype(policy)))
    # ELU's config cannot hold a regularizer object, only its name.
    regularizers = ACTIVITY_REGULARIZERS[:2] if grid.name == "ELU" else ACTIVITY_REGULARIZERS
    for option in regularizers + [{"trainable": False, "name": "curve"}]:
        grid.add(base | option, X)
    for shape in [(1, 2), (2, 3, 4), (2, 2, 3, 2), (0, 3)]:
        grid.add(base, data("activation", shape, low=-4.0, high=4.0), tag=f"shape={shape}".replace(" ", ""))
    if grid.name != "Softmax":  # which takes the mask for its own, of the shape of its input
        grid.add(base, data("activation", (2, 3, 4)), input_masks=[data("activation/mask", (2, 3), "bool")], tag="masked input")


def activation(grid):
    for name in NAMES:
        grid.add({"activation": name}, X)
        grid.add({"activation": name}, data("activation", (2, 3, 4)), tag="rank 3")
        grid.add({"activation": name}, CORNERS, tag="corners")
        for policy in ["float16", "bfloat16"] if name != "tanh" else []:
            grid.add({"activation": name, "dtype": policy}, data("activation", (3, 6), policy))
    for name in ["linear", "relu", "relu6", "hard_tanh", "hard_shrink", "soft_shrink"]:
        grid.add({"activation": name}, integers("activation", (4, 5), -8, 8), exact=True, tag="integers")
    common(grid, {"activation": "tanh"})
    grid.error("unknown", "no_such_function", {"activation": "relu"}, {"activation": "no_such_function"}, X)


def relu(grid):
    for config in combinations(max_value=[None, 1.5], negative_slope=[0.0, 0.25], threshold=[0.0, 0.5]):
        grid.add(config, X)
        grid.add(config, CORNERS, tag="corners")
    for config in [{"max_value": 6.0}, {"max_value": 0.0, "negative_slope": 1.0}, {"threshold": 2.0}]:
        grid.add(config, integers("activation", (4, 5), -8, 8), exact=True, tag="integers")
    grid.add({"dtype": "int32"}, data("activation", (3, 4), "int32", -5, 5), grads=False)
    common(grid, {"negative_slope": 0.1, "max_value": 3.0})
    grid.error("negative max_value", "max_value", {}, {"max_value": -1.0}, X)


def leaky_relu(grid):
    for slope in [0.3, 0.0, 0.01, 1.0, 2.0]:
        grid.add({"negative_slope": slope}, X)
        grid.add({"negative_slope": slope}, CORNERS, tag="corners")
    common(grid, {"negative_slope": 0.2})
    grid.error("no slope", "negative_slope", {}, {"negative_slope": None}, X)


def elu(grid):
    for alpha in [1.0, 0.5, 2.0]:
        grid.add({"alpha": alpha}, X)
        grid.add({"alpha": alpha}, CORNERS, tag="corners")
    common(grid, {"alpha": 0.7})


def prelu(grid):
    for shape, axes in {(3, 4): [None, [1]], (2, 3, 4): [None, [1], [2], [1, 2]], (2, 3, 2, 4): [None, [1, 2], [1], [3], [1, 2, 3]]}.items():
        for shared in axes:
            grid.add({"shared_axes": shared}, data("activation", shape), tag=f"rank {len(shape)}")
    for option in weight_options("alpha"):
        grid.add(option, X, grads=False)
    grid.add({}, integers("activation", (4, 5)), weights=[integers("alpha", (5,))], exact=True, tag="integers")
    common(grid, {})
    grid.error("wrong shape", "shape", {}, {}, X, built=(3, 7))


def softmax(grid):
    for shape, axes in {(3, 4): [-1, 1, 0], (2, 3, 4): [-1, 1, 2, [1, 2], [-2, -1]], (2, 3, 2, 4): [-1, 1, [1, 3], [2, 3]]}.items():
        for axis in axes:
            grid.add({"axis": axis}, data("activation", shape), tag=f"rank {len(shape)}")
            mask = data("activation/mask", shape, "bool")
            mask[..., :1] = True
            grid.add({"axis": axis}, data("activation", shape), call={"mask": mask}, tag=f"rank {len(shape)}, mask")
    grid.add({}, data("activation", (2, 5)) * 60, tag="large values")
    common(grid, {})


GRIDS = {
    layers.Activation: activation,
    layers.ReLU: relu,
    layers.LeakyReLU: leaky_relu,
    layers.ELU: elu,
    layers.PReLU: prelu,
    layers.Softmax: softmax,
}
