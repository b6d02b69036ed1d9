//! `+ - * /` between tensors and with numbers, for references and for values that may be reused.

use std::ops::{Add, Div, Mul, Neg, Sub};

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
                let other = self.number(other)?;
                Tensor::binary($op, self, other)
            }
        }
        impl $trait<f64> for &Tensor {
            type Output = Result<Tensor>;
            fn $method(self, other: f64) -> Result<Tensor> {
                Tensor::binary($op, self.clone(), self.number(other)?)
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
