//! Pooling and convolution.

use keras_spec::Result;
use serde_json::{Value, json};

use super::call::Call;

/// Arguments that pooling and convolution have in common.
struct Window {
    /// How many spatial axes there are.
    axes: usize,
    data_format: &'static str,
    padding: &'static str,
    strides: Vec<i64>,
    dilation: Vec<i64>,
}

const STRIDES: [&str; 2] = ["strides", "stride"];

/// Numbers for each spatial axis, from one for all, one for each, or one for each axis of the tensor.
fn spatial(c: &mut Call, names: &[&str], axes: usize, first: bool) -> Result<Option<Vec<i64>>> {
    Ok(match c.wholes(names)?.as_deref() {
        None => None,
        Some([one]) => Some(vec![*one; axes]),
        Some(all) if all.len() == axes => Some(all.to_vec()),
        Some(all) if all.len() == axes + 2 => Some(all[1 + usize::from(first)..][..axes].to_vec()),
        Some(other) => {
            let name = names.first().unwrap_or(&"");
            return Err(c.wrong(format!("with `{name}` = {other:?} of {axes} axes")));
        }
    })
}

/// The arguments of a call on `x`, which is padded first where it says by how much.
fn window(c: &mut Call, x: &mut Value, default: &str) -> Result<Window> {
    let axes = c.shape(x)?.len().saturating_sub(2);
    let format = c.text("data_format", "N")?;
    let first = format.starts_with("NC");
    let data_format = if first { "channels_first" } else { "channels_last" };
    let strides = spatial(c, &STRIDES, axes, first)?.unwrap_or_else(|| vec![1; axes]);
    let dilation = ["dilations", "dilation_rate", "rates", "rate"];
    let dilation = spatial(c, &dilation, axes, first)?.unwrap_or_else(|| vec![1; axes]);
    let padding = match c.optional(&["padding"]).unwrap_or_else(|| default.into()) {
        Value::String(name) if name.eq_ignore_ascii_case("same") => "same",
        Value::String(name) if name.eq_ignore_ascii_case("valid") => "valid",
        widths @ Value::Array(_) => {
            *x = super::arrays::padded(c, x.clone(), widths, "constant", 0.0);
            "valid"
        }
        other => return Err(c.wrong(format!("with `padding` = {other}"))),
    };
    c.optional(&["use_cudnn_on_gpu"]);
    if let Some(other) = strides.iter().chain(&dilation).find(|n| !(1..1 << 16).contains(*n)) {
        return Err(c.wrong(format!("with steps or gaps of {other}")));
    }
    Ok(Window { axes, data_format, padding, strides, dilation })
}

fn pooling(c: &mut Call, classes: [&'static str; 3]) -> Result<()> {
    let x = c.operand("input")?;
    let mut padded = x.clone();
    let window = window(c, &mut padded, "VALID")?;
    if padded != x || window.dilation.iter().any(|d| *d != 1) {
        return Err(c.wrong("with padding by numbers, or with gaps"));
    }
    let first = window.data_format == "channels_first";
    let size = spatial(c, &["ksize", "window_shape"], window.axes, first)?;
    let size = size.ok_or_else(|| c.wrong("without `ksize`"))?;
    let class = window.axes.checked_sub(1).and_then(|i| classes.get(i));
    let class = class.ok_or_else(|| c.wrong(format!("over {} axes", window.axes)))?;
    let config = json!({
        "pool_size": size,
        "strides": window.strides,
        "padding": window.padding,
        "data_format": window.data_format,
    });
    c.operation(class, [x], config);
    Ok(())
}

pub(super) fn max_pool(c: &mut Call) -> Result<()> {
    pooling(c, ["MaxPooling1D", "MaxPooling2D", "MaxPooling3D"])
}

pub(super) fn average_pool(c: &mut Call) -> Result<()> {
    pooling(c, ["AveragePooling1D", "AveragePooling2D", "AveragePooling3D"])
}

pub(super) fn pool(c: &mut Call) -> Result<()> {
    match &*c.text("pooling_type", "")? {
        "MAX" => max_pool(c),
        "AVG" => average_pool(c),
        other => Err(c.wrong(format!("with `pooling_type` = {other}"))),
    }
}

fn convolve(c: &mut Call, class: &'static str, mut x: Value, filters: Value) -> Result<()> {
    let window = window(c, &mut x, "VALID")?;
    let config = json!({
        "strides": window.strides,
        "padding": window.padding,
        "data_format": window.data_format,
        "dilation_rate": window.dilation,
    });
    c.operation(class, [x, filters], config);
    Ok(())
}

pub(super) fn convolution(c: &mut Call) -> Result<()> {
    let (x, filters) = (c.needed(&["input", "value"])?, c.needed(&["filters", "filter"])?);
    convolve(c, "Conv", x, filters)
}

pub(super) fn depthwise(c: &mut Call) -> Result<()> {
    let (x, filter) = (c.operand("input")?, c.operand("filter")?);
    convolve(c, "DepthwiseConv", x, filter)
}

pub(super) fn separable(c: &mut Call) -> Result<()> {
    let (x, filter) = (c.operand("input")?, c.operand("depthwise_filter")?);
    let points = c.operand("pointwise_filter")?;
    let mut padded = x;
    let window = window(c, &mut padded, "VALID")?;
    let mut config = json!({
        "strides": window.strides,
        "padding": window.padding,
        "data_format": window.data_format,
        "dilation_rate": window.dilation,
    });
    let depths = c.operation("DepthwiseConv", [padded, filter], config.clone());
    config["strides"] = json!(vec![1; window.axes]);
    config["dilation_rate"] = json!(vec![1; window.axes]);
    c.operation("Conv", [depths, points], config);
    Ok(())
}

/// The output has the shape that is asked for only if it is the one that Keras gives it.
pub(super) fn transposed(c: &mut Call) -> Result<()> {
    let mut x = c.needed(&["input", "value"])?;
    let filters = c.needed(&["filters", "filter"])?;
    let wanted = c.optional(&["output_shape"]).and_then(|shape| shape.as_array().cloned());
    let own = x.clone();
    let window = window(c, &mut x, "SAME")?;
    if own != x {
        return Err(c.wrong("with padding by numbers"));
    }
    let (shape, sizes) = (c.shape(&x)?, c.shape(&filters)?);
    let first = window.data_format == "channels_first";
    let start = if first { 2 } else { 1 };
    for axis in 0..window.axes {
        let stride = window.strides[axis] as usize;
        let span =
            c.known(&sizes, axis as isize)?.saturating_sub(1).saturating_mul(window.dilation[axis] as usize);
        let span = span.saturating_add(1);
        let more = if window.padding == "same" { 0 } else { span.saturating_sub(stride) };
        let length =
            shape.get(start + axis).copied().flatten().map(|n| n.saturating_mul(stride).saturating_add(more));
        let asked = wanted.as_ref().and_then(|shape| match shape.len() == window.axes {
            true => shape.get(axis)?.as_u64(),
            false => shape.get(start + axis)?.as_u64(),
        });
        if let (Some(length), Some(asked)) = (length, asked)
            && length as u64 != asked
        {
            return Err(c.wrong(format!("with `output_shape` = {asked} along an axis of {length}")));
        }
    }
    let config = json!({
        "strides": window.strides,
        "padding": window.padding,
        "output_padding": null,
        "data_format": window.data_format,
        "dilation_rate": window.dilation,
    });
    c.operation("ConvTranspose", [x, filters], config);
    Ok(())
}
