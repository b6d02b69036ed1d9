//! Reductions over windows and their gradients.

use keras_kernels::Num;
use keras_kernels::pool::{self, PoolParams, Reducer};
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
        let mut y = vec![T::ZERO; shape.iter().product()];
        pool::reduce_window(reducer, rows(&x)?, x.shape(), params, &mut y).map_err(failed)?;
        array("reduce_window", &shape, y).map(T::wrap)
    })
}

pub(crate) fn select_and_scatter<T: Item + Num>(
    x: Shared<T>,
    g: Buffer,
    spec: &WindowSpec,
) -> Result<Buffer> {
    let (x, g) = (standard(x), standard(T::unwrap(g)?));
    let mut dx = vec![T::ZERO; x.len()];
    with_params(spec, |params| {
        pool::max_backward(rows(&x)?, x.shape(), rows(&g)?, params, &mut dx)
            .map_err(|why| broken("select_and_scatter", why))
    })?;
    array("select_and_scatter", x.shape(), dx).map(T::wrap)
}

/// The gradient of the mean over windows.
pub(crate) fn mean_backward<T: Item + Num>(g: Shared<T>, spec: &WindowSpec, input: &Shape) -> Result<Buffer> {
    let g = standard(g);
    let mut dx = vec![T::ZERO; input.size()];
    with_params(spec, |params| {
        pool::mean_backward(rows(&g)?, input, params, &mut dx).map_err(|why| broken("avg_pool_backward", why))
    })?;
    array("avg_pool_backward", input, dx).map(T::wrap)
}
