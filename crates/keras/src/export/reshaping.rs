//! Layers that only move elements.

use keras_spec::{HostTensor, Result};
use serde_json::Value as Json;

use super::graph::Graph;
use super::proto::Attribute;
use super::site::Site;

/// `Flatten`, `Reshape`, `Permute`, `RepeatVector`
///
/// # Errors
/// A dimension that has to be known is not.
pub(super) fn reshape(graph: &mut Graph, site: &Site) -> Result<String> {
    let x = site.input()?;
    match site.layer.class().name {
        "Permute" => {
            let dims = site.sizes("dims", x.rank() - 1)?;
            let perm: Vec<i64> = std::iter::once(0).chain(dims).collect();
            Ok(graph.node("Transpose", &[&x.name], vec![Attribute::ints("perm", &perm)]))
        }
        "RepeatVector" => {
            let axes = graph.ints(&[1])?;
            let with_steps = graph.node("Unsqueeze", &[&x.name, &axes], Vec::new());
            let repeats = graph.ints(&[1, site.sizes("n", 1)?[0], 1])?;
            Ok(graph.node("Tile", &[&with_steps, &repeats], Vec::new()))
        }
        "Flatten" if !site.channels_last() && x.rank() > 2 => {
            let rank = x.rank() as i64;
            let perm: Vec<i64> = [0].into_iter().chain(2..rank).chain([1]).collect();
            let moved = graph.node("Transpose", &[&x.name], vec![Attribute::ints("perm", &perm)]);
            to_output(graph, site, &moved)
        }
        _ => to_output(graph, site, &x.name),
    }
}

/// The elements of `x` in the shape of the layer's result: 0 is the batch as it comes, -1 what is left.
///
/// # Errors
/// More than one dimension has to be found out.
pub(super) fn to_output(graph: &mut Graph, site: &Site, x: &str) -> Result<String> {
    let shape = site.output_shape()?;
    let (Some((batch, dims)), own) = (shape.dims().split_first(), site.input()?.shape.dims().first()) else {
        return Err(site.unsupported("its result has no batch"));
    };
    if own != Some(batch) {
        return Err(site.unsupported("the batch does not stay what it is"));
    }
    if dims.iter().filter(|n| n.is_none()).count() > 1 {
        return Err(site.unsupported("two dimensions of its result are not known"));
    }
    let rest = dims.iter().map(|n| n.map_or(-1, |n| n as i64));
    let shape: Vec<i64> = std::iter::once(0).chain(rest).collect();
    let shape = graph.ints(&shape)?;
    Ok(graph.node("Reshape", &[x, &shape], Vec::new()))
}

/// How much goes to, or from, both sides of each spatial axis: numbers, or pairs of them.
fn pairs(site: &Site, name: &str) -> Result<Vec<[i64; 2]>> {
    let rank = site.input()?.rank().saturating_sub(2);
    let pair = |value: &Json| match value {
        Json::Array(pair) => match pair.as_slice() {
            [a, b] => Some([a.as_i64()?, b.as_i64()?]),
            _ => None,
        },
        one => one.as_i64().map(|n| [n, n]),
    };
    let value = site.argument(name);
    let list: Option<Vec<[i64; 2]>> = match value {
        // One axis: a number, or the two sides of it.
        _ if rank == 1 => pair(value).map(|p| vec![p]),
        Json::Array(list) => list.iter().map(pair).collect(),
        one => one.as_i64().map(|n| vec![[n, n]; rank]),
    };
    list.filter(|l| l.len() == rank).ok_or_else(|| site.unsupported(format!("`{name}` is {value}")))
}

/// `ZeroPadding1D`, `ZeroPadding2D`, `ZeroPadding3D`
///
/// # Errors
/// The padding is not what the class takes.
pub(super) fn zero_padding(graph: &mut Graph, site: &Site) -> Result<String> {
    let x = site.input()?;
    let (mut begins, mut ends) = (vec![0; x.rank()], vec![0; x.rank()]);
    for (axis, [begin, end]) in site.spatial_axes()?.into_iter().zip(pairs(site, "padding")?) {
        (begins[axis as usize], ends[axis as usize]) = (begin, end);
    }
    let pads = graph.ints(&[begins, ends].concat())?;
    Ok(graph.node("Pad", &[&x.name, &pads], Vec::new()))
}

/// `Cropping1D`, `Cropping2D`, `Cropping3D`
///
/// # Errors
/// The cropping is not what the class takes.
pub(super) fn cropping(graph: &mut Graph, site: &Site) -> Result<String> {
    let (axes, pairs) = (site.spatial_axes()?, pairs(site, "cropping")?);
    let starts: Vec<i64> = pairs.iter().map(|p| p[0]).collect();
    let ends: Vec<i64> = pairs.iter().map(|p| if p[1] == 0 { i64::MAX } else { -p[1] }).collect();
    let (starts, ends, axes) = (graph.ints(&starts)?, graph.ints(&ends)?, graph.ints(&axes)?);
    Ok(graph.node("Slice", &[&site.input()?.name, &starts, &ends, &axes], Vec::new()))
}

/// `UpSampling1D`, `UpSampling2D`, `UpSampling3D`
///
/// # Errors
/// The interpolation has no counterpart.
pub(super) fn up_sampling(graph: &mut Graph, site: &Site) -> Result<String> {
    let rank = site.input()?.rank().saturating_sub(2);
    let sizes = site.sizes("size", rank)?;
    let attributes = match site.argument("interpolation").as_str() {
        None | Some("nearest") => vec![
            Attribute::text("mode", "nearest"),
            Attribute::text("coordinate_transformation_mode", "asymmetric"),
            Attribute::text("nearest_mode", "floor"),
        ],
        Some("bilinear") => vec![
            Attribute::text("mode", "linear"),
            Attribute::text("coordinate_transformation_mode", "half_pixel"),
        ],
        Some(other) => return Err(site.unsupported(format!("the interpolation `{other}`"))),
    };
    let scales: Vec<f32> = [1.0, 1.0].into_iter().chain(sizes.iter().map(|&n| n as f32)).collect();
    site.channels_first(graph, |graph, x| {
        let scales = graph.constant("scales", &HostTensor::new([scales.len()], scales)?)?;
        Ok(graph.node("Resize", &[x, "", &scales], attributes))
    })
}
