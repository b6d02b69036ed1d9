//! JSON as Python's `json` module reads and writes it.
//!
//! Two things set it apart from standard JSON. The tokens `NaN`, `Infinity` and `-Infinity` are numbers:
//! `ReLU(max_value=inf)` and `MaxNorm(inf)` produce them. And the text of a number tells `1` (an `int`)
//! from `1.0` (a `float`), with the digits and exponents of Python's `repr`, so that a configuration
//! written here is byte for byte the one that Keras writes.
//!
//! A non-finite number has no [`serde_json::Number`]; it is the object `{"__non_finite__": "NaN"}` (or
//! `"Infinity"`, `"-Infinity"`), a key that no Keras writes. [`from_f64`] and [`to_f64`] convert.

use std::collections::HashMap;

use serde::de::IgnoredAny;
use serde_json::{Map, Value};

const NON_FINITE: &str = "__non_finite__";
const TOKENS: [&str; 3] = ["NaN", "Infinity", "-Infinity"];

/// The JSON value of a Python `float`, finite or not.
pub fn from_f64(x: f64) -> Value {
    match serde_json::Number::from_f64(x) {
        Some(n) => Value::Number(n),
        None => non_finite(if x.is_nan() {
            "NaN"
        } else if x > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        }),
    }
}

/// The number in `value`, finite or not; `None` when it is not a number.
pub fn to_f64(value: &Value) -> Option<f64> {
    match non_finite_token(value) {
        Some("NaN") => Some(f64::NAN),
        Some("Infinity") => Some(f64::INFINITY),
        Some(_) => Some(f64::NEG_INFINITY),
        None => value.as_f64(),
    }
}

/// Parses what Python's `json.loads` parses.
///
/// # Errors
/// Text that is not JSON in Python's dialect, or nested deeper than 128 levels.
pub fn parse(text: &str) -> serde_json::Result<Value> {
    serde_json::from_str(&quote_non_finite(text))
}

/// The keys of the object that a text is, without making values of what it holds.
///
/// # Errors
/// As [`parse`], or the text is no object.
pub(super) fn keys(text: &str) -> serde_json::Result<Vec<String>> {
    let object: HashMap<String, IgnoredAny> = serde_json::from_str(&quote_non_finite(text))?;
    Ok(object.into_keys().collect())
}

/// Writes what Python's `json.dumps(value)` writes: `", "` and `": "` between items, ASCII only.
pub fn to_string(value: &Value) -> String {
    let mut out = String::new();
    write_value(&mut out, value);
    out
}

fn non_finite(token: &str) -> Value {
    Value::Object(Map::from_iter([(NON_FINITE.to_owned(), token.into())]))
}

fn non_finite_token(value: &Value) -> Option<&str> {
    let object = value.as_object().filter(|o| o.len() == 1)?;
    object.get(NON_FINITE)?.as_str().filter(|t| TOKENS.contains(t))
}

/// Replaces the three bare tokens by the objects that stand for them.
fn quote_non_finite(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['"', 'N', 'I', '-']) {
        let (before, here) = rest.split_at(at);
        out.push_str(before);
        let taken = if here.starts_with('"') {
            let len = string_len(here);
            out.push_str(&here[..len]);
            len
        } else if let Some(token) = TOKENS.iter().find(|t| here.starts_with(**t)) {
            out.push_str(&non_finite(token).to_string());
            token.len()
        } else {
            // 'N', 'I' or '-': one byte each.
            out.push_str(&here[..1]);
            1
        };
        rest = &here[taken..];
    }
    out.push_str(rest);
    out
}

/// Length in bytes of the string literal at the start of `text`, both quotes included; all of `text` when
/// it is not closed.
fn string_len(text: &str) -> usize {
    let mut escaped = false;
    for (i, b) in text.bytes().enumerate().skip(1) {
        match b {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return i + 1,
            _ => {}
        }
    }
    text.len()
}

fn write_value(out: &mut String, value: &Value) {
    if let Some(token) = non_finite_token(value) {
        out.push_str(token);
        return;
    }
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Number(n) if n.is_f64() => out.push_str(&float_repr(n.as_f64().unwrap_or(f64::NAN))),
        Value::Number(n) => out.push_str(&n.to_string()),
        Value::String(s) => write_string(out, s),
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                write_value(out, item);
            }
            out.push(']');
        }
        Value::Object(entries) => {
            out.push('{');
            for (i, (key, item)) in entries.iter().enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                write_string(out, key);
                out.push_str(": ");
                write_value(out, item);
            }
            out.push('}');
        }
    }
}

fn write_string(out: &mut String, s: &str) {
    out.push('"');
    for c in s.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(c),
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    out.push('"');
}

/// Python's `repr` of a finite `float`: the shortest digits that read back as `x`, positional for
/// exponents from -4 to 15, always with a point or an exponent.
pub fn float_repr(x: f64) -> String {
    let scientific = format!("{x:e}");
    let Some((mantissa, exponent)) = scientific.split_once('e') else {
        return scientific; // not finite
    };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        let positional = x.to_string();
        if positional.contains('.') { positional } else { positional + ".0" }
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{mantissa}e{sign}{:02}", exponent.abs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn non_finite_numbers_go_through() {
        let text = r#"{"max": Infinity, "min": -Infinity, "x": [NaN, -1.5, "NaN -Infinity \" I\\"]}"#;
        let value = parse(text).unwrap();
        assert_eq!(to_f64(&value["max"]), Some(f64::INFINITY));
        assert_eq!(to_f64(&value["min"]), Some(f64::NEG_INFINITY));
        assert!(to_f64(&value["x"][0]).unwrap().is_nan());
        assert_eq!(value["x"][2], "NaN -Infinity \" I\\");
        assert_eq!(to_string(&value), text);
        assert_eq!(from_f64(f64::INFINITY), value["max"]);
        assert_eq!(to_f64(&Value::Null), None);
    }

    #[test]
    fn what_python_refuses_is_refused() {
        for text in ["", "{", "NaNa", "Infinit", "-", "'a'", "[1,]", "{\"a\": \"b}", "nan", "--Infinity"] {
            assert!(parse(text).is_err(), "{text:?}");
        }
        assert!(parse(&"[".repeat(100_000)).is_err());
    }

    // Each text is `repr(x)` from CPython 3.11.
    #[test]
    fn floats_print_as_in_python() {
        for text in [
            "1.0",
            "-0.0",
            "0.1",
            "1e-07",
            "0.0001",
            "1e-05",
            "0.0010000000474974513",
            "1e+16",
            "1e+22",
            "1234567890123456.0",
            "1.2345678901234568e+16",
            "123456.789",
            "5e-324",
            "1.7976931348623157e+308",
            "-2.5e-09",
            "0.00012",
            "100000.0",
            "1.5e+300",
            "9007199254740993.0",
        ] {
            let x: f64 = text.parse().unwrap();
            let expected = if text == "9007199254740993.0" { "9007199254740992.0" } else { text };
            assert_eq!(float_repr(x), expected);
        }
    }

    #[test]
    fn strings_and_integers_print_as_in_python() {
        let value = parse(r#"["é\u007f\ud83d\ude00/\b\f\u0001", 1, 1.0, 18446744073709551615, -3]"#).unwrap();
        let printed = r#"["\u00e9\u007f\ud83d\ude00/\b\f\u0001", 1, 1.0, 18446744073709551615, -3]"#;
        assert_eq!(to_string(&value), printed);
    }

    proptest! {
        #[test]
        fn any_float_reads_back(bits: u64) {
            let x = f64::from_bits(bits);
            let back = to_f64(&parse(&to_string(&from_f64(x))).unwrap()).unwrap();
            prop_assert!(back.to_bits() == bits || (x.is_nan() && back.is_nan()));
        }

        #[test]
        fn any_string_reads_back(s: String) {
            prop_assert_eq!(parse(&to_string(&s.clone().into())).unwrap(), Value::from(s));
        }

        #[test]
        fn no_text_panics(s in "[\\[\\]{}:,\"\\\\NaInfity0-9. é-]{0,40}") {
            let _ = parse(&s);
        }
    }
}
