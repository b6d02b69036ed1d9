"""Golden vectors of layers where values or shapes are special: spec/vectors/layers/special_values."""

import sys

import numpy as np
from keras import layers

from layer_case import add_layer_case
from vectors import Rejected, VectorFile, data, integers

FILE = VectorFile("layers/special_values")
FAILED = []
NAN, INF = np.nan, np.inf
ODD = np.array([[NAN, INF, -INF, 0, -0.0, 1], [1e38, -1e38, 1e-30, -1e-30, 100, -100]], "float32")


def add(make, x, tag, call=None, **options):
    """The layer that `make()` gives, called on `x` and the keyword arguments `call`."""
    id = f"{make().__class__.__name__}/special/{tag}"
    try:
        add_layer_case(FILE, id, make, [x], call, **{"grads": False, "measure": False} | options)
    except Rejected as why:
        print(f"rejected {id}: {why}")
    except Exception as error:
        FAILED.append(f"{id}: {type(error).__name__}: {str(error)[:300]}")


def numbers():
    """NaN and infinities."""
    for make in [layers.ReLU, layers.LeakyReLU, layers.ELU, layers.PReLU, layers.Softmax]:
        add(make, ODD, "not finite")
    add(lambda: layers.ReLU(max_value=2.0, negative_slope=0.5), ODD, "not finite,bounded")
    line = np.array([[1, NAN, 2, 3, -INF, -INF, INF, 0], [-1, -2, -INF, -3, 5, 5, -0.0, 0]], "float32")
    for window in [layers.MaxPooling1D, layers.AveragePooling1D]:
        for padding in ["valid", "same"]:
            add(lambda: window(2, padding=padding), line[..., None], f"not finite,{padding}")
            add(lambda: window(3, 1, padding), line[..., None], f"not finite,overlapping,{padding}")
    for pool in [layers.GlobalMaxPooling1D, layers.GlobalAveragePooling1D]:
        add(pool, np.stack([line[1], line[1][::-1]], -1)[None], "not finite")
        add(pool, line[..., None], "NaN")
    add(lambda: layers.Dense(2), ODD, "not finite")
    add(layers.LayerNormalization, ODD, "not finite")
    add(layers.LayerNormalization, np.array([[3, 3, 3, 3], [1, 2, 3, 4]], "float32"), "no variance", grads=True, measure=True)
    add(layers.BatchNormalization, np.array([[3, 1], [3, 2], [3, 5]], "float32"), "no variance", {"training": True}, grads=True, measure=True)
    steps = np.array([[[0, 0], [NAN, 0], [0, -0.0], [INF, 1]]], "float32")
    add(layers.Masking, steps, "not finite")
    for merge in [layers.Maximum, layers.Minimum, layers.Add, layers.Multiply]:
        add(merge, [ODD, ODD[::-1].copy()], "not finite")


def shapes():
    """No samples, and one."""
    images, steps = (4, 5, 2), (4, 3)
    makers = [
        (lambda: layers.Conv2D(3, 2), images), (lambda: layers.Conv2D(3, 2, 2, "same"), images), (lambda: layers.DepthwiseConv2D(2), images),
        (lambda: layers.SeparableConv2D(3, 2), images), (lambda: layers.Conv2DTranspose(3, 2, 2), images), (lambda: layers.Conv1D(3, 2, padding="causal"), steps),
        (lambda: layers.AveragePooling2D(2), images), (layers.GlobalMaxPooling2D, images), (layers.UpSampling2D, images), (layers.Flatten, images),
        (layers.BatchNormalization, images), (lambda: layers.SimpleRNN(2), steps), (lambda: layers.LSTM(2, return_sequences=True), steps), (lambda: layers.GRU(2), steps),
        (lambda: layers.Bidirectional(layers.LSTM(2)), steps), (lambda: layers.TimeDistributed(layers.Dense(2)), steps),
    ]  # fmt: skip
    for i, (make, shape) in enumerate(makers):
        for batch in [0, 1]:
            add(make, data("special", (batch, *shape)), f"batch of {batch},{i}", grads=batch == 1)


def masked():
    """Sequences of which nothing, or nothing of one sample, counts."""
    x = data("special", (2, 3, 2))
    for tag, mask in {"all": np.zeros((2, 3), bool), "one sample": np.array([[False] * 3, [True, False, True]])}.items():
        call = {"mask": mask}
        for cell in [layers.SimpleRNN, layers.LSTM, layers.GRU]:
            for options in [{}, {"return_sequences": True, "return_state": True}, {"go_backwards": True, "unroll": True}]:
                state = data("special/state", (2, 2))
                given = {"initial_state": [state, state + 1] if cell is layers.LSTM else [state]}
                label = ",".join(options) or "default"
                add(lambda: cell(2, **options), x, f"masked,{tag},{label}", call | given, grads=True)
        add(lambda: layers.Bidirectional(layers.GRU(2, return_sequences=True)), x, f"masked,{tag}", call, grads=tag == "one sample")
        add(layers.GlobalAveragePooling1D, x, f"masked,{tag}", call)
        add(layers.BatchNormalization, x, f"masked,{tag}", call | {"training": True})
    full = data("special", (2, 4))
    add(layers.Softmax, full, "masked,one sample", {"mask": np.array([[False] * 4, [True, True, False, True]])}, grads=True)


def whole():
    """Whole numbers, of which every sum is exact."""
    for options in [{}, {"return_sequences": True}, {"go_backwards": True}, {"unroll": True}]:
        make = lambda: layers.SimpleRNN(2, activation="linear", **options)  # noqa: E731
        weights = [integers(f"special/rnn{i}", shape, -2, 2) for i, shape in enumerate([(3, 2), (2, 2), (2,)])]
        label = ",".join(options) or "default"
        add(make, integers("special", (2, 4, 3)), f"integers,{label}", weights=weights, exact=True, grads=True)
        mask = {"mask": np.array([[True, False, True, True], [False, True, True, False]])}
        add(make, integers("special", (2, 4, 3)), f"integers,masked,{label}", mask, weights=weights, exact=True, grads=True)
    for make, shapes in [
        (lambda: layers.SeparableConv2D(2, 2, padding="same"), [(2, 2, 2, 1), (1, 1, 2, 2), (2,)]),
        (lambda: layers.Conv2DTranspose(2, 2, 2), [(2, 2, 2, 2), (2,)]),
    ]:
        weights = [integers(f"special/conv{i}", shape) for i, shape in enumerate(shapes)]
        add(make, integers("special", (2, 4, 3, 2)), "integers", weights=weights, exact=True, grads=True)


if __name__ == "__main__":
    for group in [numbers, shapes, masked, whole]:
        group()
    print(f"{FILE.path.name}: {len(FILE.cases)} cases, {FILE.write()} bytes")
    if FAILED:
        sys.exit("\n".join(FAILED))
