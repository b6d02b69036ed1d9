//! [`Tensor`]: a buffer of some backend with a shape, a dtype, a device and, while gradients are recorded, a history.

mod einsum;
mod methods;
mod operators;

use std::fmt;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::backend::{AnyBuffer, Buffers};
use crate::compose;
use crate::device::Device;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::fused::Fused;
use crate::host::{Element, HostTensor, has_memory_for};
use crate::infer::infer;
use crate::op::Op;
use crate::scope;
use crate::shape::Shape;
use crate::tape::{self, Origin};

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
            return Ok(Tensor::placeholder(shape, dtype, device));
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
        Ok(Tensor { buffer, shape, dtype, device: device.clone(), origin: None })
    }

    /// A tensor of `shape` filled with `value`, on `device`.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the device lacks the dtype.
    pub fn full(shape: impl Into<Shape>, dtype: DType, value: f64, device: &Device) -> Result<Self> {
        Tensor::from_host(HostTensor::full(Shape::scalar(), dtype, value), device)?.broadcast_to(shape)
    }

    /// A tensor over a buffer of the backend of `device`, without a copy: how a backend's own arrays come in.
    ///
    /// # Errors
    /// If the buffer belongs to another backend.
    pub fn from_buffer(buffer: AnyBuffer, device: &Device) -> Result<Self> {
        let (shape, dtype) = device.backend().describe(&buffer)?;
        Ok(Tensor { buffer, shape, dtype, device: device.clone(), origin: None })
    }

    /// The buffer of the backend of [`device`](Tensor::device); in [`crate::scope::abstractly`] there is none, only a
    /// placeholder that no backend knows.
    pub fn into_buffer(self) -> AnyBuffer {
        self.buffer
    }

    /// A tensor without elements for [`crate::scope::abstractly`].
    pub(crate) fn placeholder(shape: Shape, dtype: DType, device: &Device) -> Self {
        Tensor { buffer: Arc::new(()), shape, dtype, device: device.clone(), origin: None }
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

    pub(crate) fn with_origin(mut self, origin: Option<Origin>) -> Self {
        self.origin = origin;
        self
    }

    /// Runs one operation: infers the results' shapes, lets the backend work and records what a gradient needs.
    ///
    /// # Errors
    /// If the operands do not fit the operation, live on different devices, or the backend fails.
    pub fn apply(op: Op, operands: impl IntoIterator<Item = Tensor>) -> Result<Results> {
        let operands: Operands = operands.into_iter().collect();
        let Some(first) = operands.first() else {
            return Err(Error::shape(op.name(), "at least one operand is needed", []));
        };
        let device = first.device.clone();
        if let Some(other) = operands.iter().find(|t| t.device != device) {
            return Err(Error::DeviceMismatch {
                op: op.name().to_owned(),
                left: device.to_string(),
                right: other.device.to_string(),
            });
        }
        let specs = {
            let described: SmallVec<[_; 3]> = operands.iter().map(|t| (&t.shape, t.dtype)).collect();
            infer(&op, &described)?
        };
        let recorded = scope::records() && operands.iter().any(|t| t.origin.is_some());
        if scope::is_abstract() {
            let made = specs.into_iter().map(|(shape, dtype)| Tensor::placeholder(shape, dtype, &device));
            return Ok(made.collect());
        }
        if let Op::Fused(fused) = &op {
            if scope::decomposes() {
                return compose::compose(fused, &operands);
            }
            if !device.backend().fuses(fused, first.dtype) {
                let draft = recorded.then(|| tape::Draft::new(&op, &operands));
                let results = scope::unrecorded(|| compose::compose(fused, &operands))?;
                return Ok(match draft {
                    Some(draft) => draft.finish(op, results),
                    None => results,
                });
            }
        }
        if let Some((shape, dtype)) =
            specs.iter().find(|(shape, dtype)| !has_memory_for(shape.size().saturating_mul(dtype.size())))
        {
            return Err(Error::shape(
                op.name(),
                format!("there is no memory for its {dtype} result"),
                [shape],
            ));
        }
        let draft = recorded.then(|| tape::Draft::new(&op, &operands));
        let buffers: Buffers = operands.into_iter().map(|t| t.buffer).collect();
        let made = device.backend().execute(&op, buffers)?;
        if made.len() != specs.len() {
            return Err(broken(&device, &op, format!("{} results instead of {}", made.len(), specs.len())));
        }
        let mut results = Results::new();
        for (buffer, (shape, dtype)) in made.into_iter().zip(specs) {
            let found = device.backend().describe(&buffer)?;
            if found.0 != shape || found.1 != dtype {
                let why = format!("gave {} {} where {shape} {dtype} is due", found.0, found.1);
                return Err(broken(&device, &op, why));
            }
            results.push(Tensor { buffer, shape, dtype, device: device.clone(), origin: None });
        }
        Ok(match draft {
            Some(draft) => draft.finish(op, results),
            None => results,
        })
    }

    /// [`apply`](Tensor::apply) for operations with one result.
    ///
    /// # Errors
    /// As [`apply`](Tensor::apply).
    pub fn apply1(op: Op, operands: impl IntoIterator<Item = Tensor>) -> Result<Tensor> {
        let mut results = Tensor::apply(op, operands)?;
        results.pop().ok_or_else(|| Error::other("an operation without a result"))
    }
}

/// Runs an optimizer step ([`Fused::is_update`]) in place: the results replace the variable (operand 0) and its state
/// (operands 2 and up). If it fails, all operands are as before.
pub(crate) fn update(op: Fused, operands: &mut [&mut Tensor]) -> Result<()> {
    let op = Op::Fused(op);
    infer(&op, &operands.iter().map(|t| (&t.shape, t.dtype)).collect::<SmallVec<[_; 4]>>())?;
    let Some(device) = operands.first().map(|t| t.device.clone()) else { return Ok(()) };
    match &op {
        Op::Fused(fused)
            if fused.is_update()
                && !scope::decomposes()
                && operands.iter().all(|t| t.device == device)
                && device.backend().fuses(fused, operands[0].dtype) =>
        {
            let nothing: AnyBuffer = Arc::new(());
            let take = |t: &mut &mut Tensor| std::mem::replace(&mut t.buffer, nothing.clone());
            let mut buffers: Buffers = operands.iter_mut().map(take).collect();
            let done = device.backend().update(fused, &mut buffers);
            operands.iter_mut().zip(buffers).for_each(|(t, buffer)| t.buffer = buffer);
            done
        }
        _ => {
            let results = Tensor::apply(op, operands.iter().map(|t| (**t).clone()))?;
            let (variable, rest) = operands.split_at_mut(1);
            let targets = variable.iter_mut().chain(rest.iter_mut().skip(1));
            targets.zip(results).for_each(|(t, new)| **t = new);
            Ok(())
        }
    }
}

fn broken(device: &Device, op: &Op, why: String) -> Error {
    Error::Backend { backend: device.to_string(), op: op.name().to_owned(), why }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensor({}, {}, {})", self.shape, self.dtype, self.device)
    }
}
