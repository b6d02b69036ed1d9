"""How each class is made for spec/api: required arguments, and layers of several sizes to derive their weights' shapes from."""

import itertools

import keras

L, O = keras.layers, keras.optimizers

# Arguments without which a class cannot be made, where an instance exists at all without another framework.
REQUIRED = {
    "layers": {
        "Activation": {"activation": "relu"},
        "CategoryEncoding": {"num_tokens": 4},
        "CenterCrop": {"height": 4, "width": 4},
        "Discretization": {"bin_boundaries": [0.0, 1.0, 2.0]},
        "Dot": {"axes": 1},
        "EinsumDense": {"equation": "abc,cd->abd", "output_shape": [None, 5]},
        "Embedding": {"input_dim": 7, "output_dim": 3},
        "GroupedQueryAttention": {"head_dim": 3, "num_query_heads": 4, "num_key_value_heads": 2},
        "HashedCrossing": {"num_bins": 4},
        "Hashing": {"num_bins": 4},
        "InputLayer": {"batch_shape": [None, 3, 4]},
        "IntegerLookup": {"vocabulary": [1, 2]},
        "MaxNumBoundingBoxes": {"max_number": 3},
        "MultiHeadAttention": {"num_heads": 2, "key_dim": 3},
        "Permute": {"dims": [2, 1]},
        "RandomCrop": {"height": 4, "width": 4},
        "RandomPosterization": {"factor": 4},
        "RandomTranslation": {"height_factor": 0.25, "width_factor": 0.25},
        "RandomZoom": {"height_factor": 0.25},
        "RepeatVector": {"n": 3},
        "Rescaling": {"scale": 0.5},
        "Reshape": {"target_shape": [2, -1]},
        "Resizing": {"height": 4, "width": 4},
        "ReversibleEmbedding": {"input_dim": 7, "output_dim": 3},
        "StringLookup": {"vocabulary": ["a", "b"]},
        "TextVectorization": {"vocabulary": ["a", "b"]},
    },
    "metrics": {
        "IoU": {"num_classes": 3, "target_class_ids": [0]},
        "MeanIoU": {"num_classes": 3},
        "OneHotIoU": {"num_classes": 3, "target_class_ids": [0]},
        "OneHotMeanIoU": {"num_classes": 3},
        "PrecisionAtRecall": {"recall": 0.5},
        "RecallAtPrecision": {"precision": 0.5},
        "SensitivityAtSpecificity": {"specificity": 0.5},
        "SpecificityAtSensitivity": {"sensitivity": 0.5},
    },
    "optimizers": {"Optimizer": {"learning_rate": 0.5}},
    "schedules": {
        "CosineDecay": {"initial_learning_rate": 0.5, "decay_steps": 10},
        "CosineDecayRestarts": {"initial_learning_rate": 0.5, "first_decay_steps": 10},
        "ExponentialDecay": {"initial_learning_rate": 0.5, "decay_steps": 10, "decay_rate": 0.5},
        "InverseTimeDecay": {"initial_learning_rate": 0.5, "decay_steps": 10, "decay_rate": 0.5},
        "PiecewiseConstantDecay": {"boundaries": [5, 10], "values": [1.0, 0.5, 0.25]},
        "PolynomialDecay": {"initial_learning_rate": 0.5, "decay_steps": 10},
    },
    "random": {},
}
# By the name of an argument that several classes require.
COMMON = {"units": 4, "filters": 4, "kernel_size": 3, "pool_size": 2, "output_size": 2, "rate": 0.5, "stddev": 0.5,
          "factor": 0.25}  # fmt: skip
OBJECTS = {
    "Bidirectional": lambda: {"layer": L.LSTM(3, return_sequences=True)},
    "RNN": lambda: {"cell": L.LSTMCell(3)},
    "SpectralNormalization": lambda: {"layer": L.Dense(3)},
    "StackedRNNCells": lambda: {"cells": [L.LSTMCell(3), L.GRUCell(2)]},
    "TimeDistributed": lambda: {"layer": L.Dense(3)},
    "Wrapper": lambda: {"layer": L.Dense(3)},
    "Pipeline": lambda: {"layers": [L.Rescaling(0.5)]},
    "LossScaleOptimizer": lambda: {"inner_optimizer": O.SGD()},
}
# No default instance can be written as JSON: they hold Python functions, other frameworks' models, or other optimizers' state.
WITHOUT_INSTANCE = {"FlaxLayer", "JaxLayer", "Lambda", "TFSMLayer", "TorchModuleWrapper", "MeanMetricWrapper",
                    "MultiOptimizer", "OptimizerMap", "InputSpec", "Metric", "Loss"}  # fmt: skip


def required(namespace, cls, parameters):
    """The arguments of the default instance."""
    name = cls.__name__
    if name in OBJECTS:
        return OBJECTS[name]()
    given = dict(REQUIRED.get(namespace, {}).get(name, {}))
    for p in parameters:
        if p.default is p.empty and p.name in COMMON and p.name not in given and p.kind == p.POSITIONAL_OR_KEYWORD:
            given[p.name] = COMMON[p.name]
    return given


class Sizes:
    """Numbers that differ from one another, and from one round to the next."""

    POOL = [7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59]

    def __init__(self, round):
        self.round, self.next = round, itertools.count()

    def __call__(self):
        return self.POOL[(next(self.next) * 3 + self.round * 5) % len(self.POOL)] + self.round

    def small(self):
        """A number from 2 to 5, such as the size of a kernel."""
        return 2 + (next(self.next) + self.round * (1 + self.round % 3)) % 4


def spatial(rank, **more):
    """A convolution: `more` names further arguments."""
    def probe(s):
        kwargs = {k: s() for k, v in more.items() if v is int}
        kwargs["kernel_size"] = [s.small() for _ in range(rank)]
        return kwargs, [[2, *[8 + s.small() for _ in range(rank)], s()]]
    return probe


def recurrent(s):
    return {"units": s()}, [[2, 5, s()]]


def cell(s):
    return {"units": s()}, [[2, s()]]


def features(s):
    return {}, [[2, s(), s()]]


def attention(s):
    return {"num_heads": s.small(), "key_dim": s()}, [[2, 5, s()], [2, 6, s()]]


# Layers with weights: arguments and input shapes of one round.
PROBES = {
    "AdditiveAttention": lambda s: ({}, [[2, 5, n := s()], [2, 6, n]]),
    "BatchNormalization": features,
    "Bidirectional": lambda s: ({"layer": L.LSTM(s())}, [[2, 5, s()]]),
    "Conv1D": spatial(1, filters=int),
    "Conv2D": spatial(2, filters=int),
    "Conv3D": spatial(3, filters=int),
    "Conv1DTranspose": spatial(1, filters=int),
    "Conv2DTranspose": spatial(2, filters=int),
    "Conv3DTranspose": spatial(3, filters=int),
    "ConvLSTM1D": lambda s: ({"filters": s(), "kernel_size": [s.small()]}, [[2, 4, 9, s()]]),
    "ConvLSTM2D": lambda s: ({"filters": s(), "kernel_size": [s.small(), s.small()]}, [[2, 4, 9, 9, s()]]),
    "ConvLSTM3D": lambda s: ({"filters": s(), "kernel_size": [s.small() for _ in range(3)]}, [[2, 4, 9, 9, 9, s()]]),
    "Dense": lambda s: ({"units": s()}, [[2, s()]]),
    "DepthwiseConv1D": spatial(1, depth_multiplier=int),
    "DepthwiseConv2D": spatial(2, depth_multiplier=int),
    "EinsumDense": lambda s: ({"equation": "abc,cd->abd", "output_shape": [None, s()], "bias_axes": "d"}, [[2, 4, s()]]),
    "Embedding": lambda s: ({"input_dim": s(), "output_dim": s()}, [[2, 5]]),
    "GRU": recurrent,
    "GRUCell": cell,
    "GroupNormalization": lambda s: ({"groups": 1}, [[2, 4, s()]]),
    "GroupedQueryAttention": lambda s: (
        {"head_dim": s(), "num_query_heads": 2 * (n := s.small()), "num_key_value_heads": n}, [[2, 5, s()], [2, 6, s()]]),
    "LSTM": recurrent,
    "LSTMCell": cell,
    "LayerNormalization": features,
    "MultiHeadAttention": attention,
    "Normalization": features,
    "PReLU": lambda s: ({}, [[2, s(), s()]]),
    "RMSNormalization": features,
    "RNN": lambda s: ({"cell": L.LSTMCell(s())}, [[2, 5, s()]]),
    "ReversibleEmbedding": lambda s: ({"input_dim": s(), "output_dim": s()}, [[2, 5]]),
    "STFTSpectrogram": lambda s: ({"frame_length": 16 * s(), "frame_step": s(), "fft_length": 2048}, [[2, 4000, 1]]),
    "SeparableConv1D": spatial(1, filters=int, depth_multiplier=int),
    "SeparableConv2D": spatial(2, filters=int, depth_multiplier=int),
    "SimpleRNN": recurrent,
    "SimpleRNNCell": cell,
    "SpectralNormalization": lambda s: ({"layer": L.Dense(s())}, [[2, s()]]),
    "StackedRNNCells": lambda s: ({"cells": [L.LSTMCell(s()), L.GRUCell(s())]}, [[2, s()]]),
    "TimeDistributed": lambda s: ({"layer": L.Dense(s())}, [[2, 5, s()]]),
}  # fmt: skip
# Further arguments under which weights differ, beside every boolean one and `data_format`.
VARIANTS = {
    "Bidirectional": [{"merge_mode": "sum"}],
    "Conv1D": [{"groups": 1}],
    "PReLU": [{"shared_axes": [1]}],
    "BatchNormalization": [{"axis": 1}],
    "LayerNormalization": [{"axis": 1}, {"axis": [1, 2]}],
}


def weightless_shapes(cls):
    """Inputs for a layer that may have no weights: of the rank that its name says."""
    name = cls.__name__
    if name == "Dot" or cls.__mro__[1].__name__ == "Merge":
        return [[2, 4], [2, 4]]
    if name in ("Attention",):
        return [[2, 5, 4], [2, 6, 4]]
    if name == "RepeatVector":
        return [[2, 4]]
    if name in ("InputLayer", "Masking", "Permute", "Reshape"):
        return [[2, 3, 4]]
    rank = next((int(d) for d in "123" if f"{d}D" in name), 2)
    return [[2, *[8] * rank, 3]]
