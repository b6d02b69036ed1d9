//! What Theano computed differently. Its padding above all: where other backends put the larger half behind an input, it puts
//! half a window before it.

use keras_spec::Config;
use serde_json::Value;

use super::{Report, Version};

/// Gives a layer of a model that ran on Theano what it computed there, in the arguments of Keras 2: the padding, where `same`
/// would be another.
pub(super) fn upgrade_layer(class: &str, config: &mut Config, version: Option<Version>, report: &mut Report) {
    let name = config.get("name").and_then(Value::as_str).unwrap_or(class).to_owned();
    if class == "SReLU" {
        config.insert("left_below_middle".to_owned(), true.into());
        report.converted(name, "on Theano its left line goes no higher than the middle one");
        return;
    }
    let average = class.starts_with("AveragePooling");
    let pools = average || class.starts_with("MaxPooling");
    let recurrent = class.starts_with("ConvLSTM");
    let by_channel = class.starts_with("DepthwiseConv");
    let separable = class.starts_with("SeparableConv");
    if !pools && !by_channel && !separable && !class.starts_with("Conv") {
        return;
    }
    let sizes = numbers(config.get(if pools { "pool_size" } else { "kernel_size" }));
    let strides = match config.get("strides") {
        None | Some(Value::Null) if pools => sizes.clone(),
        given => numbers(given),
    };
    let steps = strides.iter().any(|&s| s > 1);
    let even = sizes.iter().any(|s| s % 2 == 0);
    // Other kernels of an even size are made one longer.
    let apart = numbers(config.get("dilation_rate")).iter().any(|&d| d > 1) || class.ends_with("Transpose");
    let counted = average
        && !class.ends_with("3D")
        && version.is_some_and(|v| (Version::new(2, 0, 4)..Version::new(2, 1, 5)).contains(&v));
    let differs = match pools {
        true => counted || steps || sizes.iter().any(|&s| s % 2 == 0 || s > 3),
        false => steps || (even && (apart || by_channel || separable)),
    };
    if config.get("padding").is_some_and(|p| p == "same") && differs {
        let padding = match () {
            () if counted => "halfpoolcounted",
            () if pools => "halfpool",
            () if separable => "halfboth",
            () => "half",
        };
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
                upgrade_layer(class, &mut changed, None, &mut Report::default());
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

    fn padding_in(version: Option<Version>, class: &str, config: Value) -> String {
        let mut config = config.as_object().cloned().unwrap();
        upgrade_layer(class, &mut config, version, &mut Report::default());
        config["padding"].as_str().unwrap().to_owned()
    }

    fn padding(class: &str, config: Value) -> String {
        padding_in(None, class, config)
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
        let by_channel = |class: &str, size: u64| {
            padding(class, json!({ "padding": "same", "kernel_size": [size, size], "strides": [1, 1] }))
        };
        assert_eq!([by_channel("DepthwiseConv2D", 3), by_channel("DepthwiseConv2D", 2)], ["same", "half"]);
        assert_eq!(
            [by_channel("SeparableConv2D", 3), by_channel("SeparableConv2D", 2)],
            ["same", "halfboth"]
        );
    }

    #[test]
    fn zeros_counted_for_a_while() {
        let average = |class: &str, patch: u32| {
            let config = json!({ "padding": "same", "pool_size": [3, 3], "strides": [1, 1] });
            padding_in(Some(Version::new(2, 1, patch)), class, config)
        };
        assert_eq!(
            [average("AveragePooling2D", 4), average("AveragePooling2D", 5)],
            ["halfpoolcounted", "same"]
        );
        assert_eq!([average("AveragePooling3D", 4), average("MaxPooling2D", 4)], ["same", "same"]);
    }
}
