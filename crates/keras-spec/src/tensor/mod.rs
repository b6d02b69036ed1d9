//! [`Tensor`]: a buffer of some backend with a shape, a dtype, a device and, while gradients are recorded, a history.

mod einsum;
mod methods;
mod operators;
mod update;

use std::fmt;
use std::sync::{Arc, LazyLock};

use smallvec::SmallVec;

use crate::backend::{AnyBuffer, Buffers};
use crate::compose;
use crate::device::Device;
use crate::dispatch_dtype;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::fused::Fused;
use crate::host::{Element, HostTensor, cast_element};
use crate::infer::{Spec, infer, infer_fused};
use crate::memory::{UNDOUBTED, can_allocate, has_memory_for};
use crate::op::Op;
use crate::scope;
use crate::shape::Shape;
use crate::tape::{self, Draft, Origin};
use crate::vjp;

/// Operands of an operation.
pub type Operands = SmallVec<[Tensor; 3]>;

/// Results of an operation; most have one.
pub type Results = SmallVec<[Tensor; 1]>;

/// An array on a device. Cheap to clone; its elements never change.
///
/// Operators (`+`, `-`, `*`, `/`) and methods follow `keras.ops`: operands are promoted and broadcast. Where an operand is
/// moved in and nobody else holds it, a backend may reuse its memory.
///
/// ```no_run
/// use keras_spec::Tensor;
///
/// let x = Tensor::new([2, 2], vec![1.0f32, 2.0, 3.0, 4.0])?;
/// let y = (&x * 2.0)?.sum(&[-1], false)?;
/// assert_eq!(y.to_vec::<f32>()?, [6.0, 14.0]);
/// # Ok::<(), keras_spec::Error>(())
/// ```
#[derive(Clone)]
pub struct Tensor {
    buffer: AnyBuffer,
    shape: Shape,
    dtype: DType,
    device: Device,
    origin: Option<Origin>,
}

impl Tensor {
    /// A tensor on the default device over row-major `data`.
    ///
    /// # Errors
    /// If the number of elements is not the shape's, or there is no backend.
    pub fn new<T: Element>(shape: impl Into<Shape>, data: Vec<T>) -> Result<Self> {
        Tensor::from_host(HostTensor::new(shape, data)?, &Device::default_device()?)
    }

    /// A host tensor brought to `device`.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the device lacks the dtype.
    pub fn from_host(host: HostTensor, device: &Device) -> Result<Self> {
        let (shape, dtype) = (host.shape().clone(), host.dtype());
        if scope::is_abstract() {
            return Ok(Tensor::placeholder(shape, dtype, *device));
        }
        if !device.supports(dtype) {
            return Err(Error::Unsupported {
                backend: device.to_string(),
                op: "from_host".to_owned(),
                dtype,
                why: "the device has no such tensors".to_owned(),
            });
        }
        let buffer = device.backend().from_host(host)?;
        Ok(Tensor { buffer, shape, dtype, device: *device, origin: None })
    }

    /// A tensor of `shape` filled with `value`, on `device`.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the device lacks the dtype.
    pub fn full(shape: impl Into<Shape>, dtype: DType, value: f64, device: &Device) -> Result<Self> {
        Tensor::from_host(HostTensor::full(Shape::scalar(), dtype, value), device)?.broadcast_to(shape)
    }

    /// A tensor of the elements `element(0)`, `element(1)`, … in row-major order, converted to `dtype`, on `device`. In
    /// [`crate::scope::abstractly`] none is computed.
    ///
    /// # Errors
    /// [`Error::Memory`] if there is none for so many; [`Error::Unsupported`] if the device lacks the dtype.
    pub fn from_fn<T: Element>(
        shape: impl Into<Shape>,
        dtype: DType,
        device: &Device,
        element: impl FnMut(usize) -> T,
    ) -> Result<Self> {
        let shape = shape.into();
        if scope::is_abstract() {
            return Ok(Tensor::placeholder(shape, dtype, *device));
        }
        // They are computed in host memory, wherever they go.
        let bytes = shape.size().saturating_mul(dtype.size());
        if !has_memory_for(bytes) {
            return Err(no_memory("from_fn", &shape, dtype, bytes));
        }
        let elements = (0..shape.size()).map(element);
        let data = dispatch_dtype!(dtype, U => U::into_data(elements.map(cast_element::<T, U>).collect()));
        Tensor::from_host(HostTensor::from_data(shape, data)?, device)
    }

    /// A tensor over a buffer of the backend of `device`, without a copy: how a backend's own arrays come in.
    ///
    /// # Errors
    /// If the buffer belongs to another backend.
    pub fn from_buffer(buffer: AnyBuffer, device: &Device) -> Result<Self> {
        let (shape, dtype) = device.backend().describe(&buffer)?;
        Ok(Tensor { buffer, shape, dtype, device: *device, origin: None })
    }

    /// The buffer of the backend of [`device`](Tensor::device); in [`crate::scope::abstractly`] there is none, only a
    /// placeholder that no backend knows.
    pub fn into_buffer(self) -> AnyBuffer {
        self.buffer
    }

    /// A tensor without elements for [`crate::scope::abstractly`].
    pub(crate) fn placeholder(shape: Shape, dtype: DType, device: Device) -> Self {
        Tensor { buffer: nothing(), shape, dtype, device, origin: None }
    }

    /// The shape.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The number of dimensions.
    pub fn rank(&self) -> usize {
        self.shape.rank()
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Where the tensor lives.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// A copy of the elements in host memory.
    ///
    /// # Errors
    /// If the device fails, or inside [`crate::scope::abstractly`], where there are no elements.
    pub fn to_host(&self) -> Result<HostTensor> {
        if scope::is_abstract() {
            return Err(Error::other("while shapes are inferred, tensors have no elements to read"));
        }
        self.device.backend().to_host(self.buffer.clone())
    }

    /// The elements in row-major order.
    ///
    /// # Errors
    /// [`Error::DType`] if they are not of type `T`; or as [`to_host`](Tensor::to_host).
    pub fn to_vec<T: Element>(&self) -> Result<Vec<T>> {
        self.to_host()?.into_vec()
    }

    /// The only element of a tensor of size 1, as `f64`.
    ///
    /// # Errors
    /// [`Error::Shape`] if there is not exactly one element.
    pub fn item(&self) -> Result<f64> {
        match self.to_host()?.to_f64_vec()[..] {
            [x] => Ok(x),
            _ => Err(Error::shape("item", "exactly one element is needed", [&self.shape])),
        }
    }

    /// The tensor on `device`: itself if it is there already, else a copy through host memory. Gradients do not flow
    /// through the copy.
    ///
    /// # Errors
    /// If either device fails.
    pub fn to(&self, device: &Device) -> Result<Self> {
        if self.device == *device { Ok(self.clone()) } else { Tensor::from_host(self.to_host()?, device) }
    }

    /// The same elements without a history: nothing is recorded through it (`keras.ops.stop_gradient`).
    #[must_use]
    pub fn stop_gradient(&self) -> Self {
        Tensor { origin: None, ..self.clone() }
    }

    /// The same elements as the start of a history, so that [`crate::gradients`] can be asked for the gradient with respect
    /// to it.
    #[must_use]
    pub fn watch(&self) -> Self {
        Tensor { origin: Some(tape::leaf()), ..self.clone() }
    }

    /// Whether operations on this tensor are recorded.
    pub fn is_watched(&self) -> bool {
        self.origin.is_some()
    }

    pub(crate) fn origin(&self) -> Option<&Origin> {
        self.origin.as_ref()
    }

    pub(crate) fn set_origin(&mut self, origin: Option<Origin>) {
        self.origin = origin;
    }

    pub(crate) fn take_origin(&mut self) -> Option<Origin> {
        self.origin.take()
    }

    /// The same shape, dtype and history, but no elements.
    pub(crate) fn without_elements(&self) -> Self {
        let placeholder = Tensor::placeholder(self.shape.clone(), self.dtype, self.device);
        Tensor { origin: self.origin.clone(), ..placeholder }
    }

    /// Runs one operation: infers the results' shapes, lets the backend work and records what a gradient needs.
    ///
    /// # Errors
    /// If the operands do not fit the operation, live on different devices, or the backend fails.
    pub fn apply(op: Op, operands: impl IntoIterator<Item = Tensor>) -> Result<Results> {
        let operands = listed(operands);
        match op {
            Op::Fused(fused) => run_fused(fused, operands),
            op => Ok(Results::from_buf([run(op, operands)?])),
        }
    }

    /// [`apply`](Tensor::apply) for operations with one result.
    ///
    /// # Errors
    /// As [`apply`](Tensor::apply).
    pub fn apply1(op: Op, operands: impl IntoIterator<Item = Tensor>) -> Result<Tensor> {
        let operands = listed(operands);
        match op {
            Op::Fused(fused) => {
                let result = run_fused(fused, operands)?.pop();
                result.ok_or_else(|| Error::other("an operation without a result"))
            }
            op => run(op, operands),
        }
    }

    /// A result of the backend, held against what was inferred.
    fn made(buffer: AnyBuffer, (shape, dtype): Spec, device: Device, op: &str) -> Result<Tensor> {
        let found = device.backend().describe(&buffer)?;
        if found.0 != shape || found.1 != dtype {
            let why = format!("gave {} {} where {shape} {dtype} is due", found.0, found.1);
            return Err(broken(device, op, why));
        }
        Ok(Tensor { buffer, shape, dtype, device, origin: None })
    }
}

fn listed(operands: impl IntoIterator<Item = Tensor>) -> Operands {
    // What `collect` does is not inlined: it costs more than small operations.
    let mut list = Operands::new();
    operands.into_iter().for_each(|t| list.push(t));
    list
}

fn run(op: Op, operands: Operands) -> Result<Tensor> {
    let device = common_device(op.name(), &operands)?;
    let spec = infer(&op, &described(&operands))?;
    let mode = scope::mode();
    if mode.is_abstract() {
        return Ok(Tensor::placeholder(spec.0, spec.1, device));
    }
    check_memory(&op, &operands, &spec)?;
    let draft = mode.drafts(&operands).then(|| Draft::new(&operands, |wanted| vjp::saves(&op, wanted)));
    let made = device.backend().execute(&op, buffers(operands))?;
    let mut result = Tensor::made(made, spec, device, op.name())?;
    if let Some(draft) = draft {
        draft.finish(op, std::slice::from_mut(&mut result));
    }
    Ok(result)
}

fn run_fused(op: Fused, operands: Operands) -> Result<Results> {
    let device = common_device(op.name(), &operands)?;
    let specs = infer_fused(&op, &described(&operands))?;
    let mode = scope::mode();
    if mode.is_abstract() {
        return Ok(specs.into_iter().map(|(s, dtype)| Tensor::placeholder(s, dtype, device)).collect());
    }
    if mode.decomposes() {
        return compose::compose(&op, &operands);
    }
    let fuses = operands.first().is_some_and(|x| device.backend().fuses(&op, x.dtype));
    if fuses {
        scope::note_fused(op.name());
        ensure_memory(op.name(), &specs, device, has_memory_for)?;
    }
    let draft = mode.drafts(&operands).then(|| Draft::new(&operands, |wanted| vjp::fused_saves(&op, wanted)));
    let mut results = if fuses {
        let made = device.backend().fused(&op, buffers(operands))?;
        if made.len() != specs.len() {
            let why = format!("{} results instead of {}", made.len(), specs.len());
            return Err(broken(device, op.name(), why));
        }
        let check = |(made, spec)| Tensor::made(made, spec, device, op.name());
        made.into_iter().zip(specs).map(check).collect::<Result<Results>>()?
    } else {
        scope::unrecorded(|| compose::compose(&op, &operands))?
    };
    if let Some(draft) = draft {
        draft.finish(Op::Fused(op), &mut results);
    }
    Ok(results)
}

fn common_device(op: &str, operands: &Operands) -> Result<Device> {
    let Some(first) = operands.first() else {
        return Err(Error::shape(op, "at least one operand is needed", []));
    };
    match operands.iter().find(|t| t.device != first.device) {
        None => Ok(first.device),
        Some(other) => Err(Error::DeviceMismatch {
            op: op.to_owned(),
            left: first.device.to_string(),
            right: other.device.to_string(),
        }),
    }
}

fn described(operands: &Operands) -> SmallVec<[(&Shape, DType); 3]> {
    let mut all = SmallVec::new();
    operands.iter().for_each(|t| all.push((&t.shape, t.dtype)));
    all
}

fn buffers(operands: Operands) -> Buffers {
    let mut all = Buffers::new();
    operands.into_iter().for_each(|t| all.push(t.buffer));
    all
}

/// Refuses an operation that there is no memory for, before it is tried.
fn check_memory(op: &Op, operands: &Operands, result: &Spec) -> Result<()> {
    let bytes = |shape: &Shape, dtype: DType| shape.size().saturating_mul(dtype.size());
    let wanted = bytes(&result.0, result.1);
    if wanted <= UNDOUBTED {
        return Ok(());
    }
    let views =
        matches!(op, Op::Reshape(_) | Op::Permute(_) | Op::Broadcast(_) | Op::Slice { .. } | Op::Reverse(_));
    let reused = |t: &Tensor| Arc::strong_count(&t.buffer) == 1 && bytes(&t.shape, t.dtype) == wanted;
    let in_place = matches!(op, Op::Unary(_) | Op::Binary(_) | Op::Select) && operands.iter().any(reused);
    // Many backends take no memory for these.
    let has = if views || in_place { can_allocate } else { has_memory_for };
    ensure_memory(op.name(), std::slice::from_ref(result), operands[0].device, has)
}

fn no_memory(op: &str, shape: &Shape, dtype: DType, bytes: usize) -> Error {
    Error::Memory { op: op.to_owned(), what: format!("{dtype} of shape {shape}"), bytes }
}

/// Refuses tensors that a device has no memory for. Those with memory of their own say so when they are out of it.
fn ensure_memory(op: &str, specs: &[Spec], device: Device, has: fn(usize) -> bool) -> Result<()> {
    for (shape, dtype) in specs {
        let bytes = shape.size().saturating_mul(dtype.size());
        if bytes > UNDOUBTED && device.backend().device() == "cpu" && !has(bytes) {
            return Err(no_memory(op, shape, *dtype, bytes));
        }
    }
    Ok(())
}

/// Runs an optimizer step ([`Fused::is_update`]) in place: the results replace the variable (operand 0) and its state
/// (operands 2 and up). If it fails, all operands are as before.
pub(crate) fn update(op: Fused, operands: &mut [&mut Tensor]) -> Result<()> {
    infer_fused(&op, &operands.iter().map(|t| (&t.shape, t.dtype)).collect::<SmallVec<[_; 4]>>())?;
    let Some(device) = operands.first().map(|t| t.device) else { return Ok(()) };
    let in_place = op.is_update()
        && !scope::decomposes()
        && operands.iter().all(|t| t.device == device)
        && device.backend().fuses(&op, operands[0].dtype);
    if in_place {
        scope::note_fused(op.name());
        let take = |t: &mut &mut Tensor| std::mem::replace(&mut t.buffer, nothing());
        let mut buffers: Buffers = operands.iter_mut().map(take).collect();
        let done = device.backend().update(&op, &mut buffers);
        operands.iter_mut().zip(buffers).for_each(|(t, buffer)| t.buffer = buffer);
        return done;
    }
    let results = run_fused(op, operands.iter().map(|t| (**t).clone()).collect())?;
    let (variable, rest) = operands.split_at_mut(1);
    let targets = variable.iter_mut().chain(rest.iter_mut().skip(1));
    targets.zip(results).for_each(|(t, new)| **t = new);
    Ok(())
}

/// What stands where there are no elements.
pub(crate) fn nothing() -> AnyBuffer {
    static NOTHING: LazyLock<AnyBuffer> = LazyLock::new(|| Arc::new(()));
    NOTHING.clone()
}

fn broken(device: Device, op: &str, why: String) -> Error {
    Error::Backend { backend: device.to_string(), op: op.to_owned(), why }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensor({}, {}, {})", self.shape, self.dtype, self.device)
    }
}
