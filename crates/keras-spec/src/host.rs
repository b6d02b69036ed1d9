//! Tensors in host memory: what goes into a backend and comes out of it.

use half::{bf16, f16};

use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::shape::Shape;

/// Row-major elements in host memory with a shape: the currency between users, files and backends.
///
/// ```
/// use keras_spec::{DType, HostTensor};
///
/// let t = HostTensor::new([2, 2], vec![1.0f32, 2.0, 3.0, 4.0])?;
/// assert_eq!(t.dtype(), DType::F32);
/// assert_eq!(t.as_slice::<f32>()?, [1.0, 2.0, 3.0, 4.0]);
/// # Ok::<(), keras_spec::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct HostTensor {
    shape: Shape,
    data: HostData,
}

/// The elements of a [`HostTensor`].
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum HostData {
    Bool(Vec<bool>),
    U8(Vec<u8>),
    U16(Vec<u16>),
    U32(Vec<u32>),
    U64(Vec<u64>),
    I8(Vec<i8>),
    I16(Vec<i16>),
    I32(Vec<i32>),
    I64(Vec<i64>),
    F16(Vec<f16>),
    BF16(Vec<bf16>),
    F32(Vec<f32>),
    F64(Vec<f64>),
}

mod sealed {
    pub trait Sealed {}
}

/// A Rust type that tensors can hold. Sealed: the thirteen types of [`DType`].
pub trait Element:
    sealed::Sealed + Copy + Default + PartialEq + Send + Sync + std::fmt::Debug + 'static
{
    /// The matching [`DType`].
    const DTYPE: DType;

    /// The least value: negative infinity for floats, `false` for `bool`. The maximum of nothing.
    const LEAST: Self;

    /// The greatest value: infinity for floats, `true` for `bool`. The minimum of nothing.
    const GREATEST: Self;

    /// Wraps elements.
    fn into_data(data: Vec<Self>) -> HostData;

    /// The elements, if `data` is of this type.
    fn slice(data: &HostData) -> Option<&[Self]>;

    /// The elements, if `data` is of this type; otherwise `data` back.
    #[allow(clippy::result_large_err)]
    fn take(data: HostData) -> std::result::Result<Vec<Self>, HostData>;

    /// The nearest `f64`.
    fn to_f64(self) -> f64;

    /// The conversion of Keras's `cast`: rounds to nearest for floats, truncates for integers (saturating; NaN is
    /// 0), and for `bool` says whether the value is not zero.
    fn from_f64(value: f64) -> Self;

    /// The value as an integer, truncated.
    fn to_i128(self) -> i128;

    /// The value of an integer, wrapping where it does not fit.
    fn from_i128(value: i128) -> Self;
}

/// Runs `$body` with `$T` as the element type of the dtype `$dtype`.
///
/// ```
/// use keras_spec::{dispatch_dtype, DType, Element};
///
/// fn size(dtype: DType) -> usize {
///     dispatch_dtype!(dtype, T => std::mem::size_of::<T>())
/// }
/// assert_eq!(size(DType::BF16), 2);
/// ```
#[macro_export]
macro_rules! dispatch_dtype {
    ($dtype:expr, $T:ident => $body:expr) => {
        match $dtype {
            $crate::DType::Bool => {
                type $T = bool;
                $body
            }
            $crate::DType::U8 => {
                type $T = u8;
                $body
            }
            $crate::DType::U16 => {
                type $T = u16;
                $body
            }
            $crate::DType::U32 => {
                type $T = u32;
                $body
            }
            $crate::DType::U64 => {
                type $T = u64;
                $body
            }
            $crate::DType::I8 => {
                type $T = i8;
                $body
            }
            $crate::DType::I16 => {
                type $T = i16;
                $body
            }
            $crate::DType::I32 => {
                type $T = i32;
                $body
            }
            $crate::DType::I64 => {
                type $T = i64;
                $body
            }
            $crate::DType::F16 => {
                type $T = $crate::half::f16;
                $body
            }
            $crate::DType::BF16 => {
                type $T = $crate::half::bf16;
                $body
            }
            $crate::DType::F32 => {
                type $T = f32;
                $body
            }
            $crate::DType::F64 => {
                type $T = f64;
                $body
            }
        }
    };
}

macro_rules! element {
    ($($T:ty, $variant:ident, $least:expr, $greatest:expr, |$x:ident| $to:expr, |$y:ident| $from:expr,
        |$i:ident| $to_int:expr, |$j:ident| $from_int:expr;)*) => {$(
        impl sealed::Sealed for $T {}

        impl Element for $T {
            const DTYPE: DType = DType::$variant;
            const LEAST: Self = $least;
            const GREATEST: Self = $greatest;

            fn into_data(data: Vec<Self>) -> HostData {
                HostData::$variant(data)
            }

            fn slice(data: &HostData) -> Option<&[Self]> {
                match data {
                    HostData::$variant(v) => Some(v),
                    _ => None,
                }
            }

            fn take(data: HostData) -> std::result::Result<Vec<Self>, HostData> {
                match data {
                    HostData::$variant(v) => Ok(v),
                    other => Err(other),
                }
            }

            fn to_f64(self) -> f64 {
                let $x = self;
                $to
            }

            fn from_f64($y: f64) -> Self {
                $from
            }

            fn to_i128(self) -> i128 {
                let $i = self;
                $to_int
            }

            fn from_i128($j: i128) -> Self {
                $from_int
            }
        }

        impl From<$T> for HostTensor {
            fn from(value: $T) -> Self {
                HostTensor { shape: Shape::scalar(), data: HostData::$variant(vec![value]) }
            }
        }
    )*

        impl HostData {
            /// The element type.
            pub fn dtype(&self) -> DType {
                match self {
                    $(HostData::$variant(_) => DType::$variant,)*
                }
            }

            /// The number of elements.
            pub fn len(&self) -> usize {
                match self {
                    $(HostData::$variant(v) => v.len(),)*
                }
            }

            /// Whether there are no elements.
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }
        }
    };
}

element! {
    bool, Bool, false, true, |x| f64::from(u8::from(x)), |y| y != 0.0, |i| i128::from(i), |j| j != 0;
    u8, U8, u8::MIN, u8::MAX, |x| f64::from(x), |y| y as u8, |i| i128::from(i), |j| j as u8;
    u16, U16, u16::MIN, u16::MAX, |x| f64::from(x), |y| y as u16, |i| i128::from(i), |j| j as u16;
    u32, U32, u32::MIN, u32::MAX, |x| f64::from(x), |y| y as u32, |i| i128::from(i), |j| j as u32;
    u64, U64, u64::MIN, u64::MAX, |x| x as f64, |y| y as u64, |i| i128::from(i), |j| j as u64;
    i8, I8, i8::MIN, i8::MAX, |x| f64::from(x), |y| y as i8, |i| i128::from(i), |j| j as i8;
    i16, I16, i16::MIN, i16::MAX, |x| f64::from(x), |y| y as i16, |i| i128::from(i), |j| j as i16;
    i32, I32, i32::MIN, i32::MAX, |x| f64::from(x), |y| y as i32, |i| i128::from(i), |j| j as i32;
    i64, I64, i64::MIN, i64::MAX, |x| x as f64, |y| y as i64, |i| i128::from(i), |j| j as i64;
    f16, F16, f16::NEG_INFINITY, f16::INFINITY, |x| x.to_f64(), |y| f16::from_f64(y), |i| i.to_f64() as i128, |j| f16::from_f64(j as f64);
    bf16, BF16, bf16::NEG_INFINITY, bf16::INFINITY, |x| x.to_f64(), |y| bf16::from_f64(y), |i| i.to_f64() as i128, |j| bf16::from_f64(j as f64);
    f32, F32, f32::NEG_INFINITY, f32::INFINITY, |x| f64::from(x), |y| y as f32, |i| i as i128, |j| j as f32;
    f64, F64, f64::NEG_INFINITY, f64::INFINITY, |x| x, |y| y, |i| i as i128, |j| j as f64;
}

impl HostTensor {
    /// A tensor of `shape` over row-major `data`.
    ///
    /// # Errors
    /// [`Error::Shape`] if the number of elements is not the shape's.
    pub fn new<T: Element>(shape: impl Into<Shape>, data: Vec<T>) -> Result<Self> {
        HostTensor::from_data(shape.into(), T::into_data(data))
    }

    /// A tensor of `shape` over row-major `data` of a dtype known at run time.
    ///
    /// # Errors
    /// [`Error::Shape`] if the number of elements is not the shape's.
    pub fn from_data(shape: impl Into<Shape>, data: HostData) -> Result<Self> {
        let shape = shape.into();
        if checked_size(&shape) != Some(data.len()) {
            return Err(Error::shape("HostTensor", format!("{} elements were given", data.len()), [&shape]));
        }
        Ok(HostTensor { shape, data })
    }

    /// A tensor of `shape` with every element `value` converted to `dtype`.
    pub fn full(shape: impl Into<Shape>, dtype: DType, value: f64) -> Self {
        let shape = shape.into();
        let n = shape.size();
        let data = dispatch_dtype!(dtype, T => T::into_data(vec![T::from_f64(value); n]));
        HostTensor { shape, data }
    }

    /// The shape.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        self.data.dtype()
    }

    /// The elements.
    pub fn data(&self) -> &HostData {
        &self.data
    }

    /// The shape and the elements.
    pub fn into_parts(self) -> (Shape, HostData) {
        (self.shape, self.data)
    }

    /// The elements as a slice of `T`.
    ///
    /// # Errors
    /// [`Error::DType`] if the tensor holds another type.
    pub fn as_slice<T: Element>(&self) -> Result<&[T]> {
        T::slice(&self.data).ok_or_else(|| wrong_type::<T>(self.dtype()))
    }

    /// The elements as a vector of `T`, without a copy.
    ///
    /// # Errors
    /// [`Error::DType`] if the tensor holds another type.
    pub fn into_vec<T: Element>(self) -> Result<Vec<T>> {
        T::take(self.data).map_err(|d| wrong_type::<T>(d.dtype()))
    }

    /// The same elements under another shape.
    ///
    /// # Errors
    /// [`Error::Shape`] if the number of elements differs.
    pub fn reshape(self, shape: impl Into<Shape>) -> Result<Self> {
        HostTensor::from_data(shape, self.data)
    }

    /// Every element converted to `dtype` as Keras's `cast` does.
    pub fn cast(&self, dtype: DType) -> HostTensor {
        if dtype == self.dtype() {
            return self.clone();
        }
        let data = dispatch_dtype!(self.dtype(), S => {
            let source = S::slice(&self.data).unwrap_or(&[]);
            dispatch_dtype!(dtype, T => T::into_data(source.iter().map(|&x| cast_element::<S, T>(x)).collect()))
        });
        HostTensor { shape: self.shape.clone(), data }
    }

    /// Every element as `f64`.
    pub fn to_f64_vec(&self) -> Vec<f64> {
        dispatch_dtype!(self.dtype(), S => {
            S::slice(&self.data).unwrap_or(&[]).iter().map(|x| x.to_f64()).collect()
        })
    }
}

/// Converts one element as Keras's `cast` does: between integers it wraps, to and from floats it rounds or truncates.
pub fn cast_element<S: Element, T: Element>(x: S) -> T {
    // f64 cannot hold every 64-bit integer, and rounding twice is not rounding once.
    let exact = S::DTYPE.is_int() && (T::DTYPE.is_int() || S::DTYPE.size() == 8);
    if exact { T::from_i128(x.to_i128()) } else { T::from_f64(x.to_f64()) }
}

/// The number of elements of `shape`, unless that overflows.
pub(crate) fn checked_size(shape: &Shape) -> Option<usize> {
    shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d))
}

fn wrong_type<T: Element>(found: DType) -> Error {
    Error::dtype("HostTensor", format!("asked for {} elements", T::DTYPE), [found])
}
