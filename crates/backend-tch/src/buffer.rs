//! Tensors: libtorch's, with the dtype that they stand for, and errors.

use std::fmt;
use std::sync::Arc;

use keras_spec::{DType, Element, Error, HostTensor, Shape, dispatch_dtype};
use tch::{Device, Kind, TchError, Tensor};

/// A tensor of this backend. Cloning it copies no elements.
#[derive(Clone)]
pub struct Buffer(Arc<Inner>);

struct Inner {
    tensor: Shared,
    dtype: DType,
    shape: Shape,
    /// The buffer whose elements this one looks at, if they are not its own.
    base: Option<Buffer>,
}

/// A libtorch tensor that several threads may read.
struct Shared(Tensor);

// SAFETY: libtorch's tensors are reference-counted atomically, and its functions may read one from several threads at once.
// What changes a tensor needs it by value (`Buffer::unique`) or its buffer to itself (`Buffer::own`), which only the holder of
// the last handle has.
unsafe impl Sync for Shared {}

impl Buffer {
    /// A tensor that shares its elements with no other one; it is stored as [`kind`] says.
    pub(crate) fn new(tensor: Tensor, dtype: DType) -> Buffer {
        Buffer::over(tensor, dtype, None)
    }

    fn over(tensor: Tensor, dtype: DType, base: Option<Buffer>) -> Buffer {
        let shape = shape_of(&tensor);
        Buffer(Arc::new(Inner { tensor: Shared(tensor), dtype, shape, base }))
    }

    /// A tensor of the same dtype that looks at the elements of this one.
    pub(crate) fn view(&self, tensor: Tensor) -> Buffer {
        self.view_as(tensor, self.dtype())
    }

    /// [`view`](Buffer::view) with the elements understood as another dtype.
    pub(crate) fn view_as(&self, tensor: Tensor, dtype: DType) -> Buffer {
        let base = self.0.base.clone().unwrap_or_else(|| self.clone());
        Buffer::over(tensor, dtype, Some(base))
    }

    /// The tensor to change, if nobody else sees its elements; otherwise the buffer back.
    pub(crate) fn unique(self) -> Result<Tensor, Buffer> {
        if self.0.base.is_some() {
            return Err(self);
        }
        Arc::try_unwrap(self.0).map(|inner| inner.tensor.0).map_err(Buffer)
    }

    /// The tensor to change: a copy, if somebody else sees its elements.
    pub(crate) fn into_own(self) -> Done {
        self.unique().or_else(|shared| copy(shared.tensor()))
    }

    /// The tensor to change: if somebody else sees its elements, the buffer gets a copy first.
    #[cfg(feature = "shim")]
    pub(crate) fn own(&mut self) -> Done<&mut Tensor> {
        if self.0.base.is_some() || Arc::get_mut(&mut self.0).is_none() {
            *self = Buffer::new(copy(self.tensor())?, self.dtype());
        }
        match Arc::get_mut(&mut self.0) {
            Some(inner) => Ok(&mut inner.tensor.0),
            None => Err(broken("copy", "somebody else holds the new tensor").into()),
        }
    }

    /// libtorch's tensor.
    pub fn tensor(&self) -> &Tensor {
        &self.0.tensor.0
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        self.0.dtype
    }

    /// The dimensions.
    pub fn shape(&self) -> &Shape {
        &self.0.shape
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({} {:?} on {:?})", self.dtype(), self.shape(), self.tensor().device())
    }
}

/// How elements are stored. libtorch computes only with signed integers and `uint8`: `uint16` and `uint32` are stored in the
/// next wider type, `uint64` as the `int64` of the same bits.
pub(crate) fn kind(dtype: DType) -> Kind {
    match dtype {
        DType::Bool => Kind::Bool,
        DType::U8 => Kind::Uint8,
        DType::I8 => Kind::Int8,
        DType::I16 => Kind::Int16,
        DType::I32 | DType::U16 => Kind::Int,
        DType::I64 | DType::U32 | DType::U64 => Kind::Int64,
        DType::F16 => Kind::Half,
        DType::BF16 => Kind::BFloat16,
        DType::F32 => Kind::Float,
        DType::F64 => Kind::Double,
    }
}

/// Half precisions, which are computed in float32 and rounded once.
pub(crate) fn is_half(dtype: DType) -> bool {
    matches!(dtype, DType::F16 | DType::BF16)
}

/// Takes stored integers back into the range of their dtype after arithmetic in the wider type.
pub(crate) fn wrapped(tensor: Tensor, dtype: DType) -> Done {
    Ok(match dtype {
        DType::U16 => tensor.f_bitwise_and(0xFFFFi64)?,
        DType::U32 => tensor.f_bitwise_and(0xFFFF_FFFFi64)?,
        _ => tensor,
    })
}

/// Stored elements as numbers in the order of the dtype's values, and back: doing it twice changes nothing.
pub(crate) fn ordered(tensor: &Tensor, dtype: DType) -> Done {
    Ok(match dtype {
        DType::U64 => tensor.f_bitwise_xor(i64::MIN)?,
        _ => tensor.shallow_clone(),
    })
}

/// A tensor filled with a value of a dtype.
pub(crate) fn filled(shape: &[i64], value: f64, dtype: DType, device: Device) -> Done {
    let options = (kind(dtype), device);
    Ok(if dtype.is_float() {
        let rounded = dispatch_dtype!(dtype, T => T::from_f64(value).to_f64());
        Tensor::f_full(shape, rounded, options)?
    } else {
        Tensor::f_full(shape, dispatch_dtype!(dtype, T => T::from_f64(value).to_i128() as i64), options)?
    })
}

/// The least and the greatest value of a dtype, as [`filled`] takes them: conversions to integers saturate.
pub(crate) fn limits(dtype: DType) -> [f64; 2] {
    if dtype == DType::Bool { [0.0, 1.0] } else { [f64::NEG_INFINITY, f64::INFINITY] }
}

/// A tensor with elements of its own.
pub(crate) fn copy(tensor: &Tensor) -> Done {
    let mut own = tensor.f_empty_like()?;
    own.f_copy_(tensor)?;
    Ok(own)
}

/// The dimensions of a tensor.
pub(crate) fn shape_of(tensor: &Tensor) -> Shape {
    tensor.size().into_iter().map(|n| n as usize).collect()
}

/// Dimensions as libtorch takes them.
pub(crate) fn sizes(shape: &[usize]) -> Vec<i64> {
    shape.iter().map(|&n| n as i64).collect()
}

/// Copies elements from the host.
pub(crate) fn from_host(x: HostTensor, device: Device) -> Done<Buffer> {
    let dtype = x.dtype();
    let shape = sizes(x.shape());
    let tensor = match dtype {
        DType::Bool => Tensor::f_from_slice(x.as_slice::<bool>()?)?,
        DType::U8 => Tensor::f_from_slice(x.as_slice::<u8>()?)?,
        DType::I8 => Tensor::f_from_slice(x.as_slice::<i8>()?)?,
        DType::I16 => Tensor::f_from_slice(x.as_slice::<i16>()?)?,
        DType::I32 => Tensor::f_from_slice(x.as_slice::<i32>()?)?,
        DType::I64 => Tensor::f_from_slice(x.as_slice::<i64>()?)?,
        DType::F16 => Tensor::f_from_slice(x.as_slice::<half::f16>()?)?,
        DType::F32 => of_vec(x.into_vec::<f32>()?, &shape)?,
        DType::F64 => of_vec(x.into_vec::<f64>()?, &shape)?,
        // tch takes elements of bfloat16 for those of float16.
        DType::BF16 => {
            let bits: Vec<i16> = x.as_slice::<half::bf16>()?.iter().map(|v| v.to_bits() as i16).collect();
            Tensor::f_from_slice(&bits)?.f_view_dtype(Kind::BFloat16)?
        }
        DType::U16 => {
            let wide: Vec<i32> = x.as_slice::<u16>()?.iter().map(|&v| v.into()).collect();
            Tensor::f_from_slice(&wide)?
        }
        DType::U32 => {
            let wide: Vec<i64> = x.as_slice::<u32>()?.iter().map(|&v| v.into()).collect();
            Tensor::f_from_slice(&wide)?
        }
        DType::U64 => {
            let bits: Vec<i64> = x.as_slice::<u64>()?.iter().map(|&v| v as i64).collect();
            Tensor::f_from_slice(&bits)?
        }
    };
    let tensor = if tensor.dim() == shape.len() { tensor } else { tensor.f_reshape(shape)? };
    Ok(Buffer::new(if device == Device::Cpu { tensor } else { tensor.f_to_device(device)? }, dtype))
}

/// A tensor with these elements, which only without the C++ file are copied.
fn of_vec<T: tch::kind::Element>(elements: Vec<T>, shape: &[i64]) -> Done {
    #[cfg(feature = "shim")]
    return crate::shim::from_vec(elements, shape);
    #[cfg(not(feature = "shim"))]
    Ok(Tensor::f_from_slice(&elements)?.f_reshape(shape)?)
}

/// Copies elements to the host.
pub(crate) fn to_host(x: &Buffer) -> Done<HostTensor> {
    let (dtype, shape) = (x.dtype(), x.shape().clone());
    let tensor = x.tensor().f_to_device(Device::Cpu)?.f_contiguous()?;
    fn elements<T: tch::kind::Element>(tensor: &Tensor, count: usize) -> Done<Vec<T>> {
        let mut out = vec![T::ZERO; count];
        tensor.f_copy_data(&mut out, count)?;
        Ok(out)
    }
    let n = shape.size();
    Ok(match dtype {
        DType::Bool => HostTensor::new(shape, elements::<bool>(&tensor, n)?)?,
        DType::U8 => HostTensor::new(shape, elements::<u8>(&tensor, n)?)?,
        DType::I8 => HostTensor::new(shape, elements::<i8>(&tensor, n)?)?,
        DType::I16 => HostTensor::new(shape, elements::<i16>(&tensor, n)?)?,
        DType::I32 => HostTensor::new(shape, elements::<i32>(&tensor, n)?)?,
        DType::I64 => HostTensor::new(shape, elements::<i64>(&tensor, n)?)?,
        DType::F16 => HostTensor::new(shape, elements::<half::f16>(&tensor, n)?)?,
        DType::F32 => HostTensor::new(shape, elements::<f32>(&tensor, n)?)?,
        DType::F64 => HostTensor::new(shape, elements::<f64>(&tensor, n)?)?,
        DType::BF16 => {
            let bits = elements::<i16>(&tensor.f_view_dtype(Kind::Int16)?, n)?;
            HostTensor::new(shape, bits.into_iter().map(|v| half::bf16::from_bits(v as u16)).collect())?
        }
        DType::U16 => narrowed::<_, u16>(shape, elements::<i32>(&tensor, n)?, |v| v as u16)?,
        DType::U32 => narrowed::<_, u32>(shape, elements::<i64>(&tensor, n)?, |v| v as u32)?,
        DType::U64 => narrowed::<_, u64>(shape, elements::<i64>(&tensor, n)?, |v| v as u64)?,
    })
}

fn narrowed<S, T: Element>(shape: Shape, stored: Vec<S>, own: impl Fn(S) -> T) -> Done<HostTensor> {
    Ok(HostTensor::new(shape, stored.into_iter().map(own).collect::<Vec<T>>())?)
}

/// What goes wrong in here: before it is known in which operation.
#[derive(Debug)]
pub(crate) enum Failure {
    /// libtorch's.
    Torch(TchError),
    /// Ours.
    Spec(Error),
}

impl From<TchError> for Failure {
    fn from(e: TchError) -> Self {
        Failure::Torch(e)
    }
}

impl From<Error> for Failure {
    fn from(e: Error) -> Self {
        Failure::Spec(e)
    }
}

impl Failure {
    /// The error of operation `op`.
    pub(crate) fn of(self, op: &str) -> Error {
        match self {
            // What follows is a list of C++ functions.
            Failure::Torch(e) => broken(op, e.to_string().lines().next().unwrap_or_default()),
            Failure::Spec(e) => e,
        }
    }
}

/// What functions in here return.
pub(crate) type Done<T = Tensor> = Result<T, Failure>;

/// A failure in `op`.
pub(crate) fn broken(op: &str, why: impl fmt::Display) -> Error {
    Error::Backend { backend: crate::NAME.to_owned(), op: op.to_owned(), why: why.to_string() }
}

/// What an operation that is not defined for a dtype answers.
pub(crate) fn unsupported<R>(op: &str, dtype: DType) -> Done<R> {
    Err(Failure::Spec(Error::unsupported(crate::NAME, op, dtype, "it is not defined for this dtype")))
}
