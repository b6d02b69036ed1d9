//! The registry against Keras's API as data, `spec/api`: defaults and configurations, identifiers, arguments, weights.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use keras::activations::Activation;
use keras_spec::layer::reset_names;
use keras_spec::object::{Family, Serialized, make, registered};
use keras_spec::random::set_random_seed;
use keras_spec::{
    Constraint, DType, Device, Initializer, Layer, LayerRef, LearningRateSchedule, Loss, Metric, Optimizer,
    PartialShape, Regularizer, Tensor, Variable,
};
use serde_json::{Value, json};

/// Arguments of constructors that no configuration holds, in Keras neither: they cannot come from a file.
const NOT_IN_CONFIGS: &[(&str, &str)] = &[
    ("Bidirectional", "weights"),
    ("Embedding", "weights"),
    ("GRU", "use_cudnn"),
    ("InputLayer", "shape"),
    ("InputLayer", "batch_size"),
    ("InputLayer", "input_tensor"),
    ("LSTM", "use_cudnn"),
    ("SimpleRNN", "seed"),
];

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn api(namespace: &str) -> Value {
    let path = repository().join(format!("spec/api/{namespace}.json"));
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn entries<'a>(api: &'a Value, kind: &str) -> impl Iterator<Item = (&'a str, &'a Value)> {
    api[kind].as_object().unwrap().iter().map(|(name, entry)| (name.as_str(), entry))
}

fn list<'a>(entry: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    entry.get(key).and_then(Value::as_array).into_iter().flatten()
}

/// Names are counted in one place for the whole process.
fn names_from_the_start() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    let guard = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    reset_names();
    guard
}

/// JSON with sorted keys, to compare byte for byte: `0` and `0.0` differ.
fn sorted(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let sorted: BTreeMap<_, _> = map.iter().map(|(k, v)| (k, sorted(v))).collect();
            format!("{{{}}}", sorted.iter().map(|(k, v)| format!("{k:?}:{v}")).collect::<Vec<_>>().join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(sorted).collect::<Vec<_>>().join(",")),
        other => other.to_string(),
    }
}

fn with(base: &Value, more: &Value) -> Value {
    let mut out = base.as_object().cloned().unwrap_or_default();
    out.extend(more.as_object().cloned().unwrap_or_default());
    Value::Object(out)
}

/// What a class of a family makes of constructor arguments, written back.
type Write = fn(&Value) -> keras_spec::Result<Value>;

fn write<T: Family + ?Sized>(form: &Value) -> keras_spec::Result<Value> {
    Ok(Serialized::of(&*make::<T>(form)?)?.to_value())
}

fn write_layer(form: &Value) -> keras_spec::Result<Value> {
    Ok(LayerRef::from_value(form)?.serialize()?.to_value())
}

/// Compares the classes of a namespace that the family `T` has: returns how many, and all differences.
fn differences<T: Family + ?Sized>(namespace: &str, write: Write) -> (usize, Vec<String>) {
    let _names = names_from_the_start();
    differences_from::<T>(namespace, &api(namespace), write)
}

fn differences_from<T: Family + ?Sized>(namespace: &str, api: &Value, write: Write) -> (usize, Vec<String>) {
    let known: Vec<&str> =
        registered::<T>().iter().filter(|e| e.class.built_in).map(|e| e.class.name).collect();
    let mut found = Vec::new();
    let mut checked = 0;
    for (name, entry) in entries(api, "classes") {
        let Some(class) = entry["object"]["class_name"].as_str().filter(|c| known.contains(c)) else {
            continue;
        };
        checked += 1;
        let form = |config: Value| json!({ "class_name": class, "config": config });
        let object = |config: Value| {
            reset_names();
            // RandomCrop draws the seed that it writes.
            set_random_seed(1);
            write(&form(config)).map_or_else(|e| e.to_string(), |v| sorted(&v))
        };
        let expected = entry["object"].clone();
        let expected = sorted(&expected);
        let required = entry.get("required").cloned().unwrap_or_else(|| json!({}));
        let default = object(required.clone());
        if default != expected {
            found.push(format!("{name}: {default}\n  where Keras has {expected}"));
            continue;
        }
        for argument in list(entry, "args") {
            let (key, Some(value)) = (argument["name"].as_str().unwrap(), argument.get("default")) else {
                continue;
            };
            if required.get(key).is_some() || NOT_IN_CONFIGS.contains(&(name, key)) {
                continue;
            }
            // `None` that the constructor replaces by something never gets into a file.
            if value.is_null() && !entry["object"]["config"][key].is_null() {
                continue;
            }
            let explicit = object(with(&required, &json!({ key: value })));
            if explicit != expected {
                found.push(format!("{name}({key}={value}): {explicit}"));
            }
        }
        // Losses, metrics and optimizers share arguments by flattening, which serde cannot combine with refusing others.
        let unknown = form(with(&required, &json!({ "no_such_argument": 1 })));
        if namespace == "layers" && write(&unknown).is_ok() {
            found.push(format!("{name}: takes an argument that there is not"));
        }
        let exports = list(entry, "exports").filter_map(|e| e.as_str()?.rsplit('.').next());
        let identifiers = list(entry, "identifiers").filter_map(Value::as_str);
        for identifier in exports.chain(identifiers) {
            match make::<T>(&json!({ "class_name": identifier, "config": required })) {
                Ok(made) if made.class().name == class => {}
                Ok(made) => found.push(format!("{identifier:?} is {} instead of {name}", made.class().name)),
                Err(e) => found.push(format!("{identifier:?} should be {name}: {e}")),
            }
        }
    }
    (checked, found)
}

fn assert_same((checked, differences): (usize, Vec<String>), classes: usize) {
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
    assert_eq!(checked, classes, "classes compared");
}

/// Whatever is changed in the entry of a class, the comparison finds it.
#[test]
fn a_change_of_the_api_is_found() {
    let _names = names_from_the_start();
    let dense = api("layers")["classes"]["Dense"].clone();
    let found = |entry: &Value| {
        let api = json!({ "classes": { "Dense": entry } });
        !differences_from::<dyn Layer>("layers", &api, write_layer).1.is_empty()
    };
    assert!(!found(&dense));
    for key in dense["object"]["config"].as_object().unwrap().keys() {
        let mut entry = dense.clone();
        entry["object"]["config"][key] = json!("changed");
        assert!(found(&entry), "config: {key} changed");
        entry["object"]["config"].as_object_mut().unwrap().remove(key);
        assert!(found(&entry), "config: {key} missing");
    }
    for (i, argument) in list(&dense, "args").enumerate().filter(|(_, a)| a.get("default").is_some()) {
        let mut entry = dense.clone();
        entry["args"][i]["default"] = match &argument["default"] {
            Value::Bool(b) => json!(!b),
            _ => json!({ "class_name": "changed", "config": {} }),
        };
        assert!(found(&entry), "default of {argument}");
        entry = dense.clone();
        entry["args"][i]["name"] = json!("no_such_argument");
        assert!(found(&entry), "name of {argument}");
    }
    let mut entry = dense.clone();
    entry["object"]["config"]["units"] = json!(4.0);
    assert!(found(&entry), "a float for an integer");
    entry = dense.clone();
    entry["exports"] = json!(["keras.layers.NoSuchName"]);
    assert!(found(&entry), "exports");
}

#[test]
fn layers_are_keras_layers() {
    assert_same(differences::<dyn Layer>("layers", write_layer), 134);
}

#[test]
fn losses_are_keras_losses() {
    assert_same(differences::<dyn Loss>("losses", write::<dyn Loss>), 22);
}

#[test]
fn metrics_are_keras_metrics() {
    assert_same(differences::<dyn Metric>("metrics", write::<dyn Metric>), 44);
}

#[test]
fn optimizers_are_keras_optimizers() {
    assert_same(differences::<dyn Optimizer>("optimizers", write::<dyn Optimizer>), 15);
    let write = write::<dyn LearningRateSchedule>;
    assert_same(differences::<dyn LearningRateSchedule>("schedules", write), 6);
}

#[test]
fn initializers_regularizers_and_constraints_are_keras_own() {
    assert_same(differences::<dyn Initializer>("initializers", write::<dyn Initializer>), 15);
    assert_same(differences::<dyn Regularizer>("regularizers", write::<dyn Regularizer>), 4);
    assert_same(differences::<dyn Constraint>("constraints", write::<dyn Constraint>), 4);
}

#[test]
fn functions_are_found_by_their_identifiers() {
    let api = api("losses");
    let mut checked = 0;
    for (_, entry) in entries(&api, "classes") {
        let Some(class) = entry["object"]["class_name"].as_str() else { continue };
        let function = &api["functions"][entry["function"].as_str().unwrap_or_default()];
        if !registered::<dyn Loss>().iter().any(|e| e.class.name == class) {
            continue;
        }
        for identifier in list(function, "identifiers").filter_map(Value::as_str) {
            let loss = keras::losses::get(identifier).unwrap();
            assert_eq!(loss.class().name, class, "{identifier}");
            checked += 1;
        }
    }
    assert!(checked > 25, "only {checked} identifiers of losses");
}

#[test]
fn activations_are_found_by_their_identifiers() {
    for (name, entry) in entries(&api("activations"), "functions") {
        // What has further arguments without defaults cannot be a layer's activation.
        if list(entry, "args").skip(1).any(|a| a.get("default").is_none()) {
            continue;
        }
        for identifier in list(entry, "identifiers").filter_map(Value::as_str) {
            assert_eq!(Activation::try_from(identifier).unwrap().name(), name, "{identifier}");
        }
    }
}

/// The variable of a formula: `units`, `kernel_size[0]`, `layer.units`, `input[-1]`, `input1[2]`.
fn variable(name: &str, args: &Value, inputs: &[Vec<i64>]) -> i64 {
    let (path, index) = match name.split_once('[') {
        Some((path, index)) if !index.contains('.') => {
            (path, index.trim_end_matches(']').parse::<i64>().ok())
        }
        _ => (name, None),
    };
    if let (Some(input), Some(axis)) = (path.strip_prefix("input"), index) {
        let shape = &inputs[input.parse::<usize>().unwrap_or(0)];
        return shape[usize::try_from(axis).unwrap_or(shape.len() - 1)];
    }
    let mut value = args;
    for part in path.split('.') {
        let (key, item) = part.split_once('[').unwrap_or((part, ""));
        value = value.get("config").unwrap_or(value);
        value = &value[key];
        if let Ok(i) = item.trim_end_matches(']').parse::<usize>() {
            value = &value[i];
        }
    }
    match index {
        Some(i) => value[i as usize].as_i64(),
        None => value.as_i64(),
    }
    .unwrap_or_else(|| panic!("`{name}` is not in {args}"))
}

/// The value of a dimension: a number or a formula, read from left to right.
fn dimension(formula: &Value, args: &Value, inputs: &[Vec<i64>]) -> usize {
    let Some(text) = formula.as_str() else { return formula.as_u64().unwrap() as usize };
    let mut value = 1;
    let mut operator = '*';
    let mut rest = text;
    while !rest.is_empty() {
        // A minus within brackets belongs to an index.
        let mut depth = 0;
        let end = rest.char_indices().find(|&(_, c)| {
            depth += i32::from(c == '[') - i32::from(c == ']');
            depth == 0 && "*/+-".contains(c)
        });
        let term = &rest[..end.map_or(rest.len(), |(i, _)| i)];
        let n = term.parse().unwrap_or_else(|_| variable(term, args, inputs));
        value = match operator {
            '*' => value * n,
            '/' => value / n,
            '+' => value + n,
            _ => value - n,
        };
        (operator, rest) = end.map_or(('*', ""), |(i, c)| (c, &rest[i + 1..]));
    }
    usize::try_from(value).unwrap()
}

#[test]
fn weights_of_layers_are_keras_weights() {
    let _names = names_from_the_start();
    let api = api("layers");
    let mut compared = 0;
    for (name, entry) in entries(&api, "classes") {
        let class = entry["object"]["class_name"].as_str().unwrap_or_default();
        if !registered::<dyn Layer>().iter().any(|e| e.class.built_in && e.class.name == class) {
            continue;
        }
        let default =
            json!({ "args": {}, "weights": entry.get("weights").cloned().unwrap_or_else(|| json!([])) });
        let variants: Vec<&Value> = std::iter::once(&default).chain(list(entry, "variants")).collect();
        for (probe, variant) in list(entry, "probes").flat_map(|p| variants.iter().map(move |v| (p, *v))) {
            let args = with(&probe["args"], &variant["args"]);
            let place = format!("{name}({args}) of {}", probe["inputs"]);
            if args.get("renorm") == Some(&json!(true)) {
                continue;
            }
            let inputs: Vec<Vec<i64>> = serde_json::from_value(probe["inputs"].clone()).unwrap();
            reset_names();
            let layer = LayerRef::from_value(&json!({ "class_name": class, "config": args }));
            let layer = layer.unwrap_or_else(|e| panic!("{place}: {e}"));
            let shapes: Vec<PartialShape> =
                inputs.iter().map(|s| s.iter().map(|&d| Some(d as usize)).collect()).collect();
            layer.build(&shapes).unwrap_or_else(|e| panic!("{place}: {e}"));
            let prefix = format!("{}/", layer.name());
            let describe = |v: &Variable| {
                let path = v.path().strip_prefix(&prefix).unwrap_or(v.path()).to_owned();
                (path, v.shape().dims().to_vec(), v.trainable(), v.dtype())
            };
            let got: Vec<_> = layer.weights().iter().map(describe).collect();
            let expected: Vec<_> = list(variant, "weights")
                .map(|w| {
                    let shape = list(w, "shape").map(|d| dimension(d, &args, &inputs)).collect();
                    let dtype: DType = w["dtype"].as_str().unwrap_or("float32").parse().unwrap();
                    (w["path"].as_str().unwrap().to_owned(), shape, w["trainable"].as_bool().unwrap(), dtype)
                })
                .collect();
            assert_eq!(got, expected, "{place}");
            let seeds = entry.get("seeds").and_then(Value::as_u64).unwrap_or(0);
            assert_eq!(layer.seed_generators().len() as u64, seeds, "{place}: seed generators");
            compared += expected.len();
        }
    }
    assert!(compared > 100, "only {compared} weights");
}

#[test]
fn optimizers_keep_keras_state() {
    let _names = names_from_the_start();
    let device = Device::default_device().unwrap();
    let mut compared = 0;
    for (name, entry) in entries(&api("optimizers"), "classes") {
        let Ok(optimizer) = make::<dyn Optimizer>(&json!(name)) else { continue };
        let w = Variable::new("w", Tensor::full([3, 5], DType::F32, 1.0, &device).unwrap(), true);
        optimizer.build(&[w]).unwrap();
        let got: Vec<Value> = optimizer
            .variables()
            .iter()
            .map(|v| match v.shape().dims() {
                [3, 5] => json!({ "name": v.name(), "shape": "variable" }),
                dims => json!({ "name": v.name(), "shape": dims }),
            })
            .collect();
        assert_eq!(json!(got), entry["state"], "{name}");
        compared += got.len();
    }
    assert!(compared > 10);
}

#[test]
fn metrics_keep_keras_state() {
    let _names = names_from_the_start();
    let device = Device::default_device().unwrap();
    let batch = |shape: [usize; 2]| Tensor::full(shape, DType::F32, 1.0, &device).unwrap();
    let mut compared = 0;
    for (name, entry) in entries(&api("metrics"), "classes") {
        let form =
            json!({ "class_name": name, "config": entry.get("required").cloned().unwrap_or_default() });
        let Ok(metric) = make::<dyn Metric>(&form) else { continue };
        let y_pred = batch([4, 3]);
        // Some want indices of classes for targets.
        let updated = metric.update_state(&batch([4, 3]), &y_pred, None);
        updated.or_else(|_| metric.update_state(&batch([4, 1]), &y_pred, None)).unwrap();
        let describe = |v: &Variable| json!({ "name": v.name(), "shape": v.shape().dims() });
        let got: Vec<Value> = metric.variables().iter().map(describe).collect();
        // Some make state with the first batch only; the API as data has what there is before.
        let lazy = ["F1Score", "FBetaScore", "R2Score"].contains(&name);
        let known = if lazy { list(entry, "state").count() } else { got.len() };
        assert_eq!(json!(got[..known]), entry["state"], "{name}");
        compared += got.len();
    }
    assert!(compared > 40, "only {compared} variables");
}

#[test]
fn what_is_missing_is_in_the_coverage_table() {
    let table = fs::read_to_string(repository().join("docs/src/coverage.md")).unwrap();
    for (namespace, known) in [
        ("layers", names_of::<dyn Layer>()),
        ("losses", names_of::<dyn Loss>()),
        ("metrics", names_of::<dyn Metric>()),
        ("optimizers", names_of::<dyn Optimizer>()),
        ("schedules", names_of::<dyn LearningRateSchedule>()),
        ("initializers", names_of::<dyn Initializer>()),
        ("regularizers", names_of::<dyn Regularizer>()),
        ("constraints", names_of::<dyn Constraint>()),
    ] {
        let section = table.split("\n## ").find(|s| s.starts_with(&format!("{namespace}\n"))).unwrap();
        let (there, missing) = section.split_once("\nMissing").unwrap_or((section, ""));
        for (name, entry) in entries(&api(namespace), "classes") {
            let class = entry["object"]["class_name"].as_str().unwrap_or(name);
            // Abstract classes are traits: they are there without being registered.
            let is_there = there.contains(&format!("| `{name}` |"));
            assert!(is_there || missing.contains(&format!("`{name}`")), "{namespace}: {name} is nowhere");
            assert!(is_there || !known.contains(&class), "{namespace}: {name} is said to be missing");
        }
    }
    // No registry has these; where the table names a Rust item for one, the compiler has found it.
    for namespace in ["callbacks", "models", "utils"] {
        let section = table.split("\n## ").find(|s| s.starts_with(&format!("{namespace}\n"))).unwrap();
        let (there, missing) = section.split_once("\nMissing").unwrap_or((section, ""));
        let api = api(namespace);
        for (name, _) in entries(&api, "classes").chain(entries(&api, "functions")) {
            let places = [there.contains(&format!("| `{name}` |")), missing.contains(&format!("`{name}`"))];
            assert!(places[0] != places[1], "{namespace}: {name} is nowhere, or there and missing");
        }
    }
}

fn names_of<T: Family + ?Sized>() -> Vec<&'static str> {
    registered::<T>().iter().filter(|e| e.class.built_in).map(|e| e.class.name).collect()
}
