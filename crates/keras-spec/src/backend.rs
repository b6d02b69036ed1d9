//! The contract of a backend, typed ([`Backend`]) and erased ([`DynBackend`]).

use std::any::Any;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::fused::Fused;
use crate::host::HostTensor;
use crate::infer::gathered;
use crate::op::{ArgReduceOp, BinaryOp, CompareOp, ConvSpec, Op, ReduceOp, ScatterOp, UnaryOp, WindowSpec};
use crate::shape::Shape;
use crate::tensor::nothing;

/// A backend on one device: what its author implements.
///
/// A [`Buffer`](Backend::Buffer) is a cheap reference-counted handle to a tensor. Methods take handles by value: whoever
/// holds the last one may work in place, but a buffer that others still hold never changes.
///
/// Every call has been checked before: axes are in range, shapes and dtypes fit, ranks match. What an implementation
/// returns is checked against the shape and dtype that the specification demands. What it cannot do it refuses with
/// [`Error::Unsupported`], never with a wrong result.
pub trait Backend: Send + Sync + 'static {
    /// A handle to a tensor on this device. Cloning it copies no elements.
    type Buffer: Clone + Send + Sync + 'static;

    /// The backend's name, as in `KERAS_BACKEND`.
    fn name(&self) -> &str;

    /// The device's name within the backend: `cpu`, `cuda:0`, …
    fn device(&self) -> String {
        "cpu".to_owned()
    }

    /// Whether tensors of this dtype exist here.
    fn supports(&self, dtype: DType) -> bool {
        let _ = dtype;
        true
    }

    /// The shape of a tensor.
    fn shape(&self, x: &Self::Buffer) -> Shape;

    /// The element type of a tensor.
    fn dtype(&self, x: &Self::Buffer) -> DType;

    /// Copies or moves a tensor to the device.
    #[allow(clippy::wrong_self_convention)]
    fn from_host(&self, x: HostTensor) -> Result<Self::Buffer>;

    /// Copies or moves a tensor to host memory.
    fn to_host(&self, x: Self::Buffer) -> Result<HostTensor>;

    /// Every element converted: floats to integers truncate (saturating, NaN is 0), integers to narrower ones wrap,
    /// to `bool` says whether it is not zero, to a narrower float rounds to nearest even.
    fn cast(&self, x: Self::Buffer, dtype: DType) -> Result<Self::Buffer>;

    /// The same elements in row-major order under another shape.
    fn reshape(&self, x: Self::Buffer, shape: &Shape) -> Result<Self::Buffer>;

    /// Axis `i` of the result is axis `axes[i]` of `x`.
    fn permute(&self, x: Self::Buffer, axes: &[usize]) -> Result<Self::Buffer>;

    /// Repeats along axes of length 1 and along new leading axes until the shape is `shape`.
    fn broadcast(&self, x: Self::Buffer, shape: &Shape) -> Result<Self::Buffer>;

    /// The elements `start[i], start[i] + stride[i], … < limit[i]` of every axis `i`.
    fn slice(
        &self,
        x: Self::Buffer,
        start: &[usize],
        limit: &[usize],
        stride: &[usize],
    ) -> Result<Self::Buffer>;

    /// Turns the order along `axes` round.
    fn reverse(&self, x: Self::Buffer, axes: &[usize]) -> Result<Self::Buffer>;

    /// One after the other along `axis`; at least one operand.
    fn concatenate(&self, xs: Vec<Self::Buffer>, axis: usize) -> Result<Self::Buffer>;

    /// Puts `value` before (`low`), after (`high`) and between (`interior`) the elements of each axis.
    fn pad(
        &self,
        x: Self::Buffer,
        value: f64,
        low: &[usize],
        high: &[usize],
        interior: &[usize],
    ) -> Result<Self::Buffer>;

    /// An element-wise function; see [`UnaryOp`] for its dtypes.
    fn unary(&self, op: UnaryOp, x: Self::Buffer) -> Result<Self::Buffer>;

    /// An element-wise function of two operands of one dtype, broadcast to their common shape; see [`BinaryOp`].
    fn binary(&self, op: BinaryOp, a: Self::Buffer, b: Self::Buffer) -> Result<Self::Buffer>;

    /// A comparison of two operands of one dtype, broadcast to their common shape; the result is `bool`.
    fn compare(&self, op: CompareOp, a: Self::Buffer, b: Self::Buffer) -> Result<Self::Buffer>;

    /// `a` where `condition` (of dtype `bool`) holds, else `b`; all three broadcast to their common shape.
    fn select(&self, condition: Self::Buffer, a: Self::Buffer, b: Self::Buffer) -> Result<Self::Buffer>;

    /// Reduces over `axes` (ascending), which the result lacks. No axes: `x` itself.
    fn reduce(&self, op: ReduceOp, x: Self::Buffer, axes: &[usize]) -> Result<Self::Buffer>;

    /// The `int32` index of the first extreme element along `axis`, which the result lacks.
    fn arg_reduce(&self, op: ArgReduceOp, x: Self::Buffer, axis: usize) -> Result<Self::Buffer>;

    /// The reduction of everything up to and including each element along `axis`.
    fn cumulative(&self, op: ReduceOp, x: Self::Buffer, axis: usize) -> Result<Self::Buffer>;

    /// Sorts along `axis`; NaN comes last in ascending order and first in descending order.
    ///
    /// The default gathers by [`argsort`](Backend::argsort).
    fn sort(&self, x: Self::Buffer, axis: usize, descending: bool) -> Result<Self::Buffer> {
        let order = self.argsort(x.clone(), axis, descending)?;
        self.gather_elements(x, order, axis)
    }

    /// The `int32` indices along `axis` that [`sort`](Backend::sort) `x`, equal elements in their order.
    fn argsort(&self, x: Self::Buffer, axis: usize, descending: bool) -> Result<Self::Buffer>;

    /// `x[…, indices, …]` along `axis`: the shape of `indices` (of dtype `int32`) takes the place of the axis. Indices
    /// out of range are clamped to the nearest valid one.
    ///
    /// The default repeats the indices for [`gather_elements`](Backend::gather_elements).
    fn gather(&self, x: Self::Buffer, indices: Self::Buffer, axis: usize) -> Result<Self::Buffer> {
        let shape = gathered(&self.shape(&x), &self.shape(&indices), axis);
        let indices = indices_of_elements(self, &self.shape(&x), indices, axis)?;
        let y = self.gather_elements(x, indices, axis)?;
        self.reshape(y, &shape)
    }

    /// `out[i][j][k] = x[i][indices[i][j][k]][k]` (for `axis = 1`); `indices` (of dtype `int32`) has the rank of `x` and
    /// its dimensions other than `axis`. Out-of-range indices are clamped.
    fn gather_elements(&self, x: Self::Buffer, indices: Self::Buffer, axis: usize) -> Result<Self::Buffer>;

    /// `x` with `updates` put in where [`gather`](Backend::gather) with the same `indices` would take from: the shape of
    /// `updates` is that of its result. Updates out of range are dropped. Repeated indices apply in order.
    ///
    /// The default repeats the indices for [`scatter_elements`](Backend::scatter_elements).
    fn scatter(
        &self,
        op: ScatterOp,
        x: Self::Buffer,
        indices: Self::Buffer,
        updates: Self::Buffer,
        axis: usize,
    ) -> Result<Self::Buffer> {
        let indices = indices_of_elements(self, &self.shape(&x), indices, axis)?;
        let updates = self.reshape(updates, &self.shape(&indices))?;
        self.scatter_elements(op, x, indices, updates, axis)
    }

    /// `x` with `updates` put in where [`gather_elements`](Backend::gather_elements) would take from. Updates out of range
    /// are dropped. Repeated indices apply in order.
    fn scatter_elements(
        &self,
        op: ScatterOp,
        x: Self::Buffer,
        indices: Self::Buffer,
        updates: Self::Buffer,
        axis: usize,
    ) -> Result<Self::Buffer>;

    /// Matrix product of the last two axes, `(…, m, k) · (…, k, n) → (…, m, n)`; leading axes broadcast. Floats and
    /// integers, which wrap; float16 and bfloat16 accumulate in float32 or wider.
    fn matmul(&self, a: Self::Buffer, b: Self::Buffer) -> Result<Self::Buffer>;

    /// Convolution (in the sense of neural networks: the filter is not flipped), channels-last; see [`ConvSpec`], which
    /// knows the shape of the result. Dtypes and precision as for [`matmul`](Backend::matmul).
    fn convolution(&self, x: Self::Buffer, filter: Self::Buffer, spec: &ConvSpec) -> Result<Self::Buffer>;

    /// Reduces every window of the spatial axes; padding counts as the reduction's neutral element.
    /// [`WindowSpec`] knows the shape of the result.
    fn reduce_window(&self, op: ReduceOp, x: Self::Buffer, window: &WindowSpec) -> Result<Self::Buffer>;

    /// The gradient of the maximum over windows: each element of `g` is added to the place of the first maximum of its
    /// window in `x`, in a tensor of zeros of the shape of `x`. In row-major order an element takes the place of the best so
    /// far unless that is greater or equal (so one after NaN does). Padding is never chosen.
    fn select_and_scatter(
        &self,
        x: Self::Buffer,
        g: Self::Buffer,
        window: &WindowSpec,
    ) -> Result<Self::Buffer>;

    /// Whether `op` is done in host memory for operands of this dtype, with a copy there and back: reports say so.
    fn via_host(&self, op: &Op, dtype: DType) -> bool {
        let _ = (op, dtype);
        false
    }

    /// Whether [`fused`](Backend::fused) does `op` for operands of this dtype. Where it does not, the composed default runs.
    fn fuses(&self, op: &Fused, dtype: DType) -> bool {
        let _ = (op, dtype);
        false
    }

    /// Runs a fused operation; its operands and results are documented at [`Fused`]. Only called where
    /// [`fuses`](Backend::fuses) says so.
    fn fused(&self, op: &Fused, operands: Vec<Self::Buffer>) -> Result<Vec<Self::Buffer>> {
        let dtype = operands.first().map_or(DType::F32, |x| self.dtype(x));
        Err(Error::unsupported(self.name(), op.name(), dtype, "not fused here"))
    }

    /// Runs an optimizer step ([`Fused::is_update`]): the results replace the variable (operand 0) and its state
    /// (operands 2 and up), in place where nobody else holds them. If it fails, all operands are as before. Only
    /// called where [`fuses`](Backend::fuses) says so. The default calls [`fused`](Backend::fused), which sees that `operands`
    /// hold its tensors too: whoever can step in place overrides this.
    fn update(&self, op: &Fused, operands: &mut [Self::Buffer]) -> Result<()> {
        let results = self.fused(op, operands.to_vec())?;
        let (variable, rest) = operands.split_at_mut(1);
        variable.iter_mut().chain(rest.iter_mut().skip(1)).zip(results).for_each(|(x, new)| *x = new);
        Ok(())
    }
}

/// The indices of [`Backend::gather`] along an axis of a tensor of shape `x` as those of [`Backend::gather_elements`].
fn indices_of_elements<B: Backend + ?Sized>(
    backend: &B,
    x: &Shape,
    indices: B::Buffer,
    axis: usize,
) -> Result<B::Buffer> {
    let n = backend.shape(&indices).size();
    let line = Shape::from(vec![1; x.rank()]).with(axis, n);
    backend.broadcast(backend.reshape(indices, &line)?, &x.with(axis, n))
}

/// A [`Backend::Buffer`] of whichever backend.
pub type AnyBuffer = Arc<dyn Any + Send + Sync>;

/// The operands of an operation.
pub type Buffers = SmallVec<[AnyBuffer; 3]>;

/// [`Backend`] without its type, as [`crate::Device`] holds it. Implemented for every [`Backend`]; there is no reason to
/// implement it by hand.
pub trait DynBackend: Send + Sync + 'static {
    /// [`Backend::name`]
    fn name(&self) -> &str;
    /// [`Backend::device`]
    fn device(&self) -> String;
    /// [`Backend::supports`]
    fn supports(&self, dtype: DType) -> bool;
    /// [`Backend::from_host`]
    #[allow(clippy::wrong_self_convention)]
    fn from_host(&self, x: HostTensor) -> Result<AnyBuffer>;
    /// [`Backend::to_host`]
    fn to_host(&self, x: AnyBuffer) -> Result<HostTensor>;
    /// [`Backend::fuses`]
    fn fuses(&self, op: &Fused, dtype: DType) -> bool;
    /// [`Backend::via_host`]
    fn via_host(&self, op: &Op, dtype: DType) -> bool;
    /// Runs one operation other than [`Op::Fused`].
    fn execute(&self, op: &Op, operands: Buffers) -> Result<AnyBuffer>;
    /// [`Backend::fused`]
    fn fused(&self, op: &Fused, operands: Buffers) -> Result<SmallVec<[AnyBuffer; 1]>>;
    /// [`Backend::update`]
    fn update(&self, op: &Fused, operands: &mut [AnyBuffer]) -> Result<()>;
    /// [`Backend::shape`] and [`Backend::dtype`]
    fn describe(&self, x: &AnyBuffer) -> Result<(Shape, DType)>;
}

impl<B: Backend> DynBackend for B {
    fn name(&self) -> &str {
        Backend::name(self)
    }

    fn device(&self) -> String {
        Backend::device(self)
    }

    fn supports(&self, dtype: DType) -> bool {
        Backend::supports(self, dtype)
    }

    fn from_host(&self, x: HostTensor) -> Result<AnyBuffer> {
        Backend::from_host(self, x).map(erase::<B>)
    }

    fn to_host(&self, x: AnyBuffer) -> Result<HostTensor> {
        Backend::to_host(self, typed(self, x)?)
    }

    fn fuses(&self, op: &Fused, dtype: DType) -> bool {
        Backend::fuses(self, op, dtype)
    }

    fn via_host(&self, op: &Op, dtype: DType) -> bool {
        Backend::via_host(self, op, dtype)
    }

    fn execute(&self, op: &Op, operands: Buffers) -> Result<AnyBuffer> {
        let mut rest = operands.into_iter();
        let mut next = || match rest.next() {
            Some(x) => typed(self, x),
            None => Err(broken(self, op.name(), "an operand is missing")),
        };
        let y = match op {
            Op::Cast(dtype) => self.cast(next()?, *dtype),
            Op::Reshape(shape) => self.reshape(next()?, shape),
            Op::Permute(axes) => self.permute(next()?, axes),
            Op::Broadcast(shape) => self.broadcast(next()?, shape),
            Op::Slice { start, limit, stride } => self.slice(next()?, start, limit, stride),
            Op::Reverse(axes) => self.reverse(next()?, axes),
            Op::Concatenate(axis) => {
                let xs = rest.map(|x| typed(self, x)).collect::<Result<Vec<_>>>()?;
                self.concatenate(xs, *axis)
            }
            Op::Pad { value, low, high, interior } => self.pad(next()?, *value, low, high, interior),
            Op::Unary(op) => self.unary(*op, next()?),
            Op::Binary(op) => self.binary(*op, next()?, next()?),
            Op::Compare(op) => self.compare(*op, next()?, next()?),
            Op::Select => self.select(next()?, next()?, next()?),
            Op::Reduce { op, axes } => self.reduce(*op, next()?, axes),
            Op::ArgReduce { op, axis } => self.arg_reduce(*op, next()?, *axis),
            Op::Cumulative { op, axis } => self.cumulative(*op, next()?, *axis),
            Op::Sort { axis, descending } => self.sort(next()?, *axis, *descending),
            Op::ArgSort { axis, descending } => self.argsort(next()?, *axis, *descending),
            Op::Gather(axis) => self.gather(next()?, next()?, *axis),
            Op::GatherElements(axis) => self.gather_elements(next()?, next()?, *axis),
            Op::Scatter { axis, op } => self.scatter(*op, next()?, next()?, next()?, *axis),
            Op::ScatterElements { axis, op } => self.scatter_elements(*op, next()?, next()?, next()?, *axis),
            Op::MatMul => self.matmul(next()?, next()?),
            Op::Convolution(spec) => self.convolution(next()?, next()?, spec),
            Op::ReduceWindow { op, window } => self.reduce_window(*op, next()?, window),
            Op::SelectAndScatter(window) => self.select_and_scatter(next()?, next()?, window),
            Op::Fused(op) => return Err(broken(self, op.name(), "a fused operation has results of its own")),
        };
        Ok(erase::<B>(y?))
    }

    fn fused(&self, op: &Fused, operands: Buffers) -> Result<SmallVec<[AnyBuffer; 1]>> {
        let operands = operands.into_iter().map(|x| typed(self, x)).collect::<Result<Vec<_>>>()?;
        Ok(Backend::fused(self, op, operands)?.into_iter().map(erase::<B>).collect())
    }

    fn update(&self, op: &Fused, operands: &mut [AnyBuffer]) -> Result<()> {
        if !operands.iter().all(|x| x.is::<B::Buffer>()) {
            return Err(foreign(self));
        }
        let take = |x: &mut AnyBuffer| typed(self, std::mem::replace(x, nothing()));
        let mut taken = operands.iter_mut().map(take).collect::<Result<Vec<_>>>()?;
        let done = Backend::update(self, op, &mut taken);
        operands.iter_mut().zip(taken).for_each(|(x, new)| *x = erase::<B>(new));
        done
    }

    fn describe(&self, x: &AnyBuffer) -> Result<(Shape, DType)> {
        let x = x.downcast_ref::<B::Buffer>().ok_or_else(|| foreign(self))?;
        Ok((Backend::shape(self, x), Backend::dtype(self, x)))
    }
}

fn erase<B: Backend>(x: B::Buffer) -> AnyBuffer {
    Arc::new(x)
}

/// Takes the handle out of its box, so that the backend sees whether it is the last one.
fn typed<B: Backend>(backend: &B, x: AnyBuffer) -> Result<B::Buffer> {
    x.downcast::<B::Buffer>().map(Arc::unwrap_or_clone).map_err(|_| foreign(backend))
}

fn foreign<B: Backend>(backend: &B) -> Error {
    broken(backend, "downcast", "a buffer of another backend was handed in")
}

fn broken<B: Backend>(backend: &B, op: &str, why: &str) -> Error {
    Error::Backend { backend: Backend::name(backend).to_owned(), op: op.to_owned(), why: why.to_owned() }
}

#[cfg(test)]
mod tests {
    /// The contract's promise to backend authors.
    #[test]
    fn at_most_forty_methods_are_required() {
        let file: syn::File = syn::parse_str(include_str!("backend.rs")).expect("this file parses");
        let required = file
            .items
            .iter()
            .find_map(|item| match item {
                syn::Item::Trait(t) if t.ident == "Backend" => Some(
                    t.items
                        .iter()
                        .filter(|i| matches!(i, syn::TraitItem::Fn(f) if f.default.is_none()))
                        .count(),
                ),
                _ => None,
            })
            .expect("the trait is here");
        assert!((20..=40).contains(&required), "{required} required methods");
    }
}
