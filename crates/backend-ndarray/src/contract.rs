//! Matrix products and convolutions.

use keras_kernels::conv::{self, ConvParams, Epilogue};
use keras_kernels::gemm::{Gemm, Layout, gemm};
use keras_kernels::{Num, Output, output, par};
use keras_spec::{ConvSpec, Result};

use crate::buffer::{Buffer, Item, Shared, array, broadcast_strides, broken, dense, memory, rows, standard};
use crate::elementwise::common;

pub(crate) fn matmul<T: Item + Num>(a: Shared<T>, b: Buffer) -> Result<Buffer> {
    product(a, T::unwrap(b)?, None)
}

/// The matrix product, with `bias` (as long as a row of the result) added to each row.
pub(crate) fn product<T: Item + Num>(a: Shared<T>, b: Shared<T>, bias: Option<&[T]>) -> Result<Buffer> {
    let (a, b) = (dense(a), dense(b));
    let (batch_a, [m, k]) = split(a.shape())?;
    let (batch_b, [_, n]) = split(b.shape())?;
    let (strides_a, [row_a, col_a]) = split(a.strides())?;
    let (strides_b, [row_b, col_b]) = split(b.strides())?;
    let mut shape = common(&[batch_a, batch_b]);
    let batch_a = broadcast_strides(batch_a, strides_a, &shape);
    let batch_b = broadcast_strides(batch_b, strides_b, &shape);
    let batch_c: Vec<isize> =
        (0..shape.len()).map(|i| (shape[i + 1..].iter().product::<usize>() * m * n) as isize).collect();
    let count = shape.iter().product::<usize>() * m;
    let mut c = match bias {
        Some(bias) => bias.repeat(count),
        // Zeros, written by all threads.
        None => par::collect_pieces(count * n, count * n, |_, _| ()),
    };
    let gaps = || broken("matmul", "the elements have gaps");
    let ((data_a, offset_a), (data_b, offset_b)) =
        (memory(&a).ok_or_else(gaps)?, memory(&b).ok_or_else(gaps)?);
    gemm(
        &Gemm { batch: &shape, m, n, k, alpha: T::ONE, beta: if bias.is_some() { T::ONE } else { T::ZERO } },
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

/// Leading axes, and the last two.
fn split<N: Copy>(axes: &[N]) -> Result<(&[N], [N; 2])> {
    let (lead, last) = axes.split_last_chunk().ok_or_else(|| broken("matmul", "a matrix has two axes"))?;
    Ok((lead, *last))
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
    let (input, w) = (rows(&x)?, rows(&filter)?);
    let write = |y: Output<T>| conv::forward(input, x.shape(), w, filter.shape(), &params, epilogue, y);
    let y = output::collect(shape.iter().product(), write).map_err(failed)?;
    array("convolution", &shape, y).map(T::wrap)
}
