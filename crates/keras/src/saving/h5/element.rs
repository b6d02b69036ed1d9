//! Element types: HDF5's and Keras's.

use bytemuck::{Pod, cast_slice, cast_slice_mut};
use hdf5_pure::{
    Datatype, DatatypeByteOrder, EnumTypeBuilder, FixedPointLayout, FloatingPointLayout, FormatError,
};
use keras_spec::{DType, HostData};

const BINARY16: FloatingPointLayout = FloatingPointLayout {
    bit_offset: 0,
    bit_precision: 16,
    exponent_location: 10,
    exponent_size: 5,
    mantissa_location: 0,
    mantissa_size: 10,
    exponent_bias: 15,
};

// Never written by h5py up to 3.16, which has no such type, but the next one may.
const BRAIN16: FloatingPointLayout = FloatingPointLayout {
    exponent_location: 7,
    exponent_size: 8,
    mantissa_size: 7,
    exponent_bias: 127,
    ..BINARY16
};

/// How the elements of a dataset are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Element {
    pub(crate) dtype: DType,
    pub(crate) big_endian: bool,
}

/// Keras's dtype for an HDF5 datatype; `None` for a datatype that no Keras array is stored in.
///
/// bfloat16 is an opaque type of two bytes, a bool an enumeration of one byte.
pub(crate) fn from_hdf5(datatype: &Datatype) -> Option<Element> {
    let element = |dtype, order: &DatatypeByteOrder| match order {
        DatatypeByteOrder::LittleEndian => Some(Element { dtype, big_endian: false }),
        DatatypeByteOrder::BigEndian => Some(Element { dtype, big_endian: true }),
        DatatypeByteOrder::Vax => None,
    };
    match datatype {
        Datatype::FixedPoint { size, byte_order, layout } => {
            if layout.bit_offset != 0 || u32::from(layout.bit_precision) != size.checked_mul(8)? {
                return None;
            }
            let dtype = match (size, layout.signed) {
                (1, true) => DType::I8,
                (2, true) => DType::I16,
                (4, true) => DType::I32,
                (8, true) => DType::I64,
                (1, false) => DType::U8,
                (2, false) => DType::U16,
                (4, false) => DType::U32,
                (8, false) => DType::U64,
                _ => return None,
            };
            element(dtype, byte_order)
        }
        Datatype::FloatingPoint { size, byte_order, layout } => {
            let dtype = match (size, layout) {
                (2, &BINARY16) => DType::F16,
                (2, &BRAIN16) => DType::BF16,
                (4, &FloatingPointLayout::IEEE754_BINARY32) => DType::F32,
                (8, &FloatingPointLayout::IEEE754_BINARY64) => DType::F64,
                _ => return None,
            };
            element(dtype, byte_order)
        }
        Datatype::Opaque { size: 2, .. } => element(DType::BF16, &DatatypeByteOrder::LittleEndian),
        Datatype::Enumeration { size: 1, members, .. } => {
            let is = |name: &str, value: u8| {
                members.iter().any(|m| m.name.eq_ignore_ascii_case(name) && m.value == [value])
            };
            (members.len() == 2 && is("FALSE", 0) && is("TRUE", 1))
                .then_some(Element { dtype: DType::Bool, big_endian: false })
        }
        _ => None,
    }
}

/// The datatype that h5py gives an array of `dtype`.
pub(crate) fn to_hdf5(dtype: DType) -> Result<Datatype, FormatError> {
    let float =
        |size, layout| Datatype::FloatingPoint { size, byte_order: DatatypeByteOrder::LittleEndian, layout };
    let int = |size: u32, signed| Datatype::FixedPoint {
        size,
        byte_order: DatatypeByteOrder::LittleEndian,
        layout: FixedPointLayout { signed, bit_offset: 0, bit_precision: 8 * size as u16 },
    };
    Ok(match dtype {
        DType::F16 => float(2, BINARY16),
        DType::F32 => float(4, FloatingPointLayout::IEEE754_BINARY32),
        DType::F64 => float(8, FloatingPointLayout::IEEE754_BINARY64),
        DType::BF16 => Datatype::Opaque { size: 2, tag: Vec::new() },
        DType::I8 => int(1, true),
        DType::I16 => int(2, true),
        DType::I32 => int(4, true),
        DType::I64 => int(8, true),
        DType::U8 => int(1, false),
        DType::U16 => int(2, false),
        DType::U32 => int(4, false),
        DType::U64 => int(8, false),
        DType::Bool => EnumTypeBuilder::with_base(int(1, true)).value("FALSE", 0).value("TRUE", 1).build()?,
    })
}

/// `count` elements, of which `fill` is given the place for the stored bytes.
///
/// # Errors
/// Those of `fill`.
pub(crate) fn read<E>(
    element: Element,
    count: usize,
    fill: impl FnOnce(&mut [u8]) -> Result<(), E>,
) -> Result<HostData, E> {
    fn values<T: Pod, E>(
        count: usize,
        swap: bool,
        fill: impl FnOnce(&mut [u8]) -> Result<(), E>,
    ) -> Result<Vec<T>, E> {
        let mut values = vec![T::zeroed(); count];
        let bytes: &mut [u8] = cast_slice_mut(&mut values);
        fill(bytes)?;
        if swap {
            bytes.chunks_exact_mut(size_of::<T>()).for_each(<[u8]>::reverse);
        }
        Ok(values)
    }
    let swap = element.big_endian != cfg!(target_endian = "big");
    Ok(match element.dtype {
        DType::Bool => HostData::Bool(values::<u8, E>(count, swap, fill)?.iter().map(|b| *b != 0).collect()),
        DType::U8 => HostData::U8(values(count, swap, fill)?),
        DType::U16 => HostData::U16(values(count, swap, fill)?),
        DType::U32 => HostData::U32(values(count, swap, fill)?),
        DType::U64 => HostData::U64(values(count, swap, fill)?),
        DType::I8 => HostData::I8(values(count, swap, fill)?),
        DType::I16 => HostData::I16(values(count, swap, fill)?),
        DType::I32 => HostData::I32(values(count, swap, fill)?),
        DType::I64 => HostData::I64(values(count, swap, fill)?),
        DType::F16 => HostData::F16(values(count, swap, fill)?),
        DType::BF16 => HostData::BF16(values(count, swap, fill)?),
        DType::F32 => HostData::F32(values(count, swap, fill)?),
        DType::F64 => HostData::F64(values(count, swap, fill)?),
    })
}

/// The elements as little-endian bytes.
pub(crate) fn encode(data: &HostData) -> Vec<u8> {
    let mut bytes = match data {
        HostData::Bool(v) => v.iter().map(|b| u8::from(*b)).collect(),
        HostData::U8(v) => v.clone(),
        HostData::U16(v) => cast_slice(v).to_vec(),
        HostData::U32(v) => cast_slice(v).to_vec(),
        HostData::U64(v) => cast_slice(v).to_vec(),
        HostData::I8(v) => cast_slice(v).to_vec(),
        HostData::I16(v) => cast_slice(v).to_vec(),
        HostData::I32(v) => cast_slice(v).to_vec(),
        HostData::I64(v) => cast_slice(v).to_vec(),
        HostData::F16(v) => cast_slice(v).to_vec(),
        HostData::BF16(v) => cast_slice(v).to_vec(),
        HostData::F32(v) => cast_slice(v).to_vec(),
        HostData::F64(v) => cast_slice(v).to_vec(),
    };
    if cfg!(target_endian = "big") {
        bytes.chunks_exact_mut(data.dtype().size()).for_each(<[u8]>::reverse);
    }
    bytes
}
