//! Tensors: arrays of ndarray, one variant for each dtype, and the dispatch over them.

use half::{bf16, f16};
use keras_kernels::Num;
use keras_kernels::elementwise::{Strided, copy_strided};
use keras_spec::{DType, Element, Error, HostTensor, Result, Shape};
use ndarray::{ArcArray, Array, Dimension, IxDyn, ShapeError};

/// An array that shares its elements until one of its holders changes them.
pub type Shared<T> = ArcArray<T, IxDyn>;

/// A Rust type that arrays of this backend hold: one for each [`DType`].
pub trait Item: Element + PartialOrd {
    /// The array as a buffer.
    fn wrap(array: Shared<Self>) -> Buffer;

    /// The array in a buffer.
    ///
    /// # Errors
    /// [`Error::DType`] if the buffer holds another type.
    fn unwrap(buffer: Buffer) -> Result<Shared<Self>>;

    /// The array in a buffer, to change.
    ///
    /// # Errors
    /// As [`unwrap`](Item::unwrap).
    fn unwrap_mut(buffer: &mut Buffer) -> Result<&mut Shared<Self>>;

    /// The larger one; NaN if either is.
    fn larger(self, other: Self) -> Self;

    /// The smaller one; NaN if either is.
    fn smaller(self, other: Self) -> Self;
}

macro_rules! number {
    () => {
        #[inline(always)]
        fn larger(self, other: Self) -> Self {
            Num::maximum(self, other)
        }

        #[inline(always)]
        fn smaller(self, other: Self) -> Self {
            Num::minimum(self, other)
        }
    };
}

macro_rules! buffers {
    ($($variant:ident $t:ty { $($body:tt)* })*) => {
        /// A tensor of this backend. Cloning it copies no elements.
        #[derive(Clone, Debug)]
        #[allow(missing_docs)]
        pub enum Buffer {
            $($variant(Shared<$t>),)*
        }

        impl Buffer {
            /// The element type.
            pub fn dtype(&self) -> DType {
                match self {
                    $(Buffer::$variant(_) => DType::$variant,)*
                }
            }

            /// The dimensions.
            pub fn shape(&self) -> &[usize] {
                match self {
                    $(Buffer::$variant(x) => x.shape(),)*
                }
            }
        }

        $(impl Item for $t {
            fn wrap(array: Shared<Self>) -> Buffer {
                Buffer::$variant(array)
            }

            fn unwrap(buffer: Buffer) -> Result<Shared<Self>> {
                match buffer {
                    Buffer::$variant(x) => Ok(x),
                    other => Err(Error::dtype("array", format!("asked for {}", Self::DTYPE), [other.dtype()])),
                }
            }

            fn unwrap_mut(buffer: &mut Buffer) -> Result<&mut Shared<Self>> {
                match buffer {
                    Buffer::$variant(x) => Ok(x),
                    other => Err(Error::dtype("array", format!("asked for {}", Self::DTYPE), [other.dtype()])),
                }
            }

            $($body)*
        })*
    };
}

buffers! {
    Bool bool {
        #[inline(always)]
        fn larger(self, other: Self) -> Self {
            self | other
        }

        #[inline(always)]
        fn smaller(self, other: Self) -> Self {
            self & other
        }
    }
    U8 u8 { number!(); }
    U16 u16 { number!(); }
    U32 u32 { number!(); }
    U64 u64 { number!(); }
    I8 i8 { number!(); }
    I16 i16 { number!(); }
    I32 i32 { number!(); }
    I64 i64 { number!(); }
    F16 f16 { number!(); }
    BF16 bf16 { number!(); }
    F32 f32 { number!(); }
    F64 f64 { number!(); }
}

impl<T: Item, D: Dimension> From<ArcArray<T, D>> for Buffer {
    fn from(array: ArcArray<T, D>) -> Self {
        T::wrap(array.into_dyn())
    }
}

impl<T: Item, D: Dimension> From<Array<T, D>> for Buffer {
    fn from(array: Array<T, D>) -> Self {
        T::wrap(array.into_dyn().into())
    }
}

/// Runs `$body` with `$a` as the array in the buffer `$x`: for every dtype (`all`), all but `bool` and the half precisions (`numbers`), the
/// four that [`in_wide`] computes in (`wide`), the integers (`ints`). Of the others the body after `else` is the value.
macro_rules! dispatch {
    (all $x:expr, $a:ident => $body:expr) => {
        $crate::buffer::dispatch!(
            @ $x, $a, $body, [Bool U8 U16 U32 U64 I8 I16 I32 I64 F16 BF16 F32 F64],
        )
    };
    (numbers $x:expr, $a:ident => $body:expr, else $other:ident => $else:expr) => {
        $crate::buffer::dispatch!(
            @ $x, $a, $body, [U8 U16 U32 U64 I8 I16 I32 I64 F32 F64], $other => $else,
        )
    };
    (wide $x:expr, $a:ident => $body:expr, else $other:ident => $else:expr) => {
        $crate::buffer::dispatch!(@ $x, $a, $body, [U64 I64 F32 F64], $other => $else,)
    };
    (ints $x:expr, $a:ident => $body:expr, else $other:ident => $else:expr) => {
        $crate::buffer::dispatch!(@ $x, $a, $body, [U8 U16 U32 U64 I8 I16 I32 I64], $other => $else,)
    };
    (@ $x:expr, $a:ident, $body:expr, [$($variant:ident)*], $($rest:tt)*) => {
        match $x {
            $($crate::buffer::Buffer::$variant($a) => $body,)*
            $($rest)*
        }
    };
}
pub(crate) use dispatch;

/// What an operation that is not defined for a dtype answers.
pub(crate) fn unsupported<R>(op: &str, dtype: DType) -> Result<R> {
    Err(Error::Unsupported {
        backend: crate::NAME.to_owned(),
        op: op.to_owned(),
        dtype,
        why: "it is not defined for this dtype".to_owned(),
    })
}

/// How many spatial axes the kernels have loops for.
pub(crate) const SPATIAL: usize = 3;

/// Refuses more than [`SPATIAL`] axes.
pub(crate) fn check_spatial(op: &str, dtype: DType, axes: usize) -> Result<()> {
    match axes {
        ..=SPATIAL => Ok(()),
        _ => Err(Error::Unsupported {
            backend: crate::NAME.to_owned(),
            op: op.to_owned(),
            dtype,
            why: format!("there are {axes} spatial axes, and kernels for up to {SPATIAL}"),
        }),
    }
}

/// A failure of ndarray in `op`.
pub(crate) fn failed(op: &str) -> impl Fn(ShapeError) -> Error {
    move |why| broken(op, why)
}

/// A broken promise about the operands of `op`.
pub(crate) fn broken(op: &str, why: impl std::fmt::Display) -> Error {
    Error::Backend { backend: crate::NAME.to_owned(), op: op.to_owned(), why: why.to_string() }
}

/// A new array over row-major elements.
pub(crate) fn array<T>(op: &str, shape: &[usize], data: Vec<T>) -> Result<Shared<T>> {
    Array::from_shape_vec(IxDyn(shape), data).map(Into::into).map_err(failed(op))
}

/// The elements in row-major order: moved out where nobody else holds them and they lie that way.
pub(crate) fn into_vec<T: Item>(x: Shared<T>) -> Vec<T> {
    let n = x.len();
    match standard(x).try_into_owned_nocopy() {
        Ok(own) => match own.into_raw_vec_and_offset() {
            (mut data, Some(0)) => {
                data.truncate(n);
                data
            }
            (data, offset) => data.into_iter().skip(offset.unwrap_or(0)).take(n).collect(),
        },
        Err(shared) => shared.as_slice().unwrap_or_default().to_vec(),
    }
}

/// The array with its elements in row-major order.
pub(crate) fn standard<T: Item>(x: Shared<T>) -> Shared<T> {
    if x.is_standard_layout() {
        return x;
    }
    copy_memory(&x).unwrap_or_else(|| x.as_standard_layout().into_owned().into())
}

/// A row-major copy of an array without gaps in its memory.
fn copy_memory<T: Item>(x: &Shared<T>) -> Option<Shared<T>> {
    let (data, first) = memory(x)?;
    let mut out = vec![T::default(); x.len()];
    let from = Strided::new(data, first, x.shape(), x.strides()).ok()?;
    copy_strided(x.shape(), from, &mut out).ok()?;
    Array::from_shape_vec(x.raw_dim(), out).ok().map(Into::into)
}

/// The array's elements as they lie in memory, and where the first one is, unless there are gaps between them.
pub(crate) fn memory<T>(x: &Shared<T>) -> Option<(&[T], usize)> {
    // Axes of length 1 may have any stride, which only this way of asking forgives.
    if let Some(data) = x.as_slice() {
        return Some((data, 0));
    }
    let before =
        |(&n, &stride): (&usize, &isize)| if stride < 0 { (n - 1) * stride.unsigned_abs() } else { 0 };
    let first = x.shape().iter().zip(x.strides()).map(before).sum();
    x.as_slice_memory_order().map(|data| (data, first))
}

/// The array, without gaps in its memory.
pub(crate) fn dense<T: Item>(x: Shared<T>) -> Shared<T> {
    if memory(&x).is_some() { x } else { standard(x) }
}

/// The strides of an array's axes, or the first of them, as those of an array that they are broadcast to: 0 where one
/// element is repeated.
pub(crate) fn broadcast_strides(shape: &[usize], strides: &[isize], to: &[usize]) -> Vec<isize> {
    let mut out = vec![0; to.len() - shape.len()];
    out.extend(shape.iter().zip(strides).map(|(&n, &stride)| if n == 1 { 0 } else { stride }));
    out
}

/// The elements of an array that [`standard`] has made.
pub(crate) fn rows<T>(x: &Shared<T>) -> Result<&[T]> {
    x.as_slice().ok_or_else(|| broken("array", "the elements are not in row-major order"))
}

/// Brings elements from the host without a copy.
pub(crate) fn from_host(x: HostTensor) -> Result<Buffer> {
    let (shape, data) = x.into_parts();
    keras_spec::dispatch_dtype!(data.dtype(), T => {
        let data = T::take(data).map_err(|d| broken("from_host", d.dtype()))?;
        array("from_host", &shape, data).map(T::wrap)
    })
}

/// Brings elements to the host, without a copy where nobody else holds them.
pub(crate) fn to_host(x: Buffer) -> Result<HostTensor> {
    let shape = Shape::from(x.shape());
    dispatch!(all x, x => HostTensor::new(shape, into_vec(x)))
}
