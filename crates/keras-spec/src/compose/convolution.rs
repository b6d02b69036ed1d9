//! Backward convolutions and average pooling.

use crate::error::Result;
use crate::op::{ConvSpec, Dims, Op, ReduceOp, WindowSpec};
use crate::shape::Shape;
use crate::tensor::Tensor;
use crate::vjp::{window_sum_backward, zeros};

/// The length of `n` elements with `dilation - 1` zeros between them, as far as padding is concerned.
fn dilated(n: usize, dilation: usize) -> isize {
    if n == 0 { 0 } else { ((n - 1) * dilation + 1) as isize }
}

/// The convolution of the dilated gradient with the filter turned round.
pub(super) fn backward_input(spec: &ConvSpec, input: &Shape, g: &Tensor, filter: &Tensor) -> Result<Tensor> {
    if g.shape().size() == 0 || input.size() == 0 {
        return zeros(input, g.dtype(), g);
    }
    let n = spec.strides.len();
    let padding = (0..n).map(|i| {
        let window = dilated(filter.shape()[i], spec.filter_dilation[i]);
        let low = window - 1 - spec.padding[i].0;
        let wanted = dilated(input[i + 1], spec.input_dilation[i]) + window - 1;
        (low, wanted - low - dilated(g.shape()[i + 1], spec.strides[i]))
    });
    let turned = ConvSpec {
        strides: spec.input_dilation.clone(),
        padding: padding.collect(),
        input_dilation: spec.strides.clone(),
        filter_dilation: spec.filter_dilation.clone(),
        groups: spec.groups,
    };
    let (per_group, out) = (filter.shape()[n], filter.shape()[n + 1]);
    let window = &filter.shape()[..n];
    let grouped = filter.reshape(shape(window, &[per_group, spec.groups, out / spec.groups]))?;
    let swapped = grouped.permute(&axes(n, &[n + 2, n + 1, n]))?;
    let swapped = swapped.reshape(shape(window, &[out / spec.groups, spec.groups * per_group]))?;
    let spatial: Vec<isize> = (0..n as isize).collect();
    let flipped = if n == 0 { swapped } else { swapped.flip(&spatial)? };
    g.convolution(&flipped, turned)
}

/// The convolution of the input with the gradient, batch and channels exchanged.
pub(super) fn backward_filter(spec: &ConvSpec, filter: &Shape, x: &Tensor, g: &Tensor) -> Result<Tensor> {
    if g.shape().size() == 0 || x.shape().size() == 0 || filter.size() == 0 {
        return zeros(filter, x.dtype(), x);
    }
    let n = spec.strides.len();
    let padding = (0..n).map(|i| {
        let low = spec.padding[i].0;
        let wanted =
            dilated(g.shape()[i + 1], spec.strides[i]) - 1 + dilated(filter[i], spec.filter_dilation[i]);
        (low, wanted - low - dilated(x.shape()[i + 1], spec.input_dilation[i]))
    });
    let turned = ConvSpec {
        strides: spec.filter_dilation.clone(),
        padding: padding.collect(),
        input_dilation: spec.input_dilation.clone(),
        filter_dilation: spec.strides.clone(),
        groups: spec.groups,
    };
    let (batch, per_group) = (x.shape()[0], filter[n]);
    let spatial = &x.shape()[1..=n];
    // (batch, spatial…, groups · in) → (in, spatial…, groups · batch)
    let grouped = x.reshape(shape(&[batch], &shape(spatial, &[spec.groups, per_group])))?;
    let mut order: Dims = (1..=n).collect();
    order.insert(0, n + 2);
    order.extend([n + 1, 0]);
    let x = grouped.permute(&order)?.reshape(shape(&[per_group], &shape(spatial, &[spec.groups * batch])))?;
    // (batch, spatial…, out) → (spatial…, batch, out), and the result (in, window…, out) → (window…, in, out)
    let front_to_back = |t: &Tensor| t.move_axis(0, n as isize);
    front_to_back(&x.convolution(&front_to_back(g)?, turned)?)
}

fn shape(first: &[usize], last: &[usize]) -> Shape {
    first.iter().chain(last).copied().collect()
}

fn axes(n: usize, last: &[usize]) -> Dims {
    (0..n).chain(last.iter().copied()).collect()
}

pub(super) fn avg_pool(window: &WindowSpec, x: &Tensor) -> Result<Tensor> {
    let sums = x.reduce_window(ReduceOp::Sum, window.clone())?;
    sums / count(window, x.shape(), x)?
}

pub(super) fn avg_pool_backward(window: &WindowSpec, input: &Shape, g: &Tensor) -> Result<Tensor> {
    window_sum_backward((g / count(window, input, g)?)?, window, input)
}

/// How many elements each window has, without padding.
fn count(window: &WindowSpec, input: &Shape, like: &Tensor) -> Result<Tensor> {
    if window.padding.iter().all(|p| *p == (0, 0)) {
        let size: usize = window.size.iter().product();
        return Tensor::full([], like.dtype(), size as f64, like.device());
    }
    let mut one = input.clone();
    if let [batch, .., channels] = one.dims_mut() {
        (*batch, *channels) = (1, 1);
    }
    let op = Op::ReduceWindow { op: ReduceOp::Sum, window: window.clone() };
    Tensor::apply1(op, [Tensor::full(one, like.dtype(), 1.0, like.device())?])
}
