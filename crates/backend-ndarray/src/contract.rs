//! Matrix products and convolutions.

use keras_kernels::Num;
use keras_kernels::conv::{self, ConvParams, Epilogue};
use keras_kernels::gemm::{Gemm, Layout, gemm};
use keras_spec::{ConvSpec, Result};

use crate::buffer::{Buffer, Item, Shared, array, broken, rows, standard};

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

/// The parameters of a convolution in the kernels' words.
pub(crate) fn params(spec: &ConvSpec) -> ConvParams<'_> {
    ConvParams {
        strides: &spec.strides,
        padding: &spec.padding,
        lhs_dilation: &spec.input_dilation,
        rhs_dilation: &spec.filter_dilation,
        groups: spec.groups,
    }
}

pub(crate) fn convolution<T: Item + Num>(
    x: Shared<T>,
    filter: Buffer,
    spec: &ConvSpec,
    epilogue: &Epilogue<T>,
) -> Result<Buffer> {
    let (x, filter) = (standard(x), standard(T::unwrap(filter)?));
    let params = params(spec);
    let failed = |why| broken("convolution", why);
    let shape = conv::output_shape(x.shape(), filter.shape(), &params).map_err(failed)?;
    let mut y = vec![T::ZERO; shape.iter().product()];
    conv::forward(rows(&x)?, x.shape(), rows(&filter)?, filter.shape(), &params, epilogue, &mut y)
        .map_err(failed)?;
    array("convolution", &shape, y).map(T::wrap)
}
