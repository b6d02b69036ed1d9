//! safetensors files, by the crate of that name.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use bytemuck::checked::try_pod_read_unaligned;
use keras_spec::{DType, HostTensor, dispatch_dtype};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use crate::answer::{Failure, Result};

/// Whether a file begins like one: the length of a header of JSON that the file can hold.
pub(crate) fn is(path: &Path) -> bool {
    let head = || -> std::io::Result<bool> {
        let mut file = File::open(path)?;
        let (mut start, length) = ([0; 9], file.metadata()?.len());
        file.read_exact(&mut start)?;
        let [n @ .., brace] = start;
        Ok(brace == b'{' && u64::from_le_bytes(n).checked_add(8).is_some_and(|end| end <= length))
    };
    head().unwrap_or(false)
}

/// The arrays of a file by name, sorted.
pub(crate) fn read(path: &Path) -> Result<Vec<(String, HostTensor)>> {
    let bytes = fs::read(path).map_err(|e| Failure::file(path, e))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|e| Failure::file(path, e))?;
    let mut arrays = Vec::new();
    for (name, view) in file.iter() {
        let array = decode(&view).map_err(|why| Failure::file(path, format!("`{name}`: {why}")))?;
        arrays.push((name.to_owned(), array));
    }
    arrays.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(arrays)
}

fn decode(view: &TensorView) -> Result<HostTensor, String> {
    let dtype = DTYPES.iter().find(|(_, theirs)| *theirs == view.dtype()).map(|(ours, _)| *ours);
    let dtype = dtype.ok_or_else(|| format!("the dtype {:?} is none of Keras", view.dtype()))?;
    dispatch_dtype!(dtype, T => {
        let elements = view.data().chunks_exact(size_of::<T>()).map(try_pod_read_unaligned::<T>);
        let elements = elements.collect::<Result<Vec<T>, _>>().map_err(|e| e.to_string())?;
        HostTensor::new(view.shape(), elements).map_err(|e| e.to_string())
    })
}

/// The bytes of a file with these arrays.
pub(crate) fn to_bytes(arrays: &[(String, HostTensor)]) -> Result<Vec<u8>, String> {
    let mut data = Vec::new();
    for (name, array) in arrays {
        let dtype = DTYPES.iter().find(|(ours, _)| *ours == array.dtype()).map(|(_, theirs)| *theirs);
        let dtype = dtype.ok_or_else(|| format!("`{name}`: no {} in safetensors", array.dtype()))?;
        let bytes: Vec<u8> = dispatch_dtype!(array.dtype(), T => {
            let elements = array.as_slice::<T>().map_err(|e| e.to_string())?;
            bytemuck::cast_slice::<T, u8>(elements).to_vec()
        });
        data.push((name, dtype, array.shape().to_vec(), bytes));
    }
    let views = data.iter().map(|entry| {
        let (name, dtype, shape, bytes) = entry;
        let view = TensorView::new(*dtype, shape.clone(), bytes);
        view.map(|view| ((*name).clone(), view)).map_err(|e| e.to_string())
    });
    let views = views.collect::<Result<Vec<_>, _>>()?;
    safetensors::serialize(views, None).map_err(|e| e.to_string())
}

const DTYPES: [(DType, Dtype); 13] = [
    (DType::Bool, Dtype::BOOL),
    (DType::U8, Dtype::U8),
    (DType::U16, Dtype::U16),
    (DType::U32, Dtype::U32),
    (DType::U64, Dtype::U64),
    (DType::I8, Dtype::I8),
    (DType::I16, Dtype::I16),
    (DType::I32, Dtype::I32),
    (DType::I64, Dtype::I64),
    (DType::F16, Dtype::F16),
    (DType::BF16, Dtype::BF16),
    (DType::F32, Dtype::F32),
    (DType::F64, Dtype::F64),
];
