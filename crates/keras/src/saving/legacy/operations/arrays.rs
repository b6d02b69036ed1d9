//! Parts, places and shapes.

use keras_spec::Result;
use serde_json::{Value, json};

use super::call::Call;
use super::{has_tensor, is_tensor};

/// A part of the key of `x[…]`, whose slices TensorFlow writes as plain dictionaries.
pub(super) fn slice(spec: Value) -> Value {
    match spec {
        Value::Array(list) => list.into_iter().map(slice).collect(),
        Value::Object(map) if map.contains_key("start") && !map.contains_key("class_name") => {
            json!({ "class_name": "__slice__", "config": map })
        }
        Value::Object(map) if map.get("class_name").is_some_and(|c| c == "__ellipsis__") => ellipsis(),
        other => other,
    }
}

/// The key `...`.
pub(super) fn ellipsis() -> Value {
    json!({ "class_name": "__ellipsis__", "config": {} })
}

/// `x[…]`; Keras 3 takes `None` only beside others.
pub(super) fn item(c: &mut Call) -> Result<()> {
    let (x, key) = (c.operand("tensor")?, c.optional(&["slice_spec"]).map(slice));
    let key = match key {
        None => json!([null]),
        Some(one @ Value::Object(_)) => json!([one]),
        Some(key) => key,
    };
    c.plain("GetItem", [x, key]);
    Ok(())
}

/// The key `start:stop`.
pub(super) fn range(start: Option<i64>, stop: Option<i64>) -> Value {
    slice(json!({ "start": start, "stop": stop, "step": null }))
}

/// The key `start:stop` of one axis of so many, and all of the others; `axis` may count from the end.
pub(super) fn range_along(axis: i64, rank: usize, start: Option<i64>, stop: Option<i64>) -> Value {
    let place = from_start(axis, rank);
    (0..rank).map(|i| if Some(i) == place { range(start, stop) } else { range(None, None) }).collect()
}

/// An axis that may count from the end, from the start.
pub(super) fn from_start(axis: i64, rank: usize) -> Option<usize> {
    let place = if axis < 0 { axis.checked_add_unsigned(rank as u64)? } else { axis };
    usize::try_from(place).ok().filter(|i| *i < rank)
}

/// `list[key]`, for one index or one slice.
pub(super) fn part_of_list(list: &Value, key: &Value) -> Option<Value> {
    let list = list.as_array()?;
    let key = match key {
        Value::Array(keys) if keys.len() == 1 => &keys[0],
        one => one,
    };
    let place =
        |i: i64| usize::try_from(if i < 0 { i.checked_add_unsigned(list.len() as u64)? } else { i }).ok();
    if let Some(i) = key.as_i64() {
        return list.get(place(i)?).cloned();
    }
    let bound = |name: &str, default: usize| match &key[name] {
        Value::Null => Some(default),
        given => Some(place(given.as_i64()?)?.min(list.len())),
    };
    let (start, stop) = (bound("start", 0)?, bound("stop", list.len())?);
    let step = if key["step"].is_null() { 1 } else { usize::try_from(key["step"].as_u64()?).ok()? };
    (step > 0).then(|| list.get(start..stop).unwrap_or_default().iter().step_by(step).cloned().collect())
}

/// The operation of Keras 3 that changes nothing; there is none of the name.
pub(super) fn unchanged(c: &mut Call, x: Value) {
    c.operation("Squeeze", [x], json!({ "axis": [] }));
}

/// The shape that may be given is that of the tensor.
pub(super) fn identity(c: &mut Call) -> Result<()> {
    let x = c.needed(&["input", "value", "x", "tensor"])?;
    c.optional(&["shape", "dtype", "dtype_hint", "preferred_dtype", "message"]);
    unchanged(c, x);
    Ok(())
}

/// So many elements from a place on, along each axis; -1 are all the rest.
pub(super) fn part(c: &mut Call) -> Result<()> {
    let x = c.operand("input_")?;
    let (begin, size) = (c.wholes(&["begin"])?.unwrap_or_default(), c.wholes(&["size"])?.unwrap_or_default());
    let stop = |start: i64, size: i64| (size >= 0).then(|| start.saturating_add(size));
    let key: Vec<Value> =
        begin.iter().zip(size).map(|(&start, size)| range(Some(start), stop(start, size))).collect();
    c.plain("GetItem", [x, key.into()]);
    Ok(())
}

/// `x[begin:end:strides]`, where the bits of masks say which numbers do not count.
pub(super) fn strided_slice(c: &mut Call) -> Result<()> {
    let x = c.operand("input_")?;
    let begin = c.wholes(&["begin"])?.unwrap_or_default();
    let end = c.wholes(&["end"])?.unwrap_or_default();
    let strides = c.wholes(&["strides"])?.unwrap_or_else(|| vec![1; begin.len()]);
    let mut mask = |name: &str| c.whole(name, 0);
    let (no_begin, no_end) = (mask("begin_mask")?, mask("end_mask")?);
    let (rest, new, single) = (mask("ellipsis_mask")?, mask("new_axis_mask")?, mask("shrink_axis_mask")?);
    let key = begin.iter().zip(&end).zip(&strides).enumerate().map(|(i, ((&begin, &end), &step))| {
        let is =
            |mask: i64| u32::try_from(i).ok().and_then(|i| mask.checked_shr(i)).is_some_and(|m| m & 1 == 1);
        if is(rest) {
            return ellipsis();
        }
        if is(new) {
            return Value::Null;
        }
        if is(single) {
            return begin.into();
        }
        let bound = |value: i64, mask: i64| (!is(mask)).then_some(value);
        slice(json!({ "start": bound(begin, no_begin), "stop": bound(end, no_end), "step": step }))
    });
    let key: Vec<Value> = key.collect();
    c.plain("GetItem", [x, key.into()]);
    Ok(())
}

/// Beside the size of the batch, which is open, another length may be as well: it is what is left of each element.
pub(super) fn reshape(c: &mut Call) -> Result<()> {
    let (x, target) = (c.operand("tensor")?, c.needed(&["shape"])?);
    let mut target = target.as_array().cloned().ok_or_else(|| c.wrong("to a shape that is computed"))?;
    let whole = |target: &[Value]| target.iter().position(|d| *d == -1);
    if let Some(place) = whole(&target).filter(|_| target.iter().any(Value::is_null)) {
        let shape = c.shape(&x)?;
        let inner = size(c, shape.get(1..).unwrap_or_default())?;
        let known: u64 = target.iter().filter_map(Value::as_u64).product();
        target[place] = json!((inner as u64).checked_div(known).unwrap_or(0));
    }
    if let Some(open) = target.iter_mut().find(|d| d.is_null()) {
        *open = json!(-1);
    }
    c.operation("Reshape", [x], json!({ "newshape": target }));
    Ok(())
}

fn is_descending(c: &mut Call) -> Result<bool> {
    Ok(c.text("direction", "ASCENDING")? == "DESCENDING")
}

pub(super) fn sort(c: &mut Call) -> Result<()> {
    let x = c.operand("values")?;
    let (axis, descending) = (c.whole("axis", -1)?, is_descending(c)?);
    let sorted = c.operation("Sort", [x], json!({ "axis": axis }));
    if descending {
        c.operation("Flip", [sorted], json!({ "axis": axis }));
    }
    Ok(())
}

pub(super) fn argsort(c: &mut Call) -> Result<()> {
    let mut x = c.operand("values")?;
    let axis = c.whole("axis", -1)?;
    // Keras's is stable, which is more than may be asked for.
    c.flag(&["stable"])?;
    if is_descending(c)? {
        x = c.plain("Negative", [x]);
    }
    c.operation("Argsort", [x], json!({ "axis": axis }));
    Ok(())
}

pub(super) fn one_hot(c: &mut Call) -> Result<()> {
    let x = c.operand("indices")?;
    let (depth, axis) = (c.length("depth")?, c.whole("axis", -1)?);
    let (on, off) = (c.real("on_value", 1.0)?, c.real("off_value", 0.0)?);
    let dtype = c.text("dtype", "float32")?;
    let ones = c.operation("OneHot", [x], json!({ "num_classes": depth, "axis": axis, "dtype": dtype }));
    if (on, off) != (1.0, 0.0) {
        let scaled = c.plain("Multiply", [ones, json!(on - off)]);
        c.plain("Add", [scaled, json!(off)]);
    }
    Ok(())
}

pub(super) fn sequence_mask(c: &mut Call) -> Result<()> {
    let (lengths, steps) = (c.operand("lengths")?, c.length("maxlen")?);
    let dtype = c.text("dtype", "bool")?;
    c.limit(&[steps])?;
    let lengths = c.operation("ExpandDims", [lengths], json!({ "axis": -1 }));
    let places: Vec<usize> = (0..steps).collect();
    let mask = c.plain("Greater", [lengths, json!(places)]);
    if dtype != "bool" {
        c.operation("Cast", [mask], json!({ "dtype": dtype }));
    }
    Ok(())
}

pub(super) fn split(c: &mut Call) -> Result<()> {
    let (x, parts) = (c.operand("value")?, c.needed(&["num_or_size_splits"])?);
    let axis = c.whole("axis", 0)?;
    let parts = match &parts {
        // Keras wants the places of the cuts, TensorFlow the lengths of the parts.
        Value::Array(lengths) => {
            let lengths: Option<Vec<u64>> = lengths.iter().map(Value::as_u64).collect();
            let lengths = lengths.ok_or_else(|| c.wrong("into parts of unknown length"))?;
            let ends = lengths.iter().scan(0_u64, |at, length| {
                *at = at.saturating_add(*length);
                Some(*at)
            });
            json!(ends.take(lengths.len().saturating_sub(1)).collect::<Vec<_>>())
        }
        _ => parts,
    };
    c.operation("Split", [x], json!({ "indices_or_sections": parts, "axis": axis }));
    Ok(())
}

pub(super) fn expand_dims(c: &mut Call) -> Result<()> {
    let x = c.operand("input")?;
    match c.wholes(&["axis", "dim"])?.as_deref() {
        Some([axis]) => drop(c.operation("ExpandDims", [x], json!({ "axis": axis }))),
        other => return Err(c.wrong(format!("with `axis` = {other:?}"))),
    }
    Ok(())
}

pub(super) fn repeat(c: &mut Call) -> Result<()> {
    let (x, axis) = (c.operand("input")?, c.optional(&["axis"]));
    match c.wholes(&["repeats"])?.as_deref() {
        Some([times]) => drop(c.operation("Repeat", [x], json!({ "repeats": times, "axis": axis }))),
        Some(times) => {
            let count = |n: &i64| usize::try_from(*n).unwrap_or(0);
            c.limit(&[times.iter().map(count).fold(0, usize::saturating_add)])?;
            let each = times.iter().enumerate();
            let places: Vec<usize> = each.flat_map(|(i, n)| std::iter::repeat_n(i, count(n))).collect();
            c.operation("Take", [x, json!(places)], json!({ "axis": axis }));
        }
        None => return Err(c.wrong("without `repeats`")),
    }
    Ok(())
}

pub(super) fn roll(c: &mut Call) -> Result<()> {
    let mut x = c.operand("input")?;
    let shifts = c.wholes(&["shift"])?.unwrap_or_default();
    let axes = c.wholes(&["axis"])?.unwrap_or_default();
    for (shift, axis) in shifts.iter().zip(axes) {
        x = c.operation("Roll", [x], json!({ "shift": shift, "axis": axis }));
    }
    Ok(())
}

/// Something around a tensor.
pub(super) fn padded(c: &mut Call, x: Value, widths: Value, mode: &str, value: f64) -> Value {
    let padded = c.operation("Pad", [x], json!({ "pad_width": widths, "mode": mode }));
    if value != 0.0 && mode == "constant" {
        c.keyword("constant_values", json!(value));
    }
    padded
}

pub(super) fn pad(c: &mut Call) -> Result<()> {
    let (x, widths) = (c.operand("tensor")?, c.needed(&["paddings"])?);
    let (mode, value) = (c.text("mode", "CONSTANT")?.to_ascii_lowercase(), c.real("constant_values", 0.0)?);
    padded(c, x, widths, &mode, value);
    Ok(())
}

/// A tensor whose batch is not known stays as long as it is, whatever is asked for.
pub(super) fn broadcast_to(c: &mut Call) -> Result<()> {
    let (x, target) = (c.operand("input")?, c.needed(&["shape"])?);
    let target = target.as_array().cloned().unwrap_or_default();
    let shape = c.shape(&x)?;
    if shape.len() != target.len() || shape.iter().all(Option::is_some) {
        c.operation("BroadcastTo", [x], json!({ "shape": target }));
        return Ok(());
    }
    let times = shape.iter().zip(&target).map(|(own, wanted)| match (own, wanted.as_u64()) {
        (Some(1), Some(n)) => Some(n),
        (Some(own), Some(n)) if *own as u64 == n => Some(1),
        (None, _) => Some(1),
        _ => None,
    });
    let times: Option<Vec<u64>> = times.collect();
    let times = times.ok_or_else(|| c.wrong(format!("of {shape:?} to {target:?}")))?;
    c.operation("Tile", [x], json!({ "repeats": times }));
    Ok(())
}

pub(super) fn gather(c: &mut Call) -> Result<()> {
    let (x, indices) = (c.operand("params")?, c.operand("indices")?);
    let batch = c.whole("batch_dims", 0)?;
    let axis = c.whole("axis", batch)?;
    c.optional(&["validate_indices"]);
    if batch == 0 {
        c.operation("Take", [x, indices], json!({ "axis": axis }));
        return Ok(());
    }
    // Indices of their own for each element of the batch.
    let (rank, own) = (c.shape(&x)?.len(), c.shape(&indices)?.len());
    if batch != 1 || from_start(axis, rank) != Some(1) || own != 2 || !is_tensor(&x) {
        return Err(c.wrong(format!("with `batch_dims` = {batch} along axis {axis} of {rank}")));
    }
    let mut indices = indices;
    for _ in 2..rank {
        indices = c.operation("ExpandDims", [indices], json!({ "axis": -1 }));
    }
    c.operation("TakeAlongAxis", [x, indices], json!({ "axis": 1 }));
    Ok(())
}

/// The product of lengths that must be known.
fn size(c: &Call, shape: &[Option<usize>]) -> Result<usize> {
    let size = shape.iter().copied().product::<Option<usize>>();
    size.ok_or_else(|| c.wrong(format!("of a tensor of shape {shape:?}, which is not known before")))
}

/// Single elements of the first axes.
pub(super) fn gather_nd(c: &mut Call) -> Result<()> {
    let (x, indices) = (c.operand("params")?, c.operand("indices")?);
    c.optional(&["bad_indices_policy"]);
    if c.whole("batch_dims", 0)? != 0 || has_tensor(&indices) {
        return Err(c.wrong("of places that are computed"));
    }
    let shape = c.shape(&x)?;
    let places: Option<Vec<Vec<i64>>> = indices.as_array().and_then(|rows| {
        rows.iter().map(|row| row.as_array()?.iter().map(Value::as_i64).collect()).collect()
    });
    let places = places.filter(|rows| rows.iter().all(|row| !row.is_empty() && row.len() == rows[0].len()));
    let places = places.ok_or_else(|| c.wrong("of places that are no list"))?;
    let depth = places.first().map_or(1, Vec::len).min(shape.len());
    let inner = &shape[1..depth.max(1)];
    let step = size(c, inner)?;
    let flat: Vec<i64> = places
        .iter()
        .map(|row| {
            let inside = row.iter().skip(1).zip(inner);
            let offset = inside.fold(0_i64, |at, (i, length)| {
                at.saturating_mul(length.unwrap_or(1) as i64).saturating_add(*i)
            });
            row[0].saturating_mul(step as i64).saturating_add(offset)
        })
        .collect();
    let mut rows = x;
    if depth > 1 {
        let rest = shape[depth..].iter().map(|d| json!(d));
        let shape: Vec<Value> = [json!(-1)].into_iter().chain(rest).collect();
        rows = c.operation("Reshape", [rows], json!({ "newshape": shape }));
    }
    c.operation("Take", [rows, json!(flat)], json!({ "axis": 0 }));
    Ok(())
}

pub(super) fn boolean_mask(c: &mut Call) -> Result<()> {
    let (x, mask) = (c.operand("tensor")?, c.operand("mask")?);
    let axis = c.whole("axis", 0)?;
    let flags: Option<Vec<bool>> = mask.as_array().and_then(|l| l.iter().map(Value::as_bool).collect());
    let flags =
        flags.ok_or_else(|| c.wrong("by a mask that is computed, whose result has no shape before"))?;
    let places: Vec<usize> = flags.iter().enumerate().filter(|(_, is)| **is).map(|(i, _)| i).collect();
    c.operation("Take", [x, json!(places)], json!({ "axis": axis }));
    Ok(())
}

pub(super) fn batch_flatten(c: &mut Call) -> Result<()> {
    let x = c.operand("x")?;
    let shape = c.shape(&x)?;
    let length = size(c, shape.get(1..).unwrap_or_default())?;
    c.operation("Reshape", [x], json!({ "newshape": [-1, length] }));
    Ok(())
}

/// Height, width and channels of images, channels last, and the argument that says how long blocks are.
fn blocks(c: &mut Call, x: &Value) -> Result<[usize; 4]> {
    let format = c.text("data_format", "NHWC")?;
    if format != "NHWC" {
        return Err(c.wrong(format!("with `data_format` = {format}")));
    }
    let block = c.length("block_size")?.max(1);
    let shape = c.shape(x)?;
    let sizes = [c.known(&shape, 1)?, c.known(&shape, 2)?, c.known(&shape, 3)?, block];
    small(c, &sizes)?;
    Ok(sizes)
}

/// Refuses lengths whose products are none.
fn small(c: &Call, lengths: &[usize]) -> Result<()> {
    match lengths.iter().find(|n| **n > 1 << 16) {
        Some(length) => Err(c.wrong(format!("with a length of {length}"))),
        None => Ok(()),
    }
}

/// A tensor cut in other axes, which are put in another order and then joined.
fn rearranged(c: &mut Call, x: Value, cut: Value, order: Value, joined: Value) {
    let parts = c.operation("Reshape", [x], json!({ "newshape": cut }));
    let turned = c.operation("Transpose", [parts], json!({ "axes": order }));
    c.operation("Reshape", [turned], json!({ "newshape": joined }));
}

pub(super) fn space_to_depth(c: &mut Call) -> Result<()> {
    let x = c.operand("input")?;
    let [h, w, channels, b] = blocks(c, &x)?;
    let cut = json!([-1, h / b, b, w / b, b, channels]);
    rearranged(c, x, cut, json!([0, 1, 3, 2, 4, 5]), json!([-1, h / b, w / b, b * b * channels]));
    Ok(())
}

pub(super) fn depth_to_space(c: &mut Call) -> Result<()> {
    let x = c.operand("input")?;
    let [h, w, channels, b] = blocks(c, &x)?;
    let depth = channels / (b * b);
    rearranged(
        c,
        x,
        json!([-1, h, w, b, b, depth]),
        json!([0, 1, 3, 2, 4, 5]),
        json!([-1, h * b, w * b, depth]),
    );
    Ok(())
}

/// Two lengths of blocks, and the lengths before and after each of two axes.
fn blocks_and_sides(c: &mut Call, sides: &str) -> Result<([usize; 2], [[usize; 2]; 2])> {
    let shape = c.needed(&["block_shape", "block_size"])?;
    let sides = c.optional(&[sides]).unwrap_or_else(|| json!([[0, 0], [0, 0]]));
    let shape = if shape.is_number() { json!([shape, shape]) } else { shape };
    let blocks: Option<[usize; 2]> = serde_json::from_value(shape).ok();
    let blocks = blocks.filter(|b| b.iter().all(|n| *n > 0));
    let sides = serde_json::from_value(sides).ok();
    let (blocks, sides): ([usize; 2], [[usize; 2]; 2]) = blocks
        .zip(sides)
        .ok_or_else(|| c.wrong("of other than two axes, or with lengths that are computed"))?;
    small(c, &[blocks, sides[0], sides[1]].concat())?;
    Ok((blocks, sides))
}

pub(super) fn space_to_batch(c: &mut Call) -> Result<()> {
    let mut x = c.operand("input")?;
    let ([a, b], [rows, columns]) = blocks_and_sides(c, "paddings")?;
    let shape = c.shape(&x)?;
    small(c, &[c.known(&shape, 1)?, c.known(&shape, 2)?])?;
    let h = (c.known(&shape, 1)? + rows[0] + rows[1]) / a;
    let w = (c.known(&shape, 2)? + columns[0] + columns[1]) / b;
    let channels = c.known(&shape, 3)?;
    if [rows, columns] != [[0; 2]; 2] {
        x = padded(c, x, json!([[0, 0], rows, columns, [0, 0]]), "constant", 0.0);
    }
    let cut = json!([-1, h, a, w, b, channels]);
    rearranged(c, x, cut, json!([2, 4, 0, 1, 3, 5]), json!([-1, h, w, channels]));
    Ok(())
}

pub(super) fn batch_to_space(c: &mut Call) -> Result<()> {
    let x = c.operand("input")?;
    let ([a, b], [rows, columns]) = blocks_and_sides(c, "crops")?;
    let shape = c.shape(&x)?;
    let (h, w, channels) = (c.known(&shape, 1)?, c.known(&shape, 2)?, c.known(&shape, 3)?);
    small(c, &[h, w])?;
    let parts = c.operation("Reshape", [x], json!({ "newshape": [a, b, -1, h, w, channels] }));
    let turned = c.operation("Transpose", [parts], json!({ "axes": [2, 3, 0, 4, 1, 5] }));
    let whole = c.operation("Reshape", [turned], json!({ "newshape": [-1, h * a, w * b, channels] }));
    if [rows, columns] != [[0; 2]; 2] {
        let inside = |[before, after]: [usize; 2], length: usize| {
            range(Some(before as i64), Some(length.saturating_sub(after) as i64))
        };
        let key = json!([range(None, None), inside(rows, h * a), inside(columns, w * b)]);
        c.plain("GetItem", [whole, key]);
    }
    Ok(())
}
