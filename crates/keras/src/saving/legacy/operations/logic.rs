//! Activations, normalization and losses.

use keras_spec::Result;
use serde_json::{Value, json};

use super::call::Call;

pub(super) fn leaky_relu(c: &mut Call) -> Result<()> {
    let (x, alpha) = (c.operand("features")?, c.real("alpha", 0.2)?);
    c.operation("LeakyRelu", [x], json!({ "negative_slope": alpha }));
    Ok(())
}

pub(super) fn silu(c: &mut Call) -> Result<()> {
    let (x, beta) = (c.operand("features")?, c.real("beta", 1.0)?);
    if beta == 1.0 {
        c.plain("Silu", [x]);
        return Ok(());
    }
    let scaled = c.plain("Multiply", [x.clone(), json!(beta)]);
    let gate = c.plain("Sigmoid", [scaled]);
    c.plain("Multiply", [x, gate]);
    Ok(())
}

/// What is above 0 beside what is below.
pub(super) fn crelu(c: &mut Call) -> Result<()> {
    let (x, axis) = (c.operand("features")?, c.whole("axis", -1)?);
    let below = c.plain("Negative", [x.clone()]);
    let both = c.operation("Concatenate", [json!([x, below])], json!({ "axis": axis }));
    c.plain("Relu", [both]);
    Ok(())
}

pub(super) fn bias_add(c: &mut Call) -> Result<()> {
    let operands = [c.operand("value")?, c.operand("bias")?];
    if c.text("data_format", "NHWC")?.starts_with("NC") && c.shape(&operands[0])?.len() > 2 {
        return Err(c.wrong("with channels first"));
    }
    c.plain("Add", operands);
    Ok(())
}

/// `x / (bias + alpha · Σ x²)^beta`, with the sum over the channels beside each: a product with a band of ones.
pub(super) fn local_response_normalization(c: &mut Call) -> Result<()> {
    let x = c.operand("input")?;
    let radius = c.whole("depth_radius", 5)?.unsigned_abs();
    let (bias, alpha, beta) = (c.real("bias", 1.0)?, c.real("alpha", 1.0)?, c.real("beta", 0.5)?);
    let shape = c.shape(&x)?;
    let channels = c.known(&shape, -1)? as u64;
    c.limit(&[channels as usize, channels as usize])?;
    let row = |i: u64| (0..channels).map(|j| f64::from(u8::from(i.abs_diff(j) <= radius))).collect();
    let band: Vec<Vec<f64>> = (0..channels).map(row).collect();
    let squares = c.plain("Square", [x.clone()]);
    let sums = c.plain("Matmul", [squares, json!(band)]);
    let scaled = c.plain("Multiply", [sums, json!(alpha)]);
    let base = c.plain("Add", [scaled, json!(bias)]);
    let power = c.plain("Power", [base, json!(beta)]);
    c.plain("Divide", [x, power]);
    Ok(())
}

/// `max(x, 0) - x·z + log(1 + exp(-|x|))`.
fn sigmoid_loss(c: &mut Call, labels: Value, logits: Value) {
    let positive = c.plain("Relu", [logits.clone()]);
    let product = c.plain("Multiply", [logits.clone(), labels]);
    let size = c.plain("Absolute", [logits]);
    let negative = c.plain("Negative", [size]);
    let rest = c.plain("Softplus", [negative]);
    let difference = c.plain("Subtract", [positive, product]);
    c.plain("Add", [difference, rest]);
}

pub(super) fn sigmoid_cross_entropy(c: &mut Call) -> Result<()> {
    let (labels, logits) = (c.operand("labels")?, c.operand("logits")?);
    sigmoid_loss(c, labels, logits);
    Ok(())
}

fn softmax_loss(c: &mut Call, labels: Value, logits: Value, axis: i64) {
    let logarithms = c.operation("LogSoftmax", [logits], json!({ "axis": axis }));
    let products = c.plain("Multiply", [labels, logarithms]);
    let sum = c.operation("Sum", [products], json!({ "axis": axis }));
    c.plain("Negative", [sum]);
}

pub(super) fn softmax_cross_entropy(c: &mut Call) -> Result<()> {
    let (labels, logits) = (c.operand("labels")?, c.operand("logits")?);
    let axis = c.whole("axis", -1)?;
    softmax_loss(c, labels, logits, axis);
    Ok(())
}

pub(super) fn sparse_softmax_cross_entropy(c: &mut Call) -> Result<()> {
    let (labels, logits) = (c.operand("labels")?, c.operand("logits")?);
    let shape = c.shape(&logits)?;
    let classes = c.known(&shape, -1)?;
    let labels = c.operation("OneHot", [labels], json!({ "num_classes": classes, "dtype": "float32" }));
    softmax_loss(c, labels, logits, -1);
    Ok(())
}

/// What tf.keras adds to probabilities so that none is 0.
const EPSILON: f64 = 1e-7;

pub(super) fn binary_crossentropy(c: &mut Call) -> Result<()> {
    let (target, output) = (c.operand("target")?, c.operand("output")?);
    if c.flag(&["from_logits"])? {
        sigmoid_loss(c, target, output);
        return Ok(());
    }
    let bounds = json!({ "x_min": EPSILON, "x_max": 1.0 - EPSILON });
    let output = c.operation("Clip", [output], bounds);
    let others = |c: &mut Call, x: Value| c.plain("Subtract", [json!(1.0), x]);
    let mut parts = Vec::new();
    for (of, other) in [(target.clone(), output.clone()), (others(c, target), others(c, output))] {
        let above = c.plain("Add", [other, json!(EPSILON)]);
        let logarithm = c.plain("Log", [above]);
        parts.push(c.plain("Multiply", [of, logarithm]));
    }
    let sum = c.plain("Add", parts);
    c.plain("Negative", [sum]);
    Ok(())
}

pub(super) fn categorical_crossentropy(c: &mut Call) -> Result<()> {
    let (target, output) = (c.operand("target")?, c.operand("output")?);
    let (axis, logits) = (c.whole("axis", -1)?, c.flag(&["from_logits"])?);
    if logits {
        softmax_loss(c, target, output, axis);
        return Ok(());
    }
    let sum = c.operation("Sum", [output.clone()], json!({ "axis": axis, "keepdims": true }));
    let output = c.plain("Divide", [output, sum]);
    let output = c.operation("Clip", [output], json!({ "x_min": EPSILON, "x_max": 1.0 - EPSILON }));
    let logarithms = c.plain("Log", [output]);
    let products = c.plain("Multiply", [target, logarithms]);
    let sum = c.operation("Sum", [products], json!({ "axis": axis }));
    c.plain("Negative", [sum]);
    Ok(())
}
