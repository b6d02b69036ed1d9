//! Keras's operations on libtorch, through [`tch`].
//!
//! The backend registers itself as `tch`; a program that depends on this crate mentions it once:
//!
//! ```
//! use backend_tch as _;
//!
//! let device = keras_spec::Device::new("tch:cpu")?;
//! let x = keras_spec::Tensor::from_host(keras_spec::HostTensor::new([2], vec![1.0f32, 2.0])?, &device)?;
//! assert_eq!((&x * 2.0)?.to_vec::<f32>()?, [2.0, 4.0]);
//! # Ok::<(), keras_spec::Error>(())
//! ```
//!
//! libtorch 2.13 must be there when this crate is built: `scripts/setup-libtorch.sh` installs one for the CPU, the environment
//! variable `LIBTORCH` says where. Its gradients are not used: no operation is recorded by it.

mod attention;
mod buffer;
#[cfg(feature = "shim")]
mod cells;
mod contract;
mod device;
mod elementwise;
mod fused;
mod index;
mod indexed;
#[cfg(feature = "shim")]
mod kernels;
mod movement;
mod recurrent;
mod reduce;
#[cfg(feature = "shim")]
mod shim;
mod window;

use keras_spec::{
    ArgReduceOp, Backend, BinaryOp, CompareOp, ConvSpec, DType, Error, Fused, HostTensor, ReduceOp, Result,
    ScatterOp, Shape, UnaryOp, WindowSpec,
};

pub use buffer::Buffer;
use buffer::Done;
pub use device::ENTRY;

/// The name in `KERAS_BACKEND`.
const NAME: &str = "tch";

/// The backend on one device.
#[derive(Clone, Copy, Debug)]
pub struct Tch {
    device: tch::Device,
}

impl Tch {
    /// The backend on a device of libtorch.
    ///
    /// # Errors
    /// [`Error::NoBackend`] if the device is not there.
    pub fn new(device: tch::Device) -> Result<Self> {
        device::present(device).map(|()| Tch { device })
    }
}

/// Runs an operation without libtorch's recording of gradients.
fn run<T>(op: &str, f: impl FnOnce() -> Done<T>) -> Result<T> {
    tch::no_grad(f).map_err(|e| e.of(op))
}

impl Backend for Tch {
    type Buffer = Buffer;

    fn name(&self) -> &str {
        NAME
    }

    fn device(&self) -> String {
        device::name(self.device)
    }

    fn supports(&self, dtype: DType) -> bool {
        // Apple's GPUs have no double precision.
        !(self.device == tch::Device::Mps && dtype == DType::F64)
    }

    fn shape(&self, x: &Buffer) -> Shape {
        x.shape().clone()
    }

    fn dtype(&self, x: &Buffer) -> DType {
        x.dtype()
    }

    fn from_host(&self, x: HostTensor) -> Result<Buffer> {
        if !self.supports(x.dtype()) {
            let why = format!("the device {} has no such numbers", device::name(self.device));
            return Err(Error::unsupported(NAME, "from_host", x.dtype(), why));
        }
        run("from_host", || buffer::from_host(x, self.device))
    }

    fn to_host(&self, x: Buffer) -> Result<HostTensor> {
        run("to_host", || buffer::to_host(&x))
    }

    fn cast(&self, x: Buffer, dtype: DType) -> Result<Buffer> {
        run("cast", || movement::cast(x, dtype))
    }

    fn reshape(&self, x: Buffer, shape: &Shape) -> Result<Buffer> {
        run("reshape", || movement::reshape(x, shape))
    }

    fn permute(&self, x: Buffer, axes: &[usize]) -> Result<Buffer> {
        run("permute", || movement::permute(x, axes))
    }

    fn broadcast(&self, x: Buffer, shape: &Shape) -> Result<Buffer> {
        run("broadcast", || movement::broadcast(x, shape))
    }

    fn slice(&self, x: Buffer, start: &[usize], limit: &[usize], stride: &[usize]) -> Result<Buffer> {
        run("slice", || movement::slice(x, start, limit, stride))
    }

    fn reverse(&self, x: Buffer, axes: &[usize]) -> Result<Buffer> {
        run("reverse", || movement::reverse(x, axes))
    }

    fn concatenate(&self, xs: Vec<Buffer>, axis: usize) -> Result<Buffer> {
        run("concatenate", || movement::concatenate(xs, axis))
    }

    fn pad(
        &self,
        x: Buffer,
        value: f64,
        low: &[usize],
        high: &[usize],
        interior: &[usize],
    ) -> Result<Buffer> {
        run("pad", || movement::pad(x, value, low, high, interior))
    }

    fn unary(&self, op: UnaryOp, x: Buffer) -> Result<Buffer> {
        run("unary", || elementwise::unary(op, x))
    }

    fn binary(&self, op: BinaryOp, a: Buffer, b: Buffer) -> Result<Buffer> {
        run("binary", || elementwise::binary(op, a, b))
    }

    fn compare(&self, op: CompareOp, a: Buffer, b: Buffer) -> Result<Buffer> {
        run("compare", || elementwise::compare(op, a, b))
    }

    fn select(&self, condition: Buffer, a: Buffer, b: Buffer) -> Result<Buffer> {
        run("select", || elementwise::select(condition, a, b))
    }

    fn reduce(&self, op: ReduceOp, x: Buffer, axes: &[usize]) -> Result<Buffer> {
        run("reduce", || reduce::reduce(op, x, axes))
    }

    fn arg_reduce(&self, op: ArgReduceOp, x: Buffer, axis: usize) -> Result<Buffer> {
        run("arg_reduce", || reduce::arg_reduce(op, x, axis))
    }

    fn cumulative(&self, op: ReduceOp, x: Buffer, axis: usize) -> Result<Buffer> {
        run("cumulative", || reduce::cumulative(op, x, axis))
    }

    fn sort(&self, x: Buffer, axis: usize, descending: bool) -> Result<Buffer> {
        run("sort", || reduce::sort(x, axis, descending))
    }

    fn argsort(&self, x: Buffer, axis: usize, descending: bool) -> Result<Buffer> {
        run("argsort", || reduce::argsort(x, axis, descending))
    }

    fn gather(&self, x: Buffer, indices: Buffer, axis: usize) -> Result<Buffer> {
        run("gather", || index::gather(x, indices, axis))
    }

    fn gather_elements(&self, x: Buffer, indices: Buffer, axis: usize) -> Result<Buffer> {
        run("gather_elements", || index::gather_elements(x, indices, axis))
    }

    fn scatter(
        &self,
        op: ScatterOp,
        x: Buffer,
        indices: Buffer,
        updates: Buffer,
        axis: usize,
    ) -> Result<Buffer> {
        run("scatter", || index::scatter(op, x, indices, updates, axis))
    }

    fn scatter_elements(
        &self,
        op: ScatterOp,
        x: Buffer,
        indices: Buffer,
        updates: Buffer,
        axis: usize,
    ) -> Result<Buffer> {
        run("scatter_elements", || index::scatter_elements(op, x, indices, updates, axis))
    }

    fn matmul(&self, a: Buffer, b: Buffer) -> Result<Buffer> {
        run("matmul", || contract::matmul(a, b))
    }

    fn convolution(&self, x: Buffer, filter: Buffer, spec: &ConvSpec) -> Result<Buffer> {
        run("convolution", || contract::convolution(x, filter, spec))
    }

    fn reduce_window(&self, op: ReduceOp, x: Buffer, window: &WindowSpec) -> Result<Buffer> {
        run("reduce_window", || window::reduce_window(op, x, window))
    }

    fn select_and_scatter(&self, x: Buffer, g: Buffer, window: &WindowSpec) -> Result<Buffer> {
        run("select_and_scatter", || window::select_and_scatter(x, g, window))
    }

    fn fuses(&self, op: &Fused, dtype: DType) -> bool {
        fused::fuses(op, dtype, self.device)
    }

    fn fused(&self, op: &Fused, operands: Vec<Buffer>) -> Result<Vec<Buffer>> {
        run(op.name(), || fused::fused(op, operands))
    }

    fn update(&self, op: &Fused, operands: &mut [Buffer]) -> Result<()> {
        run(op.name(), || fused::update(op, operands))
    }
}
