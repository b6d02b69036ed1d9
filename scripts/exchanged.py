"""What the scripts that check exchanged models have in common."""

import numpy as np


def numbered(arrays, letter):
    """The arrays `x0`, `x1`, … of a model's `.safetensors`, by their letter."""
    return [arrays[f"{letter}{i}"] for i in range(sum(k[0] == letter and k[1:].isdigit() for k in arrays))]


def targets_for(loss, predictions):
    """Targets that have a gradient under a loss: classes for a sparse one, else what is predicted with a shift.

    None if there are no such: predictions that are no floats.
    """
    if not all(np.issubdtype(p.dtype, np.floating) for p in predictions):
        return None
    losses = list(loss.values()) if isinstance(loss, dict) else loss if isinstance(loss, list) else [loss] * len(predictions)
    names = [getattr(one, "name", None) or str(one) for one in losses]
    return [p.argmax(-1) if "sparse" in name else p + 0.5 for p, name in zip(predictions, names)]
