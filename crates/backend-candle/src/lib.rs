//! The backend of Keras on [candle](candle_core).
//!
//! It registers itself as `candle`; a program that depends on this crate mentions it once:
//!
//! ```
//! use backend_candle as _;
//! use keras_spec::{Device, Tensor};
//!
//! let candle = Device::new("candle:cpu")?;
//! let x = Tensor::from_host(1.0f32.into(), &candle)?;
//! assert_eq!(x.device().to_string(), "candle:cpu");
//! # Ok::<(), keras_spec::Error>(())
//! ```
//!
//! What candle does as Keras means it, candle does. The rest goes through the host, where `backend-ndarray` computes: on
//! the CPU that includes convolutions, pooling, norms, recurrent layers and optimizer steps, where the kernels of this
//! project are faster than candle's. [`Backend::via_host`] tells which. candle's own gradients are not
//! used: the tape is above the backends.

mod buffer;
mod native;

use std::sync::Arc;

use backend_ndarray::NdArray;
use candle_core::Tensor;
use keras_spec::{
    ArgReduceOp, Backend, BackendEntry, BinaryOp, CompareOp, ConvSpec, DType, Dims, DynBackend, Error, Fused,
    HostTensor, Op, ReduceOp, Result, ScatterOp, Shape, UnaryOp, WindowSpec,
};

pub use buffer::Buffer;
use buffer::{Place, failed, theirs, via_host};

/// The name in `KERAS_BACKEND`.
const NAME: &str = "candle";

keras_spec::inventory::submit! { ENTRY }

/// What this crate registers; for [`keras_spec::register_backend()`] on targets without life before `main`.
pub const ENTRY: BackendEntry = BackendEntry { name: NAME, priority: 5, check: || Ok(()), make, devices };

fn make(device: &str) -> Result<Arc<dyn DynBackend>> {
    let missing = |why: &dyn std::fmt::Display| Error::NoBackend {
        asked: format!("{NAME}:{device}"),
        why: format!("{why}; the devices of {NAME} are: {}", devices().join(", ")),
    };
    let (kind, index) = device.split_once(':').unwrap_or((device, "0"));
    let index: usize = index.parse().map_err(|_| missing(&format_args!("`{index}` is no device number")))?;
    let opened = match kind {
        "" if candle_core::utils::cuda_is_available() => candle_core::Device::new_cuda(0),
        "" if candle_core::utils::metal_is_available() => candle_core::Device::new_metal(0),
        "" | "cpu" if index == 0 => Ok(candle_core::Device::Cpu),
        "cuda" => candle_core::Device::new_cuda(index),
        "metal" => candle_core::Device::new_metal(index),
        _ => return Err(missing(&"there is no such device")),
    };
    Ok(Arc::new(Candle::new(opened.map_err(|e| missing(&e))?)))
}

fn devices() -> Vec<String> {
    let mut names = vec!["cpu".to_owned()];
    if candle_core::utils::cuda_is_available() {
        let there = (0..).take_while(|&i| candle_core::Device::new_cuda(i).is_ok());
        names.extend(there.map(|i| format!("cuda:{i}")));
    }
    if candle_core::utils::metal_is_available() {
        names.push("metal".to_owned());
    }
    names
}

/// The backend on one device of candle.
#[derive(Clone, Debug)]
pub struct Candle {
    device: candle_core::Device,
    /// Whether the kernels of `backend-ndarray` are nearer than candle's.
    kernels: bool,
}

impl Candle {
    /// The backend on `device`.
    pub fn new(device: candle_core::Device) -> Self {
        let kernels = device.is_cpu();
        Candle { device, kernels }
    }

    /// Leaves to candle all that it can do, also where this project's kernels are faster: what a GPU gets, on the CPU.
    pub fn without_kernels(mut self) -> Self {
        self.kernels = false;
        self
    }

    /// Whether candle does `op` for operands of this dtype as Keras means it.
    fn can(&self, op: &Op, dtype: DType) -> bool {
        let wide = matches!(dtype, DType::F32 | DType::F64);
        let float = wide || matches!(dtype, DType::F16 | DType::BF16);
        theirs(dtype).is_some()
            && match op {
                Op::Cast(to) => native::casts(dtype, *to),
                Op::Reshape(_) | Op::Permute(_) | Op::Broadcast(_) | Op::Slice { .. } | Op::Reverse(_) => {
                    true
                }
                Op::Concatenate(_) | Op::Select | Op::Gather(_) | Op::GatherElements(_) => true,
                Op::Pad { value, interior, .. } => *value == 0.0 && interior.iter().all(|&n| n == 0),
                Op::Unary(op) => float && native::unary(*op).is_some(),
                Op::Binary(op) => float && native::binary(*op).is_some(),
                Op::Compare(op) => native::compare(*op).is_some(),
                Op::Reduce { op, .. } => wide && *op == ReduceOp::Sum,
                Op::MatMul => wide,
                Op::Convolution(spec) => wide && !self.kernels && native::convolves(spec),
                _ => false,
            }
    }

    /// Runs `native` on candle's tensors if it [can](Candle::can) and none of them is empty, else goes through the host.
    fn run<const N: usize>(
        &self,
        op: Op,
        operands: [Buffer; N],
        native: impl FnOnce([&Tensor; N]) -> candle_core::Result<Tensor>,
    ) -> Result<Buffer> {
        let of = if op == Op::Select { operands.last() } else { operands.first() };
        let can = of.is_some_and(|x| self.can(&op, x.dtype()));
        let tensors = operands.each_ref().map(Buffer::candle);
        if let (true, Some(tensors)) = (can, all(tensors).filter(|t| t.iter().all(|x| x.elem_count() > 0))) {
            let truth = match op {
                Op::Compare(_) => true,
                Op::Cast(dtype) => dtype == DType::Bool,
                Op::Select => operands.last().is_some_and(|x| x.dtype() == DType::Bool),
                _ => operands.first().is_some_and(|x| x.dtype() == DType::Bool),
            };
            let y = native(tensors).map_err(failed(op.name()))?;
            return Ok(Buffer(if truth { Place::Truth(y) } else { Place::Candle(y) }));
        }
        self.host(&op, operands.into())
    }

    /// One result by way of the host.
    fn host(&self, op: &Op, operands: Vec<Buffer>) -> Result<Buffer> {
        let mut results = via_host(op, operands, &self.device)?;
        results.pop().ok_or_else(|| buffer::broken(op.name(), "there is no result"))
    }
}

fn all<T, const N: usize>(parts: [Option<T>; N]) -> Option<[T; N]> {
    parts.into_iter().collect::<Option<Vec<T>>>()?.try_into().ok()
}

impl Backend for Candle {
    type Buffer = Buffer;

    fn name(&self) -> &str {
        NAME
    }

    fn device(&self) -> String {
        match self.device.location() {
            candle_core::DeviceLocation::Cpu => "cpu".to_owned(),
            candle_core::DeviceLocation::Cuda { gpu_id } => format!("cuda:{gpu_id}"),
            candle_core::DeviceLocation::Metal { .. } => "metal".to_owned(),
        }
    }

    fn supports(&self, dtype: DType) -> bool {
        !(self.device.is_metal() && dtype == DType::F64)
    }

    fn shape(&self, x: &Buffer) -> Shape {
        Shape::from(x.shape())
    }

    fn dtype(&self, x: &Buffer) -> DType {
        x.dtype()
    }

    fn from_host(&self, x: HostTensor) -> Result<Buffer> {
        buffer::from_host(x, &self.device)
    }

    fn to_host(&self, x: Buffer) -> Result<HostTensor> {
        buffer::to_host(x)
    }

    fn cast(&self, x: Buffer, dtype: DType) -> Result<Buffer> {
        self.run(Op::Cast(dtype), [x], |[x]| match (dtype, theirs(dtype)) {
            (DType::Bool, _) => x.ne(&x.zeros_like()?),
            (_, Some(dtype)) => x.to_dtype(dtype),
            (_, None) => Err(candle_core::Error::Msg(format!("candle has no {dtype}"))),
        })
    }

    fn reshape(&self, x: Buffer, shape: &Shape) -> Result<Buffer> {
        self.run(Op::Reshape(shape.clone()), [x], |[x]| x.reshape(shape.to_vec()))
    }

    fn permute(&self, x: Buffer, axes: &[usize]) -> Result<Buffer> {
        if axes.len() < 2 {
            return Ok(x);
        }
        self.run(Op::Permute(Dims::from_slice(axes)), [x], |[x]| x.permute(axes))
    }

    fn broadcast(&self, x: Buffer, shape: &Shape) -> Result<Buffer> {
        self.run(Op::Broadcast(shape.clone()), [x], |[x]| x.broadcast_as(shape.to_vec()))
    }

    fn slice(&self, x: Buffer, start: &[usize], limit: &[usize], stride: &[usize]) -> Result<Buffer> {
        let op = Op::Slice {
            start: Dims::from_slice(start),
            limit: Dims::from_slice(limit),
            stride: Dims::from_slice(stride),
        };
        self.run(op, [x], |[x]| native::slice(x, start, limit, stride))
    }

    fn reverse(&self, x: Buffer, axes: &[usize]) -> Result<Buffer> {
        self.run(Op::Reverse(Dims::from_slice(axes)), [x], |[x]| x.contiguous()?.flip(axes))
    }

    fn concatenate(&self, xs: Vec<Buffer>, axis: usize) -> Result<Buffer> {
        let tensors: Option<Vec<&Tensor>> = xs.iter().map(Buffer::candle).collect();
        match tensors.filter(|t| t.iter().all(|x| x.elem_count() > 0)) {
            Some(tensors) => {
                let y = Tensor::cat(&tensors, axis).map_err(failed("concatenate"))?;
                let truth = xs.first().is_some_and(|x| x.dtype() == DType::Bool);
                Ok(Buffer(if truth { Place::Truth(y) } else { Place::Candle(y) }))
            }
            None => self.host(&Op::Concatenate(axis), xs),
        }
    }

    fn pad(
        &self,
        x: Buffer,
        value: f64,
        low: &[usize],
        high: &[usize],
        interior: &[usize],
    ) -> Result<Buffer> {
        let [l, h, i] = [low, high, interior].map(Dims::from_slice);
        self.run(Op::Pad { value, low: l, high: h, interior: i }, [x], |[x]| native::pad(x, low, high))
    }

    fn unary(&self, op: UnaryOp, x: Buffer) -> Result<Buffer> {
        match native::unary(op) {
            Some(f) => self.run(Op::Unary(op), [x], |[x]| f(x)),
            None => self.host(&Op::Unary(op), vec![x]),
        }
    }

    fn binary(&self, op: BinaryOp, a: Buffer, b: Buffer) -> Result<Buffer> {
        match native::binary(op) {
            Some(f) => self.run(Op::Binary(op), [a, b], |[a, b]| f(a, b)),
            None => self.host(&Op::Binary(op), vec![a, b]),
        }
    }

    fn compare(&self, op: CompareOp, a: Buffer, b: Buffer) -> Result<Buffer> {
        match native::compare(op) {
            Some(f) => self.run(Op::Compare(op), [a, b], |[a, b]| f(a, b)),
            None => self.host(&Op::Compare(op), vec![a, b]),
        }
    }

    fn select(&self, condition: Buffer, a: Buffer, b: Buffer) -> Result<Buffer> {
        self.run(Op::Select, [condition, a, b], |[condition, a, b]| native::select(condition, a, b))
    }

    fn reduce(&self, op: ReduceOp, x: Buffer, axes: &[usize]) -> Result<Buffer> {
        if axes.is_empty() {
            return Ok(x);
        }
        self.run(Op::Reduce { op, axes: Dims::from_slice(axes) }, [x], |[x]| x.sum(axes))
    }

    fn arg_reduce(&self, op: ArgReduceOp, x: Buffer, axis: usize) -> Result<Buffer> {
        self.host(&Op::ArgReduce { op, axis }, vec![x])
    }

    fn cumulative(&self, op: ReduceOp, x: Buffer, axis: usize) -> Result<Buffer> {
        self.host(&Op::Cumulative { op, axis }, vec![x])
    }

    fn sort(&self, x: Buffer, axis: usize, descending: bool) -> Result<Buffer> {
        self.host(&Op::Sort { axis, descending }, vec![x])
    }

    fn argsort(&self, x: Buffer, axis: usize, descending: bool) -> Result<Buffer> {
        self.host(&Op::ArgSort { axis, descending }, vec![x])
    }

    fn gather(&self, x: Buffer, indices: Buffer, axis: usize) -> Result<Buffer> {
        self.run(Op::Gather(axis), [x, indices], |[x, indices]| native::gather(x, indices, axis))
    }

    fn gather_elements(&self, x: Buffer, indices: Buffer, axis: usize) -> Result<Buffer> {
        self.run(Op::GatherElements(axis), [x, indices], |[x, indices]| {
            x.contiguous()?.gather(&native::clamped(indices, x.dim(axis)?)?.contiguous()?, axis)
        })
    }

    fn scatter(
        &self,
        op: ScatterOp,
        x: Buffer,
        indices: Buffer,
        updates: Buffer,
        axis: usize,
    ) -> Result<Buffer> {
        self.host(&Op::Scatter { axis, op }, vec![x, indices, updates])
    }

    fn scatter_elements(
        &self,
        op: ScatterOp,
        x: Buffer,
        indices: Buffer,
        updates: Buffer,
        axis: usize,
    ) -> Result<Buffer> {
        self.host(&Op::ScatterElements { axis, op }, vec![x, indices, updates])
    }

    fn matmul(&self, a: Buffer, b: Buffer) -> Result<Buffer> {
        self.run(Op::MatMul, [a, b], |[a, b]| native::matmul(a, b))
    }

    fn convolution(&self, x: Buffer, filter: Buffer, spec: &ConvSpec) -> Result<Buffer> {
        self.run(Op::Convolution(spec.clone()), [x, filter], |[x, filter]| {
            native::convolution(x, filter, spec)
        })
    }

    fn reduce_window(&self, op: ReduceOp, x: Buffer, window: &WindowSpec) -> Result<Buffer> {
        self.host(&Op::ReduceWindow { op, window: window.clone() }, vec![x])
    }

    fn select_and_scatter(&self, x: Buffer, g: Buffer, window: &WindowSpec) -> Result<Buffer> {
        self.host(&Op::SelectAndScatter(window.clone()), vec![x, g])
    }

    fn via_host(&self, op: &Op, dtype: DType) -> bool {
        match op {
            Op::Fused(fused) => Backend::fuses(self, fused, dtype),
            _ => !self.can(op, dtype),
        }
    }

    fn fuses(&self, op: &Fused, dtype: DType) -> bool {
        // The whole table would be copied for a few of its rows, and copies cost more than the activations' gradients.
        let copied = matches!(op, Fused::Embedding | Fused::ActivationBackward { .. });
        self.kernels && !copied && Backend::fuses(&NdArray, op, dtype)
    }

    fn fused(&self, op: &Fused, operands: Vec<Buffer>) -> Result<Vec<Buffer>> {
        via_host(&Op::Fused(op.clone()), operands, &self.device)
    }
}
