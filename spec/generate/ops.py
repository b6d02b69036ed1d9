"""Golden vectors of kind `op`: spec/vectors/ops, the functions of `keras.ops` that tensors have, and operations of
backends (`backend.NAME`) that no function of `keras.ops` shows.

`ops.py` makes all files, `ops.py unary cast` some of them."""

import sys

import numpy as np

from op_case import ALL, FLOATS, INTS, Cases, extremes, special
from vectors import data, dtype, integers

UNARY = {
    "negative": (-3, 3), "absolute": (-3, 3), "sign": (-3, 3), "ceil": (-3, 3), "floor": (-3, 3), "round": (-3, 3),
    "exp": (-5, 5), "expm1": (-3, 3), "log": (0.1, 9), "log1p": (-0.8, 5), "sqrt": (0.1, 9), "rsqrt": (0.1, 9),
    "sin": (-7, 7), "cos": (-7, 7), "tan": (-1.4, 1.4), "arcsin": (-0.9, 0.9), "arccos": (-0.9, 0.9), "arctan": (-5, 5),
    "sinh": (-4, 4), "cosh": (-4, 4), "tanh": (-4, 4), "arcsinh": (-9, 9), "arccosh": (1.2, 9), "arctanh": (-0.9, 0.9),
    "erf": (-3, 3), "erfinv": (-0.95, 0.95), "sigmoid": (-6, 6), "softplus": (-6, 6), "relu": (-3, 3),
}  # fmt: skip
INTEGER_UNARY = ["negative", "absolute", "sign", "relu", "bitwise_not"]
BINARY = ["add", "subtract", "multiply", "divide", "floor_divide", "mod", "power", "maximum", "minimum", "arctan2"]
COMPARE = ["equal", "not_equal", "less", "less_equal", "greater", "greater_equal"]
LAYOUTS = ["transposed", "sliced", "flipped"]
PROMOTED = [("float32", "int32"), ("int8", "uint8"), ("bool", "int16"), ("bfloat16", "float16"), ("uint16", "int8"), ("float16", "int32"), ("bool", "float32")]


def array(shape, name="float32", low=-3.0, high=3.0, key="ops"):
    """Random data; unsigned types hold no negative numbers."""
    return data(key, shape, name, max(low, 0) if name.startswith("uint") else low, high)


def whole(shape, name="float32", key="whole"):
    """Small whole numbers in a float type."""
    return integers(key, shape, dtype_name=name)


def unary():
    cases = Cases("unary")
    for op, (low, high) in UNARY.items():
        for shape in [(3, 5), (), (0, 2)]:
            cases.add(op, f"shape={shape}", array(shape, low=low, high=high), grads=0 not in shape)
        for name in FLOATS[1:]:
            cases.add(op, name, array((4, 3), name, low, high))
        for name in FLOATS:
            cases.add(op, f"special,{name}", special(name), grads=False)
        for layout in LAYOUTS:
            cases.add(op, layout, array((3, 5), low=low, high=high), layout=layout)
    for op in INTEGER_UNARY:
        for name in INTS:
            cases.add(op, name, extremes(name))
    for op in ["ceil", "floor", "round"]:
        for name in INTS:
            cases.add("backend.unary", f"{op},{name}", extremes(name), op=op)
    cases.add("logical_not", "bool", array((3, 4), "bool"))
    return cases.write()


def operands(op, name, shapes=((3, 4), (3, 4))):
    """Two operands that keep `op` inside its domain and away from its jumps."""
    low = 0.5 if op in ("power", "floor_divide", "mod", "divide") else -3
    a = array(shapes[0], name, low, 3, key="a")
    b = array(shapes[1], name, low, 3, key="b")
    if op in ("floor_divide", "mod", "power") and name in INTS:
        a, b = array(shapes[0], name, -9, 9, key="a"), array(shapes[1], name, 1, 4, key="b")
        b = np.maximum(b, np.array(1, name))
    return a, b


def pairs(values):
    """Every pair of the values, as two arrays."""
    a, b = np.meshgrid(values, values, indexing="ij")
    return np.ascontiguousarray(a), np.ascontiguousarray(b)


def binary():
    cases = Cases("binary")
    for op in BINARY:
        numbers = FLOATS if op in ("divide", "arctan2") else [*FLOATS, *INTS]
        for name in numbers:
            cases.add(op, name, *operands(op, name))
        for shapes in [((3, 1, 4), (2, 1)), ((4,), (3, 4)), ((), (2, 3)), ((2, 3), ()), ((), ()), ((2, 1), (1, 3))]:
            cases.add(op, f"shapes={shapes}", *operands(op, "float32", shapes))
        cases.add(op, "empty", *operands(op, "float32", ((0, 3), (1, 3))), grads=False)
        for layout in LAYOUTS:
            cases.add(op, layout, *operands(op, "float32"), layout=layout)
            cases.add(op, f"{layout},shapes=((2, 3), (3,))", *operands(op, "float32", ((2, 3), (3,))), layout=layout)
        for name in FLOATS:
            # Where XLA does not do what IEEE 754 asks, the cases stay away; spec/README.md says where that is.
            few = [np.nan, np.inf, -np.inf, 0.0, 1, -1, 0.5, -2.5, 3, 1e4]
            if op in ("floor_divide", "mod"):
                few = [np.nan, 1, -1, 0.5, -2.5, 3, -7, 7.5]
            cases.add(op, f"special,{name}", *pairs(np.array(few, dtype(name))), grads=False)
        if op in ("add", "subtract", "multiply", "maximum", "minimum"):
            for name in INTS:
                cases.add(op, f"extremes,{name}", *pairs(extremes(name)))
            cases.add(op, "whole numbers", whole((4, 5)), whole((4, 5), key="b"), exact=True)
        if op in ("floor_divide", "mod"):
            for name in ["int32", "int8"]:
                a, b = pairs(np.array([-7, -4, -1, 1, 3, 5, 100], name))
                cases.add(op, f"signs,{name}", a, b)
        if op not in ("arctan2", "floor_divide", "mod", "power"):
            for one, other in PROMOTED:
                cases.add(op, f"{one},{other}", operands(op, one)[0], operands(op, other)[1] + np.array(1, other) if op == "divide" and other != "bool" else operands(op, other)[1])
    for op in ["maximum", "minimum", "logical_and", "logical_or", "logical_xor"]:
        cases.add(op, "bool", *pairs(np.array([False, True])))
    for op in ["bitwise_and", "bitwise_or", "bitwise_xor"]:
        for name in INTS:
            cases.add(op, name, *pairs(extremes(name)))
    cases.add("clip", "bounds", array((3, 4)), x_min=-1, x_max=1.5)
    cases.add("clip", "special", special("float32"), x_min=-1, x_max=1.5, grads=False)
    cases.add("square", "float32", array((3, 4)))
    return cases.write()


def compare():
    cases = Cases("compare")
    for op in COMPARE:
        for name in FLOATS:
            cases.add(op, f"special,{name}", *pairs(np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1, -1], dtype(name))))
        for name in INTS:
            cases.add(op, name, *pairs(extremes(name)))
        cases.add(op, "bool", *pairs(np.array([False, True])))
        for shapes in [((3, 1, 4), (2, 1)), ((), (2, 3)), ((0, 3), (1, 3))]:
            cases.add(op, f"shapes={shapes}", whole(shapes[0]), whole(shapes[1], key="b"))
        for layout in LAYOUTS:
            cases.add(op, layout, whole((3, 4)), whole((3, 4), key="b"), layout=layout)
        for one, other in PROMOTED:
            cases.add(op, f"{one},{other}", array((3, 5), one), array((3, 5), other, key="b"))
    condition = array((3, 4), "bool")
    for name in ALL:
        cases.add("where", name, condition, array((3, 4), name), array((3, 4), name, key="b"), exact=name in FLOATS)
    for shapes in [((3, 1), (4,), (2, 1, 1)), ((), (2, 3), (3,)), ((2, 3), (), ()), ((0, 1), (3,), ())]:
        cases.add("where", f"shapes={shapes}", array(shapes[0], "bool"), array(shapes[1]), array(shapes[2], key="b"), grads=0 not in shapes[0])
    cases.add("where", "special", np.arange(27) % 2 == 0, special("float32")[:27], -special("float32")[:27], grads=False)
    for layout in LAYOUTS:
        cases.add("where", layout, condition, array((3, 4)), array((3, 4), key="b"), layout=layout)
    for one, other in PROMOTED:
        cases.add("where", f"{one},{other}", condition, array((3, 4), one), array((3, 4), other, key="b"))
    return cases.write()


def cast():
    cases = Cases("cast")
    for source in ALL:
        for target in ALL:
            if source == target:
                continue
            if source in FLOATS:
                x = special(source)
            else:
                x = np.array([False, True, True]) if source == "bool" else extremes(source)
            cases.add("cast", f"{source} to {target}", x, grads=False, dtype=target)
    for source in FLOATS:
        for target in FLOATS:
            if source != target:
                cases.add("cast", f"gradient,{source} to {target}", whole((3, 4), source), exact=True, dtype=target)
    # Ties, and what is too large for the narrower type.
    x = np.array([1 + 2**-11, 1 + 3 * 2**-11, 1 + 2**-8, 1 + 3 * 2**-8, 65519, 65520, 70000, 6e-8, 3.3e38, 3.4e38], "float32")
    for target in ["float16", "bfloat16"]:
        cases.add("cast", f"rounding,float32 to {target}", x, grads=False, dtype=target)
    for layout in LAYOUTS:
        cases.add("cast", layout, whole((3, 4)), layout=layout, exact=True, dtype="int32")
    return cases.write()


def movement():
    cases = Cases("movement")
    for name in ALL:
        x, y = array((2, 3, 4), name), array((2, 3, 4), name, key="b")
        exact = {"exact": name in FLOATS}
        cases.add("reshape", name, x, newshape=[4, 6], **exact)
        cases.add("transpose", name, x, axes=[2, 0, 1], **exact)
        cases.add("broadcast_to", name, array((3, 1), name), shape=[2, 3, 4], **exact)
        cases.add("slice", name, x, start_indices=[0, 1, 1], shape=[2, 2, 3], **exact)
        cases.add("backend.slice", name, x, start=[0, 0, 1], limit=[2, 3, 4], stride=[1, 2, 2], **exact)
        cases.add("flip", name, x, axis=[0, 2], **exact)
        cases.add("concatenate", name, [x, y], axis=1, **exact)
        cases.add("pad", name, x, pad_width=[[1, 0], [0, 2], [1, 1]], **exact)
        cases.add("backend.pad", name, x, value=1.0, low=[1, 0, 2], high=[0, 1, 0], interior=[0, 2, 1], **exact)
        cases.add("slice_update", name, x, array((2, 2, 2), name, key="b"), start_indices=[0, 1, 2], **exact)
    x = array((2, 3, 4))
    for layout in LAYOUTS:
        cases.add("slice_update", layout, x, array((1, 3, 2), key="b"), start_indices=[1, 0, 1], exact=True, layout=layout)
        cases.add("reshape", layout, x, newshape=[4, 6], exact=True, layout=layout)
        cases.add("transpose", layout, x, axes=[1, 2, 0], exact=True, layout=layout)
        cases.add("broadcast_to", layout, array((3, 1)), shape=[2, 3, 4], exact=True, layout=layout)
        cases.add("backend.slice", layout, x, start=[0, 1, 0], limit=[2, 3, 4], stride=[1, 1, 2], exact=True, layout=layout)
        cases.add("flip", layout, x, axis=[1], exact=True, layout=layout)
        cases.add("concatenate", layout, [x, array((2, 1, 4))], axis=1, exact=True, layout=layout)
        cases.add("backend.pad", layout, x, value=0.0, low=[1, 0, 2], high=[0, 1, 0], interior=[1, 0, 1], exact=True, layout=layout)
    numbers = np.concatenate([special("float32"), np.array([1e-40, -1e-45], "float32")])
    cases.add("reshape", "special", numbers, newshape=[-1, 2], grads=False, exact=True)
    cases.add("flip", "special", numbers, axis=[0], grads=False, exact=True)
    cases.add("concatenate", "special", [numbers, numbers], axis=0, grads=False, exact=True)
    cases.add("transpose", "special", numbers.reshape(2, -1), axes=[1, 0], grads=False, exact=True)
    cases.add("slice_update", "special", numbers, numbers[::-3].copy(), start_indices=[2], grads=False, exact=True)
    cases.add("slice_update", "everything", x, array((2, 3, 4), key="b"), start_indices=[0, 0, 0], exact=True)
    cases.add("slice_update", "nothing", x, array((0, 3, 4), key="b"), start_indices=[1, 0, 0], grads=False, exact=True)
    # Like `jax.lax`, Keras moves an update that does not fit so that it does.
    cases.add("slice_update", "beyond the end", x, array((1, 2, 3), key="b"), start_indices=[5, 2, 2], exact=True)
    cases.add("reshape", "0-d", array((1, 1)), newshape=[])
    cases.add("reshape", "empty", array((2, 0, 3)), newshape=[0, 5], grads=False)
    cases.add("transpose", "empty", array((2, 0, 3)), axes=[2, 1, 0], grads=False)
    cases.add("concatenate", "empty", [array((2, 0)), array((2, 3))], axis=1, grads=False)
    cases.add("concatenate", "promoted", [array((2, 3), "int32"), array((1, 3), "bfloat16"), array((1, 3), "bool")], axis=0, grads=False)
    cases.add("concatenate", "one", [array((2, 3))], axis=-1)
    cases.add("broadcast_to", "0-d", array(()), shape=[2, 2], why="one number, repeated")
    cases.add("expand_dims", "axis=1", x, axis=1)
    cases.add("expand_dims", "axis=-1", x, axis=-1)
    cases.add("squeeze", "axis=1", array((3, 1, 2)), axis=1)
    cases.add("stack", "axis=0", [x, x + 1], axis=0)
    cases.add("stack", "axis=-1", [x, x + 1], axis=-1)
    cases.add("split", "axis=2", x, indices_or_sections=2, axis=2)
    cases.add("swapaxes", "0,2", x, axis1=0, axis2=2)
    cases.add("moveaxis", "0 to -1", x, source=0, destination=-1)
    cases.add("pad", "value", x, pad_width=[[0, 1], [2, 0], [0, 0]], constant_values=-1.5)
    cases.add("pad", "empty", array((0, 2)), pad_width=[[1, 1], [0, 0]], constant_values=2.0, why="what is put round nothing")
    return cases.write()


def reduction():
    cases = Cases("reduction")
    axes = {"all": {}, "axis=1": {"axis": 1}, "axis=(0, -1)": {"axis": [0, -1]}, "keepdims": {"axis": [1], "keepdims": True}, "axis=-1": {"axis": -1}}
    for op in ["sum", "prod", "max", "min", "mean", "var"]:
        for label, options in axes.items():
            cases.add(op, label, array((2, 3, 4), low=0.5), **options)
            if op != "var":
                x = np.array([1, -1, 2], "float32")[data("powers", (2, 3, 4), "int32", 0, 2)] if op == "prod" else whole((2, 3, 4))
                cases.add(op, f"whole numbers,{label}", x, exact=op != "mean" or label == "axis=-1", **options)
        for name in FLOATS[1:]:
            cases.add(op, name, array((4, 3), name, 0.5), axis=0)
        for name in ["int8", "int16", "int32", "uint8", "uint16", "uint32"]:
            cases.add(op, name, array((4, 3), name), axis=0)
        for layout in LAYOUTS:
            cases.add(op, layout, array((2, 3, 4), low=0.5), axis=1, layout=layout)
        for line in [[np.nan, 1, 2, 3], [np.inf, 1, -np.inf, 2], [np.inf, 1, 2, np.inf], [-np.inf, -1, 2, 3]]:
            both = np.array([line, [1, 2, 3, 4]], "float32")
            cases.add(op, f"special,{line[0]},{line[2]}", both, axis=1, grads=False)
    for op in ["sum", "prod"]:
        cases.add(op, "empty", np.zeros((2, 0), "float32"), axis=1, grads=False, why="nothing adds up to 0, multiplies to 1")
    for op in ["any", "all"]:
        cases.add(op, "axis=1", np.array([[True, False], [False, False], [True, True]]), axis=1)
        cases.add(op, "all", array((5, 2), "bool"), why="one truth")
    for name in ["float16", "bfloat16"]:
        # In the half precision itself these stop growing at 2048 and 256.
        ones = np.ones((3000,), dtype(name)) * np.array([1], dtype(name))
        cases.add("sum", f"many,{name}", ones, grads=False)
        cases.add("mean", f"many,{name}", np.tile(np.array([3, 1, 2], dtype(name)), 1000), grads=False)
        cases.add("cumsum", f"many,{name}", np.ones((64,), dtype(name)), axis=0, grads=False)
    for name in ALL:
        for op in ["max", "min"] if name == "bool" else ["sum", "prod", "max", "min"]:
            x = array((5, 2, 2), name, 1) if op == "prod" else array((5, 2, 2), name, -9, 9)
            if name == "bool":
                x = np.eye(5, 4, dtype=bool).reshape(5, 2, 2) ^ (np.arange(5) == (4 if op == "min" else -1))[:, None, None]
            # Elsewhere a product of numbers of either sign is no case for agreement to the bit.
            exact = {"exact": True} if name in FLOATS and op in ("max", "min") else {}
            cases.add("backend.reduce", f"{op},{name}", x, op=op, axes=[1, 2], **exact)
            cases.add("backend.cumulative", f"{op},{name}", x, op=op, axis=0, **exact, grads=op in ("sum", "prod"))
        for op in ["max", "min"]:
            cases.add("backend.reduce", f"{op},empty,{name}", np.zeros((2, 0), dtype(name)), op=op, axes=[1], grads=False, why="of nothing: what changes no other result")
            cases.add("backend.arg_reduce", f"{op},{name}", array((4, 6), name, -9, 9), op=op, axis=1)
        if name in FLOATS:
            lines = np.array([[1, np.nan, 3, np.nan], [2, 2, -1, -1], [np.inf, np.inf, -np.inf, -np.inf], [-0.0, 0.0, -0.0, 0.0]], dtype(name))
            for op in ["max", "min"]:
                cases.add("backend.arg_reduce", f"{op},special,{name}", lines, op=op, axis=1)
                cases.add("backend.cumulative", f"{op},special,{name}", lines, op=op, axis=1, grads=False)
    for op in ["cumsum", "cumprod"]:
        for axis in [0, 1, -1]:
            cases.add(op, f"axis={axis}", array((3, 4, 2), low=0.5), axis=axis)
        cases.add(op, "special", np.array([1, 2, np.inf, 3, np.nan, 1], "float32"), axis=0, grads=False)
        cases.add(op, "zeros", np.array([2, 3, 0, 4, 0, 5], "float32"), axis=0)
        cases.add(op, "int32", array((3, 4), "int32"), axis=1)
        cases.add(op, "empty", np.zeros((0, 2), "float32"), axis=0, grads=False)
        for layout in LAYOUTS:
            cases.add(op, layout, array((3, 4), low=0.5), axis=1, layout=layout)
    cases.add("cumsum", "whole numbers", whole((5, 4)), axis=0, exact=True)
    for op in ["argmax", "argmin"]:
        for label, options in {"all": {}, "axis=0": {"axis": 0}, "keepdims": {"axis": -1, "keepdims": True}}.items():
            cases.add(op, label, whole((4, 5, 2)), **options)
        for layout in LAYOUTS:
            cases.add(op, layout, whole((4, 5)), axis=1, layout=layout)
    return cases.write()


def indexing():
    cases = Cases("indexing")
    for name in ALL:
        x = array((4, 3), name)
        exact = {"exact": name in FLOATS}
        cases.add("backend.sort", name, x, axis=0, descending=False, **exact)
        cases.add("backend.sort", f"descending,{name}", x, axis=1, descending=True, **exact)
        cases.add("backend.argsort", name, x, axis=0, descending=False)
        cases.add("backend.argsort", f"descending,{name}", x, axis=0, descending=True)
        cases.add("backend.gather", name, x, np.array([[2, 0], [3, 3]], "int32"), axis=0, **exact)
        cases.add("backend.gather_elements", name, x, np.array([[2, 0, 1], [3, 3, 0]], "int32"), axis=0, **exact)
        y = array((2, 3), name, key="b")
        for op in ["set", "max", "min"] + (["add"] if name != "bool" else []):
            unique = np.array([2, 0], "int32")
            indices = unique if op == "set" else np.array([2, 2], "int32")
            kept = whole((4, 3), name) if name in FLOATS else x
            update = whole((2, 3), name, key="b") if name in FLOATS else y
            grads = op in ("set", "add")
            cases.add("backend.scatter", f"{op},{name}", kept, indices, update, op=op, axis=0, grads=grads, **exact)
            places = np.array([[2, 0, 1], [1, 3, 0]] if op == "set" else [[2, 0, 1], [2, 0, 1]], "int32")
            cases.add("backend.scatter_elements", f"{op},{name}", kept, places, update, op=op, axis=0, grads=grads, **exact)
    x, y = whole((3, 4, 2)), whole((3, 2, 2), key="b")
    for op in ["set", "add", "max", "min"]:
        outside = np.array([7, 1], "int32")
        cases.add("backend.scatter", f"{op},out of range", x, outside, y, op=op, axis=1, exact=True, grads=False)
        cases.add("backend.scatter", f"{op},negative", x, -outside, y, op=op, axis=1, exact=True, grads=False)
        places = np.array([[[9, -1], [1, 2]]] * 3, "int32")
        cases.add("backend.scatter_elements", f"{op},out of range", x, places, y, op=op, axis=1, exact=True, grads=False)
    lines = np.array([[1, np.nan, 3, -np.inf, np.nan], [2, np.inf, -1, -1, 2], [5, 4, 3, 2, 1]])
    for name in FLOATS:
        for descending in [False, True]:
            cases.add("backend.sort", f"special,descending={descending},{name}", lines.astype(dtype(name)), axis=1, descending=descending, grads=False, exact=True)
            cases.add("backend.argsort", f"special,descending={descending},{name}", lines.astype(dtype(name)), axis=1, descending=descending)
    subnormal = np.array([1e-40, -1e-45, 0.0, 1, -1], "float32")
    cases.add("sort", "float32", array((3, 5)), axis=-1, exact=True)
    cases.add("sort", "equal elements", whole((3, 9)), axis=1, exact=True)
    cases.add("sort", "empty", array((2, 0)), axis=1, grads=False)
    cases.add("sort", "long", array((1, 100)), axis=1, exact=True)
    cases.add("sort", "subnormal", subnormal[[0, 3, 4]], axis=0, exact=True, grads=False)
    cases.add("argsort", "equal elements", whole((3, 9)), axis=1)
    for layout in LAYOUTS:
        cases.add("sort", layout, array((3, 5)), axis=0, exact=True, layout=layout)
        cases.add("argsort", layout, array((3, 5)), axis=0, layout=layout)
        cases.add("take", layout, array((4, 3)), np.array([[2, 0], [3, 3]], "int32"), axis=0, layout=layout, exact=True)
        cases.add("take_along_axis", layout, array((4, 3)), np.array([[2, 0, 1], [3, 3, 0]], "int32"), axis=0, layout=layout, exact=True)
        cases.add("backend.scatter", layout, whole((4, 3)), np.array([2, 2], "int32"), whole((2, 3), key="b"), op="add", axis=0, layout=layout, exact=True)
        cases.add("backend.scatter_elements", layout, whole((4, 3)), np.array([[2, 0, 1]], "int32"), whole((1, 3), key="b"), op="add", axis=0, layout=layout, exact=True)
    for axis in [0, 1, -1]:
        cases.add("take", f"axis={axis}", array((2, 3, 2)), np.array([1, 0, 1], "int32"), axis=axis)
    cases.add("take", "0-d", array((4, 3)), np.array(2, "int32"), axis=0)
    cases.add("take", "no indices", array((4, 3)), np.zeros((0,), "int32"), axis=0, grads=False)
    for name in ["int8", "uint8", "int16", "uint16", "uint32"]:
        cases.add("take", f"indices {name}", array((4, 3)), np.array([3, 0], name), axis=0)
    cases.add("take_along_axis", "axis=1", array((2, 3, 2)), np.array([[[2, 0]], [[1, 1]]], "int32"), axis=1)
    for op in ["segment_sum", "segment_max"]:
        ids = np.array([2, 0, 2, 4, 0], "int32")
        for name in [*FLOATS, "int8", "int32", "uint16"] if op == "segment_sum" else FLOATS:
            make = whole if name in FLOATS else array
            # What stands where no row belongs is the neutral element; which of equal rows has the gradient is left open.
            cases.add(op, name, make((5, 3), name), ids, num_segments=5, sorted=False, exact=name in FLOATS, grads=op == "segment_sum")
        cases.add(op, "sorted", array((5,)), np.sort(ids), num_segments=6, sorted=True)
        cases.add(op, "rank 3", array((5, 2, 3)), ids, num_segments=5, sorted=False)
        cases.add(op, "out of range", whole((5, 2)), ids, num_segments=3, sorted=False, exact=True, grads=op == "segment_sum")
    cases.add("backend.gather", "clamped", array((4, 3)), np.array([9, -5, 1], "int32"), axis=0, grads=False)
    cases.add("backend.gather_elements", "clamped", array((4, 3)), np.array([[9, -5, 1]], "int32"), axis=0, grads=False)
    for name in ["int32", "uint8"]:
        cases.add("one_hot", name, np.array([[0, 2], [1, 5]], name), num_classes=4)
    cases.add("one_hot", "negative", np.array([-1, 1], "int32"), num_classes=3)
    for name in ["float16", "int32", "bool"]:
        cases.add("one_hot", f"dtype={name}", np.array([2, 0], "int32"), num_classes=3, dtype=name)
    return cases.write()


def products():
    cases = Cases("products")
    shapes = [((3, 4), (4, 5)), ((4,), (4,)), ((3, 4), (4,)), ((4,), (4, 5)), ((2, 3, 4), (4, 5)), ((2, 1, 3, 4), (5, 4, 2)), ((1, 4), (2, 4, 1)), ((17, 33), (33, 9))]
    for a, b in shapes:
        cases.add("matmul", f"{a},{b}", array(a, key="a"), array(b, key="b"))
        cases.add("matmul", f"whole numbers,{a},{b}", whole(a, key="a"), whole(b, key="b"), exact=True)
    cases.add("matmul", "empty inner", array((2, 0)), array((0, 3)), grads=False, why="nothing adds up to 0")
    cases.add("matmul", "empty outer", array((0, 2)), array((2, 3)), grads=False)
    for name in FLOATS[1:]:
        cases.add("matmul", name, array((3, 4), name, key="a"), array((4, 5), name, key="b"))
    for name in INTS:
        cases.add("backend.matmul", name, array((3, 4), name, key="a"), array((4, 5), name, key="b"))
        cases.add("backend.matmul", f"extremes,{name}", extremes(name).reshape(3, 3), extremes(name)[::-1].reshape(3, 3))
    for name in ["float16", "bfloat16"]:
        ones = np.ones((1, 3000), dtype(name))
        cases.add("matmul", f"many,{name}", ones, ones.T.copy(), grads=False)
    cases.add("matmul", "special", np.array([[np.inf, 1], [np.nan, 0], [0, -np.inf]], "float32"), np.array([[1, 0], [2, 1]], "float32"), grads=False)
    for subscripts, *operands in [
        ("ij,jk->ik", (3, 4), (4, 5)), ("bij,bjk->bik", (2, 3, 4), (2, 4, 2)), ("ij->ji", (3, 4)), ("ij->i", (3, 4)), ("ij,ij->", (3, 4), (3, 4)),
        ("abc,cde->abde", (2, 3, 4), (4, 2, 3)), ("abc,bde->acde", (2, 3, 4), (3, 2, 2)), ("i,j->ij", (3,), (4,)), ("...ij,jk->...ik", (2, 1, 3, 4), (4, 2)),
        ("ij,jk,kl->il", (2, 3), (3, 4), (4, 2)), ("ij,jk", (3, 4), (4, 5)),
    ]:  # fmt: skip
        cases.add("einsum", subscripts, *(array(shape, key=f"einsum {i}") for i, shape in enumerate(operands)), subscripts=subscripts)
    for name in FLOATS[1:]:
        cases.add("einsum", name, array((2, 3, 4), name, key="a"), array((4, 5), name, key="b"), subscripts="abc,cd->adb")
    for layout in LAYOUTS:
        cases.add("matmul", layout, whole((2, 3, 4), key="a"), whole((2, 4, 5), key="b"), layout=layout, exact=True)
    for axis in [-1, 0, 1]:
        for op in ["softmax", "log_softmax"]:
            cases.add(op, f"axis={axis}", array((2, 3, 4)), axis=axis)
    for op in ["softmax", "log_softmax"]:
        for name in FLOATS[1:]:
            cases.add(op, name, array((3, 5), name), axis=-1)
        lines = np.array([[np.inf, 1, 2], [-np.inf, 1, 2], [np.nan, 1, 2], [1e38, 1e38, 0], [-1e38, -1e38, 0], [-np.inf] * 3], "float32")
        cases.add(op, "special", lines, axis=-1, grads=False)
        for layout in LAYOUTS:
            cases.add(op, layout, array((3, 5)), axis=1, layout=layout)
        cases.add(op, "empty", array((0, 3)), axis=1, grads=False)
    return cases.write()


def windows():
    cases = Cases("windows")

    def convolve(label, x, filter, strides=None, padding=None, dilation=None, spread=None, groups=1, **options):
        n = x.ndim - 2
        cases.add(
            "backend.convolution", label, x, filter, strides=strides or [1] * n, padding=padding or [[0, 0]] * n,
            input_dilation=spread or [1] * n, filter_dilation=dilation or [1] * n, groups=groups, **options,
        )  # fmt: skip

    for n, (size, window) in enumerate([((7,), (3,)), ((5, 6), (3, 2)), ((4, 3, 5), (2, 2, 3))], start=1):
        for make, exact in [(array, False), (whole, True)]:
            x, filter = make((2, *size, 4), key="x"), make((*window, 4, 6), key="w")
            kind = f"{n}-d," + ("whole numbers" if exact else "random")
            convolve(kind, x, filter, exact=exact)
            convolve(f"{kind},strides", x, filter, strides=[2] * n, padding=[[1, 1]] * n, exact=exact)
            convolve(f"{kind},dilation", x, filter, dilation=[2] * n, padding=[[2, 3]] * n, exact=exact)
            convolve(f"{kind},transposed", x, filter, spread=[2] * n, padding=[[2, 1]] * n, exact=exact)
            convolve(f"{kind},groups", x, make((*window, 2, 6), key="w"), groups=2, padding=[[1, 0]] * n, exact=exact)
            convolve(f"{kind},depthwise", x, make((*window, 1, 8), key="w"), groups=4, exact=exact)
            convolve(f"{kind},everything", x, make((*window, 2, 6), key="w"), [2] * n, [[1, 2]] * n, [2] * n, [3] * n, 2, exact=exact)
        convolve(f"{n}-d,cropped", whole((2, *size, 2), key="x"), whole((*([1] * n), 2, 2), key="w"), padding=[[-1, -1]] * n, exact=True)
    x, filter = whole((2, 5, 6, 4), key="x"), whole((3, 2, 4, 6), key="w")
    for layout in LAYOUTS:
        convolve(layout, x, filter, padding=[[1, 1]] * 2, layout=layout, exact=True)
    for name in FLOATS[1:]:
        convolve(name, array((2, 5, 4), name, key="x"), array((2, 4, 3), name, key="w"), padding=[[1, 1]])
    for name in INTS:
        convolve(name, array((2, 5, 4), name, key="x"), array((2, 4, 3), name, key="w"), padding=[[1, 1]])
    convolve("no batch", array((0, 5, 4)), array((2, 4, 3)), grads=False)
    convolve("special", np.array([1, np.inf, 0, -1, np.nan, 2, 3, 4], "float32").reshape(1, 8, 1), np.array([[[1.0]], [[0.5]]], "float32"), grads=False)
    image = array((2, 6, 5, 4), key="x")
    for padding in ["valid", "same"]:
        for strides in [1, 2]:
            options = {"strides": strides, "padding": padding}
            cases.add("conv", f"{padding},strides={strides}", image, array((3, 2, 4, 3), key="w"), data_format="channels_last", **options)
            cases.add("depthwise_conv", f"{padding},strides={strides}", image, array((3, 2, 4, 2), key="w"), data_format="channels_last", **options)
            for op in ["max_pool", "average_pool"]:
                cases.add(op, f"{padding},strides={strides}", image, pool_size=(3, 2), data_format="channels_last", **options)
        cases.add("conv", f"{padding},dilated", image, array((3, 2, 4, 3), key="w"), padding=padding, dilation_rate=2, data_format="channels_last")
        # The kernel of a transposed convolution is (window…, out, in).
        for size, window in [((5,), (3,)), ((3, 4), (2, 3)), ((2, 3, 2), (2, 1, 3))]:
            for strides in [1, 2, 3]:
                for make, kind in [(array, ""), (whole, ",whole numbers")]:
                    x, kernel = make((2, *size, 3), key="x"), make((*window, 2, 3), key="w")
                    label = f"{len(size)}-d,{padding},strides={strides}{kind}"
                    cases.add("conv_transpose", label, x, kernel, strides=strides, padding=padding, data_format="channels_last", exact=make is whole)
        line, kernel = array((2, 4, 3), key="x"), array((3, 2, 3), key="w")
        for more in [0, 1]:
            cases.add("conv_transpose", f"{padding},output_padding={more}", line, kernel, strides=2, padding=padding, output_padding=more, data_format="channels_last")
        cases.add("conv_transpose", f"{padding},dilated", line, kernel, padding=padding, dilation_rate=2, data_format="channels_last")
    for name in FLOATS[1:]:
        cases.add("conv_transpose", name, array((2, 4, 3), name, key="x"), array((3, 2, 3), name, key="w"), strides=2, data_format="channels_last")
    for layout in LAYOUTS:
        cases.add("conv_transpose", layout, whole((2, 3, 4, 3), key="x"), whole((2, 3, 2, 3), key="w"), strides=2, data_format="channels_last", layout=layout, exact=True)
    for op in ["max_pool", "average_pool"]:
        for name in FLOATS[1:]:
            cases.add(op, name, array((2, 6, 3), name), pool_size=2, strides=1, data_format="channels_last")
        lines = np.array([[1, np.nan, 2, 3, -np.inf, -np.inf, np.inf, 0]], "float32").reshape(1, 8, 1)
        cases.add(op, "special", lines, pool_size=2, strides=2, padding="valid", data_format="channels_last", grads=False)
        cases.add(op, "ties", whole((2, 9, 2)), pool_size=3, strides=1, padding="same", data_format="channels_last", exact=op == "max_pool")
    for name in ALL:
        for op in ["max", "min"] if name == "bool" else ["sum", "prod", "max", "min"]:
            window = {"size": [2, 3], "strides": [1, 2], "padding": [[1, 0], [1, 1]]}
            make = whole if name in FLOATS and op in ("sum", "max", "min") else array
            exact = {"exact": True} if make is whole else {}
            # Products over windows have no gradient, and only the first maximum has one in a window.
            cases.add("backend.reduce_window", f"{op},{name}", make((1, 4, 5, 2), name), op=op, **window, grads=op in ("sum", "max", "min"), **exact)
    for name in FLOATS:
        x, g = whole((1, 7, 2), name), whole((1, 3, 2), name, key="g")
        cases.add("backend.select_and_scatter", name, x, g, size=[3], strides=[2], padding=[[0, 0]], grads=False, exact=True)
    for layout in LAYOUTS:
        cases.add("backend.reduce_window", layout, whole((2, 5, 2)), op="max", size=[2], strides=[2], padding=[[0, 1]], layout=layout, exact=True)
        cases.add("backend.select_and_scatter", layout, whole((2, 6, 2)), whole((2, 3, 2), key="g"), size=[2], strides=[2], padding=[[0, 0]], grads=False, layout=layout, exact=True)
    return cases.write()


def composed():
    """Functions that tensors lack and graphs have."""
    cases = Cases("composed")

    def each(op, make, label="", **options):
        for name in FLOATS:
            cases.add(op, f"{label}{name}", *make(name), **options)

    x = array((2, 3, 4))
    each("reciprocal", lambda name: [array((3, 4), name, 0.5)])
    each("divide_no_nan", lambda name: operands("divide", name))
    cases.add("divide_no_nan", "zeros", np.array([1, 0, -2, 3], "float32"), np.array([0, 0, 4, -0.0], "float32"))
    cases.add("divide_no_nan", "shapes=((2, 1), (3,))", *operands("divide", "float32", ((2, 1), (3,))))
    for op in ["isnan", "isinf", "isfinite"]:
        each(op, lambda name: [special(name)])
    for op in ["diagonal", "tril", "triu"]:
        for name in ["float32", "bfloat16", "int32", "bool"]:
            cases.add(op, name, array((3, 4), name), **({"exact": True} if name == "float32" else {}))
        axes = {"offset": 1, "axis1": 0, "axis2": 2} if op == "diagonal" else {"k": 1}
        cases.add(op, "offset", x, **axes, exact=True)
        cases.add(op, "negative offset", array((4, 3)), **({"offset": -1} if op == "diagonal" else {"k": -1}), exact=True)
    each("tensordot", lambda name: [array((2, 3), name), array((3, 4), name, key="b")], axes=1)
    cases.add("tensordot", "axes=2", x, array((3, 4, 2), key="b"), axes=2)
    cases.add("tensordot", "axes=[[0, 2], [1, 0]]", x, array((4, 2, 5), key="b"), axes=[[0, 2], [1, 0]])
    cases.add("tensordot", "axes=0", array((2,)), array((3,), key="b"), axes=0)
    for op in ["reciprocal", "logsumexp", "std", "normalize"]:
        for layout in LAYOUTS:
            cases.add(op, layout, array((3, 4), low=0.5), layout=layout)
    for label, options in {"all": {}, "axis=1": {"axis": 1}, "axis=(0, -1)": {"axis": [0, -1]}, "keepdims": {"axis": 1, "keepdims": True}}.items():
        cases.add("std", label, x, **options)
        cases.add("logsumexp", label, x, **options)
    for op in ["std", "logsumexp"]:
        each(op, lambda name: [array((3, 4), name)], axis=0)
    lines = np.array([[np.inf, 1, 2], [1e38, 1e38, 0], [-1e38, -1e38, 0], [np.nan, 1, 2], [-np.inf, 1, 2]], "float32")
    cases.add("logsumexp", "special", lines, axis=1, grads=False)
    each("normalize", lambda name: [array((3, 4), name)], axis=0)
    cases.add("normalize", "order=2", x, axis=[0, 2])
    cases.add("normalize", "zeros", np.array([[0, 0], [3, 4]], "float32"), grads=False)
    for name in [*FLOATS, "int32", "uint8"]:
        cases.add("top_k", name, array((3, 7), name, -9, 9), k=3)
    cases.add("top_k", "equal elements", whole((3, 9)), k=4, exact=True, grads=False)
    for name in ["float32", "int64", "bool"]:
        exact = {"exact": name == "float32"}
        cases.add("roll", name, array((3, 5), name), shift=2, axis=1, **exact)
        cases.add("repeat", name, array((3, 2), name), repeats=3, axis=0, **exact)
        cases.add("tile", name, array((3, 2), name), repeats=[2, 3], **exact)
        cases.add("unstack", name, array((3, 2), name), axis=0, **exact)
    cases.add("roll", "backwards", x, shift=-3, axis=-1, exact=True)
    cases.add("roll", "all", x, shift=5, exact=True)
    cases.add("repeat", "all", x, repeats=2, exact=True)
    cases.add("tile", "more axes", array((3,)), repeats=[2, 1, 2], exact=True)
    cases.add("unstack", "axis=-1", x, axis=-1, exact=True)
    for op, why in [("zeros_like", "zeros are asked for"), ("ones_like", "ones are asked for")]:
        for name in ["float16", "int32", "bool"]:
            cases.add(op, name, array((2, 3), name), grads=False, why=why)
        cases.add(op, "dtype=float16", array((2, 3)), dtype="float16", grads=False, why=why)
    return cases.write()


FAMILIES = [unary, binary, compare, cast, movement, reduction, indexing, products, windows, composed]


def main():
    failed = []
    for family in FAMILIES:
        if not sys.argv[1:] or family.__name__ in sys.argv[1:]:
            failed += family()
    if failed:
        sys.exit("\n".join(failed))


if __name__ == "__main__":
    main()
