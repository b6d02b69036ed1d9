"""Pooling over windows and over everything."""

from keras import layers

from layer_case import combinations
from vectors import data, integers

from . import ACTIVITY_REGULARIZERS, POLICIES, input_dtype

SHAPES = {1: {"channels_last": (2, 7, 3), "channels_first": (2, 3, 7)}, 2: {"channels_last": (2, 5, 6, 3), "channels_first": (2, 3, 5, 6)}}


def windows(rank):
    """The grid of a windowed pooling layer of this rank."""

    def fill(grid):
        sizes = [1, 2, 3] if rank == 1 else [2, 3, [2, 3], [3, 1]]
        strides = [None, 1, 2, 3] if rank == 1 else [None, 1, 2, [1, 2], [3, 2]]
        for config in combinations(pool_size=sizes, strides=strides, padding=["valid", "same"], data_format=["channels_last", "channels_first"]):
            if config["data_format"] == "channels_first" and config["strides"] in (1, 3):
                continue
            grid.add(config, data("pooling", SHAPES[rank][config["data_format"]]))
        size = {"pool_size": 2}
        grid.add(size, data("pooling", SHAPES[rank]["channels_last"]))
        for padding in ["valid", "same"]:
            for shape in [(1, 4, 3, 1), (2, 2, 2, 2), (0, 4, 4, 2), (3, 1, 4, 2)]:
                shape = shape[: rank + 1] + shape[3:]
                if padding == "same" or 1 not in shape[1:-1]:
                    grid.add(size | {"padding": padding}, data("pooling", shape), tag=f"shape={shape}".replace(" ", ""))
            for policy in POLICIES:
                grid.add(size | {"padding": padding, "dtype": policy}, data("pooling", SHAPES[rank]["channels_last"], input_dtype(policy)))
            whole = integers("pooling", SHAPES[rank]["channels_last"])
            if grid.name.startswith("Max"):
                for strides in [None, 1]:
                    grid.add(size | {"padding": padding, "strides": strides}, whole, exact=True, tag="integers with ties")
            grid.add(size | {"padding": padding}, whole.astype("int32"), tag="int32", grads=False)
        for option in ACTIVITY_REGULARIZERS[1:]:
            grid.add(size | option, data("pooling", SHAPES[rank]["channels_last"]))
        grid.add(size | {"name": "pool", "trainable": False}, data("pooling", SHAPES[rank]["channels_last"]))
        x = data("pooling", SHAPES[rank]["channels_last"])
        grid.error("zero strides", "strides", size, {"strides": [0] * rank}, x)
        grid.error("negative pool size", "pool_size", size, {"pool_size": [-1] * rank}, x)
        grid.error("unknown padding", "padding", size, {"padding": "full"}, x)
        grid.error("wrong rank", "ndim", size, {}, data("pooling", (2, 3)))

    return fill


def everything(rank):
    """The grid of a global pooling layer of this rank."""

    def fill(grid):
        for config in combinations(data_format=[None, "channels_last", "channels_first"], keepdims=[False, True]):
            shape = SHAPES[rank][config["data_format"] or "channels_last"]
            grid.add(config, data("pooling", shape))
        for config in combinations(data_format=["channels_last", "channels_first"], keepdims=[False, True]):
            for shape in [(1, 2, 3, 4), (3, 1, 1, 2), (2, 4, 1, 1)]:
                shape = shape[: rank + 1] + shape[3:]
                grid.add(config, data("pooling", shape), tag=f"shape={shape}".replace(" ", ""))
        for config in combinations(keepdims=[False, True], dtype=POLICIES):
            grid.add(config, data("pooling", SHAPES[rank]["channels_last"], input_dtype(config["dtype"])))
        whole = integers("pooling", SHAPES[rank]["channels_last"])
        grid.add({}, whole.astype("int32"), tag="int32", grads=False)
        if "Max" in grid.name:
            grid.add({}, integers("pooling/all", (3, 8, 2) if rank == 1 else (3, 4, 2, 2), -9, 9), tag="integers", exact=True)
        for option in ACTIVITY_REGULARIZERS[1:]:
            grid.add(option, data("pooling", SHAPES[rank]["channels_last"]))
        grid.add({"name": "pool"}, data("pooling", SHAPES[rank]["channels_last"]))
        if grid.name == "GlobalAveragePooling1D":
            x = data("pooling", (3, 7, 3))
            mask = data("pooling/mask", (3, 7), "bool")
            mask[1] = True
            for config in combinations(data_format=["channels_last", "channels_first"], keepdims=[False, True]):
                y = x if config["data_format"] == "channels_last" else data("pooling", (3, 3, 7))
                grid.add(config, y, call={"mask": mask}, tag="mask")
            grid.add({}, x, input_masks=[mask], tag="masked input")
            for policy in POLICIES:
                grid.add({"dtype": policy}, data("pooling", (3, 7, 3), input_dtype(policy)), call={"mask": mask}, tag="mask")
        grid.error("wrong rank", "ndim", {}, {}, data("pooling", (2, 3)))

    return fill


GRIDS = {
    layers.MaxPooling1D: windows(1),
    layers.MaxPooling2D: windows(2),
    layers.AveragePooling1D: windows(1),
    layers.AveragePooling2D: windows(2),
    layers.GlobalMaxPooling1D: everything(1),
    layers.GlobalMaxPooling2D: everything(2),
    layers.GlobalAveragePooling1D: everything(1),
    layers.GlobalAveragePooling2D: everything(2),
}
