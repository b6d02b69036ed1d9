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

/// The promotion lattice: what each node is, and which nodes it promotes to next, as positions in this table. A node
/// comes before all those above it.
const LATTICE: [(Operand, &[usize]); 15] = {
    use DType::*;
    use Operand::DType as D;
    [
        (D(Bool), &[1]),
        (Operand::WeakInt, &[2, 6]),
        (D(U8), &[3, 7]),
        (D(U16), &[4, 8]),
        (D(U32), &[5, 9]),
        (D(U64), &[10]),
        (D(I8), &[7]),
        (D(I16), &[8]),
        (D(I32), &[9]),
        (D(I64), &[10]),
        (Operand::WeakFloat, &[11, 12]),
        (D(BF16), &[13]),
        (D(F16), &[13]),
        (D(F32), &[14]),
        (D(F64), &[]),
    ]
};

/// For each node the set of those at or above it, as bits.
const UPPER_BOUNDS: [u16; LATTICE.len()] = {
    let mut bounds = [0; LATTICE.len()];
    let mut node = LATTICE.len();
    while node > 0 {
        node -= 1;
        bounds[node] = 1 << node;
        let mut i = 0;
        while i < LATTICE[node].1.len() {
            bounds[node] |= bounds[LATTICE[node].1[i]];
            i += 1;
        }
    }
    bounds
};

fn upper_bounds(operand: Operand) -> u16 {
    let node = match operand {
        Operand::DType(DType::Bool) => 0,
        Operand::WeakInt => 1,
        Operand::DType(DType::U8) => 2,
        Operand::DType(DType::U16) => 3,
        Operand::DType(DType::U32) => 4,
        Operand::DType(DType::U64) => 5,
        Operand::DType(DType::I8) => 6,
        Operand::DType(DType::I16) => 7,
        Operand::DType(DType::I32) => 8,
        Operand::DType(DType::I64) => 9,
        Operand::WeakFloat => 10,
        Operand::DType(DType::BF16) => 11,
        Operand::DType(DType::F16) => 12,
        Operand::DType(DType::F32) => 13,
        Operand::DType(DType::F64) => 14,
    };
    UPPER_BOUNDS[node]
}

/// The dtype that operands are promoted to (`keras.backend.result_type`, Keras 3.15.1): the least one in the lattice
/// above all of them. Python numbers alone give `int32` and `float32`; no operands give `float32`.
///
/// Keras, but on TensorFlow, goes on to replace a 64-bit result by the 32-bit dtype of its kind, because JAX has no
/// other by default. Here 64-bit dtypes are real, so they stay.
pub fn result_type(operands: &[Operand]) -> DType {
    if operands.is_empty() {
        return DType::F32;
    }
    let common = operands.iter().fold(u16::MAX, |common, &operand| common & upper_bounds(operand));
    // Everything promotes to float64, and the least common bound comes before the others in the table.
    match LATTICE[common.trailing_zeros() as usize].0 {
        Operand::DType(dtype) => dtype,
        Operand::WeakInt => DType::I32,
        Operand::WeakFloat => DType::F32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(name: &str) -> Operand {
        match name {
            "int" => Operand::WeakInt,
            "float" => Operand::WeakFloat,
            dtype => Operand::DType(dtype.parse().unwrap()),
        }
    }

    #[test]
    fn every_node_is_where_the_table_has_it() {
        for (node, (operand, above)) in LATTICE.iter().enumerate() {
            assert_eq!(upper_bounds(*operand), UPPER_BOUNDS[node]);
            assert!(above.iter().all(|&next| next > node));
        }
    }

    /// Every dtype, pair and triple (`spec/generate/promotion_table.py`).
    #[test]
    fn agrees_with_keras() {
        let golden: serde_json::Value =
            serde_json::from_str(include_str!("../tests/data/promotion.json")).unwrap();
        let rows = golden["rows"].as_array().unwrap();
        assert_eq!(rows.len(), 15 + 15 * 15 + 455);
        for row in rows {
            let names = row[0].as_array().unwrap();
            let operands: Vec<Operand> = names.iter().map(|name| parse(name.as_str().unwrap())).collect();
            let [lattice, keras] = [&row[1], &row[2]].map(|name| parse(name.as_str().unwrap()));
            let result = result_type(&operands);
            assert_eq!(Operand::DType(result), lattice, "{names:?}");
            let narrowed = match result {
                DType::I64 => DType::I32,
                DType::U64 => DType::U32,
                DType::F64 => DType::F32,
                other => other,
            };
            assert_eq!(Operand::DType(narrowed), keras, "{names:?}");
        }
    }
}
