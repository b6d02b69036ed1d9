"""Layers that merge several inputs."""

from keras import layers

from layer_case import combinations
from vectors import data, integers

from . import ACTIVITY_REGULARIZERS, POLICIES, input_dtype


def elementwise(grid):
    counts = [2] if grid.name == "Subtract" else [2, 3, 4]
    shapes = [[(2, 3)] * 4, [(2, 3, 4)] * 4, [(2, 2, 3, 2)] * 4, [(1, 2)] * 4, [(0, 3)] * 4, [(2, 3, 4), (2, 1, 4), (2, 3, 1), (2, 1, 1)], [(2, 4, 3), (2, 3)], [(2, 3), (2, 4, 2, 3)]]
    for count in counts:
        for all_shapes in shapes:
            if count <= len(all_shapes):
                used = all_shapes[:count]
                grid.add({}, [data(f"merge/{i}", s) for i, s in enumerate(used)], tag=str(used).replace(" ", ""))
    for policy in POLICIES:
        grid.add({"dtype": policy}, [data(f"merge/{i}", (2, 3, 4), input_dtype(policy)) for i in range(2)])
    pair = [data(f"merge/{i}", (2, 3, 4)) for i in range(2)]
    for option in ACTIVITY_REGULARIZERS + [{"name": "merged", "trainable": False}]:
        grid.add(option, pair)
    grid.add({"dtype": "int32"}, [data(f"merge/{i}", (2, 3), "int32", -4, 4) for i in range(2)])
    whole = [integers(f"merge/{i}", (3, 4)) for i in range(counts[-1])]
    grid.add({}, whole, exact=grid.name != "Average", tag="integers with ties")
    grid.add({}, [pair[0], pair[0]] if grid.name != "Subtract" else [pair[0], pair[1] * 0], tag="same input twice")
    masks = [data(f"merge/mask/{i}", (2, 3), "bool") for i in range(2)]
    grid.add({}, pair, input_masks=masks, tag="masked")
    grid.add({}, pair, input_masks=[masks[0], None], tag="one masked")
    if grid.name == "Subtract":
        grid.error("three inputs", "2 inputs", {}, {}, [*pair, pair[0]])
    grid.error("batch sizes", "batch size", {}, {}, [data("merge/0", (2, 3)), data("merge/1", (4, 3))])
    grid.error("shapes", "shape", {}, {}, [data("merge/0", (2, 3)), data("merge/1", (2, 4))])


def concatenate(grid):
    for rank, axes in {2: [-1, 1, 0], 3: [-1, 1, 2, 0, -2], 4: [1, 2, 3, -1, -3]}.items():
        for axis in axes:
            for count in [2, 3]:
                inputs = []
                for i in range(count):
                    shape = [2, 3, 2, 4][:rank]
                    shape[axis] = i + 1
                    inputs.append(data(f"concat/{i}", shape))
                grid.add({"axis": axis}, inputs, tag=f"rank {rank}, {count} inputs")
    for policy in POLICIES:
        grid.add({"dtype": policy}, [data(f"concat/{i}", (2, 3, i + 1), input_dtype(policy)) for i in range(2)])
    pair = [data("concat/0", (2, 3, 1)), data("concat/1", (2, 3, 2))]
    for option in ACTIVITY_REGULARIZERS + [{"name": "joined", "trainable": False}]:
        grid.add(option, pair)
    grid.add({"dtype": "int32"}, [data(f"concat/{i}", (2, i + 2), "int32", -4, 4) for i in range(2)])
    grid.add({}, [data("concat/0", (2, 3)), data("concat/1", (2, 2), "int32")], tag="float32 and int32")
    masks = [data(f"concat/mask/{i}", (2, 3), "bool") for i in range(2)]
    for axis in [-1, 1, 2]:
        second = data("concat/2", (2, 3, 2))
        for which, name in [(masks, "masked"), ([masks[0], None], "first masked"), ([None, masks[1]], "second masked")]:
            grid.add({"axis": axis}, [data("concat/3", (2, 3, 2)), second], input_masks=which, tag=name)
    grid.add({"axis": 1}, [integers("concat/0", (2, 3)), integers("concat/1", (2, 2))], exact=True, tag="integers")
    grid.error("shapes", "shape", {}, {}, [data("concat/0", (2, 3, 1)), data("concat/1", (2, 4, 2))])


def dot(grid):
    pairs = [
        (1, (2, 3), (2, 3)), (-1, (2, 3), (2, 3)), ([1, 1], (3, 4), (3, 4)), (2, (2, 3, 4), (2, 5, 4)), (1, (2, 4, 3), (2, 4, 5)),
        ([1, 2], (2, 4, 3), (2, 5, 4)), ([2, 1], (2, 3, 4), (2, 4, 5)), ([-1, -2], (2, 3, 4), (2, 4, 5)), ([1, 1], (2, 4), (2, 4, 3)),
        ([2, 1], (2, 3, 4), (2, 4)), ([3, 1], (2, 2, 3, 4), (2, 4, 3)), ([2, 3], (2, 2, 4, 3), (2, 3, 2, 4)), (1, (1, 1), (1, 1)),
    ]
    for axes, a, b in pairs:
        for normalize in [False, True]:
            if a == (1, 1) and normalize:
                continue
            grid.add({"axes": axes, "normalize": normalize}, [data("dot/a", a), data("dot/b", b)], tag=f"{a},{b}".replace(" ", ""))
    for config in combinations(dtype=POLICIES, normalize=[False, True]):
        kind = input_dtype(config["dtype"])
        grid.add({"axes": [2, 1]} | config, [data("dot/a", (2, 3, 4), kind), data("dot/b", (2, 4, 2), kind)])
    for option in ACTIVITY_REGULARIZERS + [{"name": "dotted", "trainable": False}]:
        grid.add({"axes": 1} | option, [data("dot/a", (2, 3)), data("dot/b", (2, 3))])
    grid.add({"axes": [2, 1]}, [integers("dot/a", (2, 3, 4)), integers("dot/b", (2, 4, 2))], exact=True, tag="integers")
    grid.error("shapes", "shape", {"axes": 1}, {}, [data("dot/a", (2, 3)), data("dot/b", (2, 4))])


GRIDS = {
    layers.Add: elementwise,
    layers.Subtract: elementwise,
    layers.Multiply: elementwise,
    layers.Average: elementwise,
    layers.Maximum: elementwise,
    layers.Minimum: elementwise,
    layers.Concatenate: concatenate,
    layers.Dot: dot,
}
