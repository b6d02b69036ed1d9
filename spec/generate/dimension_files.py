"""Configurations (kind `config`), small model files (kind `model`) and initial weights (kind `seeded_model`) of layers over
one or three spatial axes, of pooling to a given size, and of recurrent layers with cells and convolutions."""

import keras
import vectors
from configs import OTHER, Configs, arguments, probe
from keras.src.backend.common.global_state import clear_session
from model_case import ModelFile, randomize
from seeded_models import add as add_seeded

L = keras.layers
SEQUENCE, IMAGE, VOLUME, CLIP = (6, 2), (5, 6, 2), (4, 3, 5, 2), (3, 4, 3, 2)
# Each class with the shape of its inputs, what it needs, and more for a model.
LAYERS = {
    "Conv3D": (VOLUME, {"filters": 3, "kernel_size": 2}, {"strides": (1, 2, 1), "padding": "same"}),
    "Conv1DTranspose": (SEQUENCE, {"filters": 3, "kernel_size": 3}, {"strides": 2, "output_padding": 1}),
    "Conv3DTranspose": (VOLUME, {"filters": 2, "kernel_size": 2}, {"strides": (1, 2, 1), "padding": "same"}),
    "SeparableConv1D": (SEQUENCE, {"filters": 3, "kernel_size": 3}, {"depth_multiplier": 2}),
    "DepthwiseConv1D": (SEQUENCE, {"kernel_size": 3}, {"depth_multiplier": 2}),
    "MaxPooling3D": (VOLUME, {"pool_size": 2}, {"padding": "same"}),
    "AveragePooling3D": (VOLUME, {"pool_size": 2}, {"padding": "same"}),
    "GlobalMaxPooling3D": (VOLUME, {}, {}),
    "GlobalAveragePooling3D": (VOLUME, {}, {}),
    "AdaptiveMaxPooling1D": (SEQUENCE, {"output_size": 4}, {}),
    "AdaptiveMaxPooling2D": (IMAGE, {"output_size": (3, 4)}, {}),
    "AdaptiveMaxPooling3D": (VOLUME, {"output_size": 2}, {}),
    "AdaptiveAveragePooling1D": (SEQUENCE, {"output_size": 4}, {}),
    "AdaptiveAveragePooling2D": (IMAGE, {"output_size": (3, 4)}, {}),
    "AdaptiveAveragePooling3D": (VOLUME, {"output_size": 2}, {}),
    "ZeroPadding1D": (SEQUENCE, {}, {"padding": (1, 2)}),
    "ZeroPadding3D": (VOLUME, {}, {"padding": ((1, 2), (0, 1), (1, 0))}),
    "Cropping1D": (SEQUENCE, {}, {"cropping": (1, 2)}),
    "Cropping3D": (VOLUME, {}, {"cropping": ((1, 0), (0, 1), (1, 2))}),
    "UpSampling1D": (SEQUENCE, {}, {"size": 3}),
    "UpSampling3D": (VOLUME, {}, {"size": (1, 2, 3)}),
    "SpatialDropout3D": (VOLUME, {"rate": 0.5}, {}),
    "ConvLSTM1D": (CLIP[:2] + CLIP[3:], {"filters": 2, "kernel_size": 2}, {"return_sequences": True}),
    "ConvLSTM2D": (CLIP, {"filters": 2, "kernel_size": 2}, {"strides": (2, 1), "return_sequences": True}),
    "ConvLSTM3D": (CLIP[:1] + CLIP, {"filters": 2, "kernel_size": 2}, {"padding": "same"}),
}
PADDINGS = {"ZeroPadding1D": (3, 4), "ZeroPadding3D": ((1, 2), 3, (0, 1)), "Cropping1D": (3, 4), "Cropping3D": ((1, 2), 3, (0, 1))}


def everything(cls, base):
    """As many arguments at once as go together, none of them with its default."""
    accepted = {}
    for argument in arguments(cls):
        values = [PADDINGS[cls.__name__]] if argument in ("padding", "cropping") and cls.__name__ in PADDINGS else OTHER.get(argument, [])
        for value in [3] if argument == "size" else values:
            if argument not in base and probe(cls, base | accepted | {argument: value}):
                accepted[argument] = value
                break
    return base | accepted


def cells():
    return [L.LSTMCell(4, dropout=0.25, seed=3), L.StackedRNNCells([L.GRUCell(3, reset_after=False), L.SimpleRNNCell(2, activation="relu")])]


def configurations():
    c = Configs("dimensions")
    for name, (_, base, _) in LAYERS.items():
        cls = getattr(L, name)
        c.add(cls, "default", **base)
        c.add(cls, "full", **everything(cls, base))
        c.add(cls, "dtype=mixed_bfloat16", name="my_name", dtype="mixed_bfloat16", **base)
    c.add(L.RNN, "default", cell=L.SimpleRNNCell(3))
    c.add(L.RNN, "full", **everything(L.RNN, {"cell": L.GRUCell(3, name="inner")}))
    c.add(L.RNN, "list of cells", cell=cells())
    c.add(L.StackedRNNCells, "default", cells=cells())
    c.add(L.Bidirectional, "RNN", layer=L.RNN(L.LSTMCell(3)))
    c.add(L.Bidirectional, "ConvLSTM1D", layer=L.ConvLSTM1D(2, 3))
    c.write()


def models():
    file = ModelFile("models/dimensions/cases")
    layers = {name: (shape, lambda name=name, base=base, more=more: getattr(L, name)(**base, **more)) for name, (shape, base, more) in LAYERS.items()}
    layers["RNN"] = (SEQUENCE, lambda: L.RNN([L.LSTMCell(3), L.GRUCell(2)], return_sequences=True))
    layers["RNN_of_one_cell"] = (SEQUENCE, lambda: L.RNN(L.SimpleRNNCell(3)))
    layers["Bidirectional_RNN"] = (SEQUENCE, lambda: L.Bidirectional(L.RNN(L.GRUCell(2))))
    for name, (shape, make) in layers.items():
        clear_session(free_memory=False)
        x = L.Input(shape)
        model = keras.Model(x, make()(x), name=name)
        randomize(model, name)
        # Recurrent layers have layers inside, whose places in files differ.
        formats = (".keras", ".h5", ".weights.h5") if "RNN" in name or name == "ConvLSTM2D" else (".keras",)
        file.add(model, name, vectors.data(f"dimensions/{name}", (2, *shape)), formats)
    print(file.file.path, len(file.file.cases), file.file.write())


def volumes():
    return keras.Sequential([L.Input(VOLUME), L.Conv3D(3, 2), L.Conv3DTranspose(2, 2, kernel_initializer="he_normal"), L.SpatialDropout3D(0.5)])


def sequences():
    return keras.Sequential([L.Input(SEQUENCE), L.SeparableConv1D(3, 2), L.DepthwiseConv1D(2), L.Conv1DTranspose(2, 3), L.RNN(cells())])


def clips():
    return keras.Sequential([L.Input(CLIP), L.ConvLSTM2D(2, 2, dropout=0.25, return_sequences=True), L.ConvLSTM2D(2, 2, unit_forget_bias=False)])


def initial_weights():
    file = vectors.VectorFile("seeded_dimensions")
    for make in [volumes, sequences, clips]:
        add_seeded(file, make, 1234)
    print(file.path, len(file.cases), file.write())


if __name__ == "__main__":
    configurations()
    models()
    initial_weights()
