//! Gradients of element-wise operations.

use std::f64::consts::PI;

use smallvec::smallvec;

use super::{Gradients, Saves, sum_to, zeros};
use crate::error::Result;
use crate::fused::{Activ, Fused};
use crate::op::{BinaryOp, CompareOp, Op, UnaryOp};
use crate::tape::Saved;
use crate::tensor::Tensor;

pub(super) fn unary_saves(op: UnaryOp) -> Saves {
    use UnaryOp::*;
    match op {
        Neg | Sign | Ceil | Floor | Round | Not => Saves::NOTHING,
        Exp | Expm1 | Sqrt | Rsqrt | Tan | Tanh | ErfInv | Sigmoid | Softplus | Relu => Saves::RESULT,
        Abs | Log | Log1p | Sin | Cos | Asin | Acos | Atan | Sinh | Cosh | Asinh | Acosh | Atanh | Erf => {
            Saves::operands([0])
        }
    }
}

pub(super) fn unary(op: UnaryOp, saved: &Saved, c: Tensor) -> Result<Tensor> {
    let x = || saved.operand(0);
    let y = || saved.result(0);
    match op {
        UnaryOp::Neg => -c,
        UnaryOp::Sign | UnaryOp::Ceil | UnaryOp::Floor | UnaryOp::Round | UnaryOp::Not => {
            zeros(c.shape(), c.dtype(), &c)
        }
        // At zero JAX takes the right-hand derivative.
        UnaryOp::Abs => x()?.compare_with(CompareOp::Ge, 0.0)?.select(&c, &(-&c)?),
        UnaryOp::Exp => c * y()?,
        UnaryOp::Expm1 => c * (y()? + 1.0)?,
        UnaryOp::Log => c / x()?,
        UnaryOp::Log1p => c / (x()? + 1.0)?,
        UnaryOp::Sqrt => c * (0.5 / y()?)?,
        UnaryOp::Rsqrt => c * ((y()?.square()? * y()?)? * -0.5)?,
        UnaryOp::Sin => c * x()?.cos()?,
        UnaryOp::Cos => c * (-x()?.sin()?)?,
        UnaryOp::Tan => c * (y()?.square()? + 1.0)?,
        UnaryOp::Asin => c * (1.0 - x()?.square()?)?.rsqrt()?,
        UnaryOp::Acos => c * (-(1.0 - x()?.square()?)?.rsqrt()?)?,
        UnaryOp::Atan => c / (x()?.square()? + 1.0)?,
        UnaryOp::Sinh => c * x()?.unary(UnaryOp::Cosh)?,
        UnaryOp::Cosh => c * x()?.unary(UnaryOp::Sinh)?,
        // Factored, for accuracy where the result is close to one.
        UnaryOp::Tanh => c * ((1.0 - y()?)? * (y()? + 1.0)?)?,
        UnaryOp::Asinh => c * (x()?.square()? + 1.0)?.rsqrt()?,
        UnaryOp::Acosh => c * ((x()? - 1.0)? * (x()? + 1.0)?)?.rsqrt()?,
        UnaryOp::Atanh => c / ((1.0 - x()?)? * (x()? + 1.0)?)?,
        UnaryOp::Erf => c * ((-x()?.square()?)?.exp()? * (2.0 / PI.sqrt()))?,
        UnaryOp::ErfInv => c * (y()?.square()?.exp()? * (PI.sqrt() / 2.0))?,
        UnaryOp::Sigmoid => c * (y()? * (1.0 - y()?)?)?,
        // `sigmoid(x) = 1 - e^-softplus(x)`
        UnaryOp::Softplus => c * (-(-y()?)?.expm1()?)?,
        UnaryOp::Relu => {
            let op = Fused::ActivationBackward { activation: Activ::Relu };
            Tensor::apply1(Op::Fused(op), [y()?.clone(), c])
        }
    }
}

pub(super) fn binary_saves(op: BinaryOp, left: bool, right: bool) -> Saves {
    let per_side = |l: Saves, r: Saves| l.only_if(left).and(r.only_if(right));
    let both = Saves::operands([0, 1]);
    match op {
        BinaryOp::Mul => per_side(Saves::operands([1]), Saves::operands([0])),
        BinaryOp::Div => per_side(Saves::operands([1]), Saves::operands([1]).and(Saves::RESULT)),
        BinaryOp::Mod => both.only_if(right),
        BinaryOp::Pow => per_side(both, Saves::operands([0]).and(Saves::RESULT)),
        BinaryOp::Max | BinaryOp::Min | BinaryOp::Atan2 => both,
        BinaryOp::Add | BinaryOp::Sub | BinaryOp::FloorDiv | BinaryOp::And | BinaryOp::Or | BinaryOp::Xor => {
            Saves::NOTHING
        }
    }
}

pub(super) fn binary(op: BinaryOp, saved: &Saved, c: Tensor, wanted: &[bool]) -> Result<Gradients> {
    let left = || sum_to(binary_left(op, saved, &c)?, saved.spec(0)?.0);
    let right = || sum_to(binary_right(op, saved, &c)?, saved.spec(1)?.0);
    Ok(smallvec![wanted[0].then(left).transpose()?, wanted[1].then(right).transpose()?])
}

fn binary_left(op: BinaryOp, saved: &Saved, c: &Tensor) -> Result<Tensor> {
    let a = || saved.operand(0);
    let b = || saved.operand(1);
    match op {
        BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mod => Ok(c.clone()),
        BinaryOp::Mul => c * b()?,
        BinaryOp::Div => c / b()?,
        BinaryOp::Pow => c * (b()? * a()?.pow(&(b()? - 1.0)?)?)?,
        BinaryOp::Max => share(c, a()?, b()?, CompareOp::Gt),
        BinaryOp::Min => share(c, a()?, b()?, CompareOp::Lt),
        BinaryOp::Atan2 => c * (b()? / (a()?.square()? + b()?.square()?)?)?,
        BinaryOp::FloorDiv | BinaryOp::And | BinaryOp::Or | BinaryOp::Xor => zeros(c.shape(), c.dtype(), c),
    }
}

fn binary_right(op: BinaryOp, saved: &Saved, c: &Tensor) -> Result<Tensor> {
    let a = || saved.operand(0);
    let b = || saved.operand(1);
    match op {
        BinaryOp::Add => Ok(c.clone()),
        BinaryOp::Sub => -c,
        BinaryOp::Mul => c * a()?,
        BinaryOp::Div => (c / b()?)? * (-saved.result(0)?)?,
        BinaryOp::Mod => c * (-a()?.floor_divide(b()?)?)?,
        BinaryOp::Pow => {
            // The logarithm of a base of zero counts as zero.
            let ones = Tensor::full([], c.dtype(), 1.0, c.device())?;
            let base = a()?.compare_with(CompareOp::Eq, 0.0)?.select(&ones, a()?)?;
            c * (base.log()? * saved.result(0)?)?
        }
        BinaryOp::Max => share(c, b()?, a()?, CompareOp::Gt),
        BinaryOp::Min => share(c, b()?, a()?, CompareOp::Lt),
        BinaryOp::Atan2 => c * ((-a()?)? / (a()?.square()? + b()?.square()?)?)?,
        BinaryOp::FloorDiv | BinaryOp::And | BinaryOp::Or | BinaryOp::Xor => zeros(c.shape(), c.dtype(), c),
    }
}

/// All of the gradient where `mine` wins, half of it where both are equal.
fn share(c: &Tensor, mine: &Tensor, other: &Tensor, wins: CompareOp) -> Result<Tensor> {
    let wins = match wins {
        CompareOp::Gt => mine.greater(other)?,
        _ => mine.less(other)?,
    };
    let ties = where_or_zero(&mine.equal(other)?, &(c * 0.5)?)?;
    wins.select(c, &ties)
}

pub(super) fn select(saved: &Saved, c: Tensor, wanted: &[bool]) -> Result<Gradients> {
    let condition = saved.operand(0)?;
    let a = || sum_to(where_or_zero(condition, &c)?, saved.spec(1)?.0);
    let b = || sum_to(where_or_zero(&condition.not()?, &c)?, saved.spec(2)?.0);
    Ok(smallvec![None, wanted[1].then(a).transpose()?, wanted[2].then(b).transpose()?])
}

/// `x` where `condition` holds, else zero, also where `x` is not finite.
pub(super) fn where_or_zero(condition: &Tensor, x: &Tensor) -> Result<Tensor> {
    condition.select(x, &zeros(&crate::shape::Shape::scalar(), x.dtype(), x)?)
}
