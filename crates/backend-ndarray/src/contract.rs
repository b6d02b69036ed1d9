//! Matrix products and convolutions.

use keras_kernels::Num;
use keras_kernels::gemm::{Gemm, Layout, gemm};
use keras_spec::{ConvSpec, Result};

use crate::buffer::{Buffer, Item, Shared, array, broken, standard};
use crate::window::{Positions, steps};

/// The array's elements as they lie in memory, and where the first one is; a copy if there are gaps between them.
fn memory<T: Item>(x: &mut Shared<T>) -> Result<(&[T], usize)> {
    if x.as_slice_memory_order().is_none() {
        *x = standard(std::mem::take(x));
    }
    let before =
        |(&n, &stride): (&usize, &isize)| if stride < 0 { (n - 1) * stride.unsigned_abs() } else { 0 };
    let first = if x.is_empty() { 0 } else { x.shape().iter().zip(x.strides()).map(before).sum() };
    let data = x.as_slice_memory_order().ok_or_else(|| broken("matmul", "the elements have gaps"))?;
    Ok((data, first))
}

/// The strides of the leading axes, broadcast to `batch`.
fn batch_strides<T>(x: &Shared<T>, batch: &[usize]) -> Vec<isize> {
    let lead = x.ndim() - 2;
    let mut strides = vec![0; batch.len()];
    for (i, stride) in strides[batch.len() - lead..].iter_mut().enumerate() {
        *stride = if x.shape()[i] == 1 { 0 } else { x.strides()[i] };
    }
    strides
}

pub(crate) fn matmul<T: Item + Num>(mut a: Shared<T>, b: Buffer) -> Result<Buffer> {
    let mut b = T::unwrap(b)?;
    let (ra, rb) = (a.ndim(), b.ndim());
    let (m, k, n) = (a.shape()[ra - 2], a.shape()[ra - 1], b.shape()[rb - 1]);
    let mut shape = crate::elementwise::common(&[&a.shape()[..ra - 2], &b.shape()[..rb - 2]]);
    memory(&mut a)?;
    memory(&mut b)?;
    let (batch_a, batch_b) = (batch_strides(&a, &shape), batch_strides(&b, &shape));
    let batch_c: Vec<isize> =
        (0..shape.len()).map(|i| (shape[i + 1..].iter().product::<usize>() * m * n) as isize).collect();
    let mut c = vec![T::ZERO; shape.iter().product::<usize>() * m * n];
    let (row_a, col_a, row_b, col_b) =
        (a.strides()[ra - 2], a.strides()[ra - 1], b.strides()[rb - 2], b.strides()[rb - 1]);
    let (data_a, offset_a) = memory(&mut a)?;
    let (data_b, offset_b) = memory(&mut b)?;
    gemm(
        &Gemm { batch: &shape, m, n, k, alpha: T::ONE, beta: T::ZERO },
        data_a,
        Layout { offset: offset_a, row: row_a, col: col_a, batch: &batch_a },
        data_b,
        Layout { offset: offset_b, row: row_b, col: col_b, batch: &batch_b },
        &mut c,
        Layout { offset: 0, row: n as isize, col: 1, batch: &batch_c },
    )
    .map_err(|why| broken("matmul", why))?;
    shape.extend([m, n]);
    array("matmul", &shape, c).map(T::wrap)
}

/// Where position `k` of a window at output `o` lies in the operand.
fn source(
    o: usize,
    stride: usize,
    k: usize,
    window_dilation: usize,
    low: isize,
    dilation: usize,
    size: usize,
) -> Option<usize> {
    let at = usize::try_from((o * stride + k * window_dilation) as isize - low).ok()?;
    (at % dilation == 0).then_some(at / dilation).filter(|&i| i < size)
}

pub(crate) fn convolution<T: Item + Num>(x: Shared<T>, filter: Buffer, spec: &ConvSpec) -> Result<Buffer> {
    let (x, filter) = (standard(x), standard(T::unwrap(filter)?));
    let n = spec.strides.len();
    let (xs, fs) = (x.shape().to_vec(), filter.shape().to_vec());
    let (batch, cin, group_in, cout) = (xs[0], xs[n + 1], fs[n], fs[n + 1]);
    let group_out = cout / spec.groups;
    let dilated = |n: usize, by: usize| if n == 0 { 0 } else { (n - 1) * by + 1 };
    let out: Vec<usize> = (0..n)
        .map(|i| {
            let (low, high) = spec.padding[i];
            let padded = dilated(xs[i + 1], spec.input_dilation[i]) as isize + low + high;
            steps(padded.max(0) as usize, dilated(fs[i], spec.filter_dilation[i]), spec.strides[i])
        })
        .collect();
    let data = x.as_slice().ok_or_else(|| broken("convolution", "x is not in row-major order"))?;
    let weights =
        filter.as_slice().ok_or_else(|| broken("convolution", "the filter is not in row-major order"))?;
    let pixels: usize = xs[1..=n].iter().product();
    let mut y = Vec::with_capacity(batch * out.iter().product::<usize>() * cout);
    let mut sums = vec![<T::Acc as Num>::ZERO; cout];
    for b in 0..batch {
        for o in Positions::new(&out) {
            sums.fill(Num::ZERO);
            for (tap, k) in Positions::new(&fs[..n]).enumerate() {
                let place = (0..n).try_fold(0, |at, i| {
                    let (low, _) = spec.padding[i];
                    let (rhs, lhs) = (spec.filter_dilation[i], spec.input_dilation[i]);
                    let i_at = source(o[i], spec.strides[i], k[i], rhs, low, lhs, xs[i + 1])?;
                    Some(at * xs[i + 1] + i_at)
                });
                let Some(place) = place else { continue };
                let pixel = &data[(b * pixels + place) * cin..][..cin];
                let tap = &weights[tap * group_in * cout..][..group_in * cout];
                for g in 0..spec.groups {
                    let sums = &mut sums[g * group_out..][..group_out];
                    for (c, v) in pixel[g * group_in..][..group_in].iter().enumerate() {
                        let row = &tap[c * cout + g * group_out..][..group_out];
                        for (sum, w) in sums.iter_mut().zip(row) {
                            *sum = sum.plus(v.widen().times(w.widen()));
                        }
                    }
                }
            }
            y.extend(sums.iter().map(|&s| T::narrow(s)));
        }
    }
    let shape = [&[batch][..], &out, &[cout]].concat();
    array("convolution", &shape, y).map(T::wrap)
}
