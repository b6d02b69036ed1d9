//! Tensors: in candle where it has the dtype, else on the host; and the way between the two.

use std::sync::Arc;

use backend_ndarray::NdArray;
use candle_core::{CpuStorage, Device, Storage, Tensor, WithDType};
use half::{bf16, f16};
use keras_spec::{Backend, DType, DynBackend, Error, HostData, HostTensor, Op, Result, Shape};

use crate::NAME;

/// A tensor of this backend. Cloning it copies no elements.
#[derive(Clone, Debug)]
pub struct Buffer(pub(crate) Place);

/// Where the elements are.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// In candle.
    Candle(Tensor),
    /// In candle, as `u8` that is 0 or 1: candle has no `bool`.
    Truth(Tensor),
    /// In host memory: `int8`, `uint16` and `uint64`, which candle lacks.
    Host(backend_ndarray::Buffer),
}

impl Buffer {
    /// The tensor in candle, if it is there; `bool`s are `u8`.
    pub fn candle(&self) -> Option<&Tensor> {
        match &self.0 {
            Place::Candle(x) | Place::Truth(x) => Some(x),
            Place::Host(_) => None,
        }
    }

    pub(crate) fn shape(&self) -> &[usize] {
        match &self.0 {
            Place::Candle(x) | Place::Truth(x) => x.dims(),
            Place::Host(x) => x.shape(),
        }
    }

    pub(crate) fn dtype(&self) -> DType {
        match &self.0 {
            Place::Candle(x) => ours(x.dtype()),
            Place::Truth(_) => DType::Bool,
            Place::Host(x) => x.dtype(),
        }
    }
}

/// The dtype of a tensor that this backend has made.
fn ours(dtype: candle_core::DType) -> DType {
    use candle_core::DType as D;
    match dtype {
        D::U8 => DType::U8,
        D::U32 => DType::U32,
        D::I16 => DType::I16,
        D::I32 => DType::I32,
        D::I64 => DType::I64,
        D::BF16 => DType::BF16,
        D::F16 => DType::F16,
        D::F64 => DType::F64,
        // The 4- to 8-bit floats are never made here.
        _ => DType::F32,
    }
}

/// candle's name of a dtype; `bool` is `u8` there.
pub(crate) fn theirs(dtype: DType) -> Option<candle_core::DType> {
    use candle_core::DType as D;
    Some(match dtype {
        DType::Bool | DType::U8 => D::U8,
        DType::U32 => D::U32,
        DType::I16 => D::I16,
        DType::I32 => D::I32,
        DType::I64 => D::I64,
        DType::BF16 => D::BF16,
        DType::F16 => D::F16,
        DType::F32 => D::F32,
        DType::F64 => D::F64,
        _ => return None,
    })
}

/// A failure of candle in `op`.
pub(crate) fn failed(op: &str) -> impl Fn(candle_core::Error) -> Error {
    move |why| broken(op, why)
}

pub(crate) fn broken(op: &str, why: impl std::fmt::Display) -> Error {
    Error::Backend { backend: NAME.to_owned(), op: op.to_owned(), why: why.to_string() }
}

/// Brings elements from the host; on the CPU without a copy.
pub(crate) fn from_host(x: HostTensor, device: &Device) -> Result<Buffer> {
    let (shape, data) = x.into_parts();
    let dims = shape.to_vec();
    let place = match data {
        HostData::Bool(v) => {
            let v: Vec<u8> = v.into_iter().map(u8::from).collect();
            Place::Truth(Tensor::from_vec(v, dims, device).map_err(failed("from_host"))?)
        }
        HostData::U8(v) => up(v, dims, device)?,
        HostData::U32(v) => up(v, dims, device)?,
        HostData::I16(v) => up(v, dims, device)?,
        HostData::I32(v) => up(v, dims, device)?,
        HostData::I64(v) => up(v, dims, device)?,
        HostData::F16(v) => up(v, dims, device)?,
        HostData::BF16(v) => up(v, dims, device)?,
        HostData::F32(v) => up(v, dims, device)?,
        HostData::F64(v) => up(v, dims, device)?,
        other => Place::Host(Backend::from_host(&NdArray, HostTensor::from_data(shape, other)?)?),
    };
    Ok(Buffer(place))
}

fn up<T: WithDType>(data: Vec<T>, dims: Vec<usize>, device: &Device) -> Result<Place> {
    Tensor::from_vec(data, dims, device).map(Place::Candle).map_err(failed("from_host"))
}

/// Copies elements to the host.
pub(crate) fn to_host(x: Buffer) -> Result<HostTensor> {
    let shape = Shape::from(x.shape());
    match x.0 {
        Place::Host(x) => Backend::to_host(&NdArray, x),
        Place::Truth(x) => {
            let bytes = down::<u8>(&x)?;
            HostTensor::new(shape, bytes.into_iter().map(|b| b != 0).collect::<Vec<bool>>())
        }
        Place::Candle(x) => match ours(x.dtype()) {
            DType::U8 => HostTensor::new(shape, down::<u8>(&x)?),
            DType::U32 => HostTensor::new(shape, down::<u32>(&x)?),
            DType::I16 => HostTensor::new(shape, down::<i16>(&x)?),
            DType::I32 => HostTensor::new(shape, down::<i32>(&x)?),
            DType::I64 => HostTensor::new(shape, down::<i64>(&x)?),
            DType::F16 => HostTensor::new(shape, down::<f16>(&x)?),
            DType::BF16 => HostTensor::new(shape, down::<bf16>(&x)?),
            DType::F64 => HostTensor::new(shape, down::<f64>(&x)?),
            _ => HostTensor::new(shape, down::<f32>(&x)?),
        },
    }
}

/// The elements in row-major order.
fn down<T: WithDType>(x: &Tensor) -> Result<Vec<T>> {
    if x.elem_count() == 0 {
        return Ok(Vec::new());
    }
    let failed = failed("to_host");
    let x = x.contiguous().map_err(&failed)?;
    let (storage, layout) = x.storage_and_layout();
    let copy = |all: &CpuStorage| -> candle_core::Result<Vec<T>> {
        let start = layout.start_offset();
        Ok(T::cpu_storage_as_slice(all)?[start..start + layout.shape().elem_count()].to_vec())
    };
    match &*storage {
        Storage::Cpu(all) => copy(all),
        Storage::Cuda(device) => {
            candle_core::backend::BackendStorage::to_cpu_storage(device).and_then(|s| copy(&s))
        }
        Storage::Metal(device) => {
            candle_core::backend::BackendStorage::to_cpu_storage(device).and_then(|s| copy(&s))
        }
    }
    .map_err(failed)
}

/// Runs an operation by way of the host: `backend-ndarray` computes.
pub(crate) fn via_host(op: &Op, operands: Vec<Buffer>, device: &Device) -> Result<Vec<Buffer>> {
    let operands = operands.into_iter().map(|x| -> Result<keras_spec::AnyBuffer> {
        Ok(Arc::new(match x.0 {
            Place::Host(x) => x,
            place => Backend::from_host(&NdArray, to_host(Buffer(place))?)?,
        }))
    });
    let operands = operands.collect::<Result<_>>()?;
    let results = match op {
        Op::Fused(op) => DynBackend::fused(&NdArray, op, operands)?,
        op => smallvec::smallvec![DynBackend::execute(&NdArray, op, operands)?],
    };
    results.into_iter().map(|y| from_host(DynBackend::to_host(&NdArray, y)?, device)).collect()
}
