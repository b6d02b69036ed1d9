//! YAML as Keras up to TensorFlow 2.5 wrote architectures: the values of JSON. Tags, which name classes of Python, are passed
//! over, and nothing is ever made or run of them. What is written has none.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Value};

use super::json;

/// Lists and maps nested deeper than this are refused.
const MAX_DEPTH: usize = 128;

/// A list or a map that is being read.
struct Open {
    anchor: usize,
    value: Value,
    /// The key that a value is awaited for.
    key: Option<String>,
}

/// Parses one document. What an anchor names and what an alias stands for counts against the length of the text each time, so
/// that a short text cannot be a huge value.
///
/// # Errors
/// Text that is not YAML, nested deeper than 128 levels, or with anchors and aliases that stand for far more than the text holds.
pub fn parse(text: &str) -> Result<Value, String> {
    let mut left = text.len().saturating_mul(4);
    let mut open: Vec<Open> = Vec::new();
    let mut anchors: HashMap<usize, Value> = HashMap::new();
    let mut document = None;
    for event in Parser::new_from_str(text) {
        let (event, _) = event.map_err(|e| e.to_string())?;
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, _) => (scalar(&text, style), anchor),
            Event::Alias(anchor) => {
                let value = anchors.get(&anchor).ok_or("an alias of what is not there")?;
                left =
                    left.checked_sub(size(value)).ok_or("aliases that stand for more than the text holds")?;
                (value.clone(), 0)
            }
            Event::SequenceStart(anchor, _) | Event::MappingStart(anchor, _) if open.len() >= MAX_DEPTH => {
                return Err(format!("more than {MAX_DEPTH} levels (at anchor {anchor})"));
            }
            Event::SequenceStart(anchor, _) => {
                open.push(Open { anchor, value: Value::Array(Vec::new()), key: None });
                continue;
            }
            Event::MappingStart(anchor, _) => {
                open.push(Open { anchor, value: Value::Object(Map::new()), key: None });
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(Open { anchor, value, .. }) => (value, anchor),
                None => return Err("an end without a beginning".to_owned()),
            },
            Event::DocumentEnd => break,
            _ => continue,
        };
        if anchor > 0 {
            left = left.checked_sub(size(&value)).ok_or("anchors of more than the text holds")?;
            anchors.insert(anchor, value.clone());
        }
        match open.last_mut() {
            None => document = Some(value),
            Some(Open { value: Value::Array(list), .. }) => list.push(value),
            Some(Open { value: Value::Object(map), key, .. }) => match key.take() {
                Some(key) => drop(map.insert(key, value)),
                None => *key = Some(key_of(value)),
            },
            Some(_) => {}
        }
    }
    document.ok_or_else(|| "no document".to_owned())
}

/// How many values there are in a value.
fn size(value: &Value) -> usize {
    match value {
        Value::Array(list) => 1 + list.iter().map(size).sum::<usize>(),
        Value::Object(map) => 1 + map.values().map(size).sum::<usize>(),
        _ => 1,
    }
}

fn key_of(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

/// A scalar by the rules of PyYAML (YAML 1.1), as far as `yaml.dump` makes use of them.
fn scalar(text: &str, style: ScalarStyle) -> Value {
    if style != ScalarStyle::Plain {
        return text.into();
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" | "yes" | "on" => return true.into(),
        "false" | "False" | "FALSE" | "no" | "off" => return false.into(),
        ".inf" | ".Inf" | "+.inf" => return json::from_f64(f64::INFINITY),
        "-.inf" | "-.Inf" => return json::from_f64(f64::NEG_INFINITY),
        ".nan" | ".NaN" => return json::from_f64(f64::NAN),
        _ => {}
    }
    if let Ok(integer) = text.parse::<i64>() {
        return integer.into();
    }
    let numeric = text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c));
    match text.replace('_', "").parse::<f64>() {
        Ok(number) if numeric && number.is_finite() => number.into(),
        _ => text.into(),
    }
}

/// Writes a value as `yaml.dump` lays it out, for readers of YAML 1.1 and 1.2.
pub fn to_string(value: &Value) -> String {
    let mut out = String::new();
    write_block(&mut out, value, 0);
    out + "\n"
}

/// Writes a value whose first line begins where `out` ends, and whose other lines are indented.
fn write_block(out: &mut String, value: &Value, indent: usize) {
    if is_inline(value) {
        return write_inline(out, value);
    }
    let next = |out: &mut String, indent| {
        out.push('\n');
        out.extend(std::iter::repeat_n(' ', indent));
    };
    match value {
        Value::Array(list) => {
            for (i, item) in list.iter().enumerate() {
                if i > 0 {
                    next(out, indent);
                }
                out.push_str("- ");
                write_block(out, item, indent + 2);
            }
        }
        Value::Object(map) => {
            for (i, (key, item)) in map.iter().enumerate() {
                if i > 0 {
                    next(out, indent);
                }
                write_text(out, key);
                out.push(':');
                match is_inline(item) {
                    true => out.push(' '),
                    false => next(out, indent + 2),
                }
                write_block(out, item, indent + 2);
            }
        }
        _ => {}
    }
}

/// Whether a value is a scalar or a list of scalars.
fn is_inline(value: &Value) -> bool {
    let is_scalar = |value: &Value| match value {
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty() || json::to_f64(value).is_some(),
        _ => true,
    };
    is_scalar(value) || value.as_array().is_some_and(|list| list.iter().all(is_scalar))
}

fn write_inline(out: &mut String, value: &Value) {
    match value {
        Value::String(text) => write_text(out, text),
        Value::Array(list) => {
            out.push('[');
            for (i, item) in list.iter().enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                write_inline(out, item);
            }
            out.push(']');
        }
        Value::Object(map) if map.is_empty() => out.push_str("{}"),
        _ => match json::to_f64(value).filter(|_| !value.is_i64() && !value.is_u64()) {
            Some(x) if x.is_nan() => out.push_str(".nan"),
            Some(x) if x.is_infinite() => out.push_str(if x > 0.0 { ".inf" } else { "-.inf" }),
            // In YAML 1.1 a number with an exponent has a point.
            Some(x) => match json::float_repr(x) {
                text if text.contains('.') => out.push_str(&text),
                text => out.push_str(&text.replace('e', ".0e")),
            },
            None => out.push_str(&value.to_string()),
        },
    }
}

/// A text without quotes where no reader takes it for something else.
fn write_text(out: &mut String, text: &str) {
    let is_word = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let means = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"];
    if is_word && !means.contains(&&*text.to_ascii_lowercase()) {
        return out.push_str(text);
    }
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            ' '..='~' => out.push(c),
            _ => out.push_str(&format!("\\U{:08X}", u32::from(c))),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    // PyYAML 6.0.3 and 3.13 (of Python 2) read the same.
    #[test]
    fn what_is_written_is_read_again() {
        let value = json!({
            "class_name": "Model",
            "config": {
                "layers": [{ "name": "a", "shape": [null, 7, 1e-5, 1e30, 0.5, -3] }, {}, [[1], "no", "Null", "1.5"]],
                "odd key: #": "tab\t, \"quotes\", \\, é, 😀", "empty": [], "on": true, "": "", "y": "2001-01-01",
                "limits": [json::from_f64(f64::INFINITY), json::from_f64(f64::NEG_INFINITY)],
            },
        });
        let text = to_string(&value);
        assert_eq!(parse(&text).unwrap(), value, "{text}");
        assert!(text.contains("\n      shape: [null, 7, 1.0e-05, 1.0e+30, 0.5, -3]\n"), "{text}");
        assert!(text.contains("\n  limits: [.inf, -.inf]"), "{text}");
    }

    // What PyYAML 6.0.3 reads of the same text (with its tags taken off).
    #[test]
    fn values_are_those_of_python() {
        let text = "class_name: Model\nconfig:\n  shape: !!python/tuple [null, 7]\n  ? a\n  : &id001\n    - 1.0e-05\n    - -3\n  \
                    b: *id001\n  c: 'no'\n  d: [true, .inf, 1_000.5, abc, '']\n  e: {}\n";
        let mut value = parse(text).unwrap();
        let infinite = value["config"]["d"][1].take();
        assert_eq!(json::to_f64(&infinite), Some(f64::INFINITY));
        let expected = json!({
            "class_name": "Model",
            "config": { "shape": [null, 7], "a": [1e-5, -3], "b": [1e-5, -3], "c": "no",
                "d": [true, null, 1000.5, "abc", ""], "e": {} },
        });
        assert_eq!(value, expected);
    }

    #[test]
    fn tags_are_passed_over() {
        let text = "function: !!python/object/apply:os.system ['rm -rf /']\n";
        assert_eq!(parse(text).unwrap(), json!({ "function": ["rm -rf /"] }));
    }

    #[test]
    fn aliases_do_not_blow_up() {
        let mut text = "a0: &a0 [1, 2, 3, 4, 5, 6, 7, 8, 9]\n".to_owned();
        for i in 1..30 {
            let alias = format!("*a{}", i - 1);
            text += &format!("a{i}: &a{i} [{}]\n", [&*alias; 9].join(", "));
        }
        assert!(parse(&text).is_err());
        assert!(parse(&"[".repeat(10_000)).is_err());
        assert!(parse("a: [1, 2").is_err());
    }
}
