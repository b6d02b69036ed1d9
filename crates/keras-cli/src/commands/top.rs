//! `keras predict --top`: the classes with the largest scores.

use std::io::Write;
use std::path::{Path, PathBuf};

use keras_spec::HostTensor;
use serde_json::{Value, json};

use crate::answer::{Answer, Failure, Result, short, table};
use crate::data;

#[derive(Debug, clap::Args)]
pub(crate) struct Top {
    /// For each sample the classes with the largest scores
    #[arg(long, value_name = "CLASSES")]
    top: Option<usize>,
    /// The names of the classes: a line each, or JSON as in `imagenet_class_index.json`
    #[arg(long, value_name = "FILE", requires = "top")]
    labels: Option<PathBuf>,
}

/// A class with its score.
type Scored = (usize, f64);

impl Top {
    pub(crate) fn count(&self) -> Option<usize> {
        self.top
    }

    /// The names of the classes; none where there is no file.
    pub(crate) fn labels(&self) -> Result<Vec<String>> {
        let Some(path) = &self.labels else { return Ok(Vec::new()) };
        let text = std::fs::read_to_string(path).map_err(|e| Failure::file(path, e))?;
        if !text.trim_start().starts_with(['{', '[']) {
            return Ok(text.lines().map(str::to_owned).collect());
        }
        let value: Value = serde_json::from_str(&text).map_err(|e| Failure::file(path, e))?;
        from_json(&value).ok_or_else(|| {
            let expected = "expected a list of names, or an object with the names of classes 0, 1, …";
            Failure::file(path, expected)
        })
    }
}

fn from_json(value: &Value) -> Option<Vec<String>> {
    let name = |entry: &Value| match entry {
        Value::String(name) => Some(name.clone()),
        // An identifier, then a name for people.
        Value::Array(parts) => parts.last().and_then(Value::as_str).map(str::to_owned),
        _ => None,
    };
    match value {
        Value::Array(list) => list.iter().map(name).collect(),
        Value::Object(map) => (0..map.len()).map(|i| map.get(&i.to_string()).and_then(name)).collect(),
        _ => None,
    }
}

/// Checks that the answer can be written to a file of this name.
pub(crate) fn check_writable(path: &Path) -> Result<()> {
    match path.extension().is_some_and(|e| e == "csv" || e == "json") {
        true => Ok(()),
        false => {
            let why = "with --top, expected a name that ends in .csv or .json";
            Err(Failure::Usage(format!("{}: {why}", path.display())))
        }
    }
}

/// The `count` best classes of each sample.
pub(crate) fn answer(
    outputs: &[(String, HostTensor)],
    count: usize,
    labels: &[String],
    samples: Option<&[PathBuf]>,
    output: Option<&Path>,
) -> Result<Answer> {
    let [(_, scores)] = outputs else {
        return Err(Failure::Data(format!("--top is for one output, the model has {}", outputs.len())));
    };
    let [_, classes] = **scores.shape() else {
        let found = scores.shape();
        return Err(Failure::Data(format!(
            "--top is for an output of shape (samples, classes), found {found}"
        )));
    };
    if !labels.is_empty() && labels.len() != classes {
        return Err(Failure::Data(format!("{} labels for {classes} classes", labels.len())));
    }
    let label = |class: usize| labels.get(class).cloned().unwrap_or_else(|| class.to_string());
    let sample =
        |i: usize| samples.and_then(|s| s.get(i)).map_or_else(|| i.to_string(), |p| p.display().to_string());
    let values = scores.to_f64_vec();
    let best: Vec<Vec<Scored>> = values.chunks(classes.max(1)).map(|row| largest(row, count)).collect();
    let rows = best.iter().enumerate().map(|(i, row)| {
        let cells = row.iter().map(|&(class, score)| format!("{} {}", label(class), short(score)));
        std::iter::once(sample(i)).chain(cells).collect()
    });
    let list = best.iter().enumerate().map(|(i, row)| {
        let one = |&(class, score): &Scored| json!({ "class": class, "label": label(class), "score": score });
        json!({ "sample": sample(i), "top": row.iter().map(one).collect::<Vec<_>>() })
    });
    let list: Value = list.collect();
    if let Some(path) = output {
        data::save(path, |out| -> Result<(), String> {
            if path.extension().is_some_and(|e| e == "json") {
                return writeln!(out, "{list:#}").map_err(|e| e.to_string());
            }
            let mut writer = csv::Writer::from_writer(out);
            let write = |writer: &mut csv::Writer<_>| -> Result<(), csv::Error> {
                writer.write_record(["sample", "rank", "class", "label", "score"])?;
                for (i, row) in best.iter().enumerate() {
                    for (rank, &(class, score)) in row.iter().enumerate() {
                        let numbers = [(rank + 1).to_string(), class.to_string()];
                        let [rank, class_text] = numbers;
                        writer.write_record([
                            sample(i),
                            rank,
                            class_text,
                            label(class),
                            score.to_string(),
                        ])?;
                    }
                }
                Ok(writer.flush()?)
            };
            write(&mut writer).map_err(|e| e.to_string())
        })?;
        return Ok(Answer::new(
            format!("{}\n", path.display()),
            json!({ "output": path.to_string_lossy(), "samples": best.len() }),
        ));
    }
    Ok(Answer::new(table(&[], &rows.collect::<Vec<_>>()), json!({ "samples": list })))
}

/// The largest scores, the first class first where they are equal. NaN comes last.
fn largest(row: &[f64], count: usize) -> Vec<Scored> {
    let mut all: Vec<Scored> = row.iter().copied().enumerate().collect();
    let key = |x: f64| if x.is_nan() { f64::NEG_INFINITY } else { x };
    all.sort_by(|a, b| key(b.1).total_cmp(&key(a.1)));
    all.truncate(count);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_come_first() {
        assert_eq!(largest(&[0.1, 0.7, f64::NAN, 0.7], 3), [(1, 0.7), (3, 0.7), (0, 0.1)]);
    }

    #[test]
    fn labels_have_several_forms() {
        let of = |value: Value| from_json(&value);
        assert_eq!(of(json!(["a", "b"])), Some(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(
            of(json!({ "1": ["n2", "b"], "0": ["n1", "a"] })),
            Some(vec!["a".to_owned(), "b".to_owned()])
        );
        assert_eq!(of(json!({ "1": "b" })), None);
        assert_eq!(of(json!([1])), None);
    }
}
