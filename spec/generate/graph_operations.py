"""Golden vectors of kind `model`: graphs with operations of `keras.ops` between layers."""

import keras
import numpy as np
import vectors
from keras import ops
from keras.src.backend.common.global_state import clear_session
from model_case import ModelFile, randomize

L = keras.layers


def arithmetic(x, y):
    a = (2 * x + y - 1) / 3.0 - (-x) * y + abs(x - 0.25) ** 2
    b = ops.maximum(x, y) - ops.minimum(x, 0.5) + (1.5 - x) / (2 + abs(y)) + (x // 0.25) * 0.125 + x % 0.75
    return [a, b]


def elementwise(x, y):
    p = abs(x) + 0.5
    a = ops.exp(x) + ops.log(p) + ops.sqrt(p) + ops.rsqrt(p) + ops.square(x) + ops.sign(y) + ops.expm1(y)
    b = ops.sin(x) * ops.cos(y) + ops.tanh(x) - ops.erf(y) + ops.log1p(p) + ops.reciprocal(p) + ops.clip(x, -0.5, 0.25)
    c = ops.relu(x) + ops.sigmoid(y) + ops.silu(x) + ops.softplus(y) + ops.gelu(x) + ops.leaky_relu(x) + ops.elu(y)
    d = ops.floor(4 * x) + ops.ceil(4 * y) + ops.round(3 * x)
    return [a, b, c, d]


def logic(x, y):
    both = ops.logical_and(x > y, x <= 0.5)
    either = ops.logical_or(ops.equal(ops.sign(x), ops.sign(y)), ops.logical_not(both))
    return [
        ops.where(both, x, 0.5 * y),
        ops.cast(either, "float32") + ops.where(ops.logical_xor(both, either), 1.0, -1.0),
        ops.cast(ops.any(both, axis=1), "float32") - ops.cast(ops.all(either, axis=-1), "float32")[:, :1],
    ]


def reductions(x, y):
    return [
        ops.sum(x, axis=1) - ops.mean(y, axis=(1,)) + ops.max(x, axis=1) * ops.min(y, axis=1),
        ops.var(x, axis=(1, 2), keepdims=True) + ops.std(y, axis=-1, keepdims=True) + ops.prod(x, axis=2, keepdims=True),
        ops.cumsum(x, axis=1) + ops.cumprod(y, axis=2) + ops.logsumexp(x, axis=-1, keepdims=True),
        ops.one_hot(ops.argmax(x, axis=-1), 6) + ops.one_hot(ops.argmin(y, axis=-1), 6),
        ops.softmax(x, axis=1) + ops.log_softmax(y) + ops.softmax(y, axis=(1, 2)),
        ops.sort(x, axis=-1) + ops.cast(ops.argsort(y, axis=-1), "float32"),
    ]


def shapes(x, y):
    joined = ops.concatenate([x, y], axis=-1)
    halves = ops.split(joined, [4, 9], axis=-1)
    return [
        ops.reshape(ops.transpose(x, (0, 2, 1)), (-1, 8, 3)),
        ops.squeeze(ops.expand_dims(x, 1), 1) @ ops.swapaxes(y, 1, 2),
        halves[1] + ops.repeat(halves[2], 2, axis=-1)[:, :, 1:],
        ops.stack([x, y], axis=2)[:, ::2, 1, -3:],
        ops.pad(x, ((0, 0), (1, 0), (0, 2))) + ops.tile(y, (1, 1, 2))[:, :1, 2:10],
        ops.flip(ops.roll(x, 2, axis=2), axis=1) + ops.moveaxis(y, 1, 2)[:, None, 0, :, None],
        ops.take(x, [3, 0, -1], axis=1)[..., 2],
    ]


def windows_and_matrices(x, y):
    kernel = np.arange(36, dtype="float32").reshape(2, 6, 3) / 16 - 1
    depths = np.arange(12, dtype="float32").reshape(2, 6, 1) / 8 - 0.5
    inverse = 1 / ops.relu(x)
    return [
        ops.conv(x, kernel, strides=2, padding="same"),
        ops.conv(x, kernel, padding="valid", dilation_rate=2),
        ops.depthwise_conv(y, depths, padding="same"),
        ops.arctan2(x, y),
        ops.cast(ops.isinf(inverse), "float32") - 2 * ops.cast(ops.isfinite(inverse), "float32"),
        ops.diagonal(x, offset=1, axis1=1, axis2=2) - ops.diagonal(y, offset=-1, axis1=-1, axis2=1)[:, :1],
        ops.tril(x, k=1) - ops.triu(y, k=-1),
        ops.tensordot(x, kernel, axes=[[2], [1]]) + ops.tensordot(y, kernel[0], axes=1)[:, :, None],
        ops.take_along_axis(x, ops.argsort(y, axis=1)[:, :2, :1], axis=1),
        ops.pad(x, ((0, 0), (2, 1), (0, 3)), mode="reflect") + ops.pad(y, ((0, 0), (2, 1), (3, 0)), mode="symmetric"),
        ops.pad(x, ((0, 0), (1, 0), (0, 0)), constant_values=2.5),
    ]


def layers_between(x, y):
    h = L.Dense(6, "tanh", name="dense")(x) * 0.5 + y
    h = L.Add()([h, L.LayerNormalization()(h - ops.mean(h, axis=-1, keepdims=True))])
    return [L.Dense(2, name="out")(ops.reshape(h, (-1, 24)))]


def main():
    file = ModelFile("models/operations/cases")
    for make in [arithmetic, elementwise, logic, reductions, shapes, windows_and_matrices, layers_between]:
        clear_session(free_memory=False)
        name = make.__name__
        x, y = L.Input((4, 6), name="x"), L.Input((4, 6), name="y")
        model = keras.Model([x, y], make(x, y), name=name)
        randomize(model, name)
        inputs = [vectors.data(f"models/operations/{name}/{i}", (3, 4, 6), low=-1, high=1) for i in range(2)]
        formats = (".keras", ".h5", ".weights.h5") if name == "layers_between" else (".keras",)
        file.add(model, name, inputs, formats)
    print(file.file.path, len(file.file.cases), file.file.write())


if __name__ == "__main__":
    main()
