//! Values of arguments of Keras 1 as Keras 2 writes them: initializers, regularizers, constraints.

use serde_json::{Value, json};

use crate::layers::DataFormat;

/// The meaning of a `dim_ordering`; none for `default`.
pub(super) fn data_format(ordering: &str) -> Option<DataFormat> {
    match ordering {
        "th" => Some(DataFormat::ChannelsFirst),
        "tf" => Some(DataFormat::ChannelsLast),
        _ => None,
    }
}

/// What Keras calls a data format.
pub(super) fn data_format_name(format: DataFormat) -> &'static str {
    match format {
        DataFormat::ChannelsFirst => "channels_first",
        DataFormat::ChannelsLast => "channels_last",
    }
}

/// The functions of Keras 1 that make first values.
pub(super) const INITIALIZERS: [&str; 11] = [
    "uniform",
    "lecun_uniform",
    "normal",
    "identity",
    "orthogonal",
    "zero",
    "one",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
];

/// The initializer that Keras 1 knows as a function of this name; none if it has none.
pub(super) fn initializer(function: &str) -> Option<Value> {
    let scaling = |scale: f64, mode: &str, distribution: &str| {
        object("VarianceScaling", json!({ "scale": scale, "mode": mode, "distribution": distribution }))
    };
    // Up to Keras 1 the normal ones were not truncated.
    let plain = "untruncated_normal";
    Some(match function {
        "uniform" => object("RandomUniform", json!({ "minval": -0.05, "maxval": 0.05 })),
        "normal" => object("RandomNormal", json!({ "mean": 0.0, "stddev": 0.05 })),
        "zero" | "zeros" => object("Zeros", json!({})),
        "one" | "ones" => object("Ones", json!({})),
        "identity" => object("Identity", json!({ "gain": 1.0 })),
        "orthogonal" => object("Orthogonal", json!({ "gain": 1.1 })),
        "lecun_uniform" => scaling(1.0, "fan_in", "uniform"),
        "glorot_uniform" => scaling(1.0, "fan_avg", "uniform"),
        "glorot_normal" => scaling(1.0, "fan_avg", plain),
        "he_uniform" => scaling(2.0, "fan_in", "uniform"),
        "he_normal" => scaling(2.0, "fan_in", plain),
        _ => return None,
    })
}

/// A regularizer, which Keras 1 writes flat with its class as `name`; none if it has no counterpart.
pub(super) fn regularizer(flat: &Value) -> Option<Value> {
    let number = |key: &str| flat.get(key).and_then(Value::as_f64).unwrap_or(0.0);
    match flat.get("name").and_then(Value::as_str)? {
        "L1L2Regularizer" | "WeightRegularizer" | "ActivityRegularizer" => {
            Some(object("L1L2", json!({ "l1": number("l1"), "l2": number("l2") })))
        }
        _ => None,
    }
}

/// A constraint, written as a regularizer is, of a kernel whose axes are where `axes` says: the one that was at `i` is at
/// `axes[i]`. None if it has no counterpart.
pub(super) fn constraint(flat: &Value, axes: Option<&[usize]>) -> Option<Value> {
    let moved = |axis: &Value| {
        let moved = |axis: &Value| match (axis.as_u64(), axes) {
            (Some(axis), Some(axes)) => axes.get(axis as usize).map_or(axis, |&to| to as u64).into(),
            _ => axis.clone(),
        };
        match axis {
            Value::Array(list) => list.iter().map(moved).collect(),
            one => moved(one),
        }
    };
    let axis = moved(flat.get("axis").unwrap_or(&json!(0)));
    let value = |key: &str, default: f64| flat.get(key).cloned().unwrap_or_else(|| json!(default));
    Some(match flat.get("name").and_then(Value::as_str)? {
        "MaxNorm" => object("MaxNorm", json!({ "max_value": value("m", 2.0), "axis": axis })),
        "UnitNorm" => object("UnitNorm", json!({ "axis": axis })),
        "NonNeg" => object("NonNeg", json!({})),
        "MinMaxNorm" => object(
            "MinMaxNorm",
            json!({
                "min_value": value("low", 0.0),
                "max_value": value("high", 1.0),
                "rate": value("rate", 1.0),
                "axis": axis,
            }),
        ),
        _ => return None,
    })
}

/// Keras's form of an object.
fn object(class: &str, config: Value) -> Value {
    json!({ "class_name": class, "config": config })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn penalties_and_constraints_are_objects_now() {
        let found = regularizer(&json!({ "name": "WeightRegularizer", "l1": 0.0, "l2": 0.5 }));
        assert_eq!(found, Some(json!({ "class_name": "L1L2", "config": { "l1": 0.0, "l2": 0.5 } })));
        assert_eq!(regularizer(&json!({ "name": "EigenvalueRegularizer", "k": 1 })), None);
        let kernel = json!({ "name": "MaxNorm", "m": 3, "axis": [1, 2, 3] });
        let found = constraint(&kernel, Some(&[3, 2, 0, 1])).unwrap();
        assert_eq!(found["config"], json!({ "max_value": 3, "axis": [2, 0, 1] }));
        assert_eq!(constraint(&json!({ "name": "Clip" }), None), None);
    }

    #[test]
    fn every_initializer_of_keras_1_can_be_made() {
        for name in INITIALIZERS {
            let form = initializer(name).unwrap();
            keras_spec::object::make::<dyn keras_spec::Initializer>(&form).unwrap();
        }
        assert_eq!(initializer("my_init"), None);
    }
}
