"""Golden vectors of kind `config`: objects as Keras serializes them, and what reading and writing them back gives."""

import copy
import inspect

import keras
import vectors
from keras.src.backend.common import global_state
from model_case import same_bytes

L, O = keras.layers, keras.optimizers
S = keras.optimizers.schedules
I, R, C = keras.initializers, keras.regularizers, keras.constraints
REQUIRED = {
    "AveragePooling1D": {"pool_size": 2},
    "AveragePooling2D": {"pool_size": 2},
    "Reshape": {"target_shape": (2, -1)},
    "Permute": {"dims": (2, 1)},
    "RepeatVector": {"n": 3},
    "Embedding": {"input_dim": 7, "output_dim": 3},
    "Activation": {"activation": "relu"},
    "Dot": {"axes": 1},
    "Dropout": {"rate": 0.5},
    "GaussianNoise": {"stddev": 0.5},
    "SpatialDropout1D": {"rate": 0.5},
    "SpatialDropout2D": {"rate": 0.5},
    "Conv1D": {"filters": 4, "kernel_size": 3},
    "Conv2D": {"filters": 4, "kernel_size": 3},
    "SeparableConv2D": {"filters": 4, "kernel_size": 3},
    "Conv2DTranspose": {"filters": 4, "kernel_size": 3},
    "DepthwiseConv2D": {"kernel_size": 3},
    "Dense": {"units": 4},
    "SimpleRNN": {"units": 4},
    "LSTM": {"units": 4},
    "GRU": {"units": 4},
    "SimpleRNNCell": {"units": 4},
    "LSTMCell": {"units": 4},
    "GRUCell": {"units": 4},
    "EinsumDense": {"equation": "abc,cd->abd", "output_shape": (None, 5)},
    "MultiHeadAttention": {"num_heads": 2, "key_dim": 3},
    "GroupedQueryAttention": {"head_dim": 3, "num_query_heads": 4, "num_key_value_heads": 2},
    "ReversibleEmbedding": {"input_dim": 7, "output_dim": 3},
    "AlphaDropout": {"rate": 0.5},
    "GaussianDropout": {"rate": 0.5},
    "Rescaling": {"scale": 0.25},
    "Resizing": {"height": 3, "width": 4},
    "CenterCrop": {"height": 3, "width": 4},
    "ExponentialDecay": {"initial_learning_rate": 0.5, "decay_steps": 10, "decay_rate": 0.5},
    "InverseTimeDecay": {"initial_learning_rate": 0.5, "decay_steps": 10, "decay_rate": 0.5},
    "PiecewiseConstantDecay": {"boundaries": [5, 10], "values": [1.0, 0.5, 0.25]},
    "PolynomialDecay": {"initial_learning_rate": 0.5, "decay_steps": 10},
    "CosineDecay": {"initial_learning_rate": 0.5, "decay_steps": 10},
    "CosineDecayRestarts": {"initial_learning_rate": 0.5, "first_decay_steps": 10},
    "IoU": {"num_classes": 3, "target_class_ids": [0]},
    "MeanIoU": {"num_classes": 3},
    "OneHotIoU": {"num_classes": 3, "target_class_ids": [0]},
    "OneHotMeanIoU": {"num_classes": 3},
    "PrecisionAtRecall": {"recall": 0.5},
    "RecallAtPrecision": {"precision": 0.5},
    "SensitivityAtSpecificity": {"specificity": 0.5},
    "SpecificityAtSensitivity": {"sensitivity": 0.5},
}
LAYERS = """InputLayer Dense Activation Dropout Flatten Reshape Permute RepeatVector Masking Embedding Conv1D Conv2D
DepthwiseConv2D SeparableConv2D Conv2DTranspose ZeroPadding2D Cropping2D UpSampling2D MaxPooling1D MaxPooling2D
AveragePooling1D AveragePooling2D GlobalMaxPooling1D GlobalMaxPooling2D GlobalAveragePooling1D GlobalAveragePooling2D
BatchNormalization LayerNormalization SimpleRNN LSTM GRU Bidirectional TimeDistributed Add Subtract Multiply Average
Maximum Minimum Concatenate Dot ReLU LeakyReLU ELU PReLU Softmax GaussianNoise SpatialDropout1D SpatialDropout2D
SimpleRNNCell LSTMCell GRUCell EinsumDense Identity ReversibleEmbedding ActivityRegularization Attention
AdditiveAttention MultiHeadAttention GroupQueryAttention GroupNormalization RMSNormalization UnitNormalization
SpectralNormalization AlphaDropout GaussianDropout Rescaling Normalization Resizing CenterCrop"""
# Each with what it needs, as it is and with another dtype.
PREPROCESSING = {
    "AugMix": {}, "AutoContrast": {}, "CategoryEncoding": {"num_tokens": 4}, "ContrastLimitedAdaptiveHistogramEqualization": {}, "CutMix": {},
    "Discretization": {"bin_boundaries": [0.0, 1.5, 2.0]}, "Equalization": {}, "HashedCrossing": {"num_bins": 4}, "Hashing": {"num_bins": 4},
    "IntegerLookup": {},
    "MaxNumBoundingBoxes": {"max_number": 3}, "MelSpectrogram": {}, "MixUp": {},
    "Pipeline": {"layers": [keras.layers.Rescaling(0.5)]}, "RandAugment": {}, "RandomBrightness": {"factor": 0.25},
    "RandomColorDegeneration": {"factor": 0.25}, "RandomColorJitter": {}, "RandomContrast": {"factor": 0.25},
    "RandomCrop": {"height": 4, "width": 3, "seed": 1}, "RandomElasticTransform": {}, "RandomErasing": {}, "RandomFlip": {},
    "RandomGaussianBlur": {}, "RandomGrayscale": {}, "RandomHue": {"factor": 0.25}, "RandomInvert": {}, "RandomPerspective": {},
    "RandomPosterization": {"factor": 4}, "RandomRotation": {"factor": 0.25}, "RandomSaturation": {"factor": 0.25},
    "RandomSharpness": {"factor": 0.25}, "RandomShear": {}, "RandomTranslation": {"height_factor": 0.25, "width_factor": 0.5},
    "RandomZoom": {"height_factor": 0.25}, "STFTSpectrogram": {}, "Solarization": {},
}  # fmt: skip
LOSSES = """BinaryCrossentropy CategoricalCrossentropy SparseCategoricalCrossentropy BinaryFocalCrossentropy
CategoricalFocalCrossentropy KLDivergence Poisson MeanSquaredError MeanAbsoluteError MeanAbsolutePercentageError
MeanSquaredLogarithmicError Huber LogCosh CosineSimilarity Hinge SquaredHinge CategoricalHinge
CategoricalGeneralizedCrossEntropy Dice Tversky Circle CTC"""
METRICS = """Accuracy BinaryAccuracy CategoricalAccuracy SparseCategoricalAccuracy TopKCategoricalAccuracy
SparseTopKCategoricalAccuracy AUC Precision Recall TruePositives TrueNegatives FalsePositives FalseNegatives Mean Sum
MeanSquaredError MeanAbsoluteError MeanAbsolutePercentageError MeanSquaredLogarithmicError RootMeanSquaredError
LogCoshError CosineSimilarity Hinge SquaredHinge CategoricalHinge KLDivergence Poisson BinaryCrossentropy
CategoricalCrossentropy SparseCategoricalCrossentropy IoU BinaryIoU MeanIoU OneHotIoU OneHotMeanIoU FBetaScore F1Score
R2Score PearsonCorrelation ConcordanceCorrelation SensitivityAtSpecificity SpecificityAtSensitivity PrecisionAtRecall
RecallAtPrecision"""
INITIALIZERS = """Zeros Ones Constant RandomNormal RandomUniform TruncatedNormal VarianceScaling GlorotNormal GlorotUniform
HeNormal HeUniform LecunNormal LecunUniform Orthogonal Identity"""
# A value other than the default for every argument that has one, by name; the first that a class accepts is taken.
OTHER = {
    "activation": ["tanh", "gelu"], "recurrent_activation": ["hard_sigmoid"], "use_bias": [False], "trainable": [False],
    "kernel_initializer": [I.HeNormal(seed=3)], "recurrent_initializer": [I.Orthogonal(gain=0.5, seed=1)],
    "bias_initializer": [I.Constant(0.25)], "depthwise_initializer": [I.RandomUniform(seed=2)],
    "pointwise_initializer": [I.LecunNormal(seed=4)], "embeddings_initializer": ["zeros"], "alpha_initializer": ["ones"],
    "beta_initializer": [I.RandomNormal(seed=1)], "gamma_initializer": ["zeros"], "moving_mean_initializer": ["ones"],
    "moving_variance_initializer": [I.Constant(2.0)],
    "kernel_regularizer": [R.L2(0.25)], "recurrent_regularizer": ["l1"], "bias_regularizer": [R.L1(0.5)],
    "activity_regularizer": [R.L1L2(0.25, 0.5)], "depthwise_regularizer": [R.L2(0.5)], "pointwise_regularizer": ["l2"],
    "embeddings_regularizer": [R.L2(0.5)], "alpha_regularizer": ["l1_l2"], "beta_regularizer": ["l2"],
    "gamma_regularizer": [R.L1(0.25)],
    "kernel_constraint": [C.MaxNorm(1.5)], "recurrent_constraint": ["unit_norm"], "bias_constraint": ["non_neg"],
    "depthwise_constraint": [C.MinMaxNorm(0.5, 1.5)], "pointwise_constraint": [C.UnitNorm(axis=1)],
    "embeddings_constraint": ["max_norm"], "alpha_constraint": ["non_neg"], "beta_constraint": ["non_neg"],
    "gamma_constraint": [C.NonNeg()],
    "padding": ["same", ((1, 2), (3, 4))], "cropping": [((1, 2), (3, 4))], "data_format": ["channels_first"],
    "strides": [(2, 2), 2], "dilation_rate": [1], "depth_multiplier": [2], "groups": [2], "size": [(2, 3)],
    "interpolation": ["bilinear"], "pool_size": [3, (2, 3)], "keepdims": [True], "output_padding": [1],
    "dropout": [0.25], "recurrent_dropout": [0.125], "return_sequences": [True], "return_state": [True],
    "go_backwards": [True], "stateful": [True], "unroll": [True], "reset_after": [False], "unit_forget_bias": [False],
    "zero_output_for_mask": [True], "seed": [7], "noise_shape": [(2, 1)], "mask_value": [-1.0], "mask_zero": [True],
    "axis": [1, 0], "momentum": [0.5], "center": [False], "scale": [False, 2.5], "normalize": [True],
    "max_value": [3.0], "negative_slope": [0.125], "threshold": [0.25], "alpha": [0.5], "shared_axes": [[1]],
    "lora_rank": [], "synchronized": [], "renorm": [], "quantization_config": [], "rms_scaling": [],
    "reduction": ["sum"], "from_logits": [True], "label_smoothing": [0.125], "ignore_class": [2], "delta": [0.5],
    "gamma": [1.5], "apply_class_balancing": [True], "k": [3], "from_sorted_ids": [True], "thresholds": [[0.25, 0.75]],
    "top_k": [2], "class_id": [1], "num_thresholds": [50], "curve": ["PR"], "summation_method": ["minoring"],
    "multi_label": [True], "num_labels": [3], "learning_rate": [0.25], "nesterov": [True], "beta_1": [0.5],
    "beta_2": [0.75], "epsilon": [0.01], "amsgrad": [True], "rho": [0.5], "centered": [True], "weight_decay": [0.02],
    "clipvalue": [0.5], "use_ema": [True], "ema_momentum": [0.5], "ema_overwrite_frequency": [10],
    "loss_scale_factor": [16.0], "gradient_accumulation_steps": [2], "staircase": [True], "cycle": [True], "power": [2.0],
    "end_learning_rate": [0.125], "warmup_target": [1.0], "warmup_steps": [5], "t_mul": [1.5], "m_mul": [0.5],
    "value": [0.5], "mean": [1.0], "stddev": [0.25], "minval": [-1.0], "maxval": [2.0], "mode": ["fan_out", "columns"],
    "distribution": ["uniform"], "gain": [2.0], "input_axes": [[0]], "output_axes": [[1]], "l1": [0.5], "l2": [0.25],
    "factor": [0.5], "min_value": [0.25], "rate": [0.5], "merge_mode": ["sum"],
    "initial_accumulator_value": [0.5], "learning_rate_power": [-0.75], "l1_regularization_strength": [0.5],
    "l2_regularization_strength": [0.25], "l2_shrinkage_regularization_strength": [0.125], "beta": [0.5],
    "beta_2_decay": [-0.5], "epsilon_1": [0.125], "epsilon_2": [0.25], "clip_threshold": [0.5], "relative_step": [False],
    "adam_beta_1": [0.5], "adam_beta_2": [0.75], "adam_weight_decay": [None], "adam_lr_ratio": [0.5], "rms_rate": [None],
    "exclude_layers": [["head"]], "exclude_embeddings": [False], "muon_a": [2.0], "muon_b": [-1.5], "muon_c": [0.5],
    "ns_steps": [3], "q": [0.25], "margin": [0.25], "remove_diagonal": [False], "average": ["macro"],
    "class_aggregation": ["variance_weighted_average"], "num_regressors": [2], "target_class_ids": [[1]],
    "use_scale": [True, False], "score_mode": ["concat"], "value_dim": [2], "attention_axes": [(1,)], "use_gate": [True],
    "sliding_window": [2], "bias_axes": ["d"], "tie_weights": [False], "logit_soft_cap": [2.0], "reverse_dtype": ["float16"],
    "power_iterations": [2], "invert": [True], "offset": [0.5], "crop_to_aspect_ratio": [True], "pad_to_aspect_ratio": [True],
    "fill_value": [0.5], "antialias": [True],
    "sparse_y_true": [False], "sparse_y_pred": [True], "initial_scale": [8.0], "dynamic_growth_steps": [10],
}  # fmt: skip


def required(cls):
    if cls is O.LossScaleOptimizer:
        return {"inner_optimizer": O.Adam(0.25)}
    if cls in (L.Bidirectional, L.TimeDistributed):
        return {"layer": L.LSTM(3, return_sequences=True) if cls is L.Bidirectional else L.Dense(3)}
    if cls is L.SpectralNormalization:
        return {"layer": L.Dense(3)}
    return REQUIRED.get(cls.__name__, {"shape": (3, 4)} if cls is L.InputLayer else {})


class Configs:
    def __init__(self, namespace):
        self.namespace = namespace
        self.file = vectors.VectorFile(f"configs/{namespace.replace('.', '_')}")

    def add(self, cls, label, **kwargs):
        """The case of one instance; False where Keras does not accept the arguments, or cannot write them."""
        global_state.clear_session(free_memory=False)
        try:
            with same_bytes():
                obj = vectors.serialize(cls(**kwargs))
        except (TypeError, ValueError, NotImplementedError):
            return False
        global_state.clear_session(free_memory=False)
        with same_bytes():
            expect = vectors.serialize(keras.saving.deserialize_keras_object(copy.deepcopy(obj)))
        name = obj["class_name"]
        self.file.add(f"configs/{self.namespace}/{name}/{label}", "config", name, obj, raw={"expect": expect})
        return True

    def instances(self, cls):
        """The default, each argument by itself, and as many at once as go together."""
        base = required(cls)
        if not self.add(cls, "default", **base):
            raise ValueError(f"{cls} needs more than {base}")
        self.add(cls, "name", name="my_name", **base)
        accepted = {}
        for argument in arguments(cls):
            for value in OTHER.get(argument, []):
                if argument not in base and self.add(cls, f"{argument}={spelled(value)}", **base, **{argument: value}):
                    if probe(cls, base | accepted | {argument: value}):
                        accepted[argument] = value
                    break
        if len(accepted) > 1:
            self.add(cls, "full", **base, **accepted)

    def write(self):
        print(self.file.path, len(self.file.cases), self.file.write())


def probe(cls, kwargs):
    try:
        cls(**kwargs).get_config()
    except (TypeError, ValueError, NotImplementedError):
        return False
    return True


def arguments(cls):
    """The names of the arguments of the constructor and of those it passes on."""
    names = [n for n, p in inspect.signature(cls).parameters.items() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    if issubclass(cls, keras.Layer):
        names += ["trainable", "activity_regularizer"]
    return [n for n in dict.fromkeys(names) if n not in ("name", "dtype")]


def spelled(value):
    return type(value).__name__ if hasattr(value, "get_config") else str(value)


def layers():
    c = Configs("layers")
    for name in LAYERS.split():
        cls = getattr(L, name)
        c.instances(cls)
        for dtype in ["float16", "mixed_bfloat16", keras.DTypePolicy("mixed_float16")]:
            c.add(cls, f"dtype={getattr(dtype, 'name', dtype)}", **required(cls), dtype=dtype)
    c.add(L.Bidirectional, "backward_layer", layer=L.GRU(3), backward_layer=L.LSTM(3, go_backwards=True), merge_mode="concat")
    c.add(L.TimeDistributed, "nested", layer=L.Bidirectional(L.LSTM(2)))
    c.add(L.InputLayer, "batch_shape", batch_shape=(2, None, 3), dtype="int32")
    c.add(L.Normalization, "mean,variance", mean=[0.5, 1.0], variance=[2.0, 4.0], axis=-1)
    c.add(L.Rescaling, "lists", scale=[0.25, 0.5], offset=[1.0, 2.0])
    for interpolation in ["nearest", "bicubic", "lanczos3", "lanczos5"]:
        c.add(L.Resizing, f"interpolation={interpolation}", height=3, width=4, interpolation=interpolation)
    c.write()


def preprocessing():
    c = Configs("preprocessing")
    for name, arguments in PREPROCESSING.items():
        cls = getattr(L, name)
        c.add(cls, "default", **arguments)
        c.add(cls, "dtype=float16", **arguments, dtype="float16")
    c.write()


def optimizers():
    c = Configs("optimizers")
    for cls in [O.SGD, O.Adam, O.AdamW, O.RMSprop, O.Adagrad, O.Adadelta, O.Adamax, O.Nadam, O.Ftrl, O.Lion, O.Lamb,
                O.Adafactor, O.Muon, O.ScheduleFreeAdamW, O.LossScaleOptimizer]:  # fmt: skip
        c.instances(cls)
        if cls is not O.LossScaleOptimizer:
            c.add(cls, "clipnorm", clipnorm=1.0)
            c.add(cls, "global_clipnorm", global_clipnorm=1.0)
            c.add(cls, "schedule", learning_rate=S.CosineDecay(0.5, 10, warmup_target=1.0, warmup_steps=3))
    c.write()


def main():
    layers()
    for namespace, names in [("losses", LOSSES), ("metrics", METRICS), ("initializers", INITIALIZERS)]:
        c = Configs(namespace)
        for name in names.split():
            cls = getattr(getattr(keras, namespace), name)
            c.instances(cls)
            if namespace != "initializers":
                c.add(cls, "dtype", dtype="float16")
        c.write()
    optimizers()
    preprocessing()
    c = Configs("optimizers.schedules")
    for cls in [S.ExponentialDecay, S.InverseTimeDecay, S.PiecewiseConstantDecay, S.PolynomialDecay, S.CosineDecay,
                S.CosineDecayRestarts]:  # fmt: skip
        c.instances(cls)
    c.write()
    c = Configs("regularizers")
    for cls in [R.L1, R.L2, R.L1L2, R.OrthogonalRegularizer]:
        c.instances(cls)
    c.write()
    c = Configs("constraints")
    for cls in [C.MaxNorm, C.MinMaxNorm, C.NonNeg, C.UnitNorm]:
        c.instances(cls)
    c.write()


if __name__ == "__main__":
    main()
