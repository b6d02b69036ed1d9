"""What earlier versions of Keras had: names and arguments, read from their sources without running them."""

import ast
import builtins
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

VERSIONS = ["1.2.2", "2.0.9", "2.3.1", "2.15.0", "3.0.5", "3.3.3", "3.6.0", "3.9.2", "3.12.0"]
NAMESPACES = ["layers", "losses", "metrics", "optimizers", "schedules", "activations", "initializers", "regularizers",
              "constraints", "callbacks", "ops", "random", "utils", "models", "saving"]  # fmt: skip
# Before 2.15 nothing says what is public: modules are, and names without an underscore in them.
MODULES = {
    "layers": ["layers/*.py", "legacy/layers.py", "engine/topology.py", "engine/input_layer.py", "engine/base_layer.py"],
    "losses": ["objectives.py", "losses.py"],
    "metrics": ["metrics.py"],
    "optimizers": ["optimizers.py"],
    "activations": ["activations.py"],
    "initializers": ["initializations.py", "initializers.py"],
    "regularizers": ["regularizers.py"],
    "constraints": ["constraints.py"],
    "callbacks": ["callbacks.py", "callbacks/*.py"],
    "utils": ["utils/*.py"],
    "models": ["models.py", "engine/training.py", "engine/sequential.py", "engine/saving.py"],
}
# Classes of engines and functions of modules that are no part of the API.
PRIVATE = {"serialize", "deserialize", "get", "get_fans", "get_from_module", "Node", "Container", "DisconnectedLayer",
           "get_variable_shape", "is_keras_tensor", "disable_tracking"}  # fmt: skip

# Folders that define nothing of these namespaces.
SKIPPED = {"_tf_keras", "api", "applications", "datasets", "tensorflow", "jax", "torch", "numpy", "openvino", "testing"}


class Definition:
    """A class or function with its arguments: [{"name", "default" or "default_code", "kind"}]."""

    def __init__(self, node, name, args, decorators):
        self.kind = "class" if isinstance(node, ast.ClassDef) else "function"
        self.name, self.args, self.decorators, self.exports = name, args, decorators, []


def source_tree(version, folder):
    """The unpacked package of a version, fetched from PyPI the first time."""
    target = folder / version
    if not target.exists():
        fetch = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), f"keras=={version}"]
        subprocess.run(fetch, check=True)
        [archive] = [p for p in folder.iterdir() if p.is_file() and p.name.lower().startswith(f"keras-{version}")]
        if archive.suffix == ".whl":
            zipfile.ZipFile(archive).extractall(target)
        else:
            tarfile.open(archive).extractall(target, filter="data")
    [package, *_] = sorted(target.rglob("keras/__init__.py"), key=lambda p: len(p.parts))
    return package.parent


def argument_list(function, skip_first):
    """The arguments of a function's syntax tree as data."""
    spec, out = function.args, []
    positional = spec.posonlyargs + spec.args
    defaults = [None] * (len(positional) - len(spec.defaults)) + spec.defaults
    pairs = list(zip(positional, defaults))[1 if skip_first else 0 :]
    entries = [(a, d, None) for a, d in pairs]
    entries += [(spec.vararg, None, "args")] if spec.vararg else []
    entries += [(a, d, "keyword") for a, d in zip(spec.kwonlyargs, spec.kw_defaults)]
    entries += [(spec.kwarg, None, "kwargs")] if spec.kwarg else []
    for arg, default, kind in entries:
        entry = {"name": arg.arg}
        if kind:
            entry["kind"] = kind
        if default is not None:
            try:
                value = ast.literal_eval(default)
                if isinstance(value, (set, bytes, complex)):
                    raise ValueError
                entry["default"] = value
            except ValueError:
                entry["default_code"] = ast.unparse(default)
        out.append(entry)
    return out


def decorator_name(node):
    node = node.func if isinstance(node, ast.Call) else node
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


class Version:
    """The public names of one version, by namespace."""

    def __init__(self, version, package):
        self.version, self.package = version, package
        self.names = {n: {} for n in NAMESPACES}
        self.classes = {}
        sources = [p for p in sorted(package.rglob("*.py")) if not SKIPPED & set(p.parts) and not p.stem.endswith("_test")]
        self.trees = {p: ast.parse(p.read_text(encoding="utf-8")) for p in sources}
        self.modern = int(version.split(".")[0]) >= 3 or version == "2.15.0"
        for tree in self.trees.values():
            self.classes.update({n.name: n for n in tree.body if isinstance(n, ast.ClassDef)})
        if self.modern:
            self.read_exports()
        else:
            self.read_modules()

    def constructor(self, node):
        """The `__init__` of a class or of the nearest base that has one."""
        seen = set()
        while node is not None and node.name not in seen:
            seen.add(node.name)
            for item in node.body:
                if isinstance(item, ast.FunctionDef) and item.name == "__init__":
                    return item
            bases = [decorator_name(b) for b in node.bases]
            node = next((self.classes[b] for b in bases if b in self.classes and not hasattr(builtins, b)), None)
        return None

    def definition(self, node):
        if isinstance(node, ast.FunctionDef):
            return Definition(node, node.name, argument_list(node, False), [decorator_name(d) for d in node.decorator_list])
        init = self.constructor(node)
        if init is None:
            return Definition(node, node.name, [], [])
        return Definition(node, node.name, argument_list(init, True), [decorator_name(d) for d in init.decorator_list])

    def read_exports(self):
        for tree in self.trees.values():
            for node in tree.body:
                if not isinstance(node, (ast.ClassDef, ast.FunctionDef)):
                    continue
                for call in node.decorator_list:
                    if not (isinstance(call, ast.Call) and decorator_name(call) == "keras_export" and call.args):
                        continue
                    paths = []
                    for arg in call.args:
                        value = ast.literal_eval(arg)
                        paths += [value] if isinstance(value, str) else list(value)
                    definition = self.definition(node)
                    definition.exports = paths
                    for path in paths:
                        namespace, name = split_path(path)
                        if namespace:
                            self.names[namespace].setdefault(name, definition)

    def read_modules(self):
        for namespace, patterns in MODULES.items():
            for path in sorted({p for pattern in patterns for p in self.package.glob(pattern)}):
                self.read_module(self.names[namespace], self.trees[path], namespace)

    def read_module(self, names, tree, namespace):
        for node in tree.body:
            if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and not node.name.startswith("_") and node.name not in PRIVATE:
                if namespace == "models" and isinstance(node, ast.FunctionDef) and "model" not in node.name:
                    continue
                if namespace == "layers" and isinstance(node, ast.FunctionDef) and node.name == "to_list":
                    continue
                if namespace in ("utils", "optimizers", "callbacks") or node.name not in names:
                    names[node.name] = self.definition(node)
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Name) and node.value.id in names:
                for target in node.targets:
                    if isinstance(target, ast.Name):
                        names[target.id] = names[node.value.id]


def split_path(path):
    """`keras.ops.image.resize` → (`ops`, `image.resize`); no namespace for what is not in this specification."""
    parts = path.split(".")[1:]
    if parts[:2] == ["optimizers", "schedules"]:
        return "schedules", parts[2]
    if parts[0] == "ops" and len(parts) == 3 and parts[1] in ("nn", "numpy"):
        return None, None
    if parts[0] in ("ops", "utils") and len(parts) >= 2:
        return parts[0], ".".join(parts[1:])
    if len(parts) == 1:
        return ("models", parts[0]) if parts[0] in ("Model", "Sequential") else (None, None)
    return (parts[0], parts[1]) if len(parts) == 2 and parts[0] in NAMESPACES else (None, None)


class Conversions:
    """How Keras 2 read the arguments of Keras 1: the table in its `legacy/interfaces.py`."""

    # What the preprocessors of that file do, as far as it is a matter of names.
    PREPROCESSORS = {
        "conv2d_args_preprocessor": {"nb_row": "kernel_size[0]", "nb_col": "kernel_size[1]"},
        "separable_conv2d_args_preprocessor": {"nb_row": "kernel_size[0]", "nb_col": "kernel_size[1]",
                                               "init": "depthwise_initializer, pointwise_initializer"},
        "deconv2d_args_preprocessor": {"nb_row": "kernel_size[0]", "nb_col": "kernel_size[1]", "output_shape": None},
        "conv3d_args_preprocessor": {f"kernel_dim{i + 1}": f"kernel_size[{i}]" for i in range(3)},
        "convlstm2d_args_preprocessor": {"nb_row": "kernel_size[0]", "nb_col": "kernel_size[1]",
                                         "forget_bias_init": "unit_forget_bias"},
        "recurrent_args_preprocessor": {"forget_bias_init": "unit_forget_bias"},
        "batchnorm_args_preprocessor": {"mode": None},
        "embedding_kwargs_preprocessor": {"dropout": None},
    }  # fmt: skip

    def __init__(self, version):
        tree = version.trees[version.package / "legacy" / "interfaces.py"]
        self.table = {}
        for node in tree.body:
            call = getattr(node, "value", None)
            if isinstance(node, ast.Assign) and isinstance(call, ast.Call) and "legacy" in decorator_name(call):
                kwargs = {k.arg: k.value for k in call.keywords}
                preprocessor = decorator_name(kwargs["preprocessor"]) if "preprocessor" in kwargs else None
                renamed = dict(self.PREPROCESSORS.get(preprocessor, {}))
                renamed.update(dict(ast.literal_eval(kwargs["conversions"])) if "conversions" in kwargs else {})
                values = ast.literal_eval(kwargs["value_conversions"]) if "value_conversions" in kwargs else {}
                self.table[node.targets[0].id] = (renamed, values)

    def of(self, definition):
        """(old name → new name or None, old name → {old value: new value}) for a Keras 2 class."""
        return next((self.table[d] for d in definition.decorators if d in self.table), ({}, {}))


def read_all(folder):
    folder.mkdir(parents=True, exist_ok=True)
    return [Version(v, source_tree(v, folder)) for v in VERSIONS]


def current():
    """The installed version, read in the same way."""
    import keras

    return Version(keras.__version__, Path(keras.__file__).parent)
