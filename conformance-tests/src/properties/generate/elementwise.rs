//! Functions of single elements.

use keras_spec::{BinaryOp, CompareOp, DType, HostTensor, Op, UnaryOp};

use super::{Family, Instance, any, name, narrower};
use crate::properties::draw::Draw;
use crate::properties::values::{Pool, shape, tensor};

pub(super) fn families() -> Vec<Family> {
    let unary = UnaryOp::ALL.into_iter().map(|op| {
        Family::new(
            name("unary", op),
            move |dtype| op.accepts(dtype),
            move |d, dtype| {
                let s = shape(d, 0, 3);
                let x = [tensor(d, &s, dtype, Pool::Any)];
                match is_exact(op) {
                    true => Instance::exact(Op::Unary(op), x),
                    false => Instance::rounded(Op::Unary(op), x),
                }
            },
        )
    });
    let binary = BinaryOp::ALL.into_iter().map(|op| {
        Family::new(name("binary", op), move |dtype| op.accepts(dtype), move |d, dtype| binary(op, d, dtype))
    });
    use CompareOp::{Eq, Ge, Gt, Le, Lt, Ne};
    let compare = [Eq, Ne, Lt, Le, Gt, Ge].into_iter().map(|op| {
        Family::new(name("compare", op), any, move |d, dtype| {
            Instance::exact(Op::Compare(op), pair(d, dtype, [Pool::Any; 2]))
        })
    });
    let select = Family::new("select", any, |d, dtype| {
        let s = shape(d, 0, 3);
        let operands = [DType::Bool, dtype, dtype].map(|dtype| {
            let s = narrower(d, &s);
            tensor(d, &s, dtype, Pool::Any)
        });
        Instance::exact(Op::Select, operands)
    });
    unary.chain(binary).chain(compare).chain([select]).collect()
}

/// Whether a function leaves no choice of rounding.
fn is_exact(op: UnaryOp) -> bool {
    use UnaryOp::{Abs, Ceil, Floor, Neg, Not, Relu, Round, Sign};
    matches!(op, Abs | Ceil | Floor | Neg | Not | Relu | Round | Sign)
}

/// Two operands that broadcast together.
fn pair(draw: &mut Draw<'_>, dtype: DType, pools: [Pool; 2]) -> [HostTensor; 2] {
    let s = shape(draw, 0, 3);
    pools.map(|pool| {
        let s = narrower(draw, &s);
        tensor(draw, &s, dtype, pool)
    })
}

fn binary(op: BinaryOp, draw: &mut Draw<'_>, dtype: DType) -> Instance {
    let pools = match op {
        // Where the quotient is not finite, or nearly whole, its floor is a matter of rounding.
        BinaryOp::FloorDiv | BinaryOp::Mod if dtype.is_float() => [Pool::Finite, Pool::NonZero],
        BinaryOp::Pow if dtype.is_float() => [Pool::Finite, Pool::Whole],
        _ => [Pool::Any, Pool::Any],
    };
    let operands = pair(draw, dtype, pools);
    match op {
        BinaryOp::Div | BinaryOp::Pow | BinaryOp::Atan2 => Instance::rounded(Op::Binary(op), operands),
        _ => Instance::exact(Op::Binary(op), operands),
    }
}
