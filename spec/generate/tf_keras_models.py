"""Golden vectors of kind `model`: whole-model `.h5` files as tf-keras 2.21, the last Keras 2, saves them."""

import numpy as np
import tensorflow as tf
import tf_keras as keras
import vectors

L = keras.layers


def dense():
    return keras.Sequential([L.Input((5,)), L.Dense(6, "relu"), L.PReLU(), L.Dropout(0.25), L.Dense(3, "softmax")], name="dense")


def convolutions():
    x = L.Input((8, 8, 2))
    h = L.Conv2D(4, 3, padding="same", activation="relu")(x)
    h = L.BatchNormalization()(h)
    h = L.SeparableConv2D(5, 3, depth_multiplier=2)(h)
    h = L.DepthwiseConv2D(3, padding="same")(L.LeakyReLU(0.125)(h))
    h = L.Conv2DTranspose(3, 3, strides=2, padding="same")(L.ZeroPadding2D(1)(h))
    h = L.UpSampling2D(2)(L.Cropping2D(2)(h))
    h = L.AveragePooling2D(2)(L.MaxPooling2D(3, strides=2)(h))
    return keras.Model(x, L.GlobalAveragePooling2D()(h), name="convolutions")


def sequences():
    x = L.Input((10, 3))
    h = L.Conv1D(4, 3, padding="causal")(x)
    h = L.SpatialDropout1D(0.25)(L.ReLU(max_value=2.0)(h))
    h = L.LayerNormalization()(L.AveragePooling1D(2)(h))
    h = L.TimeDistributed(L.Dense(3, "elu"))(h)
    return keras.Model(x, L.Concatenate()([L.GlobalMaxPooling1D()(h), L.GlobalAveragePooling1D()(h)]), name="sequences")


def lstm():
    return keras.Sequential(
        [L.Input((7,)), L.Embedding(20, 6, mask_zero=True), L.LSTM(5), L.Dense(1, "sigmoid")], name="lstm"
    )


def recurrent():
    x = L.Input((5, 3))
    h = L.Bidirectional(L.GRU(4, return_sequences=True), merge_mode="concat")(L.Masking(0.0)(x))
    h = L.SimpleRNN(4, return_sequences=True)(h)
    return keras.Model(x, L.GRU(3, reset_after=False, go_backwards=True)(h), name="recurrent")


def decoder():
    """Recurrent layers called on masked tensors with initial states: the mask is used, unlike in Keras 3."""
    x, h = L.Input((6,), dtype="int32", name="tokens"), L.Input((4,), name="state")
    e = L.Embedding(11, 4, mask_zero=True)(x)
    gru = L.GRU(4, return_sequences=True)(e, initial_state=h)
    both = L.Bidirectional(L.LSTM(4, return_sequences=True))(gru, initial_state=[h, h, h, h])
    cell = L.RNN(L.SimpleRNNCell(4), return_sequences=True, name="cell")(both, initial_state=h)
    return keras.Model([x, h], [gru, both, cell], name="decoder")


def graph():
    a, b = L.Input((4,), name="a"), L.Input((4,), name="b")
    shared = L.Dense(3, "tanh", name="shared")
    inner = keras.Sequential([L.Input((3,)), L.Dense(4), L.ELU(0.5)], name="inner")
    x, y = inner(shared(a)), inner(shared(b))
    merged = L.Add()([x, L.Multiply()([x, y]), L.Maximum()([x, y])])
    dot = L.Dot(axes=1, normalize=True)([x, L.Subtract()([x, y])])
    return keras.Model([a, b], [L.Softmax(name="first")(merged), L.Average(name="second")([dot, dot])], name="graph")


def shapes():
    x = L.Input((12,))
    h = L.Permute((2, 1))(L.Reshape((3, 4))(x))
    h = L.RepeatVector(2)(L.Flatten()(h))
    return keras.Model(x, L.Dense(2, kernel_regularizer="l2")(L.GaussianNoise(0.5)(h)), name="shapes")


def randomize(model):
    values = []
    for i, weight in enumerate(model.weights):
        spread = any(word in weight.name for word in ("variance", "gamma"))
        low, high = (0.5, 1.5) if spread else (-0.5, 0.5)
        values.append(vectors.data(f"tf_keras/{model.name}/{i}", weight.shape, low=low, high=high))
    model.set_weights(values)


def main():
    tf.config.run_functions_eagerly(True)
    vectors.SOURCE = f"tf-keras {keras.__version__}"
    file = vectors.VectorFile("models/tf_keras/cases")
    file.path.parent.mkdir(parents=True, exist_ok=True)
    optimizers = {
        dense: keras.optimizers.SGD(0.1, momentum=0.9),
        lstm: keras.optimizers.RMSprop(0.01, centered=True),
        recurrent: keras.optimizers.AdamW(0.01),
    }
    for make in [dense, convolutions, sequences, lstm, recurrent, decoder, graph, shapes]:
        keras.backend.clear_session()
        keras.utils.set_random_seed(1)
        model = make()
        randomize(model)
        inputs = [vectors.data(f"tf_keras/{make.__name__}/{i}", (3, *x.shape[1:])) for i, x in enumerate(model.inputs)]
        if make is lstm:
            inputs = [np.array([[1, 2, 3, 4, 0, 0, 0], [7, 0, 8, 9, 19, 0, 0], [5] * 7], "float32")]
        if make is decoder:
            inputs[0] = np.array([[1, 2, 0, 3, 0, 0], [4, 5, 0, 6, 7, 0], [10, 9, 8, 7, 6, 5]], "int32")
        if make is recurrent:
            inputs[0][0, 3:] = 0
        x = inputs if len(inputs) > 1 else inputs[0]
        model.compile(optimizers.get(make, keras.optimizers.Adam(0.01)), "mse", metrics=["mae"])
        targets = [np.ones(y.shape, "float32") for y in predictions(model, x)]
        for _ in range(2):
            model.train_on_batch(x, targets if len(targets) > 1 else targets[0])
        outputs = predictions(model, x)
        name = f"{make.__name__}.h5"
        model.save(file.path.parent / name)
        raw = {"file": name}
        file.add(f"models/tf_keras/{name}", "model", type(model).__name__, None, inputs=inputs, outputs=outputs, raw=raw)
    print(file.path, len(file.cases), file.write())


def predictions(model, x):
    outputs = model.predict(x, verbose=0)
    return outputs if isinstance(outputs, list) else [outputs]


if __name__ == "__main__":
    main()
