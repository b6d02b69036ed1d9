"""Layers that normalise their inputs or the weights of another."""

from keras import layers

from layer_case import combinations
from vectors import data

from . import ACTIVITY_REGULARIZERS, POLICIES, input_dtype, weight_options


def batch(grid):
    both = [{"training": False}, {"training": True}]
    for shape in [(4, 3), (3, 4, 3), (2, 3, 2, 4), (2, 2, 3, 2, 3)]:
        for axis in sorted({-1, 1, len(shape) - 1, -2 if len(shape) > 2 else -1}):
            for call in both:
                grid.add({"axis": axis}, data("norm", shape), call=call, tag=f"rank {len(shape)}")
    x = data("norm", (3, 4, 3))
    for config in combinations(center=[True, False], scale=[True, False]):
        for call in both:
            grid.add(config, x, call=call)
    for config in [{"momentum": 0.9}, {"momentum": 0.0}, {"momentum": 0.5, "epsilon": 0.1}, {"epsilon": 1e-5}]:
        grid.add(config, x, call={"training": True})
        grid.add(config, x)
    mask = data("norm/mask", (3, 4), "bool")
    mask[0, 0] = True
    for config in [{}, {"momentum": 0.7}, {"scale": False}, {"center": False}]:
        for call in both:
            grid.add(config, x, call=call | {"mask": mask}, tag="mask")
    grid.add({}, x, call={"training": True}, input_masks=[mask], tag="masked input")
    renorm = {"renorm": True}
    clip = {"rmax": 1.5, "rmin": 0.7, "dmax": 0.3}
    for extra in [{}, {"renorm_momentum": 0.8}, {"renorm_clipping": clip}, {"renorm_clipping": {"rmax": 1.1}}, {"renorm_clipping": {"dmax": 0.1}, "momentum": 0.5}, {"scale": False}, {"center": False}]:
        for call in both:
            grid.add(renorm | extra, x, call=call)
    grid.add(renorm | {"axis": 1}, data("norm", (2, 3, 2, 4)), call={"training": True})
    grid.add(renorm, x, call={"training": True, "mask": mask}, tag="mask")
    for option in weight_options("gamma", "beta"):
        grid.add(option, x)
    for option in [{"moving_mean_initializer": "ones"}, {"moving_variance_initializer": "he_normal"}, *ACTIVITY_REGULARIZERS]:
        grid.add(option, x)
    for policy in POLICIES:
        for call in both:
            grid.add({"dtype": policy}, data("norm", (3, 4, 3), input_dtype(policy)), call=call)
    for call in both:
        grid.add({"trainable": False, "name": "frozen"}, x, call=call)
        grid.add({}, data("norm", (1, 3)), call=call, tag="batch of 1")
        grid.add({}, data("norm", (3, 4, 3), "int32"), call=call, tag="int32", grads=False)
    before = [{"args": [data("norm/first", (3, 4, 3))], "kwargs": {"training": True}}, {"args": [x], "kwargs": {"training": True}}]
    grid.add({"momentum": 0.6}, x, calls_before=before, tag="after two steps")
    grid.add({"momentum": 0.6}, x, calls_before=before, call={"training": True}, tag="after two steps")
    grid.error("wrong channels", "incompatible", {}, {}, x, built=(3, 4, 5))


def layer(grid):
    shapes = {2: (3, 4), 3: (2, 3, 4), 4: (2, 3, 2, 4)}
    for rank, axes in {2: [-1, 1], 3: [-1, 1, 2, [1, 2], [-2, -1]], 4: [-1, 1, [2, 3], [1, 2, 3], [1, 3]]}.items():
        for axis in axes:
            grid.add({"axis": axis}, data("norm", shapes[rank]), tag=f"rank {rank}")
    x = data("norm", shapes[3])
    for config in combinations(center=[True, False], scale=[True, False], axis=[-1, [1, 2]]):
        grid.add(config, x)
    for epsilon in [1e-6, 1e-2, 0.5]:
        grid.add({"epsilon": epsilon}, x)
    for option in weight_options("gamma", "beta") + ACTIVITY_REGULARIZERS:
        grid.add(option, x)
    for policy in POLICIES:
        for axis in [-1, [1, 2]]:
            grid.add({"dtype": policy, "axis": axis}, data("norm", shapes[3], input_dtype(policy)))
    grid.add({"trainable": False, "name": "frozen"}, x)
    grid.add({}, x, input_masks=[data("norm/mask", (2, 3), "bool")], tag="masked input")
    grid.add({}, data("norm", (2, 3, 4), "int32"), tag="int32", grads=False)
    grid.add({}, data("norm", (1, 5)), tag="batch of 1")
    grid.add({}, data("norm", (0, 3)), tag="empty batch")
    grid.add({}, data("norm", (2, 7)) * 1000 + 5000, tag="large values")
    grid.error("wrong channels", "shape", {}, {}, x, built=(2, 3, 5))


def unit(grid):
    x = data("norm", (2, 3, 4))
    for axis in [-1, 1, [1, 2], [-2, -1]]:
        grid.add({"axis": axis}, x)
    for policy in POLICIES[:4]:
        grid.add({"dtype": policy, "name": "unit"}, data("norm", (2, 3, 4), input_dtype(policy)))
    grid.add({}, x, input_masks=[data("norm/mask", (2, 3), "bool")], tag="masked input")


def group(grid):
    x = data("norm", (2, 3, 4))
    for config in combinations(groups=[1, 2, 4, -1], axis=[-1, 2]):
        grid.add(config, x)
    for config in combinations(center=[True, False], scale=[True, False]):
        grid.add({"groups": 2} | config, data("norm", (2, 2, 2, 6)))
    for axis in [1, -2]:
        grid.add({"groups": 2, "axis": axis}, data("norm", (2, 4, 3) if axis == 1 else (2, 4, 3)))
    grid.add({"groups": 2, "epsilon": 0.5, "name": "groups"}, x)
    for option in weight_options("gamma", "beta")[::3] + ACTIVITY_REGULARIZERS[:1]:
        grid.add({"groups": 2} | option, x)
    for policy in POLICIES:
        grid.add({"groups": 2, "dtype": policy}, data("norm", (2, 3, 4), input_dtype(policy)))
    grid.add({"groups": 2}, data("norm", (2, 3, 4), "int32"), tag="int32", grads=False)
    grid.add({"groups": 2}, x, input_masks=[data("norm/mask", (2, 3), "bool")], tag="masked input")
    grid.error("too many groups", "roup", {"groups": 2}, {"groups": 8}, x)
    grid.error("no divisor", "roup", {"groups": 2}, {"groups": 3}, x)
    grid.error("no groups", "groups", {"groups": 2}, {"groups": 0}, x)


def rms(grid):
    x = data("norm", (2, 3, 4))
    for axis in [-1, 2, [1, 2], [-2, -1]]:
        grid.add({"axis": axis}, x)
    grid.add({"epsilon": 0.5, "name": "rms"}, x)
    for policy in POLICIES:
        grid.add({"dtype": policy}, data("norm", (2, 3, 4), input_dtype(policy)))
    grid.add({}, data("norm", (3, 4)), tag="rank 2")


def spectral(grid):
    x = data("norm", (3, 4))
    for call in [{"training": False}, {"training": True}]:
        grid.add({"layer": layers.Dense(3)}, x, call=call)
        grid.add({"layer": layers.Conv1D(3, 2), "power_iterations": 3}, data("norm", (2, 3, 4)), call=call)
    before = [{"args": [x], "kwargs": {"training": True}}]
    grid.add({"layer": layers.Dense(3), "name": "spectral"}, x, call={"training": True}, calls_before=before, tag="second step")
    grid.add({"layer": layers.Dense(3, dtype="mixed_float16"), "dtype": "mixed_float16"}, x, call={"training": True})
    grid.error("iterations", "power_iterations", {"layer": layers.Dense(3)}, {"power_iterations": 0}, x)


GRIDS = {
    layers.BatchNormalization: batch,
    layers.LayerNormalization: layer,
    layers.UnitNormalization: unit,
    layers.GroupNormalization: group,
    layers.RMSNormalization: rms,
    layers.SpectralNormalization: spectral,
}
