"""Golden vectors of kind `model`: one small model per layer class, as `.keras`, whole `.h5` and weights file."""

import keras
import numpy as np
import vectors
from keras.src.backend.common.global_state import clear_session
from model_case import ModelFile, randomize

L = keras.layers
IMAGE, SEQUENCE, FLAT, TOKENS = (6, 6, 2), (6, 3), (5,), "tokens"
SINGLE = [
    ("dense", FLAT, lambda: L.Dense(3, "sigmoid")),
    ("activation", FLAT, lambda: L.Activation("softplus")),
    ("dropout", FLAT, lambda: L.Dropout(0.25, seed=3)),
    ("flatten", IMAGE, lambda: L.Flatten("channels_first")),
    ("reshape", IMAGE, lambda: L.Reshape((-1, 3))),
    ("permute", IMAGE, lambda: L.Permute((3, 1, 2))),
    ("repeat_vector", FLAT, lambda: L.RepeatVector(2)),
    ("masking", SEQUENCE, lambda: L.Masking(0.5)),
    ("embedding", TOKENS, lambda: L.Embedding(9, 4)),
    ("conv1d", SEQUENCE, lambda: L.Conv1D(4, 3, strides=2, padding="causal")),
    ("conv2d", IMAGE, lambda: L.Conv2D(4, (2, 3), dilation_rate=2, groups=2, activation="relu")),
    ("depthwise_conv2d", IMAGE, lambda: L.DepthwiseConv2D(3, depth_multiplier=2, padding="same")),
    ("separable_conv2d", IMAGE, lambda: L.SeparableConv2D(4, 3, strides=2)),
    ("conv2d_transpose", IMAGE, lambda: L.Conv2DTranspose(3, 3, strides=2, padding="same", output_padding=1)),
    ("zero_padding2d", IMAGE, lambda: L.ZeroPadding2D(((1, 2), (0, 1)))),
    ("cropping2d", IMAGE, lambda: L.Cropping2D(((1, 2), (0, 1)))),
    ("up_sampling2d", IMAGE, lambda: L.UpSampling2D((2, 3))),
    ("max_pooling1d", SEQUENCE, lambda: L.MaxPooling1D(3, strides=2, padding="same")),
    ("max_pooling2d", IMAGE, lambda: L.MaxPooling2D((2, 3), strides=1)),
    ("average_pooling1d", SEQUENCE, lambda: L.AveragePooling1D(2)),
    ("average_pooling2d", IMAGE, lambda: L.AveragePooling2D(3, strides=2, padding="same")),
    ("global_max_pooling1d", SEQUENCE, lambda: L.GlobalMaxPooling1D()),
    ("global_max_pooling2d", IMAGE, lambda: L.GlobalMaxPooling2D(keepdims=True)),
    ("global_average_pooling1d", SEQUENCE, lambda: L.GlobalAveragePooling1D()),
    ("global_average_pooling2d", IMAGE, lambda: L.GlobalAveragePooling2D()),
    ("batch_normalization", IMAGE, lambda: L.BatchNormalization(momentum=0.9, epsilon=0.01)),
    ("layer_normalization", SEQUENCE, lambda: L.LayerNormalization(axis=[1, 2])),
    ("simple_rnn", SEQUENCE, lambda: L.SimpleRNN(4, return_sequences=True)),
    ("lstm", SEQUENCE, lambda: L.LSTM(4, recurrent_activation="hard_sigmoid", unit_forget_bias=False)),
    ("gru", SEQUENCE, lambda: L.GRU(4, go_backwards=True)),
    ("gru_reset_before", SEQUENCE, lambda: L.GRU(4, reset_after=False)),
    ("bidirectional", SEQUENCE, lambda: L.Bidirectional(L.SimpleRNN(3), merge_mode="mul")),
    ("time_distributed", SEQUENCE, lambda: L.TimeDistributed(L.Dense(2))),
    ("relu", FLAT, lambda: L.ReLU(max_value=1.0, negative_slope=0.125, threshold=0.25)),
    ("leaky_relu", FLAT, lambda: L.LeakyReLU(0.125)),
    ("elu", FLAT, lambda: L.ELU(0.5)),
    ("prelu", IMAGE, lambda: L.PReLU(shared_axes=[1, 2])),
    ("softmax", SEQUENCE, lambda: L.Softmax(axis=1)),
    ("gaussian_noise", FLAT, lambda: L.GaussianNoise(0.5)),
    ("spatial_dropout1d", SEQUENCE, lambda: L.SpatialDropout1D(0.5)),
    ("spatial_dropout2d", IMAGE, lambda: L.SpatialDropout2D(0.5)),
]
MERGE = [
    ("add", L.Add), ("subtract", L.Subtract), ("multiply", L.Multiply), ("average", L.Average), ("maximum", L.Maximum),
    ("minimum", L.Minimum), ("concatenate", lambda: L.Concatenate(axis=1)), ("dot", lambda: L.Dot(axes=(2, 2))),
]  # fmt: skip


# In files of their own: the layers above were all that there was when those were made.
MODERN = [
    ("activity_regularization", FLAT, lambda x: L.ActivityRegularization(l2=0.25)(x)),
    ("attention", SEQUENCE, lambda x: L.Attention(use_scale=True, score_mode="concat")([x, x])),
    ("additive_attention", SEQUENCE, lambda x: L.AdditiveAttention()([x, L.Dense(3)(x)])),
    ("multi_head_attention", SEQUENCE, lambda x: L.MultiHeadAttention(2, 3, dropout=0.25, use_gate=True)(x, x)),
    ("multi_head_attention_by_name", SEQUENCE, lambda x: L.MultiHeadAttention(2, 3)(x, value=x, key=x, use_causal_mask=True)),
    ("grouped_query_attention", SEQUENCE, lambda x: L.GroupQueryAttention(3, 4, 2)(x, x)),
    ("einsum_dense", SEQUENCE, lambda x: L.EinsumDense("abc,cd->abd", (None, 5), bias_axes="d")(x)),
    ("group_normalization", IMAGE, lambda x: L.GroupNormalization(2)(x)),
    ("rms_normalization", SEQUENCE, lambda x: L.RMSNormalization()(x)),
    ("spectral_normalization", FLAT, lambda x: L.SpectralNormalization(L.Dense(3))(x)),
    ("normalization", FLAT, lambda x: L.Normalization()(L.Rescaling(0.5)(x))),
    ("reversible_embedding", TOKENS, lambda x: L.ReversibleEmbedding(9, 4, tie_weights=False)(x)),
]


def data(name, shape, i=0):
    if shape == TOKENS:
        return np.array([[1, 2, 8, 0], [3, 4, 5, 6]], "int32")
    return vectors.data(f"layer_models/{name}/{i}", (2, *shape))


def main():
    file = ModelFile("models/layers/cases")
    for name, shape, make in SINGLE:
        clear_session(free_memory=False)
        x = L.Input((4,), dtype="int32") if shape == TOKENS else L.Input(shape)
        model = keras.Model(x, make()(x), name=name)
        randomize(model, name)
        formats = (".keras", ".h5", ".weights.h5") if model.weights else (".keras", ".h5")
        file.add(model, name, data(name, shape), formats)
    for name, make in MERGE:
        clear_session(free_memory=False)
        inputs = [L.Input(SEQUENCE), L.Input(SEQUENCE)]
        file.add(keras.Model(inputs, make()(inputs), name=name), name, [data(name, SEQUENCE, i) for i in range(2)], (".keras", ".h5"))
    print(file.file.path, len(file.file.cases), file.file.write())
    modern()


def modern():
    file = ModelFile("models/modern_layers/cases")
    for name, shape, call in MODERN:
        clear_session(free_memory=False)
        x = L.Input((4,), dtype="int32") if shape == TOKENS else L.Input(shape)
        model = keras.Model(x, call(x), name=name)
        randomize(model, name)
        for layer in model.layers:
            if isinstance(layer, L.Normalization):
                layer.finalize_state()
        file.add(model, name, data(name, shape), (".keras", ".weights.h5") if model.weights else (".keras",))
    print(file.file.path, len(file.file.cases), file.file.write())


if __name__ == "__main__":
    main()
