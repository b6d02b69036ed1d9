"""Golden vectors of layers: spec/vectors/layers, one pair of files per class.

`layers.py` makes all of them, `layers.py Dense LSTM` those of some classes.
"""

import importlib
import sys
import time

import jax

from layer_case import Grid

MODULES = [
    "core", "reshaping", "activation", "regularization", "merging", "pooling", "convolution", "dimensions", "normalization", "attention", "preprocessing", "augmentation", "categories", "signals", "recurrent",
]


def main(wanted):
    total_cases = total_bytes = 0
    for module in MODULES:
        for cls, fill in importlib.import_module(f"grids.{module}").GRIDS.items():
            if wanted and cls.__name__ not in wanted:
                continue
            start = time.monotonic()
            grid = Grid(cls)
            fill(grid)
            # Each class compiles thousands of small programs, which no other uses again.
            jax.clear_caches()
            size = grid.file.write()
            total_cases, total_bytes = total_cases + len(grid.file.cases), total_bytes + size
            print(f"{grid.name}: {len(grid.file.cases)} cases, {size} bytes, {time.monotonic() - start:.0f} s", flush=True)
    print(f"{total_cases} cases, {total_bytes} bytes")
    if Grid.failures:
        sys.exit(f"{len(Grid.failures)} cases failed: {Grid.failures}")


if __name__ == "__main__":
    main(set(sys.argv[1:]))
