"""Recurrent layers and the wrappers around sequences."""

import functools

from keras import layers

from layer_case import combinations, label
from vectors import data

from . import ACTIVITY_REGULARIZERS, POLICIES, input_dtype, weight_options

X = data("rnn", (2, 4, 3))
MASK = data("rnn/mask", (2, 4), "bool")
MASK[:, 0] = [True, False]
MASK[:, 2:] = [[False, True], [True, False]]
TRAINING = {"training": True}


def states(count, units=3, batch=2):
    """Random initial states."""
    return [data(f"rnn/state/{i}", (batch, units), low=-0.8, high=0.8) for i in range(count)]


def cell_layer(count, **own):
    """The grid of SimpleRNN, LSTM or GRU: `count` states, `own` options."""

    def fill(grid):
        add = functools.partial(grid.add, measure=False)
        for config in combinations(return_sequences=[False, True], return_state=[False, True], go_backwards=[False, True]):
            for call in [{}, {"mask": MASK}]:
                add({"units": 3} | config, X, call=call, tag="mask" if call else None)
        for name, values in own.items():
            for value in values:
                for extra in [{}, {"return_sequences": True, "return_state": True}]:
                    add({"units": 3, name: value} | extra, X)
        for config in combinations(unroll=[True], return_sequences=[False, True], go_backwards=[False, True]):
            for call in [{}, {"mask": MASK}]:
                add({"units": 3} | config, X, call=call, tag="mask" if call else None)
        for config in combinations(zero_output_for_mask=[True], unroll=[False, True], go_backwards=[False, True]):
            add({"units": 3, "return_sequences": True} | config, X, call={"mask": MASK}, tag="mask")
        for config in combinations(return_sequences=[False, True], return_state=[False, True]):
            given = states(count)
            add({"units": 3} | config, X, given[0] if count == 1 else given, tag="initial state")
            add({"units": 3} | config, X, call={"initial_state": given, "mask": MASK}, tag="initial state, mask")
        for activation in ["relu", "sigmoid", "linear", "softsign", "hard_tanh"]:
            grid.add({"units": 3, "activation": activation}, X)
        add({"units": 3, "use_bias": False, "return_sequences": True}, X)
        for rates in combinations(dropout=[0.0, 0.4], recurrent_dropout=[0.0, 0.3], return_sequences=[False, True])[2:]:
            add({"units": 3} | rates, X, call=TRAINING)
        both = {"units": 3, "dropout": 0.4, "recurrent_dropout": 0.3}
        add(both, X)
        add(both | {"seed": 7, "return_sequences": True}, X, call=TRAINING | {"mask": MASK}, tag="mask")
        add(both | {"seed": 1337}, X, call=TRAINING, seeds=[[1337, 0]], tag="fresh seed")
        add(both, X, call=TRAINING, calls_before=[{"args": [X], "kwargs": TRAINING}], tag="second step")
        before = [{"args": [data("rnn/first", (2, 4, 3))]}]
        for config in combinations(return_sequences=[False, True], return_state=[False, True], unroll=[False, True]):
            add({"units": 3, "stateful": True} | config, X, calls_before=before, tag="second call")
        add({"units": 3, "stateful": True}, X, tag="first call")
        add({"units": 3, "stateful": True}, X, call={"mask": MASK}, calls_before=before * 2, tag="third call")
        for option in weight_options("kernel", "recurrent", "bias"):
            add({"units": 3} | option, X, grads=False)
        for option in ACTIVITY_REGULARIZERS:
            add({"units": 3, "return_sequences": True} | option, X)
        for policy in POLICIES[:-1]:  # Keras on JAX computes none of them in float64
            x = data("rnn", (2, 4, 3), input_dtype(policy))
            # The default initializer of the recurrent kernel, a QR decomposition, has no half precision in JAX.
            half = {"units": 3, "dtype": policy, "recurrent_initializer": "glorot_uniform"}
            grid.add(half | {"return_sequences": True}, x)
            grid.add(half | {"return_state": True}, x, call={"mask": MASK}, tag="mask")
        add({"units": 3, "trainable": False, "name": "frozen"}, X)
        for shape in [(1, 4, 3), (2, 1, 3), (3, 5, 1), (1, 1, 1)]:
            for units in [1, 4]:
                add({"units": units, "return_sequences": True}, data("rnn", shape), tag=f"shape={shape}".replace(" ", ""))
        add({"units": 3, "return_sequences": True}, X, input_masks=[MASK], tag="masked input")
        add({"units": 3}, data("rnn", (2, 4, 3), "int32"), tag="int32", grads=False)
        grid.error("negative units", "units", {"units": 3}, {"units": -1}, X)
        grid.error("wrong rank", "ndim", {"units": 3}, {}, data("rnn", (2, 3)))
        grid.error("wrong features", "shape", {"units": 3}, {}, X, built=(2, 4, 5))

    return fill


def bidirectional(grid):
    def wrap(cls=layers.LSTM, merge_mode="concat", backward=None, name=None, **config):
        options = {"layer": cls(3, **config), "merge_mode": merge_mode}
        if backward is not None:
            options["backward_layer"] = cls(3, go_backwards=True, **(config | backward))
        if name:
            options["name"] = name
        return options

    def add(options, *args, tag="", **more):
        inner = {k: v for k, v in options.items() if k not in ("cls", "name")}
        parts = [options.get("cls", layers.LSTM).__name__, ",".join(f"{k}={v}" for k, v in inner.items()), tag]
        grid.add_made(lambda: layers.Bidirectional(**wrap(**options)), *args, tag="/".join(filter(None, parts)), measure=False, **more)

    for cls in [layers.SimpleRNN, layers.LSTM, layers.GRU]:
        for merge_mode in ["concat", "sum", "mul", "ave", None]:
            for sequences in [False, True]:
                add({"cls": cls, "merge_mode": merge_mode, "return_sequences": sequences}, X)
        for merge_mode in ["concat", None]:
            for sequences in [False, True]:
                options = {"cls": cls, "merge_mode": merge_mode, "return_sequences": sequences}
                add(options | {"return_state": True}, X)
                add(options, X, call={"mask": MASK}, tag="mask")
        count = 4 if cls is layers.LSTM else 2
        add({"cls": cls, "return_sequences": True}, X, states(count), tag="initial state")
        add({"cls": cls, "backward": {"activation": "relu"}}, X, tag="backward layer")
        add({"cls": cls, "dropout": 0.3, "recurrent_dropout": 0.2}, X, call=TRAINING, tag="training")
        add({"cls": cls, "stateful": True}, X, calls_before=[{"args": [data("rnn/first", (2, 4, 3))]}], tag="second call")
        add({"cls": cls, "use_bias": False}, X)
        add({"cls": cls, "unroll": True, "return_sequences": True}, X)
        add({"cls": cls, "name": "both"}, X, tag="named")
    for policy in POLICIES:
        kind = input_dtype(policy)
        grid.add_made(lambda: layers.Bidirectional(layers.GRU(3, dtype=policy, recurrent_initializer="glorot_uniform"), dtype=policy), data("rnn", (2, 4, 3), kind), tag=f"dtype={policy}")
    add({"return_sequences": True}, X, input_masks=[MASK], tag="masked input")
    grid.add_made(lambda: layers.Bidirectional(layers.GRU(3), weights=[data(f"rnn/w{i}", s) for i, s in enumerate([(3, 9), (3, 9), (2, 9)] * 2)]), X, tag="weights")
    grid.add_made(lambda: layers.Bidirectional(layers.GRU(3), trainable=False, activity_regularizer="l2"), X, tag="trainable=False")


def time_distributed(grid):
    x, images = data("time", (2, 3, 4)), data("time", (2, 3, 4, 5, 2))
    inner = [
        (lambda: layers.Dense(3), x), (lambda: layers.Dense(3, activation="relu", use_bias=False), data("time", (2, 3, 2, 4))),
        (lambda: layers.Conv2D(3, 2), images), (lambda: layers.Conv2D(2, 3, padding="same", strides=2), images),
        (lambda: layers.Conv1D(2, 2), data("time", (2, 3, 4, 2))), (lambda: layers.MaxPooling2D(2), images), (lambda: layers.Flatten(), images),
        (lambda: layers.GlobalAveragePooling2D(), images), (lambda: layers.LayerNormalization(), x), (lambda: layers.BatchNormalization(), x),
        (lambda: layers.LSTM(3), data("time", (2, 3, 4, 2))), (lambda: layers.GRU(2, return_sequences=True), data("time", (2, 3, 4, 2))),
        (lambda: layers.Activation("softmax"), x), (lambda: layers.Reshape((2, 2)), x), (lambda: layers.Dropout(0.5), x),
    ]
    for i, (make, value) in enumerate(inner):
        name = f"{make().__class__.__name__} {i}"
        grid.add_made(lambda: layers.TimeDistributed(make()), value, tag=name)
    grid.add_made(lambda: layers.TimeDistributed(layers.BatchNormalization(momentum=0.8)), x, call=TRAINING, tag="BatchNormalization/training")
    grid.add_made(lambda: layers.TimeDistributed(layers.Dropout(0.5)), x, call=TRAINING, tag="Dropout/training")
    grid.add_made(lambda: layers.TimeDistributed(layers.LSTM(3)), data("time", (2, 3, 4, 2)), call={"mask": data("time/mask", (2, 3, 4), "bool")}, tag="LSTM/mask")
    grid.add_made(lambda: layers.TimeDistributed(layers.Dense(3)), x, input_masks=[data("time/mask", (2, 3), "bool")], tag="Dense/masked input")
    grid.add_made(lambda: layers.TimeDistributed(layers.TimeDistributed(layers.Dense(3))), data("time", (2, 3, 2, 4)), tag="nested")
    for shape in [(1, 1, 2), (2, 1, 3), (1, 4, 2)]:
        grid.add_made(lambda: layers.TimeDistributed(layers.Dense(2)), data("time", shape), tag=f"Dense/shape={shape}".replace(" ", ""))
    for policy in POLICIES:
        grid.add_made(lambda: layers.TimeDistributed(layers.Dense(3, dtype=policy), dtype=policy), data("time", (2, 3, 4), input_dtype(policy)), tag=f"Dense/dtype={policy}")
    for option in ACTIVITY_REGULARIZERS + [{"name": "steps"}, {"trainable": False}]:
        grid.add_made(lambda: layers.TimeDistributed(layers.Dense(3), **option), x, tag=f"Dense/{list(option)[0]}={list(option.values())[0] if isinstance(list(option.values())[0], (str, bool)) else 'L1L2'}")


def cells(grid):
    """The grid of RNN: Keras's cells, alone and one upon the other. (Cells of others are in no file that Rust could read.)"""

    def add(name, make, *args, tag=None, **more):
        config = more.pop("config", {})
        tag = "/".join(filter(None, [name, label(config) if config else None, tag]))
        grid.add_made(lambda: layers.RNN(make(), **config), *args, tag=tag, measure=False, **more)

    def stack():
        return [layers.LSTMCell(4), layers.GRUCell(3), layers.SimpleRNNCell(2)]

    single = {"SimpleRNNCell": (layers.SimpleRNNCell, 1), "LSTMCell": (layers.LSTMCell, 2), "GRUCell": (layers.GRUCell, 1)}
    both = {"return_sequences": True, "return_state": True}
    for name, (cls, count) in single.items():
        add(name, lambda: cls(3), X)
        add(name, lambda: cls(3), X, config=both)
        add(name, lambda: cls(3), X, config={"return_sequences": True, "go_backwards": True}, call={"mask": MASK}, tag="mask")
        add(name, lambda: cls(3), X, config={"return_state": True}, call={"initial_state": states(count), "mask": MASK}, tag="initial state, mask")
        add(name, lambda: cls(3), X, config={"stateful": True}, calls_before=[{"args": [data("rnn/first", (2, 4, 3))]}], tag="second call")
        add(name, lambda: cls(3, dropout=0.4, recurrent_dropout=0.3), X, config={"return_sequences": True}, call=TRAINING, tag="dropout")
        add(name, lambda: cls(3, dropout=0.4, recurrent_dropout=0.3), X, tag="dropout, inference")
    for config in combinations(return_sequences=[False, True], return_state=[False, True], go_backwards=[False, True]):
        for call in [{}, {"mask": MASK}]:
            add("stack", stack, X, config=config, call=call, tag="mask" if call else None)
    for config in combinations(unroll=[True], return_sequences=[False, True]):
        add("stack", stack, X, config=config, call={"mask": MASK}, tag="mask")
    add("stack", stack, X, config={"zero_output_for_mask": True, "return_sequences": True}, call={"mask": MASK}, tag="mask")
    add("stack", stack, X, config=both | {"stateful": True}, calls_before=[{"args": [data("rnn/first", (2, 4, 3))]}], tag="second call")
    given = [data(f"rnn/state/{i}", (2, n), low=-0.8, high=0.8) for i, n in enumerate([4, 4, 3, 2])]
    add("stack", stack, X, config=both, call={"initial_state": [given[:2], given[2:3], given[3:]]}, tag="initial state")
    add("stack", lambda: [layers.LSTMCell(4, dropout=0.4), layers.GRUCell(3, dropout=0.2, recurrent_dropout=0.3), layers.SimpleRNNCell(2, recurrent_dropout=0.5)], X, call=TRAINING, config={"return_sequences": True}, tag="dropout")
    add("stack of two", lambda: [layers.GRUCell(3, use_bias=False), layers.GRUCell(3, reset_after=False, activation="relu")], X)
    add("stack", stack, X, config={"return_sequences": True}, input_masks=[MASK], tag="masked input")
    add("named", lambda: layers.LSTMCell(3, name="inner"), X, config={"name": "outer", "trainable": False})
    add("regularized", lambda: layers.GRUCell(3, kernel_regularizer="l2", recurrent_constraint="unit_norm"), X, config={"activity_regularizer": "l2"})
    add("int32", lambda: layers.SimpleRNNCell(3), data("rnn", (2, 4, 3), "int32"), grads=False)
    for shape in [(1, 4, 3), (2, 1, 3), (1, 1, 1)]:
        add("stack", stack, data("rnn", shape), tag=f"shape={shape}".replace(" ", ""))
    for policy in POLICIES[:-1]:
        make = lambda: [cls(3, dtype=policy, recurrent_initializer="glorot_uniform") for cls in (layers.LSTMCell, layers.GRUCell)]  # noqa: E731
        x = data("rnn", (2, 4, 3), input_dtype(policy))
        grid.add_made(lambda: layers.RNN(layers.StackedRNNCells(make(), dtype=policy), dtype=policy, **both), x, tag=f"dtype={policy}")


def convolutional(rank):
    """The grid of ConvLSTM: fewer cases than of LSTM, whose code it shares."""
    lengths = {1: (5,), 2: (4, 3), 3: (2, 3, 2)}[rank]

    def clip(data_format="channels_last", kind="float32", batch=2):
        shape = (2, *lengths) if data_format == "channels_first" else (*lengths, 2)
        return data("clip", (batch, 3, *shape), kind)

    def fill(grid):
        add = functools.partial(grid.add, measure=False)
        x, mask = clip(), MASK[:, :3]
        base = {"filters": 2, "kernel_size": 2, "padding": "same"}
        for config in combinations(kernel_size=[2, [1, 3, 2][:rank]], padding=["valid", "same"], data_format=["channels_last", "channels_first"]):
            add({"filters": 2} | config, clip(config["data_format"]))
        for config in combinations(return_sequences=[False, True], return_state=[False, True]):
            add(base | config, x)
        add(base | {"filters": 3}, x)
        add(base | {"strides": [2, 1, 2][:rank], "return_sequences": True}, x)
        add(base | {"dilation_rate": 2 if rank == 1 else [1, 2, 1][:rank]}, x)
        add(base | {"use_bias": False, "data_format": "channels_first", "return_sequences": True, "return_state": True}, clip("channels_first"))
        for option in [{"activation": "relu"}, {"recurrent_activation": "hard_sigmoid"}, {"unit_forget_bias": False}, {"go_backwards": True, "return_sequences": True}]:
            add(base | option, x)
        # Without `unroll`, Keras on JAX lines masks up with the last axis.
        for config in combinations(unroll=[True], return_sequences=[False, True]):
            add(base | config, x, call={"mask": mask}, tag="mask")
        add(base | {"zero_output_for_mask": True}, x)
        add(base | {"stateful": True, "return_state": True}, x, calls_before=[{"args": [x[:, ::-1]]}], tag="second call")
        given = [data(f"clip/state/{i}", (2, *lengths, 2), low=-0.8, high=0.8) for i in range(2)]
        add(base, x, call={"initial_state": given}, tag="initial state")
        for rates in combinations(dropout=[0.0, 0.4], recurrent_dropout=[0.0, 0.3])[1:]:
            add(base | rates, x, call=TRAINING)
        add(base | {"dropout": 0.4, "recurrent_dropout": 0.3, "data_format": "channels_first"}, clip("channels_first"), call=TRAINING)
        add(base | {"dropout": 0.4, "seed": 1337}, x, call=TRAINING, seeds=[[1337, 0]], tag="fresh seed")
        for name in ["kernel", "recurrent", "bias"]:
            for kind, value in [("initializer", "he_normal"), ("regularizer", "l2"), ("constraint", "non_neg")]:
                add(base | {f"{name}_{kind}": value}, x, grads=False)
        add(base | ACTIVITY_REGULARIZERS[1] | {"trainable": False, "name": "clip"}, x)
        for policy in ["float16", "mixed_bfloat16"]:
            half = base | {"dtype": policy, "recurrent_initializer": "glorot_uniform"}
            grid.add(half | {"return_sequences": True}, clip(kind=input_dtype(policy)))
        grid.error("wrong rank", "ndim", base, {}, data("rnn", (2, 3)))
        grid.error("strides and dilation", "strides", base, {"strides": [2] * rank, "dilation_rate": [2] * rank}, x)

    return fill


GRIDS = {
    layers.SimpleRNN: cell_layer(1),
    layers.LSTM: cell_layer(2, recurrent_activation=["hard_sigmoid", "tanh", "linear"], unit_forget_bias=[False], use_cudnn=[False, "auto"]),
    layers.GRU: cell_layer(1, recurrent_activation=["hard_sigmoid", "tanh"], reset_after=[True, False], use_cudnn=[False, "auto"]),
    layers.RNN: cells,
    layers.ConvLSTM1D: convolutional(1),
    layers.ConvLSTM2D: convolutional(2),
    layers.ConvLSTM3D: convolutional(3),
    layers.Bidirectional: bidirectional,
    layers.TimeDistributed: time_distributed,
}
