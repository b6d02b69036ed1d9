//! NumPy's files, by the crate `npyz`: `.npy`, and `.npz` as archives of those.

use std::fs::File;
use std::io::{BufReader, Cursor, Read, Seek, Write};
use std::path::Path;

use keras_spec::{DType, HostTensor, half};
use ndarray::{ArrayD, IxDyn, ShapeBuilder};
use npyz::{NpyFile, Order, TypeChar, WriterBuilder};
use zip::write::SimpleFileOptions;
use zip::{ZipArchive, ZipWriter};

use crate::answer::{Failure, Result};

/// What a header may be at most; NumPy refuses more than 10,000 bytes.
const MAX_HEADER: usize = 10_000;
/// How deep the brackets of a header may nest; those of arrays of numbers do twice.
const MAX_NESTING: usize = 8;
/// How much an `.npz` may hold in all, for each byte of the file.
const MAX_EXPANSION: u64 = 1100;

/// The array in an `.npy` file.
pub(crate) fn read(path: &Path) -> Result<HostTensor> {
    let open = || -> std::io::Result<_> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        Ok((BufReader::new(file), length))
    };
    let (file, length) = open().map_err(|e| Failure::file(path, e))?;
    decode(file, length).map_err(|why| Failure::file(path, why))
}

/// The arrays in an `.npz` file, by name in the order of the file.
pub(crate) fn read_npz(path: &Path) -> Result<Vec<(String, HostTensor)>> {
    let fail = |why: String| Failure::file(path, why);
    let file = File::open(path).map_err(|e| fail(e.to_string()))?;
    let length = file.metadata().map_err(|e| fail(e.to_string()))?.len();
    let mut archive =
        ZipArchive::new(BufReader::new(file)).map_err(|e| fail(format!("no .npz file: {e}")))?;
    let mut arrays = Vec::new();
    for i in 0..archive.len() {
        let member = archive.by_index(i).map_err(|e| fail(e.to_string()))?;
        let name = member.name().map_err(|e| fail(e.to_string()))?.into_owned();
        let Some(name) = name.strip_suffix(".npy").map(str::to_owned) else {
            return Err(fail(format!("`{name}` is no .npy")));
        };
        let size = member.size();
        if size > length.saturating_mul(MAX_EXPANSION) {
            return Err(fail(format!("`{name}` says it has {size} bytes, more than the file can hold")));
        }
        let array = decode(BufReader::new(member), size).map_err(|why| fail(format!("`{name}`: {why}")))?;
        arrays.push((name, array));
    }
    Ok(arrays)
}

/// The array in `length` bytes of the layout of `.npy`.
fn decode(mut input: impl Read, length: u64) -> Result<HostTensor, String> {
    let header = read_header(&mut input).map_err(|e| format!("no .npy file: {e}"))?;
    check_header(&header)?;
    let used = header.len() as u64;
    let file = NpyFile::new(Cursor::new(header).chain(input)).map_err(|e| format!("no .npy file: {e}"))?;
    let found = file.dtype();
    let foreign = || format!("expected numbers or booleans, found dtype {}", found.descr());
    let npyz::DType::Plain(plain) = &found else { return Err(foreign()) };
    let dtype = match (plain.type_char(), plain.size_field()) {
        (TypeChar::Bool, 1) => DType::Bool,
        (TypeChar::Uint, 1) => DType::U8,
        (TypeChar::Uint, 2) => DType::U16,
        (TypeChar::Uint, 4) => DType::U32,
        (TypeChar::Uint, 8) => DType::U64,
        (TypeChar::Int, 1) => DType::I8,
        (TypeChar::Int, 2) => DType::I16,
        (TypeChar::Int, 4) => DType::I32,
        (TypeChar::Int, 8) => DType::I64,
        (TypeChar::Float, 2) => DType::F16,
        (TypeChar::Float, 4) => DType::F32,
        (TypeChar::Float, 8) => DType::F64,
        _ => return Err(foreign()),
    };
    let shape: Vec<usize> = file
        .shape()
        .iter()
        .map(|&n| usize::try_from(n))
        .collect::<Result<_, _>>()
        .map_err(|_| "its shape does not fit this machine".to_owned())?;
    let bytes = file.len().saturating_mul(dtype.size() as u64);
    if bytes > length.saturating_sub(used) {
        let shape = keras_spec::Shape::from(&*shape);
        return Err(format!(
            "cut off: {dtype} of shape {shape} needs {bytes} bytes, there are {}",
            length - used
        ));
    }
    let order = file.order();
    macro_rules! elements {
        ($($T:ty),*) => {
            match dtype {
                $(<$T as keras_spec::Element>::DTYPE => arranged::<$T>(file.into_vec(), &shape, order),)*
                _ => Err(foreign()),
            }
        };
    }
    elements!(bool, u8, u16, u32, u64, i8, i16, i32, i64, half::f16, f32, f64)
}

/// Elements in the order of the file as a tensor.
fn arranged<T: keras_spec::Element>(
    elements: std::io::Result<Vec<T>>,
    shape: &[usize],
    order: Order,
) -> Result<HostTensor, String> {
    let elements = elements.map_err(|e| e.to_string())?;
    match order {
        Order::C => HostTensor::new(shape, elements).map_err(|e| e.to_string()),
        Order::Fortran => {
            let array = ArrayD::from_shape_vec(IxDyn(shape).f(), elements).map_err(|e| e.to_string())?;
            Ok(keras::training::host(&array))
        }
    }
}

/// Magic number, version, length and text of a header.
fn read_header(input: &mut impl Read) -> std::io::Result<Vec<u8>> {
    let bad = |why: &str| std::io::Error::new(std::io::ErrorKind::InvalidData, why);
    let mut header = vec![0; 8];
    input.read_exact(&mut header)?;
    if !header.starts_with(b"\x93NUMPY") {
        return Err(bad("it does not begin with \\x93NUMPY"));
    }
    let mut length = vec![0; if header[6] == 1 { 2 } else { 4 }];
    input.read_exact(&mut length)?;
    let bytes = length.iter().rev().fold(0, |n, &b| n << 8 | usize::from(b));
    if bytes > MAX_HEADER {
        return Err(bad("its header is longer than NumPy allows"));
    }
    header.extend(length);
    let start = header.len();
    header.resize(start + bytes, 0);
    input.read_exact(&mut header[start..])?;
    Ok(header)
}

/// Refuses what the parser of headers would overflow its stack or its numbers with.
fn check_header(header: &[u8]) -> Result<(), String> {
    let mut depth = 0_usize;
    for byte in header {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_NESTING {
            return Err("its header is nested too deeply".to_owned());
        }
    }
    let numbers = header.split(|b| !b.is_ascii_digit()).filter(|digits| !digits.is_empty());
    let product = numbers
        .map(|digits| str::from_utf8(digits).ok()?.parse::<u64>().ok())
        .try_fold(1_u64, |p, n| p.checked_mul(n?.max(1)));
    product.map(drop).ok_or_else(|| "its shape is larger than any file".to_owned())
}

/// Writes an array in the layout of `.npy`; bfloat16, which NumPy has not, as float32.
pub(crate) fn write(out: &mut impl Write, array: &HostTensor) -> std::io::Result<()> {
    let cast;
    let array = match array.dtype() {
        DType::BF16 => {
            cast = array.cast(DType::F32);
            &cast
        }
        _ => array,
    };
    let shape: Vec<u64> = array.shape().iter().map(|&n| n as u64).collect();
    macro_rules! elements {
        ($($T:ty),*) => {
            match array.dtype() {
                $(<$T as keras_spec::Element>::DTYPE => {
                    let elements = array.as_slice::<$T>().map_err(std::io::Error::other)?;
                    let options = npyz::WriteOptions::new().default_dtype().shape(&shape).writer(out);
                    let mut writer = options.begin_nd()?;
                    writer.extend(elements.iter().copied())?;
                    writer.finish()
                })*
                other => Err(std::io::Error::other(format!("NumPy has no {other}"))),
            }
        };
    }
    elements!(bool, u8, u16, u32, u64, i8, i16, i32, i64, half::f16, f32, f64)
}

/// Writes arrays as `.npz`.
pub(crate) fn write_npz(out: impl Write + Seek, arrays: &[(String, HostTensor)]) -> std::io::Result<()> {
    let mut archive = ZipWriter::new(out);
    for (name, array) in arrays {
        archive.start_file(format!("{name}.npy"), SimpleFileOptions::default().large_file(true))?;
        write(&mut archive, array)?;
    }
    archive.finish()?.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(text: &str) -> Vec<u8> {
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((text.len() as u16).to_le_bytes());
        bytes.extend(text.as_bytes());
        bytes
    }

    fn decode_all(bytes: &[u8]) -> Result<HostTensor, String> {
        decode(bytes, bytes.len() as u64)
    }

    #[test]
    fn every_dtype_survives() {
        for dtype in DType::ALL.into_iter().filter(|&d| d != DType::BF16) {
            let array = HostTensor::new([2, 2], vec![0.0_f32, 1.0, 1.0, 0.0]).unwrap().cast(dtype);
            let mut bytes = Vec::new();
            write(&mut bytes, &array).unwrap();
            assert_eq!(decode_all(&bytes).unwrap(), array);
        }
    }

    #[test]
    fn the_order_of_fortran_is_undone() {
        let mut bytes = header("{'descr': '>i2', 'fortran_order': True, 'shape': (2, 3), }\n");
        bytes.extend([1_i16, 4, 2, 5, 3, 6].iter().flat_map(|x| x.to_be_bytes()));
        assert_eq!(decode_all(&bytes).unwrap(), HostTensor::new([2, 3], vec![1_i16, 2, 3, 4, 5, 6]).unwrap());
    }

    #[test]
    fn what_is_wrong_is_said() {
        let of =
            |shape: &str| header(&format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}"));
        let deep = format!("{}{}", "(".repeat(4000), ")".repeat(4000));
        for (bytes, why) in [
            (b"\x93NUMPY".to_vec(), "no .npy file"),
            (b"PNG whatever".to_vec(), "does not begin"),
            (of("(3,)"), "cut off"),
            (of("(4294967296, 4294967296, 4294967296)"), "larger than any file"),
            (of("(99999999999999999999,)"), "larger than any file"),
            (of(&deep), "nested"),
            (of("(-1,)"), "negative"),
            (header("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}"), "numbers or booleans"),
            (header("{'descr': '<c8', 'fortran_order': False, 'shape': (1,)}"), "numbers or booleans"),
            (
                header("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}"),
                "numbers or booleans",
            ),
        ] {
            let message = decode_all(&bytes).unwrap_err();
            assert!(message.contains(why), "{message}");
        }
    }
}
