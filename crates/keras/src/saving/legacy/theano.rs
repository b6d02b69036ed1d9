//! What Theano pads: where other backends put the larger half behind an input, it puts half a window before it.

use keras_spec::Config;
use serde_json::Value;

use super::Report;

/// Gives a layer of a model that ran on Theano the padding that it had there, in the arguments of Keras 2, where `same` would
/// be another.
pub(super) fn upgrade_padding(class: &str, config: &mut Config, report: &mut Report) {
    let pools = class.starts_with("MaxPooling") || class.starts_with("AveragePooling");
    let recurrent = class.starts_with("ConvLSTM");
    if !pools && !class.starts_with("Conv") {
        return;
    }
    let sizes = numbers(config.get(if pools { "pool_size" } else { "kernel_size" }));
    let strides = match config.get("strides") {
        None | Some(Value::Null) if pools => sizes.clone(),
        given => numbers(given),
    };
    let steps = strides.iter().any(|&s| s > 1);
    let even = sizes.iter().any(|s| s % 2 == 0);
    // Kernels of an even size are otherwise made one longer.
    let apart = numbers(config.get("dilation_rate")).iter().any(|&d| d > 1) || class.ends_with("Transpose");
    let differs = match pools {
        true => steps || sizes.iter().any(|&s| s % 2 == 0 || s > 3),
        false => steps || (even && apart),
    };
    let name = config.get("name").and_then(Value::as_str).unwrap_or(class).to_owned();
    if config.get("padding").is_some_and(|p| p == "same") && differs {
        let padding = if pools { "halfpool" } else { "half" };
        config.insert("padding".to_owned(), padding.into());
        report
            .converted(name, format!("`same` on Theano, which begins half a window earlier, is `{padding}`"));
    } else if config.get("padding").is_some_and(|p| p == "full") {
        config.insert("padding".to_owned(), "theano_full".into());
        report.converted(name, "`full`, which only Theano has, is `theano_full`");
    } else if recurrent && even && config.get("padding").is_none_or(|p| p == "valid") {
        config.insert("padding".to_owned(), "validhalf".into());
        report.converted(name, "the padding of the states, which begins half a window earlier on Theano");
    }
}

/// Whether a model of Keras 2 has layers that compute something else on Theano.
pub(super) fn differs(model: &Value) -> bool {
    match model {
        Value::Array(list) => list.iter().any(differs),
        Value::Object(map) => {
            let class = map.get("class_name").and_then(Value::as_str).unwrap_or_default();
            let own = map.get("config").and_then(Value::as_object).is_some_and(|config| {
                let mut changed = config.clone();
                upgrade_padding(class, &mut changed, &mut Report::default());
                changed != *config
            });
            own || map.values().any(differs)
        }
        _ => false,
    }
}

/// One number, or a list of them.
fn numbers(value: Option<&Value>) -> Vec<u64> {
    match value {
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_u64).collect(),
        one => one.and_then(Value::as_u64).into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn padding(class: &str, config: Value) -> String {
        let mut config = config.as_object().cloned().unwrap();
        upgrade_padding(class, &mut config, &mut Report::default());
        config["padding"].as_str().unwrap().to_owned()
    }

    #[test]
    fn only_where_theano_differs() {
        let conv = |size: u64, stride: u64| {
            padding("Conv2D", json!({ "padding": "same", "kernel_size": [size, 3], "strides": [stride, 1] }))
        };
        assert_eq!([conv(3, 1), conv(2, 1), conv(3, 2)], ["same", "same", "half"]);
        let pool = |size: u64, strides: Value| {
            padding(
                "MaxPooling2D",
                json!({ "padding": "same", "pool_size": [size, size], "strides": strides }),
            )
        };
        assert_eq!(pool(3, json!([1, 1])), "same");
        assert_eq!([pool(2, Value::Null), pool(5, json!([1, 1]))], ["halfpool", "halfpool"]);
        assert_eq!(padding("Conv2D", json!({ "padding": "valid", "kernel_size": [2, 2] })), "valid");
        assert_eq!(padding("Dense", json!({ "padding": "same" })), "same");
    }
}
