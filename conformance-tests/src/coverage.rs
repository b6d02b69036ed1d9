//! What of Keras's API there is: `docs/src/coverage.md`, made from `spec/api` and the registries.

mod items;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use keras_spec::object::{Family, registered};
use keras_spec::{
    Constraint, Initializer, Layer, LearningRateSchedule, Loss, Metric, Optimizer, Regularizer,
};
use serde::Deserialize;
use thiserror::Error;

use crate::kinds::op::class_in_graphs;

/// The namespaces of `spec/api`, in the order of the page.
const NAMESPACES: [&str; 15] = [
    "layers",
    "losses",
    "metrics",
    "optimizers",
    "schedules",
    "activations",
    "initializers",
    "regularizers",
    "constraints",
    "callbacks",
    "ops",
    "random",
    "utils",
    "models",
    "saving",
];

/// Why the page cannot be made, or is not up to date.
#[derive(Debug, Error)]
enum CoverageError {
    /// A file that cannot be read or written.
    #[error("{0}: {1}")]
    Io(PathBuf, std::io::Error),
    /// A file of the specification that is not in its format.
    #[error("{0}: {1}")]
    Json(PathBuf, serde_json::Error),
    /// The table of Rust items names what Keras does not have.
    #[error("`{0}` is no name of Keras")]
    Unknown(String),
    /// The page differs from what the specification and the registries say.
    #[error("{0} is out of date: run `cargo run -p conformance-tests -- coverage`")]
    Stale(PathBuf),
}

/// A file of `spec/api`, as far as it is needed here.
#[derive(Deserialize)]
struct Namespace {
    classes: BTreeMap<String, Entry>,
    functions: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
struct Entry {
    since: String,
    object: Option<Object>,
}

#[derive(Deserialize)]
struct Object {
    class_name: String,
}

/// What one namespace has and lacks, by Keras's name: the Rust item, or none where it is missing.
struct Part {
    namespace: &'static str,
    classes: BTreeMap<String, Option<String>>,
    functions: BTreeMap<String, Option<String>>,
    since: BTreeMap<String, String>,
}

/// The arguments of the command `coverage`.
#[derive(Args)]
pub(crate) struct Coverage {
    /// Only compares; exits with 1 if the page is out of date.
    #[arg(long)]
    check: bool,
}

impl Coverage {
    pub(crate) fn run(self) -> Result<ExitCode, String> {
        let done = if self.check { check() } else { write() };
        done.map(|()| ExitCode::SUCCESS).map_err(|e| e.to_string())
    }
}

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/src/coverage.md")
}

fn specification() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../spec/api")
}

fn write() -> Result<(), CoverageError> {
    let page = page(&specification())?;
    std::fs::write(path(), page).map_err(|e| CoverageError::Io(path(), e))
}

fn check() -> Result<(), CoverageError> {
    let old = std::fs::read_to_string(path()).map_err(|e| CoverageError::Io(path(), e))?;
    if old == page(&specification())? { Ok(()) } else { Err(CoverageError::Stale(path())) }
}

/// The page as Markdown.
fn page(api: &Path) -> Result<String, CoverageError> {
    let items = items::all();
    let parts = NAMESPACES.iter().map(|n| part(api, n, &items)).collect::<Result<Vec<_>, _>>()?;
    let unknown = items.iter().find(|(namespace, name, _)| {
        !parts.iter().any(|p| p.namespace == *namespace && p.since.contains_key(*name))
    });
    if let Some((namespace, name, _)) = unknown {
        return Err(CoverageError::Unknown(format!("{namespace}.{name}")));
    }
    let mut out = String::from(
        "# Coverage\n\n<!-- Made by `cargo run -p conformance-tests -- coverage`; changes by hand are lost. -->\n\n\
         What of the API of Keras 3.15.1 there is, from `spec/api` and what the crates register.\n\n\
         | namespace | classes | functions |\n|---|---|---|\n",
    );
    for p in &parts {
        let _ =
            writeln!(out, "| [{0}](#{0}) | {1} | {2} |", p.namespace, count(&p.classes), count(&p.functions));
    }
    for p in &parts {
        p.write(&mut out);
    }
    Ok(out)
}

fn count(names: &BTreeMap<String, Option<String>>) -> String {
    match names.len() {
        0 => "–".to_owned(),
        all => format!("{} of {all}", names.values().flatten().count()),
    }
}

fn part(
    api: &Path,
    namespace: &'static str,
    items: &[(&'static str, &'static str, String)],
) -> Result<Part, CoverageError> {
    let path = api.join(format!("{namespace}.json"));
    let text = std::fs::read_to_string(&path).map_err(|e| CoverageError::Io(path.clone(), e))?;
    let read: Namespace = serde_json::from_str(&text).map_err(|e| CoverageError::Json(path, e))?;
    let classes = registered_classes(namespace);
    let item = |name: &str| items.iter().find(|(n, k, _)| (*n, *k) == (namespace, name)).map(|i| i.2.clone());
    let in_graphs = |name: &str| {
        let class = class_in_graphs(name).filter(|_| namespace == "ops")?;
        Some(format!("keras::models::operation({class:?}, …)"))
    };
    let class = |(name, entry): (&String, &Entry)| {
        let file_name = entry.object.as_ref().map_or(name, |o| &o.class_name);
        let there =
            classes.contains(file_name.as_str()).then(|| format!("keras::{}::{name}", module(namespace)));
        (name.clone(), there.or_else(|| item(name)))
    };
    Ok(Part {
        namespace,
        classes: read.classes.iter().map(class).collect(),
        functions: read
            .functions
            .keys()
            .map(|name| (name.clone(), item(name).or_else(|| in_graphs(name))))
            .collect(),
        since: read.classes.into_iter().chain(read.functions).map(|(n, e)| (n, e.since)).collect(),
    })
}

fn module(namespace: &str) -> &str {
    if namespace == "schedules" { "optimizers::schedules" } else { namespace }
}

/// The classes of Keras that are registered for a namespace.
fn registered_classes(namespace: &str) -> BTreeSet<&'static str> {
    fn names<T: Family + ?Sized>() -> BTreeSet<&'static str> {
        registered::<T>().iter().filter(|e| e.class.built_in).map(|e| e.class.name).collect()
    }
    match namespace {
        "layers" => names::<dyn Layer>(),
        "losses" => names::<dyn Loss>(),
        "metrics" => names::<dyn Metric>(),
        "optimizers" => names::<dyn Optimizer>(),
        "schedules" => names::<dyn LearningRateSchedule>(),
        "initializers" => names::<dyn Initializer>(),
        "regularizers" => names::<dyn Regularizer>(),
        "constraints" => names::<dyn Constraint>(),
        _ => BTreeSet::new(),
    }
}

impl Part {
    fn write(&self, out: &mut String) {
        let _ = writeln!(out, "\n## {}", self.namespace);
        for (kind, names) in [("Classes", &self.classes), ("Functions", &self.functions)] {
            if names.values().any(Option::is_some) {
                let _ = writeln!(out, "\n| {kind} | in Keras since | here |\n|---|---|---|");
                for (name, item) in names.iter().filter_map(|(n, i)| Some((n, i.as_ref()?))) {
                    let _ = writeln!(out, "| `{name}` | {} | `{item}` |", self.since[name]);
                }
            }
        }
        for (kind, names) in [("classes", &self.classes), ("functions", &self.functions)] {
            let missing: Vec<String> =
                names.iter().filter(|(_, i)| i.is_none()).map(|(n, _)| format!("`{n}`")).collect();
            if !missing.is_empty() {
                let _ = writeln!(out, "\nMissing {kind}: {}.", missing.join(", "));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vectors::VectorFile;

    /// Other names of functions that have cases, functions that compute nothing, and slices, which the vectors of models have.
    const NO_CASES_OF_FUNCTIONS: [&str; 13] = [
        "abs",
        "amax",
        "amin",
        "bitwise_invert",
        "convert_to_numpy",
        "convert_to_tensor",
        "dtype",
        "full",
        "get_item",
        "ndim",
        "shape",
        "stop_gradient",
        "true_divide",
    ];

    /// What computes nothing by itself, or what Keras computes with a Python function.
    const NO_CASES_OF_CLASSES: [&str; 6] =
        ["GRUCell", "InputLayer", "LSTMCell", "Lambda", "SimpleRNNCell", "StackedRNNCells"];

    /// What Keras writes with a Python function.
    const NO_CONFIGS: [&str; 2] = ["Lambda", "MeanMetricWrapper"];

    #[derive(Deserialize)]
    struct Cases {
        #[serde(default)]
        cases: Vec<Named>,
    }

    #[derive(Deserialize)]
    struct Named {
        kind: String,
        op: Option<String>,
        class_name: Option<String>,
        object: Option<serde_json::Value>,
    }

    /// Kind and name of each case of the specification; an activation is a function.
    fn cases() -> BTreeSet<(String, String)> {
        let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../spec/vectors");
        let mut found = BTreeSet::new();
        for path in VectorFile::find(&vectors).unwrap() {
            let cases: Cases = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
            for case in cases.cases {
                let activation = case.object.as_ref().and_then(|o| o.as_str().map(str::to_owned));
                let kind = if activation.is_some() { "op".to_owned() } else { case.kind };
                found.extend(case.op.or(activation).or(case.class_name).map(|name| (kind, name)));
            }
        }
        found
    }

    #[test]
    fn the_functions_of_the_page_are_those_of_the_vectors() {
        let named = |namespace: &'static str| -> BTreeSet<String> {
            let part = part(&specification(), namespace, &items::all()).unwrap();
            part.functions.into_iter().filter_map(|(name, item)| item.map(|_| name)).collect()
        };
        let functions: BTreeSet<String> =
            cases().into_iter().filter(|(kind, _)| kind == "op").map(|(_, name)| name).collect();
        let (ops, activations) = (named("ops"), named("activations"));
        let untested: Vec<&String> = ops
            .iter()
            .filter(|name| !functions.contains(*name) && !NO_CASES_OF_FUNCTIONS.contains(&name.as_str()))
            .collect();
        let unnamed: Vec<&String> = functions
            .iter()
            .filter(|name| !name.contains('.') && !ops.contains(*name) && !activations.contains(*name))
            .collect();
        assert!(
            untested.is_empty() && unnamed.is_empty(),
            "without cases {untested:?}, not on the page {unnamed:?}"
        );
    }

    #[test]
    fn every_class_of_the_page_has_cases() {
        let cases = cases();
        let kinds = [
            ("layers", "layer"),
            ("losses", "loss"),
            ("metrics", "metric"),
            ("optimizers", "optimizer"),
            ("initializers", "initializer"),
            ("regularizers", "regularizer"),
            ("constraints", "constraint"),
        ];
        let mut missing = Vec::new();
        for (namespace, kind) in kinds {
            let api = part(&specification(), namespace, &[]).unwrap();
            for (name, _) in api.classes.into_iter().filter(|(_, item)| item.is_some()) {
                for (kind, none) in [(kind, &NO_CASES_OF_CLASSES[..]), ("config", &NO_CONFIGS[..])] {
                    if !none.contains(&name.as_str()) && !cases.contains(&(kind.to_owned(), name.clone())) {
                        missing.push(format!("{kind} {name}"));
                    }
                }
            }
        }
        assert!(missing.is_empty(), "{missing:?}");
    }

    #[test]
    fn the_page_is_up_to_date() {
        check().unwrap();
    }

    #[test]
    fn a_name_that_keras_lacks_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let empty = r#"{"classes": {}, "functions": {}}"#;
        for namespace in NAMESPACES {
            std::fs::write(folder.path().join(format!("{namespace}.json")), empty).unwrap();
        }
        assert!(matches!(page(folder.path()), Err(CoverageError::Unknown(_))));
        std::fs::write(folder.path().join("ops.json"), "{").unwrap();
        assert!(matches!(page(folder.path()), Err(CoverageError::Json(..))));
    }
}
