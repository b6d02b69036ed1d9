"""Attention layers."""

from keras import layers

from layer_case import combinations
from vectors import data

from . import ACTIVITY_REGULARIZERS, POLICIES, input_dtype, weight_options

TRAINING = {"training": True}
CAUSAL, SCORES = {"use_causal_mask": True}, {"return_attention_scores": True}


def sequences(dtype="float32"):
    """Query, value and key of 3 and 4 steps."""
    return [data("attention/query", (2, 3, 5), dtype), data("attention/value", (2, 4, 5), dtype), data("attention/key", (2, 4, 5), dtype)]


def masks():
    """Masks of query, value and key, none of which excludes everything."""
    query, value = data("attention/query_mask", (2, 3), "bool"), data("attention/value_mask", (2, 4), "bool")
    query[:, 0] = value[:, 1] = True
    query[0, 2] = value[1, 3] = False
    return [query, value]


def plain(options):
    """The grid of the layers without projections."""

    def fill(grid):
        q, v, k = sequences()
        query_mask, value_mask = masks()
        for config in options:
            for inputs in [[q, v], [q, v, k]]:
                grid.add(config, inputs, tag=f"inputs={len(inputs)}")
            grid.add(config, [q, v], call=CAUSAL | SCORES)
        for both in [[query_mask, value_mask], [None, value_mask], [query_mask, None]]:
            tag = ",".join(name for name, mask in zip(["query", "value"], both) if mask is not None)
            grid.add({}, [q, v], call={"mask": both}, tag=f"mask={tag}")
            grid.add({}, [q, v], call={"mask": both} | CAUSAL | SCORES, tag=f"mask={tag}")
            grid.add({}, [q, v], input_masks=both, tag=f"masked inputs={tag}")
        for call in [TRAINING, TRAINING | SCORES, {}]:
            grid.add({"dropout": 0.25, "name": "attention"}, [q, v], call=call)
        grid.add({"dropout": 0.5, "seed": 7}, [q, v], call=TRAINING, seeds=[[7, 0]])
        for policy in POLICIES:
            grid.add({"dtype": policy}, sequences(input_dtype(policy)), call={"mask": [query_mask, value_mask]})
        grid.error("one input", "nputs", {}, {}, [q])

    return fill


def projecting(base, grid):
    """What MultiHeadAttention and GroupQueryAttention share."""
    q, v, k = sequences()
    query_mask, value_mask = masks()
    attention_mask = data("attention/mask", (2, 3, 4), "bool")
    attention_mask[..., 1] = True
    for inputs in [[q, q], [q, v], [q, v, k]]:
        grid.add(base, *inputs, tag=f"inputs={len(inputs)}" if inputs[1] is not q else "self")
    for extra in [{"use_bias": False}, {"use_gate": True}, {"sliding_window": 1}, {"sliding_window": 2}, {"name": "heads"}]:
        grid.add(base | extra, q, v)
        grid.add(base | extra, q, v, call=SCORES)
    for call in [CAUSAL, SCORES, CAUSAL | SCORES]:
        grid.add(base, q, v, call=call)
    grid.add(base | {"sliding_window": 2}, q, q, call=CAUSAL)
    for call in [{}, SCORES, CAUSAL]:
        grid.add(base, q, v, call=call | {"attention_mask": attention_mask}, tag="attention_mask")
        grid.add(base, q, v, input_masks=[query_mask, value_mask], call=call, tag="masked inputs")
        grid.add(base, q, v, k, input_masks=[None, value_mask, value_mask[::-1]], call=call, tag="masked value and key")
    grid.add(base, q, v, call={"attention_mask": attention_mask, "value_mask": value_mask}, input_masks=[query_mask, None], tag="all masks")
    grid.add(base, q, v, call={"attention_mask": attention_mask & False}, tag="everything masked")
    grid.add(base, q, v, call=SCORES | {"attention_mask": attention_mask & False}, tag="everything masked")
    grid.add(base, q, v, call={"attention_mask": data("attention/mask", (2, base.get("num_heads", 4), 3, 4), "bool")}, tag="mask of heads")
    for call in [TRAINING, TRAINING | SCORES, {}]:
        grid.add(base | {"dropout": 0.25}, q, v, call=call)
    grid.add(base | {"dropout": 0.5, "seed": 7}, q, v, call=TRAINING | CAUSAL, seeds=[[7, 0]])
    for option in weight_options("kernel", "bias")[::3] + ACTIVITY_REGULARIZERS[:1]:
        grid.add(base | {"use_gate": True} | option, q, v)
    grid.add(base | ACTIVITY_REGULARIZERS[1], q, v, call=SCORES)
    for policy in POLICIES:
        x = sequences(input_dtype(policy))
        grid.add(base | {"dtype": policy}, *x[:2], call={"attention_mask": attention_mask})
        grid.add(base | {"dtype": policy}, *x[:2], call=SCORES | {"attention_mask": attention_mask})
    grid.error("sliding window", "sliding_window", base, {"sliding_window": 0}, q, v)


def multi_head(grid):
    base = {"num_heads": 2, "key_dim": 3}
    projecting(base, grid)
    q, v, _ = sequences()
    for config in [{"num_heads": 1, "key_dim": 4}, {"output_shape": 7}, {"output_shape": [2, 3]}]:
        grid.add(base | config, q, v)
    # Keras on JAX computes other lengths of values only where it returns scores, or with dropout.
    grid.add(base | {"value_dim": 2}, q, v, call=SCORES)
    wide = data("attention/query", (2, 3, 2, 5)), data("attention/value", (2, 3, 4, 5))
    for axes in [None, 2, [2], [-2], [1, 2]]:
        x = wide[0], wide[0] if axes in (None, [1, 2]) else wide[1]
        for call in [{}, SCORES]:
            grid.add(base | {"attention_axes": axes}, *x, call=call, tag="rank 4")
    grid.error("heads", "num_heads", base, {"num_heads": 0}, q, v)


def grouped_query(grid):
    base = {"head_dim": 3, "num_query_heads": 4, "num_key_value_heads": 2}
    projecting(base, grid)
    q, v, _ = sequences()
    for config in [{"head_dim": 2, "num_key_value_heads": 1}, {"num_query_heads": 2}]:
        grid.add(base | config, q, v)
    grid.error("no divisor", "num_query_heads", base, {"num_query_heads": 3}, q, v)


GRIDS = {
    layers.Attention: plain(combinations(use_scale=[False, True], score_mode=["dot", "concat"])),
    layers.AdditiveAttention: plain(combinations(use_scale=[True, False])),
    layers.MultiHeadAttention: multi_head,
    layers.GroupQueryAttention: grouped_query,
}
