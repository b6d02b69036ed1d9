//! `Merge`, which is a class for each mode in Keras 2.

use keras_spec::{Config, Error, Result};
use serde_json::{Value, json};

use crate::saving::legacy::Report;

/// The class and arguments of Keras 2 for a `Merge`, which Keras 2 itself had up to 2.1.
///
/// # Errors
/// No later version has the mode.
pub(in crate::saving::legacy) fn merge(
    object: &str,
    old: &Config,
    new: &mut Config,
    report: &mut Report,
) -> Result<String> {
    let name = new.get("name").cloned();
    new.clear();
    if let Some(name) = name {
        new.insert("name".to_owned(), name);
    }
    // What tells layers from operations of the same name.
    new.insert("trainable".to_owned(), true.into());
    let mode = old.get("mode").unwrap_or(&Value::Null);
    if old.get("mode_type").is_some_and(|t| t == "lambda" || t == "function") || !mode.is_string() {
        // A `Lambda` of the same code: known by the layer's name, and never run.
        let keys = ["output_shape", "output_shape_type", "arguments"];
        let kept = keys.iter().filter_map(|&key| Some((key.to_owned(), old.get(key)?.clone())));
        new.extend(kept);
        new.insert("function".to_owned(), mode.clone());
        let kind = old.get("mode_type").cloned().unwrap_or("lambda".into());
        new.insert("function_type".to_owned(), kind);
        return Ok("Lambda".to_owned());
    }
    let class = match mode.as_str().unwrap_or_default() {
        "sum" => "Add",
        "mul" => "Multiply",
        "ave" => "Average",
        "max" => "Maximum",
        "concat" => {
            let axis = old.get("concat_axis").cloned().unwrap_or(json!(-1));
            new.insert("axis".to_owned(), axis);
            "Concatenate"
        }
        mode @ ("dot" | "cos") => {
            new.insert("axes".to_owned(), dot_axes(old.get("dot_axes")));
            if mode == "dot" { "Dot" } else { "Cosine" }
        }
        other => {
            let why = format!("`{object}` has the mode `{other}`, which no later version has");
            return Err(Error::config("Merge", why));
        }
    };
    report.converted(object, format!("`Merge` with mode {mode} is `{class}`"));
    Ok(class.to_owned())
}

/// The axes of a product; Keras 0.3 has each in a list.
fn dot_axes(axes: Option<&Value>) -> Value {
    let one = |axis: &Value| match axis.as_array().map(Vec::as_slice) {
        Some([axis]) => axis.clone(),
        _ => axis.clone(),
    };
    match axes {
        None | Some(Value::Null) => json!(-1),
        Some(Value::Array(list)) => list.iter().map(one).collect(),
        Some(axis) => axis.clone(),
    }
}
