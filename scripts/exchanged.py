"""What the scripts that check exchanged models have in common."""

import os

import numpy as np

# Small models are run once: compiling each would take nearly all of the time.
if os.environ.get("KERAS_BACKEND", "tensorflow") == "tensorflow":
    import tensorflow

    tensorflow.config.run_functions_eagerly(True)
    # It advises against HDF5 at each file.
    tensorflow.get_logger().setLevel("ERROR")

STEPS = 3

# Models that a program trains on to other weights than this library does, by the start of its version. On JAX Keras 3.15.1 agrees on
# all of them. On TensorFlow gradients of embeddings are sparse, and rows that are not looked up do not move;
# ScheduleFreeAdamW reads the momentum that it has overwritten (`momentum.value` is no copy there).
SPARSE = ["lstm-lstm", "lstm-lstm_compiled", "tf_keras-lstm", "tf_keras-decoder"]
TRAINED_OTHERWISE = {
    "3.15": [*SPARSE, "optimizer-ScheduleFreeAdamW"],
    "3.": SPARSE,
    # It saves one number less of Nadam than it goes on with.
    "2.": ["optimizer-Nadam", "optimizer-Adafactor"],
}


# Models that these programs are not asked about, and why.
LEFT_OUT = {
    "functional-decoder": "at masked steps before the first that counts Keras on TensorFlow gives zeros, on JAX the initial state",
}


def models(folder):
    """What there is of each model that `exchange_models write` wrote."""
    for name, why in LEFT_OUT.items():
        print(f"  {name}: left out: {why}", flush=True)
    return sorted(p for p in folder.glob("*.safetensors") if p.stem not in LEFT_OUT)


def numbered(arrays, letter):
    """The arrays `x0`, `x1`, … of a model's `.safetensors`, by their letter."""
    return [arrays[f"{letter}{i}"] for i in range(sum(k[0] == letter and k[1:].isdigit() for k in arrays))]


def one_or_list(values):
    """A list of one as its element: what models of one input or output take."""
    return values if len(values) > 1 else values[0]


def flat(value):
    """The arrays of a prediction, which may be in a list or a dict."""
    if isinstance(value, dict):
        return [x for v in value.values() for x in flat(v)]
    return [x for v in value for x in flat(v)] if isinstance(value, (list, tuple)) else [np.asarray(value)]


def predict(model, inputs):
    return flat(model.predict(one_or_list(inputs), verbose=0))


def compare(found, expected, what, rtol=1e-5, atol=1e-5):
    assert len(found) == len(expected), f"{what}: {len(found)} arrays, expected {len(expected)}"
    for f, e in zip(found, expected):
        np.testing.assert_allclose(f, e, rtol=rtol, atol=atol, err_msg=what)


def check_training(model, arrays, name, version):
    """Trains a loaded model on and compares with where the writer came from there; whether the writer says that."""
    targets, weights = numbered(arrays, "t"), numbered(arrays, "w")
    of_keras_2 = type(model).__module__.startswith("tf_keras")
    apart = next(names for start, names in TRAINED_OTHERWISE.items() if version.startswith(start))
    if not targets or name in apart:
        return False
    inputs = numbered(arrays, "x")
    steps = int(np.array(model.optimizer.iterations))
    assert steps == arrays["steps"], f"{steps} steps, expected {arrays['steps']}"
    samples = len(inputs[0])
    if not of_keras_2 and tuple(int(n) for n in version.split(".")[:2]) < (3, 14):
        # Keras divides what an activity regularizer gives by the number of samples, but for 3.0 to 3.13.
        for regularizer in filter(None, (layer.activity_regularizer for layer in model.layers)):
            for strength in vars(regularizer):
                setattr(regularizer, strength, getattr(regularizer, strength) / samples)
    batch = dict(batch_size=samples, epochs=STEPS, shuffle=False, verbose=0)
    model.fit(one_or_list(inputs), one_or_list(targets), **batch)
    # A step moves weights by a hundredth or so: what is left of an error in the state of the optimizer is larger than this.
    compare([np.array(w) for w in model.trainable_weights], weights, "weights after more training", 1e-4, 1e-5)
    # Its batch normalisation of pictures takes another estimate of the variance.
    if of_keras_2 and any(type(layer).__name__ == "BatchNormalization" for layer in model.layers):
        return True
    compare(predict(model, inputs), numbered(arrays, "z"), "predictions after more training", 1e-4, 1e-4)
    return True
