"""Golden vectors of kind `model`: whole models, their files, and training runs."""

import keras
import numpy as np
import vectors
from keras.src.backend.common.global_state import clear_session
from model_case import ModelFile, randomize

L = keras.layers
O = keras.optimizers


def mlp():
    model = keras.Sequential([L.Input((8,)), L.Dense(16, "relu"), L.Dense(8, "tanh"), L.Dense(3, "softmax")], name="mlp")
    return model, O.Adam(0.01), keras.losses.SparseCategoricalCrossentropy(), "float", 3


def cnn():
    model = keras.Sequential(
        [
            L.Input((8, 8, 1)),
            L.Conv2D(4, 3, padding="same"),
            L.BatchNormalization(),
            L.ReLU(),
            L.MaxPooling2D(2),
            L.Conv2D(6, 3, use_bias=False, strides=2, padding="same"),
            L.BatchNormalization(momentum=0.9, epsilon=1e-4),
            L.Activation("relu"),
            L.GlobalAveragePooling2D(),
            L.Dense(5),
        ],
        name="cnn",
    )
    optimizer = O.SGD(0.05, momentum=0.9, nesterov=True)
    return model, optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True), "float", 5


def lstm():
    model = keras.Sequential(
        [L.Input((7,), dtype="int32"), L.Embedding(20, 6, mask_zero=True), L.LSTM(8), L.Dense(1, "sigmoid")], name="lstm"
    )
    return model, O.RMSprop(0.005), keras.losses.BinaryCrossentropy(), "tokens", 2


def gru():
    model = keras.Sequential(
        [L.Input((6, 4)), L.GRU(6, return_sequences=True), L.Bidirectional(L.GRU(4)), L.Dense(2)], name="gru"
    )
    return model, O.AdamW(0.01, weight_decay=0.01, global_clipnorm=1.0), keras.losses.Huber(), "float", None


def regularized():
    model = keras.Sequential(
        [
            L.Input((6,)),
            L.Dense(8, "elu", kernel_regularizer="l2", bias_constraint="non_neg"),
            L.LayerNormalization(),
            L.PReLU(),
            L.Dense(2, kernel_constraint=keras.constraints.MaxNorm(0.75), activity_regularizer=keras.regularizers.L1(0.01)),
        ],
        name="regularized",
    )
    schedule = O.schedules.ExponentialDecay(0.05, 5, 0.5)
    return model, O.SGD(schedule, clipnorm=1.0), keras.losses.MeanSquaredError(), "float", None


def batch(kind, model, i, classes, size=6):
    generator = vectors.rng("models", model.name, i)
    shape = (size, *model.input_shape[1:])
    if kind == "tokens":
        x = generator.integers(0, 20, shape).astype("int32")
        x[:, 0] = generator.integers(1, 20, size)
        x[1, 4:] = 0
    else:
        x = generator.uniform(-1, 1, shape).astype("float32")
    if classes is None:
        y = generator.uniform(-1, 1, (size, *model.output_shape[1:])).astype("float32")
    else:
        y = generator.integers(0, classes, (size, 1)).astype("int32")
    return {"x": x, "y": y}


def trained():
    """Twenty steps from new weights, and twenty more from a file that holds the optimizer's state."""
    for make in [mlp, cnn, lstm, gru, regularized]:
        clear_session(free_memory=False)
        name = make.__name__
        file = ModelFile(f"models/{name}/cases")
        model, optimizer, loss, kind, classes = make()
        randomize(model, name)
        batches = [batch(kind, model, i, classes) for i in range(20)]
        model.compile(optimizer, loss)
        model.optimizer.build(model.trainable_variables)
        training, tolerance = file.train(model, batches)
        report(name, training, tolerance)
        fresh = keras.models.clone_model(model)
        fresh.set_weights(model.get_weights())
        file.add(fresh, name, batches[0]["x"], training=training, tolerance=tolerance)
        for b in batches[:3]:
            model.train_on_batch(b["x"], b["y"])
        training, tolerance = file.train(model, batches)
        report(name, training, tolerance)
        formats = (".keras", ".h5")
        file.add(model, f"{name}_compiled", batches[1]["x"], formats, training=training, tolerance=tolerance)
        print(file.file.path, len(file.file.cases), file.file.write())


def report(name, training, tolerance):
    losses = training["losses"]
    print(f"{name}: loss {losses[0]:.4f} -> {losses[-1]:.4f}, tolerance {tolerance}")


def two_in_two_out():
    a, b = L.Input((5,), name="a"), L.Input((5,), name="b")
    shared = L.Dense(4, "tanh", name="shared")
    x, y = shared(a), shared(b)
    merged = L.Concatenate()([x, L.Subtract()([x, y]), L.Multiply()([x, y])])
    first = L.Dense(3, "softmax", name="first")(merged)
    second = L.Dense(1, name="second")(L.Add()([x, y]))
    return keras.Model([a, b], [first, second], name="two_in_two_out")


def nested():
    inner = keras.Sequential([L.Input((4,)), L.Dense(5, "relu"), L.Dense(3)], name="inner")
    i = L.Input((4,))
    block = keras.Model(i, L.Average()([inner(i), L.Dense(3, name="side")(i)]), name="block")
    x = L.Input((2, 4), name="x")
    each = L.TimeDistributed(block, name="each")(x)
    last = inner(L.GlobalMaxPooling1D()(x))
    return keras.Model(x, [each, L.Maximum()([last, L.GlobalAveragePooling1D()(each)])], name="nested")


def masked():
    x = L.Input((6,), dtype="int32", name="tokens")
    e = L.Embedding(11, 5, mask_zero=True)(x)
    h = L.LSTM(4, return_sequences=True)(e)
    return keras.Model(x, L.TimeDistributed(L.Dense(3, "softmax"))(h), name="masked")


def decoder():
    """Recurrent layers called on masked tensors with initial states, where only the mask that is given is used."""
    x, h, s = L.Input((6,), dtype="int32", name="tokens"), L.Input((4,), name="state"), L.Input((3, 2), name="rows")
    e = L.Embedding(11, 4, mask_zero=True)(x)
    gru = L.GRU(4, return_sequences=True)(e, initial_state=h)
    both = L.Bidirectional(L.LSTM(4, return_sequences=True))(gru, initial_state=[h, h, h, h])
    cell = L.RNN(L.SimpleRNNCell(4), return_sequences=True, name="cell")(both, initial_state=h)
    rows = L.ConvLSTM1D(2, 2, return_sequences=True)(L.TimeDistributed(L.Reshape((4, 1)))(e), initial_state=[s, s])
    given = L.GRU(4, return_sequences=True, name="given")(e, initial_state=h, mask=keras.ops.not_equal(x, 0))
    borne = L.SimpleRNN(4, return_sequences=True, name="borne")(cell)
    return keras.Model([x, h, s], [gru, both, cell, rows, given, borne], name="decoder")


def bidirectional():
    x = L.Input((5, 3))
    h = L.Masking(0.0)(x)
    h = L.Bidirectional(L.GRU(4, return_sequences=True, reset_after=False), merge_mode="sum")(h)
    h = L.Bidirectional(L.LSTM(3, go_backwards=False), backward_layer=L.LSTM(3, go_backwards=True, use_bias=False))(h)
    return keras.Model(x, h, name="bidirectional")


def convolutions():
    x = L.Input((6, 6, 3))
    h = L.SeparableConv2D(4, 3, depth_multiplier=2, padding="same", activation="relu")(x)
    h = L.Conv2DTranspose(5, 3, strides=2, padding="same")(h)
    h = L.LeakyReLU(0.1)(L.ZeroPadding2D(((1, 0), (2, 1)))(h))
    h = L.DepthwiseConv2D(3, dilation_rate=2)(h)
    h = L.Cropping2D(1)(L.UpSampling2D((2, 1), interpolation="bilinear")(h))
    h = L.AveragePooling2D(3, strides=2, padding="same")(h)
    return keras.Model(x, L.Dot(axes=-1, normalize=True)([L.Flatten()(h), L.Flatten()(h * 0.5 + 1.0)]), name="convolutions")


def shapes():
    x = L.Input((12,))
    h = L.Permute((2, 1))(L.Reshape((3, -1))(x))
    h = L.Conv1D(4, 2, padding="causal", dilation_rate=2)(h)
    h = L.SpatialDropout1D(0.5)(L.ELU(0.5)(h))
    h = L.AveragePooling1D(2)(L.MaxPooling1D(2, strides=1)(h))
    h = L.RepeatVector(3)(L.Flatten()(h))
    h = L.SimpleRNN(4, return_sequences=True, go_backwards=True)(L.GaussianNoise(0.5)(L.Dropout(0.25)(h)))
    return keras.Model(x, L.Softmax(axis=1)(h), name="shapes")


def functional():
    """Graphs: several inputs and outputs, shared layers, nested models, masks."""
    file = ModelFile("models/functional/cases")
    for make in [two_in_two_out, nested, masked, decoder, bidirectional, convolutions, shapes]:
        clear_session(free_memory=False)
        model = make()
        randomize(model, make.__name__)
        inputs = [vectors.data(f"models/{model.name}/{i}", (3, *x.shape[1:]), low=-1, high=1) for i, x in enumerate(model.inputs)]
        if make is masked:
            inputs = [np.array([[1, 2, 3, 0, 0, 0], [4, 5, 0, 6, 7, 0], [10, 9, 8, 7, 6, 5]], "int32")]
        if make is decoder:
            inputs[0] = np.array([[0, 2, 0, 3, 0, 0], [4, 5, 0, 6, 7, 0], [10, 9, 8, 7, 6, 5]], "int32")
        if make is bidirectional:
            inputs[0][0, 3:] = inputs[0][1, 1] = 0
        file.add(model, make.__name__, inputs)
    clear_session(free_memory=False)
    model = two_in_two_out()
    randomize(model, "two_in_two_out")
    losses = {"first": "sparse_categorical_crossentropy", "second": "mse"}
    model.compile("adam", losses, loss_weights={"first": 0.5, "second": 2.0}, metrics={"first": ["accuracy"], "second": "mae"})
    inputs = [vectors.data(f"models/{model.name}/{i}", (3, 5), low=-1, high=1) for i in range(2)]
    for _ in range(2):
        model.train_on_batch(inputs, {"first": np.array([0, 1, 2]), "second": np.ones((3, 1))})
    file.add(model, "two_in_two_out_compiled", inputs, (".keras", ".h5"))
    print(file.file.path, len(file.file.cases), file.file.write())


if __name__ == "__main__":
    trained()
    functional()
