//! `+ - * /` between tensors and with numbers, for references and for values that may be reused.

use std::ops::{Add, Div, Mul, Neg, Sub};

use half::f16;

use crate::dtype::DType;
use crate::error::Result;
use crate::host::HostTensor;
use crate::op::{BinaryOp, Op, UnaryOp};
use crate::promotion::{Operand, result_type};
use crate::shape::Shape;
use crate::tensor::Tensor;

impl Tensor {
    /// A binary operation on operands promoted to their common dtype. Moves its operands in, so that their memory may be
    /// reused.
    ///
    /// # Errors
    /// If the shapes cannot be broadcast, or the operation is not defined for the dtype.
    pub fn binary(op: BinaryOp, a: Tensor, b: Tensor) -> Result<Tensor> {
        let (a, b) = promote(a, b, op == BinaryOp::Div)?;
        Tensor::apply1(Op::Binary(op), [a, b])
    }

    /// A scalar on this tensor's device that behaves as a Python number beside it: it takes the tensor's dtype, unless that
    /// is an integer type and the number is not whole.
    pub(crate) fn number(&self, value: f64) -> Result<Tensor> {
        let weak =
            if value.fract() == 0.0 && self.dtype().is_int() { Operand::WeakInt } else { Operand::WeakFloat };
        let dtype = result_type(&[self.dtype().into(), weak]);
        Tensor::from_host(HostTensor::full(Shape::scalar(), dtype, value), self.device())
    }

    /// An operator with a number on its right. Division multiplies by the [`reciprocal`], where there is one.
    fn with_number(self, op: BinaryOp, value: f64) -> Result<Tensor> {
        if op == BinaryOp::Div {
            let dtype = result_type(&[self.dtype().into(), Operand::WeakFloat]);
            if let Some(factor) = reciprocal(dtype, value) {
                let x = self.into_dtype(dtype)?;
                let factor = x.number(factor)?;
                return Tensor::binary(BinaryOp::Mul, x, factor);
            }
        }
        let number = self.number(value)?;
        Tensor::binary(op, self, number)
    }
}

/// `1 / value` in `dtype`, if XLA divides by a number so. It does not in bfloat16; and what it makes of a factor that
/// float32 has few digits for is no division any more.
fn reciprocal(dtype: DType, value: f64) -> Option<f64> {
    match dtype {
        DType::F16 => Some(1.0 / f16::from_f64(value).to_f64()),
        DType::F32 => Some(1.0 / value as f32).filter(|factor| !factor.is_subnormal()).map(f64::from),
        DType::F64 => Some(1.0 / value),
        _ => None,
    }
}

/// Casts both to their common dtype; to a float if `floats`.
pub(super) fn promote(a: Tensor, b: Tensor, floats: bool) -> Result<(Tensor, Tensor)> {
    if a.dtype() == b.dtype() && (!floats || a.dtype().is_float()) {
        return Ok((a, b));
    }
    let mut operands = vec![Operand::from(a.dtype()), b.dtype().into()];
    if floats {
        operands.push(Operand::WeakFloat);
    }
    let dtype: DType = result_type(&operands);
    Ok((a.into_dtype(dtype)?, b.into_dtype(dtype)?))
}

macro_rules! operator {
    ($trait:ident, $method:ident, $op:expr) => {
        impl $trait<Tensor> for Tensor {
            type Output = Result<Tensor>;
            fn $method(self, other: Tensor) -> Result<Tensor> {
                Tensor::binary($op, self, other)
            }
        }
        impl $trait<&Tensor> for Tensor {
            type Output = Result<Tensor>;
            fn $method(self, other: &Tensor) -> Result<Tensor> {
                Tensor::binary($op, self, other.clone())
            }
        }
        impl $trait<Tensor> for &Tensor {
            type Output = Result<Tensor>;
            fn $method(self, other: Tensor) -> Result<Tensor> {
                Tensor::binary($op, self.clone(), other)
            }
        }
        impl $trait<&Tensor> for &Tensor {
            type Output = Result<Tensor>;
            fn $method(self, other: &Tensor) -> Result<Tensor> {
                Tensor::binary($op, self.clone(), other.clone())
            }
        }
        impl $trait<f64> for Tensor {
            type Output = Result<Tensor>;
            fn $method(self, other: f64) -> Result<Tensor> {
                self.with_number($op, other)
            }
        }
        impl $trait<f64> for &Tensor {
            type Output = Result<Tensor>;
            fn $method(self, other: f64) -> Result<Tensor> {
                self.clone().with_number($op, other)
            }
        }
        impl $trait<Tensor> for f64 {
            type Output = Result<Tensor>;
            fn $method(self, other: Tensor) -> Result<Tensor> {
                let this = other.number(self)?;
                Tensor::binary($op, this, other)
            }
        }
        impl $trait<&Tensor> for f64 {
            type Output = Result<Tensor>;
            fn $method(self, other: &Tensor) -> Result<Tensor> {
                Tensor::binary($op, other.number(self)?, other.clone())
            }
        }
    };
}

operator!(Add, add, BinaryOp::Add);
operator!(Sub, sub, BinaryOp::Sub);
operator!(Mul, mul, BinaryOp::Mul);
operator!(Div, div, BinaryOp::Div);

impl Neg for Tensor {
    type Output = Result<Tensor>;
    fn neg(self) -> Result<Tensor> {
        Tensor::apply1(Op::Unary(UnaryOp::Neg), [self])
    }
}

impl Neg for &Tensor {
    type Output = Result<Tensor>;
    fn neg(self) -> Result<Tensor> {
        -self.clone()
    }
}
