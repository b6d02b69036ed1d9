"""Golden vectors of kind `metric`: results after one and after several weighted updates."""

import keras
import numpy as np
import vectors
from keras.src.backend.common.global_state import clear_session
from precision import exact_arithmetic, rounding_tolerance

M = keras.metrics


def evaluate(obj, updates):
    metric = keras.saving.deserialize_keras_object(obj)
    for args in updates:
        metric.update_state(*args)
    return np.asarray(metric.result())


def widened(value):
    return value.astype("float64") if np.asarray(value).dtype.kind == "f" else value


class Cases:
    """The cases of one metric class."""

    def __init__(self, cls, file=None):
        self.cls = cls
        self.rng = vectors.rng("metrics", cls.__name__)
        self.file = vectors.VectorFile(f"metrics/{file or cls.__name__}")

    def uniform(self, *shape, low=0.0, high=1.0):
        """Uniform values on a grid of 1/64: sums are exact, and some values tie."""
        return np.round(self.rng.uniform(low, high, shape) * 64).astype("float32") / 64

    def classes(self, n, *shape):
        return self.rng.integers(0, n, shape)

    def one_hot(self, n, *shape):
        return np.eye(n, dtype="float32")[self.classes(n, *shape)]

    def probabilities(self, *shape):
        e = np.exp(self.uniform(*shape, low=-3, high=3))
        return (e / e.sum(-1, keepdims=True)).astype("float32")

    def add(self, label, *updates, why=None, **kwargs):
        """Each update is the tuple of the arguments of `update_state`."""
        clear_session(free_memory=False)
        obj = vectors.serialize(self.cls(**kwargs))
        # Keras writes `label_weights` as a tensor, which it does not read back.
        obj["config"].update({k: v for k, v in kwargs.items() if k not in obj["config"] or k == "label_weights"})
        self.add_object(label, obj, updates, why)

    def add_object(self, label, obj, updates, why=None):
        """A case of a metric as it is serialized."""
        clear_session(free_memory=False)
        x64, name = obj["config"].get("dtype") == "float64", obj["class_name"]
        with exact_arithmetic(x64):
            outputs = evaluate(obj, updates)
            # What goes into the sums is computed in the dtype of the predictions.
            exact = evaluate(obj, [[widened(v) for v in args] for args in updates]) if x64 else outputs
        tolerance = rounding_tolerance([outputs], [exact]) if x64 else None
        raw = ({"x64": True} if x64 else {}) | ({"why": why} if why else {})
        raw |= {"tolerance": tolerance} if tolerance else {}
        raw["updates"] = [{"args": self.file.encode(args), "kwargs": {"dict": {}}} for args in updates]
        try:
            self.file.add(f"metrics/{name}/{label}", "metric", name, obj, outputs=outputs, raw=raw)
        except vectors.Rejected as reason:
            print(f"rejected metrics/{name}/{label}: {reason}")

    def several(self, make, weights, label="", **kwargs):
        """One update, three, weighted ones (`weights` gives the shapes), and dtypes; `make()` gives a pair."""
        pairs = [make() for _ in range(3)]
        self.add(f"{label}one", pairs[0], **kwargs)
        self.add(f"{label}three", *pairs, **kwargs)
        for shape in weights:
            weighted = [(*pair, self.uniform(*shape, low=0.25, high=2.0)) for pair in pairs]
            self.add(f"{label}weight={shape}", weighted[0], **kwargs)
            self.add(f"{label}weight={shape},three", *weighted, **kwargs)
        self.add(f"{label}mixed", weighted[0], pairs[1], weighted[2], **kwargs)
        return weighted

    def dtypes(self, updates, **kwargs):
        for dtype in ["float16", "bfloat16", "float64"]:
            self.add(f"dtype={dtype}", *updates, dtype=dtype, **kwargs)


def reductions(cls):
    c = Cases(cls)
    c.add("one", (c.uniform(4, 3),))
    c.add("scalar", (2.5,), (3,))
    c.add("three", (c.uniform(4),), (c.uniform(2, 3),), (c.uniform(2, 3, 2),))
    for shape in [(), (4,), (4, 1), (4, 3), (1, 3)]:
        c.add(f"weight={shape}", (c.uniform(4, 3), c.uniform(*shape, low=0.25)), (c.uniform(4, 3),))
    c.add("weight_rank_3", (c.uniform(2, 3), c.uniform(2, 3, 1)), (c.uniform(2, 3, 4), c.uniform(2)))
    c.add("int", (c.classes(9, 5),), (c.classes(9, 5), c.classes(3, 5)))
    c.add("no_updates", why="an empty metric is zero, not NaN")
    c.dtypes([(c.uniform(4, 3), c.uniform(4)), (c.uniform(5),)])
    return c


def regression(cls, low, high, variants=None):
    c = Cases(cls)

    def pair(*shape):
        return c.uniform(*shape, low=low, high=high), c.uniform(*shape, low=low, high=high)

    updates = c.several(lambda: pair(4, 3), [(4,), (4, 1)])
    c.several(lambda: pair(2, 3, 4), [(2, 1), (2, 3)], "rank_3,")
    c.add("rank_1", pair(5), pair(5))
    t, p = pair(5, 1)
    c.add("y_true_rank_1", (t[:, 0], p), (t[:, 0], p, c.uniform(5)))
    c.add("uneven_batches", pair(7, 2), pair(3, 2))
    c.dtypes(updates)
    for label, kwargs in (variants or {}).items():
        c.add(label, pair(4, 3), pair(4, 3), **kwargs)
    return c


def accuracy():
    c = Cases(M.Accuracy)
    updates = c.several(lambda: (c.classes(3, 6, 2), c.classes(3, 6, 2)), [(6,), (6, 1)])
    c.add("rank_1", (c.classes(3, 9), c.classes(3, 9)))
    c.add("y_true_column", (c.classes(3, 9, 1), c.classes(3, 9)))
    c.add("float", (c.classes(2, 9) * 0.5, c.classes(2, 9) * 0.5))
    c.dtypes(updates)
    return c


def binary_accuracy():
    c = Cases(M.BinaryAccuracy)
    updates = c.several(lambda: (c.classes(2, 6, 3), c.uniform(6, 3)), [(6,), (6, 1)])
    for threshold in [0.0, 0.25, 0.75, 1.0]:
        c.add(f"threshold={threshold}", (c.classes(2, 9), c.uniform(9)), threshold=threshold)
    c.add("tie", (np.array([0, 1, 1, 0]), np.array([0.5, 0.5, 0.75, 0.75], "float32")))
    c.add("columns", (c.classes(2, 9), c.uniform(9, 1)), (c.classes(2, 9, 1), c.uniform(9)))
    c.dtypes(updates)
    return c


def categorical_accuracy(cls, k=None):
    c = Cases(cls)
    kwargs = {"k": k} if k else {}
    sparse = "Sparse" in cls.__name__
    labels = c.classes if sparse else c.one_hot
    updates = c.several(lambda: (labels(6, 7), c.probabilities(7, 6)), [(7,)], **kwargs)
    c.several(lambda: (labels(6, 2, 4), c.probabilities(2, 4, 6)), [(2, 4)], "rank_3,", **kwargs)
    c.add("ties", (labels(6, 5), np.repeat(c.uniform(5, 2), 3, -1)), (labels(6, 6), np.eye(6, dtype="float32")), **kwargs)
    if sparse:
        c.add("column", (c.classes(6, 7, 1), c.probabilities(7, 6)), **kwargs)
        c.add("float_labels", (c.classes(6, 7).astype("float32"), c.probabilities(7, 6)), **kwargs)
    if "TopK" in cls.__name__:
        for k in [1, 2, 6]:
            c.add(f"k={k}", (labels(6, 9), c.probabilities(9, 6)), k=k)
    if cls is M.SparseTopKCategoricalAccuracy:
        ids = np.argsort(c.uniform(9, 6), -1)
        c.add("from_sorted_ids", (c.classes(6, 9), ids), (c.classes(6, 9), ids, c.uniform(9)), k=2, from_sorted_ids=True)
        c.add("from_sorted_ids,all", (c.classes(6, 9), ids[:, :3]), k=3, from_sorted_ids=True)
    c.dtypes(updates, **kwargs)
    return c


def crossentropy(cls, labels, shape, variants):
    c = Cases(cls)
    binary = cls is M.BinaryCrossentropy

    def pair(logits=False):
        t = labels(c)
        if logits:
            return t, c.uniform(*shape, low=-3, high=3)
        return t, (c.uniform(*shape, low=0.05, high=0.95) if binary else c.probabilities(*shape))

    updates = c.several(pair, [(shape[0],)])
    c.several(lambda: pair(True), [(shape[0],)], "from_logits,", from_logits=True)
    for label, kwargs in variants.items():
        c.add(label, pair(), pair(), **kwargs)
        c.add(f"{label},from_logits", pair(True), pair(True), from_logits=True, **kwargs)
    c.dtypes(updates)
    return c


def confusion(cls):
    """The four counts, precision and recall."""
    c = Cases(cls)
    updates = c.several(lambda: (c.classes(2, 9), c.uniform(9)), [(9,), ()])
    c.several(lambda: (c.classes(2, 6, 3), c.uniform(6, 3)), [(6, 1), (6, 3)], "rank_2,")
    c.several(lambda: (c.classes(2, 9), c.uniform(9)), [(9,)], "thresholds,", thresholds=[0.25, 0.5, 0.75])
    for thresholds in [0.3, [0.9], [0.0, 0.5, 1.0], [0.7, 0.2]]:
        c.add(f"thresholds={thresholds}", (c.classes(2, 12), c.uniform(12)), thresholds=thresholds)
    even = [i / 10 for i in range(11)]
    c.add("thresholds=even", (c.classes(2, 30), c.uniform(30)), thresholds=even)
    c.add("thresholds=even,weight", (c.classes(2, 30), c.uniform(30), c.uniform(30)), thresholds=even)
    c.add("tie_with_threshold", (np.array([1, 1, 0, 0, 1]), np.array([0.5, 0.75, 0.5, 0.25, 0.0], "float32")))
    if cls in (M.Precision, M.Recall):
        multi = lambda: ((c.uniform(8, 5) > 0.5).astype("float32"), c.probabilities(8, 5))  # noqa: E731
        for kwargs in [{"top_k": 2}, {"class_id": 3}, {"top_k": 3, "class_id": 1}, {"top_k": 2, "thresholds": 0.3},
                       {"class_id": 2, "thresholds": [0.1, 0.3]}]:  # fmt: skip
            label = ",".join(f"{k}={v}" for k, v in kwargs.items())
            c.add(label, multi(), **kwargs)
            c.add(f"{label},weight", (*multi(), c.uniform(8, 1)), multi(), **kwargs)
        zeros = np.zeros(3, "float32")
        c.add("nothing_positive", (zeros, zeros), why="no positives: zero, not NaN")
    c.dtypes(updates)
    return c


def auc():
    c = Cases(M.AUC)
    make = lambda: (c.classes(2, 25), c.uniform(25))  # noqa: E731
    for curve in ["ROC", "PR"]:
        for method in ["interpolation", "minoring", "majoring"]:
            kwargs = {"curve": curve, "summation_method": method}
            label = f"{curve},{method},"
            c.several(make, [(25,)], label, **kwargs)
            c.add(f"{label}num_thresholds=5", make(), make(), num_thresholds=5, **kwargs)
            c.add(f"{label}num_thresholds=2", make(), num_thresholds=2, **kwargs)
            c.add(f"{label}thresholds", make(), make(), thresholds=[0.9, 0.2, 0.5], **kwargs)
            c.add(f"{label}thresholds=even", make(), thresholds=[0.25, 0.5, 0.75], **kwargs)
            c.add(f"{label}logits", (c.classes(2, 25), c.uniform(25, low=-4, high=4)), from_logits=True, **kwargs)
            many = lambda: (c.classes(2, 20, 3), c.uniform(20, 3))  # noqa: E731
            c.add(f"{label}multi_label", many(), many(), multi_label=True, num_thresholds=20, **kwargs)
            c.add(f"{label}multi_label,weight", (*many(), c.uniform(20)), multi_label=True, num_labels=3, **kwargs)
            c.add(f"{label}label_weights", many(), multi_label=True, label_weights=[0.5, 1.0, 2.0], **kwargs)
            c.add(f"{label}label_weights,flat", many(), label_weights=[0.5, 1.0, 2.0], **kwargs)
    c.add("rank_2", many(), many())
    c.add("column", (c.classes(2, 25, 1), c.uniform(25, 1)), (c.classes(2, 25), c.uniform(25, 1)))
    c.add("perfect", (np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.8, 0.9], "float32")))
    c.add("one_class", (np.ones(4), c.uniform(4)), why="without negatives the area is zero, not NaN")
    c.dtypes([(*make(), c.uniform(25)), make()])
    return c


def iou(cls):
    c = Cases(cls)
    hot = "OneHot" in cls.__name__
    base = {} if cls is M.BinaryIoU else {"num_classes": 4}
    if cls in (M.IoU, M.OneHotIoU):
        base["target_class_ids"] = [0, 2]
    if cls is M.BinaryIoU:
        make = lambda *shape: (c.classes(2, *shape), c.uniform(*shape))  # noqa: E731
    elif hot:
        make = lambda *shape: (c.one_hot(4, *shape), c.probabilities(*shape, 4))  # noqa: E731
    else:
        make = lambda *shape: (c.classes(4, *shape), c.classes(4, *shape))  # noqa: E731
    c.add("one", make(9), **base)
    c.add("three", make(9), make(3, 4), make(5), **base)
    weighted = lambda *shape: (*make(*shape), c.classes(3, *shape))  # noqa: E731
    c.add("weight", weighted(9), make(3, 4), weighted(2, 3), **base)
    c.add("weight=float", (*make(9), c.uniform(9, low=0.25)), make(5), dtype="float32", **base)
    variants = {"targets": {"target_class_ids": [1]}} if "target_class_ids" in base or cls is M.BinaryIoU else {}
    if cls is M.BinaryIoU:
        variants["threshold"] = {"threshold": 0.25}
    else:
        variants["ignore_class"] = {"ignore_class": 0}
    for label, kwargs in variants.items():
        c.add(label, make(12), make(12), **base | kwargs)
    if cls in (M.IoU, M.MeanIoU):
        c.add("out_of_range", (np.array([0, 7, -1, 2, 2]), np.array([0, 1, 1, 9, 2])), **base)
        c.add("scores", (c.one_hot(4, 9), c.probabilities(9, 4)), sparse_y_true=False, sparse_y_pred=False, **base)
    if hot:
        c.add("sparse_y_pred", (c.one_hot(4, 9), c.classes(4, 9)), sparse_y_pred=True, **base)
    c.add("no_updates", why="an empty metric is zero, not NaN", **base)
    return c


def f_score(cls):
    c = Cases(cls)
    make = lambda: (c.one_hot(4, 9), c.probabilities(9, 4))  # noqa: E731
    for average in [None, "micro", "macro", "weighted"]:
        c.several(make, [(9,)], f"average={average},", average=average)
        c.add(f"average={average},threshold", make(), make(), average=average, threshold=0.25)
    if cls is M.FBetaScore:
        for beta in [0.5, 2.0]:
            c.add(f"beta={beta}", make(), make(), beta=beta, average="macro")
    multi = ((c.uniform(8, 5) > 0.5).astype("float32"), c.uniform(8, 5))
    c.add("multi_label", multi, threshold=0.5, average="micro")
    c.add("zeros", (np.zeros((3, 2), "float32"), np.zeros((3, 2), "float32")), why="nothing is found: zero, not NaN")
    c.dtypes([make(), (*make(), c.uniform(9))], average="macro")
    return c


def r2_score():
    c = Cases(M.R2Score)
    make = lambda: (c.uniform(6, 3, low=-2, high=2), c.uniform(6, 3, low=-2, high=2))  # noqa: E731
    for aggregation in ["uniform_average", "variance_weighted_average", None]:
        c.several(make, [(6,), (6, 1)], f"{aggregation},", class_aggregation=aggregation)
        c.add(f"{aggregation},regressors", make(), make(), class_aggregation=aggregation, num_regressors=2)
    c.add("too_many_regressors", make(), num_regressors=40)
    c.dtypes([make(), (*make(), c.uniform(6, low=0.25))])
    return c


def trade_off(cls, name):
    c = Cases(cls)
    make = lambda: (c.classes(2, 25), c.uniform(25))  # noqa: E731
    for value in [0.0, 0.5, 0.9, 1.0]:
        c.several(make, [(25,)], f"{name}={value},", **{name: value})
        c.add(f"{name}={value},num_thresholds=1", make(), make(), num_thresholds=1, **{name: value})
        c.add(f"{name}={value},num_thresholds=5", make(), make(), num_thresholds=5, **{name: value})
    many = lambda: ((c.uniform(12, 3) > 0.5).astype("float32"), c.uniform(12, 3))  # noqa: E731
    c.add("rank_2", many(), many(), **{name: 0.5})
    c.add("class_id", many(), many(), class_id=1, **{name: 0.5})
    c.add("no_updates", why="an empty metric is zero, not NaN", **{name: 0.5})
    return c


def mean_metric_wrapper():
    """`MeanMetricWrapper` around functions by name."""
    c = Cases(M.MeanMetricWrapper)
    pair = lambda: (c.uniform(4, 3), c.uniform(4, 3))  # noqa: E731
    for fn in [keras.losses.mean_squared_error, keras.losses.huber, keras.losses.cosine_similarity]:
        c.add(fn.__name__, pair(), (*pair(), c.uniform(4)), fn=fn, name="wrapped")
    c.add("huber,delta", pair(), pair(), fn=keras.losses.huber, name="wrapped", delta=0.25)
    return c


def groups():
    """The function that makes the cases of each class, with its arguments."""
    smoothing = {"smoothing": {"label_smoothing": 0.125}}
    axis = smoothing | {"axis=-1": {"axis": -1}}
    ignore = {"ignore_class=2": {"ignore_class": 2}, "axis=-1": {"axis": -1}}
    reduced = [M.Mean, M.Sum]
    counts = [M.TruePositives, M.TrueNegatives, M.FalsePositives, M.FalseNegatives, M.Precision, M.Recall]
    squared = [M.MeanSquaredError, M.MeanAbsoluteError, M.RootMeanSquaredError]
    return [
        *((reductions, cls) for cls in reduced),
        (accuracy,),
        (binary_accuracy,),
        *((categorical_accuracy, cls) for cls in [M.CategoricalAccuracy, M.SparseCategoricalAccuracy]),
        *((categorical_accuracy, cls, 3) for cls in [M.TopKCategoricalAccuracy, M.SparseTopKCategoricalAccuracy]),
        *((confusion, cls) for cls in counts),
        (auc,),
        *((regression, cls, -2.0, 2.0) for cls in squared),
        (regression, M.MeanAbsolutePercentageError, 0.5, 3.0),
        (regression, M.MeanSquaredLogarithmicError, 0.0, 3.0),
        (regression, M.LogCoshError, -2.0, 2.0),
        (regression, M.CosineSimilarity, -2.0, 2.0, {"axis=1": {"axis": 1}}),
        *((regression, cls, -1.0, 1.0) for cls in [M.Hinge, M.SquaredHinge, M.CategoricalHinge]),
        *((regression, cls, 0.0, 1.0) for cls in [M.KLDivergence, M.Poisson]),
        (crossentropy, M.BinaryCrossentropy, lambda c: c.classes(2, 6, 3), (6, 3), smoothing),
        (crossentropy, M.CategoricalCrossentropy, lambda c: c.one_hot(5, 6), (6, 5), axis),
        (crossentropy, M.SparseCategoricalCrossentropy, lambda c: c.classes(5, 6), (6, 5), ignore),
        (mean_metric_wrapper,),
        *((iou, cls) for cls in [M.IoU, M.BinaryIoU, M.MeanIoU, M.OneHotIoU, M.OneHotMeanIoU]),
        *((f_score, cls) for cls in [M.FBetaScore, M.F1Score]),
        (r2_score,),
        *((regression, cls, -2.0, 2.0, {"axis=0": {"axis": 0}}) for cls in [M.PearsonCorrelation, M.ConcordanceCorrelation]),
        (trade_off, M.SensitivityAtSpecificity, "specificity"),
        (trade_off, M.SpecificityAtSensitivity, "sensitivity"),
        (trade_off, M.PrecisionAtRecall, "recall"),
        (trade_off, M.RecallAtPrecision, "precision"),
    ]


def main():
    for make, *args in groups():
        group = make(*args)
        print(group.file.path, len(group.file.cases), group.file.write())


if __name__ == "__main__":
    main()
