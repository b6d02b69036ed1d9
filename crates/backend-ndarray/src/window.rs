//! Reductions over windows and their gradients.

use keras_kernels::pool::{self, PoolParams, Reducer};
use keras_kernels::{Num, Output, output};
use keras_spec::{DType, Dims, ReduceOp, Result, Shape, WindowSpec};

use crate::buffer::{Buffer, Item, Shared, array, broken, dispatch, rows, standard, unsupported};
use crate::reduce::reduce_in_wide;

/// Calls `run` with a window in the kernels' words.
fn with_params<R>(spec: &WindowSpec, run: impl FnOnce(&PoolParams) -> R) -> R {
    let padding: Vec<(isize, isize)> =
        spec.padding.iter().map(|&(low, high)| (low as isize, high as isize)).collect();
    let dilation = Dims::from_elem(1, spec.size.len());
    run(&PoolParams { window: &spec.size, strides: &spec.strides, padding: &padding, dilation: &dilation })
}

pub(crate) fn reduce_window(op: ReduceOp, x: Buffer, spec: &WindowSpec) -> Result<Buffer> {
    let dtype = x.dtype();
    let reducer = match op {
        ReduceOp::Sum if dtype != DType::Bool => Reducer::Sum,
        ReduceOp::Prod if dtype != DType::Bool => Reducer::Prod,
        ReduceOp::Max => Reducer::Max,
        ReduceOp::Min => Reducer::Min,
        _ => return unsupported("reduce_window", dtype),
    };
    reduce_in_wide(
        op,
        x,
        |x| dispatch!(wide x, x => reduce(reducer, x, spec), else _x => unsupported("reduce_window", dtype)),
    )
}

/// One element for each window.
pub(crate) fn reduce<T: Item + Num>(reducer: Reducer, x: Shared<T>, spec: &WindowSpec) -> Result<Buffer> {
    let x = standard(x);
    let failed = |why| broken("reduce_window", why);
    with_params(spec, |params| {
        let shape = pool::output_shape(x.shape(), params).map_err(failed)?;
        let input = rows(&x)?;
        let write = |y: Output<T>| pool::reduce_window(reducer, input, x.shape(), params, y);
        let y = output::collect(shape.iter().product(), write).map_err(failed)?;
        array("reduce_window", &shape, y).map(T::wrap)
    })
}

pub(crate) fn select_and_scatter<T: Item + Num>(
    x: Shared<T>,
    g: Buffer,
    spec: &WindowSpec,
) -> Result<Buffer> {
    let (x, g) = (standard(x), standard(T::unwrap(g)?));
    let (input, gradient) = (rows(&x)?, rows(&g)?);
    let dx = with_params(spec, |params| {
        output::collect(x.len(), |dx| pool::max_backward(input, x.shape(), gradient, params, dx))
            .map_err(|why| broken("select_and_scatter", why))
    })?;
    array("select_and_scatter", x.shape(), dx).map(T::wrap)
}

/// The gradient of the mean over windows.
pub(crate) fn mean_backward<T: Item + Num>(g: Shared<T>, spec: &WindowSpec, input: &Shape) -> Result<Buffer> {
    let g = standard(g);
    let gradient = rows(&g)?;
    let dx = with_params(spec, |params| {
        output::collect(input.size(), |dx| pool::mean_backward(gradient, input, params, dx))
            .map_err(|why| broken("avg_pool_backward", why))
    })?;
    array("avg_pool_backward", input, dx).map(T::wrap)
}
