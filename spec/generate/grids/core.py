"""Dense, EinsumDense, the embeddings, Masking, Identity."""

import numpy as np
from keras import layers

from layer_case import combinations
from vectors import data, integers

from . import ACTIVITY_REGULARIZERS, POLICIES, input_dtype, weight_options


def dense(grid):
    x = data("dense", (2, 5))
    for config in combinations(units=[1, 3, 4], use_bias=[True, False], activation=[None, "relu", "tanh"]):
        grid.add(config, x)
    for activation in ["softmax", "sigmoid", "elu", "selu", "gelu", "leaky_relu", "hard_sigmoid", "log_softmax", "silu", "exponential"]:
        grid.add({"units": 4, "activation": activation}, x)
    for shape in [(1, 5), (0, 5), (3, 1), (3, 2, 4), (2, 3, 2, 3), (2, 1, 1, 2, 3)]:
        grid.add({"units": 3, "activation": "tanh"}, data("dense", shape), tag=f"shape={shape}".replace(" ", ""))
    for option in weight_options("kernel", "bias") + ACTIVITY_REGULARIZERS:
        grid.add({"units": 3} | option, x)
    for policy in POLICIES:
        for activation in [None, "relu"]:
            grid.add({"units": 3, "activation": activation, "dtype": policy}, data("dense", (2, 5), input_dtype(policy)))
    for kind in ["int32", "uint8", "int8", "bool"]:
        grid.add({"units": 3}, data("dense", (2, 5), kind, 0, 5), tag=kind)
    grid.add({"units": 3}, data("dense", (2, 5), "float16"), tag="float16 input")
    grid.add({"units": 3, "autocast": False}, data("dense", (2, 5), "float16"), tag="float16 input")
    grid.add({"units": 3, "trainable": False, "name": "frozen"}, x)
    for rank, extra in [(1, {}), (2, {}), (2, {"lora_alpha": 5}), (2, {"use_bias": False})]:
        grid.add({"units": 4, "lora_rank": rank} | extra, x)
    grid.add({"units": 3}, data("dense", (2, 3, 5)), input_masks=[data("dense", (2, 3), "bool")], tag="masked")
    for units in [1, 3]:
        weights = [integers("dense/kernel", (5, units)), integers("dense/bias", (units,))]
        for activation in [None, "relu", "relu6", "hard_tanh", "hard_shrink"]:
            grid.add({"units": units, "activation": activation}, integers("dense", (4, 5)), weights=weights, exact=True, tag="integers")
    grid.error("negative units", "units", {"units": 3}, {"units": -1}, x)
    grid.error("zero units", "units", {"units": 3}, {"units": 0}, x)
    grid.error("unknown activation", "activation", {"units": 3}, {"activation": "no_such_function"}, x)
    grid.error("rank 1", "ndim", {"units": 3}, {}, data("dense", (5,)))
    grid.error("wrong features", "incompatible", {"units": 3}, {}, x, built=(2, 7))


def embedding(grid):
    ids = data("embedding", (2, 4), "int32", 0, 5)
    for config in combinations(input_dim=[6], output_dim=[1, 3], mask_zero=[False, True]):
        for shape in [(2, 4), (3,), (1, 1), (2, 2, 3), (0, 2)]:
            grid.add(config, data("embedding", shape, "int32", 0, 5), tag=f"shape={shape}".replace(" ", ""))
    for kind in ["uint8", "int8", "int16", "uint16", "uint32", "int64", "float32"]:
        grid.add({"input_dim": 6, "output_dim": 3, "mask_zero": True}, data("embedding", (2, 4), "int32", 0, 5).astype(kind), tag=kind)
    for option in weight_options("embeddings") + ACTIVITY_REGULARIZERS:
        grid.add({"input_dim": 6, "output_dim": 3} | option, ids)
    for policy in POLICIES:
        grid.add({"input_dim": 6, "output_dim": 3, "dtype": policy, "mask_zero": True}, ids)
    for extra in [{}, {"lora_alpha": 5}]:
        grid.add({"input_dim": 6, "output_dim": 3, "lora_rank": 2} | extra, ids)
    grid.add({"input_dim": 6, "output_dim": 3, "weights": [data("embedding/weights", (6, 3))]}, ids)
    grid.add({"input_dim": 7, "output_dim": 3, "trainable": False, "name": "frozen"}, ids)
    repeated = np.array([[1, 1, 1], [0, 1, 5]], "int32")
    grid.add({"input_dim": 6, "output_dim": 2}, repeated, weights=[integers("embedding", (6, 2))], exact=True, tag="repeated ids")


def masking(grid):
    x = integers("masking", (3, 4, 2), -1, 1)
    x[0, 1] = x[1, 3] = 0.0
    x[2, 2], x[2, 0] = 2.0, (2.0, 1.0)
    for value in [0.0, 2.0, -1.0, 1.5]:
        grid.add({"mask_value": value}, x, tag="integers", exact=True)
    for shape in [(1, 1, 2), (2, 3), (2, 3, 2, 2), (2, 0, 3)]:
        y = data("masking", shape)
        y[:, -1:] = 0.5
        grid.add({"mask_value": 0.5}, y, tag=f"shape={shape}".replace(" ", ""))
    grid.add({"mask_value": 1.0, "name": "hidden"}, x)
    for kind in ["int32", "uint8"]:
        grid.add({"mask_value": 1}, integers("masking", (2, 4, 1), 0, 2).astype(kind), tag=kind)
    for policy in POLICIES:
        grid.add({"mask_value": 1.0, "dtype": policy}, x.astype(data("x", (1,), input_dtype(policy)).dtype))
    grid.add({}, x, input_masks=[data("masking", (3, 4), "bool")], tag="masked input")


def einsum_dense(grid):
    x = data("einsum", (2, 3, 4))
    for equation, shape, bias in [
        ("ab,bc->ac", [5], "c"), ("ab,bc->ac", 5, None), ("abc,cd->abd", [None, 5], "d"), ("abc,cd->abd", [3, 5], None),
        ("abc,cde->abde", [None, 2, 3], "de"), ("abc,cde->abde", [None, 2, 3], "e"), ("abc,cde->adbe", [2, None, 3], "d"),
        ("abcd,cde->abe", [None, 5], "e"), ("abc,bde->acde", [4, 2, 3], "ce"), ("...x,xy->...y", [5], "y"),
        ("ab...,bc->ac...", [5], "c"), ("abc,bc->abc", [3, 4], None), ("abc,b->abc", [3, 4], "c"),
        ("abc,acd->abd", [3, 5], "d"), ("abc,abcd->ad", [5], None),
    ]:  # fmt: skip
        config = {"equation": equation, "output_shape": shape, "bias_axes": bias}
        rank = 3 if "..." in equation else len(equation.split(",")[0])
        grid.add(config, data("einsum", (2, 3, 4, 2)[:rank] if rank != 4 else (2, 3, 4, 2)))
    base = {"equation": "abc,cd->abd", "output_shape": [None, 5], "bias_axes": "d"}
    grid.add(base, data("einsum", (1, 2, 3)), tag="shape=(1,2,3)")
    for activation in ["relu", "softmax"]:
        grid.add(base | {"activation": activation, "name": "projection"}, x)
    for option in weight_options("kernel", "bias")[::3] + ACTIVITY_REGULARIZERS[:1]:
        grid.add(base | option, x)
    for extra in [{}, {"lora_alpha": 5}]:
        grid.add(base | {"lora_rank": 2} | extra, x)
    for policy in POLICIES:
        grid.add(base | {"dtype": policy}, data("einsum", (2, 3, 4), input_dtype(policy)))
    grid.error("equation", "equation", base, {"equation": "abc,cd-abd"}, x)
    grid.error("bias axes", "ias", base, {"bias_axes": "c"}, x)


def identity(grid):
    for shape in [(3,), (2, 3, 4)]:
        grid.add({"name": "same"}, data("identity", shape), tag=f"rank {len(shape)}")
    for policy in POLICIES[:4]:
        grid.add({"dtype": policy}, data("identity", (2, 3)))
    grid.add({}, data("identity", (2, 3), "int32"), tag="int32")
    grid.add({}, data("identity", (2, 3)), input_masks=[data("identity", (2, 3), "bool")], tag="masked input")


def reversible_embedding(grid):
    ids, x = data("embedding", (2, 4), "int32", 0, 5), data("embedding", (2, 4, 3))
    base = {"input_dim": 6, "output_dim": 3}
    for config in combinations(tie_weights=[True, False], mask_zero=[False, True]):
        grid.add(base | config, ids)
        grid.add(base | config, x, call={"reverse": True})
    for extra in [{"reverse_dtype": "float16"}, {"logit_soft_cap": 0.5}, {"logit_soft_cap": 2.0, "tie_weights": False}]:
        grid.add(base | extra, x, call={"reverse": True})
    for option in weight_options("embeddings")[::4]:
        grid.add(base | {"tie_weights": False} | option, ids)
    for policy in POLICIES[:4]:
        grid.add(base | {"dtype": policy, "name": "words"}, ids)
        grid.add(base | {"dtype": policy}, data("embedding", (2, 4, 3), input_dtype(policy)), call={"reverse": True})
    grid.add({"input_dim": 7, "output_dim": 2}, ids)


GRIDS = {
    layers.Dense: dense,
    layers.Embedding: embedding,
    layers.Masking: masking,
    layers.EinsumDense: einsum_dense,
    layers.Identity: identity,
    layers.ReversibleEmbedding: reversible_embedding,
}
