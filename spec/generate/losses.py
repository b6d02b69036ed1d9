"""Golden vectors of kind `loss`: every loss class with its arguments, reductions, weights, masks and dtypes."""

import jax
import jax.numpy as jnp
import keras
import numpy as np
import vectors
from keras.src.backend.common.global_state import clear_session
from keras.src import backend
from precision import exact_arithmetic, rounding_tolerance

REDUCTIONS = ["sum", "sum_over_batch_size", "mean", "mean_with_sample_weight", "none", None]


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return (e / e.sum(-1, keepdims=True)).astype("float32")


def one_hot(indices, n):
    return np.eye(n, dtype="float32")[indices]


def described(cls, **kwargs):
    """The serialized object, its config completed by the arguments that `get_config` leaves out."""
    obj = keras.saving.serialize_keras_object(cls(**kwargs))
    obj["config"].update(kwargs)
    return obj


def evaluate(obj, y_true, y_pred, sample_weight, mask):
    loss = keras.saving.deserialize_keras_object(obj)

    def call(y_pred):
        if mask is not None:
            backend.set_keras_mask(y_pred, jnp.asarray(mask))
        return loss(y_true, y_pred, sample_weight)

    y_pred = jnp.asarray(y_pred)
    value = np.asarray(call(y_pred))
    if not jnp.issubdtype(y_pred.dtype, jnp.floating):
        return value, None
    return value, np.asarray(jax.grad(lambda p: jnp.sum(call(p)))(y_pred))


class Cases:
    def __init__(self, cls, file=None):
        self.cls = cls
        self.rng = vectors.rng("losses", cls.__name__)
        self.file = vectors.VectorFile(f"losses/{file or cls.__name__}")

    def uniform(self, *shape, low=-2.0, high=2.0):
        """Uniform values on a grid of 1/64, so that they are exact in every float type but bfloat16."""
        return np.round(self.rng.uniform(low, high, shape) * 64).astype("float32") / 64

    def classes(self, n, *shape):
        return self.rng.integers(0, n, shape)

    def add(self, label, y_true, y_pred, sample_weight=None, mask=None, why=None, **kwargs):
        self.add_object(label, described(self.cls, **kwargs), y_true, y_pred, sample_weight, mask, why)

    def add_object(self, label, obj, y_true, y_pred, sample_weight=None, mask=None, why=None):
        """A case of a loss as it is serialized."""
        clear_session(free_memory=False)
        name, dtype = obj["class_name"], obj["config"].get("dtype")
        x64 = dtype == "float64"
        with exact_arithmetic(x64):
            value, grad = evaluate(obj, y_true, y_pred, sample_weight, mask)
        args = [y_true, y_pred] + ([] if sample_weight is None else [sample_weight])
        if grad is not None and np.isfinite(grad.astype("float32")).all():
            fields = {"input_grads": [None, grad, None][: len(args)]}
        else:
            fields = {}
        tolerance = None
        if dtype in ("float16", "bfloat16"):
            exact = obj | {"config": obj["config"] | {"dtype": "float32"}}
            tolerance = rounding_tolerance([value, grad], evaluate(exact, y_true, y_pred, sample_weight, mask))
        raw = ({"tolerance": tolerance} if tolerance else {}) | ({"x64": True} if x64 else {}) | ({"why": why} if why else {})
        fields |= {"args": args, "mask": mask, "outputs": value}
        try:
            self.file.add(f"losses/{name}/{label}", "loss", name, obj, raw=raw, **fields)
        except vectors.Rejected as reason:
            print(f"rejected losses/{name}/{label}: {reason}")

    def grid(self, y_true, y_pred, samples, **kwargs):
        """Reductions × weights × masks × dtypes; `samples` is the shape of the unreduced loss."""
        weights = {"none": None, "scalar": np.float32(0.75)}
        weights["full"] = self.uniform(*samples, low=0.25)
        weights["column"] = self.uniform(*samples[:-1], 1, low=0.25) if len(samples) > 1 else self.uniform(*samples, 1, low=0.25)
        mask = self.rng.random(samples) < 0.6
        mask.flat[:2] = [True, False]
        for reduction in REDUCTIONS:
            for name, weight in weights.items():
                self.add(f"reduction={reduction},weight={name}", y_true, y_pred, weight, reduction=reduction, **kwargs)
            for name in ["none", "full"]:
                self.add(
                    f"reduction={reduction},weight={name},mask", y_true, y_pred, weights[name], mask,
                    reduction=reduction, **kwargs,
                )  # fmt: skip
        zero = np.zeros(samples, "float32")
        self.add("weight=zero", y_true, y_pred, zero, why="weights of zero give zero, not NaN",
                 reduction="mean_with_sample_weight", **kwargs)  # fmt: skip
        self.add("mask=all_false", y_true, y_pred, mask=zero.astype(bool), why="nothing is left: zero, not NaN", **kwargs)
        self.add("weight=int", y_true, y_pred, np.arange(np.prod(samples)).reshape(samples), **kwargs)
        for dtype in ["float16", "bfloat16", "float64"]:
            self.add(f"dtype={dtype}", y_true, y_pred, weights["full"], dtype=dtype, **kwargs)
            self.add(f"dtype={dtype},none", y_true, y_pred, dtype=dtype, reduction="none", **kwargs)


def regression(cls, low=-2.0, high=2.0, grid=False, labels=False, **variants):
    """Losses over two arrays of like shape; `variants` names extra arguments to try."""
    c = Cases(cls)

    def pair(*shape, scale=1):
        y_true = np.sign(c.uniform(*shape) + 1e-3).astype("float32")
        if not labels:
            y_true = scale * c.uniform(*shape, low=low, high=high)
        return y_true, scale * c.uniform(*shape, low=low, high=high)

    t, p = pair(4, 3)
    for reduction in REDUCTIONS:
        c.add(f"reduction={reduction}", t, p, reduction=reduction)
    for shape in [(5,), (1, 1), (2, 3, 4), (2, 2, 3, 2)]:
        c.add(f"shape={shape}", *pair(*shape), reduction="none")
    t1, p1 = pair(6, 1)
    c.add("y_true_rank_1", t1[:, 0], p1)
    c.add("y_pred_rank_1", t1, p1[:, 0])
    c.add("both_rank_1", t1[:, 0], p1[:, 0])
    t3, p3 = pair(2, 3, 1)
    c.add("y_true_rank_2_y_pred_rank_3", t3[..., 0], p3, reduction="none")
    c.add("y_true_int", (2 * t).astype("int32"), p)
    c.add("both_int", (2 * t).astype("int64"), (3 * p).astype("int32"))
    if cls in (keras.losses.MeanAbsoluteError, keras.losses.Huber, keras.losses.LogCosh):
        c.add("equal", t, t.copy(), why="zero, and the gradient at zero, where the two agree")
    c.add("large", *pair(4, 3, scale=500), reduction="none")
    for label, kwargs in variants.items():
        c.add(label, t, p, **kwargs)
        c.add(f"{label},none", *pair(2, 3, 4), reduction="none", **kwargs)
    if grid:
        c.grid(*pair(2, 3, 4), (2, 3))
    else:
        w = c.uniform(4, low=0.25)
        c.add("weight", t, p, w)
        c.add("weight,column", t, p, w[:, None], reduction="sum")
        c.add("weight,mean", t, p, w, reduction="mean_with_sample_weight")
        c.add("mask", t, p, mask=np.array([True, False, True, True]))
        for dtype in ["float16", "bfloat16", "float64"]:
            c.add(f"dtype={dtype}", t, p, w, dtype=dtype)
    return c


def binary(cls, variants):
    c = Cases(cls)
    t, p, z = c.classes(2, 4, 3).astype("float32"), c.uniform(4, 3, low=0.05, high=0.95), c.uniform(4, 3, low=-4, high=4)
    for label, kwargs in {"default": {}, **variants}.items():
        for from_logits, x in [(False, p), (True, z)]:
            kwargs["from_logits"] = from_logits
            name = f"{label},from_logits={from_logits}"
            c.add(name, t, x, **kwargs)
            c.add(f"{name},none", t, x, reduction="none", **kwargs)
            c.add(f"{name},weight", t, x, c.uniform(4, low=0.25), reduction="mean_with_sample_weight", **kwargs)
    c.add("soft_targets", c.uniform(4, 3, low=0.0, high=1.0), p)
    t3, p3 = c.classes(2, 2, 3, 4).astype("float32"), c.uniform(2, 3, 4, low=0.05, high=0.95)
    for axis in [0, 1, -1, -2]:
        c.add(f"axis={axis}", t3, p3, axis=axis, reduction="none")
        c.add(f"axis={axis},from_logits", t3, 4 * p3 - 2, axis=axis, reduction="none", from_logits=True)
    c.add("y_true_rank_1", t[:, 0], p[:, :1])
    c.add("y_pred_rank_1", t[:, :1], p[:, 0])
    c.add("both_rank_1", t[:, 0], p[:, 0])
    c.add("y_true_bool", t.astype(bool), p)
    c.add("y_true_int", t.astype("uint8"), p)
    edge_t = np.repeat(np.array([[0.0, 1.0, 0.5]], "float32"), 4, 0)
    edge_p = np.array([[0.0] * 3, [1.0] * 3, [1e-8] * 3, [0.99999994] * 3], "float32")
    c.add("probabilities=0_and_1", edge_t, edge_p, reduction="none", axis=-1)
    c.add("probabilities=0_and_1,each", edge_t[..., None], edge_p[..., None], reduction="none")
    edge_z = np.array([[-np.inf] * 3, [np.inf] * 3, [-200.0] * 3, [200.0] * 3, [0.0] * 3, [-30.0] * 3], "float32")
    edge_t = np.repeat(edge_t[:1], 6, 0)
    c.add("logits=inf_and_huge", edge_t[..., None], edge_z[..., None], reduction="none", from_logits=True)
    c.grid(t3, p3, (2, 3))
    return c


def categorical(cls, variants):
    c = Cases(cls)
    t, z = one_hot(c.classes(5, 4), 5), c.uniform(4, 5, low=-4, high=4)
    p = softmax(z)
    for label, kwargs in {"default": {}, **variants}.items():
        for from_logits, x in [(False, p), (True, z)]:
            kwargs["from_logits"] = from_logits
            name = f"{label},from_logits={from_logits}"
            c.add(name, t, x, **kwargs)
            c.add(f"{name},none", t, x, reduction="none", **kwargs)
            c.add(f"{name},weight", t, x, c.uniform(4, low=0.25), reduction="mean_with_sample_weight", **kwargs)
    c.add("soft_targets", softmax(c.uniform(4, 5)), p)
    c.add("unnormalised", t, 3 * p, reduction="none")
    c.add("shape=(3,)", t[0, :], p[0], reduction="none")
    t4, z4 = one_hot(c.classes(4, 2, 2, 3), 4), c.uniform(2, 2, 3, 4)
    c.add("rank_4", t4, softmax(z4), reduction="none")
    for axis in [1, -1, -2]:
        ta, za = np.moveaxis(t4, -1, axis), np.moveaxis(z4, -1, axis)
        c.add(f"axis={axis}", ta, np.moveaxis(softmax(z4), -1, axis), axis=axis, reduction="none")
        c.add(f"axis={axis},from_logits", ta, za, axis=axis, reduction="none", from_logits=True)
        c.add(f"axis={axis},smoothing", ta, za, axis=axis, label_smoothing=0.25, reduction="none", from_logits=True)
    c.add("y_true_int", t.astype("int64"), p)
    edge_t = one_hot(np.arange(4) % 3, 3)
    edge_p = np.array([[1, 0, 0], [1, 0, 0], [0, 0.5, 0.5], [0, 1, 0]], "float32")
    c.add("probabilities=0_and_1", edge_t, edge_p, reduction="none")
    edge_z = np.array([[200, -200, 0], [200, -200, 0], [-np.inf, 0, 1], [0, -np.inf, -np.inf]], "float32")
    c.add("logits=inf_and_huge", edge_t, edge_z, reduction="none", from_logits=True)
    t3, z3 = one_hot(c.classes(4, 2, 3), 4), c.uniform(2, 3, 4)
    c.grid(t3, softmax(z3), (2, 3))
    return c


def sparse():
    c = Cases(keras.losses.SparseCategoricalCrossentropy)
    t, z = c.classes(5, 4), c.uniform(4, 5, low=-4, high=4)
    t[:2] = [1, 3]
    p = softmax(z)
    for label, kwargs in {"default": {}, "ignore_class": {"ignore_class": 1}}.items():
        for from_logits, x in [(False, p), (True, z)]:
            kwargs["from_logits"] = from_logits
            name = f"{label},from_logits={from_logits}"
            for reduction in REDUCTIONS:
                c.add(f"{name},reduction={reduction}", t, x, reduction=reduction, **kwargs)
            c.add(f"{name},weight", t, x, c.uniform(4, low=0.25), reduction="mean_with_sample_weight", **kwargs)
            c.add(f"{name},weight,mean", t, x, c.uniform(4, low=0.25), **kwargs)
            c.add(f"{name},weight,none", t, x, c.uniform(4, 1, low=0.25), reduction="none", **kwargs)
    for dtype in ["uint8", "int8", "int32", "int64", "float32"]:
        c.add(f"y_true={dtype}", t.astype(dtype), p)
    c.add("y_true_rank_2", t[:, None], p)
    c.add("y_true_rank_0", np.int32(2), p[0], reduction="none")
    c.add("unnormalised", t, 3 * p, reduction="none")
    t4, z4 = c.classes(4, 2, 2, 3), c.uniform(2, 2, 3, 4)
    c.add("rank_4", t4, softmax(z4), reduction="none")
    c.add("rank_4,column", t4[..., None], softmax(z4), reduction="none")
    c.add("rank_4,ignore_class", t4, softmax(z4), ignore_class=2)
    c.add("rank_4,ignore_class,column", t4[..., None], softmax(z4), ignore_class=2, reduction="none")
    c.add("ignore_class=-1", np.where(t4 == 2, -1, t4), z4, ignore_class=-1, from_logits=True)
    c.add("ignore_class=255", np.where(t4 == 2, 255, t4).astype("uint8"), z4, ignore_class=255, from_logits=True)
    mask = c.rng.random((2, 2, 3)) < 0.6
    for reduction in REDUCTIONS:
        c.add(f"ignore_class,mask,reduction={reduction}", t4, z4, c.uniform(2, 2, 3, low=0.25), mask, ignore_class=2,
              from_logits=True, reduction=reduction)  # fmt: skip
    out_of_range = np.array([0, 5, -1, 7])
    c.add("class_out_of_range", out_of_range, p, reduction="none", why="a class outside the range costs nothing")
    edge_p = np.array([[1, 0, 0], [1, 0, 0], [0, 0.5, 0.5], [0, 1, 0]], "float32")
    c.add("probabilities=0_and_1", np.arange(4) % 3, edge_p, reduction="none")
    edge_z = np.array([[200, -200, 0], [200, -200, 0], [-np.inf, 0, 1], [0, -np.inf, -np.inf]], "float32")
    c.add("logits=inf_and_huge", np.arange(4) % 3, edge_z, reduction="none", from_logits=True)
    c.grid(c.classes(4, 2, 3), softmax(c.uniform(2, 3, 4)), (2, 3))
    return c


def overlap(cls, **variants):
    """Dice and Tversky, which give a number for the whole batch unless axes are given."""
    c = Cases(cls)
    t, p = (c.uniform(3, 4, 5) > 0).astype("float32"), c.uniform(3, 4, 5, low=0.0, high=1.0)
    for label, kwargs in ({"default": {}} | variants).items():
        c.add(label, t, p, **kwargs)
        for axis in [1, [1, 2], [0, 1]]:
            for reduction in ["sum", "none"]:
                c.add(f"{label},axis={axis},reduction={reduction}", t, p, axis=axis, reduction=reduction, **kwargs)
    c.add("weight", t, p, c.uniform(3, low=0.25), axis=[1, 2])
    c.add("y_true_int", t.astype("int32"), p)
    c.add("zeros", 0 * t, 0 * p, why="nothing overlaps: the loss is 1")
    for dtype in ["float16", "bfloat16", "float64"]:
        c.add(f"dtype={dtype}", t, p, axis=[1, 2], dtype=dtype)
    return c


def generalized():
    c = Cases(keras.losses.CategoricalGeneralizedCrossEntropy)
    t, p = c.classes(5, 4), softmax(c.uniform(4, 5))
    for reduction in REDUCTIONS:
        c.add(f"reduction={reduction}", t, p, reduction=reduction)
    for q in [0.1, 0.9]:
        c.add(f"q={q}", t, p, c.uniform(4, low=0.25), q=q)
    c.add("rank_3", c.classes(4, 2, 3), softmax(c.uniform(2, 3, 4)), reduction="none")
    c.add("y_true_float", t.astype("float32"), p)
    for dtype in ["float16", "bfloat16", "float64"]:
        c.add(f"dtype={dtype}", t, p, dtype=dtype)
    return c


def circle():
    c = Cases(keras.losses.Circle)
    x = c.uniform(6, 4)
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype("float32")
    t = np.array([0, 1, 0, 2, 1, 0])
    for reduction in REDUCTIONS:
        c.add(f"reduction={reduction}", t, x, reduction=reduction, gamma=4.0)
    for label, kwargs in {"default": {}, "margin": {"margin": 0.25, "gamma": 8.0}, "diagonal": {"remove_diagonal": False, "gamma": 2.0}}.items():
        c.add(label, t, x, c.uniform(6, low=0.25), **kwargs)
    c.add("column", t[:, None], x, gamma=4.0)
    c.add("alone", np.arange(6), x, gamma=4.0, reduction="none", why="no sample has another of its class")
    c.add("dtype=float64", t, x, dtype="float64", gamma=4.0)
    return c


def ctc():
    c = Cases(keras.losses.CTC)
    t, z = np.array([[1, 2, 3], [2, 2, 0], [4, 0, 0], [1, 1, 1]]), c.uniform(4, 7, 5)
    for reduction in REDUCTIONS:
        c.add(f"reduction={reduction}", t, z, reduction=reduction)
    c.add("weight", t, z, c.uniform(4, low=0.25))
    # The logarithm of 0 is -10⁵, beside which float32 has two digits for what decides the gradients.
    c.add("too_few_frames", t, z[:, :2], reduction="none", dtype="float64")
    c.add("no_labels", 0 * t, z, reduction="none")
    c.add("one_label", t[:, :1], z, reduction="none")
    c.add("dtype=float64", t, z, dtype="float64")
    return c


def main():
    L = keras.losses
    smoothing = {"smoothing": {"label_smoothing": 0.125}, "smoothing=1": {"label_smoothing": 1.0}}
    deltas = {f"delta={d}": {"delta": d} for d in (0.25, 1.0, 2.5)}
    balanced = {"balanced": {"apply_class_balancing": True}, "balanced,alpha": {"apply_class_balancing": True, "alpha": 0.75}}
    focal = {"gamma=0": {"gamma": 0.0}, "gamma=1.5": {"gamma": 1.5, "alpha": 0.5}}
    alphas = {"alphas": {"alpha": [0.125, 0.25, 0.5, 0.75, 1.0]}}
    groups = [
        lambda: regression(L.MeanSquaredError, grid=True),
        lambda: regression(L.MeanAbsoluteError),
        lambda: regression(L.MeanAbsolutePercentageError, low=0.5, high=3.0),
        lambda: regression(L.MeanSquaredLogarithmicError, low=-0.5, high=3.0),
        lambda: regression(L.Huber, **deltas),
        lambda: regression(L.LogCosh),
        lambda: regression(L.CosineSimilarity, axis0={"axis": 0}, axis1={"axis": 1}),
        lambda: regression(L.Hinge, labels=True),
        lambda: regression(L.SquaredHinge, labels=True),
        lambda: regression(L.CategoricalHinge, low=0.0, high=1.0),
        lambda: regression(L.KLDivergence, low=0.0, high=1.0),
        lambda: regression(L.Poisson, low=0.0, high=4.0),
        lambda: binary(L.BinaryCrossentropy, smoothing),
        lambda: binary(L.BinaryFocalCrossentropy, smoothing | balanced | focal),
        lambda: categorical(L.CategoricalCrossentropy, smoothing),
        lambda: categorical(L.CategoricalFocalCrossentropy, smoothing | focal | alphas),
        lambda: sparse(),
        lambda: generalized(),
        lambda: overlap(L.Dice),
        lambda: overlap(L.Tversky, weighted={"alpha": 0.25, "beta": 0.75}),
        lambda: circle(),
        lambda: ctc(),
    ]
    for make in groups:
        group = make()
        print(group.file.path, len(group.file.cases), group.file.write())


if __name__ == "__main__":
    main()
