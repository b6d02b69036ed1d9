//! Gradients of reductions, scans and windows.

use super::elementwise::where_or_zero;
use super::indexing::Place;
use super::movement::{permute, spread};
use super::zeros;
use crate::error::{Error, Result};
use crate::host::HostTensor;
use crate::op::{Dims, Op, ReduceOp, UnaryOp, WindowSpec};
use crate::shape::Shape;
use crate::tape::Saved;
use crate::tensor::Tensor;

pub(super) fn reduce(op: ReduceOp, saved: &Saved, c: Tensor, axes: &[usize]) -> Result<Tensor> {
    let shape = saved.spec(0)?.0;
    let kept: Shape = (0..shape.rank()).map(|i| if axes.contains(&i) { 1 } else { shape[i] }).collect();
    let c = c.reshape(&kept)?;
    match op {
        ReduceOp::Sum => c.broadcast_to(shape),
        ReduceOp::Max | ReduceOp::Min => {
            let reached = saved.operand(0)?.equal(&saved.result(0)?.reshape(&kept)?)?.cast(c.dtype())?;
            let signed: Vec<isize> = axes.iter().map(|&a| a as isize).collect();
            let count = if axes.is_empty() { reached.clone() } else { reached.sum(&signed, true)? };
            (c / count)? * reached
        }
        ReduceOp::Prod => {
            // The product of the others, without a division: also right where elements are zero.
            let x = saved.operand(0)?;
            let order: Dims =
                (0..x.rank()).filter(|i| !axes.contains(i)).chain(axes.iter().copied()).collect();
            let moved = x.permute(&order)?;
            let lead = x.rank() - axes.len();
            let mut flat = Shape::from(&moved.shape()[..lead]);
            flat.push(moved.shape()[lead..].iter().product());
            let line = moved.reshape(&flat)?;
            let before = product_of_earlier(&line, lead)?;
            let last = [lead as isize];
            let after = product_of_earlier(&line.flip(&last)?, lead)?.flip(&last)?;
            c * permute(&(before * after)?.reshape(moved.shape())?, &order)?
        }
    }
}

/// For each element the product of those before it along `axis`.
fn product_of_earlier(x: &Tensor, axis: usize) -> Result<Tensor> {
    shift(x, axis, 1, 1.0)?.cumulative(ReduceOp::Prod, axis as isize)
}

/// Moves elements `by` places towards the end of an axis; `value` comes in.
fn shift(x: &Tensor, axis: usize, by: usize, value: f64) -> Result<Tensor> {
    let n = x.shape()[axis];
    let by = by.min(n);
    let mut amounts = vec![(0, 0); x.rank()];
    amounts[axis].0 = by;
    x.narrow(axis as isize, 0, n - by)?.pad(&amounts, value)
}

pub(super) fn cumulative(op: ReduceOp, saved: &Saved, c: Tensor, axis: usize) -> Result<Tensor> {
    let along = axis as isize;
    match op {
        ReduceOp::Sum => c.flip(&[along])?.cumulative(ReduceOp::Sum, along)?.flip(&[along]),
        ReduceOp::Prod => {
            // With s_j = c_j + x_{j+1} s_{j+1}, the gradient at j is s_j times the product of what comes before j.
            let x = saved.operand(0)?;
            let steps = shift(&x.flip(&[along])?, axis, 1, 0.0)?;
            let sums = recurrence(steps, c.flip(&[along])?, axis)?.flip(&[along])?;
            product_of_earlier(x, axis)? * sums
        }
        ReduceOp::Max | ReduceOp::Min => {
            // The gradient goes to the first element that reached the extreme.
            let (x, y) = (saved.operand(0)?, saved.result(0)?);
            let n = x.shape()[axis];
            if c.shape().size() == 0 {
                return Ok(c);
            }
            let mut line = Shape::from(vec![1; x.rank()]);
            line.dims_mut()[axis] = n;
            let places = HostTensor::new(line, (0..n as i32).collect::<Vec<_>>())?;
            let places = Tensor::from_host(places, x.device())?;
            let before = shift(y, axis, 1, 0.0)?;
            let ahead = if op == ReduceOp::Max { x.greater(&before)? } else { x.less(&before)? };
            // The first element has nothing before it; its place is 0 whatever the comparison says.
            let source = where_or_zero(&ahead, &places)?.cumulative(ReduceOp::Max, along)?;
            Place::elements(axis).add_into_zeros(saved.spec(0)?.0, &source, c)
        }
    }
}

/// `s_j = b_j + a_j s_{j-1}` along an axis, in a logarithmic number of steps.
fn recurrence(mut a: Tensor, mut b: Tensor, axis: usize) -> Result<Tensor> {
    let mut reach = 1;
    while reach < b.shape()[axis] {
        b = (&b + (&a * shift(&b, axis, reach, 0.0)?)?)?;
        a = (&a * shift(&a, axis, reach, 0.0)?)?;
        reach *= 2;
    }
    Ok(b)
}

pub(super) fn reduce_window(op: ReduceOp, saved: &Saved, c: Tensor, window: &WindowSpec) -> Result<Tensor> {
    match op {
        ReduceOp::Sum => window_sum_backward(c, window, saved.spec(0)?.0),
        ReduceOp::Max => Tensor::apply1(Op::SelectAndScatter(window.clone()), [saved.operand(0)?.clone(), c]),
        ReduceOp::Min => {
            let x = saved.operand(0)?.unary(UnaryOp::Neg)?;
            Tensor::apply1(Op::SelectAndScatter(window.clone()), [x, c])
        }
        ReduceOp::Prod => Err(Error::Gradient("products over windows have none".to_owned())),
    }
}

/// Adds each element to every place of its window, in zeros of the shape `input`.
pub(crate) fn window_sum_backward(c: Tensor, window: &WindowSpec, input: &Shape) -> Result<Tensor> {
    if c.shape().size() == 0 {
        return zeros(input, c.dtype(), &c);
    }
    let n = window.size.len();
    let flat = |value| Dims::from_elem(value, n + 2);
    let (mut low, mut high, mut interior) = (flat(0), flat(0), flat(0));
    let (mut start, mut limit) = (flat(0), flat(0));
    limit[0] = c.shape()[0];
    limit[n + 1] = c.shape()[n + 1];
    for i in 0..n {
        // Every place is reached by the windows of the last `size` ones, counted from the first window's start.
        let (size, length) = (window.size[i], spread(c.shape()[i + 1], window.strides[i]));
        let first = window.padding[i].0;
        interior[i + 1] = window.strides[i] - 1;
        low[i + 1] = size - 1;
        high[i + 1] = (input[i + 1] + first).saturating_sub(length);
        start[i + 1] = first;
        limit[i + 1] = first + input[i + 1] + size - 1;
    }
    let stride = flat(1);
    let c =
        Tensor::apply1(Op::Pad { value: 0.0, low, high, interior }, [c])?.slice(&start, &limit, &stride)?;
    let each = WindowSpec {
        size: window.size.clone(),
        strides: Dims::from_elem(1, n),
        padding: window.padding.iter().map(|_| (0, 0)).collect(),
    };
    c.reduce_window(ReduceOp::Sum, each)
}

/// The elements of `c` at the places of the first maximum of each window in `x`.
pub(super) fn select_from_windows(x: &Tensor, c: &Tensor, window: &WindowSpec) -> Result<Tensor> {
    let best = x.reduce_window(ReduceOp::Max, window.clone())?;
    let n = window.size.len();
    let mut amounts = vec![(0, 0); n + 2];
    amounts[1..=n].copy_from_slice(&window.padding);
    let (x, c) = (x.pad(&amounts, f64::NEG_INFINITY)?, c.pad(&amounts, 0.0)?);
    let mut strides = Dims::from_elem(1, n + 2);
    strides[1..=n].copy_from_slice(&window.strides);
    let mut picked = zeros(best.shape(), c.dtype(), &c)?;
    // From the last offset to the first, so that the first maximum has the last word.
    for offset in (0..window.size.iter().product()).rev() {
        let mut rest: usize = offset;
        let mut start = Dims::from_elem(0, n + 2);
        let mut limit: Dims = best.shape().iter().copied().collect();
        for i in (0..n).rev() {
            start[i + 1] = rest % window.size[i];
            rest /= window.size[i];
            limit[i + 1] = start[i + 1] + spread(best.shape()[i + 1], window.strides[i]);
        }
        let found = x.slice(&start, &limit, &strides)?.equal(&best)?;
        picked = found.select(&c.slice(&start, &limit, &strides)?, &picked)?;
    }
    Ok(picked)
}
