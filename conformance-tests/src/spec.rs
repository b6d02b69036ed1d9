//! What `spec/spec.json` says: the level of the specification, and its tolerances.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use keras_spec::DType;
use serde::Deserialize;

use crate::compare::Tolerance;

#[derive(Deserialize)]
struct Spec {
    level: u32,
    /// Of each float dtype, relative and absolute.
    tolerance: BTreeMap<String, f64>,
    /// Operations whose results are equal.
    exact: BTreeSet<String>,
    /// Bounds of operations by dtype, in units in the last place.
    ulp: BTreeMap<String, BTreeMap<String, f64>>,
}

static SPEC: LazyLock<Spec> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../spec/spec.json")).expect("spec/spec.json is well formed")
});

/// The level of the specification whose vectors these are (`spec/README.md`, "Levels").
pub fn level() -> u32 {
    SPEC.level
}

/// The tolerance of a dtype; integers and booleans are exact.
pub(crate) fn tolerance(dtype: DType) -> Tolerance {
    let both = SPEC.tolerance.get(dtype.name()).copied().unwrap_or(0.0);
    Tolerance { rtol: both, atol: both }
}

/// That of the outputs of an operation, where it has one of its own.
pub(crate) fn of_operation(op: &str, dtype: DType) -> Option<Tolerance> {
    if SPEC.exact.contains(op) {
        return Some(Tolerance { rtol: 0.0, atol: 0.0 });
    }
    // The unit, and what is subnormal. Subnormal numbers of float16 are numbers like others.
    let (unit, subnormal) = match dtype {
        DType::F64 => (f64::EPSILON, f64::MIN_POSITIVE),
        DType::F32 => (f64::from(f32::EPSILON), f64::from(f32::MIN_POSITIVE)),
        DType::BF16 => (2f64.powi(-7), f64::from(f32::MIN_POSITIVE)),
        DType::F16 => (2f64.powi(-10), 0.0),
        _ => return None,
    };
    let bound = SPEC.ulp.get(op)?.get(dtype.name())?;
    Some(Tolerance { rtol: bound * unit, atol: subnormal })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moves_is_exact_and_functions_have_bounds() {
        assert!(level() >= 1);
        assert_eq!(tolerance(DType::F32), Tolerance { rtol: 1e-5, atol: 1e-5 });
        assert_eq!(tolerance(DType::I32), Tolerance { rtol: 0.0, atol: 0.0 });
        assert_eq!(of_operation("transpose", DType::F32), Some(Tolerance { rtol: 0.0, atol: 0.0 }));
        let exp = of_operation("exp", DType::F32).unwrap();
        assert!((2e-7..1e-6).contains(&exp.rtol), "{exp:?}");
        assert_eq!(of_operation("matmul", DType::F32), None);
    }
}
