"""Layers over one or three spatial axes, and pooling to a given size.

Those over two axes share their code in Keras and have every combination of arguments; here each argument is varied once or
twice, and combined where axes could be mixed up.
"""

import functools

from keras import initializers, layers, regularizers

from layer_case import combinations
from vectors import data, integers

from . import ACTIVITY_REGULARIZERS, POLICIES, input_dtype
from .convolution import Quick

FORMATS = ["channels_last", "channels_first"]
LENGTHS = {1: (7,), 2: (5, 6), 3: (4, 3, 5)}
CHANNELS = {1: 4, 2: 2, 3: 2}


def samples(rank, data_format="channels_last", kind="float32", channels=None, lengths=None):
    """Two samples of other lengths along each spatial axis."""
    lengths, channels = lengths or LENGTHS[rank], channels or CHANNELS[rank]
    return data("block", (2, *lengths, channels) if data_format == "channels_last" else (2, channels, *lengths), kind)


def kernels(rank):
    return {1: [2, 3], 3: [2, [1, 3, 2]]}[rank]


def steps(rank):
    return {1: [1, 2, 3], 3: [1, [2, 1, 3]]}[rank]


def gaps(rank):
    return {1: [2, 3], 3: [2, [1, 1, 2]]}[rank]


def convolution(rank, base, names, depth=None, steps_by=steps, transposed=False):
    """The grid of a convolution: `names` are those of its kernels, `depth` the argument of output channels per input
    channel."""

    def fill(full):
        grid = Quick(full)
        lengths = (2, 3, 2) if transposed and rank == 3 else LENGTHS[rank]
        block = functools.partial(samples, rank, lengths=lengths)
        x = block()
        sized = base | {"kernel_size": kernels(rank)[-1]}
        for config in combinations(kernel_size=kernels(rank), strides=steps_by(rank), padding=["valid", "same"], data_format=FORMATS):
            grid.add(base | config, block(config["data_format"]))
        for config in combinations(dilation_rate=gaps(rank), padding=["valid", "same"]):
            grid.add(base | {"kernel_size": 2} | config, x)
        grid.add(base | {"kernel_size": 2, "dilation_rate": 2, "data_format": "channels_first"}, block("channels_first"))
        if depth:
            for config in combinations(**{depth: [2, 3], "data_format": FORMATS}):
                grid.add(sized | config, block(config["data_format"]))
        if transposed:
            for config in combinations(output_padding=[0, 1], padding=["valid", "same"]):
                grid.add(sized | {"strides": 2} | config, x)
            if rank == 3:
                grid.add(sized | {"filters": 3}, x)
                grid.add(sized | {"strides": [2, 1, 3], "output_padding": [1, 0, 2], "data_format": "channels_first"}, block("channels_first"))
        for activation in ["relu", "softmax"]:
            for use_bias in [True, False]:
                grid.add(sized | {"activation": activation, "use_bias": use_bias}, x)
        for name in [*names, "bias"]:
            for kind, value in [("initializer", initializers.RandomUniform(-0.1, 0.3)), ("regularizer", regularizers.L1L2(0.1, 0.4)), ("constraint", "non_neg")]:
                grid.add(sized | {f"{name}_{kind}": value}, x, grads=False)
        grid.add(sized | ACTIVITY_REGULARIZERS[1], x)
        for policy in POLICIES:
            grid.add(sized | {"dtype": policy}, block(kind=input_dtype(policy)))
        grid.add(sized | {"trainable": False, "name": "frozen"}, x[:1])
        grid.add(sized, x[:0], tag="empty batch")
        grid.error("zero strides", "strides", sized, {"strides": [0] * rank}, x)
        grid.error("wrong rank", "ndim", sized, {}, data("block", (3,)) if rank == 1 else data("block", (3, 4)))
        grid.error("unknown padding", "padding", sized, {"padding": "full"}, x)
        grid.error("causal padding", "padding", sized, {"padding": "causal"}, x)
        grid.error("wrong channels", "incompatible", sized, {}, x, built=(*x.shape[:-1], 6))

    return fill


def conv3d(full):
    grid = Quick(full)
    convolution(3, {"filters": 3}, ["kernel"])(full)
    for config in combinations(groups=[2], padding=["valid", "same"]):
        grid.add({"filters": 4, "kernel_size": 2} | config, samples(3))
    grid.add({"filters": 3, "kernel_size": 2, "lora_rank": 2, "lora_alpha": 3}, samples(3))
    grid.add({"filters": 3, "kernel_size": 2}, integers("block", (2, 4, 3, 5, 2)), weights=[integers("kernel", (2, 2, 2, 2, 3)), integers("bias", (3,))], exact=True, tag="integers")
    grid.error("groups", "groups", {"filters": 3, "kernel_size": 2}, {"groups": 2}, samples(3))


def even(rank):
    """Steps that are the same along all axes, which depthwise convolution asks for."""
    return [1, 2]


def pooling(grid):
    """The grid of a windowed pooling layer over volumes."""
    x = samples(3, channels=2)
    for config in combinations(pool_size=[2, [1, 3, 2]], strides=[None, 1, [2, 1, 3]], padding=["valid", "same"], data_format=FORMATS):
        grid.add(config, samples(3, config["data_format"], channels=2))
    size = {"pool_size": 2}
    for policy in POLICIES:
        grid.add(size | {"dtype": policy}, samples(3, kind=input_dtype(policy), channels=2))
    whole = integers("block", x.shape)
    if grid.name.startswith("Max"):
        grid.add(size | {"strides": 1}, whole, exact=True, tag="integers with ties")
    grid.add(size, whole.astype("int32"), tag="int32", grads=False)
    grid.add(size | ACTIVITY_REGULARIZERS[1] | {"name": "pool", "trainable": False}, x)
    grid.add(size, x[:0], tag="empty batch")
    grid.error("zero strides", "strides", size, {"strides": [0] * 3}, x)
    grid.error("unknown padding", "padding", size, {"padding": "full"}, x)
    grid.error("wrong rank", "ndim", size, {}, data("block", (2, 3)))


def everything(grid):
    """The grid of a global pooling layer over volumes."""
    for config in combinations(data_format=[None, *FORMATS], keepdims=[False, True]):
        grid.add(config, samples(3, config["data_format"] or "channels_last", channels=2))
    for policy in POLICIES:
        grid.add({"dtype": policy}, samples(3, kind=input_dtype(policy), channels=2))
    grid.add(ACTIVITY_REGULARIZERS[1] | {"name": "pool"}, samples(3, channels=2))
    grid.add({}, integers("block", (2, 2, 3, 2, 2)).astype("int32"), tag="int32", grads=False)
    grid.error("wrong rank", "ndim", {}, {}, data("block", (2, 3)))


def adaptive(rank):
    """The grid of a layer that pools to a given size: smaller than, as large as, and larger than the input."""
    # Keras on JAX finds the ends of windows in float32: of 7 windows over 7 steps the last is one too long, and NaN.
    sizes = {1: [1, 3, [5], 6, 9], 2: [1, [3, 4], [5, 2], [7, 6]], 3: [1, 2, [3, 2, 4], [5, 3, 2]]}

    def fill(grid):
        for config in combinations(output_size=sizes[rank], data_format=[None, "channels_first"]):
            grid.add(config, samples(rank, config["data_format"] or "channels_last", channels=2))
        size = {"output_size": 3}
        for policy in POLICIES:
            grid.add(size | {"dtype": policy}, samples(rank, kind=input_dtype(policy), channels=2))
        if "Max" in grid.name:
            grid.add(size, integers("block", (2, *LENGTHS[rank], 2)), exact=True, tag="integers with ties")
        grid.add(size | ACTIVITY_REGULARIZERS[1] | {"name": "pool"}, samples(rank, channels=2))
        grid.error("wrong length", "output_size", size, {"output_size": [1, 2, 3, 4]}, samples(rank))

    return fill


def moved(grid, base, x):
    """What layers that move elements share."""
    for policy in ["mixed_bfloat16", "float64"]:
        grid.add(base | {"dtype": policy}, x.astype(input_dtype(policy)))
    grid.add(base | {"dtype": "int32"}, (x * 4).astype("int32"))
    grid.add(base | ACTIVITY_REGULARIZERS[1] | {"trainable": False, "name": "moved"}, x)
    grid.error("wrong rank", "ndim", {}, {}, data("block", (2, 3)))


def pad(rank):
    def fill(grid):
        amounts = {1: [0, 2, [1, 2], [3, 0]], 3: [0, 1, [1, 2, 0], [[1, 2], [0, 1], [2, 0]]]}[rank]
        for config in combinations(padding=amounts, data_format=FORMATS):
            grid.add(config, samples(rank, config["data_format"], channels=2))
        grid.add({}, samples(rank, channels=2))
        moved(grid, {"padding": 1}, samples(rank, channels=2))
        grid.error("negative", "padding", {}, {"padding": [-1, 0] if rank == 1 else [[-1, 0], [0, 0], [0, 0]]}, samples(rank))
        grid.error("wrong length", "padding", {}, {"padding": [1, 2, 3, 4]}, samples(rank))

    return fill


def crop(rank):
    def fill(grid):
        lengths = (6,) if rank == 1 else (4, 5, 6)
        amounts = {1: [0, 2, [1, 2], [3, 0], [0, 3]], 3: [0, 1, [1, 2, 0], [[1, 2], [0, 1], [2, 0]], [[0, 1], [1, 0], [0, 0]], [[1, 0], [0, 2], [1, 1]]]}[rank]
        for config in combinations(cropping=amounts, **({"data_format": FORMATS} if rank == 3 else {})):
            grid.add(config, samples(rank, config.get("data_format", "channels_last"), channels=2, lengths=lengths))
        x = samples(rank, channels=2, lengths=lengths)
        grid.add({}, x)
        moved(grid, {"cropping": 1}, x)
        grid.error("too much", "cropping", {}, {"cropping": [3, 3] if rank == 1 else [[2, 2], [0, 0], [0, 0]]}, x)
        grid.error("wrong length", "cropping", {}, {"cropping": [1, 2, 3, 4]}, x)

    return fill


def upsample(rank):
    def fill(grid):
        for config in combinations(size=[1, 3], **({"data_format": FORMATS} if rank == 3 else {})):
            grid.add(config, samples(rank, config.get("data_format", "channels_last"), channels=2, lengths=(2, 1, 3)[-rank:]))
        x = samples(rank, channels=2, lengths=(2, 1, 3)[-rank:])
        if rank == 3:
            for data_format in FORMATS:
                grid.add({"size": [1, 3, 2], "data_format": data_format}, samples(rank, data_format, channels=2, lengths=(2, 1, 3)))
        grid.add({}, x)
        moved(grid, {"size": 2}, x)
        grid.error("zero", "size", {}, {"size": 0}, x)

    return fill


def spatial_dropout(grid):
    training = {"training": True}
    for config in combinations(rate=[0.0, 0.3, 0.8], data_format=FORMATS):
        x = samples(3, config["data_format"], channels=8, lengths=(2, 1, 2))
        grid.add(config, x)
        grid.add(config, x, call=training)
    x = samples(3, channels=8, lengths=(2, 1, 2))
    grid.add({"rate": 0.5, "seed": 7, "name": "drop"}, x, call=training, seeds=[[7, 0]], tag="fresh seed")
    grid.add({"rate": 0.5}, x, call=training, calls_before=[{"args": [x], "kwargs": training}], tag="second step")
    for policy in ["float16", "bfloat16", "float64"]:  # the config keeps a dtype, not a policy
        grid.add({"rate": 0.5, "dtype": policy}, x.astype(policy), call=training)
    grid.error("wrong rank", "ndim", {"rate": 0.5}, {}, data("block", (2, 3)))
    grid.error("rate", "rate", {"rate": 0.5}, {"rate": 1.5}, x)


GRIDS = {
    layers.Conv3D: conv3d,
    layers.Conv1DTranspose: convolution(1, {"filters": 3}, ["kernel"], transposed=True),
    layers.Conv3DTranspose: convolution(3, {"filters": 2}, ["kernel"], transposed=True),
    layers.DepthwiseConv1D: convolution(1, {}, ["depthwise"], "depth_multiplier", even),
    layers.SeparableConv1D: convolution(1, {"filters": 3}, ["depthwise", "pointwise"], "depth_multiplier", even),
    layers.MaxPooling3D: pooling,
    layers.AveragePooling3D: pooling,
    layers.GlobalMaxPooling3D: everything,
    layers.GlobalAveragePooling3D: everything,
    layers.AdaptiveMaxPooling1D: adaptive(1),
    layers.AdaptiveMaxPooling2D: adaptive(2),
    layers.AdaptiveMaxPooling3D: adaptive(3),
    layers.AdaptiveAveragePooling1D: adaptive(1),
    layers.AdaptiveAveragePooling2D: adaptive(2),
    layers.AdaptiveAveragePooling3D: adaptive(3),
    layers.ZeroPadding1D: pad(1),
    layers.ZeroPadding3D: pad(3),
    layers.Cropping1D: crop(1),
    layers.Cropping3D: crop(3),
    layers.UpSampling1D: upsample(1),
    layers.UpSampling3D: upsample(3),
    layers.SpatialDropout3D: spatial_dropout,
}
