//! `keras inspect`

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use keras_spec::HostTensor;
use serde_json::{Value, json};

use crate::answer::{Answer, BAD, DIM, Failure, Result, TITLE, short};
use crate::contents::{self, Array, Contents, LayerEntry, identity};

#[derive(Debug, clap::Args)]
pub(crate) struct Inspect {
    /// Any file of Keras, or safetensors
    file: PathBuf,
    /// Do not read the weights, only what they are
    #[arg(long)]
    no_statistics: bool,
}

impl Inspect {
    pub(crate) fn run(self) -> Result<Answer> {
        let contents = contents::open(&self.file)?;
        let statistics: Vec<_> = match self.no_statistics {
            true => contents.arrays.iter().map(|_| None).collect(),
            false => {
                contents.arrays.iter().map(|a| Ok(Some(Statistics::of(&a.read()?)))).collect::<Result<_>>()?
            }
        };
        let bytes = size(&self.file)?;
        let text = text(&self.file, bytes, &contents, &statistics);
        Ok(Answer::new(text, to_json(&self.file, bytes, &contents, &statistics)))
    }
}

/// The bytes of a file, or of all files in a folder.
fn size(path: &Path) -> Result<u64> {
    let fail = |e| Failure::file(path, e);
    let metadata = std::fs::metadata(path).map_err(fail)?;
    if !metadata.is_dir() {
        return Ok(metadata.len());
    }
    let entries = std::fs::read_dir(path).map_err(fail)?;
    entries.map(|entry| size(&entry.map_err(fail)?.path())).sum()
}

/// What the numbers of an array are like; NaN and infinities are only counted.
struct Statistics {
    min: f64,
    max: f64,
    mean: f64,
    std: f64,
    nan: usize,
    infinite: usize,
}

impl Statistics {
    fn of(array: &HostTensor) -> Self {
        let values = array.to_f64_vec();
        let nan = values.iter().filter(|x| x.is_nan()).count();
        let infinite = values.iter().filter(|x| x.is_infinite()).count();
        let finite = || values.iter().copied().filter(|x| x.is_finite());
        let n = (values.len() - nan - infinite) as f64;
        let mean = finite().sum::<f64>() / n;
        let variance = finite().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n;
        Statistics {
            min: finite().fold(f64::NAN, f64::min),
            max: finite().fold(f64::NAN, f64::max),
            mean,
            std: variance.sqrt(),
            nan,
            infinite,
        }
    }

    fn text(&self) -> String {
        let mut out = format!(
            "{} … {}, mean {}, std {}",
            short(self.min),
            short(self.max),
            short(self.mean),
            short(self.std)
        );
        for (count, what) in [(self.nan, "NaN"), (self.infinite, "infinite")] {
            if count > 0 {
                out += &format!(", {BAD}{count} {what}{BAD:#}");
            }
        }
        out
    }

    fn to_json(&self) -> Value {
        json!({
            "min": self.min, "max": self.max, "mean": self.mean, "std": self.std,
            "nan": self.nan, "infinite": self.infinite,
        })
    }
}

fn text(path: &Path, bytes: u64, contents: &Contents, statistics: &[Option<Statistics>]) -> String {
    let mut out = format!("{TITLE}{}{TITLE:#}\n", path.display());
    let mut line = |name: &str, value: String| out += &format!("  {name:11} {value}\n");
    line("format", format!("{} ({})", contents.format, contents.reason));
    if let Some(origin) = &contents.origin {
        line("written by", origin.to_string());
    }
    if let Some(saved) = &contents.saved {
        line("saved", saved.clone());
    }
    line("size", format!("{bytes} bytes"));
    if let Some(model) = &contents.model {
        let (class, name) = identity(model);
        line("model", format!("{class} {name}").trim_end().to_owned());
        let compiled = contents.compiled.as_ref();
        line("compiled", compiled.map_or_else(|| "no".to_owned(), compile_options));
    }
    let layers = contents.layers();
    if !layers.is_empty() {
        out += &format!("{TITLE}layers{TITLE:#}\n");
        layer_lines(&layers, 1, &mut out);
    }
    if !contents.arrays.is_empty() {
        let elements: usize = contents.arrays.iter().map(Array::elements).sum();
        let arrays = contents.arrays.len();
        out += &format!("{TITLE}weights{TITLE:#} {arrays} arrays, {elements} numbers\n");
        let leaves: Vec<Leaf> = contents
            .arrays
            .iter()
            .zip(statistics)
            .map(|(a, s)| (a.path.split('/').collect(), leaf(a, s.as_ref())))
            .collect();
        tree(&leaves.iter().collect::<Vec<_>>(), 0, "", &mut out);
    }
    for why in &contents.unreadable {
        out += &format!("{BAD}unreadable{BAD:#} {why}\n");
    }
    out
}

fn leaf(array: &Array, statistics: Option<&Statistics>) -> String {
    let shape = keras_spec::Shape::from(&*array.shape);
    let numbers = statistics.map(|s| format!("  {DIM}{}{DIM:#}", s.text())).unwrap_or_default();
    format!("{shape} {}{numbers}", array.dtype)
}

fn layer_lines(layers: &[LayerEntry], depth: usize, out: &mut String) {
    for layer in layers {
        *out += &format!("{}{} ({})\n", "  ".repeat(depth), layer.name, layer.class);
        layer_lines(&layer.layers, depth + 1, out);
    }
}

/// An array: the parts of its path, and what is said of it.
type Leaf<'a> = (Vec<&'a str>, String);

/// Draws the arrays below a common path, of which the first `depth` parts are drawn.
fn tree(leaves: &[&Leaf], depth: usize, indent: &str, out: &mut String) {
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut branches: Vec<(&str, Vec<&Leaf>)> = Vec::new();
    for leaf in leaves {
        let Some(name) = leaf.0.get(depth) else { continue };
        let place = *places.entry(name).or_insert_with(|| {
            branches.push((name, Vec::new()));
            branches.len() - 1
        });
        branches[place].1.push(leaf);
    }
    for (i, (name, inside)) in branches.iter().enumerate() {
        let last = i + 1 == branches.len();
        let (branch, below) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        let own = inside.iter().find(|(p, _)| p.len() == depth + 1);
        let text = own.map(|(_, text)| format!("  {text}")).unwrap_or_default();
        *out += &format!("{indent}{branch}{name}{text}\n");
        tree(inside, depth + 1, &format!("{indent}{below}"), out);
    }
}

/// What a model was compiled with, on one line.
fn compile_options(config: &Value) -> String {
    let mut out = Vec::new();
    for (key, name) in [
        ("optimizer", "optimizer_config"),
        ("loss", "loss"),
        ("metrics", "metrics"),
        ("weighted_metrics", ""),
    ] {
        let value = config.get(key).or_else(|| config.get(name)).unwrap_or(&Value::Null);
        let text = object(value);
        if !text.is_empty() {
            out.push(format!("{key} {text}"));
        }
    }
    out.join(", ")
}

/// An object of a compile configuration: its class or name, with the arguments that are numbers.
fn object(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(name) => name.clone(),
        Value::Array(list) => {
            let all: Vec<String> = list.iter().map(object).filter(|text| !text.is_empty()).collect();
            if all.is_empty() { String::new() } else { format!("[{}]", all.join(", ")) }
        }
        Value::Object(map) => match map.get("class_name").and_then(Value::as_str) {
            Some("function") => map.get("config").map(object).unwrap_or_default(),
            Some(class) => {
                let config = map.get("config").and_then(Value::as_object);
                let rate = config.and_then(|c| c.get("learning_rate").or_else(|| c.get("lr")));
                match rate.and_then(Value::as_f64) {
                    Some(rate) => format!("{class}(learning_rate={})", short(rate)),
                    None => class.to_owned(),
                }
            }
            None => {
                let one = |(key, value): (&String, &Value)| format!("{key}: {}", object(value));
                format!("{{{}}}", map.iter().map(one).collect::<Vec<_>>().join(", "))
            }
        },
        other => other.to_string(),
    }
}

fn to_json(path: &Path, bytes: u64, contents: &Contents, statistics: &[Option<Statistics>]) -> Value {
    fn layers(list: &[LayerEntry]) -> Value {
        let one = |l: &LayerEntry| json!({ "name": l.name, "class": l.class, "layers": layers(&l.layers) });
        list.iter().map(one).collect()
    }
    let array = |(a, s): (&Array, &Option<Statistics>)| {
        json!({
            "path": a.path,
            "shape": a.shape,
            "dtype": a.dtype.name(),
            "statistics": s.as_ref().map(Statistics::to_json),
        })
    };
    let model = contents.model.as_ref().map(|model| {
        let (class, name) = identity(model);
        json!({ "name": name, "class": class, "layers": layers(&contents.layers()) })
    });
    json!({
        "file": path.to_string_lossy(),
        "format": contents.format,
        "reason": contents.reason,
        "bytes": bytes,
        "origin": contents.origin,
        "saved": contents.saved,
        "model": model,
        "compile": contents.compiled,
        "weights": contents.arrays.iter().zip(statistics).map(array).collect::<Vec<_>>(),
        "unreadable": contents.unreadable,
    })
}
