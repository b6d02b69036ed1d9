//! Operations that move elements: indexing, shapes, repetition.

use keras_spec::{CompareOp, DType, Error, Result, Shape, Tensor};
use serde_json::{Value, json};

use super::Run;

/// The tensor, or all its elements in a row where `axis` is null, and the axis.
pub(super) fn along(run: &Run, x: Tensor) -> Result<(Tensor, isize)> {
    match run.whole("axis")? {
        Some(axis) => Ok((x, axis)),
        None => Ok((x.reshape([x.shape().size()])?, 0)),
    }
}

/// `x[key]` of Python: integers, slices, `...` and `None`.
pub(super) fn get_item(run: &Run) -> Result<Vec<Tensor>> {
    let mut x = run.tensor(0)?;
    let key = run.value(1)?;
    let keys = match key {
        Value::Array(list) => list.as_slice(),
        one => std::slice::from_ref(one),
    };
    let is = |key: &Value, class: &str| key.get("class_name").is_some_and(|c| c == class);
    let taken = keys.iter().filter(|k| k.is_number() || is(k, "__slice__")).count();
    let mut axis = 0;
    for part in keys {
        if part.is_null() {
            x = x.expand_dims(axis)?;
            axis += 1;
        } else if is(part, "__ellipsis__") {
            let behind = keys.iter().skip_while(|k| !std::ptr::eq(*k, part)).skip(1);
            let later = behind.filter(|k| k.is_number() || is(k, "__slice__")).count();
            axis = x.rank().checked_sub(later).ok_or_else(|| too_many(run, &x, taken))? as isize;
        } else if part.is_number() {
            let length = length_of(run, &x, axis, taken)?;
            let i = run.integer("key", part)?;
            let place = if i < 0 { i.checked_add_unsigned(length) } else { Some(i) };
            let place = place.and_then(|i| usize::try_from(i).ok()).filter(|i| *i < length);
            let place =
                place.ok_or_else(|| run.wrong("key", &format!("an index of {length} elements"), i))?;
            x = x.index(axis, place)?;
        } else if is(part, "__slice__") {
            let length = length_of(run, &x, axis, taken)?;
            x = sliced(run, &x, axis as usize, length, &part["config"])?;
            axis += 1;
        } else {
            return Err(run.wrong("key", "integers, slices, `...` and None", part));
        }
    }
    Ok(vec![x])
}

/// The parts of length 1 along an axis, without it.
pub(super) fn unstack(run: &Run) -> Result<Vec<Tensor>> {
    let x = run.tensor(0)?;
    let axis = run.whole("axis")?.unwrap_or(0);
    let length = x.shape()[x.shape().axis(axis)?];
    (0..length).map(|i| x.index(axis, i)).collect()
}

fn too_many(run: &Run, x: &Tensor, taken: usize) -> Error {
    run.wrong("key", &format!("at most {} indices", x.rank()), taken)
}

fn length_of(run: &Run, x: &Tensor, axis: isize, taken: usize) -> Result<usize> {
    x.shape().get(axis as usize).copied().ok_or_else(|| too_many(run, x, taken))
}

fn sliced(run: &Run, x: &Tensor, axis: usize, length: usize, slice: &Value) -> Result<Tensor> {
    let bound = |name: &str| match &slice[name] {
        Value::Null => Ok(None),
        given => run.integer("key", given).map(Some),
    };
    let place = |given: Option<isize>, default: usize| match given {
        None => default,
        Some(i) if i < 0 => length.saturating_sub(i.unsigned_abs()),
        Some(i) => length.min(i.unsigned_abs()),
    };
    let step = bound("step")?.unwrap_or(1);
    if step < 0 {
        // Backwards is forwards through what is turned around, where -1 is the place before the first element.
        let turned = |name: &str| {
            let at = |i: isize| if i < 0 { i.saturating_add_unsigned(length).max(-1) } else { i };
            let last = length as isize - 1;
            Ok::<_, Error>(bound(name)?.map(|i| last - at(i).min(last)))
        };
        let forwards =
            json!({ "start": turned("start")?, "stop": turned("stop")?, "step": step.checked_neg() });
        return sliced(run, &x.flip(&[axis as isize])?, axis, length, &forwards);
    }
    let step = usize::try_from(step).ok().filter(|s| *s > 0);
    let step = step.ok_or_else(|| run.wrong("key", "slices whose step is not 0", slice))?;
    let mut starts = vec![0; x.rank()];
    let mut limits = x.shape().to_vec();
    let mut strides = vec![1; x.rank()];
    starts[axis] = place(bound("start")?, 0);
    limits[axis] = place(bound("stop")?, length).max(starts[axis]);
    strides[axis] = step;
    x.slice(&starts, &limits, &strides)
}

pub(super) fn reshape(run: &Run) -> Result<Vec<Tensor>> {
    let x = run.tensor(0)?;
    let Some(Value::Array(list)) = run.argument("newshape") else {
        return Err(run.wrong("newshape", "a list of integers", "none"));
    };
    // A dimension that was not known when the graph was made is what is left, as -1 is.
    let dims = list.iter().map(|v| if v.is_null() { Ok(-1) } else { run.integer("newshape", v) });
    let dims = dims.collect::<Result<Vec<_>>>()?;
    let known: usize = dims.iter().filter_map(|&d| usize::try_from(d).ok()).fold(1, usize::saturating_mul);
    let open = dims.iter().filter(|&&d| d < 0).count();
    if open > 1 || dims.iter().any(|&d| d < -1) {
        return Err(run.wrong("newshape", "sizes of which one may be -1", format!("{dims:?}")));
    }
    let rest = x.shape().size().checked_div(known).unwrap_or(0);
    let shape: Vec<usize> = dims.iter().map(|&d| usize::try_from(d).unwrap_or(rest)).collect();
    Ok(vec![x.reshape(shape)?])
}

pub(super) fn transpose(run: &Run) -> Result<Vec<Tensor>> {
    let x = run.tensor(0)?;
    let axes = match run.integers("axes")? {
        None => (0..x.rank()).rev().collect::<Vec<_>>(),
        Some(axes) => axes.iter().map(|&a| x.shape().axis(a)).collect::<Result<_>>()?,
    };
    Ok(vec![x.permute(&axes)?])
}

pub(super) fn squeeze(run: &Run) -> Result<Vec<Tensor>> {
    let x = run.tensor(0)?;
    let axes = match run.integers("axis")? {
        None => (0..x.rank()).filter(|&i| x.shape()[i] == 1).collect::<Vec<_>>(),
        Some(axes) => axes.iter().map(|&a| x.shape().axis(a)).collect::<Result<_>>()?,
    };
    if let Some(axis) = axes.iter().find(|&&i| x.shape()[i] != 1) {
        return Err(run.wrong("axis", "axes of length 1", format!("axis {axis} of {}", x.shape())));
    }
    let kept: Shape = (0..x.rank()).filter(|i| !axes.contains(i)).map(|i| x.shape()[i]).collect();
    Ok(vec![x.reshape(kept)?])
}

pub(super) fn broadcast_to(run: &Run) -> Result<Vec<Tensor>> {
    let shape = run.integers("shape")?.unwrap_or_default();
    let wrong = |_| run.wrong("shape", "sizes", format!("{shape:?}"));
    let shape = shape.iter().map(|&d| usize::try_from(d)).collect::<Result<Vec<_>, _>>().map_err(wrong)?;
    Ok(vec![run.tensor(0)?.broadcast_to(shape)?])
}

pub(super) fn split(run: &Run) -> Result<Vec<Tensor>> {
    let x = run.tensor(0)?;
    let axis = run.whole("axis")?.unwrap_or(0);
    let length = x.shape()[x.shape().axis(axis)?];
    match run.argument("indices_or_sections") {
        Some(Value::Array(_)) => {
            let cuts = run.integers("indices_or_sections")?.unwrap_or_default();
            let cut = |c: isize| match c < 0 {
                true => length.saturating_sub(c.unsigned_abs()),
                false => length.min(c.unsigned_abs()),
            };
            let ends = cuts.iter().map(|&c| cut(c)).chain([length]);
            let mut start = 0;
            ends.map(|end| {
                let part = x.narrow(axis, start, end.max(start));
                start = end;
                part
            })
            .collect()
        }
        _ => {
            let parts = run.needed("indices_or_sections")?;
            x.split(usize::try_from(parts).unwrap_or(0), axis)
        }
    }
}

pub(super) fn pad(run: &Run) -> Result<Vec<Tensor>> {
    let x = run.tensor(0)?;
    let mirrored = match run.argument("mode").map(|mode| (mode, mode.as_str())) {
        None | Some((_, Some("constant"))) => None,
        Some((_, Some("reflect"))) => Some(1),
        Some((_, Some("symmetric"))) => Some(0),
        Some((mode, _)) => return Err(run.wrong("mode", "`constant`, `reflect` or `symmetric`", mode)),
    };
    let wrong = |found: &Value| run.wrong("pad_width", "a pair for each axis", found);
    let width = run.argument("pad_width").unwrap_or(&Value::Null);
    let pair = |v: &Value| -> Result<(usize, usize)> {
        let sizes: Option<Vec<usize>> = match v {
            Value::Array(list) => list.iter().map(|n| n.as_u64().and_then(|n| n.try_into().ok())).collect(),
            one => one.as_u64().and_then(|n| n.try_into().ok()).map(|n| vec![n]),
        };
        match sizes.as_deref() {
            Some([both]) => Ok((*both, *both)),
            Some([before, after]) => Ok((*before, *after)),
            _ => Err(wrong(v)),
        }
    };
    let amounts = match width {
        Value::Array(list) if list.iter().all(Value::is_array) && list.len() == x.rank() => {
            list.iter().map(pair).collect::<Result<Vec<_>>>()?
        }
        Value::Array(list) if list.len() == 1 => vec![pair(&list[0])?; x.rank()],
        same => vec![pair(same)?; x.rank()],
    };
    let Some(skipped) = mirrored else {
        return Ok(vec![x.pad(&amounts, run.real("constant_values")?.unwrap_or(0.0))?]);
    };
    let mut x = x;
    for (axis, &(before, after)) in amounts.iter().enumerate().filter(|(_, sides)| **sides != (0, 0)) {
        let length = x.shape()[axis];
        if before.max(after) > length.saturating_sub(skipped) {
            return Err(run.wrong(
                "pad_width",
                &format!("at most the {length} elements that there are"),
                width,
            ));
        }
        let axis = axis as isize;
        let start = x.narrow(axis, skipped, skipped + before)?.flip(&[axis])?;
        let end = x.narrow(axis, length - skipped - after, length - skipped)?.flip(&[axis])?;
        x = Tensor::concatenate(&[start, x, end], axis)?;
    }
    Ok(vec![x])
}

/// The elements at places of their own for each line along an axis.
pub(super) fn take_along_axis(run: &Run) -> Result<Vec<Tensor>> {
    let (x, axis) = along(run, run.tensor(0)?)?;
    let (place, mut indices) = (x.shape().axis(axis)?, run.tensor(1)?);
    if indices.rank() != x.rank() {
        return Err(run.wrong("indices", &format!("{} axes", x.rank()), indices.shape()));
    }
    let length = x.shape()[place];
    let from_end = indices.compare_with(CompareOp::Lt, 0.0)?;
    indices = from_end.select(&(&indices + length as f64)?, &indices)?;
    let wide = x.shape().with(place, indices.shape()[place]);
    Ok(vec![x.take_along_axis(&indices.broadcast_to(wide)?, axis)?])
}

/// What is on a diagonal of two axes, as the last axis.
pub(super) fn diagonal(run: &Run) -> Result<Vec<Tensor>> {
    let x = run.tensor(0)?;
    let (first, second) = (run.whole("axis1")?.unwrap_or(0), run.whole("axis2")?.unwrap_or(1));
    let (first, second) = (x.shape().axis(first)?, x.shape().axis(second)?);
    if first == second {
        return Err(run.wrong("axis2", "another axis than `axis1`", second));
    }
    let kept = (0..x.rank()).filter(|i| *i != first && *i != second);
    let order: Vec<usize> = kept.chain([first, second]).collect();
    let x = x.permute(&order)?;
    let (rows, columns) = (x.shape()[x.rank() - 2], x.shape()[x.rank() - 1]);
    let offset = run.whole("offset")?.unwrap_or(0);
    let (down, right) = if offset < 0 { (offset.unsigned_abs(), 0) } else { (0, offset.unsigned_abs()) };
    let count = rows.saturating_sub(down).min(columns.saturating_sub(right));
    // In a row, the elements of a diagonal are a row and an element apart.
    let mut flat = x.shape().to_vec();
    flat.truncate(x.rank() - 2);
    flat.push(rows * columns);
    let place = |i: usize| ((down + i) * columns + right + i) as i64;
    let places = Tensor::from_fn([count], DType::I64, x.device(), place)?;
    Ok(vec![x.reshape(flat)?.take(&places, -1)?])
}

/// What is on and below diagonal `k` of the last two axes, or on and above it; zeros elsewhere.
pub(super) fn triangle(run: &Run, lower: bool) -> Result<Vec<Tensor>> {
    let x = run.tensor(0)?;
    let k = run.whole("k")?.unwrap_or(0);
    let Some([rows, columns]) = x.rank().checked_sub(2).map(|i| [x.shape()[i], x.shape()[i + 1]]) else {
        return Err(run.wrong("operand", "at least 2 axes", x.shape()));
    };
    let inside = |i: usize, j: usize| {
        let above = (j as isize).saturating_sub(i as isize);
        if lower { above <= k } else { above >= k }
    };
    let at = |i: usize| inside(i / columns, i % columns);
    let inside = Tensor::from_fn([rows, columns], DType::Bool, x.device(), at)?;
    let zero = Tensor::full(Shape::scalar(), x.dtype(), 0.0, x.device())?;
    Ok(vec![inside.select(&x, &zero)?])
}

/// Each element of an axis `times` times, one after the other; or the axis as a whole.
fn multiplied(run: &Run, x: &Tensor, axis: usize, times: isize, elements: bool) -> Result<Tensor> {
    let wrong = || run.wrong("repeats", "a number of times", times);
    let times = usize::try_from(times).map_err(|_| wrong())?;
    let mut wide = x.shape().clone();
    let at = if elements { axis + 1 } else { axis };
    wide.insert(at, times);
    let mut out = x.shape().clone();
    out.dims_mut()[axis] = x.shape()[axis].checked_mul(times).ok_or_else(wrong)?;
    x.expand_dims(at as isize)?.broadcast_to(wide)?.reshape(out)
}

pub(super) fn repeat(run: &Run) -> Result<Vec<Tensor>> {
    let (x, axis) = along(run, run.tensor(0)?)?;
    Ok(vec![multiplied(run, &x, x.shape().axis(axis)?, run.needed("repeats")?, true)?])
}

pub(super) fn tile(run: &Run) -> Result<Vec<Tensor>> {
    let mut x = run.tensor(0)?;
    let repeats = run.integers("repeats")?.unwrap_or_default();
    while x.rank() < repeats.len() {
        x = x.expand_dims(0)?;
    }
    let lead = x.rank() - repeats.len();
    for (i, &times) in repeats.iter().enumerate() {
        x = multiplied(run, &x, lead + i, times, false)?;
    }
    Ok(vec![x])
}

pub(super) fn roll(run: &Run) -> Result<Vec<Tensor>> {
    let x = run.tensor(0)?;
    let shape = x.shape().clone();
    let (line, axis) = along(run, x)?;
    let length = line.shape()[line.shape().axis(axis)?];
    let by = run.needed("shift")?.checked_rem_euclid(length as isize).unwrap_or(0) as usize;
    let parts = [line.narrow(axis, length - by, length)?, line.narrow(axis, 0, length - by)?];
    Ok(vec![Tensor::concatenate(&parts, axis)?.reshape(shape)?])
}

pub(super) fn take(run: &Run) -> Result<Vec<Tensor>> {
    let (x, axis) = along(run, run.tensor(0)?)?;
    let length = x.shape()[x.shape().axis(axis)?];
    let indices = run.tensor(1)?;
    let from_end = indices.compare_with(CompareOp::Lt, 0.0)?;
    let indices = from_end.select(&(&indices + length as f64)?, &indices)?;
    Ok(vec![x.take(&indices, axis)?])
}

pub(super) fn one_hot(run: &Run) -> Result<Vec<Tensor>> {
    let wrong = |_| run.wrong("num_classes", "a number of classes", "a negative one");
    let classes = usize::try_from(run.needed("num_classes")?).map_err(wrong)?;
    let y = run.tensor(0)?.one_hot(classes, run.dtype()?.unwrap_or(DType::F32))?;
    Ok(vec![y.move_axis(-1, run.whole("axis")?.unwrap_or(-1))?])
}
