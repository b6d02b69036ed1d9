"""Golden vectors of kind `seeded_model`: initial weights of models built after `set_random_seed`."""

import copy

import keras
import numpy as np
import vectors
from keras.src.backend.common import global_state

L = keras.layers


def mlp():
    return keras.Sequential([L.Input((8,)), L.Dense(16, "relu"), L.Dropout(0.5), L.Dense(3, "softmax")])


def cnn():
    return keras.Sequential(
        [
            L.Input((8, 8, 3)),
            L.Conv2D(4, 3, kernel_initializer="he_normal"),
            L.BatchNormalization(),
            L.SeparableConv2D(6, 3, padding="same"),
            L.DepthwiseConv2D(3, depthwise_initializer="lecun_uniform"),
            L.Conv2DTranspose(2, 2, strides=2),
            L.Flatten(),
            L.Dense(5, bias_initializer="random_normal"),
        ]
    )


def lstm():
    return keras.Sequential([L.Input((7,)), L.Embedding(20, 6), L.LSTM(8), L.Dense(1, "sigmoid")])


def recurrent():
    return keras.Sequential(
        [
            L.Input((6, 4)),
            L.Bidirectional(L.GRU(5, return_sequences=True, dropout=0.25)),
            L.SimpleRNN(3, return_sequences=True),
            L.TimeDistributed(L.Dense(2)),
            L.PReLU(alpha_initializer="truncated_normal"),
        ]
    )


def functional():
    a, b = L.Input((5,)), L.Input((5,))
    shared = L.Dense(4)
    x = L.Concatenate()([shared(a), shared(b)])
    x = L.LayerNormalization()(L.GaussianNoise(0.1)(x))
    return keras.Model([a, b], [L.Dense(3)(x), L.Dense(1, kernel_initializer="orthogonal")(x)])


def deferred():
    model = keras.Sequential([L.Dense(6, "tanh"), L.Dense(2)])
    model.build((None, 4))
    return model


def add(file, make, seed):
    """The case of the model that `make` gives after `seed` is set."""
    global_state.clear_session(free_memory=False)
    keras.utils.set_random_seed(seed)
    model = make()
    weights = [vectors.to_numpy(w) for w in model.weights]
    states = [vectors.to_numpy(v) for v in model.variables if v.name == "seed_generator_state"]
    object = vectors.serialize(model)
    raw = {"seed": seed, "weight_paths": [w.path for w in model.weights]}
    global_state.clear_session(free_memory=False)
    keras.utils.set_random_seed(seed)
    again = keras.saving.deserialize_keras_object(copy.deepcopy(object))
    raw["from_object"] = all(np.array_equal(vectors.to_numpy(a), b) for a, b in zip(again.weights, weights, strict=True))
    id = f"seeded_models/{make.__name__},seed={seed}"
    file.add(id, "seeded_model", type(model).__name__, object, weights=weights, seeds=states, raw=raw)


def main():
    file = vectors.VectorFile("seeded_models")
    for make in [mlp, cnn, lstm, recurrent, functional, deferred]:
        for seed in [1234, 0] if make is mlp else [1234]:
            add(file, make, seed)
    print(file.path, len(file.cases), file.write())


if __name__ == "__main__":
    main()
