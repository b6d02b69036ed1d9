"""Layers that change images at random while training. What they draw follows from `seeds`."""

from keras import layers

from layer_case import combinations
from vectors import data

from . import POLICIES, input_dtype

TRAINING, INFERENCE = {"training": True}, {"training": False}
SHAPE = (3, 4, 5, 3)


def images(shape=SHAPE, dtype="float32", low=0.0, high=255.0):
    return data("augmentation", shape, dtype, low, high)


def first(shape=SHAPE):
    """Images with the channels first."""
    batch, height, width, channels = shape
    return images((batch, channels, height, width))


def common(grid, base, inference_casts=True, integers=True, shape=SHAPE):
    """What all of them share: modes, seeds, dtypes, single images, where the channels are."""
    grid.add(base, images(shape), call=INFERENCE)
    grid.add(base | {"seed": 7, "name": "changed"}, images(shape), call=TRAINING, seeds=[[7, 0]], tag="fresh seed")
    grid.add(base, images(shape), call=TRAINING, calls_before=[{"args": [images(shape)], "kwargs": TRAINING}], tag="second step")
    grid.add(base, images(shape[1:]), call=TRAINING, tag="one image")
    grid.add(base | {"data_format": "channels_first"}, first(shape), call=TRAINING)
    if integers:
        for call in [TRAINING] + [INFERENCE] * inference_casts:
            grid.add(base, images(shape, "uint8", 0, 255), call=call, tag="uint8")
    # In half precision gradients are noise where sums round.
    for policy in POLICIES[:4]:
        grid.add(base | {"dtype": policy}, images(shape, input_dtype(policy)), call=TRAINING, grads=False)


def random_flip(grid):
    for config in combinations(mode=["horizontal", "vertical", "horizontal_and_vertical"]):
        grid.add(config, images(), call=TRAINING)
        grid.add(config | {"data_format": "channels_first"}, first(), call=TRAINING)
    common(grid, {})


FILLS = combinations(fill_mode=["reflect", "wrap", "constant", "nearest"], interpolation=["bilinear", "nearest"])


def filled(grid, base):
    """What layers share that look for pixels elsewhere."""
    for config in FILLS:
        grid.add(base | config | {"fill_value": 77.5}, images(), call=TRAINING)
    grid.add(base | {"fill_mode": "constant"}, images((2, 7, 3, 1)), call=TRAINING, tag="tall")
    common(grid, base)
    grid.error("fill_mode", "fill_mode", base, {"fill_mode": "mirror"}, images())
    grid.error("interpolation", "interpolation", base, {"interpolation": "bicubic"}, images())


def random_rotation(grid):
    for factor in [0.0, 0.05, 1.0, [-0.3, -0.2], [0.1, 0.9]]:
        grid.add({"factor": factor}, images(), call=TRAINING)
    filled(grid, {"factor": 0.3})
    grid.error("factor", "factor", {"factor": 0.5}, {"factor": 1.5}, images())


def random_zoom(grid):
    for height in [0.4, [-0.5, -0.2], [0.2, 0.6]]:
        for width in [None, 0.3, [0.5, 0.1]]:
            grid.add({"height_factor": height, "width_factor": width}, images(), call=TRAINING)
    filled(grid, {"height_factor": [0.1, 0.9], "width_factor": 0.5})
    grid.error("factor", "factor", {"height_factor": 0.5}, {"height_factor": -1.0}, images())


def random_translation(grid):
    for height in [0.4, [-0.5, -0.2], [0.2, 0.6]]:
        for width in [0.0, 0.3, [0.5, -0.1]]:
            grid.add({"height_factor": height, "width_factor": width}, images(), call=TRAINING)
    filled(grid, {"height_factor": 0.9, "width_factor": [-1.0, 0.5]})
    grid.error("factor", "factor", {"height_factor": 0.5, "width_factor": 0.5}, {"width_factor": 1.5}, images())


def random_contrast(grid):
    for factor in [0.0, 0.3, 1.0, [0.5, 0.1]]:
        for value_range in [[0, 255], [0.0, 200.0]]:
            grid.add({"factor": factor, "value_range": value_range}, images(), call=TRAINING)
    common(grid, {"factor": 0.6}, inference_casts=False)
    grid.error("factor", "factor", {"factor": 0.5}, {"factor": -0.5}, images())


def random_brightness(grid):
    for factor in [0.3, 1.0, [-0.5, -0.1], [0.4, 0.1]]:
        for value_range in [[0, 255], [-1.0, 200.0], [200, 0]]:
            grid.add({"factor": factor, "value_range": value_range}, images(), call=TRAINING)
    common(grid, {"factor": 0.2}, inference_casts=False)
    grid.error("factor", "factor", {"factor": 0.5}, {"factor": 1.5}, images())


def random_crop(grid):
    for size in [(2, 3), (1, 1), (3, 4), (4, 5), (4, 3), (6, 3), (6, 9), (2, 9), (1, 5)]:
        config = {"height": size[0], "width": size[1]}
        grid.add(config, images(), call=TRAINING)
        grid.add(config | {"data_format": "channels_first", "seed": 5}, first(), call=TRAINING)
    grid.add({"height": 4, "width": 5, "seed": 3}, images(), call=INFERENCE)
    for size in [(2, 3), (6, 3)]:
        config = {"height": size[0], "width": size[1], "seed": 3}
        for start in [0, 1, 2]:
            grid.add(config, images(), call=TRAINING, seeds=[[start, 0]], tag=f"seed={start}")
        grid.add(config, images(SHAPE[1:]), call=TRAINING, tag="one image")
        grid.add(config | {"name": "piece"}, images(SHAPE, "uint8", 0, 255), call=TRAINING, tag="uint8")
        for policy in POLICIES[:4]:
            grid.add(config | {"dtype": policy}, images(SHAPE, input_dtype(policy)), call=TRAINING)


def random_shear(grid):
    for config in combinations(x_factor=[0.0, [0.1, 0.5], [0.0, 1.0]], y_factor=[0.0, [0.2, 0.3]]):
        grid.add(config, images(), call=TRAINING)
    filled(grid, {"x_factor": [0.2, 0.6], "y_factor": [0.1, 0.9]})
    grid.error("factor", "factor", {}, {"x_factor": 1.5}, images())


def random_perspective(grid):
    for config in combinations(factor=[1.0, 0.5, [0.9, 1.0]], scale=[0.3, 1.0]):
        grid.add(config, images(), call=TRAINING)
    for config in combinations(interpolation=["bilinear", "nearest"], fill_value=[0.0, 77.5]):
        grid.add(config | {"factor": [1.0, 1.0], "scale": 0.5}, images(), call=TRAINING)
    common(grid, {"factor": [1.0, 1.0], "scale": 0.4})
    grid.error("factor", "factor", {}, {"factor": 1.5}, images())
    grid.error("scale", "scale", {}, {"scale": 1.5}, images())


UNIT = {"value_range": [0, 1]}


def unit(shape=SHAPE, dtype="float32"):
    return images(shape, dtype, 0.0, 1.0)


def valued(grid, factors, base, range_matters=True, **options):
    """What layers share that change the numbers of pixels by a factor."""
    for factor in factors:
        grid.add({"factor": factor}, images(), call=TRAINING)
        if range_matters:
            grid.add({"factor": factor} | UNIT, unit(), call=TRAINING)
    common(grid, base, **options)
    grid.error("factor", "factor", base, {"factor": 9.5}, images())


def random_saturation(grid):
    valued(grid, [0.0, 0.8, 1.0, [0.2, 0.4], [0.9, 0.5]], {"factor": [0.1, 0.7]}, inference_casts=False, integers=False)
    grid.add({"factor": 0.3}, images((3, 4, 5, 1)).repeat(3, axis=-1), call=TRAINING, tag="grey")


def random_hue(grid):
    valued(grid, [0.0, 0.8, 1.0, [0.2, 0.4], [0.9, 0.5]], {"factor": [0.1, 0.7]}, inference_casts=False)
    grid.add({"factor": 0.3}, images((3, 4, 5, 1)).repeat(3, axis=-1), call=TRAINING, tag="grey")


def random_grayscale(grid):
    for factor in [0.0, 0.3, 0.5, 1.0]:
        grid.add({"factor": factor}, images(), call=TRAINING)
    grid.add({}, images((3, 4, 5, 1)), call=TRAINING, tag="one channel")
    common(grid, {"factor": 0.6}, inference_casts=False)
    grid.error("factor", "factor", {}, {"factor": 1.5}, images())


def random_invert(grid):
    valued(grid, [0.0, 0.8, 1.0, [0.2, 0.4], [0.9, 1.0]], {"factor": [0.6, 0.7]}, inference_casts=False)


def random_posterization(grid):
    valued(grid, [1, 4, 8, [3, 5], [2, 2]], {"factor": [2, 6]}, inference_casts=False)


def random_sharpness(grid):
    valued(grid, [0.0, 0.8, 1.0, [0.2, 0.4], [0.9, 0.5]], {"factor": [0.6, 1.0]})


def random_color_degeneration(grid):
    valued(grid, [0.0, 0.8, 1.0, [-0.2, 0.4], [0.9, 0.5]], {"factor": [0.6, 1.0]}, inference_casts=False)


def random_color_jitter(grid):
    factors = {"brightness_factor": 0.3, "contrast_factor": 0.4, "saturation_factor": [0.3, 0.6], "hue_factor": 0.2}
    for name, factor in factors.items():
        grid.add({name: factor}, images(), call=TRAINING)
    grid.add(factors, images(), call=TRAINING)
    grid.add(factors, images(), call=INFERENCE)
    grid.add(factors | UNIT, unit(), call=TRAINING)
    grid.add(factors | {"seed": 7, "name": "jitter"}, images(), call=TRAINING)
    grid.add(factors, images(SHAPE[1:]), call=TRAINING, tag="one image")
    grid.add(factors, images(SHAPE, "uint8", 0, 255), call=TRAINING, tag="uint8")
    grid.add({"contrast_factor": 0.4, "data_format": "channels_first"}, first(), call=TRAINING)
    # One after the other they round too often for numbers to agree in half precision.
    grid.add(factors | {"dtype": "float16"}, images(SHAPE, "float16"), call=INFERENCE)
    for policy in ["float16", "mixed_float16", "mixed_bfloat16"]:
        options = {"brightness_factor": 0.3, "contrast_factor": 0.4, "dtype": policy}
        grid.add(options, images(SHAPE, input_dtype(policy)), call=TRAINING, grads=False)


def random_erasing(grid):
    for factor in [1.0, 0.5, [0.9, 1.0]]:
        for scale in [[0.02, 0.33], 0.8, [0.5, 0.9]]:
            grid.add({"factor": factor, "scale": scale}, images(), call=TRAINING)
    base = {"factor": [1.0, 1.0], "scale": [0.3, 0.7]}
    for fill in [None, 0.0, 77.5, 300]:
        grid.add(base | {"fill_value": fill}, images(), call=TRAINING)
        grid.add(base | {"fill_value": fill} | UNIT, unit(), call=TRAINING)
    common(grid, base)
    grid.error("factor", "factor", {}, {"factor": 1.5}, images())
    grid.error("scale", "scale", {}, {"scale": -1.5}, images())


def random_gaussian_blur(grid):
    for factor in [1.0, 0.5, [0.9, 1.0]]:
        for sigma in [1.0, 0.5, [0.5, 0.9]]:
            grid.add({"factor": factor, "sigma": sigma}, images(), call=TRAINING)
    base = {"factor": [1.0, 1.0], "sigma": [0.3, 0.7]}
    for size in [1, 3, 5, [3, 5], [7, 1]]:
        grid.add(base | {"kernel_size": size}, images(), call=TRAINING)
    grid.add(base | {"value_range": [0, 100]}, images(), call=TRAINING)
    common(grid, base)
    grid.error("kernel_size", "kernel_size", {}, {"kernel_size": 4}, images())
    grid.error("sigma", "sigma", {}, {"sigma": 1.5}, images())


def random_elastic_transform(grid):
    shape = (3, 6, 7, 2)
    for factor in [1.0, 0.5, [0.9, 1.0], 0.0]:
        for scale in [1.0, 0.5, [0.5, 0.9]]:
            grid.add({"factor": factor, "scale": scale}, images(shape), call=TRAINING)
    base = {"factor": [1.0, 1.0], "scale": [0.8, 1.0]}
    for config in combinations(fill_mode=["reflect", "wrap", "constant", "nearest", "mirror"], interpolation=["bilinear", "nearest"]):
        grid.add(base | config | {"fill_value": 77.5}, images(shape), call=TRAINING)
    grid.add(base | {"value_range": [0, 100]}, images(shape), call=TRAINING)
    grid.add(base | {"scale": 0.0}, images(shape), call=TRAINING)
    grid.add(base, images(shape), call=INFERENCE)
    grid.add(base | {"seed": 7, "name": "changed"}, images(shape), call=TRAINING, seeds=[[7, 0]], tag="fresh seed")
    grid.add(base | {"data_format": "channels_first"}, first(shape), call=TRAINING)
    # In half precision pixels stand at the places that XLA rounds to.
    for policy in ["mixed_float16", "float16"]:
        grid.add(base | {"dtype": policy}, images(shape, input_dtype(policy)), call=INFERENCE)


def solarization(grid):
    for config in combinations(addition_factor=[0.0, 0.3, [0.2, 0.5]], threshold_factor=[0.0, 0.5, [0.4, 0.9]]):
        grid.add(config, images(), call=TRAINING)
        grid.add(config | UNIT, unit(), call=TRAINING)
    common(grid, {"addition_factor": 0.1, "threshold_factor": 0.7})
    grid.error("threshold", "threshold_factor", {}, {"threshold_factor": 1.5}, images())


def unseeded(grid, base):
    """What layers share that draw nothing."""
    for call in [TRAINING, INFERENCE]:
        grid.add(base, images(), call=call, tag="modes")
    grid.add(base | {"name": "changed"}, images(SHAPE[1:]), call=TRAINING, tag="one image")
    grid.add(base | {"data_format": "channels_first"}, first(), call=TRAINING)
    grid.add(base, images(SHAPE, "uint8", 0, 255), call=TRAINING, tag="uint8")
    grid.add(base | UNIT, unit(), call=TRAINING)
    for policy in POLICIES[:4]:
        grid.add(base | {"dtype": policy}, images(SHAPE, input_dtype(policy)), call=TRAINING, grads=False, measure=False)


def auto_contrast(grid):
    unseeded(grid, {})
    for value_range in [[0, 255], [-50, 100], [300, 0]]:
        grid.add({"value_range": value_range}, images(), call=TRAINING)
    flat = images().copy()
    flat[1] = 9.0
    grid.add({}, flat, call=TRAINING, tag="one number", grads=False)


def equalization(grid):
    unseeded(grid, {})
    for bins in [256, 8, 2]:
        for value_range in [[0, 255], [-50, 300]]:
            grid.add({"bins": bins, "value_range": value_range}, images(), call=TRAINING, measure=False)
    flat = images().copy()
    flat[..., 1] = 9.0
    grid.add({}, flat, call=TRAINING, tag="one number", measure=False)


def clahe(grid):
    base = {"tile_grid_size": [2, 2]}
    unseeded(grid, base)
    for size in [[1, 1], [2, 3], [8, 8]]:
        for clip_limit in [4.0, 0.0, 40.0]:
            grid.add({"tile_grid_size": size, "clip_limit": clip_limit}, images((2, 5, 7, 2)), call=TRAINING, measure=False)
    grid.add(base | {"value_range": [-50, 300]}, images(), call=TRAINING, measure=False)


def max_num_bounding_boxes(grid):
    for config in [{"max_number": 3}, {"max_number": 5, "name": "boxes"}]:
        grid.add(config, images(), call=TRAINING)
    grid.add({"max_number": 3, "dtype": "float16"}, images(SHAPE, "float16"), call=TRAINING)
    grid.add({"max_number": 3}, images(SHAPE, "uint8", 0, 255), call=TRAINING, tag="uint8")


def rand_augment(grid):
    quick = {"grads": False, "measure": False}
    for num_ops in [1, 2, 4]:
        for start in [3, 4]:
            grid.add({"num_ops": num_ops}, images(), call=TRAINING, seeds=[[start, 0]] + [[0, 0]] * 9, tag=f"seed={start}", **quick)
    grid.add({"num_ops": 3, "factor": [0.4, 0.9], "interpolation": "nearest"}, images(), call=TRAINING, **quick)
    grid.add({"num_ops": 3, "seed": 7, "name": "augment"} | UNIT, unit(), call=TRAINING, **quick)
    grid.add({"num_ops": 3}, images(SHAPE[1:]), call=TRAINING, tag="one image", **quick)
    grid.add({"num_ops": 3, "data_format": "channels_first"}, first(), call=TRAINING, **quick)
    grid.add({"dtype": "mixed_float16"}, images(), call=INFERENCE, **quick)


def aug_mix(grid):
    def add(config, x, tag=None, call=TRAINING, seed=5):
        seeds = [[seed, 0]] + [[0, 0]] * (9 if config.get("all_ops", True) else 5)
        grid.add(config, x, call=call, tag=tag, seeds=seeds, python_seed=seed, grads=False, measure=False)

    for seed in [1, 2, 3]:
        add({}, images(), f"seed={seed}", seed=seed)
    for config in [{"num_chains": 1}, {"chain_depth": 1}, {"factor": [0.2, 0.8]}, {"alpha": 0.4}, {"interpolation": "nearest"}, {"all_ops": False}, {"seed": 7}, {"name": "mix"}]:
        add(config, images())
    add(UNIT, unit())
    add({}, images(SHAPE[1:]), "one image")
    add({"data_format": "channels_first"}, first())
    add({"dtype": "mixed_float16"}, images(), call=INFERENCE)


def cut_mix(grid):
    for factor in [1.0, 0.3, [0.5, 0.9]]:
        for start in [3, 4]:
            grid.add({"factor": factor}, images((5, 4, 5, 3)), call=TRAINING, seeds=[[start, 0]], tag=f"seed={start}")
    grid.add({}, images((5, 4, 5, 3)), call=INFERENCE)
    grid.add({"seed": 7, "name": "mixed"}, images(SHAPE, "uint8", 0, 255), call=TRAINING, seeds=[[7, 0]], tag="uint8")
    grid.add({"data_format": "channels_first"}, first(), call=TRAINING)
    grid.add({"dtype": "mixed_float16"}, images(), call=INFERENCE)
    grid.error("factor", "factor", {}, {"factor": 1.5}, images())


def mix_up(grid):
    for alpha in [0.2, 1.0, 3.0]:
        for start in [3, 4]:
            grid.add({"alpha": alpha}, images((5, 4, 5, 3)), call=TRAINING, seeds=[[start, 0]], tag=f"seed={start}")
    common(grid, {"alpha": 0.5}, inference_casts=False)


def pipeline(grid):
    for rate in [0.3, 0.6]:
        def made():
            return layers.Pipeline([layers.Rescaling(1 / 255), layers.RandomContrast(rate, value_range=[0, 1]), layers.RandomFlip("vertical")])

        for call in [TRAINING, INFERENCE]:
            grid.add_made(made, images(), call=call, tag=f"images,rate={rate},{call['training']}")
    for name in ["a", "b"]:
        def dense():
            return layers.Pipeline([layers.Dense(4, activation="tanh"), layers.Dropout(0.4), layers.Dense(2)], name=name)

        grid.add_made(dense, data("augmentation", (3, 5)), call=TRAINING, tag=f"dense,{name}")


GRIDS = {
    layers.RandomFlip: random_flip,
    layers.RandomRotation: random_rotation,
    layers.RandomZoom: random_zoom,
    layers.RandomTranslation: random_translation,
    layers.RandomContrast: random_contrast,
    layers.RandomBrightness: random_brightness,
    layers.RandomCrop: random_crop,
    layers.RandomShear: random_shear,
    layers.RandomPerspective: random_perspective,
    layers.RandomSaturation: random_saturation,
    layers.RandomHue: random_hue,
    layers.RandomGrayscale: random_grayscale,
    layers.RandomInvert: random_invert,
    layers.RandomPosterization: random_posterization,
    layers.RandomSharpness: random_sharpness,
    layers.RandomColorDegeneration: random_color_degeneration,
    layers.RandomColorJitter: random_color_jitter,
    layers.RandomErasing: random_erasing,
    layers.RandomGaussianBlur: random_gaussian_blur,
    layers.RandomElasticTransform: random_elastic_transform,
    layers.Solarization: solarization,
    layers.AutoContrast: auto_contrast,
    layers.Equalization: equalization,
    layers.ContrastLimitedAdaptiveHistogramEqualization: clahe,
    layers.MaxNumBoundingBoxes: max_num_bounding_boxes,
    layers.RandAugment: rand_augment,
    layers.AugMix: aug_mix,
    layers.CutMix: cut_mix,
    layers.MixUp: mix_up,
    layers.Pipeline: pipeline,
}
