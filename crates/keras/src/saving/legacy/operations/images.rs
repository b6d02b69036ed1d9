//! Images: `([batch,] height, width, channels)`.

use keras_spec::Result;
use serde_json::{Value, json};

use super::arrays;
use super::call::Call;

/// The key of a part of each image.
fn part(rows: [usize; 2], columns: [usize; 2]) -> Value {
    let range = |[start, stop]: [usize; 2]| arrays::range(Some(start as i64), Some(stop as i64));
    json!([arrays::ellipsis(), range(rows), range(columns), arrays::range(None, None)])
}

/// Height and width, which must be known.
pub(super) fn size(c: &mut Call, x: &Value) -> Result<[usize; 2]> {
    let shape = c.shape(x)?;
    Ok([c.known(&shape, -3)?, c.known(&shape, -2)?])
}

fn flip(c: &mut Call, axis: i64) -> Result<()> {
    let x = c.operand("image")?;
    c.operation("Flip", [x], json!({ "axis": [axis] }));
    Ok(())
}

pub(super) fn flip_left_right(c: &mut Call) -> Result<()> {
    flip(c, -2)
}

pub(super) fn flip_up_down(c: &mut Call) -> Result<()> {
    flip(c, -3)
}

fn swapped(c: &mut Call, x: Value) -> Value {
    c.operation("Swapaxes", [x], json!({ "axis1": -3, "axis2": -2 }))
}

pub(super) fn transpose(c: &mut Call) -> Result<()> {
    let x = c.operand("image")?;
    swapped(c, x);
    Ok(())
}

/// Against the clock.
pub(super) fn rot90(c: &mut Call) -> Result<()> {
    let x = c.operand("image")?;
    match c.whole("k", 1)?.rem_euclid(4) {
        0 => arrays::unchanged(c, x),
        1 => {
            let mirrored = c.operation("Flip", [x], json!({ "axis": [-2] }));
            swapped(c, mirrored);
        }
        2 => drop(c.operation("Flip", [x], json!({ "axis": [-3, -2] }))),
        _ => {
            let turned = swapped(c, x);
            c.operation("Flip", [turned], json!({ "axis": [-2] }));
        }
    }
    Ok(())
}

/// What the eye sees of red, green and blue.
const LUMA: [f64; 3] = [0.2989, 0.587, 0.114];

/// Images of floats; TensorFlow converts others in ways of their own.
fn floats(c: &mut Call, name: &str) -> Result<Value> {
    let x = c.operand(name)?;
    let as_float = c.float(x.clone())?;
    if as_float != x {
        return Err(c.wrong("of integers"));
    }
    Ok(x)
}

pub(super) fn rgb_to_grayscale(c: &mut Call) -> Result<()> {
    let x = floats(c, "images")?;
    let shares = c.plain("Multiply", [x, json!(LUMA)]);
    c.operation("Sum", [shares], json!({ "axis": -1, "keepdims": true }));
    Ok(())
}

pub(super) fn grayscale_to_rgb(c: &mut Call) -> Result<()> {
    let x = c.operand("images")?;
    c.operation("Repeat", [x], json!({ "repeats": 3, "axis": -1 }));
    Ok(())
}

pub(super) fn crop_to_bounding_box(c: &mut Call) -> Result<()> {
    let x = c.operand("image")?;
    let (top, left) = (c.length("offset_height")?, c.length("offset_width")?);
    let (height, width) = (c.length("target_height")?, c.length("target_width")?);
    c.plain("GetItem", [x, part([top, top.saturating_add(height)], [left, left.saturating_add(width)])]);
    Ok(())
}

pub(super) fn central_crop(c: &mut Call) -> Result<()> {
    let x = c.operand("image")?;
    let fraction = c.real("central_fraction", 1.0)?;
    let inside = |length: usize| {
        let start = ((length as f64 - length as f64 * fraction) / 2.0) as usize;
        [start, length.saturating_sub(start)]
    };
    let [height, width] = size(c, &x)?;
    c.plain("GetItem", [x, part(inside(height), inside(width))]);
    Ok(())
}

/// Zeros around each image.
fn padded(c: &mut Call, x: Value, rank: usize, [rows, columns]: [[usize; 2]; 2]) {
    let batch = vec![json!([0, 0]); rank.saturating_sub(3)];
    let widths = [batch, vec![json!(rows), json!(columns), json!([0, 0])]].concat();
    arrays::padded(c, x, widths.into(), "constant", 0.0);
}

pub(super) fn pad_to_bounding_box(c: &mut Call) -> Result<()> {
    let x = c.operand("image")?;
    let (top, left) = (c.length("offset_height")?, c.length("offset_width")?);
    let (height, width) = (c.length("target_height")?, c.length("target_width")?);
    let [own_height, own_width] = size(c, &x)?;
    let rest = |target: usize, before: usize, own: usize| target.checked_sub(before)?.checked_sub(own);
    let sides = rest(height, top, own_height).zip(rest(width, left, own_width));
    let wrong = || c.wrong(format!("to {height}×{width} of images of {own_height}×{own_width}"));
    let (bottom, right) = sides.ok_or_else(wrong)?;
    let rank = c.shape(&x)?.len();
    padded(c, x, rank, [[top, bottom], [left, right]]);
    Ok(())
}

pub(super) fn crop_or_pad(c: &mut Call) -> Result<()> {
    let x = c.operand("image")?;
    let target = [c.length("target_height")?, c.length("target_width")?];
    let own = size(c, &x)?;
    let inside = |i: usize| {
        let start = own[i].saturating_sub(target[i]) / 2;
        [start, start + own[i].min(target[i])]
    };
    let around = |i: usize| {
        let missing = target[i].saturating_sub(own[i]);
        [missing / 2, missing - missing / 2]
    };
    let rank = c.shape(&x)?.len();
    let cropped = c.plain("GetItem", [x, part(inside(0), inside(1))]);
    padded(c, cropped, rank, [around(0), around(1)]);
    Ok(())
}

/// Mean 0 and variance 1 of each image.
pub(super) fn standardize(c: &mut Call) -> Result<()> {
    let x = floats(c, "image")?;
    let shape = c.shape(&x)?;
    let count = c.known(&shape, -3)? as f64 * c.known(&shape, -2)? as f64 * c.known(&shape, -1)? as f64;
    let over = json!({ "axis": [-3, -2, -1], "keepdims": true });
    let mean = c.operation("Mean", [x.clone()], over.clone());
    let deviation = c.operation("Std", [x.clone()], over);
    let bounded = c.plain("Maximum", [deviation, json!(1.0 / count.sqrt())]);
    let centred = c.plain("Subtract", [x, mean]);
    c.plain("Divide", [centred, bounded]);
    Ok(())
}

pub(super) fn adjust_contrast(c: &mut Call) -> Result<()> {
    let (x, factor) = (floats(c, "images")?, c.operand("contrast_factor")?);
    let mean = c.operation("Mean", [x.clone()], json!({ "axis": [-3, -2], "keepdims": true }));
    let centred = c.plain("Subtract", [x, mean.clone()]);
    let scaled = c.plain("Multiply", [centred, factor]);
    c.plain("Add", [scaled, mean]);
    Ok(())
}

pub(super) fn adjust_brightness(c: &mut Call) -> Result<()> {
    let operands = [floats(c, "image")?, c.operand("delta")?];
    c.plain("Add", operands);
    Ok(())
}

pub(super) fn adjust_gamma(c: &mut Call) -> Result<()> {
    let x = floats(c, "image")?;
    let (gamma, gain) = (c.real("gamma", 1.0)?, c.real("gain", 1.0)?);
    let power = c.plain("Power", [x, json!(gamma)]);
    c.plain("Multiply", [power, json!(gain)]);
    Ok(())
}

/// Windows of images in a row, as channels.
pub(super) fn extract_patches(c: &mut Call) -> Result<()> {
    let x = c.operand("images")?;
    let numbers = |c: &mut Call, name: &str| -> Result<[usize; 2]> {
        let all = c.wholes(&[name])?.unwrap_or_else(|| vec![1; 4]);
        match all.as_slice() {
            [1, h, w, 1] if (1..1 << 16).contains(h) && (1..1 << 16).contains(w) => {
                Ok([*h as usize, *w as usize])
            }
            other => Err(c.wrong(format!("with `{name}` = {other:?}"))),
        }
    };
    let (sizes, strides, rates) = (numbers(c, "sizes")?, numbers(c, "strides")?, numbers(c, "rates")?);
    let padding = c.text("padding", "VALID")?;
    let own = size(c, &x)?;
    // An operation for each place in a window.
    c.limit(&[sizes[0], sizes[1], 1 << 10])?;
    let span = |i: usize| (sizes[i] - 1) * rates[i] + 1;
    let (mut sides, mut counts) = ([[0; 2]; 2], [0; 2]);
    for i in 0..2 {
        if padding == "SAME" {
            counts[i] = own[i].div_ceil(strides[i]);
            let total = (counts[i].saturating_sub(1).saturating_mul(strides[i]).saturating_add(span(i)))
                .saturating_sub(own[i]);
            sides[i] = [total / 2, total - total / 2];
        } else {
            counts[i] = own[i].saturating_add(strides[i]).saturating_sub(span(i)) / strides[i];
        }
    }
    let x = if sides == [[0; 2]; 2] {
        x
    } else {
        arrays::padded(c, x, json!([[0, 0], sides[0], sides[1], [0, 0]]), "constant", 0.0)
    };
    let mut places = Vec::new();
    for row in 0..sizes[0] {
        for column in 0..sizes[1] {
            let along = |i: usize, at: usize| {
                let start = at * rates[i];
                let last = counts[i].saturating_sub(1).saturating_mul(strides[i]);
                let stop = last.saturating_add(start + 1);
                arrays::slice(json!({ "start": start, "stop": stop, "step": strides[i] }))
            };
            let key = json!([arrays::range(None, None), along(0, row), along(1, column)]);
            places.push(c.plain("GetItem", [x.clone(), key]));
        }
    }
    c.operation("Concatenate", [places.into()], json!({ "axis": -1 }));
    Ok(())
}
