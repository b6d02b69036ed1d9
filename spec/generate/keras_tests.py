"""Runs Keras's own tests, which are in the wheel, for the calls that they make."""

import contextlib
import importlib
import pkgutil
import sys
import types
import unittest
from unittest import mock

import keras
from keras.src.testing import TestCase

# Keras's own conftest.py is not in the wheel; the tests take one decorator from it.
sys.modules["conftest"] = types.SimpleNamespace(skip_if_backend=lambda *_: lambda test: test)
# Nor is Grain among its requirements; some tests read data with it.
sys.modules["grain"] = types.ModuleType("grain")


def skip(*_, **__):
    raise unittest.SkipTest("trains a model")


def suites(package):
    """The test cases of a package below keras.src, in a fixed order."""
    package = importlib.import_module(f"keras.src.{package}")
    for module in sorted(m.name for m in pkgutil.iter_modules(package.__path__) if m.name.endswith("_test")):
        try:
            loaded = unittest.defaultTestLoader.loadTestsFromModule(importlib.import_module(f"{package.__name__}.{module}"))
        except ImportError as error:
            print(f"{package.__name__}.{module} cannot be imported: {error}", flush=True)
            continue
        for suite in loaded:
            yield from ((module, test) for test in suite)


def run(package, started, patches):
    """Runs the tests of a package, with `patches` as (object, attribute, replacement). Assertions accept anything, and what
    trains or saves a model is skipped; `started` gets the name of each test."""
    accept = [name for name in dir(TestCase) if name.startswith("assert") and "Raises" not in name]
    with contextlib.ExitStack() as stack:
        for owner, name, value in patches:
            stack.enter_context(mock.patch.object(owner, name, value))
        for name in accept:
            stack.enter_context(mock.patch.object(TestCase, name, lambda *_, **__: None))
        for name in ["fit", "compile", "predict", "evaluate", "train_on_batch", "save", "quantize"]:
            stack.enter_context(mock.patch.object(keras.Model, name, skip))
        for module, test in suites(package):
            started(f"{module}.{type(test).__name__}.{test._testMethodName}")
            keras.utils.set_random_seed(1)
            test.run(unittest.TestResult())
