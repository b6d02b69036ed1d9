"""The operations that the contract asks of a backend, where no function of `keras.ops` shows all of them: names,
arguments and dtypes as in the `Backend` trait, results by `jax.numpy` and `jax.lax`."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

UNARY = {"ceil": jnp.ceil, "floor": jnp.floor, "round": jnp.round}
REDUCE = {"sum": jnp.sum, "prod": jnp.prod, "max": jnp.max, "min": jnp.min}
CUMULATIVE = {"sum": lax.cumsum, "prod": lax.cumprod, "max": lax.cummax, "min": lax.cummin}


def unary(x, op):
    return UNARY[op](x)


def reduce(x, op, axes):
    if x.dtype == bool:
        return {"max": jnp.any, "min": jnp.all}[op](x, axis=tuple(axes))
    typed = {"dtype": x.dtype} if op in ("sum", "prod") else {}
    initial = {"initial": neutral(op, x.dtype)} if op in ("max", "min") else {}
    return REDUCE[op](x, axis=tuple(axes), **typed, **initial)


def arg_reduce(x, op, axis):
    return {"max": jnp.argmax, "min": jnp.argmin}[op](x, axis=axis).astype("int32")


def cumulative(x, op, axis):
    if x.dtype == bool:
        return cumulative(x.astype("int8"), op, axis).astype(bool)
    return CUMULATIVE[op](x, axis=axis)


def sort(x, axis, descending):
    return jnp.sort(x, axis=axis, descending=descending)


def argsort(x, axis, descending):
    return jnp.argsort(x, axis=axis, descending=descending, stable=True).astype("int32")


def slice(x, start, limit, stride):
    return lax.slice(x, start, limit, stride)


def pad(x, value, low, high, interior):
    return lax.pad(x, jnp.asarray(value, x.dtype), list(zip(low, high, interior)))


def gather(x, indices, axis):
    return jnp.take(x, jnp.clip(indices, 0, x.shape[axis] - 1), axis=axis)


def gather_elements(x, indices, axis):
    return jnp.take_along_axis(x, jnp.clip(indices, 0, x.shape[axis] - 1), axis=axis)


def scatter(x, indices, updates, op, axis):
    return put(x, (np.s_[:],) * axis + (indices,), updates, op)


def scatter_elements(x, indices, updates, op, axis):
    places = list(jnp.meshgrid(*map(jnp.arange, indices.shape), indexing="ij"))
    places[axis] = indices
    return put(x, tuple(places), updates, op)


def put(x, places, updates, op):
    return getattr(x.at[places], op)(updates, mode="drop", wrap_negative_indices=False)


def matmul(a, b):
    return jnp.matmul(a, b)


def convolution(x, filter, strides, padding, input_dilation, filter_dilation, groups):
    spatial = "WHD"[: x.ndim - 2]
    return lax.conv_general_dilated(
        x, filter, strides, padding, input_dilation, filter_dilation,
        (f"N{spatial}C", f"{spatial}IO", f"N{spatial}C"), feature_group_count=groups,
    )  # fmt: skip


def neutral(op, dtype):
    """What changes no result of a reduction."""
    if op in ("sum", "prod"):
        return np.array(op == "prod", dtype)
    if dtype == bool:
        return np.array(op == "min")
    if jnp.issubdtype(dtype, jnp.floating):
        return np.array(-np.inf if op == "max" else np.inf, dtype)
    info = jnp.iinfo(dtype)
    return np.array(info.min if op == "max" else info.max, dtype)


def reduce_window(x, op, size, strides, padding):
    computation = {"sum": lax.add, "prod": lax.mul, "max": lax.max, "min": lax.min}[op]
    if x.dtype == bool:
        computation = {"max": lax.bitwise_or, "min": lax.bitwise_and}[op]
    around = [(0, 0), *map(tuple, padding), (0, 0)]
    return lax.reduce_window(x, neutral(op, x.dtype)[()], computation, (1, *size, 1), (1, *strides, 1), around)


def select_and_scatter(x, g, size, strides, padding):
    window = lambda x: reduce_window(x, "max", size, strides, padding)  # noqa: E731
    return jax.vjp(window, x)[1](g)[0]
