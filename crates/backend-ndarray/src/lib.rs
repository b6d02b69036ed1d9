//! The pure-Rust backend of Keras: tensors are [`ndarray`] arrays, the work is done by `keras-kernels`.
//!
//! It registers itself as `ndarray`; a program that depends on this crate mentions it once:
//!
//! ```
//! use backend_ndarray as _;
//!
//! let x = keras_spec::Tensor::new([2, 2], vec![1.0f32, 2.0, 3.0, 4.0])?;
//! assert_eq!(x.device().to_string(), "ndarray:cpu");
//! # Ok::<(), keras_spec::Error>(())
//! ```
//!
//! Arrays come and go without a copy:
//!
//! ```
//! use backend_ndarray::{into_array, tensor};
//! use keras_spec::Device;
//! use ndarray::array;
//!
//! let x = tensor(array![[1.0f32, 2.0], [3.0, 4.0]], &Device::new("ndarray")?)?;
//! let y = into_array::<f32>((&x * 2.0)?)?;
//! assert_eq!(y, array![[2.0, 4.0], [6.0, 8.0]].into_dyn());
//! # Ok::<(), keras_spec::Error>(())
//! ```

mod attention;
mod buffer;
mod contract;
mod elementwise;
mod fused;
mod index;
mod movement;
mod recurrent;
mod reduce;
mod window;

use std::sync::Arc;

use keras_kernels::conv::Epilogue;
use keras_spec::{
    ArgReduceOp, Backend, BackendEntry, BinaryOp, CompareOp, ConvSpec, DType, Device, DynBackend, Error,
    Fused, HostTensor, ReduceOp, Result, ScatterOp, Shape, Tensor, UnaryOp, WindowSpec,
};

pub use buffer::{Buffer, Item, Shared};
use buffer::{check_spatial, dispatch, unsupported};
use ndarray::ArrayD;

/// The name in `KERAS_BACKEND`.
const NAME: &str = "ndarray";

keras_spec::inventory::submit! { ENTRY }

/// What this crate registers; for [`keras_spec::register_backend()`] on targets without life before `main`.
pub const ENTRY: BackendEntry =
    BackendEntry { name: NAME, priority: 10, check: || Ok(()), make, devices: || vec!["cpu".to_owned()] };

fn make(device: &str) -> Result<Arc<dyn DynBackend>> {
    match device {
        "" | "cpu" => Ok(Arc::new(NdArray)),
        other => Err(Error::NoBackend {
            asked: format!("{NAME}:{other}"),
            why: format!("the devices of {NAME} are: cpu"),
        }),
    }
}

/// A tensor over an array (an `Array` of any dimension, or an `ArcArray` to share it), without a copy.
///
/// # Errors
/// If `device` is not one of this backend.
pub fn tensor(array: impl Into<Buffer>, device: &Device) -> Result<Tensor> {
    Tensor::from_buffer(Arc::new(array.into()), device)
}

/// The array of a tensor of this backend, without a copy where nobody else holds its elements.
///
/// # Errors
/// [`Error::DType`] if the elements are not of type `T`; [`Error::Backend`] if the tensor lives in another backend.
pub fn into_array<T: Item>(x: Tensor) -> Result<ArrayD<T>> {
    let foreign = || buffer::broken("into_array", "the tensor belongs to another backend");
    let buffer = x.into_buffer().downcast::<Buffer>().map_err(|_| foreign())?;
    Ok(T::unwrap(Arc::unwrap_or_clone(buffer))?.into_owned())
}

/// The backend. It has no state.
#[derive(Clone, Copy, Debug, Default)]
pub struct NdArray;

impl Backend for NdArray {
    type Buffer = Buffer;

    fn name(&self) -> &str {
        NAME
    }

    fn shape(&self, x: &Buffer) -> Shape {
        Shape::from(x.shape())
    }

    fn dtype(&self, x: &Buffer) -> DType {
        x.dtype()
    }

    fn from_host(&self, x: HostTensor) -> Result<Buffer> {
        buffer::from_host(x)
    }

    fn to_host(&self, x: Buffer) -> Result<HostTensor> {
        buffer::to_host(x)
    }

    fn cast(&self, x: Buffer, dtype: DType) -> Result<Buffer> {
        movement::cast(x, dtype)
    }

    fn reshape(&self, x: Buffer, shape: &Shape) -> Result<Buffer> {
        dispatch!(all x, x => movement::reshape(x, shape).map(Into::into))
    }

    fn permute(&self, x: Buffer, axes: &[usize]) -> Result<Buffer> {
        Ok(dispatch!(all x, x => movement::permute(x, axes).into()))
    }

    fn broadcast(&self, x: Buffer, shape: &Shape) -> Result<Buffer> {
        dispatch!(all x, x => movement::broadcast(x, shape).map(Into::into))
    }

    fn slice(&self, x: Buffer, start: &[usize], limit: &[usize], stride: &[usize]) -> Result<Buffer> {
        Ok(dispatch!(all x, x => movement::slice(x, start, limit, stride).into()))
    }

    fn reverse(&self, x: Buffer, axes: &[usize]) -> Result<Buffer> {
        Ok(dispatch!(all x, x => movement::reverse(x, axes).into()))
    }

    fn concatenate(&self, mut xs: Vec<Buffer>, axis: usize) -> Result<Buffer> {
        let first = match xs.first() {
            Some(x) if xs.len() > 1 => x.dtype(),
            _ => return xs.pop().ok_or_else(|| buffer::broken("concatenate", "no operands")),
        };
        keras_spec::dispatch_dtype!(first, T => movement::concatenate::<T>(xs, axis).map(Into::into))
    }

    fn pad(
        &self,
        x: Buffer,
        value: f64,
        low: &[usize],
        high: &[usize],
        interior: &[usize],
    ) -> Result<Buffer> {
        dispatch!(all x, x => movement::pad(x, value, low, high, interior).map(Into::into))
    }

    fn unary(&self, op: UnaryOp, x: Buffer) -> Result<Buffer> {
        elementwise::unary(op, x)
    }

    fn binary(&self, op: BinaryOp, a: Buffer, b: Buffer) -> Result<Buffer> {
        elementwise::binary(op, a, b)
    }

    fn compare(&self, op: CompareOp, a: Buffer, b: Buffer) -> Result<Buffer> {
        elementwise::compare(op, a, b)
    }

    fn select(&self, condition: Buffer, a: Buffer, b: Buffer) -> Result<Buffer> {
        let condition = Item::unwrap(condition)?;
        dispatch!(all a, a => elementwise::select(condition, a, b))
    }

    fn reduce(&self, op: ReduceOp, x: Buffer, axes: &[usize]) -> Result<Buffer> {
        reduce::reduce(op, x, axes)
    }

    fn arg_reduce(&self, op: ArgReduceOp, x: Buffer, axis: usize) -> Result<Buffer> {
        reduce::arg_reduce(op, x, axis)
    }

    fn cumulative(&self, op: ReduceOp, x: Buffer, axis: usize) -> Result<Buffer> {
        reduce::cumulative(op, x, axis)
    }

    fn sort(&self, x: Buffer, axis: usize, descending: bool) -> Result<Buffer> {
        dispatch!(all x, x => reduce::sort(x, axis, descending))
    }

    fn argsort(&self, x: Buffer, axis: usize, descending: bool) -> Result<Buffer> {
        dispatch!(all x, x => reduce::argsort(x, axis, descending))
    }

    fn gather(&self, x: Buffer, indices: Buffer, axis: usize) -> Result<Buffer> {
        let indices = Item::unwrap(indices)?;
        dispatch!(all x, x => index::gather(x, indices, axis).map(Into::into))
    }

    fn gather_elements(&self, x: Buffer, indices: Buffer, axis: usize) -> Result<Buffer> {
        let indices = Item::unwrap(indices)?;
        dispatch!(all x, x => index::gather_elements(x, indices, axis).map(Into::into))
    }

    fn scatter(
        &self,
        op: ScatterOp,
        x: Buffer,
        indices: Buffer,
        updates: Buffer,
        axis: usize,
    ) -> Result<Buffer> {
        index::scatter(op, x, Item::unwrap(indices)?, updates, axis)
    }

    fn scatter_elements(
        &self,
        op: ScatterOp,
        x: Buffer,
        indices: Buffer,
        updates: Buffer,
        axis: usize,
    ) -> Result<Buffer> {
        index::scatter_elements(op, x, Item::unwrap(indices)?, updates, axis)
    }

    fn matmul(&self, a: Buffer, b: Buffer) -> Result<Buffer> {
        movement::both_in_wide(
            a,
            b,
            |a, b| dispatch!(wide a, a => contract::matmul(a, b), else a => unsupported("matmul", a.dtype())),
        )
    }

    fn convolution(&self, x: Buffer, filter: Buffer, spec: &ConvSpec) -> Result<Buffer> {
        check_spatial("convolution", x.dtype(), spec.strides.len())?;
        movement::both_in_wide(x, filter, |x, filter| {
            dispatch!(wide x, x => contract::convolution(x, filter, spec, &Epilogue::NONE),
                else x => unsupported("convolution", x.dtype()))
        })
    }

    fn reduce_window(&self, op: ReduceOp, x: Buffer, window: &WindowSpec) -> Result<Buffer> {
        check_spatial("reduce_window", x.dtype(), window.size.len())?;
        window::reduce_window(op, x, window)
    }

    fn select_and_scatter(&self, x: Buffer, g: Buffer, window: &WindowSpec) -> Result<Buffer> {
        check_spatial("select_and_scatter", x.dtype(), window.size.len())?;
        movement::both_in_wide(x, g, |x, g| {
            dispatch!(wide x, x => window::select_and_scatter(x, g, window),
                else x => unsupported("select_and_scatter", x.dtype()))
        })
    }
    fn fuses(&self, op: &Fused, dtype: DType) -> bool {
        fused::fuses(op, dtype)
    }

    fn fused(&self, op: &Fused, operands: Vec<Buffer>) -> Result<Vec<Buffer>> {
        fused::fused(op, operands)
    }

    fn update(&self, op: &Fused, operands: &mut [Buffer]) -> Result<()> {
        fused::update(op, operands)
    }
}
