//! When two arrays agree.

use keras_spec::{DType, HostTensor, dispatch_dtype};

use crate::vectors::shown;

/// How far a number may lie from the expected one: `atol + rtol · |expected|`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    /// The part that grows with the number.
    pub rtol: f64,
    /// The part that does not.
    pub atol: f64,
}

impl Tolerance {
    /// That of a dtype (`spec/spec.json`); integers and booleans are exact.
    pub fn of(dtype: DType) -> Self {
        crate::spec::tolerance(dtype)
    }
}

/// Compares an array with the expected one: the largest error in units of the tolerance, at most 1.
///
/// `tolerance` takes the place of the dtype's for floats.
///
/// # Errors
/// A message if they do not agree, with the worst element, or how shape or dtype differ.
pub fn compare(got: &HostTensor, expected: &HostTensor, tolerance: Option<Tolerance>) -> Result<f64, String> {
    if got.shape() != expected.shape() {
        return Err(format!("shape {} where {} is expected", got.shape(), expected.shape()));
    }
    if got.dtype() != expected.dtype() {
        return Err(format!("dtype {} where {} is expected", got.dtype(), expected.dtype()));
    }
    let errors = match expected.dtype().is_float() {
        true => float_errors(got, expected, tolerance.unwrap_or(Tolerance::of(expected.dtype()))),
        false => exact_errors(got, expected),
    };
    let worst = errors.iter().enumerate().fold((0, 0.0), |w, (i, &e)| if e > w.1 { (i, e) } else { w });
    if worst.1 <= 1.0 {
        return Ok(worst.1);
    }
    let wrong = errors.iter().filter(|&&e| e > 1.0).count();
    let (g, e) = (got.to_f64_vec()[worst.0], expected.to_f64_vec()[worst.0]);
    Err(format!(
        "{wrong} of {} elements differ\nworst at {}: got {g}, expected {e}, {:.3} tolerances\ngot: {}\nexpected: {}",
        errors.len(),
        position(worst.0, expected.shape()),
        worst.1,
        shown(got),
        shown(expected),
    ))
}

fn float_errors(got: &HostTensor, expected: &HostTensor, t: Tolerance) -> Vec<f64> {
    let error = |(g, e): (f64, f64)| match () {
        // Equal infinities and bits; NaN beside NaN.
        () if g == e || g.is_nan() && e.is_nan() => 0.0,
        () if !g.is_finite() || !e.is_finite() => f64::INFINITY,
        // Without a tolerance this is infinite, as it should be.
        () => (g - e).abs() / (t.atol + t.rtol * e.abs()),
    };
    got.to_f64_vec().into_iter().zip(expected.to_f64_vec()).map(error).collect()
}

fn exact_errors(got: &HostTensor, expected: &HostTensor) -> Vec<f64> {
    dispatch_dtype!(expected.dtype(), T => {
        let (got, expected) = (got.as_slice::<T>().unwrap_or(&[]), expected.as_slice::<T>().unwrap_or(&[]));
        got.iter().zip(expected).map(|(g, e)| if g == e { 0.0 } else { f64::INFINITY }).collect()
    })
}

/// The coordinates of element `i` in row-major order.
fn position(mut i: usize, shape: &[usize]) -> String {
    let mut at: Vec<String> = Vec::with_capacity(shape.len());
    for &d in shape.iter().rev() {
        at.push((i % d.max(1)).to_string());
        i /= d.max(1);
    }
    at.reverse();
    format!("[{}]", at.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn f32s(values: &[f32]) -> HostTensor {
        HostTensor::new([values.len()], values.to_vec()).unwrap()
    }

    #[test]
    fn errors_are_counted_in_tolerances() {
        let t = Some(Tolerance { rtol: 0.0, atol: 0.5 });
        assert_eq!(compare(&f32s(&[1.0, 2.25]), &f32s(&[1.0, 2.0]), t), Ok(0.5));
        assert!(compare(&f32s(&[1.0, 3.0]), &f32s(&[1.0, 2.0]), t).unwrap_err().contains("[1]"));
        assert_eq!(compare(&f32s(&[1.0]), &f32s(&[1.0]), Some(Tolerance { rtol: 0.0, atol: 0.0 })), Ok(0.0));
        assert!(
            compare(&f32s(&[1.0000001]), &f32s(&[1.0]), Some(Tolerance { rtol: 0.0, atol: 0.0 })).is_err()
        );
    }

    #[test]
    fn nan_and_infinities_have_their_places() {
        let (nan, inf) = (f32::NAN, f32::INFINITY);
        assert_eq!(compare(&f32s(&[nan, inf, -inf]), &f32s(&[nan, inf, -inf]), None), Ok(0.0));
        for (got, expected) in [(nan, 1.0), (1.0, nan), (inf, -inf), (inf, 1e38), (1e38, inf), (nan, inf)] {
            assert!(compare(&f32s(&[got]), &f32s(&[expected]), None).is_err(), "{got} {expected}");
        }
    }

    #[test]
    fn shapes_and_dtypes_count() {
        let i64s = |v: Vec<i64>| HostTensor::new([v.len()], v).unwrap();
        assert!(compare(&f32s(&[1.0]), &i64s(vec![1]), None).is_err());
        assert!(compare(&f32s(&[1.0]), &1.0f32.into(), None).is_err());
        // Beyond what a double can tell apart.
        assert!(compare(&i64s(vec![1 << 60]), &i64s(vec![(1 << 60) + 1]), None).is_err());
    }

    #[test]
    fn positions_are_row_major() {
        assert_eq!(position(5, &[2, 3]), "[1, 2]");
        assert_eq!(position(0, &[]), "[]");
    }
}
