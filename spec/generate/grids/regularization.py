"""Layers that are random while training. The masks follow from `seeds`."""

from keras import layers

from layer_case import combinations
from vectors import data

from . import ACTIVITY_REGULARIZERS, POLICIES, input_dtype

TRAINING = {"training": True}


def common(grid, base, shape):
    """What all of them share: inference, seeds, dtypes, regularizers, masks."""
    x = data("noise", shape)
    for call in [{}, {"training": False}, TRAINING]:
        grid.add(base, x, call=call, tag="modes")
    for seed in [0, 7, 123456789]:
        grid.add(base | {"seed": seed}, x, call=TRAINING, seeds=[[seed, 0]], tag="fresh seed")
    grid.add(base, x, call=TRAINING, seeds=[[2**32 - 1, 2**31 + 5]], tag="large seed")
    grid.add(base, x, call=TRAINING, calls_before=[{"args": [x], "kwargs": TRAINING}] * 2, tag="third step")
    for policy in POLICIES:
        grid.add(base | {"dtype": policy}, data("noise", shape, input_dtype(policy)), call=TRAINING)
    grid.add(base | {"name": "noisy"}, x, call=TRAINING)
    if "Spatial" not in grid.name:
        for option in ACTIVITY_REGULARIZERS[1:] + [{"trainable": False}]:
            grid.add(base | option, x, call=TRAINING)
    grid.add(base, x, call=TRAINING, input_masks=[data("noise/mask", shape[:2], "bool")], tag="masked input")


def dropout(grid):
    for rate in [0.0, 0.2, 0.5, 0.9]:
        for shape in [(3, 4), (2, 3, 5), (1, 7), (2, 3, 2, 4), (4, 33)]:
            grid.add({"rate": rate}, data("noise", shape), call=TRAINING, tag=f"shape={shape}".replace(" ", ""))
    for noise_shape in [[None, 1, None], [2, 1, 5], [None, None, 1], [None, 3, 1], [1, 3, 5]]:
        grid.add({"rate": 0.5, "noise_shape": noise_shape}, data("noise", (2, 3, 5)), call=TRAINING)
    grid.add({"rate": 1.0}, data("noise", (3, 4)), tag="inference")
    common(grid, {"rate": 0.4}, (3, 4))
    grid.error("rate", "rate", {"rate": 0.5}, {"rate": 1.5}, data("noise", (3, 4)))


def gaussian_noise(grid):
    for stddev in [0.0, 0.1, 1.0]:
        for shape in [(3, 4), (2, 3, 5), (1, 7), (4, 33)]:
            grid.add({"stddev": stddev}, data("noise", shape), call=TRAINING, tag=f"shape={shape}".replace(" ", ""))
    common(grid, {"stddev": 0.3}, (3, 4))
    grid.error("stddev", "stddev", {"stddev": 0.5}, {"stddev": -1.0}, data("noise", (3, 4)))


def spatial(shapes):
    """The grid of a spatial dropout for inputs of these shapes."""

    def fill(grid):
        for config in combinations(rate=[0.0, 0.3, 0.5, 0.8]):
            for shape in shapes:
                grid.add(config, data("noise", shape), call=TRAINING, tag=f"shape={shape}".replace(" ", ""))
        if grid.name == "SpatialDropout2D":
            for config in combinations(rate=[0.3, 0.6], data_format=["channels_last", "channels_first"]):
                grid.add(config, data("noise", (2, 3, 4, 5)), call=TRAINING)
        common(grid, {"rate": 0.4}, shapes[0])
        grid.error("wrong rank", "ndim", {"rate": 0.5}, {}, data("noise", (3, 4)))

    return fill


def gaussian_dropout(grid):
    for config in combinations(rate=[0.0, 0.25, 0.75]):
        grid.add(config, data("noise", (2, 3, 5)), call=TRAINING)
    few(grid, {"rate": 0.4})


def alpha_dropout(grid):
    for config in combinations(rate=[0.0, 0.25, 0.75]):
        grid.add(config, data("noise", (2, 3, 5)), call=TRAINING)
    for noise_shape in [[None, 1, None], [2, 1, 5], [1, 3, 5]]:
        grid.add({"rate": 0.5, "noise_shape": noise_shape}, data("noise", (2, 3, 5)), call=TRAINING)
    few(grid, {"rate": 0.4})


def few(grid, base):
    """What `common` is about, where another layer has shown it at length."""
    x = data("noise", (3, 4))
    grid.add(base, x)
    grid.add(base | {"seed": 7, "name": "noisy"}, x, call=TRAINING, seeds=[[7, 0]], tag="fresh seed")
    grid.add(base, x, call=TRAINING, calls_before=[{"args": [x], "kwargs": TRAINING}], tag="second step")
    for policy in POLICIES[:4]:
        grid.add(base | {"dtype": policy}, data("noise", (3, 4), input_dtype(policy)), call=TRAINING)
    grid.add(base, x, call=TRAINING, input_masks=[data("noise/mask", (3, 4), "bool")], tag="masked input")
    grid.error("rate", "rate", base, {"rate": 1.5}, x)


def activity_regularization(grid):
    x = data("noise", (3, 4))
    for config in combinations(l1=[0.0, 0.25], l2=[0.0, 0.5]):
        grid.add(config, x)
    for policy in POLICIES[:4]:
        grid.add({"l2": 0.25, "dtype": policy, "name": "penalty"}, data("noise", (3, 4), input_dtype(policy)))
    grid.add({"l1": 0.5}, x, input_masks=[data("noise/mask", (3, 4), "bool")], tag="masked input")


GRIDS = {
    layers.GaussianDropout: gaussian_dropout,
    layers.AlphaDropout: alpha_dropout,
    layers.ActivityRegularization: activity_regularization,
    layers.Dropout: dropout,
    layers.GaussianNoise: gaussian_noise,
    layers.SpatialDropout1D: spatial([(2, 3, 6), (1, 2, 4), (3, 1, 5)]),
    layers.SpatialDropout2D: spatial([(2, 3, 2, 6), (1, 2, 2, 4), (3, 1, 1, 5)]),
}
