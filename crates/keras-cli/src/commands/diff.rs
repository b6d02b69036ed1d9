//! `keras diff`

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

use keras::saving::json as python;
use keras_spec::HostTensor;
use keras_spec::layer::reset_names;
use serde_json::{Map, Value, json};

use crate::answer::{Answer, DIFFERENT, DIM, Failure, GOOD, Result, TITLE, short, table};
use crate::contents::{self, Contents, identity};
use crate::model::{Loaded, NewWeights, Reading, weights};

#[derive(Debug, clap::Args)]
pub(crate) struct Diff {
    a: PathBuf,
    b: PathBuf,
    /// How far weights may be apart
    #[arg(long, default_value_t = 0.0)]
    tolerance: f64,
    /// Compare what the files hold as it stands, without making models of it; happens by itself where a class is not
    /// known
    #[arg(long)]
    raw: bool,
    #[command(flatten)]
    reading: Reading,
}

/// Keys of configurations that say nothing of what a model computes, or count what was made before.
const IGNORED: [&str; 7] = [
    "shared_object_id",
    "keras_version",
    "backend",
    "build_config",
    "compile_config",
    "registered_name",
    "module",
];

/// Which side has something.
enum Difference {
    Architecture { path: String, a: Option<Value>, b: Option<Value> },
    Weight { name: String, a: Option<String>, b: Option<String>, largest: Option<f64> },
}

/// What is compared of a file.
struct Side {
    architecture: Option<Value>,
    /// `None` where the file has none.
    weights: Option<Vec<(String, HostTensor)>>,
}

impl Diff {
    pub(crate) fn run(self) -> Result<Answer> {
        self.reading.choose_backend()?;
        let (a, b, as_models) = self.sides()?;
        let mut differences = Vec::new();
        if let (Some(a), Some(b)) = (&a.architecture, &b.architecture) {
            compare_values("", Some(a), Some(b), &mut differences);
        }
        if let (Some(a), Some(b)) = (&a.weights, &b.weights) {
            self.compare_weights(a, b, &mut differences);
        }
        let mut answer = self.answer(&differences, as_models);
        let without = match (&a.weights, &b.weights) {
            (None, Some(_)) => Some(&self.a),
            (Some(_), None) => Some(&self.b),
            _ => None,
        };
        if let Some(path) = without {
            answer.text += &format!("{DIM}weights are not compared: {} has none{DIM:#}\n", path.display());
        }
        answer.json["weights_compared"] = (a.weights.is_some() && b.weights.is_some()).into();
        answer.code = if differences.is_empty() { 0 } else { DIFFERENT };
        Ok(answer)
    }

    /// Both files as models; as what they hold, where one cannot be a model.
    fn sides(&self) -> Result<(Side, Side, bool)> {
        if self.raw {
            return Ok((raw(&self.a)?, raw(&self.b)?, false));
        }
        let model = |path: &Path| {
            // Names that files do not say are the same in both.
            reset_names();
            side(&self.reading.open(path, false, NewWeights::Unused)?)
        };
        match (model(&self.a), model(&self.b)) {
            (Ok(a), Ok(b)) => Ok((a, b, true)),
            (a, b) => {
                let (raw_a, raw_b) = (contents::open(&self.a), contents::open(&self.b));
                match (raw_a, raw_b) {
                    // Files of one format can be compared as they stand.
                    (Ok(one), Ok(other)) if one.format == other.format => {
                        Ok((from_contents(one)?, from_contents(other)?, false))
                    }
                    _ => Ok((a?, b?, true)),
                }
            }
        }
    }

    fn compare_weights(
        &self,
        a: &[(String, HostTensor)],
        b: &[(String, HostTensor)],
        differences: &mut Vec<Difference>,
    ) {
        let in_a = places(a.iter().map(|(name, _)| &**name));
        let in_b = places(b.iter().map(|(name, _)| &**name));
        let same_names = in_a.keys().any(|name| in_b.contains_key(name));
        let describe = |array: &HostTensor| format!("{} {}", array.shape(), array.dtype());
        let mut add = |name: String, a: Option<&HostTensor>, b: Option<&HostTensor>| {
            let largest = match (a, b) {
                (Some(a), Some(b)) if a.shape() == b.shape() && a.dtype() == b.dtype() => {
                    Some(largest_difference(a, b)).filter(|d| *d > self.tolerance)
                }
                _ => Some(f64::NAN),
            };
            if let Some(largest) = largest {
                let (a, b) = (a.map(describe), b.map(describe));
                differences.push(Difference::Weight {
                    name,
                    a,
                    b,
                    largest: Some(largest).filter(|d| !d.is_nan()),
                });
            }
        };
        if same_names {
            for (name, array) in a {
                add(name.clone(), Some(array), in_b.get(name.as_str()).map(|i| &b[*i].1));
            }
            for (name, array) in b.iter().filter(|(name, _)| !in_a.contains_key(name.as_str())) {
                add(name.clone(), None, Some(array));
            }
        } else {
            // Names have nothing in common: as where layers were numbered from another start.
            for i in 0..a.len().max(b.len()) {
                let name = a.get(i).or(b.get(i)).map(|(name, _)| name.clone()).unwrap_or_default();
                add(name, a.get(i).map(|w| &w.1), b.get(i).map(|w| &w.1));
            }
        }
    }

    fn answer(&self, differences: &[Difference], as_models: bool) -> Answer {
        let (mut architecture, mut arrays, mut list) = (Vec::new(), Vec::new(), Vec::new());
        let text = |value: &Option<Value>| value.as_ref().map_or_else(|| "—".to_owned(), python::to_string);
        let shape = |side: &Option<String>| side.clone().unwrap_or_else(|| "—".to_owned());
        for difference in differences {
            match difference {
                Difference::Architecture { path, a, b } => {
                    architecture.push(vec![path.clone(), text(a), text(b)]);
                    list.push(json!({ "architecture": path, "a": a, "b": b }));
                }
                Difference::Weight { name, a, b, largest } => {
                    arrays.push(vec![
                        name.clone(),
                        shape(a),
                        shape(b),
                        largest.map(short).unwrap_or_default(),
                    ]);
                    list.push(json!({ "weight": name, "a": a, "b": b, "largest_difference": largest }));
                }
            }
        }
        let (a, b) = (self.a.display().to_string(), self.b.display().to_string());
        let mut text = String::new();
        if !architecture.is_empty() {
            text += &format!("{TITLE}architecture{TITLE:#}\n{}", table(&["", &a, &b], &architecture));
        }
        if !arrays.is_empty() {
            text +=
                &format!("{TITLE}weights{TITLE:#}\n{}", table(&["", &a, &b, "largest difference"], &arrays));
        }
        if differences.is_empty() {
            text = format!("{GOOD}the same{GOOD:#}\n");
        }
        let compared = if as_models { "models" } else { "contents" };
        Answer::new(
            text,
            json!({
                "a": a, "b": b, "compared": compared, "same": differences.is_empty(), "differences": list,
            }),
        )
    }
}

fn side(loaded: &Loaded) -> Result<Side> {
    let text = loaded.model.to_json().map_err(Failure::compute)?;
    let architecture = python::parse(&text).map_err(Failure::compute)?;
    let weights = loaded.has_weights.then(|| weights(&loaded.model)).transpose()?;
    Ok(Side { architecture: Some(architecture), weights })
}

fn raw(path: &Path) -> Result<Side> {
    from_contents(contents::open(path)?)
}

fn from_contents(contents: Contents) -> Result<Side> {
    let read = || contents.arrays.iter().map(|a| Ok((a.path.clone(), a.read()?))).collect();
    let weights = contents.has_weights.then(read).transpose()?;
    Ok(Side { architecture: contents.model, weights })
}

/// The largest absolute difference; infinite where only one is NaN.
fn largest_difference(a: &HostTensor, b: &HostTensor) -> f64 {
    let difference = |(a, b): (f64, f64)| match () {
        () if a == b || a.is_nan() && b.is_nan() => 0.0,
        () if a.is_nan() || b.is_nan() => f64::INFINITY,
        () => (a - b).abs(),
    };
    a.to_f64_vec().into_iter().zip(b.to_f64_vec()).map(difference).fold(0.0, f64::max)
}

fn compare_values(path: &str, a: Option<&Value>, b: Option<&Value>, differences: &mut Vec<Difference>) {
    match (a, b) {
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            for key in keys(a, b) {
                let inner = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                compare_values(&inner, a.get(key), b.get(key), differences);
            }
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) => {
            compare_lists(path, &tensors(path, a), &tensors(path, b), differences);
        }
        (a, b) if a.is_some_and(|a| b.is_some_and(|b| equal(a, b))) => {}
        (a, b) => {
            let (a, b) = (a.cloned(), b.cloned());
            differences.push(Difference::Architecture { path: path.to_owned(), a, b });
        }
    }
}

/// The keys of both that count, those of `a` first.
fn keys<'a>(a: &'a Map<String, Value>, b: &'a Map<String, Value>) -> Vec<&'a String> {
    let all = a.keys().chain(b.keys().filter(|key| !a.contains_key(*key)));
    all.filter(|key| !IGNORED.contains(&key.as_str())).collect()
}

/// The inputs or outputs of a graph, which of a single one may be that or a list of it; any other list as it is.
fn tensors<'a>(path: &str, list: &'a [Value]) -> Cow<'a, [Value]> {
    let ends = path.ends_with("input_layers") || path.ends_with("output_layers");
    match list.first() {
        Some(Value::String(_)) if ends => Cow::Owned(vec![Value::Array(list.to_vec())]),
        _ => Cow::Borrowed(list),
    }
}

/// Layers go by their names, anything else by its place.
fn compare_lists(path: &str, a: &[Value], b: &[Value], differences: &mut Vec<Difference>) {
    let name = |value: &Value| {
        let (class, name) = identity(value);
        if class.is_empty() { String::new() } else { name }
    };
    let objects = a.iter().chain(b).all(Value::is_object);
    let names = |list: &[Value]| list.iter().filter(|_| objects).map(name).collect::<Vec<_>>();
    let (names_a, names_b) = (names(a), names(b));
    let (in_a, in_b) = (places(names_a.iter().map(|n| &**n)), places(names_b.iter().map(|n| &**n)));
    let named = |places: &HashMap<&str, usize>| !places.is_empty() && !places.contains_key("");
    if !named(&in_a) || !named(&in_b) || !in_a.keys().any(|n| in_b.contains_key(n)) {
        for i in 0..a.len().max(b.len()) {
            let (a, b) = (a.get(i), b.get(i));
            let number = a.is_some_and(Value::is_number);
            if !(number && a.zip(b).is_some_and(|(a, b)| equal(a, b))) {
                compare_values(&format!("{path}[{i}]"), a, b, differences);
            }
        }
        return;
    }
    // A layer that only one side has is enough to say; its whole configuration would not help.
    let brief = |list: &[Value], i: usize| Value::from(identity(&list[i]).0);
    for (i, name) in names_a.iter().enumerate() {
        let path = format!("{path}[{name}]");
        match in_b.get(&**name) {
            Some(j) => compare_values(&path, a.get(i), b.get(*j), differences),
            None => differences.push(Difference::Architecture { path, a: Some(brief(a, i)), b: None }),
        }
    }
    for (j, name) in names_b.iter().enumerate().filter(|(_, name)| !in_a.contains_key(&***name)) {
        let path = format!("{path}[{name}]");
        differences.push(Difference::Architecture { path, a: None, b: Some(brief(b, j)) });
    }
}

/// Where each name stands first.
fn places<'a>(
    names: impl DoubleEndedIterator<Item = &'a str> + ExactSizeIterator,
) -> HashMap<&'a str, usize> {
    names.enumerate().rev().map(|(place, name)| (name, place)).collect()
}

/// Equal values; `1` and `1.0` are.
fn equal(a: &Value, b: &Value) -> bool {
    match (python::to_f64(a), python::to_f64(b)) {
        (Some(a), Some(b)) => a == b || a.is_nan() && b.is_nan(),
        _ => a == b,
    }
}
