"""Layers that find frequencies in signals."""

from keras import layers

from layer_case import combinations
from vectors import data


def mel_spectrogram(grid):
    base = {"fft_length": 16, "sequence_stride": 8, "num_mel_bins": 4}
    x = data("signals", (2, 60))
    for config in combinations(power_to_db=[True, False], mag_exp=[2.0, 1.0]):
        grid.add(base | config, x)
    for option in [
        {"sequence_length": 10}, {"window": "hamming"}, {"sampling_rate": 8000, "max_freq": 3000}, {"min_freq": 300.0}, {"top_db": 6.0},
        {"min_power": 0.5}, {"ref_power": 3.0}, {"fft_length": 20}, {"sequence_stride": 5}, {"num_mel_bins": 3}, {"name": "mel"},
    ]:  # fmt: skip
        grid.add(base | option, x)
    grid.add(base, data("signals", (60,)), tag="one signal")
    grid.add(base | {"dtype": "mixed_float16"}, x)
    grid.error("sequence_length", "sequence_length", base, {"sequence_length": 32}, x)


def stft_spectrogram(grid):
    base = {"frame_length": 8, "frame_step": 3}
    x, first = data("signals", (2, 20, 2)), data("signals", (2, 2, 20))
    for mode in ["log", "magnitude", "psd", "real", "imag", "angle", "stft"]:
        for expand in [False, True]:
            grid.add(base | {"mode": mode, "expand_dims": expand}, x)
            grid.add(base | {"mode": mode, "expand_dims": expand, "data_format": "channels_first"}, first)
    for option in [
        {"padding": "same"}, {"fft_length": 10}, {"window": "hamming"}, {"window": None}, {"window": "blackman", "periodic": True},
        {"scaling": "spectrum"}, {"scaling": None}, {"frame_step": None}, {"frame_length": 6}, {"name": "frequencies"}, {"dtype": "float16"},
    ]:  # fmt: skip
        grid.add(base | {"mode": "magnitude"} | option, x)
    # As the layer itself makes the kernels.
    for option in [{}, {"scaling": "spectrum", "window": "hamming", "periodic": True}, {"window": None, "fft_length": 16}]:
        layer = layers.STFTSpectrogram(mode="stft", **(base | option))
        layer.build((2, 20, 2))
        weights = [w.numpy() for w in layer.weights]
        grid.add(base | {"mode": "stft"} | option, x, weights=weights, tag="fresh kernels")
    grid.error("frame_step", "frame_step", base, {"frame_step": 9}, x)


GRIDS = {layers.MelSpectrogram: mel_spectrogram, layers.STFTSpectrogram: stft_spectrogram}
