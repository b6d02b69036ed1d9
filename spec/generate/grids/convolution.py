"""Convolutions of every kind."""

from keras import layers

from layer_case import combinations
from vectors import data, integers

from . import ACTIVITY_REGULARIZERS, POLICIES, input_dtype, weight_options

FORMATS = ["channels_last", "channels_first"]


def image(data_format="channels_last", kind="float32", channels=4):
    """A batch of two images of 5 x 6."""
    return data("image", (2, 5, 6, channels) if data_format == "channels_last" else (2, channels, 5, 6), kind)


def sequence(data_format="channels_last", kind="float32"):
    """A batch of two sequences of 7 steps with 4 features."""
    return data("sequence", (2, 7, 4) if data_format == "channels_last" else (2, 4, 7), kind)


class Quick:
    """A grid whose float32 cases are not computed again in float64: a sum of a few dozen products."""

    def __init__(self, grid):
        self.error = grid.error
        self.full = grid

    def add(self, config, *args, **options):
        self.full.add(config, *args, measure="dtype" in config or options.get("exact", False), **options)


def common(grid, base, make_input, names, whole=True):
    """What all convolutions share: activations, biases, dtypes, options of weights, small sizes, and
    `whole` numbers as input where JAX's convolution takes them."""
    x = make_input()
    for activation in ["relu", "tanh", "softmax", "gelu"]:
        for use_bias in [True, False]:
            grid.add(base | {"activation": activation, "use_bias": use_bias}, x)
    for option in weight_options(*names, "bias") + ACTIVITY_REGULARIZERS:
        grid.add(base | option, x, grads=False)
    for policy in POLICIES:
        for data_format in FORMATS:
            grid.add(base | {"dtype": policy, "data_format": data_format}, make_input(data_format, input_dtype(policy)))
    grid.add(base | {"trainable": False, "name": "frozen"}, x)
    grid.add(base, x[:1], tag="batch of 1")
    grid.add(base, x[:0], tag="empty batch")
    if whole:
        grid.add(base, (x * 4).astype("int32"), tag="int32", grads=False)
    grid.error("zero strides", "strides", base, {"strides": [0] * (x.ndim - 2)}, x)
    grid.error("wrong rank", "ndim", base, {}, data("image", (3, 4)))
    grid.error("unknown padding", "padding", base, {"padding": "full"}, x)
    grid.error("wrong channels", "incompatible", base, {}, x, built=(*x.shape[:-1], 6))
    if "filters" in base:
        grid.error("negative filters", "filters", base, {"filters": -2}, x)


def conv1d(grid):
    base = {"filters": 3, "kernel_size": 3}
    for config in combinations(kernel_size=[1, 2, 3], padding=["valid", "same", "causal"], strides=[1, 2, 3], data_format=FORMATS):
        grid.add({"filters": 3} | config, sequence(config["data_format"]))
    for config in combinations(kernel_size=[2, 3], padding=["valid", "same", "causal"], dilation_rate=[2, 3], data_format=FORMATS):
        grid.add({"filters": 3} | config, sequence(config["data_format"]))
    for config in combinations(groups=[2, 4], padding=["valid", "same", "causal"], strides=[1, 2], data_format=FORMATS):
        grid.add({"filters": 4, "kernel_size": 2} | config, sequence(config["data_format"]))
    grid.add({"filters": 6, "kernel_size": 2, "groups": 2, "dilation_rate": 2}, sequence())
    grid.add({"filters": 1, "kernel_size": 1}, data("sequence", (1, 1, 1)), tag="one step")
    common(grid, base, sequence, ["kernel"])
    for padding in ["valid", "same", "causal"]:
        grid.add(base | {"padding": padding}, integers("sequence", (2, 7, 4)), weights=[integers("kernel", (3, 4, 3)), integers("bias", (3,))], exact=True, tag="integers")
    grid.error("groups", "groups", base, {"groups": 2}, sequence())


def conv2d(grid):
    base = {"filters": 3, "kernel_size": [2, 3]}
    for config in combinations(kernel_size=[1, 3, [2, 3], [3, 1]], padding=["valid", "same"], strides=[1, 2, [1, 2], [3, 2]], data_format=FORMATS):
        grid.add({"filters": 3} | config, image(config["data_format"]))
    for config in combinations(kernel_size=[2, [2, 3]], padding=["valid", "same"], dilation_rate=[2, [1, 2], [3, 1]], data_format=FORMATS):
        grid.add({"filters": 3} | config, image(config["data_format"]))
    for config in combinations(groups=[2, 4], padding=["valid", "same"], strides=[1, [2, 1]], data_format=FORMATS):
        grid.add({"filters": 4, "kernel_size": [2, 3]} | config, image(config["data_format"]))
    grid.add({"filters": 6, "kernel_size": 2, "groups": 2, "dilation_rate": 2}, image())
    grid.add({"filters": 1, "kernel_size": 1}, data("image", (1, 1, 1, 1)), tag="one pixel")
    grid.add({"filters": 8, "kernel_size": 3, "padding": "same", "activation": "relu"}, data("image", (1, 8, 8, 6)), tag="8x8")
    common(grid, base, image, ["kernel"])
    for padding in ["valid", "same"]:
        for strides in [1, 2]:
            grid.add(base | {"padding": padding, "strides": strides}, integers("image", (2, 5, 6, 4)), weights=[integers("kernel", (2, 3, 4, 3)), integers("bias", (3,))], exact=True, tag="integers")
    for rank in [1, 2]:
        grid.add(base | {"lora_rank": rank} if rank == 1 else base | {"lora_rank": 2, "lora_alpha": 3}, image())
    grid.error("groups", "groups", base, {"groups": 2}, image())


def depthwise(grid):
    base = {"kernel_size": [2, 3]}
    for config in combinations(kernel_size=[1, 3, [2, 3]], padding=["valid", "same"], strides=[1, 2], data_format=FORMATS):
        grid.add(config, image(config["data_format"], channels=3))
    for config in combinations(depth_multiplier=[2, 3], padding=["valid", "same"], strides=[1, 2], data_format=FORMATS):
        grid.add(base | config, image(config["data_format"], channels=3))
    for config in combinations(dilation_rate=[2, [1, 2]], padding=["valid", "same"], data_format=FORMATS):
        grid.add({"kernel_size": 2} | config, image(config["data_format"], channels=3))
    grid.add({"kernel_size": 1, "depth_multiplier": 2}, data("image", (1, 1, 1, 1)), tag="one pixel")
    common(grid, base, image, ["depthwise"], whole=False)


def separable(grid):
    base = {"filters": 3, "kernel_size": [2, 3]}
    for config in combinations(kernel_size=[1, 3, [2, 3]], padding=["valid", "same"], strides=[1, 2], data_format=FORMATS):
        grid.add({"filters": 3} | config, image(config["data_format"]))
    for config in combinations(depth_multiplier=[2, 3], padding=["valid", "same"], strides=[1, 2], data_format=FORMATS):
        grid.add(base | config, image(config["data_format"]))
    for config in combinations(dilation_rate=[2, [1, 2]], padding=["valid", "same"], data_format=FORMATS):
        grid.add({"filters": 3, "kernel_size": 2} | config, image(config["data_format"]))
    grid.add(base | {"filters": 5}, image())
    common(grid, base, image, ["depthwise", "pointwise"], whole=False)


def transpose(grid):
    base = {"filters": 3, "kernel_size": [2, 3]}

    def small(data_format="channels_last", kind="float32"):
        return data("image", (2, 3, 4, 4) if data_format == "channels_last" else (2, 4, 3, 4), kind)

    for config in combinations(kernel_size=[1, 2, 3, [2, 3]], padding=["valid", "same"], strides=[1, 2, [2, 3]], data_format=FORMATS):
        grid.add({"filters": 3} | config, small(config["data_format"]))
    for config in combinations(output_padding=[0, 1, [1, 0]], padding=["valid", "same"], strides=[2, 3], data_format=FORMATS):
        grid.add(base | config, small(config["data_format"]))
    for config in combinations(dilation_rate=[2, [1, 2]], padding=["valid", "same"], data_format=FORMATS):
        grid.add(base | config, small(config["data_format"]))
    grid.add({"filters": 2, "kernel_size": 2, "strides": 2}, data("image", (1, 1, 1, 1)), tag="one pixel")
    common(grid, base, small, ["kernel"], whole=False)


GRIDS = {
    layers.Conv1D: lambda grid: conv1d(Quick(grid)),
    layers.Conv2D: lambda grid: conv2d(Quick(grid)),
    layers.DepthwiseConv2D: lambda grid: depthwise(Quick(grid)),
    layers.SeparableConv2D: lambda grid: separable(Quick(grid)),
    layers.Conv2DTranspose: lambda grid: transpose(Quick(grid)),
}
