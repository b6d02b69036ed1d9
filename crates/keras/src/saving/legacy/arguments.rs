//! The arguments of layers, from Keras 2 to Keras 3.

use keras_spec::{Config, Error, Result};
use serde_json::Value;

use super::{Origin, Program, Report, Version, theano};
use crate::legacy::LEGACY_HARD_SIGMOID;

/// What the layers that Keras 2 kept from Keras 1 call their arguments, and what all others do.
const KERAS_1: [(&str, &str); 7] = [
    ("output_dim", "units"),
    ("init", "kernel_initializer"),
    ("W_regularizer", "kernel_regularizer"),
    ("b_regularizer", "bias_regularizer"),
    ("W_constraint", "kernel_constraint"),
    ("b_constraint", "bias_constraint"),
    ("bias", "use_bias"),
];

/// The class of Keras 3, or of this crate's legacy layers, that stands for one of Keras 2.
pub(super) fn class_name(class: &str) -> &str {
    match class {
        "Model" => "Functional",
        "BatchNormalizationV1" | "BatchNormalizationV2" | "SyncBatchNormalization" => "BatchNormalization",
        "CuDNNLSTM" | "UnifiedLSTM" | "LSTMV1" | "LSTMV2" => "LSTM",
        "CuDNNGRU" | "UnifiedGRU" | "GRUV1" | "GRUV2" => "GRU",
        other => other,
    }
}

/// Arguments of Keras 2 that Keras 3 does not take, and that change nothing about what a layer computes.
fn dropped(class: &str) -> &'static [&'static str] {
    match class {
        "SimpleRNN" | "LSTM" | "GRU" | "RNN" | "ConvLSTM1D" | "ConvLSTM2D" | "ConvLSTM3D" => {
            &["time_major", "implementation", "input_dim", "input_length", "num_constants", "consume_less"]
        }
        "SimpleRNNCell" | "LSTMCell" | "GRUCell" | "ConvLSTM2DCell" => &["implementation"],
        "StackedRNNCells" => &["reverse_state_order"],
        "Bidirectional" => &["num_constants"],
        "DepthwiseConv1D" | "DepthwiseConv2D" | "Conv1DTranspose" | "Conv2DTranspose" | "Conv3DTranspose" => {
            &["groups"]
        }
        "SeparableConv1D" | "SeparableConv2D" => {
            &["groups", "kernel_initializer", "kernel_regularizer", "kernel_constraint"]
        }
        "SpatialDropout1D" | "SpatialDropout2D" | "SpatialDropout3D" => &["noise_shape"],
        "Embedding" => &["input_length"],
        "MultiHeadAttention" => &["query_shape", "key_shape", "value_shape", "softmax_robust_masking"],
        "BatchNormalization" => &["virtual_batch_size", "fused", "adjustment"],
        "Dense" => &["input_dim"],
        "InputLayer" => &["batch_size", "input_tensor", "type_spec"],
        _ if class.starts_with("Random") => &["rng_type"],
        _ => &[],
    }
}

/// Changes the arguments of a layer of Keras 2's class `class`, or of another object. The class that this makes it, if that is
/// another than [`class_name`] says, is returned.
///
/// # Errors
/// An argument asks for what Keras 3 does not do.
pub(super) fn upgrade_layer(
    class: &str,
    config: &mut Config,
    origin: &Origin,
    report: &mut Report,
) -> Result<Option<&'static str>> {
    let name = config.get("name").and_then(Value::as_str).unwrap_or(class).to_owned();
    if config.get("virtual_batch_size").is_some_and(|size| !size.is_null())
        && let Some(Value::Array(axes)) = config.get_mut("axis")
    {
        // The layer counts an axis more, along which it lays parts of the batch.
        axes.iter_mut().for_each(|axis| {
            *axis = axis.as_i64().filter(|a| *a > 1).map_or(axis.take(), |a| (a - 1).into())
        });
    }
    activations(&name, config, report);
    initializers(config);
    if config.get("time_major").is_some_and(|t| t == true) {
        return Err(Error::config(class, "`time_major` is true, which Keras 3 does not have"));
    }
    for key in dropped(class_name(class)) {
        let given = config.shift_remove(*key);
        // What is not set, and what only said how to compute the same, is not worth a line.
        let silent = ["implementation", "input_dim", "input_length", "groups", "time_major", "consume_less"];
        if given.is_some_and(|v| !v.is_null() && v != false) && !silent.contains(key) {
            report.dropped(&*name, format!("`{key}`, which Keras 3 does not have"));
        }
    }
    if class != "InputLayer" {
        config.shift_remove("batch_input_shape");
        config.shift_remove("input_dtype");
    }
    if ["Conv1D", "Conv2D", "Conv3D", "ConvLSTM2D"].contains(&class) {
        same_on_theano(&name, config, origin, report);
    }
    if origin.is_theano() {
        theano::upgrade_layer(class, config, origin.version, report);
    }
    match class {
        "InputLayer" => {
            rename(config, "batch_input_shape", "batch_shape");
            rename(config, "input_dtype", "dtype");
        }
        "GRU" | "GRUCell" if !config.contains_key("reset_after") => {
            config.insert("reset_after".to_owned(), false.into());
        }
        "CuDNNLSTM" | "CuDNNGRU" => {
            config.insert("activation".to_owned(), "tanh".into());
            config.insert("recurrent_activation".to_owned(), "sigmoid".into());
            if class == "CuDNNGRU" {
                config.insert("reset_after".to_owned(), true.into());
            }
        }
        "LeakyReLU" if config.contains_key("alpha") => {
            plain_number(config, "alpha");
            rename(config, "alpha", "negative_slope");
            report.renamed(&*name, "`alpha` is `negative_slope`");
        }
        "ThresholdedReLU" => {
            plain_number(config, "theta");
            rename(config, "theta", "threshold");
            return Ok(Some("ReLU"));
        }
        "ReLU" => {
            ["max_value", "negative_slope", "threshold"].iter().for_each(|key| plain_number(config, key))
        }
        "ELU" => plain_number(config, "alpha"),
        // It predicted from the largest window of the size's ratio, which Keras 3 leaves to another layer.
        "RandomCrop" => {
            report.converted(
                &*name,
                "`RandomCrop` predicts as `Resizing` with `crop_to_aspect_ratio`; so it trains, too",
            );
            config.retain(|key, _| ["name", "trainable", "dtype", "height", "width"].contains(&&**key));
            config.insert("crop_to_aspect_ratio".to_owned(), true.into());
            return Ok(Some("Resizing"));
        }
        "RandomHeight" | "RandomWidth" => {
            report.dropped(
                &*name,
                format!("`{class}`, which Keras 3 does not have: it changed nothing but in training"),
            );
            config.retain(|key, _| ["name", "trainable", "dtype"].contains(&&**key));
            return Ok(Some("Identity"));
        }
        // They hand on what they are called on.
        "AddLoss" | "AddMetric" => {
            let what = if class == "AddLoss" { "loss" } else { "metric" };
            report.dropped(&*name, format!("a {what} that the model had beside those it was compiled with"));
            config.retain(|key, _| ["name", "trainable", "dtype"].contains(&&**key));
            config.insert("activation".to_owned(), "linear".into());
            return Ok(Some("Activation"));
        }
        // The dtype of its inputs; its weights were floats.
        "Embedding" if config.get("dtype").and_then(Value::as_str).is_some_and(|d| d.starts_with("int")) => {
            config.insert("dtype".to_owned(), "float32".into());
        }
        "Highway" | "MaxoutDense" => {
            for (from, to) in KERAS_1 {
                rename(config, from, to);
            }
            config.shift_remove("input_dim");
        }
        "UpSampling2D" if is_old_bilinear(config, origin) => {
            config.shift_remove("interpolation");
            report.converted(&*name, "bilinear interpolation as in TensorFlow 1, from the corners of pixels");
            return Ok(Some("BilinearUpSampling2D"));
        }
        // Keras 3 on TensorFlow does what tf.keras did, on JAX what is done here.
        "UpSampling2D" | "Resizing" if config.get("interpolation").is_some_and(|i| i == "bicubic") => {
            let text = "bicubic weights are exact; TensorFlow has them from a table of 1024 steps, which changes values by \
                        some 0.001 unless sizes double";
            report.converted(&*name, text);
        }
        _ => {}
    }
    if class_name(class) == "BatchNormalization" {
        one_axis(&name, config)?;
        if class == "SyncBatchNormalization" {
            // Keras 3 takes `synchronized` on TensorFlow only.
            report.dropped(&*name, "`synchronized`, which says nothing where there is one device");
        }
    }
    Ok(None)
}

/// The axis of a `BatchNormalization`, which tf.keras has in a list.
fn one_axis(name: &str, config: &mut Config) -> Result<()> {
    match config.get("axis").and_then(Value::as_array).map(Vec::as_slice) {
        Some([axis]) => {
            let axis = axis.clone();
            config.insert("axis".to_owned(), axis);
            Ok(())
        }
        Some(several) => {
            let axes: Vec<String> = several.iter().map(Value::to_string).collect();
            let why = format!(
                "`axis` is [{}], and Keras 3 normalises along one axis; put `Permute` and `Reshape` around the layer that \
                 make these axes one, in the program that wrote the file, and save it anew",
                axes.join(", ")
            );
            Err(Error::config(name, why))
        }
        None => Ok(()),
    }
}

/// Keras 3 has another function of the name `hard_sigmoid`.
fn activations(name: &str, config: &mut Config, report: &mut Report) {
    for (key, value) in config.iter_mut().filter(|(key, _)| key.ends_with("activation")) {
        // Functions also stand as objects.
        let function = value.get("class_name").is_some_and(|c| c == "function");
        if let Some(Value::String(inner)) = value.get("config").filter(|_| function) {
            *value = inner.clone().into();
        }
        if value == "hard_sigmoid" {
            *value = LEGACY_HARD_SIGMOID.into();
            let text = format!("`{key}` is the hard_sigmoid of Keras 2, max(0, min(1, 0.2·x + 0.5))");
            report.converted(name, text);
        }
    }
}

/// tf.keras says the dtype of initializers, which is that of their layer.
fn initializers(config: &mut Config) {
    for (_, value) in config.iter_mut().filter(|(key, _)| key.ends_with("_initializer")) {
        if let Some(arguments) = value.get_mut("config").and_then(Value::as_object_mut) {
            arguments.shift_remove("dtype");
        }
    }
}

/// TensorFlow 1 laid the corners of images over each other where later versions lay the middles of their pixels.
fn is_old_bilinear(config: &Config, origin: &Origin) -> bool {
    let old = origin.is_before(Version::new(2, 4, 0)) && origin.program == Program::Keras;
    old && config.get("interpolation").is_some_and(|i| i == "bilinear")
}

/// Theano pads `k / 2` places before an input of a convolution with padding `same`, all others `(k - 1) / 2`. A kernel of even
/// length becomes one longer by a row of zeros, which the weights get at one of their ends: after Theano's, before others'.
fn same_on_theano(name: &str, config: &mut Config, origin: &Origin, report: &mut Report) {
    let may_be = origin.is_theano() || (origin.backend.is_none() && origin.is_before(Version::new(2, 0, 0)));
    if !may_be || config.get("padding").is_none_or(|p| p != "same") {
        return;
    }
    let ones = |key: &str| {
        let is_one = |v: &Value| v.as_u64() == Some(1);
        config.get(key).is_none_or(|v| v.as_array().map_or(is_one(v), |list| list.iter().all(is_one)))
    };
    if !ones("strides") || !ones("dilation_rate") {
        return;
    }
    let mut longer = false;
    let mut lengthen = |size: &mut Value| {
        if let Some(length) = size.as_u64().filter(|n| n % 2 == 0) {
            *size = (length + 1).into();
            longer = true;
        }
    };
    match config.get_mut("kernel_size") {
        Some(Value::Array(sizes)) => sizes.iter_mut().for_each(&mut lengthen),
        Some(size) => lengthen(size),
        None => {}
    }
    if longer {
        report.converted(
            name,
            "a kernel of even length has a row of zeros more, for Theano pads at the other end",
        );
    }
}

/// Numbers that stand as arrays of NumPy, in JSON or as Python's YAML writes the parts of one.
fn plain_number(config: &mut Config, key: &str) {
    let Some(value) = config.get_mut(key) else { return };
    let given = value.pointer("/config/value").or_else(|| value.get("value"));
    if let Some(inner) = given.cloned().or_else(|| pickled_number(value)) {
        *value = inner;
    }
}

/// The bytes of a short text in base 64.
fn base64(text: &str) -> Option<Vec<u8>> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let text = text.trim().trim_end_matches('=');
    let (mut bits, mut known, mut out) = (0u32, 0, Vec::new());
    for c in text.bytes() {
        bits = bits << 6 | u32::try_from(DIGITS.iter().position(|d| *d == c)?).ok()?;
        known += 6;
        if known >= 8 {
            known -= 8;
            out.push((bits >> known) as u8);
        }
    }
    Some(out)
}

/// The number in the parts of an array without axes: `state` ends with its bytes, and before them has the dtype.
fn pickled_number(value: &Value) -> Option<Value> {
    let state = value.get("state")?.as_array()?;
    let dtype = state.iter().find_map(|part| part.pointer("/args/0")?.as_str())?;
    let bytes = base64(state.last()?.as_str()?)?;
    match dtype {
        "f4" => Some(f64::from(f32::from_le_bytes(bytes.try_into().ok()?)).into()),
        "f8" => Some(f64::from_le_bytes(bytes.try_into().ok()?).into()),
        _ => None,
    }
}

fn rename(config: &mut Config, from: &str, to: &str) {
    if let Some(value) = config.shift_remove(from) {
        config.insert(to.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    // `yaml.dump(numpy.float32(1.5))`, and of an array without axes, without their tags.
    #[test]
    fn numbers_of_numpy_in_yaml() {
        let dtype = json!({ "args": ["f4", 0, 1], "state": [3, "<", null, null, null, -1, -1, 0] });
        let array = json!({ "args": [null, [0], "Yg==\n"], "state": [1, [], dtype, false, "AADAPw==\n"] });
        assert_eq!(pickled_number(&array), Some(json!(1.5)));
        assert_eq!(pickled_number(&json!({ "state": [1, [], { "args": ["O8"] }, false, "AADAPw=="] })), None);
        assert_eq!(base64("AAECAwQ="), Some(vec![0, 1, 2, 3, 4]));
        assert_eq!(base64("A*=="), None);
    }
}
