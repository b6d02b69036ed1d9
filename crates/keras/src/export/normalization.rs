//! Normalization.

use keras_spec::{HostTensor, Result};

use super::graph::Graph;
use super::proto::Attribute;
use super::site::Site;

/// `BatchNormalization` as it predicts: a factor and a summand for each channel.
///
/// # Errors
/// A weight is missing.
pub(super) fn batch(graph: &mut Graph, site: &Site) -> Result<String> {
    let values = |name: &str| Ok::<_, keras_spec::Error>(site.optional_weight(name)?.map(|w| w.to_f64_vec()));
    let (mean, variance) =
        (site.weight("moving_mean")?.to_f64_vec(), site.weight("moving_variance")?.to_f64_vec());
    let (gamma, beta) = (values("gamma")?, values("beta")?);
    let epsilon = site.number("epsilon")?;
    let rank = site.input()?.rank();
    let axis = site.sizes("axis", 1)?[0];
    let axis = if axis < 0 { axis + rank as i64 } else { axis };
    let mut shape = vec![1; rank];
    match usize::try_from(axis).ok().and_then(|axis| shape.get_mut(axis)) {
        Some(n) => *n = mean.len(),
        None => return Err(site.unsupported(format!("there is no axis {axis}"))),
    }
    let of = |list: &Option<Vec<f64>>, i: usize, default: f64| {
        list.as_ref().and_then(|l| l.get(i)).copied().unwrap_or(default)
    };
    let scale: Vec<f64> =
        variance.iter().enumerate().map(|(i, v)| of(&gamma, i, 1.0) / (v + epsilon).sqrt()).collect();
    let shift =
        mean.iter().zip(&scale).enumerate().map(|(i, (m, s))| (of(&beta, i, 0.0) - m * s) as f32).collect();
    let scale = scale.into_iter().map(|s| s as f32).collect();
    let scale = graph.constant("scale", &HostTensor::new::<f32>(&*shape, scale)?)?;
    let shift = graph.constant("shift", &HostTensor::new::<f32>(&*shape, shift)?)?;
    let scaled = graph.node("Mul", &[&site.input()?.name, &scale], Vec::new());
    Ok(graph.node("Add", &[&scaled, &shift], Vec::new()))
}

/// `LayerNormalization` over the last axes.
///
/// # Errors
/// The axes are others.
pub(super) fn layer(graph: &mut Graph, site: &Site) -> Result<String> {
    let rank = site.input()?.rank() as i64;
    let axes = match site.argument("axis") {
        serde_json::Value::Array(list) => site.sizes("axis", list.len())?,
        _ => site.sizes("axis", 1)?,
    };
    let mut axes: Vec<i64> = axes.into_iter().map(|a| if a < 0 { a + rank } else { a }).collect();
    axes.sort_unstable();
    let first = rank - axes.len() as i64;
    if axes != (first..rank).collect::<Vec<_>>() {
        return Err(site.unsupported("its axes are not the last ones"));
    }
    if site.flag("rms_scaling") {
        return Err(site.unsupported("`rms_scaling`"));
    }
    let dims = &site.input()?.shape.dims()[first as usize..];
    let Some(dims) = dims.iter().copied().collect::<Option<Vec<usize>>>() else {
        return Err(site.unsupported("the length of an axis is not known"));
    };
    let gamma = site.optional_weight("gamma")?.map(|g| g.reshape(&*dims)).transpose()?;
    let gamma = gamma.unwrap_or_else(|| HostTensor::full(&*dims, keras_spec::DType::F32, 1.0));
    let mut inputs = vec![site.input()?.name.clone(), graph.constant("gamma", &gamma)?];
    if let Some(beta) = site.optional_weight("beta")? {
        inputs.push(graph.constant("beta", &beta.reshape(&*dims)?)?);
    }
    let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
    let epsilon = Attribute::float("epsilon", site.number("epsilon")? as f32);
    Ok(graph.node("LayerNormalization", &inputs, vec![Attribute::int("axis", first), epsilon]))
}
