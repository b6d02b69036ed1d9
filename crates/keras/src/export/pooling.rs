//! Pooling.

use keras_spec::Result;

use super::graph::Graph;
use super::proto::Attribute;
use super::site::Site;

/// Pooling in windows.
///
/// # Errors
/// An argument is not what the class takes.
pub(super) fn windows(graph: &mut Graph, site: &Site, op: &str) -> Result<String> {
    let rank = site.input()?.rank().saturating_sub(2);
    let size = site.sizes("pool_size", rank)?;
    let strides =
        if site.argument("strides").is_null() { size.clone() } else { site.sizes("strides", rank)? };
    let mut attributes = vec![Attribute::ints("kernel_shape", &size), Attribute::ints("strides", &strides)];
    if site.text("padding")? == "same" {
        attributes.push(Attribute::text("auto_pad", "SAME_UPPER"));
    }
    site.channels_first(graph, |graph, x| Ok(graph.node(op, &[x], attributes)))
}

/// Pooling over all places.
///
/// # Errors
/// None in practice.
pub(super) fn global(graph: &mut Graph, site: &Site, op: &str) -> Result<String> {
    let attributes = vec![
        Attribute::ints("axes", &site.spatial_axes()?),
        Attribute::int("keepdims", site.flag("keepdims").into()),
    ];
    Ok(graph.node(op, &[&site.input()?.name], attributes))
}
