"""The grids of arguments: each module maps layer classes to functions that fill a `Grid`."""

from keras import constraints, initializers, regularizers

POLICIES = ["float16", "bfloat16", "mixed_float16", "mixed_bfloat16", "float64"]


def input_dtype(policy):
    """The dtype of the data for a layer with this dtype policy."""
    return policy if policy in ("float16", "bfloat16", "float64") else "float32"


def weight_options(*names):
    """One configuration for each kind of initializer, regularizer and constraint, spread over weights
    `names` ("kernel", "bias", …). Initializers show in the config only, as weights are given."""
    options = []
    values = {
        "initializer": [
            "zeros", "ones", "he_normal", initializers.Constant(0.25), initializers.RandomNormal(0.1, 0.2, seed=3),
            initializers.RandomUniform(-0.1, 0.3), initializers.TruncatedNormal(stddev=0.5), initializers.LecunUniform(seed=1),
            initializers.VarianceScaling(2.0, "fan_avg", "uniform"),
        ],
        "regularizer": ["l1", "l2", regularizers.L1(0.3), regularizers.L2(0.2), regularizers.L1L2(0.1, 0.4)],
        "constraint": [
            "non_neg", "unit_norm", constraints.MaxNorm(1.5, axis=0), constraints.MinMaxNorm(0.1, 0.9, rate=0.7, axis=0),
            constraints.UnitNorm(axis=0), constraints.NonNeg(),
        ],
    }
    for kind, all_values in values.items():
        for i, value in enumerate(all_values):
            options.append({f"{names[i % len(names)]}_{kind}": value})
    for name in names:
        for kind in values:
            if not any(f"{name}_{kind}" in option for option in options):
                options.append({f"{name}_{kind}": values[kind][1]})
    return options


ACTIVITY_REGULARIZERS = [{"activity_regularizer": r} for r in ("l1", "l2", regularizers.L1L2(0.1, 0.2))]
