//! Images of another size, in the ways of TensorFlow.

use keras_spec::{Error, Result};
use serde_json::{Value, json};

use super::Operations;
use super::call::{Call, length_of};
use super::images::size;

/// Whether a layer resizes in a way that layers of Keras 3 do not have.
pub(in super::super) fn is_other(layer: &Value) -> bool {
    let class = layer.get("class_name").and_then(Value::as_str).unwrap_or_default();
    let way = layer.pointer("/config/interpolation").and_then(Value::as_str).unwrap_or_default();
    ["Resizing", "UpSampling2D"].contains(&class) && ["area", "gaussian", "mitchellcubic"].contains(&way)
}

/// The calls of `tf.image.resize` that such a layer is.
///
/// # Errors
/// It crops or has channels first, or the size of its images is not known.
pub(super) fn calls(graph: &mut Operations, layer: &Value, name: &str) -> Result<Vec<Value>> {
    let config = &layer["config"];
    let wrong =
        |what: &str| Error::config(name, format!("`interpolation` = {} {what}", config["interpolation"]));
    if config.get("crop_to_aspect_ratio").is_some_and(|crop| crop == true) {
        return Err(wrong("with `crop_to_aspect_ratio`, which Keras 3 does not have"));
    }
    if config.get("data_format").is_some_and(|format| format == "channels_first") {
        return Err(wrong("of channels first, which Keras 3 does not have"));
    }
    let nodes = layer.get("inbound_nodes").and_then(Value::as_array);
    let one = |node: &Value| {
        let x = &node["args"][0];
        let size = match layer["class_name"] == "Resizing" {
            true => json!([config["height"], config["width"]]),
            false => {
                let shape = graph.trace(x)?.shape().to_vec();
                let factors = [&config["size"][0], &config["size"][1]].map(length_of);
                let [Some(rows), Some(columns)] = factors else { return Err(wrong("without `size`")) };
                let &[_, Some(height), Some(width), _] = shape.as_slice() else {
                    return Err(wrong(
                        "of images whose size is not known before, which Keras 3 does not have",
                    ));
                };
                json!([height.saturating_mul(rows), width.saturating_mul(columns)])
            }
        };
        Ok(json!({ "args": [x], "kwargs": { "size": size, "method": config["interpolation"] } }))
    };
    nodes.into_iter().flatten().map(one).collect()
}

/// How elements between elements are found.
#[derive(Clone, Copy, PartialEq)]
enum Method {
    Nearest,
    Bilinear,
    Bicubic,
    /// Each new element is the mean of what it covers.
    Area,
    /// A bell over each new element.
    Gaussian,
    /// A cubic curve that blurs a little.
    Mitchell,
}

/// Where the places of the new elements are between the old ones.
#[derive(Clone, Copy, PartialEq)]
enum Grid {
    /// The first ones lie on each other.
    Start,
    /// The first and the last ones do.
    Corners,
    /// The borders of images do.
    Borders,
}

impl Grid {
    fn place(self, i: usize, old: usize, new: usize) -> f64 {
        let scale = old as f64 / new as f64;
        match self {
            Grid::Start => i as f64 * scale,
            Grid::Corners if new > 1 => i as f64 * (old as f64 - 1.0) / (new as f64 - 1.0),
            Grid::Corners => 0.0,
            Grid::Borders => (i as f64 + 0.5) * scale - 0.5,
        }
    }
}

/// What each old element adds to each new one, `(new, old)`, of methods that look at all elements in reach. With `antialias`,
/// fewer elements than there were each reach over more of them.
fn reaching(method: Method, antialias: bool, old: usize, new: usize) -> Vec<Vec<f64>> {
    let scale = old as f64 / new as f64;
    let stretch = if antialias { scale.max(1.0) } else { 1.0 };
    let weight = |i: usize, j: usize| {
        let (i, j) = (i as f64, j as f64);
        let x = (j + 0.5 - (i + 0.5) * scale).abs() / stretch;
        match method {
            Method::Area => ((j + 1.0).min((i + 1.0) * scale) - j.max(i * scale)).max(0.0),
            Method::Gaussian if x < 1.5 => (-2.0 * x * x).exp(),
            Method::Mitchell if x < 1.0 => (7.0 / 6.0 * x - 2.0) * x * x + 8.0 / 9.0,
            Method::Mitchell if x < 2.0 => ((-7.0 / 18.0 * x + 2.0) * x - 10.0 / 3.0) * x + 16.0 / 9.0,
            _ => 0.0,
        }
    };
    let row = |i: usize| {
        let row: Vec<f64> = (0..old).map(|j| weight(i, j)).collect();
        let sum: f64 = row.iter().sum();
        row.iter().map(|weight| weight / sum).collect()
    };
    (0..new).map(row).collect()
}

/// What each old element adds to each new one, `(new, old)`, of methods that look at neighbours.
fn neighbours(method: Method, grid: Grid, old: usize, new: usize) -> Vec<Vec<f64>> {
    let last = old.saturating_sub(1) as i64;
    let row = |i: usize| {
        let mut row = vec![0.0; old];
        let place = grid.place(i, old, new);
        let (below, within) = (place.floor() as i64, place - place.floor());
        let mut add = |at: i64, weight: f64| {
            let inside = at.clamp(0, last);
            // Cubic curves between borders do not see the last element again and again.
            let counts = inside == at || method != Method::Bicubic || grid != Grid::Borders;
            if let Some(element) = row.get_mut(inside as usize).filter(|_| counts) {
                *element += weight;
            }
        };
        match method {
            Method::Nearest => add(if grid == Grid::Corners { place.round() as i64 } else { below }, 1.0),
            Method::Bilinear => {
                add(below, 1.0 - within);
                add(below + 1, within);
            }
            _ => cubic(grid, within).into_iter().zip(-1..).for_each(|(w, k)| add(below + k, w)),
        }
        let sum: f64 = row.iter().sum();
        row.iter().map(|weight| weight / sum).collect()
    };
    (0..new).map(row).collect()
}

/// The weights of four neighbours, by Keys's cubic curves, of which TensorFlow has a table of 1024 steps.
fn cubic(grid: Grid, within: f64) -> [f64; 4] {
    let a = if grid == Grid::Borders { -0.5 } else { -0.75 };
    let x = (within * 1024.0).round() / 1024.0;
    let near = |x: f64| ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
    let far = |x: f64| ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a;
    [far(x + 1.0), near(x), near(1.0 - x), far(2.0 - x)]
}

/// Images of another size, by products with weights along each axis.
fn resized(c: &mut Call, x: Value, method: Method, grid: Grid) -> Result<()> {
    scaled(c, x, method, |old, new| neighbours(method, grid, old, new))
}

/// Images of another size, of which `weights` says what old elements add to new ones.
fn scaled(
    c: &mut Call,
    x: Value,
    method: Method,
    weights: impl Fn(usize, usize) -> Vec<Vec<f64>>,
) -> Result<()> {
    let new = c.wholes(&["size"])?.unwrap_or_default();
    let &[height, width] = new.as_slice() else { return Err(c.wrong("without `size`")) };
    let (height, width) = (height.max(1) as usize, width.max(1) as usize);
    let shape = c.shape(&x)?;
    let [h, w] = size(c, &x)?;
    let channels = c.known(&shape, -1)?;
    c.limit(&[h, height])?;
    c.limit(&[w, width])?;
    if method == Method::Nearest {
        let places = |old: usize, new: usize| -> Vec<usize> {
            let rows = weights(old, new);
            rows.iter().map(|row| row.iter().position(|w| *w == 1.0).unwrap_or(0)).collect()
        };
        let rows = c.operation("Take", [x, json!(places(h, height))], json!({ "axis": -3 }));
        c.operation("Take", [rows, json!(places(w, width))], json!({ "axis": -2 }));
        return Ok(());
    }
    let x = c.float(x)?;
    let lead: Vec<Value> = if shape.len() > 3 { vec![json!(-1)] } else { Vec::new() };
    let flat = [lead.clone(), vec![json!(h), json!(w.saturating_mul(channels))]].concat();
    let rows = c.operation("Reshape", [x], json!({ "newshape": flat }));
    let rows = c.plain("Matmul", [json!(weights(h, height)), rows]);
    let whole = [lead, vec![json!(height), json!(w), json!(channels)]].concat();
    let rows = c.operation("Reshape", [rows], json!({ "newshape": whole }));
    c.plain("Matmul", [json!(weights(w, width)), rows]);
    Ok(())
}

/// TensorFlow 2's: the borders of images lie on each other.
pub(super) fn resize(c: &mut Call) -> Result<()> {
    let x = c.operand("images")?;
    let (method, antialias) = (c.text("method", "bilinear")?, c.flag(&["antialias"])?);
    let known = ["nearest", "bilinear", "bicubic", "lanczos3", "lanczos5"].contains(&&*method);
    let other = match &*method {
        "area" => Some(Method::Area),
        "gaussian" => Some(Method::Gaussian),
        "mitchellcubic" => Some(Method::Mitchell),
        _ => None,
    };
    if let Some(other) = other {
        return scaled(c, x, other, |old, new| reaching(other, antialias, old, new));
    }
    if !known {
        return Err(c.wrong(format!("with `method` = {method}")));
    }
    if method == "bicubic" && !antialias {
        return resized(c, x, Method::Bicubic, Grid::Borders);
    }
    let new = c.wholes(&["size"])?.unwrap_or_default();
    let &[height, width] = new.as_slice() else { return Err(c.wrong("without `size`")) };
    let x = if method == "nearest" { x } else { c.float(x)? };
    let config = json!({
        "height": height,
        "width": width,
        "interpolation": method,
        "antialias": antialias,
        "data_format": "channels_last",
    });
    c.operation("Resizing", [x], config);
    Ok(())
}

/// TensorFlow 1's grids.
fn grid(c: &mut Call) -> Result<Grid> {
    Ok(match (c.flag(&["align_corners"])?, c.flag(&["half_pixel_centers"])?) {
        (true, _) => Grid::Corners,
        (_, true) => Grid::Borders,
        _ => Grid::Start,
    })
}

pub(super) fn resize_bilinear(c: &mut Call) -> Result<()> {
    let (x, grid) = (c.operand("images")?, grid(c)?);
    resized(c, x, Method::Bilinear, grid)
}

pub(super) fn resize_bicubic(c: &mut Call) -> Result<()> {
    let (x, grid) = (c.operand("images")?, grid(c)?);
    resized(c, x, Method::Bicubic, grid)
}

pub(super) fn resize_nearest(c: &mut Call) -> Result<()> {
    let (x, grid) = (c.operand("images")?, grid(c)?);
    resized(c, x, Method::Nearest, grid)
}

/// The method is a number here.
pub(super) fn resize_images(c: &mut Call) -> Result<()> {
    let x = c.operand("images")?;
    let method = c.optional(&["method"]).unwrap_or_else(|| json!(0));
    let grid = grid(c)?;
    match (method.as_i64(), method.as_str()) {
        (Some(0), _) | (_, Some("bilinear")) => resized(c, x, Method::Bilinear, grid),
        (Some(1), _) | (_, Some("nearest")) => resized(c, x, Method::Nearest, grid),
        (Some(2), _) | (_, Some("bicubic")) => resized(c, x, Method::Bicubic, grid),
        (Some(3), _) | (_, Some("area")) => {
            scaled(c, x, Method::Area, |old, new| reaching(Method::Area, false, old, new))
        }
        _ => Err(c.wrong(format!("with `method` = {method}"))),
    }
}
