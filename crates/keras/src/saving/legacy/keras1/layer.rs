//! Single layers.

use keras_spec::{Config, Error, Result};
use serde_json::{Map, Value, json};

use super::{Era, arguments, class, config, merge, name, values};

/// Classes of which Keras 1 does not write where the channels are.
pub(super) fn is_silent(class: &str) -> bool {
    const SILENT: &[&str] = &[
        "ZeroPadding2D",
        "ZeroPadding3D",
        "Cropping2D",
        "Cropping3D",
        "UpSampling2D",
        "UpSampling3D",
        "SpatialDropout2D",
        "SpatialDropout3D",
    ];
    SILENT.contains(&class)
}

impl Era<'_> {
    /// A layer that is no model.
    pub(super) fn layer(&mut self, layer: &Value) -> Result<Value> {
        let class = class(layer);
        let (old, object) = (config(layer)?, name(layer));
        let mut new = Config::new();
        let known = arguments::find(class);
        let arguments = known.map_or(&[][..], |c| c.arguments);
        let moved = self.kernel_axes(class, old);
        for (key, value) in old {
            let renamed = arguments.iter().rev().copied().flatten().find(|(from, _)| from == key);
            let key = renamed.map_or(key.as_str(), |(_, to)| to);
            let value = self.value(object, key, value, moved);
            new.insert(key.to_owned(), value);
        }
        if let Some(known) = known.filter(|k| k.keras2 != class) {
            let text = format!("the class `{class}` is `{}` in Keras 2", known.keras2);
            self.report.renamed(object, text);
        }
        for key in ["cache_enabled", "consume_less", "custom_name", "input_shape"] {
            new.shift_remove(key);
        }
        let class = self.class_arguments(known.map_or(class, |k| k.keras2), class, object, old, &mut new)?;
        self.input_arguments(&class, &mut new);
        Ok(json!({ "class_name": class, "config": new }))
    }

    /// Where the axes of a kernel are that was `(out, in, …)`: constraints name them.
    fn kernel_axes(&self, class: &str, config: &Config) -> Option<&'static [usize]> {
        let first = config.get("dim_ordering").is_some_and(|o| o == "th");
        match class {
            _ if !first => None,
            "Convolution2D" | "AtrousConvolution2D" => Some(&[3, 2, 0, 1]),
            "Deconvolution2D" => Some(&[2, 3, 0, 1]),
            "Convolution3D" => Some(&[4, 3, 0, 1, 2]),
            _ => None,
        }
    }

    /// The value of an argument that goes by `key` in Keras 2.
    fn value(&mut self, object: &str, key: &str, value: &Value, axes: Option<&[usize]>) -> Value {
        if key.ends_with("_initializer") {
            let Some(function) = value.as_str() else { return value.clone() };
            return values::initializer(function).unwrap_or_else(|| {
                let text =
                    format!("`{function}` is no initializer of Keras; first values are Keras's default");
                self.report.dropped(object, text);
                json!("glorot_uniform")
            });
        }
        let converted = match value {
            // As Keras 2 writes them for the layers of Keras 1 that it still has.
            Value::Object(map) if map.contains_key("class_name") => return value.clone(),
            Value::Object(_) if key.ends_with("_regularizer") => values::regularizer(value),
            Value::Object(_) if key.ends_with("_constraint") => {
                values::constraint(value, axes.filter(|_| key == "kernel_constraint"))
            }
            other => return other.clone(),
        };
        converted.unwrap_or_else(|| {
            let text = format!("`{key}` is {value}, which Keras has no counterpart of");
            self.report.dropped(object, text);
            Value::Null
        })
    }

    /// Changes what a class's arguments mean beyond their names; gives the class's name in the form of Keras 2.
    fn class_arguments(
        &mut self,
        class: &str,
        old_class: &str,
        object: &str,
        old: &Config,
        new: &mut Config,
    ) -> Result<String> {
        let number = |key: &str| old.get(key).and_then(Value::as_u64);
        if let Some(ordering) = new.shift_remove("dim_ordering") {
            let format = ordering.as_str().and_then(values::data_format).unwrap_or(self.data_format);
            new.insert("data_format".to_owned(), values::data_format_name(format).into());
        } else if is_silent(class) {
            new.insert("data_format".to_owned(), values::data_format_name(self.data_format).into());
        }
        let size: Vec<u64> = ["nb_row", "nb_col", "kernel_dim1", "kernel_dim2", "kernel_dim3"]
            .into_iter()
            .filter_map(|key| {
                new.shift_remove(key);
                number(key)
            })
            .collect();
        if !size.is_empty() {
            new.insert("kernel_size".to_owned(), size.into());
        }
        match class {
            // In memory's order, whatever the order of dimensions: what Keras 3 calls `channels_last`.
            "Flatten"
            | "Conv1D"
            | "MaxPooling1D"
            | "AveragePooling1D"
            | "LocallyConnected1D"
            | "GlobalMaxPooling1D"
            | "GlobalAveragePooling1D" => {
                new.insert("data_format".to_owned(), "channels_last".into());
            }
            "SeparableConv2D" => {
                let initializer = new
                    .shift_remove("init")
                    .map(|init| self.value(object, "depthwise_initializer", &init, None));
                for key in ["depthwise_initializer", "pointwise_initializer"] {
                    if let Some(initializer) = &initializer {
                        new.insert(key.to_owned(), initializer.clone());
                    }
                }
            }
            "Conv2DTranspose" => self.deconvolution(new)?,
            "LSTM" | "ConvLSTM2D" => {
                let ones = new.shift_remove("forget_bias_init").is_none_or(|init| init == "one");
                new.insert("unit_forget_bias".to_owned(), ones.into());
            }
            "GRU" => {
                new.insert("reset_after".to_owned(), false.into());
            }
            "Highway" => {
                new.shift_remove("transform_bias");
            }
            "Embedding"
                if new.shift_remove("dropout").is_some_and(|d| d.as_f64().is_some_and(|d| d > 0.0)) =>
            {
                let text = "`dropout`, which dropped whole words while training, is left out";
                self.report.dropped(object, text);
            }
            "BatchNormalization" => match new.shift_remove("mode").and_then(|m| m.as_u64()).unwrap_or(0) {
                0 => {}
                mode => {
                    new.shift_remove("momentum");
                    new.insert("mode".to_owned(), mode.into());
                    self.report.converted(object, format!("`mode={mode}` is a layer of its own"));
                    return Ok("ModeNormalization".to_owned());
                }
            },
            "ZeroPadding2D" | "ZeroPadding1D" | "ZeroPadding3D" => padding(class, new)?,
            "Bidirectional" | "TimeDistributed" => {
                let inner = old.get("layer").ok_or_else(|| Error::config(class, "`layer` is missing"))?;
                let inner = self.model(inner)?;
                new.insert("layer".to_owned(), inner);
            }
            "InputLayer" => {
                if let Some(dtype) = new.shift_remove("input_dtype") {
                    new.insert("dtype".to_owned(), dtype);
                }
            }
            "Merge" => return merge::merge(object, old, new, self.report),
            "TimeDistributedMerge" if old.get("mode").is_some_and(|m| m == "ave") => {
                new.shift_remove("mode");
                return Ok("GlobalAveragePooling1D".to_owned());
            }
            "TimeDistributedMerge"
            | "ThresholdedLinear"
            | "Siamese"
            | "SiameseHead"
            | "LambdaMerge"
            | "MaskedLambda" => {
                let why = format!("`{object}` is of the class `{class}`, which only Keras 0.3 had");
                return Err(Error::config(class, why));
            }
            _ => {}
        }
        if old_class == "TimeDistributedDense" {
            let text = "`TimeDistributedDense` is `Dense`, which does the same for each step";
            self.report.converted(object, text);
        }
        Ok(class.to_owned())
    }

    /// Keras 2 finds the output's length from the input's; what Keras 1 was told is the `output_padding` that gives it.
    fn deconvolution(&self, new: &mut Config) -> Result<()> {
        let wrong = |what: &str| Error::config("Deconvolution2D", format!("`{what}` cannot be read"));
        let Some(Value::Array(output)) = new.shift_remove("output_shape") else {
            return Ok(());
        };
        let first = new.get("data_format").is_some_and(|f| f == "channels_first");
        let lengths = output.get(if first { 2..4 } else { 1..3 }).ok_or_else(|| wrong("output_shape"))?;
        let pair = |key: &str| -> Option<Vec<u64>> {
            let list = new.get(key)?.as_array()?;
            list.iter().map(Value::as_u64).collect()
        };
        let (sizes, strides) = (
            pair("kernel_size").ok_or_else(|| wrong("nb_row"))?,
            pair("strides").unwrap_or_else(|| vec![1, 1]),
        );
        let same = new.get("padding").is_some_and(|p| p == "same");
        let mut paddings = Vec::new();
        let mut natural = true;
        for ((length, size), stride) in lengths.iter().zip(sizes).zip(strides) {
            // A length that depends on the batch is that which the input gives.
            let (Some(length), true) = (length.as_u64(), stride > 0) else { return Ok(()) };
            let padding = if same {
                let inputs = length.div_ceil(stride);
                natural &= length % stride == 0;
                length.saturating_sub(inputs.saturating_sub(1) * stride + size % 2)
            } else {
                let padding = length.saturating_sub(size) % stride;
                natural &= padding == stride.saturating_sub(size);
                padding
            };
            paddings.push(padding);
        }
        if !natural {
            new.insert("output_padding".to_owned(), paddings.into());
        }
        Ok(())
    }

    /// The arguments with which the first layer of a model says what its inputs are.
    fn input_arguments(&self, class: &str, new: &mut Config) {
        if class != "InputLayer" {
            for key in ["batch_input_shape", "input_dtype"] {
                new.shift_remove(key);
            }
        }
        if class != "Embedding" {
            new.shift_remove("input_dim");
        }
        new.shift_remove("input_length");
    }
}

/// `padding` of an image, which Keras 1 also takes as four numbers or an object.
fn padding(class: &str, new: &mut Config) -> Result<()> {
    let Some(padding) = new.get("padding") else { return Ok(()) };
    let side = |map: &Map<String, Value>, key: &str| map.get(key).cloned().unwrap_or(json!(0));
    let converted = match padding {
        Value::Object(map) if class == "ZeroPadding1D" => {
            json!([side(map, "left_pad"), side(map, "right_pad")])
        }
        Value::Object(map) => json!([
            [side(map, "top_pad"), side(map, "bottom_pad")],
            [side(map, "left_pad"), side(map, "right_pad")],
        ]),
        Value::Array(sides) => match (class, sides.as_slice()) {
            ("ZeroPadding2D", [top, bottom, left, right]) => json!([[top, bottom], [left, right]]),
            _ => return Ok(()),
        },
        _ => return Ok(()),
    };
    new.insert("padding".to_owned(), converted);
    Ok(())
}
