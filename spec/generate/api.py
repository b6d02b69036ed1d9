"""Keras as data: spec/api/NAMESPACE.json, one per namespace (format: spec/api/README.md)."""

import builtins
import importlib
import inspect
import itertools
import json
import math
import operator
import os
import sys
from pathlib import Path
from unittest import mock

import keras
import numpy as np
from keras.src.backend.common import global_state
from keras.src.backend.common import variables as keras_variables

import api_probes as probes
import old_keras
import vectors
from model_case import same_bytes
from old_keras import NAMESPACES

API = Path(__file__).resolve().parent.parent / "api"
SOURCES = Path(os.environ.get("KERAS_SOURCES", Path(sys.prefix) / "keras-sources"))
MODULES = {"schedules": keras.optimizers.schedules} | {n: getattr(keras, n) for n in NAMESPACES if n != "schedules"}
# Renamed after Keras 1, where no table in Keras says so: (class or None for all of the namespace, old name) → new name.
RENAMED = {
    ("layers", "LeakyReLU", "alpha"): "negative_slope",
    ("layers", "InputLayer", "batch_input_shape"): "batch_shape",
    ("layers", "InputLayer", "input_shape"): "shape",
    ("layers", "InputLayer", "input_dtype"): "dtype",
    ("optimizers", None, "lr"): "learning_rate",
    ("constraints", "MaxNorm", "m"): "max_value",
    ("constraints", "MinMaxNorm", "low"): "min_value",
    ("constraints", "MinMaxNorm", "high"): "max_value",
    ("callbacks", "ReduceLROnPlateau", "epsilon"): "min_delta",
}


def fresh(make):
    """What `make` makes, with names and ids counted anew."""
    global_state.clear_session(free_memory=False)
    # RandomCrop draws a seed as it is made.
    keras.utils.set_random_seed(1)
    with same_bytes():
        return make()


def plain(value):
    """Arguments as JSON, objects in Keras's form."""
    if hasattr(value, "get_config"):
        return vectors.serialize(value)
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return {k: plain(v) for k, v in value.items()} if isinstance(value, dict) else value


# Arguments.


def arguments(obj):
    """The arguments of a function, or of a class's constructor."""
    try:
        parameters = list(inspect.signature(obj).parameters.values())
    except ValueError:
        return []
    kinds = {"VAR_POSITIONAL": "args", "KEYWORD_ONLY": "keyword", "VAR_KEYWORD": "kwargs", "POSITIONAL_ONLY": "positional"}
    out = []
    for p in parameters:
        entry = {"name": p.name}
        if p.kind.name in kinds:
            entry["kind"] = kinds[p.kind.name]
        if p.default is not p.empty:
            entry |= default_of(p.default)
        out.append(entry)
    return out


def default_of(value):
    if isinstance(value, float) and not math.isfinite(value):
        return {"default_code": str(value)}
    if value is None or isinstance(value, (bool, int, float, str)):
        return {"default": value}
    if isinstance(value, (list, tuple)) and all("default" in default_of(v) for v in value):
        return {"default": list(value)}
    if isinstance(value, type) and value in vars(builtins).values():
        return {"default_code": value.__name__}
    return {"default_code": getattr(value, "__name__", type(value).__name__)}


# Earlier versions.


class History:
    """When names and arguments came and went."""

    def __init__(self):
        self.versions = [*old_keras.read_all(SOURCES), old_keras.current()]
        self.by_name = {v.version: v for v in self.versions}
        self.conversions = old_keras.Conversions(self.by_name["2.3.1"])

    def find(self, version, namespace, names):
        """The definition under one of `names` in a version."""
        table = self.by_name[version].names[namespace]
        return next((table[n] for n in names if n in table), None)

    def old_names(self, namespace, names):
        """`names`, and the class of Keras 1 that has one of them."""
        out = list(names)
        for version in ("1.2.2", "2.3.1"):
            definition = self.find(version, namespace, names)
            if definition:
                table = self.by_name[version].names[namespace]
                out += [n for n, d in table.items() if d is definition and n not in out]
        return out

    def renamed(self, namespace, name, definition, now):
        """(old → new, old → {old value: new value}) for arguments of a definition that `now` does not have."""
        two = self.find("2.3.1", namespace, [name])
        names, values = self.conversions.of(two) if two else ({}, {})
        pairs = {}
        for argument in (a["name"] for a in definition.args):
            default = RENAMED.get((namespace, name, argument), RENAMED.get((namespace, None, argument), argument))
            new = names.get(argument, default)
            if argument not in now and new != argument:
                pairs[argument] = new
        return pairs, {k: v for k, v in values.items() if k in pairs}

    def describe(self, namespace, name, exports, args):
        """`since`, `keras1`, `keras2`, and `since` of arguments; an argument's old names count."""
        names = self.old_names(namespace, [name, *exports])
        found = [(v.version, self.find(v.version, namespace, names)) for v in self.versions]
        present = [(v, d) for v, d in found if d]
        since = present[0][0] if present else self.versions[-1].version
        out = {"since": since}
        now = {a["name"] for a in args}
        seen = {}
        for version, definition in present:
            pairs, _ = self.renamed(namespace, name, definition, now)
            for a in definition.args:
                for new in str(pairs.get(a["name"], a["name"])).replace(",", " ").split():
                    seen.setdefault(new.split("[")[0], version)
        for a in args:
            first = seen.get(a["name"], self.versions[-1].version)
            if first != since and "kind" not in a:
                a["since"] = first
        for key, choices in [("keras1", ["1.2.2"]), ("keras2", ["2.3.1", "2.15.0"])]:
            version, definition = next(((v, d) for v, d in present if v in choices), (None, None))
            if definition is None:
                continue
            entry = {"version": version}
            if definition.name != name:
                entry["name"] = definition.name
            strip = [{k: v for k, v in a.items() if k != "since"} for a in args]
            if json.dumps(definition.args) != json.dumps(strip):
                entry["args"] = definition.args
            pairs, values = self.renamed(namespace, name, definition, now)
            if pairs:
                entry["renamed"] = pairs
            if values:
                entry["values"] = values
            out[key] = entry
        return out

    def removed(self, namespace, current):
        """What earlier versions had and 3.15.1 has not."""
        out = {}
        for v in self.versions[:-1]:
            for name, d in v.names[namespace].items():
                if name not in current:
                    out.setdefault(name, []).append((v.version, d))
        entries = {}
        for name, found in sorted(out.items()):
            # In old modules nothing but a name without an underscore says what was public.
            if found[-1][0] in ("1.2.2", "2.0.9", "2.3.1") and (namespace in ("utils", "models") or found[-1][1].kind == "function" and namespace == "layers"
                                          and name not in ("merge", "AtrousConvolution1D", "AtrousConvolution2D")):  # fmt: skip
                continue
            version, d = found[-1]
            entry = {"kind": d.kind, "since": found[0][0], "until": version}
            successor = next((n for n in self.old_names(namespace, [name]) if n in current), None)
            if successor:
                entry["now"] = current[successor]
            elif name != d.name:
                entry["alias_of"] = d.name
            if name == d.name and not successor:
                entry["args"] = d.args
            entries[name] = entry
        return entries


# Weights.

OPERATIONS = [("*", operator.mul), ("/", lambda a, b: a // b if b and a % b == 0 else -1), ("+", operator.add)]


def variables(kwargs, shapes):
    """Numbers of one round that a formula may name."""
    found = {}

    def walk(path, value):
        if isinstance(value, dict):
            config = value.get("config", value) if "class_name" in value else value
            for key, inner in config.items():
                walk(f"{path}.{key}" if path else key, inner)
        elif isinstance(value, list):
            for i, inner in enumerate(value):
                walk(f"{path}[{i}]", inner)
        elif isinstance(value, int) and not isinstance(value, bool):
            found[path] = value

    walk("", plain(kwargs))
    for i, shape in enumerate(shapes):
        prefix = "input" if len(shapes) == 1 else f"input{i}"
        found[f"{prefix}[-1]"] = shape[-1]
        for axis in range(1, len(shape) - 1):
            found[f"{prefix}[{axis}]"] = shape[axis]
    return found


def formula(values, rounds):
    """The shortest expression in the variables of `rounds` that gives `values`; a number where they are all the same."""
    if len(set(values)) == 1:
        return values[0]
    names = [n for n in rounds[0] if len({r[n] for r in rounds}) > 1]
    table = {n: [r[n] for r in rounds] for n in names}
    simple = [(n, v) for n, v in table.items()]
    simple += [(f"{c}*{n}", [c * x for x in v]) for c in range(2, 9) for n, v in table.items()]
    simple += [(f"{n}+{c}", [x + c for x in v]) for c in (-2, -1, 1, 2) for n, v in table.items()]
    for text, v in simple:
        if v == values:
            return text.replace("+-", "-")
    pairs = []
    for (a, x), (sign, op), (b, y) in itertools.product(simple[: 8 * len(names)], OPERATIONS, table.items()):
        pair = [op(i, j) for i, j in zip(x, y)]
        if pair == values:
            return f"{a}{sign}{b}"
        if sign == "*":
            pairs.append((f"{a}{sign}{b}", pair))
    for (a, x), (sign, op), (b, y) in itertools.product(pairs, OPERATIONS[:2], table.items()):
        if [op(i, j) for i, j in zip(x, y)] == values:
            return f"{a}{sign}{b}"
    return None


def built(cls, kwargs, shapes):
    """[(path below the layer, shape, trainable, dtype)] of the weights of a new layer, and its seed generators' number."""
    shapes = [tuple(s) for s in shapes]
    # In a stateless scope variables get their values when it ends; here they never need any.
    with mock.patch.object(keras_variables, "initialize_all_variables"), keras.StatelessScope():
        layer = cls(**kwargs)
        try:
            layer.build(*shapes)
        except TypeError:
            layer.build(shapes)
    weights = [(w.path.removeprefix(f"{layer.name}/"), tuple(w.shape), bool(w.trainable), str(w.dtype)) for w in layer.weights]
    seeds = sum("seed_generator_state" in v.path for v in layer.variables)
    return weights, seeds


def weights_of(cls, make, extra):
    """The weights with their shapes as formulas, over several rounds; None where a round cannot be built."""
    rounds, all_weights = [], []
    for i in range(5 if cls.__name__ in probes.PROBES else 1):
        try:
            kwargs, shapes = fresh(lambda: make(probes.Sizes(i)))
            weights, _ = built(cls, kwargs | extra, shapes)
        except Exception as e:  # noqa: BLE001: any refusal means that these arguments do not go together
            return None, str(e)
        rounds.append(variables(kwargs | extra, shapes))
        all_weights.append(weights)
    out = []
    for column in zip(*all_weights, strict=True):
        path, _, trainable, dtype = column[0]
        shape = [formula([int(w[1][axis]) for w in column], rounds) for axis in range(len(column[0][1]))]
        if None in shape:
            print(f"{cls.__name__}: no formula for {path} {[w[1] for w in column]}")
        entry = {"path": path, "shape": shape, "trainable": trainable}
        out.append(entry if dtype == "float32" else entry | {"dtype": dtype})
    return out, None


def layer_entry(cls, parameters):
    """Probes, weights, their variants and the number of seed generators of a layer."""
    name = cls.__name__
    make = probes.PROBES.get(name) or (lambda s: (probes.required("layers", cls, parameters), probes.weightless_shapes(cls)))
    weights, refusal = weights_of(cls, make, {})
    if weights is None:
        print(f"{name}: not built: {refusal.splitlines()[0][:100]}")
        return {}
    rounds = [fresh(lambda i=i: make(probes.Sizes(i))) for i in range(2 if weights else 1)]
    entry = {"probes": [{"args": plain(kwargs), "inputs": shapes} for kwargs, shapes in rounds], "weights": weights}
    variants = []
    options = [{p.name: not p.default} for p in parameters if isinstance(p.default, bool)]
    options += [{"data_format": "channels_first"}] if any(p.name == "data_format" for p in parameters) else []
    for extra in (options if weights else []) + probes.VARIANTS.get(name, []):
        different, _ = weights_of(cls, make, extra)
        if different is not None and different != weights:
            variants.append({"args": extra, "weights": different})
    if variants:
        entry["variants"] = variants
    seeds = fresh(lambda: built(cls, *make(probes.Sizes(0)))[1])
    return entry | ({"seeds": seeds} if seeds else {})


def state_of(namespace, obj):
    """The variables of a metric or optimizer: names, and shapes, that of the variable being `variable`."""
    if namespace == "optimizers":
        variable = keras.Variable(np.ones((3, 5), "float32"), name="w")
        obj.build([variable])
        shape = lambda v: "variable" if tuple(v.shape) == (3, 5) else list(v.shape)  # noqa: E731
    else:
        shape = lambda v: list(v.shape)  # noqa: E731
    return [{"name": v.name, "shape": shape(v)} for v in obj.variables]


# Entries.


def identifiers(namespace):
    """What every string that `get` of a namespace accepts stands for: {string: object}."""
    module = MODULES[namespace]
    if not hasattr(module, "get"):
        return {}
    source = importlib.import_module(f"keras.src.{namespace}")
    names = set(getattr(source, "ALL_OBJECTS_DICT", {})) | {n for n in dir(module) if not n.startswith("_")}
    names |= {n.lower() for n in names}
    out = {}
    for name in sorted(names):
        try:
            out[name] = module.get(name)
        except Exception:  # noqa: BLE001: it is not accepted
            continue
    return out


def serialized(cls, kwargs):
    return plain(kwargs), vectors.serialize(cls(**kwargs))


def class_entry(namespace, cls, history, names):
    parameters = list(inspect.signature(cls).parameters.values())
    args = arguments(cls)
    entry = {"args": args}
    entry |= history.describe(namespace, cls.__name__, names, args)
    if namespace in ("callbacks", "models", "saving", "utils") or cls.__name__ in probes.WITHOUT_INSTANCE:
        return entry
    try:
        given, made = fresh(lambda: serialized(cls, probes.required(namespace, cls, parameters)))
    except Exception as e:  # noqa: BLE001: abstract classes, and those of other frameworks
        print(f"{namespace}.{cls.__name__}: no instance: {str(e).splitlines()[0][:100]}")
        return entry
    if given:
        entry["required"] = given
    entry["object"] = made
    if namespace == "layers":
        entry |= layer_entry(cls, parameters)
    elif namespace in ("metrics", "optimizers"):
        try:
            entry["state"] = fresh(lambda: state_of(namespace, instance(namespace, cls)))
        except Exception as e:  # noqa: BLE001: it has its state later, or is abstract
            print(f"{namespace}.{cls.__name__}: no state: {str(e).splitlines()[0][:100]}")
    return entry


def namespace_entries(namespace, history):
    current = history.versions[-1].names[namespace]
    groups = {}
    for name, definition in current.items():
        groups.setdefault(id(definition), (definition, []))[1].append(name)
    accepted = fresh(lambda: identifiers(namespace))
    classes, functions, canonical = {}, {}, {}
    for definition, names in groups.values():
        names.sort(key=lambda n: (n != definition.name, "." in n, n))
        obj = MODULES[namespace]
        for part in names[0].split("."):
            obj = getattr(obj, part)
        canonical |= dict.fromkeys(names, names[0])
        exported = sorted(f"keras.{'optimizers.' if namespace == 'schedules' else ''}{namespace}.{n}" for n in names[1:])
        if inspect.isclass(obj):
            entry = class_entry(namespace, obj, history, names[1:])
            strings = sorted(s for s, o in accepted.items() if type(o) is obj or o is obj)
            if namespace == "losses" and hasattr(instance(namespace, obj), "fn"):
                entry["function"] = instance(namespace, obj).fn.__name__
            target = classes
        else:
            args = arguments(obj)
            entry = {"args": args} | history.describe(namespace, names[0], names[1:], args)
            strings = sorted(s for s, o in accepted.items() if o is obj)
            target = functions
        if exported:
            entry["exports"] = exported
        if strings:
            entry["identifiers"] = strings
        target[names[0]] = entry
    return classes, functions, history.removed(namespace, canonical)


def instance(namespace, cls):
    """The default instance of a class; None where there is none."""
    parameters = list(inspect.signature(cls).parameters.values())
    try:
        return fresh(lambda: cls(**probes.required(namespace, cls, parameters)))
    except (TypeError, ValueError):
        return None


def main():
    history = History()
    API.mkdir(exist_ok=True)
    total = 0
    for namespace in sys.argv[1:] or NAMESPACES:
        classes, functions, removed = namespace_entries(namespace, history)
        parts = []
        for key, entries in [("classes", classes), ("functions", functions), ("removed", removed)]:
            lines = [f"{json.dumps(n)}:{json.dumps(e, separators=(',', ':'))}" for n, e in sorted(entries.items())]
            parts.append(f"{json.dumps(key)}:{{\n" + ",\n".join(lines) + "\n}")
        examined = json.dumps([v.version for v in history.versions], separators=(",", ":"))
        text = f'{{"format":1,"source":"keras {keras.__version__}","examined":{examined},\n' + ",\n".join(parts) + "}\n"
        json.loads(text)
        (API / f"{namespace}.json").write_text(text, encoding="utf-8")
        total += len(text)
        print(f"{namespace}: {len(classes)} classes, {len(functions)} functions, {len(removed)} removed, {len(text)} bytes")
    print(f"{total} bytes")


if __name__ == "__main__":
    main()
