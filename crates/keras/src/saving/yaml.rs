//! YAML as Keras up to TensorFlow 2.5 wrote architectures: the values of JSON. Tags, which name classes of Python, are passed
//! over, and nothing is ever made or run of them.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Value};

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
        ".inf" | ".Inf" | "+.inf" => return super::json::from_f64(f64::INFINITY),
        "-.inf" | "-.Inf" => return super::json::from_f64(f64::NEG_INFINITY),
        ".nan" | ".NaN" => return super::json::from_f64(f64::NAN),
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    // What PyYAML 6.0.3 reads of the same text (with its tags taken off).
    #[test]
    fn values_are_those_of_python() {
        let text = "class_name: Model\nconfig:\n  shape: !!python/tuple [null, 7]\n  ? a\n  : &id001\n    - 1.0e-05\n    - -3\n  \
                    b: *id001\n  c: 'no'\n  d: [true, .inf, 1_000.5, abc, '']\n  e: {}\n";
        let mut value = parse(text).unwrap();
        let infinite = value["config"]["d"][1].take();
        assert_eq!(super::super::json::to_f64(&infinite), Some(f64::INFINITY));
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
