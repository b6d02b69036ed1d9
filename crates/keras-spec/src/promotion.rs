//! Which dtype operands of different dtypes have in common.

use crate::dtype::DType;

/// A dtype, or a Python number that adapts to the dtypes beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operand {
    /// A tensor's dtype.
    DType(DType),
    /// A Python `int`.
    WeakInt,
    /// A Python `float`.
    WeakFloat,
}

impl From<DType> for Operand {
    fn from(dtype: DType) -> Self {
        Operand::DType(dtype)
    }
}

/// What each operand is promoted to next, in the order of the lattice's levels.
fn above(x: Operand) -> &'static [Operand] {
    use DType::*;
    use Operand::DType as D;
    match x {
        D(Bool) => &[Operand::WeakInt],
        Operand::WeakInt => &[D(U8), D(I8)],
        D(U8) => &[D(I16), D(U16)],
        D(U16) => &[D(I32), D(U32)],
        D(U32) => &[D(I64), D(U64)],
        D(I8) => &[D(I16)],
        D(I16) => &[D(I32)],
        D(I32) => &[D(I64)],
        D(U64) | D(I64) => &[Operand::WeakFloat],
        Operand::WeakFloat => &[D(BF16), D(F16)],
        D(BF16) | D(F16) => &[D(F32)],
        D(F32) => &[D(F64)],
        D(F64) => &[],
    }
}

fn reaches(from: Operand, to: Operand) -> bool {
    from == to || above(from).iter().any(|&next| reaches(next, to))
}

/// The dtype that operands are promoted to (`keras.backend.result_type`, Keras 3.15.1): the least one in the lattice above
/// all of them. Python numbers alone give `int32` and `float32`; no operands give `float32`.
pub fn result_type(operands: &[Operand]) -> DType {
    let all = DType::ALL.iter().map(|&d| Operand::DType(d)).chain([Operand::WeakInt, Operand::WeakFloat]);
    let common: Vec<Operand> = all.filter(|&c| operands.iter().all(|&x| reaches(x, c))).collect();
    let least = common.iter().find(|&&c| common.iter().all(|&other| reaches(c, other)));
    match (operands, least) {
        ([], _) => DType::F32,
        (_, Some(&Operand::DType(d))) => d,
        (_, Some(Operand::WeakInt)) => DType::I32,
        _ => DType::F32,
    }
}
