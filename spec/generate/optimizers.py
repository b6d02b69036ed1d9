"""Golden vectors of kind `optimizer`: steps from a fresh and from a given state."""

import copy

import keras
import numpy as np
import vectors
from keras.src.backend.common.global_state import clear_session

O = keras.optimizers
S = keras.optimizers.schedules
SHAPES = [(3, 4), (5,), (2, 2, 3)]


def step(optimizer, variables, grads):
    if not isinstance(optimizer, O.LossScaleOptimizer):
        return optimizer.apply(grads)
    # On JAX its other branch cannot be run outside a compiled function.
    state = [v.value for v in optimizer.variables]
    values, state = optimizer.stateless_apply(state, [keras.ops.array(g) for g in grads], [v.value for v in variables])
    for variable, value in zip([*variables, *optimizer.variables], [*values, *state]):
        variable.assign(value)


class Cases:
    """The cases of one optimizer class; every case optimizes three variables."""

    def __init__(self, cls, file=None):
        self.cls = cls
        self.name = cls.__name__
        self.rng = vectors.rng("optimizers", self.name)
        self.file = vectors.VectorFile(f"optimizers/{file or self.name}")

    def arrays(self, low=-1.0, high=1.0, shapes=SHAPES, dtype="float32"):
        return [self.rng.uniform(low, high, shape).astype(vectors.dtype(dtype)) for shape in shapes]

    def add(self, label, *, steps=1, scale=1.0, iterations=None, warm=False, dtype="float32", values=None, constraint=None,
            why=None, history=None, **kwargs):  # fmt: skip
        """`steps` steps of the optimizer with these arguments."""
        clear_session(free_memory=False)
        obj = vectors.serialize(self.cls(**kwargs))
        obj["config"].pop("name")
        self.add_object(label, obj, values, history, steps=steps, scale=scale, iterations=iterations, warm=warm, dtype=dtype,
                        constraint=constraint, why=why)  # fmt: skip

    def add_object(self, label, obj, values=None, history=None, *, steps=1, scale=1.0, iterations=None, warm=False,
                   dtype="float32", constraint=None, why=None):  # fmt: skip
        """A case of an optimizer as it is serialized: `steps` steps with gradients of size `scale`, or those of `history`.
        `warm`: from the state that three steps leave; `iterations`: from an empty state with that count of steps."""
        clear_session(free_memory=False)
        name = obj["class_name"]
        optimizer = keras.saving.deserialize_keras_object(copy.deepcopy(obj))
        values = self.arrays(dtype=dtype) if values is None else values
        variables = [keras.Variable(v, dtype=v.dtype.name, name=f"v{i}") for i, v in enumerate(values)]
        for variable in variables:
            variable.constraint = constraint
        optimizer.build(variables)
        skipped = 1 + isinstance(optimizer._learning_rate, keras.Variable)
        assert [v.name for v in optimizer.variables[:skipped]] == ["iteration", "learning_rate"][:skipped]
        gradients = lambda: self.arrays(-scale, scale, [v.shape for v in values], dtype)  # noqa: E731
        if warm:
            for _ in range(3):
                step(optimizer, variables, gradients())
        if iterations is not None:
            optimizer._iterations.assign(iterations)
        own = [v for v in optimizer.variables if v.name not in ("iteration", "learning_rate")]
        state = lambda: [vectors.to_numpy(v) for v in own]  # noqa: E731
        done = getattr(optimizer, "inner_optimizer", optimizer)._iterations
        fields = {"iterations": int(done), "variables": [vectors.to_numpy(v) for v in variables]}
        fields["learning_rate"] = float(vectors.to_numpy(optimizer.learning_rate))
        given = warm or iterations is not None
        raw = {} if given else {"state": None}
        if given:
            fields["state"] = state()
        history = [gradients() for _ in range(steps)] if history is None else history
        for grads in history:
            step(optimizer, variables, grads)
        fields["steps" if len(history) > 1 else "grads"] = history if len(history) > 1 else history[0]
        after = fields["variables_after"] = [vectors.to_numpy(v) for v in variables]
        fields["state_after"] = state()
        if optimizer.use_ema:
            optimizer.finalize_variable_values(variables)
            fields["variables_finalized"] = [vectors.to_numpy(v) for v in variables]
        if not why and not any(np.any(a != b) for a, b in zip(after, values)):
            print(f"rejected optimizers/{name}/{label}: nothing moves")
            return
        if constraint is not None:
            raw["constraint"] = vectors.serialize(constraint)
        if why:
            raw["why"] = why
        self.file.add(f"optimizers/{name}/{label}", "optimizer", name, obj, raw=raw, **fields)

    def few(self):
        """The arguments of every optimizer, for one whose own step is all that is new."""
        lr = {"learning_rate": 0.05}
        self.both("default")
        self.add("learning_rate,steps=5", steps=5, learning_rate=0.25)
        self.add("weight_decay,steps=3", steps=3, weight_decay=0.02, **lr)
        self.add("everything", steps=6, gradient_accumulation_steps=2, use_ema=True, weight_decay=0.02,
                 ema_overwrite_frequency=2, global_clipnorm=1.0, scale=2.0, **lr)  # fmt: skip
        self.add("schedule", steps=4, learning_rate=S.ExponentialDecay(0.5, 2, 0.75))
        self.add("zero_gradient", values=self.arrays(), scale=0.0, steps=2, weight_decay=0.02, **lr)
        self.add("huge_gradient", scale=1e8, steps=2, **lr)
        for iterations in [9, 1000]:
            self.add(f"iterations={iterations}", iterations=iterations, **lr)
        # A decay of 0.999 is 1 in bfloat16, and then these divide by zero.
        divides = self.cls in (O.Lamb, O.Muon, O.Nadam, O.ScheduleFreeAdamW)
        decay = {"adam_beta_2" if self.cls is O.Muon else "beta_2": 0.75}
        for dtype in ["float16", "bfloat16"]:
            other = decay if divides and dtype == "bfloat16" else {}
            self.add(f"dtype={dtype},steps=2", dtype=dtype, steps=2, **other, **lr)
        self.add("constraint", constraint=keras.constraints.MaxNorm(0.5), steps=2, **lr)
        self.add("scalar", values=[np.float32(0.5), self.arrays()[1]], steps=3, **lr)

    def both(self, label, **kwargs):
        """One step, five steps, and one from a state that is not empty."""
        self.add(label, **kwargs)
        self.add(f"{label},steps=5", steps=5, **kwargs)
        self.add(f"{label},warm", warm=True, **kwargs)

    def common(self):
        """The arguments of every optimizer."""
        lr = {"learning_rate": 0.05}
        self.both("default")
        self.both("learning_rate", learning_rate=0.25)
        self.both("weight_decay", weight_decay=0.02, **lr)
        for scale in [0.125, 8.0]:
            self.both(f"clipnorm,scale={scale}", clipnorm=1.0, scale=scale, **lr)
            self.both(f"global_clipnorm,scale={scale}", global_clipnorm=1.5, scale=scale, **lr)
            self.both(f"clipvalue,scale={scale}", clipvalue=0.5, scale=scale, **lr)
        for momentum in [0.99, 0.5]:
            self.both(f"ema={momentum}", use_ema=True, ema_momentum=momentum, **lr)
        self.both("ema,overwrite=2", use_ema=True, ema_momentum=0.75, ema_overwrite_frequency=2, **lr)
        for steps in [2, 3]:
            for n in range(1, 6):
                why = {} if n >= steps else {"why": "gradients are only collected"}
                self.add(f"accumulation={steps},steps={n}", steps=n, gradient_accumulation_steps=steps, **lr, **why)
            self.add(f"accumulation={steps},warm", warm=True, steps=3, gradient_accumulation_steps=steps, **lr)
        self.add("accumulation,everything", steps=6, gradient_accumulation_steps=2, use_ema=True, weight_decay=0.02,
                 ema_overwrite_frequency=2, global_clipnorm=1.0, scale=2.0, **lr)  # fmt: skip
        self.both("loss_scale_factor", loss_scale_factor=1024.0, scale=1024.0, **lr)
        self.both("loss_scale_factor,clipnorm", loss_scale_factor=4.0, clipnorm=0.5, scale=8.0, **lr)
        self.add("zero_gradient", values=self.arrays(), scale=0.0, steps=2, weight_decay=0.02, **lr)
        self.add("tiny_gradient", scale=1e-10, steps=2, learning_rate=0.5)
        self.add("huge_gradient", scale=1e8, steps=2, **lr)
        for iterations in [1, 9, 1000, 100000]:
            self.add(f"iterations={iterations}", iterations=iterations, **lr)
        for dtype in ["float16", "bfloat16"]:
            self.add(f"dtype={dtype}", dtype=dtype, **lr)
            self.add(f"dtype={dtype},steps=3", dtype=dtype, steps=3, **lr)
        for constraint in [keras.constraints.NonNeg(), keras.constraints.MaxNorm(0.5), keras.constraints.UnitNorm()]:
            self.add(f"constraint={type(constraint).__name__}", constraint=constraint, steps=2, **lr)
        self.add("scalar", values=[np.float32(0.5), self.arrays()[1]], steps=3, **lr)


def schedules():
    """Each schedule at many counts of steps, driven by plain SGD with gradients that are not zero."""
    c = Cases(O.SGD)
    c.file = vectors.VectorFile("optimizers/schedules")
    made = {
        "exponential": S.ExponentialDecay(0.5, 10, 0.75),
        "exponential,staircase": S.ExponentialDecay(0.5, 10, 0.75, staircase=True),
        "piecewise": S.PiecewiseConstantDecay([3, 10, 100], [1.0, 0.5, 0.25, 0.125]),
        "piecewise,float": S.PiecewiseConstantDecay([2.5, 9.5], [1.0, 0.5, 0.25]),
        "polynomial": S.PolynomialDecay(0.5, 20),
        "polynomial,power": S.PolynomialDecay(0.5, 20, end_learning_rate=0.125, power=2.0),
        "polynomial,cycle": S.PolynomialDecay(0.5, 20, end_learning_rate=0.125, power=0.5, cycle=True),
        "inverse_time": S.InverseTimeDecay(0.5, 10, 0.5),
        "inverse_time,staircase": S.InverseTimeDecay(0.5, 10, 0.5, staircase=True),
        "cosine": S.CosineDecay(0.5, 20),
        "cosine,alpha": S.CosineDecay(0.5, 20, alpha=0.25),
        "cosine,warmup": S.CosineDecay(0.125, 20, warmup_target=1.0, warmup_steps=10),
        "cosine,warmup,alpha": S.CosineDecay(0.125, 20, alpha=0.25, warmup_target=1.0, warmup_steps=5),
        "restarts": S.CosineDecayRestarts(0.5, 10),
        "restarts,t_mul=1": S.CosineDecayRestarts(0.5, 10, t_mul=1.0, m_mul=0.75, alpha=0.125),
        "restarts,m_mul": S.CosineDecayRestarts(0.5, 7, t_mul=1.5, m_mul=0.5),
    }
    values = c.arrays(shapes=[(4,)])
    for label, schedule in made.items():
        for iterations in [0, 1, 3, 5, 9, 10, 11, 15, 20, 25, 40, 137, 1001]:
            finished = "the learning rate has come down to zero"
            c.add(f"{label},iterations={iterations}", iterations=iterations, values=values, learning_rate=schedule, why=finished)
    for label in ["exponential", "cosine,warmup", "restarts"]:
        schedule = made[label]
        c.add(f"{label},steps=6", steps=6, learning_rate=schedule, momentum=0.5)
        c.add(f"{label},accumulation", steps=6, learning_rate=schedule, gradient_accumulation_steps=2)
    return c


def sgd():
    c = Cases(O.SGD)
    c.common()
    for momentum in [0.5, 0.9]:
        c.both(f"momentum={momentum}", learning_rate=0.1, momentum=momentum)
        c.both(f"nesterov={momentum}", learning_rate=0.1, momentum=momentum, nesterov=True)
    c.both("momentum,weight_decay", learning_rate=0.1, momentum=0.9, weight_decay=0.02, clipvalue=0.5)
    c.both("nesterov,without_momentum", nesterov=True)
    return c


def adam(cls):
    c = Cases(cls)
    c.common()
    c.both("amsgrad", learning_rate=0.05, amsgrad=True)
    c.both("betas", learning_rate=0.05, beta_1=0.5, beta_2=0.75)
    c.both("beta_1=0", learning_rate=0.05, beta_1=0.0)
    c.both("epsilon", learning_rate=0.05, epsilon=0.125)
    return c


def rmsprop():
    c = Cases(O.RMSprop)
    c.common()
    c.both("rho", learning_rate=0.05, rho=0.5)
    c.both("momentum", learning_rate=0.05, momentum=0.9)
    c.both("centered", learning_rate=0.05, centered=True)
    c.both("centered,momentum", learning_rate=0.05, centered=True, momentum=0.5, weight_decay=0.02)
    c.both("epsilon", learning_rate=0.05, epsilon=0.125)
    return c


def others():
    """The optimizers that differ from those above in their step only, each with its own arguments."""
    moments = {"betas": {"beta_1": 0.5, "beta_2": 0.75}, "epsilon": {"epsilon": 0.125}}
    own = {
        O.Adagrad: {"accumulator": {"initial_accumulator_value": 0.5}, "epsilon": {"epsilon": 0.125}},
        O.Adadelta: {"rho": {"rho": 0.5}, "epsilon": {"epsilon": 0.125}},
        O.Adamax: moments,
        O.Nadam: moments,
        O.Ftrl: {
            "power": {"learning_rate_power": -0.75},
            "power=0": {"learning_rate_power": 0.0},
            "accumulator": {"initial_accumulator_value": 0.0},
            "l1": {"l1_regularization_strength": 0.5},
            "l2": {"l2_regularization_strength": 0.5},
            "shrinkage": {"l2_shrinkage_regularization_strength": 0.5},
            "beta": {"beta": 0.5},
        },
        O.Lion: {"betas": moments["betas"]},
        O.Lamb: moments,
        O.Adafactor: {
            "beta_2_decay": {"beta_2_decay": -0.5},
            "epsilon_1": {"epsilon_1": 0.125},
            "epsilon_2": {"epsilon_2": 0.75},
            "clip_threshold": {"clip_threshold": 0.25},
            "relative_step": {"relative_step": False},
        },
        O.Muon: {
            "adam": {"adam_beta_1": 0.5, "adam_beta_2": 0.75, "epsilon": 0.125, "adam_lr_ratio": 0.5},
            "adam_weight_decay": {"adam_weight_decay": 0.25, "weight_decay": None},
            "exclude_layers": {"exclude_layers": ["v0"]},
            "coefficients": {"muon_a": 2.0, "muon_b": -1.5, "muon_c": 0.5, "ns_steps": 3},
            "momentum": {"momentum": 0.5, "nesterov": False},
            "rms_rate": {"rms_rate": None},
        },
        O.ScheduleFreeAdamW: moments | {"warmup": {"warmup_steps": 3}},
    }
    for cls, arguments in own.items():
        c = Cases(cls)
        c.few()
        for label, kwargs in arguments.items():
            c.add(f"{label},steps=3", steps=3, learning_rate=0.05, **kwargs)
        if cls is O.Muon:
            c.add("wide_and_tall", values=c.arrays(shapes=[(2, 5), (5, 2), (4, 4)]), steps=2, learning_rate=0.05)
        yield c


def loss_scale():
    c = Cases(O.LossScaleOptimizer)
    inner = {"inner_optimizer": O.Adam(0.05, global_clipnorm=1.0)}
    c.both("default", scale=32768.0, **inner)
    c.both("initial_scale", initial_scale=8.0, scale=8.0, **inner)
    c.add("growth", steps=5, initial_scale=8.0, dynamic_growth_steps=2, scale=8.0, **inner)
    finite = [c.arrays(-8.0, 8.0) for _ in range(4)]
    for name, value in [("infinity", np.inf), ("nan", np.nan)]:
        broken = c.arrays()
        broken[1][2] = value
        history = [*finite[:2], broken, *finite[2:]]
        c.add(f"{name},steps=5", steps=5, history=history, initial_scale=8.0, dynamic_growth_steps=3, **inner)
    c.add("inner=SGD", steps=2, inner_optimizer=O.SGD(0.25, momentum=0.5, use_ema=True), scale=32768.0)
    return c


def main():
    for c in [sgd(), adam(O.Adam), adam(O.AdamW), rmsprop(), schedules(), *others(), loss_scale()]:
        print(c.file.path, len(c.file.cases), c.file.write())


if __name__ == "__main__":
    main()
